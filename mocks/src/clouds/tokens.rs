//! Entra's tokens.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::world::lock;

/// Tokens that were issued.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    issued: Mutex<HashMap<String, Token>>,
}

#[derive(Debug, Clone)]
struct Token {
    audience: String,
    client: String,
    dies: Instant,
    /// How often it may still be shown, where it dies before its time.
    uses: Option<u32>,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Denial {
    Missing,
    Unknown,
    Expired,
    /// It is for this audience.
    Audience(String),
}

/// How long a token lasts by its own word.
pub(crate) const LIFETIME: Duration = Duration::from_secs(3_599);
/// How often a token can be shown where tokens die before their time.
const USES: u32 = 20;

impl Tokens {
    /// A new token, which looks like a JSON web token.
    pub(crate) fn issue(&self, tenant: &str, client: &str, audience: &str, short_lived: bool) -> String {
        let mut issued = lock(&self.issued);
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let number = issued.len();
        let token = format!(
            "{}.{}.{}",
            part(json!({ "typ": "JWT", "alg": "RS256" })),
            part(json!({ "aud": audience, "tid": tenant, "appid": client, "jti": number })),
            URL_SAFE_NO_PAD.encode(format!("mock-signature-{number}"))
        );
        let known = Token {
            audience: audience.to_owned(),
            client: client.to_owned(),
            dies: Instant::now() + LIFETIME,
            uses: short_lived.then_some(USES),
        };
        issued.insert(token.clone(), known);
        token
    }

    /// The client that the token was issued to, if it is good for one of these audiences.
    pub(crate) fn check(&self, authorization: Option<&str>, audiences: &[&str]) -> Result<String, Denial> {
        let token = authorization.and_then(|text| text.strip_prefix("Bearer ")).ok_or(Denial::Missing)?;
        let mut issued = lock(&self.issued);
        let known = issued.get_mut(token).ok_or(Denial::Unknown)?;
        if !audiences.contains(&known.audience.trim_end_matches('/')) {
            return Err(Denial::Audience(known.audience.clone()));
        }
        if known.dies <= Instant::now() || known.uses == Some(0) {
            return Err(Denial::Expired);
        }
        if let Some(uses) = &mut known.uses {
            *uses -= 1;
        }
        Ok(known.client.clone())
    }

    /// Ends every token at once.
    pub(crate) fn expire_all(&self) {
        for token in lock(&self.issued).values_mut() {
            token.dies = Instant::now();
        }
    }
}
