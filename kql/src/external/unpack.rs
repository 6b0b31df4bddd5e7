//! Files that are packed, by their names: `.gz` and `.zip`.

use std::io::Read;

use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder};

use super::ExternalError;
use crate::binder::matches_wildcard;

/// How a gzip file begins.
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];

/// The last part of an address's path, without what follows it: keys and signatures.
pub(super) fn name(address: &str) -> &str {
    let path = address.split(['?', '#', ';']).next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}

/// The name of what is in a packed file; of any other the file's own.
pub(super) fn inner_name(address: &str) -> &str {
    let name = name(address);
    match name.rsplit_once('.') {
        Some((inner, "gz" | "zip")) => inner,
        _ => name,
    }
}

/// The file's content, unpacked if its name says that it is packed. Of a ZIP it is the first file in it, or with a pattern
/// (`*.csv`) all those that are called so.
pub(super) fn unpack(
    address: &str,
    bytes: Bytes,
    pattern: Option<&str>,
    limit: usize,
) -> Result<Vec<Bytes>, ExternalError> {
    let name = name(address);
    let wrong = |what: &str| ExternalError::new(format!("{name}: {what}"));
    match name.rsplit_once('.') {
        // Servers and clients may have unpacked it on the way.
        Some((_, "gz")) if bytes.starts_with(GZIP_MAGIC) => {
            Ok(vec![inflate(MultiGzDecoder::new(bytes.as_ref()), limit).map_err(|what| wrong(&what))?])
        }
        Some((_, "zip")) => {
            let entries = entries(&bytes).ok_or_else(|| wrong("this is no ZIP file"))?;
            let (mut contents, mut left) = (Vec::new(), limit);
            for entry in entries {
                let wanted = match pattern {
                    Some(pattern) => matches_wildcard(pattern, &entry.name),
                    None => contents.is_empty(),
                };
                if !wanted {
                    continue;
                }
                let content = match entry.method {
                    0 => inflate(entry.packed, left),
                    8 => inflate(DeflateDecoder::new(entry.packed), left),
                    other => Err(format!("its ZIP method {other} is not supported")),
                };
                let content = content.map_err(|what| wrong(&what))?;
                left -= content.len();
                contents.push(content);
            }
            match (contents.is_empty(), pattern) {
                (true, Some(pattern)) => Err(wrong(&format!("no file in it is called `{pattern}`"))),
                (true, None) => Err(wrong("there is no file in it")),
                (false, _) => Ok(contents),
            }
        }
        _ => Ok(vec![bytes]),
    }
}

fn inflate(reader: impl Read, limit: usize) -> Result<Bytes, String> {
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(most).read_to_end(&mut bytes).map_err(|error| format!("it cannot be unpacked: {error}"))?;
    if bytes.len() > limit {
        return Err(format!("it unpacks to more than {} MB", limit >> 20));
    }
    Ok(Bytes::from(bytes))
}

/// A file in a ZIP.
struct Entry<'z> {
    name: String,
    method: u16,
    packed: &'z [u8],
}

