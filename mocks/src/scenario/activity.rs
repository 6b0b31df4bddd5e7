//! The Azure activity log: what an event is, and the noise.

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};

use super::ScenarioOptions;
use super::chance::{about, chance, hex, pick, uuid};
use super::tenant::{NAT, PIPELINE_APP, Subscription, Tenant, User};
use super::time::{busy, within};

/// A record of a log, ready to be served.
#[derive(Debug, Clone)]
pub struct Record {
    /// The identity that the source gives it.
    pub id: String,
    /// When it happened.
    pub time: DateTime<Utc>,
    /// When it can be read.
    pub arrives: DateTime<Utc>,
    /// The subscription, where there is one.
    pub subscription: String,
    /// The record.
    pub body: Value,
}

/// Who acts in Azure.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    pub(crate) caller: String,
    pub(crate) from: String,
    claims: Map<String, Value>,
}

impl Actor {
    /// A person.
    pub(crate) fn person(tenant: &Tenant, user: &User, from: impl ToString) -> Self {
        let from = from.to_string();
        let claims = json!({
            "aud": "https://management.azure.com/", "iss": format!("https://sts.windows.net/{}/", tenant.id),
            "appid": "c44b4083-3bb0-49c1-b47d-974e53cbdf3c", "ipaddr": from, "name": user.display_name,
            "http://schemas.microsoft.com/identity/claims/objectidentifier": user.object_id,
            "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn": user.upn,
            "idtyp": "user", "ver": "1.0"
        });
        Self { caller: user.upn.clone(), from, claims: object(claims) }
    }

    /// A service principal; the log calls it by its object id.
    pub(crate) fn application(
        tenant: &Tenant,
        app: &str,
        app_id: &str,
        object_id: &str,
        from: impl ToString,
    ) -> Self {
        let claims = json!({
            "aud": "https://management.azure.com/", "iss": format!("https://sts.windows.net/{}/", tenant.id),
            "appid": app_id, "app_displayname": app,
            "http://schemas.microsoft.com/identity/claims/objectidentifier": object_id, "idtyp": "app", "ver": "1.0"
        });
        Self { caller: object_id.to_owned(), from: from.to_string(), claims: object(claims) }
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Something done in Azure.
#[derive(Debug, Clone)]
pub(crate) struct Operation<'a> {
    pub(crate) subscription: &'a Subscription,
    pub(crate) group: &'a str,
    /// Such as `Microsoft.Compute/virtualMachines`.
    pub(crate) kind: &'static str,
    pub(crate) resource: &'a str,
    /// Such as `write`.
    pub(crate) verb: &'static str,
    /// What the provider answered.
    pub(crate) response: Value,
}

impl Operation<'_> {
    fn resource_id(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/{}/{}",
            self.subscription.id, self.group, self.kind, self.resource
        )
    }

    /// The two events of it: it begins, and some time later it has succeeded.
    pub(crate) fn by(
        &self,
        tenant: &Tenant,
        actor: &Actor,
        at: DateTime<Utc>,
        rng: &mut StdRng,
    ) -> [Record; 2] {
        let (operation, correlation) = (uuid(rng), uuid(rng));
        let took = TimeDelta::milliseconds(rng.random_range(900..40_000));
        [("BeginRequest", "Started", at), ("EndRequest", "Succeeded", at + took)].map(
            |(event, status, time)| {
                self.event(tenant, actor, (event, status), time, (&operation, &correlation), rng)
            },
        )
    }

    fn event(
        &self,
        tenant: &Tenant,
        actor: &Actor,
        (event, status): (&str, &str),
        time: DateTime<Utc>,
        (operation, correlation): (&str, &str),
        rng: &mut StdRng,
    ) -> Record {
        let id = uuid(rng);
        let provider = self.kind.split('/').next().unwrap_or_default();
        let action = format!("{}/{}", self.kind, self.verb);
        let resource_id = self.resource_id();
        let ended = event == "EndRequest";
        let (sub_status, sub_text) = match (ended, self.verb) {
            (true, "delete") => ("NoContent", "No Content (HTTP Status Code: 204)"),
            (true, _) => ("Created", "Created (HTTP Status Code: 201)"),
            _ => ("", ""),
        };
        // Three to twenty minutes, as documented.
        let arrives = time + TimeDelta::seconds(rng.random_range(180..1_200));
        let mut properties = json!({
            "eventCategory": "Administrative", "entity": resource_id, "message": action,
            "hierarchy": format!("{}/{}", tenant.id, self.subscription.id)
        });
        if ended {
            properties["statusCode"] = json!(sub_status);
            properties["serviceRequestId"] = json!(uuid(rng));
            if !self.response.is_null() {
                properties["responseBody"] = json!(self.response.to_string());
            }
        }
        let event_id = format!("{resource_id}/events/{id}/ticks/{}", ticks(time));
        let body = json!({
            "authorization": { "action": action, "scope": resource_id },
            "caller": actor.caller,
            "claims": actor.claims,
            "correlationId": correlation,
            "description": "",
            "eventDataId": id,
            "eventName": named(event, if ended { "End request" } else { "Begin request" }),
            "category": named("Administrative", "Administrative"),
            "eventTimestamp": azure_time(time),
            "id": event_id,
            "level": "Informational",
            "operationId": operation,
            "operationName": named(&action, &action),
            "resourceGroupName": self.group,
            "resourceProviderName": named(provider, provider),
            "resourceType": named(self.kind, self.kind),
            "resourceId": resource_id,
            "status": named(status, status),
            "subStatus": named(sub_status, sub_text),
            "submissionTimestamp": azure_time(arrives),
            "subscriptionId": self.subscription.id,
            "tenantId": tenant.id,
            "properties": properties,
            "httpRequest": {
                "clientRequestId": uuid(rng), "clientIpAddress": actor.from,
                "method": if self.verb == "delete" { "DELETE" } else { "PUT" }
            }
        });
        Record { id, time, arrives, subscription: self.subscription.id.clone(), body }
    }
}

