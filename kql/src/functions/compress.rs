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

fn gzip(text: &str) -> Option<String> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).ok()?;
    Some(STANDARD.encode(encoder.finish().ok()?))
}

fn zlib(text: &str) -> Option<String> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).ok()?;
    Some(STANDARD.encode(encoder.finish().ok()?))
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        eval(
            "gzip_compress_to_base64_string",
            "(text: string) -> string",
            "The text compressed by gzip, in base64.",
            ("gzip_decompress_from_base64_string(gzip_compress_to_base64_string('KQL'))", "KQL"),
            |row| gzip(row.text(0)).into(),
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
            |row| zlib(row.text(0)).into(),
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
                        .split('.')
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
