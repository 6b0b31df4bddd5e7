//! Tokens of pages: where to go on, and for which question.

use sha2::{Digest, Sha256};

/// A token that goes on at this place of the answer to that question.
pub(crate) fn token(place: usize, question: &str) -> String {
    format!("{place:x}x{}", mark(question))
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadToken {
    /// It never was one.
    Malformed,
    /// It belongs to another question.
    OtherQuestion,
}

/// Where the token goes on.
pub(crate) fn place(token: &str, question: &str) -> Result<usize, BadToken> {
    let (place, of) = token.split_once('x').ok_or(BadToken::Malformed)?;
    let place = usize::from_str_radix(place, 16).map_err(|_| BadToken::Malformed)?;
    if of == mark(question) { Ok(place) } else { Err(BadToken::OtherQuestion) }
}

fn mark(question: &str) -> String {
    hex(&Sha256::digest(question)[..12])
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        // A nibble always is a digit to the base of 16.
        .map(|nibble| char::from_digit(nibble.into(), 16).unwrap_or_default())
        .collect()
}
