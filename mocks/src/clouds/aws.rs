//! AWS behind one address: the signature names service and region.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::http::Method;
use serde_json::{Value, json};

use super::exchange::{Answer, Ask, Outcome};
use super::sigv4::{Flaw, Scope};
use super::world::{World, lock};
use super::{cost_explorer, lookup, sts};

/// The key of the user that may assume the readers' roles.
pub const ACCESS_KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
/// Its secret.
pub const SECRET_ACCESS_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
/// A key that may do nothing but ask who it is; its secret is the same.
pub const POWERLESS_ACCESS_KEY_ID: &str = "AKIAI44QH8DHBEXAMPLE";

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    pub(crate) account: String,
    pub(crate) arn: String,
    pub(crate) powerless: bool,
}

/// Sessions that were handed out.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    by_key: Mutex<HashMap<String, Session>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) secret: String,
    pub(crate) token: String,
    pub(crate) principal: Principal,
    pub(crate) dies: Instant,
    /// How often it may still be used, where sessions die before their time.
    pub(crate) uses: Option<u32>,
}

impl Sessions {
    pub(crate) fn add(&self, key: String, session: Session) {
        lock(&self.by_key).insert(key, session);
    }

    pub(crate) fn count(&self) -> usize {
        lock(&self.by_key).len()
    }

    /// Ends every session at once.
    pub(crate) fn expire_all(&self) {
        for session in lock(&self.by_key).values_mut() {
            session.dies = Instant::now();
        }
    }

    fn get(&self, key: &str) -> Option<Session> {
        lock(&self.by_key).get(key).cloned()
    }

    fn use_up(&self, key: &str) {
        if let Some(Session { uses: Some(uses), .. }) = lock(&self.by_key).get_mut(key) {
            *uses = uses.saturating_sub(1);
        }
    }
}

/// The dialect of an AWS service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// JSON 1.1: the error's name in `__type`, all with status 400.
    Json,
    /// Form and XML.
    Query,
}

pub(crate) fn dialect(ask: &Ask) -> Dialect {
    if ask.headers.contains_key("x-amz-target") { Dialect::Json } else { Dialect::Query }
}

/// The service by its signature's scope, before the signature is checked: for the log and for faults.
pub(crate) fn service(ask: &Ask) -> &'static str {
    match Scope::of(ask).as_ref().map(|scope| scope.service.as_str()) {
        Ok("cloudtrail") => "cloudtrail",
        Ok("sts") => "sts",
        Ok("ce") => "ce",
        _ => "aws",
    }
}

pub(crate) fn answer(world: &World, ask: &Ask) -> (String, Outcome) {
    let operation = match ask.header("x-amz-target") {
        Some(target) => target.rsplit('.').next().unwrap_or_default().to_owned(),
        None => ask
            .form()
            .into_iter()
            .find(|(name, _)| name == "Action")
            .map(|(_, action)| action)
            .unwrap_or_default(),
    };
    let (whose, outcome) = route(world, ask);
    (format!("{operation} {whose}").trim_end().to_owned(), outcome)
}

fn route(world: &World, ask: &Ask) -> (String, Outcome) {
    let (scope, principal) = match authenticate(world, ask) {
        Ok(known) => known,
        Err(answer) => return (String::new(), Err(answer)),
    };
    let whose = format!("{}/{}", principal.account, scope.region);
    let outcome = match (ask.method.clone(), scope.service.as_str()) {
        (Method::POST, "sts") => sts::answer(world, ask, &principal),
        (Method::POST, "cloudtrail") => lookup::answer(world, ask, &principal, &scope.region),
        (Method::POST, "ce") => cost_explorer::answer(world, ask, &principal, &scope.region),
        _ => Err(error(ask, 400, "UnknownOperationException", "The operation is not known.")),
    };
    (whose, outcome)
}

