//! Azure Resource Manager: who may ask, and what.

use axum::http::Method;
use serde_json::{Map, Value, json};

use super::entra::POWERLESS_CLIENT_ID;
use super::exchange::{Answer, Ask, Outcome};
use super::limits::{Limit, seconds};
use super::tokens::Denial;
use super::world::World;
use super::{activity_log, cost_query, incidents};

/// The resource group of the Sentinel workspace.
pub const RESOURCE_GROUP: &str = "rg-security";
/// The name of the Sentinel workspace.
pub const WORKSPACE: &str = "northwind-sentinel";

const AUDIENCES: [&str; 2] = ["https://management.azure.com", "https://management.core.windows.net"];
const READS: Limit = Limit::new("arm reads", 250, 10);
const WRITES: Limit = Limit::new("arm writes", 200, 20);

pub(crate) fn answer(world: &World, ask: &Ask) -> (String, Outcome) {
    let parts = ask.parts();
    let subscription = if parts.first() == Some(&"subscriptions") { parts.get(1).copied() } else { None };
    let kind = match &parts[..] {
        [.., "eventtypes", "management", "values"] => "activity",
        [.., "Microsoft.CostManagement", "query"] => "costQuery",
        [.., "incidents"] => "incidents",
        [.., "incidents", _] => "incident",
        [.., "comments"] => "comments",
        [.., "comments", _] => "comment",
        _ => "unknown",
    };
    (format!("{} {kind} {}", ask.method, subscription.unwrap_or("-")), route(world, ask, &parts))
}

fn route(world: &World, ask: &Ask, parts: &[&str]) -> Outcome {
    let client = world.tokens.check(ask.header("authorization"), &AUDIENCES).map_err(denied)?;
    let ["subscriptions", subscription, rest @ ..] = parts else {
        return Err(not_found(ask));
    };
    let known = world
        .scenario
        .tenant()
        .subscriptions
        .iter()
        .find(|known| known.id.eq_ignore_ascii_case(subscription));
    let Some(known) = known else {
        let text = format!("The subscription '{subscription}' could not be found.");
        return Err(error(404, "SubscriptionNotFound", &text));
    };
    let allowed = |action: &str| {
        if client != POWERLESS_CLIENT_ID {
            return Ok(());
        }
        let text = format!(
            "The client '{client}' with object id '{client}' does not have authorization to perform action '{action}' \
             over scope '{}' or the scope is invalid. If access was recently granted, please refresh your credentials.",
            ask.raw_path
        );
        Err(error(403, "AuthorizationFailed", &text))
    };
    let limit = if ask.method == Method::GET || ask.method == Method::POST { READS } else { WRITES };
    world.limits.take(limit, subscription, 1).map_err(|wait| throttled(seconds(wait)))?;
    match (ask.method.clone(), rest) {
        (Method::GET, ["providers", provider, "eventtypes", "management", "values"])
            if provider.eq_ignore_ascii_case("Microsoft.Insights") =>
        {
            allowed("Microsoft.Insights/eventtypes/values/Read")?;
            version(ask, &["2015-04-01"])?;
            activity_log::list(world, ask, &known.id)
        }
        (Method::POST, ["providers", "Microsoft.CostManagement", "query"]) => {
            allowed("Microsoft.CostManagement/query/action")?;
            version(ask, &["2023-11-01", "2024-08-01", "2025-03-01"])?;
            cost_query::run(world, ask, &known.id)
        }
        (
            _,
            [
                "resourceGroups",
                group,
                "providers",
                "Microsoft.OperationalInsights",
                "workspaces",
                workspace,
                "providers",
                "Microsoft.SecurityInsights",
                rest @ ..,
            ],
        ) => {
            let action = if ask.method == Method::GET { "read" } else { "write" };
            allowed(&format!("Microsoft.SecurityInsights/incidents/{action}"))?;
            version(ask, &["2024-03-01", "2024-09-01", "2025-03-01", "2025-06-01", "2025-09-01"])?;
            if !group.eq_ignore_ascii_case(RESOURCE_GROUP)
                || known.id != world.scenario.tenant().subscriptions[0].id
            {
                let text = format!("Resource group '{group}' could not be found.");
                return Err(error(404, "ResourceGroupNotFound", &text));
            }
            if !workspace.eq_ignore_ascii_case(WORKSPACE) {
                let text = format!(
                    "The Resource 'Microsoft.OperationalInsights/workspaces/{workspace}' under resource group '{group}' was not found."
                );
                return Err(error(404, "ResourceNotFound", &text));
            }
            incidents::route(world, ask, rest)
        }
        _ => Err(not_found(ask)),
    }
}

