//! Signature Version 4: really checked, against the secret of the key.

use std::collections::BTreeMap;

use chrono::{NaiveDateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};

use super::exchange::Ask;
use super::pages::hex;

/// What a signature says about the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) key: String,
    pub(crate) date: String,
    pub(crate) region: String,
    pub(crate) service: String,
    signed_headers: Vec<String>,
    signature: String,
}

/// What is wrong with a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Flaw {
    Missing,
    Incomplete(String),
    /// Made too long ago, or by a clock that is wrong.
    Stale(String),
    Mismatch,
}

impl Scope {
    /// Reads the `Authorization` header.
    pub(crate) fn of(ask: &Ask) -> Result<Self, Flaw> {
        let header = ask.header("authorization").ok_or(Flaw::Missing)?;
        let incomplete = || Flaw::Incomplete(header.chars().take(80).collect());
        let rest = header.strip_prefix("AWS4-HMAC-SHA256").ok_or_else(incomplete)?;
        let parts: BTreeMap<&str, &str> =
            rest.split(',').filter_map(|part| part.trim().split_once('=')).collect();
        let part = |name: &str| parts.get(name).copied().ok_or_else(incomplete);
        let [key, date, region, service, "aws4_request"] =
            part("Credential")?.split('/').collect::<Vec<_>>()[..]
        else {
            return Err(incomplete());
        };
        Ok(Self {
            key: key.to_owned(),
            date: date.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            signed_headers: part("SignedHeaders")?.split(';').map(str::to_owned).collect(),
            signature: part("Signature")?.to_owned(),
        })
    }

    /// Whether the request is signed with this secret, and now.
    pub(crate) fn verify(&self, ask: &Ask, secret: &str) -> Result<(), Flaw> {
        let time = ask.header("x-amz-date").ok_or(Flaw::Missing)?;
        let made = NaiveDateTime::parse_from_str(time, "%Y%m%dT%H%M%SZ")
            .map_err(|_| Flaw::Incomplete(time.to_owned()))?
            .and_utc();
        if (Utc::now() - made).abs() > TimeDelta::minutes(15) || !time.starts_with(&self.date) {
            return Err(Flaw::Stale(time.to_owned()));
        }
        // A header that matters and is not signed could have been changed on the way.
        let must_sign = ["host", "x-amz-date", "x-amz-security-token"];
        let unsigned = must_sign.into_iter().any(|name| {
            ask.headers.contains_key(name) && !self.signed_headers.iter().any(|signed| signed == name)
        });
        if unsigned {
            return Err(Flaw::Mismatch);
        }
        let scope = format!("{}/{}/{}/aws4_request", self.date, self.region, self.service);
        let canonical = hex(&Sha256::digest(self.canonical(ask)));
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{canonical}");
        let key = [self.date.as_str(), &self.region, &self.service, "aws4_request"]
            .iter()
            .fold(format!("AWS4{secret}").into_bytes(), |key, part| hmac(&key, part.as_bytes()).to_vec());
        if hex(&hmac(&key, to_sign.as_bytes())) == self.signature { Ok(()) } else { Err(Flaw::Mismatch) }
    }

    fn canonical(&self, ask: &Ask) -> String {
        let mut query: Vec<&str> = ask.raw_query.split('&').filter(|pair| !pair.is_empty()).collect();
        query.sort_unstable();
        let headers: String = self
            .signed_headers
            .iter()
            .map(|name| {
                let values: Vec<String> = ask
                    .headers
                    .get_all(name)
                    .iter()
                    .filter_map(|value| value.to_str().ok())
                    .map(|value| value.split_whitespace().collect::<Vec<_>>().join(" "))
                    .collect();
                format!("{name}:{}\n", values.join(","))
            })
            .collect();
        format!(
            "{}\n{}\n{}\n{headers}\n{}\n{}",
            ask.method,
            ask.raw_path,
            query.join("&"),
            self.signed_headers.join(";"),
            hex(&Sha256::digest(&ask.body))
        )
    }
}

/// HMAC with SHA-256 (RFC 2104).
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_gives_what_rfc_4231_says() {
        assert_eq!(
            hex(&hmac(b"Jefe", b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hex(&hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }
}
