//! What the real services refuse is refused, with their status and their error.

use chrono::{SecondsFormat, TimeDelta};
use flate2::Compression;
use flate2::write::GzEncoder;
use provost_mocks::{
    POWERLESS_ACCESS_KEY_ID, POWERLESS_CLIENT_ID, RESOURCE_GROUP, RULE_ID, SECRET_ACCESS_KEY, WORKSPACE,
};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::io::Write;

use super::client::{Key, Reply, Setup};

const GRAPH: &str = "https://graph.microsoft.com";
const ARM: &str = "https://management.azure.com";
const MONITOR: &str = "https://monitor.azure.com";

/// Asks and compares; the name of the case comes first in the message.
async fn expect(setup: &Setup, case: &str, request: RequestBuilder, status: u16, code: &str) -> Reply {
    let reply = setup.send(request).await;
    assert_eq!((reply.status, reply.code().as_str()), (status, code), "{case}: {}", reply.text);
    reply
}

#[tokio::test]
async fn entra_gives_tokens_only_for_what_is_right() {
    let setup = Setup::plain().await;
    for (case, change, status, code, number) in [
        (
            "unknown client",
            ("client_id", "00000000-0000-0000-0000-000000000001"),
            400,
            "unauthorized_client",
            700_016,
        ),
        ("wrong secret", ("client_secret", "guess"), 401, "invalid_client", 7_000_215),
        ("no secret", ("client_secret", ""), 401, "invalid_client", 7_000_218),
        ("other grant", ("grant_type", "password"), 400, "unsupported_grant_type", 70_003),
        ("no scope", ("scope", ""), 400, "invalid_request", 900_144),
        (
            "no default scope",
            ("scope", "https://graph.microsoft.com/User.Read"),
            400,
            "invalid_scope",
            70_011,
        ),
        ("unknown resource", ("scope", "https://nowhere.example/.default"), 400, "invalid_resource", 500_011),
    ] {
        let reply = expect(&setup, case, setup.token_request(&[change]), status, code).await;
        assert_eq!(reply.json()["error_codes"], json!([number]), "{case}");
    }
    let other =
        setup.client.post(format!("{}nobody.example/oauth2/v2.0/token", setup.clouds.endpoints().entra));
    expect(&setup, "unknown tenant", other.form(&[("x", "y")]), 400, "invalid_request").await;
    let scope = [("scope", "https://monitor.azure.com//.default")];
    let reply = setup.send(setup.token_request(&scope)).await;
    assert!(reply.json()["expires_in"].is_number(), "{}", reply.text);
}

#[tokio::test]
async fn each_service_takes_only_tokens_made_for_it() {
    let setup = Setup::plain().await;
    let (graph, arm, monitor) =
        (setup.token(GRAPH).await, setup.token(ARM).await, setup.token(MONITOR).await);
    let hunt = |token: &str| setup.graph(Method::GET, "v1.0/auditLogs/signIns", token);
    let subscription = setup.subscription();
    let activity = format!(
        "subscriptions/{subscription}/providers/Microsoft.Insights/eventtypes/management/values?api-version=2015-04-01"
    );
    let list = |token: &str| setup.arm(Method::GET, &activity, token);
    let path =
        format!("dataCollectionRules/{RULE_ID}/streams/Custom-ProvostFindings_CL?api-version=2023-01-01");
    let ingest = |token: &str| setup.ingest(&path, token, "[]");
    expect(&setup, "ARM's token at Graph", hunt(&arm), 401, "InvalidAuthenticationToken").await;
    expect(&setup, "no token at Graph", hunt("nonsense"), 401, "InvalidAuthenticationToken").await;
    expect(&setup, "Graph's token at ARM", list(&graph), 401, "InvalidAuthenticationTokenAudience").await;
    expect(&setup, "nonsense at ARM", list("nonsense"), 401, "InvalidAuthenticationToken").await;
    expect(&setup, "ARM's token at ingestion", ingest(&arm), 403, "InvalidTokenAudience").await;
    let bare = setup.client.get(setup.clouds.endpoints().arm.join(&activity).expect("a URL"));
    expect(&setup, "nothing at ARM", bare, 401, "AuthenticationFailed").await;
    setup.clouds.expire_tokens();
    expect(&setup, "expired at Graph", hunt(&graph), 401, "InvalidAuthenticationToken").await;
    expect(&setup, "expired at ARM", list(&arm), 401, "ExpiredAuthenticationToken").await;
    expect(&setup, "expired at ingestion", ingest(&monitor), 401, "ExpiredToken").await;
    // A token without roles is a token; the service says no.
    let powerless = setup.token_of(POWERLESS_CLIENT_ID, GRAPH).await;
    expect(&setup, "no role at Graph", hunt(&powerless), 403, "Forbidden").await;
    let powerless = setup.token_of(POWERLESS_CLIENT_ID, ARM).await;
    expect(&setup, "no role at ARM", list(&powerless), 403, "AuthorizationFailed").await;
    let powerless = setup.token_of(POWERLESS_CLIENT_ID, MONITOR).await;
    expect(&setup, "no role at ingestion", ingest(&powerless), 403, "OperationFailed").await;
}

