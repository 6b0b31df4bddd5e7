//! Compression, and names in Punycode.

use std::io::{Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::{GzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use idna::punycode::{decode_to_string, encode_str};

use super::{Function, eval};
use crate::value::Value;

/// The most bytes that a compressed text may unfold to.
const MAX_UNFOLDED: u64 = 16 << 20;

fn unfold(reader: impl Read) -> Option<String> {
    let mut bytes = Vec::new();
    reader.take(MAX_UNFOLDED + 1).read_to_end(&mut bytes).ok()?;
    if bytes.len() as u64 > MAX_UNFOLDED {
        return None;
    }
    String::from_utf8(bytes).ok()
}

/// The text by an encoder, in base64. What compression would not make smaller, a container of so many bytes left out of
/// account, is stored as it is.
fn fold(text: &str, container: usize, encode: fn(&[u8], Compression) -> Option<Vec<u8>>) -> Option<String> {
    let mut bytes = encode(text.as_bytes(), Compression::default())?;
    if bytes.len() >= text.len() + container {
        bytes = encode(text.as_bytes(), Compression::none())?;
    }
    Some(STANDARD.encode(bytes))
}

fn gzip(bytes: &[u8], level: Compression) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder.write_all(bytes).ok()?;
    let mut folded = encoder.finish().ok()?;
    // The header's hint at the level, which is left empty as Kusto leaves it.
    *folded.get_mut(8)? = 0;
    Some(folded)
}

fn zlib(bytes: &[u8], level: Compression) -> Option<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), level);
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        eval(
            "gzip_compress_to_base64_string",
            "(text: string) -> string",
            "The text compressed by gzip, in base64.",
            ("gzip_decompress_from_base64_string(gzip_compress_to_base64_string('KQL'))", "KQL"),
            |row| fold(row.text(0), 18, gzip).into(),
        ),
        eval(
            "gzip_decompress_from_base64_string",
            "(text: string) -> string",
            "The text behind base64 and gzip.",
            (
                "gzip_decompress_from_base64_string('H4sIAAAAAAAA/wEUAOv/MTIzNDU2Nzg5MHF3ZXJ0eXVpb3A6m7f2FAAAAA==')",
                "1234567890qwertyuiop",
            ),
            |row| {
                STANDARD
                    .decode(row.text(0))
                    .ok()
                    .and_then(|bytes| unfold(GzDecoder::new(bytes.as_slice())))
                    .into()
            },
        ),
        eval(
            "zlib_compress_to_base64_string",
            "(text: string) -> string",
            "The text compressed by zlib, in base64.",
            ("zlib_decompress_from_base64_string(zlib_compress_to_base64_string('KQL'))", "KQL"),
            |row| fold(row.text(0), 6, zlib).into(),
        ),
        eval(
            "zlib_decompress_from_base64_string",
            "(text: string) -> string",
            "The text behind base64 and zlib.",
            ("zlib_decompress_from_base64_string('eJyLNjIyMgYAA9oBGQ==')", ""),
            |row| {
                STANDARD
                    .decode(row.text(0))
                    .ok()
                    .and_then(|bytes| unfold(ZlibDecoder::new(bytes.as_slice())))
                    .into()
            },
        ),
        eval(
            "punycode_from_string",
            "(text: string) -> string",
            "The text in Punycode.",
            ("punycode_from_string('bücher')", "bcher-kva"),
            |row| encode_str(row.text(0)).into(),
        ),
        eval(
            "punycode_to_string",
            "(text: string) -> string",
            "The text behind Punycode.",
            ("punycode_to_string('bcher-kva')", "bücher"),
            |row| decode_to_string(row.text(0)).into(),
        ),
        eval(
            "punycode_domain_from_string",
            "(domain: string) -> string",
            "A domain with its labels out of Punycode.",
            ("punycode_domain_from_string('xn--bcher-kva.example')", "bücher.example"),
            |row| {
                let labels: Vec<String> = row
                    .text(0)
                    .split('.')
                    .map(|label| match label.strip_prefix("xn--") {
                        Some(coded) => decode_to_string(coded).unwrap_or_else(|| label.to_owned()),
                        None => label.to_owned(),
                    })
                    .collect();
                Value::from(labels.join("."))
            },
        ),
        eval(
            "punycode_domain_to_string",
            "(domain: string) -> string",
            "A domain with its labels in Punycode.",
            ("punycode_domain_to_string('bücher.example')", "xn--bcher-kva.example"),
            |row| {
                let labels: Vec<String> =
                    row.text(0)
                        // Full stops of other scripts separate labels, too (RFC 3490, 3.1).
                        .split(['.', '\u{3002}', '\u{ff0e}', '\u{ff61}'])
                        .map(|label| match label.is_ascii() {
                            true => label.to_owned(),
                            false => encode_str(label)
                                .map_or_else(|| label.to_owned(), |coded| format!("xn--{coded}")),
                        })
                        .collect();
                Value::from(labels.join("."))
            },
        ),
    ]
}
