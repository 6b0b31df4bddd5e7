//! Compression, and names in Punycode.

use std::io::{Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::{GzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};

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

/// The parameters of Punycode, by RFC 3492.
const BASE: u32 = 36;
const T_MIN: u32 = 1;
const T_MAX: u32 = 26;
const FIRST: u32 = 128;

fn adapt(delta: u32, points: u32, first: bool) -> u32 {
    let mut delta = if first { delta / 700 } else { delta / 2 };
    delta += delta / points;
    let mut k = 0;
    while delta > (BASE - T_MIN) * T_MAX / 2 {
        delta /= BASE - T_MIN;
        k += BASE;
    }
    k + (BASE - T_MIN + 1) * delta / (delta + 38)
}

fn threshold(k: u32, bias: u32) -> u32 {
    k.saturating_sub(bias).clamp(T_MIN, T_MAX)
}

fn punycode(text: &str) -> Option<String> {
    let points: Vec<u32> = text.chars().map(u32::from).collect();
    let mut out: String = text.chars().filter(char::is_ascii).collect();
    let basic = u32::try_from(out.len()).ok()?;
    let mut handled = basic;
    if basic > 0 {
        out.push('-');
    }
    let (mut n, mut delta, mut bias) = (FIRST, 0_u32, 72);
    while (handled as usize) < points.len() {
        let next = points.iter().copied().filter(|point| *point >= n).min()?;
        delta = delta.checked_add((next - n).checked_mul(handled + 1)?)?;
        n = next;
        for point in &points {
            if *point < n {
                delta = delta.checked_add(1)?;
            }
            if *point == n {
                let mut q = delta;
                let mut k = BASE;
                loop {
                    let t = threshold(k, bias);
                    if q < t {
                        break;
                    }
                    out.push(digit(t + (q - t) % (BASE - t)));
                    q = (q - t) / (BASE - t);
                    k += BASE;
                }
                out.push(digit(q));
                bias = adapt(delta, handled + 1, handled == basic);
                delta = 0;
                handled += 1;
            }
        }
        delta = delta.checked_add(1)?;
        n = n.checked_add(1)?;
    }
    Some(out)
}

fn digit(value: u32) -> char {
    let code = if value < 26 { u32::from('a') + value } else { u32::from('0') + value - 26 };
    char::from_u32(code).unwrap_or('0')
}

fn from_punycode(text: &str) -> Option<String> {
    let (basic, coded) = text.rsplit_once('-').unwrap_or(("", text));
    let mut out: Vec<char> = basic.chars().collect();
    let (mut n, mut i, mut bias) = (FIRST, 0_u32, 72);
    let mut digits = coded.chars();
    while !digits.as_str().is_empty() {
        let (before, mut weight, mut k) = (i, 1_u32, BASE);
        loop {
            let digit = match digits.next()? {
                c @ 'a'..='z' => u32::from(c) - u32::from('a'),
                c @ 'A'..='Z' => u32::from(c) - u32::from('A'),
                c @ '0'..='9' => u32::from(c) - u32::from('0') + 26,
                _ => return None,
            };
            i = i.checked_add(digit.checked_mul(weight)?)?;
            let t = threshold(k, bias);
            if digit < t {
                break;
            }
            weight = weight.checked_mul(BASE - t)?;
            k += BASE;
        }
        let points = u32::try_from(out.len()).ok()? + 1;
        bias = adapt(i - before, points, before == 0);
        n = n.checked_add(i / points)?;
        i %= points;
        out.insert(i as usize, char::from_u32(n)?);
        i += 1;
    }
    Some(out.into_iter().collect())
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
            |row| punycode(row.text(0)).into(),
        ),
        eval(
            "punycode_to_string",
            "(text: string) -> string",
            "The text behind Punycode.",
            ("punycode_to_string('bcher-kva')", "bücher"),
            |row| from_punycode(row.text(0)).into(),
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
                        Some(coded) => from_punycode(coded).unwrap_or_else(|| label.to_owned()),
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
                            false => punycode(label)
                                .map_or_else(|| label.to_owned(), |coded| format!("xn--{coded}")),
                        })
                        .collect();
                Value::from(labels.join("."))
            },
        ),
    ]
}