#[tokio::test]
async fn graph_refuses_what_it_does_not_know() {
    let setup = Setup::plain().await;
    let token = setup.token(GRAPH).await;
    for (case, method, path, status, code) in [
        ("too large a page", Method::GET, "v1.0/auditLogs/signIns?$top=1001", 400, "BadRequest"),
        ("a page of none", Method::GET, "v1.0/auditLogs/signIns?$top=0", 400, "BadRequest"),
        ("skip", Method::GET, "v1.0/auditLogs/signIns?$skip=5", 400, "BadRequest"),
        ("count", Method::GET, "v1.0/auditLogs/directoryAudits?$count=true", 400, "BadRequest"),
        (
            "other property",
            Method::GET,
            "v1.0/auditLogs/signIns?$filter=activityDateTime ge 2026-06-01T00:00:00Z",
            400,
            "BadRequest",
        ),
        (
            "quoted time",
            Method::GET,
            "v1.0/auditLogs/signIns?$filter=createdDateTime ge '2026-06-01T00:00:00Z'",
            400,
            "BadRequest",
        ),
        (
            "or",
            Method::GET,
            "v1.0/auditLogs/signIns?$filter=createdDateTime ge 2026-06-01T00:00:00Z or createdDateTime le 2026-06-01T00:00:00Z",
            400,
            "BadRequest",
        ),
        ("made-up token", Method::GET, "v1.0/auditLogs/signIns?$skiptoken=abc", 400, "BadRequest"),
        ("other segment", Method::GET, "v1.0/auditLogs/provisionings", 400, "BadRequest"),
        ("other version", Method::GET, "v9/auditLogs/signIns", 400, "BadRequest"),
        ("other method", Method::POST, "v1.0/auditLogs/signIns", 405, "Request_BadRequest"),
    ] {
        expect(&setup, case, setup.graph(method, path, &token), status, code).await;
    }
    let events = "DeviceNetworkEvents | take 1";
    for (case, body, status, code) in [
        ("no query", json!({}), 400, "BadRequest"),
        ("unknown field", json!({ "Query": events, "Limit": 5 }), 400, "BadRequest"),
        ("bad time span", json!({ "Query": events, "Timespan": "yesterday" }), 400, "BadRequest"),
        ("unknown table", json!({ "Query": "NoSuchTable | take 1" }), 400, "BadRequest"),
        (
            "unknown column",
            json!({ "Query": "DeviceNetworkEvents | where TimeGenerated > datetime(2026-06-01)" }),
            400,
            "BadRequest",
        ),
        (
            "unknown column to project",
            json!({ "Query": "DeviceNetworkEvents | project SentBytes" }),
            400,
            "BadRequest",
        ),
        ("syntax", json!({ "Query": "DeviceNetworkEvents | where" }), 400, "BadRequest"),
    ] {
        let request = setup.graph(Method::POST, "v1.0/security/runHuntingQuery", &token).json(&body);
        expect(&setup, case, request, status, code).await;
    }
    let unmarked = setup.graph(Method::POST, "v1.0/security/runHuntingQuery", &token).body("{}");
    expect(&setup, "no content type", unmarked, 415, "UnsupportedMediaType").await;
}

