//! `DeviceNetworkEvents`: what an event is and how Defender shows it.

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use provost_model::{EventId, format_time};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::programs::Program;
use super::tenant::Device;

/// A network event of a device.
#[derive(Debug, Clone)]
pub struct NetworkEvent {
    /// When it happened, in whole microseconds.
    pub time: DateTime<Utc>,
    /// When Defender can show it.
    pub arrives: DateTime<Utc>,
    /// On which device.
    pub device: Arc<Device>,
    /// `ConnectionSuccess` and the like.
    pub action: &'static str,
    /// The other end.
    pub remote_ip: IpAddr,
    /// The other end's port.
    pub remote_port: u16,
    /// The name that was asked for, where known.
    pub remote_url: Option<Arc<str>>,
    /// This end's port.
    pub local_port: u16,
    /// Who connects.
    pub program: &'static Program,
    /// The process.
    pub process_id: u32,
    /// When the process began.
    pub process_began: DateTime<Utc>,
    /// The device's own number, which repeats.
    pub report_id: i64,
}

impl NetworkEvent {
    /// The identity that the lake gives it: table, report, device and time.
    pub fn id(&self) -> String {
        let id = EventId::of(&[
            "DeviceNetworkEvents",
            &self.report_id.to_string(),
            &self.device.id,
            &format_time(self.time),
        ]);
        id.as_str().to_owned()
    }

    /// This end's address, of the same kind as the other end's.
    pub fn local_ip(&self) -> IpAddr {
        if self.remote_ip.is_ipv6() { self.device.local_ip6 } else { self.device.local_ip }
    }

    /// The columns as advanced hunting gives them.
    pub fn columns(&self) -> Map<String, Value> {
        let program = self.program;
        let (account, domain, sid, upn, object) = if program.system {
            ("system", "nt authority", "S-1-5-18", "", "")
        } else {
            let user = &self.device.user;
            (
                user.account.as_str(),
                "northwind",
                user.sid.as_str(),
                user.upn.as_str(),
                user.object_id.as_str(),
            )
        };
        let mut columns = Map::with_capacity(52);
        let mut put = |name: &str, value: Value| columns.insert(name.to_owned(), value);
        put("Timestamp", defender_time(self.time));
        put("DeviceId", json!(self.device.id));
        put("DeviceName", json!(self.device.name));
        put("ActionType", json!(self.action));
        put("RemoteIP", json!(self.remote_ip.to_string()));
        put("RemotePort", json!(self.remote_port));
        put("RemoteUrl", json!(self.remote_url.as_deref().unwrap_or_default()));
        put("LocalIP", json!(self.local_ip().to_string()));
        put("LocalPort", json!(self.local_port));
        put("Protocol", json!(if self.remote_port == 53 { "Udp" } else { "Tcp" }));
        put("LocalIPType", json!("Private"));
        put("RemoteIPType", json!(ip_type(self.remote_ip)));
        let hash = digest(program.file, 64);
        put("InitiatingProcessSHA1", json!(hash[..40]));
        put("InitiatingProcessSHA256", json!(hash));
        put("InitiatingProcessMD5", json!(hash[..32]));
        put("InitiatingProcessFileName", json!(program.file));
        put("InitiatingProcessFileSize", json!(program.size));
        put("InitiatingProcessVersionInfoCompanyName", json!(program.company));
        put("InitiatingProcessVersionInfoProductName", json!(program.product));
        put("InitiatingProcessVersionInfoProductVersion", json!(program.version));
        put("InitiatingProcessVersionInfoInternalFileName", json!(program.file.trim_end_matches(".exe")));
        put("InitiatingProcessVersionInfoOriginalFileName", json!(program.file));
        put("InitiatingProcessVersionInfoFileDescription", json!(program.product));
        put("InitiatingProcessId", json!(self.process_id));
        put("InitiatingProcessCommandLine", json!(program.command));
        put("InitiatingProcessCreationTime", defender_time(self.process_began));
        put("InitiatingProcessFolderPath", json!(format!("{}\\{}", program.folder, program.file)));
        put("InitiatingProcessParentFileName", json!(program.parent));
        put("InitiatingProcessParentId", json!(self.process_id / 2 + 4));
        put("InitiatingProcessParentCreationTime", defender_time(self.process_began - TimeDelta::minutes(9)));
        put("InitiatingProcessAccountDomain", json!(domain));
        put("InitiatingProcessAccountName", json!(account));
        put("InitiatingProcessAccountSid", json!(sid));
        put("InitiatingProcessAccountUpn", json!(upn));
        put("InitiatingProcessAccountObjectId", json!(object));
        put("InitiatingProcessIntegrityLevel", json!(if program.system { "System" } else { "Medium" }));
        put(
            "InitiatingProcessTokenElevation",
            json!(if program.system { "TokenElevationTypeDefault" } else { "TokenElevationTypeLimited" }),
        );
        put("ReportId", json!(self.report_id));
        put("AppGuardContainerId", json!(""));
        put("AdditionalFields", json!(self.additional_fields()));
        put("InitiatingProcessSessionId", json!(if program.system { 0 } else { 1 }));
        put("IsInitiatingProcessRemoteSession", json!(false));
        put("InitiatingProcessRemoteSessionDeviceName", json!(""));
        put("InitiatingProcessRemoteSessionIP", json!(""));
        put(
            "InitiatingProcessUniqueId",
            json!(digest(&format!("{}{}", self.device.id, self.process_id), 16)),
        );
        columns
    }

