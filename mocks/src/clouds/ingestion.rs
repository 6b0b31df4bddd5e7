//! The Logs Ingestion API.

use std::io::Read;

use axum::http::Method;
use flate2::read::GzDecoder;
use serde_json::{Map, Value, json};

use super::entra::POWERLESS_CLIENT_ID;
use super::exchange::{Answer, Ask, Outcome};
use super::limits::{Limit, seconds};
use super::tokens::Denial;
use super::world::{World, lock};

/// The immutable id of the data collection rule.
pub const RULE_ID: &str = "dcr-0f1e2d3c4b5a69788796a5b4c3d2e1f0";

const REQUESTS: Limit = Limit::new("ingestion", 12_000, 60);
/// The most that a call may hold, packed or not.
const MOST: u64 = 1_048_576;
/// Longer texts are cut.
const LONGEST_FIELD: usize = 65_536;

pub(crate) fn answer(world: &World, ask: &Ask) -> (String, Outcome) {
    (ask.path.last().cloned().unwrap_or_default(), take(world, ask))
}

fn take(world: &World, ask: &Ask) -> Outcome {
    let client =
        world.tokens.check(ask.header("authorization"), &["https://monitor.azure.com"]).map_err(denied)?;
    let parts = ask.parts();
    let ["dataCollectionRules", rule, "streams", stream] = parts[..] else {
        return Err(error(404, "NotFound", "The requested resource was not found."));
    };
    if ask.method != Method::POST {
        return Err(error(405, "MethodNotAllowed", "The method is not allowed."));
    }
    match ask.query("api-version") {
        Some("2023-01-01" | "2021-11-01-preview") => {}
        other => {
            let text = format!("The api-version '{}' is not supported.", other.unwrap_or_default());
            return Err(error(400, "UnsupportedApiVersion", &text));
        }
    }
    if client == POWERLESS_CLIENT_ID {
        let text = "The authentication token provided does not have access to ingest data for the data collection rule with immutable Id.";
        return Err(error(403, "OperationFailed", text));
    }
    if rule != RULE_ID {
        let text = format!("Data collection rule with immutable Id '{rule}' not found.");
        return Err(error(404, "NotFound", &text));
    }
    world.limits.take(REQUESTS, rule, 1).map_err(|wait| throttled(seconds(wait)))?;
    let Some(known) = world.streams.iter().find(|known| known.name == stream) else {
        let text = format!("The stream {stream} was not configured in the Data collection rule.");
        return Err(error(404, "InvalidStream", &text));
    };
    if !ask.header("content-type").is_some_and(|kind| kind.starts_with("application/json")) {
        return Err(error(415, "UnsupportedMediaType", "The content type must be application/json."));
    }
    let body = unpacked(ask)?;
    let rows: Vec<Map<String, Value>> = match serde_json::from_slice::<Value>(&body) {
        Ok(Value::Array(rows)) => rows
            .into_iter()
            .map(|row| match row {
                Value::Object(row) => Ok(row),
                _ => Err(error(400, "InvalidPayload", "The payload must be an array of JSON objects.")),
            })
            .collect::<Result<_, _>>()?,
        Ok(_) => return Err(error(400, "InvalidPayload", "The payload must be an array of JSON objects.")),
        Err(problem) => {
            return Err(error(400, "InvalidPayload", &format!("The payload is not valid JSON: {problem}")));
        }
    };
    let mut workspace = lock(&world.workspace);
    for row in rows {
        let mut kept = Map::new();
        for (column, mut value) in row {
            if !known.columns.contains(&column) {
                *workspace.dropped_columns.entry(format!("{stream}/{column}")).or_default() += 1;
                continue;
            }
            if let Value::String(text) = &mut value {
                let end = text.floor_char_boundary(LONGEST_FIELD);
                text.truncate(end);
            }
            kept.insert(column, value);
        }
        workspace.rows.entry(stream.to_owned()).or_default().push(kept);
    }
    Ok(Answer::empty(204))
}

fn unpacked(ask: &Ask) -> Result<Vec<u8>, Answer> {
    let too_large =
        || error(413, "ContentLengthLimitExceeded", "Maximum allowed content length: 1048576 bytes (1 MB).");
    if ask.body.len() as u64 > MOST {
        return Err(too_large());
    }
    let body = match ask.header("content-encoding") {
        None | Some("identity") => ask.body.to_vec(),
        Some("gzip") => {
            let mut body = Vec::new();
            GzDecoder::new(&ask.body[..]).take(MOST + 1).read_to_end(&mut body).map_err(|problem| {
                error(400, "InvalidPayload", &format!("The payload is not valid gzip: {problem}"))
            })?;
            body
        }
        Some(other) => {
            return Err(error(
                415,
                "UnsupportedMediaType",
                &format!("The encoding '{other}' is not supported."),
            ));
        }
    };
    if body.len() as u64 > MOST { Err(too_large()) } else { Ok(body) }
}

fn denied(denial: Denial) -> Answer {
    match denial {
        Denial::Missing => error(401, "MissingAuthorization", "The authorization header is missing."),
        Denial::Unknown => error(401, "InvalidToken", "The authentication token is invalid."),
        Denial::Expired => error(401, "ExpiredToken", "The authentication token has expired."),
        Denial::Audience(audience) => {
            let text = format!(
                "The audience '{audience}' of the authentication token is invalid; expected 'https://monitor.azure.com'."
            );
            error(403, "InvalidTokenAudience", &text)
        }
    }
}

/// The error of ingestion, whose code is in a header too.
fn error(status: u16, code: &str, message: &str) -> Answer {
    Answer::json(status, &json!({ "error": { "code": code, "message": message } }))
        .with("x-ms-error-code", code)
}

pub(crate) fn throttled(wait: u64) -> Answer {
    error(429, "TooManyRequests", "The request rate for the data collection rule was exceeded.")
        .with("retry-after", wait)
}

pub(crate) fn server_error(status: u16) -> Answer {
    match status {
        502 => super::arm::gateway_page(502),
        503 => error(503, "ServiceUnavailable", "The service is unavailable.").with("retry-after", 1),
        other => error(other, "InternalServerError", "An internal error occurred."),
    }
}