fn authenticate(world: &World, ask: &Ask) -> Result<(Scope, Principal), Answer> {
    let query = dialect(ask) == Dialect::Query;
    let refuse = |flaw: Flaw| match flaw {
        Flaw::Missing if query => {
            error(ask, 403, "MissingAuthenticationToken", "Request is missing Authentication Token")
        }
        Flaw::Missing => {
            error(ask, 400, "MissingAuthenticationTokenException", "Missing Authentication Token")
        }
        Flaw::Incomplete(text) => {
            let text = format!("Authorization header requires 'Credential' parameter. Authorization={text}");
            error(ask, 400, if query { "IncompleteSignature" } else { "IncompleteSignatureException" }, &text)
        }
        Flaw::Stale(time) => {
            let text =
                format!("Signature expired: {time} is now earlier than the current time minus 15 min.");
            error(
                ask,
                if query { 403 } else { 400 },
                if query { "SignatureDoesNotMatch" } else { "InvalidSignatureException" },
                &text,
            )
        }
        Flaw::Mismatch => error(
            ask,
            if query { 403 } else { 400 },
            if query { "SignatureDoesNotMatch" } else { "InvalidSignatureException" },
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
        ),
    };
    let unknown = || {
        let text = "The security token included in the request is invalid.";
        if query {
            error(ask, 403, "InvalidClientTokenId", text)
        } else {
            error(ask, 400, "UnrecognizedClientException", text)
        }
    };
    let scope = Scope::of(ask).map_err(refuse)?;
    let payer = &world.scenario.tenant().accounts[0].id;
    let token = ask.header("x-amz-security-token");
    if scope.key == ACCESS_KEY_ID || scope.key == POWERLESS_ACCESS_KEY_ID {
        if token.is_some() {
            return Err(unknown());
        }
        scope.verify(ask, SECRET_ACCESS_KEY).map_err(refuse)?;
        let powerless = scope.key == POWERLESS_ACCESS_KEY_ID;
        let user = if powerless { "nobody" } else { "provost" };
        let arn = format!("arn:aws:iam::{payer}:user/{user}");
        return Ok((scope, Principal { account: payer.clone(), arn, powerless }));
    }
    let session = world.sessions.get(&scope.key).ok_or_else(unknown)?;
    if token != Some(session.token.as_str()) {
        return Err(unknown());
    }
    scope.verify(ask, &session.secret).map_err(refuse)?;
    if session.dies <= Instant::now() || session.uses == Some(0) {
        let text = "The security token included in the request is expired";
        return Err(if query {
            error(ask, 403, "ExpiredToken", text)
        } else {
            error(ask, 400, "ExpiredTokenException", text)
        });
    }
    world.sessions.use_up(&scope.key);
    Ok((scope, session.principal))
}

/// An error in the dialect of the request.
pub(crate) fn error(ask: &Ask, status: u16, code: &str, message: &str) -> Answer {
    let id = uuid::Uuid::new_v4().to_string();
    match dialect(ask) {
        Dialect::Json => {
            json_answer(status, &json!({ "__type": code, "message": message })).with("x-amzn-requestid", id)
        }
        Dialect::Query => {
            let kind = if status < 500 { "Sender" } else { "Receiver" };
            let body = format!(
                "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <Error>\n    <Type>{kind}</Type>\n    \
                 <Code>{code}</Code>\n    <Message>{}</Message>\n  </Error>\n  <RequestId>{id}</RequestId>\n</ErrorResponse>\n",
                escaped(message)
            );
            Answer::text(status, "text/xml", body).with("x-amzn-requestid", id)
        }
    }
}

pub(crate) fn json_answer(status: u16, value: &Value) -> Answer {
    Answer::text(status, "application/x-amz-json-1.1", value.to_string())
}

pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Throttling is a 400 here, and says nothing of when.
pub(crate) fn throttled(ask: &Ask) -> Answer {
    match dialect(ask) {
        Dialect::Json => error(ask, 400, "ThrottlingException", "Rate exceeded"),
        Dialect::Query => error(ask, 400, "Throttling", "Rate exceeded"),
    }
}

pub(crate) fn server_error(ask: &Ask, status: u16) -> Answer {
    let code = if status == 503 { "ServiceUnavailable" } else { "InternalFailure" };
    error(
        ask,
        status,
        code,
        "The request processing has failed because of an unknown error, exception or failure.",
    )
}

/// How long a session lasts that dies before its time is counted in uses.
pub(crate) const SESSION_USES: u32 = 15;
/// The longest session of a reader's role.
pub(crate) const LONGEST_SESSION: Duration = Duration::from_secs(3_600);