    /// Hunting gives this column as text that holds JSON.
    fn additional_fields(&self) -> String {
        match (self.action, &self.remote_url) {
            ("SslConnectionInspected", Some(name)) => {
                json!({ "direction": "Out", "server_name": &**name, "established": true, "version": "TLSv13" })
                    .to_string()
            }
            ("DnsConnectionInspected", Some(name)) => {
                json!({ "direction": "Out", "query": &**name, "qtype_name": "A", "rcode_name": "NOERROR" }).to_string()
            }
            _ => String::new(),
        }
    }
}

fn ip_type(ip: IpAddr) -> &'static str {
    match ip {
        IpAddr::V4(v4) if v4.is_private() => "Private",
        IpAddr::V4(v4) if v4.is_loopback() => "Loopback",
        IpAddr::V6(v6) if v6.is_unique_local() => "Private",
        _ => "Public",
    }
}

/// Defender writes seven digits of a second.
fn defender_time(time: DateTime<Utc>) -> Value {
    Value::String(time.format("%Y-%m-%dT%H:%M:%S%.6f0Z").to_string())
}

fn digest(text: &str, digits: usize) -> String {
    Sha256::digest(text).iter().flat_map(|byte| [byte >> 4, byte & 15]).take(digits).fold(
        String::with_capacity(digits),
        |mut hex, nibble| {
            // A nibble always is a digit to the base of 16.
            hex.push(char::from_digit(nibble.into(), 16).unwrap_or_default());
            hex
        },
    )
}

/// The names and types of the columns, in the order in which hunting gives them.
pub(crate) const COLUMNS: [(&str, &str); 45] = [
    ("Timestamp", "DateTime"),
    ("DeviceId", "String"),
    ("DeviceName", "String"),
    ("ActionType", "String"),
    ("RemoteIP", "String"),
    ("RemotePort", "Int32"),
    ("RemoteUrl", "String"),
    ("LocalIP", "String"),
    ("LocalPort", "Int32"),
    ("Protocol", "String"),
    ("LocalIPType", "String"),
    ("RemoteIPType", "String"),
    ("InitiatingProcessSHA1", "String"),
    ("InitiatingProcessSHA256", "String"),
    ("InitiatingProcessMD5", "String"),
    ("InitiatingProcessFileName", "String"),
    ("InitiatingProcessFileSize", "Int64"),
    ("InitiatingProcessVersionInfoCompanyName", "String"),
    ("InitiatingProcessVersionInfoProductName", "String"),
    ("InitiatingProcessVersionInfoProductVersion", "String"),
    ("InitiatingProcessVersionInfoInternalFileName", "String"),
    ("InitiatingProcessVersionInfoOriginalFileName", "String"),
    ("InitiatingProcessVersionInfoFileDescription", "String"),
    ("InitiatingProcessId", "Int64"),
    ("InitiatingProcessCommandLine", "String"),
    ("InitiatingProcessCreationTime", "DateTime"),
    ("InitiatingProcessFolderPath", "String"),
    ("InitiatingProcessParentFileName", "String"),
    ("InitiatingProcessParentId", "Int64"),
    ("InitiatingProcessParentCreationTime", "DateTime"),
    ("InitiatingProcessAccountDomain", "String"),
    ("InitiatingProcessAccountName", "String"),
    ("InitiatingProcessAccountSid", "String"),
    ("InitiatingProcessAccountUpn", "String"),
    ("InitiatingProcessAccountObjectId", "String"),
    ("InitiatingProcessIntegrityLevel", "String"),
    ("InitiatingProcessTokenElevation", "String"),
    ("ReportId", "Int64"),
    ("AppGuardContainerId", "String"),
    ("AdditionalFields", "String"),
    ("InitiatingProcessSessionId", "Int64"),
    ("IsInitiatingProcessRemoteSession", "SByte"),
    ("InitiatingProcessRemoteSessionDeviceName", "String"),
    ("InitiatingProcessRemoteSessionIP", "String"),
    ("InitiatingProcessUniqueId", "String"),
];