#[tokio::test]
async fn the_activity_log_takes_one_shape_of_filter() {
    let setup = Setup::plain().await;
    let token = setup.token(ARM).await;
    let base = format!(
        "subscriptions/{}/providers/Microsoft.Insights/eventtypes/management/values",
        setup.subscription()
    );
    let day = |days: i64| (setup.end() - TimeDelta::days(days)).to_rfc3339_opts(SecondsFormat::Secs, true);
    let (old, from, to) = (day(91), day(2), day(0));
    let good = format!("eventTimestamp ge '{from}' and eventTimestamp le '{to}'");
    for (case, query, status, code) in [
        ("no version", format!("$filter={good}"), 400, "MissingApiVersionParameter"),
        (
            "wrong version",
            format!("api-version=2020-01-01&$filter={good}"),
            400,
            "InvalidApiVersionParameter",
        ),
        ("no filter", "api-version=2015-04-01".to_owned(), 400, "BadRequest"),
        ("no start", format!("api-version=2015-04-01&$filter=eventTimestamp le '{to}'"), 400, "BadRequest"),
        ("too old", format!("api-version=2015-04-01&$filter=eventTimestamp ge '{old}'"), 400, "BadRequest"),
        (
            "turned round",
            format!("api-version=2015-04-01&$filter=eventTimestamp ge '{to}' and eventTimestamp le '{from}'"),
            400,
            "BadRequest",
        ),
        (
            "other comparison",
            format!("api-version=2015-04-01&$filter=eventTimestamp gt '{from}'"),
            400,
            "BadRequest",
        ),
        ("unquoted", format!("api-version=2015-04-01&$filter=eventTimestamp ge {from}"), 400, "BadRequest"),
        ("caller", format!("api-version=2015-04-01&$filter={good} and caller eq 'x'"), 400, "BadRequest"),
        (
            "two properties",
            format!(
                "api-version=2015-04-01&$filter={good} and resourceGroupName eq 'a' and correlationId eq 'b'"
            ),
            400,
            "BadRequest",
        ),
        ("other parameter", format!("api-version=2015-04-01&$filter={good}&$top=5"), 400, "BadRequest"),
        ("made-up token", format!("api-version=2015-04-01&$filter={good}&$skipToken=zzz"), 400, "BadRequest"),
    ] {
        expect(&setup, case, setup.arm(Method::GET, &format!("{base}?{query}"), &token), status, code).await;
    }
    let good =
        format!("{base}?api-version=2015-04-01&$filter={good} and resourceGroupName eq 'rg-production-web'");
    assert_eq!(setup.send(setup.arm(Method::GET, &good, &token)).await.status, 200);
    let nowhere = "subscriptions/00000000-0000-0000-0000-000000000000/providers/Microsoft.Insights/eventtypes/management/values?api-version=2015-04-01";
    expect(
        &setup,
        "unknown subscription",
        setup.arm(Method::GET, nowhere, &token),
        404,
        "SubscriptionNotFound",
    )
    .await;
}

/// A good query of costs, with the value at the pointer changed.
fn cost_query(pointer: &str, value: Value) -> Value {
    let mut body = json!({
        "type": "ActualCost", "timeframe": "Custom",
        "timePeriod": { "from": "2026-05-10T00:00:00Z", "to": "2026-06-02T00:00:00Z" },
        "dataset": {
            "granularity": "Daily", "aggregation": { "totalCost": { "name": "Cost", "function": "Sum" } },
            "grouping": [{ "type": "Dimension", "name": "ServiceName" }, { "type": "Dimension", "name": "ResourceLocation" }]
        }
    });
    change(&mut body, pointer, value);
    body
}

/// Sets the value at a pointer; null takes it away.
fn change(body: &mut Value, pointer: &str, value: Value) {
    let Some((place, name)) = pointer.rsplit_once('/') else { return };
    let object = body.pointer_mut(place).and_then(Value::as_object_mut).expect("an object");
    if value.is_null() {
        object.remove(name);
    } else {
        object.insert(name.to_owned(), value);
    }
}

