//! What goes to and comes from the clouds, held against the vendors' own descriptions of their APIs.

mod aws;
mod openapi;

use std::path::PathBuf;

use provost_mocks::{RESOURCE_GROUP, RULE_ID, WORKSPACE};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Key, Setup};
use openapi::Document;

const ARM: &str = "https://management.azure.com";

/// The folder of the descriptions, which a fresh clone has not.
fn specs() -> Option<PathBuf> {
    let shared = std::env::var("PROVOST_SHARED").map(PathBuf::from);
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let specs = shared.unwrap_or_else(|_| beside()).join("specs");
    if specs.is_dir() {
        return Some(specs);
    }
    eprintln!(
        "skipped: the descriptions of the APIs are not at {}; PROVOST_SHARED names their place",
        specs.display()
    );
    None
}

#[tokio::test]
async fn cloudtrail_speaks_as_its_model_says() {
    let Some(specs) = specs() else { return };
    let model = aws::Model::load(&specs.join("aws/cloudtrail/service-2.json"));
    let setup = Setup::plain().await;
    let key = setup.assume(&setup.clouds.scenario().tenant().accounts[0].id).await;
    let request = json!({
        "StartTime": 1_780_000_000, "EndTime": setup.end().timestamp(), "MaxResults": 50,
        "LookupAttributes": [{ "AttributeKey": "EventName", "AttributeValue": "RunInstances" }]
    });
    model.check("LookupEventsRequest", &request);
    for request in [request, json!({ "MaxResults": 50 })] {
        let reply = setup.send(setup.lookup(&key, "us-east-1", &request)).await.json();
        assert!(reply["Events"].as_array().is_some_and(|events| !events.is_empty()), "{reply}");
        model.check("LookupEventsResponse", &reply);
    }
    for request in [json!({ "MaxResults": 51 }), json!({ "NextToken": "x" }), json!({ "EventCategory": "x" })]
    {
        let code = setup.send(setup.lookup(&key, "us-east-1", &request)).await.code();
        assert!(model.errors("LookupEvents").contains(&code), "{code}");
    }
}

#[tokio::test]
async fn cost_explorer_speaks_as_its_model_says() {
    let Some(specs) = specs() else { return };
    let model = aws::Model::load(&specs.join("aws/ce/service-2.json"));
    let setup = Setup::plain().await;
    let mut request = json!({
        "TimePeriod": { "Start": "2026-05-10", "End": "2026-06-02" }, "Granularity": "DAILY",
        "Metrics": ["UnblendedCost", "UsageQuantity"],
        "Filter": { "Not": { "Dimensions": { "Key": "RECORD_TYPE", "Values": ["Credit"] } } },
        "GroupBy": [{ "Type": "DIMENSION", "Key": "LINKED_ACCOUNT" }, { "Type": "DIMENSION", "Key": "SERVICE" }]
    });
    model.check("GetCostAndUsageRequest", &request);
    model.check("GetCostAndUsageResponse", &setup.send(setup.cost(&Key::base(), &request)).await.json());
    request["GroupBy"] = json!([]);
    request["Granularity"] = json!("MONTHLY");
    let total = setup.send(setup.cost(&Key::base(), &request)).await.json();
    model.check("GetCostAndUsageResponse", &total);
    assert!(total["ResultsByTime"][0]["Total"]["UnblendedCost"].is_object(), "{total}");
    request["NextPageToken"] = json!("x");
    let code = setup.send(setup.cost(&Key::base(), &request)).await.code();
    assert!(model.errors("GetCostAndUsage").contains(&code), "{code}");
}

#[tokio::test]
async fn the_activity_log_speaks_as_its_description_says() {
    let Some(specs) = specs() else { return };
    let file = "azure-activitylog/specification/monitor/resource-manager/Microsoft.Insights/stable/2015-04-01/activityLogs_API.json";
    let document = Document::load(&specs, file);
    let setup = Setup::plain().await;
    let records = super::serves::activity(&setup).await;
    document.check("EventDataCollection", &json!({ "value": records }));
}