fn version(ask: &Ask, supported: &[&str]) -> Result<(), Answer> {
    match ask.query("api-version") {
        None => {
            let text = "The api-version query parameter (?api-version=) is required for all requests.";
            Err(error(400, "MissingApiVersionParameter", text))
        }
        Some(version) if supported.contains(&version) => Ok(()),
        Some(version) => {
            let text = format!(
                "The api-version '{version}' is invalid. The supported versions are '{}'.",
                supported.join(",")
            );
            Err(error(400, "InvalidApiVersionParameter", &text))
        }
    }
}

fn not_found(ask: &Ask) -> Answer {
    error(404, "InvalidResourceType", &format!("The resource '{}' could not be found.", ask.raw_path))
}

fn denied(denial: Denial) -> Answer {
    let (code, text) = match denial {
        Denial::Missing => (
            "AuthenticationFailed",
            "Authentication failed. The 'Authorization' header is missing.".to_owned(),
        ),
        Denial::Unknown => ("InvalidAuthenticationToken", "The access token is invalid.".to_owned()),
        Denial::Expired => (
            "ExpiredAuthenticationToken",
            "The access token expiry UTC time is earlier than current UTC time.".to_owned(),
        ),
        Denial::Audience(audience) => (
            "InvalidAuthenticationTokenAudience",
            format!(
                "The access token has been obtained for wrong audience or resource '{audience}'. It should exactly match \
                 with one of the allowed audiences 'https://management.core.windows.net/','https://management.azure.com/'."
            ),
        ),
    };
    error(401, code, &text)
        .with("www-authenticate", "Bearer authorization_uri=\"https://login.windows.net/\"")
}

/// Resource Manager's error.
pub(crate) fn error(status: u16, code: &str, message: &str) -> Answer {
    Answer::json(status, &json!({ "error": { "code": code, "message": message } }))
        .with("x-ms-request-id", uuid::Uuid::new_v4())
}

pub(crate) fn throttled(wait: u64) -> Answer {
    error(
        429,
        "TooManyRequests",
        "The request is being throttled as the limit has been reached for operation type.",
    )
    .with("retry-after", wait)
    .with("x-ms-ratelimit-remaining-subscription-reads", 0)
}

pub(crate) fn server_error(status: u16) -> Answer {
    match status {
        502 => gateway_page(502),
        503 => {
            error(503, "ServiceUnavailable", "The service is temporarily unavailable.").with("retry-after", 1)
        }
        504 => error(
            504,
            "GatewayTimeout",
            "The gateway did not receive a response within the specified time period.",
        ),
        other => error(other, "InternalServerError", "Encountered internal server error."),
    }
}

/// A gateway's own page: no JSON.
pub(crate) fn gateway_page(status: u16) -> Answer {
    Answer::text(
        status,
        "text/html",
        "<html><head><title>502 Bad Gateway</title></head><body><h2>Bad Gateway</h2></body></html>",
    )
}

/// Whether an object of a request has no other fields than these.
pub(crate) fn only(object: &Map<String, Value>, fields: &[&str], place: &str) -> Result<(), Answer> {
    match object.keys().find(|name| !fields.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let text = format!("Could not find member '{name}' on object of type '{place}'. Path '{name}'.");
            Err(error(400, "InvalidRequestContent", &text))
        }
    }
}
