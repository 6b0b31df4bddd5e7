//! The Security Token Service.

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};

use super::aws::{LONGEST_SESSION, Principal, SESSION_USES, Session, error, escaped};
use super::exchange::{Answer, Ask, Outcome};
use super::pages::hex;
use super::world::World;

/// The role in each account that may read.
pub const READER_ROLE: &str = "provost-reader";
/// What the trust policy of that role asks for.
pub const EXTERNAL_ID: &str = "northwind-provost";

pub(crate) fn answer(world: &World, ask: &Ask, principal: &Principal) -> Outcome {
    let form = ask.form();
    let field = |name: &str| form.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    if field("Version") != Some("2011-06-15") {
        let text = format!(
            "Could not find operation for version {}",
            field("Version").unwrap_or("NO_VERSION_SPECIFIED")
        );
        return Err(error(ask, 400, "InvalidAction", &text));
    }
    match field("Action") {
        Some("GetCallerIdentity") => {
            let body = format!(
                "<Arn>{}</Arn><UserId>AIDACKCEVSQ6C2EXAMPLE</UserId><Account>{}</Account>",
                escaped(&principal.arn),
                principal.account
            );
            Ok(xml("GetCallerIdentity", &body))
        }
        Some("AssumeRole") => assume(world, ask, principal, field),
        other => {
            let text =
                format!("Could not find operation {} for version 2011-06-15", other.unwrap_or_default());
            Err(error(ask, 400, "InvalidAction", &text))
        }
    }
}

fn assume<'a>(
    world: &World,
    ask: &Ask,
    principal: &Principal,
    field: impl Fn(&str) -> Option<&'a str>,
) -> Outcome {
    let invalid = |text: &str| error(ask, 400, "ValidationError", text);
    let required = |name: &str, length: std::ops::RangeInclusive<usize>| {
        let value = field(name).unwrap_or_default();
        if length.contains(&value.len()) {
            return Ok(value);
        }
        Err(invalid(&format!(
            "1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: Member must have length between {} and {}",
            length.start(),
            length.end()
        )))
    };
    let role = required("RoleArn", 20..=2048)?;
    let session = required("RoleSessionName", 2..=64)?;
    if !session.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c)) {
        return Err(invalid(&format!(
            "1 validation error detected: Value '{session}' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*"
        )));
    }
    let seconds = match field("DurationSeconds").map(str::parse::<u64>) {
        None => 3_600,
        Some(Ok(seconds)) if (900..=43_200).contains(&seconds) => seconds,
        Some(_) => {
            return Err(invalid(
                "1 validation error detected: Value at 'durationSeconds' failed to satisfy constraint: Member must have value between 900 and 43200",
            ));
        }
    };
    if Duration::from_secs(seconds) > LONGEST_SESSION {
        return Err(invalid(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        ));
    }
    let accounts = &world.scenario.tenant().accounts;
    let account =
        accounts.iter().find(|account| role == format!("arn:aws:iam::{}:role/{READER_ROLE}", account.id));
    // A role that is not there and one that does not trust the caller look alike.
    let denied = || {
        let text = format!(
            "User: {} is not authorized to perform: sts:AssumeRole on resource: {role}",
            principal.arn
        );
        error(ask, 403, "AccessDenied", &text)
    };
    let account = account.ok_or_else(denied)?;
    if principal.powerless || field("ExternalId") != Some(EXTERNAL_ID) {
        return Err(denied());
    }
    let number = world.sessions.count() + 1;
    let key = format!("ASIA{number:0>16}");
    let secret = format!("mock-session-secret-{number:0>20}");
    // A session's token is long, and no two are alike.
    let token = format!("IQoJb3JpZ2lu{}{number}", hex(&[0x5a; 160]));
    let arn = format!("arn:aws:sts::{}:assumed-role/{READER_ROLE}/{session}", account.id);
    let known = Session {
        secret: secret.clone(),
        token: token.clone(),
        principal: Principal { account: account.id.clone(), arn: arn.clone(), powerless: false },
        dies: Instant::now() + Duration::from_secs(seconds),
        uses: world.faults().expiring_tokens.then_some(SESSION_USES),
    };
    world.sessions.add(key.clone(), known);
    let expiration = Utc::now() + TimeDelta::seconds(i64::try_from(seconds).unwrap_or(3_600));
    let body = format!(
        "<AssumedRoleUser><AssumedRoleId>{}:{session}</AssumedRoleId><Arn>{}</Arn></AssumedRoleUser>\
         <Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>\
         <SessionToken>{token}</SessionToken><Expiration>{}</Expiration></Credentials>",
        account.role_id,
        escaped(&arn),
        expiration.format("%Y-%m-%dT%H:%M:%SZ")
    );
    Ok(xml("AssumeRole", &body))
}

fn xml(action: &str, result: &str) -> Answer {
    let id = uuid::Uuid::new_v4();
    Answer::text(
        200,
        "text/xml",
        format!(
            "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>{result}</{action}Result>\
             <ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></{action}Response>"
        ),
    )
    .with("x-amzn-requestid", id)
}