#[tokio::test]
async fn cost_management_takes_only_well_formed_queries() {
    let setup = Setup::plain().await;
    let token = setup.token(ARM).await;
    let path = format!(
        "subscriptions/{}/providers/Microsoft.CostManagement/query?api-version=2023-11-01",
        setup.subscription()
    );
    let dimension = json!({ "type": "Dimension", "name": "ServiceName" });
    for (case, pointer, value) in [
        ("type", "/type", json!("Money")),
        ("timeframe", "/timeframe", json!("Forever")),
        ("no period", "/timePeriod", Value::Null),
        ("period without custom", "/timeframe", json!("MonthToDate")),
        ("unknown field", "/top", json!(5)),
        ("unknown field of the data set", "/dataset/limit", json!(5)),
        ("granularity", "/dataset/granularity", json!("Hourly")),
        ("function", "/dataset/aggregation/totalCost", json!({ "name": "Cost", "function": "Max" })),
        ("three groups", "/dataset/grouping", json!([dimension, dimension, dimension])),
        ("unknown dimension", "/dataset/grouping", json!([{ "type": "Dimension", "name": "Colour" }])),
        (
            "and of one",
            "/dataset/filter",
            json!({ "and": [{ "dimensions": { "name": "ServiceName", "operator": "In", "values": ["x"] } }] }),
        ),
        ("too long", "/timePeriod/from", json!("2024-01-01T00:00:00Z")),
    ] {
        let reply =
            setup.send(setup.arm(Method::POST, &path, &token).json(&cost_query(pointer, value))).await;
        assert_eq!(reply.status, 400, "{case}: {}", reply.text);
    }
    let reply = setup.send(setup.arm(Method::POST, &path, &token).json(&cost_query("", Value::Null))).await;
    let properties = &reply.json()["properties"];
    let names: Vec<&str> = properties["columns"]
        .as_array()
        .expect("columns")
        .iter()
        .filter_map(|column| column["name"].as_str())
        .collect();
    assert_eq!(names, ["Cost", "UsageDate", "ServiceName", "ResourceLocation", "Currency"]);
    assert!(properties["rows"][0][1].is_number(), "{}", reply.text);
}

#[tokio::test]
async fn incidents_are_replaced_by_their_latest_version_only() {
    let setup = Setup::plain().await;
    let token = setup.token(ARM).await;
    let base = format!(
        "subscriptions/{}/resourceGroups/{RESOURCE_GROUP}/providers/Microsoft.OperationalInsights/workspaces/{WORKSPACE}/providers/Microsoft.SecurityInsights/incidents",
        setup.subscription()
    );
    let id = "3f0c1a52-7f43-4f6c-9d8e-1b2a3c4d5e6f";
    let at = |rest: &str| format!("{base}{rest}?api-version=2024-03-01");
    let put = |path: &str, body: &Value| setup.arm(Method::PUT, &at(path), &token).json(body);
    let good = json!({ "properties": { "title": "Beacon", "severity": "High", "status": "New", "labels": [{ "labelName": "provost" }] } });
    for (case, pointer, value) in [
        ("no title", "/properties/title", Value::Null),
        ("no severity", "/properties/severity", Value::Null),
        ("unknown severity", "/properties/severity", json!("Critical")),
        ("unknown status", "/properties/status", json!("Open")),
        ("closed without a class", "/properties/status", json!("Closed")),
        ("unknown class", "/properties/classification", json!("Maybe")),
        ("unknown field", "/properties/entities", json!([])),
        ("unknown field above", "/tags", json!({})),
        ("long description", "/properties/description", json!("x".repeat(5_001))),
        ("label without a name", "/properties/labels", json!([{}])),
        ("no time", "/properties/firstActivityTimeUtc", json!("yesterday")),
    ] {
        let mut body = good.clone();
        change(&mut body, pointer, value);
        let reply = setup.send(put(&format!("/{id}"), &body)).await;
        assert_eq!(reply.status, 400, "{case}: {}", reply.text);
    }
    expect(&setup, "no id", put("", &good), 405, "MethodNotAllowed").await;
    expect(&setup, "no GUID", put("/one", &good), 400, "BadRequest").await;
    expect(&setup, "no version", setup.arm(Method::GET, &base, &token), 400, "MissingApiVersionParameter")
        .await;
    let elsewhere = at(&format!("/{id}")).replace(WORKSPACE, "other");
    expect(&setup, "other workspace", setup.arm(Method::GET, &elsewhere, &token), 404, "ResourceNotFound")
        .await;
    expect(&setup, "not there", setup.arm(Method::GET, &at(&format!("/{id}")), &token), 404, "NotFound")
        .await;

    let created = setup.send(put(&format!("/{id}"), &good)).await;
    assert_eq!(created.status, 201, "{}", created.text);
    expect(&setup, "again without etag", put(&format!("/{id}"), &good), 409, "Conflict").await;
    let mut update = good.clone();
    change(&mut update, "/etag", created.json()["etag"].clone());
    assert_eq!(setup.send(put(&format!("/{id}"), &update)).await.status, 200);
    expect(&setup, "stale etag", put(&format!("/{id}"), &update), 409, "Conflict").await;

    let etag =
        setup.send(setup.arm(Method::GET, &at(&format!("/{id}")), &token)).await.json()["etag"].clone();
    let comment = |message: &str| json!({ "properties": { "message": message } });
    let place = format!("/{id}/comments/c1");
    expect(&setup, "long comment", put(&place, &comment(&"x".repeat(30_001))), 400, "BadRequest").await;
    expect(&setup, "no message", put(&place, &json!({ "properties": {} })), 400, "BadRequest").await;
    assert_eq!(setup.send(put(&place, &comment("seen"))).await.status, 201);
    assert_eq!(setup.send(put(&place, &comment("seen again"))).await.status, 200);
    change(&mut update, "/etag", etag);
    expect(&setup, "a comment is a new version", put(&format!("/{id}"), &update), 409, "Conflict").await;
    let copy = setup.clouds.sentinel();
    assert_eq!(copy.incidents.len(), 1);
    assert_eq!(copy.incidents[id].comments["c1"], "seen again");
}

