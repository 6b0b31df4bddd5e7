//! Entra's token endpoint.

use axum::http::Method;
use chrono::Utc;
use serde_json::json;

use super::exchange::{Answer, Ask, Outcome};
use super::tokens::LIFETIME;
use super::world::World;

/// The application that may read and write everything that Provost needs.
pub const CLIENT_ID: &str = "5f8a1c52-0d3e-4b6f-9a7c-2e1d4c3b5a69";
/// Its secret.
pub const CLIENT_SECRET: &str = "mock~Secret.For-Loopback_only";
/// An application that gets tokens but was granted nothing.
pub const POWERLESS_CLIENT_ID: &str = "9c2b7e14-6a5d-4f3c-8b1e-0a9d8c7b6f5e";

/// What tokens can be asked for.
const RESOURCES: [&str; 5] = [
    "https://graph.microsoft.com",
    "https://management.azure.com",
    "https://management.core.windows.net",
    "https://monitor.azure.com",
    "https://api.loganalytics.io",
];

pub(crate) fn answer(world: &World, ask: &Ask) -> (String, Outcome) {
    ("token".to_owned(), token(world, ask))
}

fn token(world: &World, ask: &Ask) -> Outcome {
    let [tenant, "oauth2", "v2.0", "token"] = ask.parts()[..] else {
        return Err(Answer::text(404, "text/html", "<html><body>404</body></html>"));
    };
    if ask.method != Method::POST {
        return Err(error(400, "invalid_request", 900_561, "The endpoint only accepts POST requests."));
    }
    let known = &world.scenario.tenant().id;
    if tenant != known && tenant != crate::scenario::DOMAIN {
        let text = format!("Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID.");
        return Err(error(400, "invalid_request", 90_002, &text));
    }
    let form = ask.form();
    let field = |name: &str| {
        let value = form.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        value.filter(|value| !value.is_empty()).ok_or_else(|| {
            let text = format!("The request body must contain the following parameter: '{name}'.");
            error(400, "invalid_request", 900_144, &text)
        })
    };
    let grant = field("grant_type")?;
    if grant != "client_credentials" {
        let text = format!("The app requested an unsupported grant type '{grant}'.");
        return Err(error(400, "unsupported_grant_type", 70_003, &text));
    }
    let client = field("client_id")?;
    let scope = field("scope")?;
    if client != CLIENT_ID && client != POWERLESS_CLIENT_ID {
        let text =
            format!("Application with identifier '{client}' was not found in the directory '{known}'.");
        return Err(error(400, "unauthorized_client", 700_016, &text));
    }
    let Some(resource) = scope.strip_suffix("/.default") else {
        let text = format!(
            "The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid."
        );
        return Err(error(400, "invalid_scope", 70_011, &text));
    };
    if !RESOURCES.contains(&resource.trim_end_matches('/')) {
        let text =
            format!("The resource principal named {resource} was not found in the tenant named Northwind.");
        return Err(error(400, "invalid_resource", 500_011, &text));
    }
    let secret = field("client_secret").map_err(|_| {
        let text =
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
        error(401, "invalid_client", 7_000_218, text)
    })?;
    if secret != CLIENT_SECRET {
        let text = format!(
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{client}'."
        );
        return Err(error(401, "invalid_client", 7_000_215, &text));
    }
    let token = world.tokens.issue(known, client, resource, world.faults().expiring_tokens);
    let seconds = LIFETIME.as_secs();
    Ok(Answer::json(
        200,
        &json!({ "token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token }),
    )
    .with("cache-control", "no-store, no-cache"))
}

fn error(status: u16, name: &str, code: u32, text: &str) -> Answer {
    let trace = uuid::Uuid::new_v4().to_string();
    let now = Utc::now().format("%Y-%m-%d %H:%M:%SZ").to_string();
    let description =
        format!("AADSTS{code}: {text} Trace ID: {trace} Correlation ID: {trace} Timestamp: {now}");
    Answer::json(
        status,
        &json!({
            "error": name, "error_description": description, "error_codes": [code], "timestamp": now,
            "trace_id": trace, "correlation_id": trace,
            "error_uri": format!("https://login.microsoftonline.com/error?code={code}")
        }),
    )
}

pub(crate) fn throttled() -> Answer {
    error(429, "temporarily_unavailable", 90_055, "The request was throttled.").with("retry-after", 1)
}

pub(crate) fn server_error(status: u16) -> Answer {
    error(status, "temporarily_unavailable", 90_033, "A transient error has occurred. Please try again.")
}