fn named(value: &str, text: &str) -> Value {
    json!({ "value": value, "localizedValue": text })
}

/// Azure writes seven digits of a second.
pub(crate) fn azure_time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%S%.6f0Z").to_string()
}

/// Hundreds of nanoseconds since the year 1.
fn ticks(time: DateTime<Utc>) -> i64 {
    621_355_968_000_000_000 + time.timestamp_micros() * 10
}

/// What a virtual machine's `write` answers.
pub(crate) fn machine(name: &str, size: &str, location: &str) -> Value {
    json!({
        "name": name, "type": "Microsoft.Compute/virtualMachines", "location": location,
        "properties": { "hardwareProfile": { "vmSize": size }, "provisioningState": "Creating" }
    })
}

/// What a public address's `write` answers.
pub(crate) fn public_address(name: &str, ip: &str, location: &str) -> Value {
    json!({
        "name": name, "type": "Microsoft.Network/publicIPAddresses", "location": location,
        "sku": { "name": "Standard" },
        "properties": { "provisioningState": "Succeeded", "ipAddress": ip, "publicIPAllocationMethod": "Static",
            "publicIPAddressVersion": "IPv4" }
    })
}

/// The noise of all subscriptions in one hour, in order.
pub(crate) fn hour(
    options: &ScenarioOptions,
    tenant: &Tenant,
    index: u64,
    hour: DateTime<Utc>,
) -> Vec<Record> {
    let mut rng = chance(options.seed, "activity", index);
    let rng = &mut rng;
    let mut records = Vec::new();
    for subscription in &tenant.subscriptions {
        // Policies write by themselves, day and night.
        if rng.random_bool(0.4) {
            let at = early(rng, hour);
            records.extend(policy(rng, tenant, subscription, at));
        }
        for _ in 0..about(rng, 0.8 * busy(hour)) {
            let at = early(rng, hour);
            records.extend(by_person(rng, tenant, subscription, at));
        }
    }
    if hour.hour() == 10 {
        let at = hour + TimeDelta::minutes(4);
        records.extend(pipeline_run(rng, tenant, at));
    }
    records.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
    records
}