#[tokio::test]
async fn ingestion_counts_what_it_drops() {
    let setup = Setup::plain().await;
    let token = setup.token(MONITOR).await;
    let at = |rule: &str, stream: &str, version: &str| {
        format!("dataCollectionRules/{rule}/streams/{stream}?api-version={version}")
    };
    let stream = "Custom-ProvostFindings_CL";
    let good = at(RULE_ID, stream, "2023-01-01");
    let large = format!("[{{\"Description\":\"{}\"}}]", "x".repeat(1_100_000));
    for (case, path, body, status, code) in [
        ("wrong rule", at("dcr-0", stream, "2023-01-01"), "[]", 404, "NotFound"),
        ("wrong stream", at(RULE_ID, "Custom-Other_CL", "2023-01-01"), "[]", 404, "InvalidStream"),
        ("wrong version", at(RULE_ID, stream, "2020-01-01"), "[]", 400, "UnsupportedApiVersion"),
        ("no array", good.clone(), "{}", 400, "InvalidPayload"),
        ("no objects", good.clone(), "[1]", 400, "InvalidPayload"),
        ("no JSON", good.clone(), "[", 400, "InvalidPayload"),
        ("too large", good.clone(), large.as_str(), 413, "ContentLengthLimitExceeded"),
    ] {
        let reply = expect(&setup, case, setup.ingest(&path, &token, body.to_owned()), status, code).await;
        assert_eq!(reply.headers["x-ms-error-code"], code, "{case}");
    }
    let packed = |text: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).expect("memory");
        encoder.finish().expect("memory")
    };
    let request = setup.ingest(&good, &token, packed(&large)).header("content-encoding", "gzip");
    expect(&setup, "too large when unpacked", request, 413, "ContentLengthLimitExceeded").await;
    let row = r#"[{"FindingId":"f1","Colour":"red"},{"FindingId":"f1"},{"FindingId":"f2"}]"#;
    let reply = setup.send(setup.ingest(&good, &token, packed(row)).header("content-encoding", "gzip")).await;
    assert_eq!((reply.status, reply.text.as_str()), (204, ""));
    let copy = setup.clouds.sentinel();
    assert_eq!(copy.rows[stream].len(), 3);
    assert_eq!(copy.duplicates(stream, "FindingId"), 1);
    assert_eq!(copy.distinct(stream, "FindingId").len(), 2);
    assert_eq!(copy.dropped_columns[&format!("{stream}/Colour")], 1);
}

