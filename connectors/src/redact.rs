//! Keeping secrets out of texts that people read.

use url::Url;

/// What stands in a secret's place.
const MASK: &str = "***";

/// Words before a secret, in the errors and forms of the clouds.
const MARKS: &[&str] = &[
    "access_token\":\"",
    "bearer ",
    "client_assertion=",
    "client_secret=",
    "password=",
    "secretaccesskey>",
    "sessiontoken>",
    "sig=",
    "signature=",
    "x-amz-security-token:",
    "x-amz-security-token=",
];

/// The text without what looks like a token, and without these secrets.
pub(crate) fn text(text: &str, secrets: &[&str]) -> String {
    let mut clean = text.to_owned();
    for secret in secrets.iter().filter(|secret| secret.len() >= 4) {
        clean = clean.replace(secret, MASK);
    }
    for mark in MARKS {
        clean = mask_after(&clean, mark);
    }
    mask_tokens(&clean)
}

/// Scheme, host and path: what comes behind may hold tokens or the values of a filter.
pub(crate) fn url(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

fn mask_after(text: &str, mark: &str) -> String {
    // ASCII lower case keeps every byte in its place.
    let lower = text.to_ascii_lowercase();
    let mut clean = String::with_capacity(text.len());
    let mut from = 0;
    while let Some(found) = lower[from..].find(mark) {
        let secret = from + found + mark.len();
        let length = text[secret..].find(ends_secret).unwrap_or(text.len() - secret);
        clean.push_str(&text[from..secret]);
        clean.push_str(MASK);
        from = secret + length;
    }
    clean.push_str(&text[from..]);
    clean
}

fn ends_secret(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '&' | ',' | ';' | '<' | '\\')
}

/// JSON web tokens, wherever they stand: `eyJ…` is what a JSON object begins with in base64.
fn mask_tokens(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("eyJ") {
        let token = &rest[start..];
        let end = token
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
            .unwrap_or(token.len());
        clean.push_str(&rest[..start]);
        clean.push_str(if end >= 20 { MASK } else { &token[..end] });
        rest = &token[end..];
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_left_in_a_text() {
        for (dirty, clean) in [
            ("Authorization: Bearer abc.def rest", "Authorization: Bearer *** rest"),
            ("client_id=a&client_secret=s3cret&x=1", "client_id=a&client_secret=***&x=1"),
            ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.c2ln was refused", "token *** was refused"),
            ("eyJ is short", "eyJ is short"),
            ("x-amz-security-token:FwoGZXIvYXdz/==\nhost", "x-amz-security-token:***\nhost"),
            ("the key hunter2 is wrong", "the key *** is wrong"),
            ("prix élevé, Bearer éé", "prix élevé, Bearer ***"),
        ] {
            assert_eq!(text(dirty, &["hunter2", ""]), clean);
        }
    }

    #[test]
    fn a_url_is_shown_without_its_query_and_password() {
        let shown: Url = "https://u:p@h.example:8443/a/b?$skiptoken=x#f".parse().expect("a URL");
        assert_eq!(url(&shown), "https://h.example:8443/a/b");
    }
}