/// Early enough for the end of the operation to fall in the same hour.
fn early(rng: &mut StdRng, hour: DateTime<Utc>) -> DateTime<Utc> {
    within(rng, hour).min(hour + TimeDelta::minutes(59))
}

fn policy(rng: &mut StdRng, tenant: &Tenant, subscription: &Subscription, at: DateTime<Utc>) -> [Record; 2] {
    let actor = Actor::application(
        tenant,
        "Azure Policy",
        "1d78a85d-813d-46f0-b496-dd72f50a3ec0",
        "a3b7e1c4-5d2f-4b8a-9c6e-0f1d2e3a4b5c",
        "",
    );
    let name = format!("diag-{}", hex(rng, 6));
    Operation {
        subscription,
        group: pick(rng, &subscription.groups).as_str(),
        kind: "Microsoft.Authorization/policies",
        resource: &name,
        verb: "auditIfNotExists/action",
        response: Value::Null,
    }
    .by(tenant, &actor, at, rng)
}

fn by_person(
    rng: &mut StdRng,
    tenant: &Tenant,
    subscription: &Subscription,
    at: DateTime<Utc>,
) -> [Record; 2] {
    const WORK: [(&str, &str, &str); 6] = [
        ("Microsoft.Storage/storageAccounts", "listKeys/action", "stnorthwind"),
        ("Microsoft.Web/sites", "config/write", "app-portal"),
        ("Microsoft.KeyVault/vaults", "write", "kv-shared"),
        ("Microsoft.Resources/tags", "write", "default"),
        ("Microsoft.Compute/virtualMachines", "restart/action", "vm-build-01"),
        ("Microsoft.Insights/diagnosticSettings", "write", "to-workspace"),
    ];
    let engineers = tenant.engineers();
    let user = pick(rng, &engineers);
    let actor = Actor::person(tenant, user, NAT);
    let (kind, verb, resource) = *pick(rng, &WORK);
    let group = pick(rng, &subscription.groups).as_str();
    Operation { subscription, group, kind, resource, verb, response: Value::Null }.by(tenant, &actor, at, rng)
}

/// The approved pipeline renews an environment each morning, machines and addresses included.
fn pipeline_run(rng: &mut StdRng, tenant: &Tenant, began: DateTime<Utc>) -> Vec<Record> {
    let subscription = &tenant.subscriptions[0];
    let group = &subscription.groups[0];
    let actor = Actor::application(
        tenant,
        PIPELINE_APP,
        &tenant.pipeline_app_id,
        &tenant.pipeline_object_id,
        super::provisioning::PIPELINE_ADDRESS,
    );
    let mut at = began;
    let mut records = Vec::new();
    for place in 0..3 {
        let (vm, address) = (format!("vm-e2e-{place}"), format!("pip-e2e-{place}"));
        let ip = format!("198.51.100.{}", 120 + place);
        let steps = [
            (
                "Microsoft.Network/publicIPAddresses",
                address.as_str(),
                "write",
                public_address(&address, &ip, "westeurope"),
            ),
            (
                "Microsoft.Compute/virtualMachines",
                vm.as_str(),
                "write",
                machine(&vm, "Standard_D2s_v5", "westeurope"),
            ),
        ];
        for (kind, resource, verb, response) in steps {
            at += TimeDelta::seconds(rng.random_range(4..30));
            records.extend(
                Operation { subscription, group, kind, resource, verb, response }.by(tenant, &actor, at, rng),
            );
        }
    }
    at += TimeDelta::minutes(25);
    for place in 0..3 {
        at += TimeDelta::seconds(10);
        let vm = format!("vm-e2e-{place}");
        let delete = Operation {
            subscription,
            group,
            kind: "Microsoft.Compute/virtualMachines",
            resource: &vm,
            verb: "delete",
            response: Value::Null,
        };
        records.extend(delete.by(tenant, &actor, at, rng));
    }
    records
}