#[tokio::test]
async fn aws_takes_only_signed_and_well_formed_requests() {
    let setup = Setup::plain().await;
    let account = setup.clouds.scenario().tenant().accounts[1].id.clone();
    let key = setup.assume(&account).await;
    let (from, to) = (setup.clouds.scenario().options().start().timestamp(), setup.end().timestamp());
    for (case, body, code) in [
        ("too many results", json!({ "MaxResults": 51 }), "InvalidMaxResultsException"),
        ("no results", json!({ "MaxResults": 0 }), "InvalidMaxResultsException"),
        ("turned round", json!({ "StartTime": to, "EndTime": from }), "InvalidTimeRangeException"),
        (
            "too old",
            json!({ "EndTime": from - 100 * 86_400, "StartTime": from - 101 * 86_400 }),
            "InvalidTimeRangeException",
        ),
        (
            "two attributes",
            json!({ "LookupAttributes": [{ "AttributeKey": "EventName", "AttributeValue": "a" }, { "AttributeKey": "EventId", "AttributeValue": "b" }] }),
            "InvalidLookupAttributesException",
        ),
        (
            "unknown attribute",
            json!({ "LookupAttributes": [{ "AttributeKey": "Region", "AttributeValue": "a" }] }),
            "InvalidLookupAttributesException",
        ),
        ("unknown category", json!({ "EventCategory": "data" }), "InvalidEventCategoryException"),
        ("made-up token", json!({ "NextToken": "abc" }), "InvalidNextTokenException"),
        ("unknown field", json!({ "Top": 5 }), "SerializationException"),
        ("a time as text", json!({ "StartTime": "2026-06-01T00:00:00Z" }), "SerializationException"),
    ] {
        expect(&setup, case, setup.lookup(&key, "us-east-1", &body), 400, code).await;
    }
    let body = json!({ "StartTime": from, "EndTime": to, "MaxResults": 1 });
    let base = setup.send(setup.lookup(&key, "us-east-1", &body)).await.json();
    let mut other = json!({ "StartTime": from + 1, "EndTime": to, "MaxResults": 1 });
    change(&mut other, "/NextToken", base["NextToken"].clone());
    expect(
        &setup,
        "token of another question",
        setup.lookup(&key, "us-east-1", &other),
        400,
        "InvalidNextTokenException",
    )
    .await;
    assert!(base["Events"][0]["ReadOnly"].is_string() && base["Events"][0]["EventTime"].is_number());

    let wrong = Key { secret: "guess".to_owned(), ..Key::base() };
    let unknown = Key { id: "AKIANOSUCHKEYEXAMPLE".to_owned(), ..Key::base() };
    let no_token = Key { token: None, ..key.clone() };
    let powerless =
        Key { id: POWERLESS_ACCESS_KEY_ID.to_owned(), secret: SECRET_ACCESS_KEY.to_owned(), token: None };
    for (case, key, code) in [
        ("wrong secret", &wrong, "InvalidSignatureException"),
        ("unknown key", &unknown, "UnrecognizedClientException"),
        ("session without token", &no_token, "UnrecognizedClientException"),
        ("no permission", &powerless, "AccessDeniedException"),
    ] {
        expect(&setup, case, setup.lookup(key, "us-east-1", &json!({})), 400, code).await;
    }
    let target = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.ListTrails";
    let request = setup.aws_json(&key, "cloudtrail", "us-east-1", target, &json!({}));
    expect(&setup, "unknown operation", request, 400, "UnknownOperationException").await;

    for (case, change, status, code) in [
        ("wrong external id", ("ExternalId", "guess"), 403, "AccessDenied"),
        ("unknown role", ("RoleArn", "arn:aws:iam::111122223333:role/admin"), 403, "AccessDenied"),
        ("short session name", ("RoleSessionName", "x"), 400, "ValidationError"),
        ("odd session name", ("RoleSessionName", "a b"), 400, "ValidationError"),
        ("too short a session", ("DurationSeconds", "60"), 400, "ValidationError"),
        ("longer than the role allows", ("DurationSeconds", "7200"), 400, "ValidationError"),
        ("unknown version", ("Version", "2010-01-01"), 400, "InvalidAction"),
        ("unknown action", ("Action", "GetFederationToken"), 400, "InvalidAction"),
    ] {
        expect(&setup, case, setup.assume_request(&account, &[change]), status, code).await;
    }
    let form = [("Action", "GetCallerIdentity"), ("Version", "2011-06-15")];
    let reply = setup.send(setup.aws_form(&key, "sts", "us-east-1", &form)).await;
    assert!(reply.text.contains(&account), "{}", reply.text);
    expect(
        &setup,
        "wrong secret at STS",
        setup.aws_form(&wrong, "sts", "us-east-1", &form),
        403,
        "SignatureDoesNotMatch",
    )
    .await;
    setup.clouds.expire_tokens();
    expect(&setup, "expired", setup.lookup(&key, "us-east-1", &json!({})), 400, "ExpiredTokenException")
        .await;
    expect(&setup, "expired at STS", setup.aws_form(&key, "sts", "us-east-1", &form), 403, "ExpiredToken")
        .await;
}

