//! Microsoft Graph: who may ask, and what.

use axum::http::Method;
use chrono::Utc;
use serde_json::json;

use super::entra::POWERLESS_CLIENT_ID;
use super::exchange::{Answer, Ask, Outcome};
use super::limits::{Limit, seconds};
use super::tokens::Denial;
use super::world::World;
use super::{hunting, reports};

const HUNTING: Limit = Limit::new("hunting", 45, 60);
const REPORTS: Limit = Limit::new("reports", 5, 10);

pub(crate) fn answer(world: &World, ask: &Ask) -> (String, Outcome) {
    let parts = ask.parts();
    let name = parts.last().copied().unwrap_or_default().to_owned();
    (name, route(world, ask, &parts))
}

fn route(world: &World, ask: &Ask, parts: &[&str]) -> Outcome {
    let client =
        world.tokens.check(ask.header("authorization"), &["https://graph.microsoft.com"]).map_err(denied)?;
    let allowed = |permission: &str| {
        if client == POWERLESS_CLIENT_ID { Err(missing(permission)) } else { Ok(()) }
    };
    match (ask.method.clone(), parts) {
        (Method::POST, ["v1.0", "security", "runHuntingQuery"]) => {
            allowed("ThreatHunting.Read.All")?;
            limit(world, HUNTING)?;
            hunting::run(world, ask)
        }
        (Method::GET, ["v1.0", "auditLogs", "signIns"]) => {
            allowed("AuditLog.Read.All")?;
            limit(world, REPORTS)?;
            reports::sign_ins(world, ask)
        }
        (Method::GET, ["v1.0", "auditLogs", "directoryAudits"]) => {
            allowed("AuditLog.Read.All")?;
            limit(world, REPORTS)?;
            reports::audits(world, ask)
        }
        (
            _,
            ["v1.0", "security", "runHuntingQuery"] | ["v1.0", "auditLogs", "signIns" | "directoryAudits"],
        ) => Err(error(405, "Request_BadRequest", "The HTTP method is not allowed on this resource.")),
        (_, ["v1.0", ..]) => {
            let last = parts.last().copied().unwrap_or_default();
            Err(error(400, "BadRequest", &format!("Resource not found for the segment '{last}'.")))
        }
        (_, [version, ..]) => Err(error(400, "BadRequest", &format!("Invalid version: {version}"))),
        _ => Err(error(404, "NotFound", "The resource could not be found.")),
    }
}

fn limit(world: &World, limit: Limit) -> Result<(), Answer> {
    world.limits.take(limit, "", 1).map_err(|wait| throttled(seconds(wait)))
}

fn denied(denial: Denial) -> Answer {
    let text = match denial {
        Denial::Missing => "Access token is empty.",
        Denial::Unknown => "IDX14100: JWT is not well formed, there are no dots (.).",
        Denial::Expired => "Lifetime validation failed, the token is expired.",
        Denial::Audience(_) => "Access token validation failure. Invalid audience.",
    };
    error(401, "InvalidAuthenticationToken", text).with(
        "www-authenticate",
        "Bearer realm=\"\", authorization_uri=\"https://login.microsoftonline.com/common/oauth2/authorize\"",
    )
}

fn missing(permission: &str) -> Answer {
    let text = format!("Missing application roles. API required roles: {permission}, application roles: .");
    error(403, "Forbidden", &text)
}

/// Graph's error.
pub(crate) fn error(status: u16, code: &str, message: &str) -> Answer {
    let id = uuid::Uuid::new_v4().to_string();
    Answer::json(
        status,
        &json!({ "error": { "code": code, "message": message, "innerError": {
            "date": Utc::now().format("%Y-%m-%dT%H:%M:%S").to_string(), "request-id": id, "client-request-id": id
        } } }),
    )
    .with("request-id", id)
}

pub(crate) fn throttled(wait: u64) -> Answer {
    error(429, "TooManyRequests", "Too many requests. Please try again later.").with("retry-after", wait)
}

pub(crate) fn server_error(status: u16) -> Answer {
    match status {
        502 => super::arm::gateway_page(502),
        503 => error(503, "serviceNotAvailable", "The service is temporarily unavailable.")
            .with("retry-after", 1),
        504 => error(504, "UnknownError", "Gateway timeout."),
        other => error(other, "InternalServerError", "An internal server error occurred."),
    }
}
