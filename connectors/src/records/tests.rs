//! Cases as data: what comes in, and the columns that count.

use provost_model::{Cell, Row, RowError, TableSpec, format_time};
use serde_json::{Value, json};

use super::*;

fn id(row: &Row) -> String {
    show(row, TableSpec::EVENT_ID)
}

fn show(row: &Row, column: &str) -> String {
    match row.get(column) {
        None => panic!("{} has no column {column}", row.table().name()),
        Some(Cell::Null) => "null".to_owned(),
        Some(Cell::Bool(flag)) => flag.to_string(),
        Some(Cell::Long(number)) => number.to_string(),
        Some(Cell::Real(number)) => number.to_string(),
        Some(Cell::Text(text)) => text.clone(),
        Some(Cell::Time(time)) => format_time(*time),
    }
}

fn expect(read: Result<Row, RowError>, expected: &[(&str, &str)]) -> Row {
    let row = read.unwrap_or_else(|error| panic!("{error}"));
    for (column, value) in expected {
        assert_eq!(show(&row, column), *value, "{column}");
    }
    row
}

fn run_instances() -> Value {
    json!({
        "eventVersion": "1.08",
        "userIdentity": {
            "type": "AssumedRole", "principalId": "AROAEXAMPLE:ann", "arn": "arn:aws:sts::111122223333:assumed-role/ops/ann",
            "accountId": "111122223333", "accessKeyId": "ASIAEXAMPLE",
            "sessionContext": {
                "sessionIssuer": {"type": "Role", "principalId": "AROAEXAMPLE", "arn": "arn:aws:iam::111122223333:role/ops",
                                  "accountId": "111122223333", "userName": "ops"},
                "attributes": {"creationDate": "2026-03-01T09:00:00Z", "mfaAuthenticated": "false"}
            }
        },
        "eventTime": "2026-03-01T10:15:00Z", "eventSource": "ec2.amazonaws.com", "eventName": "RunInstances",
        "awsRegion": "eu-west-1", "sourceIPAddress": "203.0.113.9", "userAgent": "aws-cli/2.15",
        "requestParameters": {"instanceType": "p4d.24xlarge", "minCount": 4},
        "responseElements": null, "requestID": "r-1", "eventID": "8a1f0c52-0001", "readOnly": false,
        "eventType": "AwsApiCall", "managementEvent": true, "recipientAccountId": "111122223333",
        "eventCategory": "Management", "tlsDetails": {"tlsVersion": "TLSv1.3", "cipherSuite": "TLS_AES_128_GCM_SHA256"}
    })
}