#[tokio::test]
async fn cost_explorer_bills_each_page() {
    let setup = Setup::plain().await;
    let key = Key::base();
    let good = json!({
        "TimePeriod": { "Start": "2026-05-10", "End": "2026-06-02" }, "Granularity": "DAILY", "Metrics": ["UnblendedCost"],
        "GroupBy": [{ "Type": "DIMENSION", "Key": "LINKED_ACCOUNT" }, { "Type": "DIMENSION", "Key": "SERVICE" }]
    });
    let group = json!({ "Type": "DIMENSION", "Key": "SERVICE" });
    for (case, pointer, value, code) in [
        ("no metric", "/Metrics", json!([]), "ValidationException"),
        ("unknown metric", "/Metrics", json!(["Money"]), "ValidationException"),
        ("turned round", "/TimePeriod/End", json!("2026-05-01"), "ValidationException"),
        ("an instant", "/TimePeriod/Start", json!("2026-05-10T00:00:00Z"), "ValidationException"),
        (
            "the future",
            "/TimePeriod",
            json!({ "Start": "2026-06-05", "End": "2026-06-06" }),
            "ValidationException",
        ),
        ("too old", "/TimePeriod/Start", json!("2024-01-01"), "ValidationException"),
        ("hourly", "/Granularity", json!("HOURLY"), "ValidationException"),
        ("three groups", "/GroupBy", json!([group, group, group]), "ValidationException"),
        (
            "unknown dimension",
            "/GroupBy",
            json!([{ "Type": "DIMENSION", "Key": "COLOUR" }]),
            "ValidationException",
        ),
        ("unknown field", "/Top", json!(1), "SerializationException"),
        ("made-up token", "/NextPageToken", json!("abc"), "InvalidNextTokenException"),
        ("filter with two roots", "/Filter", json!({ "And": [], "Dimensions": {} }), "ValidationException"),
    ] {
        let mut body = good.clone();
        change(&mut body, pointer, value);
        expect(&setup, case, setup.cost(&key, &body), 400, code).await;
    }
    let before = setup.clouds.billed_requests();
    let first = setup.send(setup.cost(&key, &good)).await.json();
    let mut changed = good.clone();
    change(&mut changed, "/NextPageToken", first["NextPageToken"].clone());
    let second = setup.send(setup.cost(&key, &changed)).await;
    assert_eq!(second.status, 200, "{}", second.text);
    change(&mut changed, "/TimePeriod/Start", json!("2026-05-11"));
    expect(&setup, "token of another question", setup.cost(&key, &changed), 400, "RequestChangedException")
        .await;
    assert_eq!(setup.clouds.billed_requests() - before, 3);
    let group = &first["ResultsByTime"][0]["Groups"][0];
    assert!(group["Metrics"]["UnblendedCost"]["Amount"].is_string(), "{group}");
    assert_eq!(first["ResultsByTime"][0]["Estimated"], json!(false));
}
