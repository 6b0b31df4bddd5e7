//! Identities that are the same on every run.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The identity of a row: equal for the same event however often and by whichever way it arrives.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(String);

impl EventId {
    /// The id that the source itself gives, where it is unique.
    pub fn native(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// An id made of the fields that make an event unique. `["a", "bc"]` and `["ab", "c"]` differ.
    pub fn of(parts: &[&str]) -> Self {
        Self(digest(parts))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

/// A UUID that follows from the parts (RFC 9562, version 5), for ids that another system dedupes on.
pub fn stable_uuid(parts: &[&str]) -> Uuid {
    const NAMESPACE: Uuid = Uuid::from_u128(0x6f1c_2a64_3e0b_5d8e_9a41_70c5_81d2_4b37);
    Uuid::new_v5(&NAMESPACE, digest(parts).as_bytes())
}

fn digest(parts: &[&str]) -> String {
    use std::fmt::Write;

    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().iter().take(16).fold(String::with_capacity(32), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_depend_on_where_one_part_ends() {
        assert_eq!(EventId::of(&["a", "b"]), EventId::of(&["a", "b"]));
        assert_ne!(EventId::of(&["a", "bc"]), EventId::of(&["ab", "c"]));
        assert_eq!(stable_uuid(&["x"]), stable_uuid(&["x"]));
        assert_eq!(stable_uuid(&["x"]).get_version_num(), 5);
    }
}