#[test]
fn a_cloudtrail_event_is_the_same_row_from_a_trail_file_and_from_lookup_events() {
    let event = run_instances();
    let expected = [
        ("TimeGenerated", "2026-03-01T10:15:00Z"),
        ("_EventId", "8a1f0c52-0001"),
        ("AwsEventId", "8a1f0c52-0001"),
        ("EventName", "RunInstances"),
        ("EventTypeName", "AwsApiCall"),
        ("SourceIpAddress", "203.0.113.9"),
        ("RequestParameters", r#"{"instanceType":"p4d.24xlarge","minCount":4}"#),
        ("ResponseElements", "null"),
        ("ReadOnly", "false"),
        ("ManagementEvent", "true"),
        ("SessionIssuerUserName", "ops"),
        ("SessionMfaAuthenticated", "false"),
        ("SessionCreationDate", "2026-03-01T09:00:00Z"),
        ("UserIdentityPrincipalid", "AROAEXAMPLE:ann"),
        ("TlsVersion", "TLSv1.3"),
        ("OperationName", "CloudTrail"),
        ("Type", "AWSCloudTrail"),
    ];
    expect(cloudtrail(&event), &expected);
    let looked_up = json!({
        "EventId": "8a1f0c52-0001", "EventName": "RunInstances", "ReadOnly": "false", "EventTime": 1772360100.0,
        "CloudTrailEvent": event.to_string(),
    });
    expect(cloudtrail(&looked_up), &expected);
}

#[test]
fn cloudtrail_events_of_other_shapes_are_read_and_what_is_no_event_is_refused_with_the_reason() {
    let mut shipped = run_instances();
    let members = shipped.as_object_mut().expect("an object");
    members.remove("eventTime");
    members.insert("@timestamp".to_owned(), json!("2026-03-01T10:15:00.000Z"));
    expect(cloudtrail(&shipped), &[("TimeGenerated", "2026-03-01T10:15:00Z")]);

    let opened = json!({
        "eventTime": "2026-03-01T10:15:00Z", "eventName": "AuthorizeSecurityGroupIngress", "eventSource": "ec2.amazonaws.com", "eventID": "e",
        "requestParameters": {"groupId": "sg-1", "ipPermissions": {"items": [
            {"ipProtocol": "tcp", "fromPort": 22, "toPort": 23, "ipRanges": {"items": [{"cidrIp": "0.0.0.0/0"}]}}]}}
    });
    expect(
        cloudtrail(&opened),
        &[("IpProtocol", "tcp"), ("SourcePort", "22"), ("DestinationPort", "23"), ("CidrIp", "0.0.0.0/0")],
    );

    for (record, reason) in [
        (json!("text"), "the record is no JSON object"),
        (json!({}), "the record has no eventTime"),
        (json!({"eventTime": "2026-03-01T10:15:00Z", "eventID": "e"}), "the record has no eventName"),
        (json!({"EventId": "e", "EventName": "RunInstances"}), "the record has no CloudTrailEvent"),
    ] {
        assert_eq!(
            cloudtrail(&record).map(|_| ()).map_err(|error| error.to_string()),
            Err(reason.to_owned())
        );
    }
    let cut = json!({"EventId": "e", "CloudTrailEvent": "{\"eventName\":"});
    let error = cloudtrail(&cut).expect_err("cut off").to_string();
    assert!(error.starts_with("CloudTrailEvent is no JSON"), "{error}");
}

const VM: &str = "/subscriptions/5B1F/resourceGroups/Web/providers/Microsoft.Compute/virtualMachines/Vm1";

#[test]
fn an_activity_event_has_todays_words_whichever_way_it_comes() {
    let common = [
        ("TimeGenerated", "2026-03-01T10:15:00.123456700Z"),
        ("OperationNameValue", "MICROSOFT.COMPUTE/VIRTUALMACHINES/WRITE"),
        ("ActivityStatusValue", "Success"),
        ("ActivityStatus", "Succeeded"),
        ("ActivitySubstatusValue", "Created"),
        ("CategoryValue", "Administrative"),
        ("Caller", "ann@contoso.example"),
        ("CallerIpAddress", "203.0.113.9"),
        ("Level", "Informational"),
        ("ResourceProviderValue", "MICROSOFT.COMPUTE"),
        ("ResourceGroup", "Web"),
        ("Resource", "Vm1"),
        ("SubscriptionId", "5B1F"),
        ("CorrelationId", "c-1"),
        ("Hierarchy", "t/5B1F"),
    ];
    let properties =
        json!({"statusCode": "Created", "hierarchy": "t/5B1F", "eventCategory": "Administrative"});
    let rest = json!({
        "eventTimestamp": "2026-03-01T10:15:00.1234567Z", "submissionTimestamp": "2026-03-01T10:18:00Z",
        "eventDataId": "d-1", "correlationId": "c-1", "operationId": "o-1", "caller": "ann@contoso.example",
        "operationName": {"value": "Microsoft.Compute/virtualMachines/write", "localizedValue": "Create or Update VM"},
        "status": {"value": "Succeeded", "localizedValue": "Succeeded"},
        "subStatus": {"value": "Created", "localizedValue": "Created (HTTP Status Code: 201)"},
        "category": {"value": "Administrative", "localizedValue": "Administrative"},
        "resourceProviderName": {"value": "Microsoft.Compute", "localizedValue": "Microsoft Compute"},
        "httpRequest": {"clientIpAddress": "203.0.113.9", "method": "PUT"}, "level": "Informational",
        "resourceGroupName": "Web", "resourceId": VM, "subscriptionId": "5B1F",
        "authorization": {"action": "Microsoft.Compute/virtualMachines/write", "scope": VM}, "properties": properties,
    });
    let row = expect(activity(&rest), &common);
    assert_eq!(id(&row), "d-1");
    assert_eq!(show(&row, "OperationName"), "Create or Update VM");
    assert_eq!(show(&row, "_ResourceId"), VM.to_lowercase());
    assert_eq!(show(&row, "Properties_d"), properties.to_string());

    let export = json!({
        "time": "2026-03-01T10:15:00.1234567Z", "resourceId": VM, "operationName": "MICROSOFT.COMPUTE/VIRTUALMACHINES/WRITE",
        "category": "Write", "resultType": "Success", "resultSignature": "Succeeded.Created", "durationMs": 0,
        "callerIpAddress": "203.0.113.9", "correlationId": "c-1", "level": "Information",
        "identity": {"authorization": {"action": "x"}, "claims":
            {"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn": "ann@contoso.example"}},
        "properties": properties,
    });
    let row = expect(activity(&export), &common);
    assert_eq!(id(&row).len(), 32, "a hash where there is no eventDataId");

    let today = json!({
        "TimeGenerated": "2026-03-01T10:15:00.1234567Z", "EventDataId": "d-1", "CorrelationId": "c-1",
        "OperationNameValue": "MICROSOFT.COMPUTE/VIRTUALMACHINES/WRITE", "ActivityStatusValue": "Success",
        "ActivitySubstatusValue": "Created", "CategoryValue": "Administrative", "Caller": "ann@contoso.example",
        "CallerIpAddress": "203.0.113.9", "Level": "Informational", "ResourceProviderValue": "MICROSOFT.COMPUTE",
        "ResourceGroup": "Web", "SubscriptionId": "5B1F", "Hierarchy": "t/5B1F", "_ResourceId": VM,
    });
    assert_eq!(id(&expect(activity(&today), &common)), "d-1");

    let former = json!({
        "TimeGenerated [UTC]": "3/1/2026, 10:15:00.1234567 AM", "\u{feff}OperationName": "Create or Update VM",
        "ActivityStatus": "Succeeded", "ActivitySubstatus": "Created (HTTP Status Code: 201)", "Category": "Administrative",
        "Caller": "ann@contoso.example", "CallerIpAddress": "203.0.113.9", "Level": "Informational",
        "Properties": "{\"message\": \"Microsoft.Compute/virtualMachines/write\", \"hierarchy\": \"t/5B1F\"}",
        "EventSubmissionTimestamp [UTC]": "3/1/2026, 10:18:00 AM", "EventDataId": "d-1", "CorrelationId": "c-1",
        "ResourceGroup": "Web", "SubscriptionId": "5B1F", "Resource": "Vm1", "ResourceId": VM,
    });
    let row = expect(activity(&former), &common);
    assert_eq!(id(&row), "d-1");
    assert_eq!(show(&row, "EventSubmissionTimestamp"), "2026-03-01T10:18:00Z");
    assert_eq!(show(&row, "ActivitySubstatus"), "Created (HTTP Status Code: 201)");
}

#[test]
fn a_network_event_has_one_identity_however_many_digits_its_time_has() {
    let columns = json!({
        "Timestamp": "2026-03-01T10:15:00.1234567Z", "DeviceId": "dev", "DeviceName": "ws-7", "ReportId": 41,
        "ActionType": "ConnectionSuccess", "RemoteIP": "203.0.113.9", "RemotePort": 443,
        "AdditionalFields": "{\"direction\":\"Out\"}", "InitiatingProcessId": 4321, "ColumnOfNextYear": 1,
    });
    let expected = [
        ("RemotePort", "443"),
        ("ReportId", "41"),
        ("AdditionalFields", r#"{"direction":"Out"}"#),
        ("InitiatingProcessId", "4321"),
    ];
    let hunted = expect(device_network(&columns), &expected);
    let streamed = json!({"time": "2026-03-01T10:17:00Z", "category": "AdvancedHunting-DeviceNetworkEvents", "properties": columns});
    let streamed = expect(device_network(&streamed), &expected);
    assert_eq!(id(&hunted), id(&streamed));
    let shorter =
        json!({"TimeGenerated": "2026-03-01T10:15:00.123456Z", "DeviceId": "dev", "ReportId": "41"});
    assert_eq!(id(&hunted), id(&expect(device_network(&shorter), &[])));
    let other = json!({"Timestamp": "2026-03-01T10:15:00.123456Z", "DeviceId": "dev", "ReportId": 42});
    assert_ne!(id(&hunted), id(&expect(device_network(&other), &[])));
}

#[test]
fn a_sign_in_has_the_columns_of_log_analytics_whether_it_comes_from_graph_or_from_there() {
    let graph = json!({
        "id": "s-1", "createdDateTime": "2026-03-01T10:15:00Z", "userDisplayName": "Ann", "userPrincipalName": "ann@contoso.example",
        "userId": "u-1", "appId": "a-1", "appDisplayName": "Portal", "ipAddress": "203.0.113.9", "clientAppUsed": "Browser",
        "correlationId": "c-1", "conditionalAccessStatus": "success", "isInteractive": true, "resourceId": "res",
        "resourceDisplayName": "Windows Azure Service Management API",
        "status": {"errorCode": 50126, "failureReason": "Invalid username or password."},
        "deviceDetail": {"browser": "Edge"}, "riskEventTypes_v2": [],
        "location": {"city": "Oslo", "countryOrRegion": "NO"}, "appliedConditionalAccessPolicies": [{"id": "p"}],
    });
    let expected = [
        ("_EventId", "s-1"),
        ("Id", "s-1"),
        ("TimeGenerated", "2026-03-01T10:15:00Z"),
        ("IPAddress", "203.0.113.9"),
        ("UserPrincipalName", "ann@contoso.example"),
        ("Identity", "Ann"),
        ("Location", "NO"),
        ("LocationDetails", r#"{"city":"Oslo","countryOrRegion":"NO"}"#),
        ("ResultType", "50126"),
        ("ResultDescription", "Invalid username or password."),
        ("ConditionalAccessPolicies", r#"[{"id":"p"}]"#),
        ("IsInteractive", "true"),
        ("Category", "SignInLogs"),
        ("ResourceIdentity", "res"),
        ("RiskEventTypes_V2", "[]"),
    ];
    expect(signin(&graph), &expected);
    let exported = json!({"time": "x", "tenantId": "t-1", "category": "SignInLogs", "properties": graph});
    let row = expect(signin(&exported), &expected);
    assert_eq!(show(&row, "AADTenantId"), "t-1");
    let row = json!({"TimeGenerated": "2026-03-01T10:15:00", "Id": "s-1", "Location": "NO", "LocationDetails": {"city": "Oslo"},
        "Status": "{\"errorCode\":0}", "Latitude": 1.5});
    expect(signin(&row), &[("_EventId", "s-1"), ("Location", "NO"), ("Status", r#"{"errorCode":0}"#)]);
}

#[test]
fn a_directory_audit_keeps_its_documents() {
    let graph = json!({
        "id": "a-1", "category": "UserManagement", "correlationId": "c-1", "result": "success", "resultReason": "",
        "activityDisplayName": "Add user", "activityDateTime": "2026-03-01T10:15:00Z", "loggedByService": "Core Directory",
        "operationType": "Add", "initiatedBy": {"user": null, "app": {"displayName": "Provisioner"}},
        "targetResources": [{"id": "u-2", "modifiedProperties": [{"displayName": "x", "newValue": "\"y\""}]}],
    });
    expect(
        audit(&graph),
        &[
            ("_EventId", "a-1"),
            ("OperationName", "Add user"),
            ("AADOperationType", "Add"),
            ("Identity", "Provisioner"),
            ("Result", "success"),
            (
                "TargetResources",
                r#"[{"id":"u-2","modifiedProperties":[{"displayName":"x","newValue":"\"y\""}]}]"#,
            ),
        ],
    );
    let row = json!({"TimeGenerated": "2026-03-01T10:15:00Z", "Id": "a-1", "OperationName": "Add user"});
    expect(audit(&row), &[("_EventId", "a-1"), ("OperationName", "Add user")]);
}

#[test]
fn equal_cost_lines_stay_two_and_a_restated_line_keeps_its_key() {
    let line = |cost: &str| {
        json!({"BilledCost": cost, "ChargePeriodStart": "2026-03-01 00:00:00", "ServiceName": "Amazon EC2",
            "RegionId": "NULL", "Tags": "{\"env\": \"prod\"}", "x_Operation": "RunInstances", "BillingCurrency": "USD"})
    };
    let costs = for_table("Costs").expect("a table of ours");
    let read = |lines: &[Value]| -> Vec<(String, String)> {
        let mut reading = costs.reading();
        lines
            .iter()
            .map(|line| expect(reading.row(line), &[("RegionId", "null"), ("Tags", r#"{"env":"prod"}"#)]))
            .map(|row| (show(&row, "_RowKey"), id(&row)))
            .collect()
    };
    let first = read(&[line("1.5"), line("1.5"), line("2")]);
    assert_eq!(
        first,
        read(&[line("1.5"), line("1.5"), line("2")]),
        "the same file gives the same identities"
    );
    let ids: std::collections::BTreeSet<_> = first.iter().map(|(_, id)| id).collect();
    let keys: std::collections::BTreeSet<_> = first.iter().map(|(key, _)| key).collect();
    assert_eq!((ids.len(), keys.len()), (3, 3));

    let restated = read(&[line("1.75")]);
    assert_eq!(restated[0].0, first[0].0, "another amount is the next version of the same line");
    assert_ne!(restated[0].1, first[0].1);

    let other =
        json!({"BilledCost": "1.5", "ChargePeriodStart": "2026-03-01", "x_Operation": "StopInstances"});
    assert_ne!(show(&expect(focus(&other), &[]), "_RowKey"), first[0].0);
    assert_eq!(
        focus(&json!({"ChargePeriodStart": "2026-03-01"})).map(|_| ()),
        Err(RowError::Missing("BilledCost"))
    );
}

#[test]
fn every_table_can_be_read_by_its_columns() {
    for table in provost_model::tables().iter() {
        let normaliser = for_table(table.name()).expect("every table has one");
        let column = table.stored().find(|column| column.name == "SourceSystem");
        let record = json!({"timegenerated [UTC]": "2026-03-01", "TIMESTAMP": "2026-03-01", "sourcesystem": "x",
            "ChargePeriodStart": "2026-03-01", "BilledCost": 1, "OperationName": "o", "EventName": "e", "AwsEventId": "i"});
        let row = expect(normaliser.row(&record), &[("TimeGenerated", "2026-03-01T00:00:00Z")]);
        if column.is_some() && !["AzureActivity", "AWSCloudTrail"].contains(&table.name()) {
            assert_eq!(show(&row, "SourceSystem"), "x", "{}", table.name());
        }
    }
    for (table, columns) in columns::IDENTITIES {
        let table = provost_model::tables().get(table).unwrap_or_else(|| panic!("no table {table}"));
        for column in *columns {
            assert!(table.position(column).is_some(), "{} has no column {column}", table.name());
        }
    }
    assert!(for_table("NoSuchTable").is_none());
}

#[test]
fn records_are_found_in_the_envelopes_of_files_and_answers() {
    let trail = for_table("AWSCloudTrail").expect("a table of ours");
    for (document, count) in [
        (json!({"Records": [1, 2]}), 2),
        (json!({"Events": [1], "NextToken": "t"}), 1),
        (json!([{"eventName": "a"}, {"eventName": "b"}]), 2),
        (json!({"eventName": "a"}), 1),
        (json!({"value": [], "nextLink": "l"}), 0),
        (json!({"schema": [], "results": [{"a": 1}]}), 1),
    ] {
        assert_eq!(trail.records(document.clone()).len(), count, "{document}");
    }
    let answer = json!({"tables": [{"name": "PrimaryResult", "columns": [{"name": "A"}, {"name": "B"}], "rows": [[1, 2]]}]});
    assert_eq!(trail.records(answer), vec![json!({"A": 1, "B": 2})]);
}

/// Every value inside, by its path.
fn paths(value: &Value, at: &str, into: &mut Vec<String>) {
    into.push(at.to_owned());
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                paths(value, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), into);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                paths(value, &format!("{at}/{index}"), into);
            }
        }
        _ => {}
    }
}

#[test]
fn whatever_stands_where_something_else_should_is_a_row_or_a_reason_and_the_same_each_time() {
    let records = [
        ("AWSCloudTrail", run_instances()),
        ("AWSCloudTrail", json!({"EventId": "e", "CloudTrailEvent": run_instances().to_string()})),
        (
            "AzureActivity",
            json!({"eventTimestamp": "2026-03-01T10:15:00Z", "eventDataId": "d", "operationName": {"value": "a/b"},
                "status": {"value": "Succeeded"}, "resourceId": VM, "claims": {"ipaddr": "::1"}, "properties": {"a": "b"}}),
        ),
        (
            "AzureActivity",
            json!({"time": "2026-03-01T10:15:00Z", "operationName": "a/b", "resourceId": VM,
                "identity": {"claims": {"appid": "x"}}, "properties": "{\"eventCategory\": \"Policy\"}"}),
        ),
        (
            "DeviceNetworkEvents",
            json!({"properties": {"Timestamp": "2026-03-01T10:15:00Z", "DeviceId": "d", "ReportId": 1}}),
        ),
        (
            "SigninLogs",
            json!({"id": "s", "createdDateTime": "2026-03-01T10:15:00Z", "status": {"errorCode": 1}, "location": {}}),
        ),
        (
            "AuditLogs",
            json!({"id": "a", "activityDateTime": "2026-03-01T10:15:00Z", "initiatedBy": {"user": {}}}),
        ),
        ("Costs", json!({"ChargePeriodStart": "2026-03-01", "BilledCost": "1", "Tags": "{}"})),
        ("Syslog", json!({"TimeGenerated": "2026-03-01", "SyslogMessage": "m"})),
    ];
    let odd = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e308),
        json!(u64::MAX),
        json!(""),
        json!("\u{202e}\u{0}é"),
        json!("9999-99-99T99:99:99Z"),
        json!("+262142-01-01T00:00:00Z"),
        json!("{\"a\":"),
        json!([]),
        json!([[{}]]),
        json!({"value": {"value": []}}),
    ];
    for (table, record) in records {
        let normaliser = for_table(table).expect("a table of ours");
        let mut all = Vec::new();
        paths(&record, "", &mut all);
        for path in all {
            for value in &odd {
                let mut changed = record.clone();
                *changed.pointer_mut(&path).expect("a path of the record") = value.clone();
                let read = || normaliser.row(&changed).map(|row| id(&row)).map_err(|error| error.to_string());
                assert_eq!(read(), read(), "{table} {path} {value}");
                if let Ok(id) = read() {
                    assert!(!id.is_empty(), "{table} {path} {value}");
                }
            }
        }
    }
}