#[tokio::test]
async fn cost_management_speaks_as_its_description_says() {
    let Some(specs) = specs() else { return };
    let file = "azure-cost-management/specification/cost-management/resource-manager/Microsoft.CostManagement/stable/2023-11-01/costmanagement.json";
    let document = Document::load(&specs, file);
    let setup = Setup::plain().await;
    let token = setup.token(ARM).await;
    let subscription = setup.subscription();
    let path = format!(
        "subscriptions/{subscription}/providers/Microsoft.CostManagement/query?api-version=2023-11-01"
    );
    let request = json!({
        "type": "ActualCost", "timeframe": "Custom",
        "timePeriod": { "from": "2026-05-10T00:00:00Z", "to": "2026-06-02T00:00:00Z" },
        "dataset": {
            "granularity": "Daily", "aggregation": { "totalCost": { "name": "Cost", "function": "Sum" } },
            "grouping": [{ "type": "Dimension", "name": "ServiceName" }],
            "filter": { "dimensions": { "name": "ResourceLocation", "operator": "In", "values": ["EU West"] } }
        }
    });
    document.check("QueryDefinition", &request);
    let reply = setup.send(setup.arm(Method::POST, &path, &token).json(&request)).await.json();
    document.check("QueryResult", &reply);
    assert!(reply["properties"]["rows"].as_array().is_some_and(|rows| !rows.is_empty()), "{reply}");
    let wrong = setup.send(setup.arm(Method::POST, &path, &token).json(&json!({ "type": "x" }))).await.json();
    let default = document
        .at("/paths/~1{scope}~1providers~1Microsoft.CostManagement~1query/post/responses/default/schema");
    document.check_by(default, &wrong);
}

#[tokio::test]
async fn sentinel_speaks_as_its_description_says() {
    let Some(specs) = specs() else { return };
    let file = "azure-sentinel/specification/securityinsights/resource-manager/Microsoft.SecurityInsights/stable/2024-03-01/Incidents.json";
    let document = Document::load(&specs, file);
    let setup = Setup::plain().await;
    let token = setup.token(ARM).await;
    let base = format!(
        "subscriptions/{}/resourceGroups/{RESOURCE_GROUP}/providers/Microsoft.OperationalInsights/workspaces/{WORKSPACE}/providers/Microsoft.SecurityInsights/incidents",
        setup.subscription()
    );
    let at = |rest: &str| format!("{base}{rest}?api-version=2024-03-01");
    let id = "/3f0c1a52-7f43-4f6c-9d8e-1b2a3c4d5e6f";
    let incident = json!({ "properties": {
        "title": "Beacon", "severity": "High", "status": "Closed", "classification": "TruePositive",
        "classificationReason": "SuspiciousActivity", "description": "…", "labels": [{ "labelName": "provost" }],
        "firstActivityTimeUtc": "2026-06-01T00:00:00Z", "owner": { "email": "ada@northwind.example" }
    } });
    document.check("Incident", &incident);
    let comment = json!({ "properties": { "message": "seen" } });
    document.check("IncidentComment", &comment);
    let put = |path: String, body: &Value| setup.arm(Method::PUT, &path, &token).json(body);
    let reply = setup.send(put(at(id), &incident)).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    document.check("Incident", &reply.json());
    let reply = setup.send(put(at(&format!("{id}/comments/one")), &comment)).await;
    document.check("IncidentComment", &reply.json());
    for (rest, definition) in
        [("", "IncidentList"), (id, "Incident"), (&format!("{id}/comments"), "IncidentCommentList")]
    {
        let reply = setup.send(setup.arm(Method::GET, &at(rest), &token)).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        document.check(definition, &reply.json());
    }
}

#[tokio::test]
async fn ingestion_speaks_as_its_description_says() {
    let Some(specs) = specs() else { return };
    let file = "azure-logs-ingestion/specification/monitor/data-plane/ingestion/stable/2023-01-01/DataCollectionRules.json";
    let document = Document::load(&specs, file);
    let operation = document.at("/paths/~1dataCollectionRules~1{ruleId}~1streams~1{stream}/post").clone();
    let setup = Setup::plain().await;
    let token = setup.token("https://monitor.azure.com").await;
    let path = |rule: &str| {
        format!("dataCollectionRules/{rule}/streams/Custom-ProvostFindings_CL?api-version=2023-01-01")
    };
    let good = setup.send(setup.ingest(&path(RULE_ID), &token, "[{}]")).await;
    assert!(operation["responses"].get(good.status.to_string()).is_some(), "{good:?}");
    let wrong = setup.send(setup.ingest(&path("dcr-0"), &token, "[{}]")).await;
    document.check_by(&operation["responses"]["default"]["schema"], &wrong.json());
    assert!(wrong.headers.contains_key("x-ms-error-code"));
}