/// The files of a ZIP, as its directory has them (APPNOTE 6.3, 4.3.12).
fn entries(bytes: &[u8]) -> Option<Vec<Entry<'_>>> {
    let u16_at = |at: usize| {
        let field = bytes.get(at..at.checked_add(2)?)?;
        Some(u16::from_le_bytes(field.try_into().ok()?))
    };
    let u32_at = |at: usize| {
        let field = bytes.get(at..at.checked_add(4)?)?;
        usize::try_from(u32::from_le_bytes(field.try_into().ok()?)).ok()
    };
    let length_at = |at: usize| u16_at(at).map(usize::from);
    // The end of the directory: 22 bytes, and a comment of up to 64 KB.
    let tail = bytes.len().saturating_sub(22 + usize::from(u16::MAX));
    let end = tail + bytes[tail..].windows(4).rposition(|window| window == b"PK\x05\x06")?;
    let mut at = u32_at(end.checked_add(16)?)?;
    let mut found = Vec::new();
    for _ in 0..u16_at(end + 10)? {
        if bytes.get(at..at.checked_add(46)?)?.get(..4)? != b"PK\x01\x02" {
            return None;
        }
        let (size, local) = (u32_at(at + 20)?, u32_at(at + 42)?);
        if bytes.get(local..local.checked_add(30)?)?.get(..4)? != b"PK\x03\x04" {
            return None;
        }
        let start = local + 30 + length_at(local + 26)? + length_at(local + 28)?;
        let name_end = at + 46 + length_at(at + 28)?;
        found.push(Entry {
            name: String::from_utf8_lossy(bytes.get(at + 46..name_end)?).into_owned(),
            method: u16_at(at + 10)?,
            packed: bytes.get(start..start.checked_add(size)?)?,
        });
        at = name_end + length_at(at + 30)? + length_at(at + 32)?;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf 'a,b\n' > n.csv && zip -X n.zip n.csv`, which stores what is too small to be packed.
    const ZIP: &[u8] =
        b"PK\x03\x04\n\0\0\0\0\0\0\0!\0\xba\x9d\x8f\x1f\x04\0\0\0\x04\0\0\0\x05\0\0\0n.csva,b\n\
        PK\x01\x02\x1e\x03\n\0\0\0\0\0\0\0!\0\xba\x9d\x8f\x1f\x04\0\0\0\x04\0\0\0\x05\0\0\0\0\0\0\0\0\0\0\0\
        \xa4\x81\0\0\0\0n.csvPK\x05\x06\0\0\0\0\x01\0\x01\x003\0\0\0'\0\0\0\0\0";

    #[test]
    fn what_is_packed_is_told_by_its_name() {
        assert_eq!(inner_name("https://h.example/lists/n.csv.zip?sig=x.tsv"), "n.csv");
        assert_eq!(inner_name("https://h.example/n.json.gz;key"), "n.json");
        assert_eq!(inner_name("https://h.example/n.txt#part"), "n.txt");
        assert_eq!(
            unpack("https://h.example/n.csv.zip", Bytes::from(ZIP), None, 10),
            Ok(vec![Bytes::from("a,b\n")])
        );
        assert_eq!(unpack("https://h.example/n.csv", Bytes::from(ZIP), None, 10), Ok(vec![Bytes::from(ZIP)]));
        assert_eq!(
            unpack("https://h.example/n.csv.gz", Bytes::from("a,b"), None, 10),
            Ok(vec![Bytes::from("a,b")])
        );
    }

    #[test]
    fn what_unpacks_to_too_much_is_refused() {
        let error = unpack("https://h.example/n.csv.zip", Bytes::from(ZIP), None, 3);
        assert_eq!(error, Err(ExternalError::new("n.csv.zip: it unpacks to more than 0 MB")));
    }

    #[test]
    fn files_of_a_zip_are_chosen_by_their_names() {
        let of = |pattern| unpack("https://h.example/n.zip", Bytes::from(ZIP), Some(pattern), 10);
        assert_eq!(of("*.csv"), Ok(vec![Bytes::from("a,b\n")]));
        assert_eq!(of("*.json"), Err(ExternalError::new("n.zip: no file in it is called `*.json`")));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_are_too_odd(mut bytes: Vec<u8>, at in 0_usize..120, byte: u8) {
            let mut broken = ZIP.to_vec();
            if let Some(old) = broken.get_mut(at) {
                *old = byte;
            }
            bytes.extend(&broken);
            let _ = unpack("n.zip", Bytes::from(broken), None, 1000);
            let _ = unpack("n.zip", Bytes::from(bytes.clone()), Some("*"), 1000);
            let _ = unpack("n.gz", Bytes::from(bytes), None, 1000);
        }
    }
}
