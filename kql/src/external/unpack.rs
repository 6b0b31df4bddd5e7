//! Files that are packed, by their names: `.gz` and `.zip`.

use std::io::Read;

use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder};

use super::ExternalError;

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

/// The file's content: unpacked, if its name says that it is packed.
pub(super) fn unpack(address: &str, bytes: Bytes, limit: usize) -> Result<Bytes, ExternalError> {
    let name = name(address);
    let wrong = |what: &str| ExternalError::new(format!("{name}: {what}"));
    match name.rsplit_once('.') {
        // Servers and clients may have unpacked it on the way.
        Some((_, "gz")) if bytes.starts_with(GZIP_MAGIC) => {
            inflate(MultiGzDecoder::new(bytes.as_ref()), limit).map_err(|what| wrong(&what))
        }
        Some((_, "zip")) => {
            let (method, packed) = first_entry(&bytes).ok_or_else(|| wrong("this is no ZIP file"))?;
            match method {
                0 => inflate(packed, limit),
                8 => inflate(DeflateDecoder::new(packed), limit),
                other => Err(format!("its ZIP method {other} is not supported")),
            }
            .map_err(|what| wrong(&what))
        }
        _ => Ok(bytes),
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

/// The method and the packed bytes of the first file of a ZIP, as its directory has them.
fn first_entry(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let u16_at = |at: usize| {
        let field = bytes.get(at..at.checked_add(2)?)?;
        Some(u16::from_le_bytes(field.try_into().ok()?))
    };
    let u32_at = |at: usize| {
        let field = bytes.get(at..at.checked_add(4)?)?;
        usize::try_from(u32::from_le_bytes(field.try_into().ok()?)).ok()
    };
    // The end of the directory: 22 bytes, and a comment of up to 64 KB.
    let tail = bytes.len().saturating_sub(22 + usize::from(u16::MAX));
    let end = tail + bytes[tail..].windows(4).rposition(|window| window == b"PK\x05\x06")?;
    let entry = u32_at(end + 16)?;
    if bytes.get(entry..entry.checked_add(4)?)? != b"PK\x01\x02" {
        return None;
    }
    let method = u16_at(entry + 10)?;
    let size = u32_at(entry + 20)?;
    let local = u32_at(entry + 42)?;
    if bytes.get(local..local.checked_add(4)?)? != b"PK\x03\x04" {
        return None;
    }
    let name_and_extra = usize::from(u16_at(local + 26)?) + usize::from(u16_at(local + 28)?);
    let start = local.checked_add(30 + name_and_extra)?;
    Some((method, bytes.get(start..start.checked_add(size)?)?))
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
        assert_eq!(unpack("https://h.example/n.csv.zip", Bytes::from(ZIP), 10), Ok(Bytes::from("a,b\n")));
        assert_eq!(unpack("https://h.example/n.csv", Bytes::from(ZIP), 10), Ok(Bytes::from(ZIP)));
        assert_eq!(unpack("https://h.example/n.csv.gz", Bytes::from("a,b"), 10), Ok(Bytes::from("a,b")));
    }

    #[test]
    fn what_unpacks_to_too_much_is_refused() {
        let error = unpack("https://h.example/n.csv.zip", Bytes::from(ZIP), 3);
        assert_eq!(error, Err(ExternalError::new("n.csv.zip: it unpacks to more than 0 MB")));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_are_too_odd(mut bytes: Vec<u8>, at in 0_usize..120, byte: u8) {
            let mut broken = ZIP.to_vec();
            if let Some(old) = broken.get_mut(at) {
                *old = byte;
            }
            bytes.extend(&broken);
            let _ = unpack("n.zip", Bytes::from(broken), 1000);
            let _ = unpack("n.zip", Bytes::from(bytes.clone()), 1000);
            let _ = unpack("n.gz", Bytes::from(bytes), 1000);
        }
    }
}
