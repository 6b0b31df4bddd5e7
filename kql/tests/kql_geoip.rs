//! `geo_info_from_ip_address()` over a database of one network, made here.

use std::path::PathBuf;
use std::sync::Arc;

use provost_kql::{Engine, EngineOptions, MemoryCatalog, QueryError, QueryOptions};

fn text(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("a short text");
    if length < 29 {
        [&[0x40 | length], text.as_bytes()].concat()
    } else {
        [&[0x40 | 29, length - 29], text.as_bytes()].concat()
    }
}

fn real(value: f64) -> Vec<u8> {
    [&[0x68], value.to_be_bytes().as_slice()].concat()
}

fn short(value: u16) -> Vec<u8> {
    [&[0xa2], value.to_be_bytes().as_slice()].concat()
}

fn long(value: u64) -> Vec<u8> {
    [&[0x08, 2], value.to_be_bytes().as_slice()].concat()
}

fn array(items: &[Vec<u8>]) -> Vec<u8> {
    [vec![u8::try_from(items.len()).expect("few items"), 4], items.concat()].concat()
}

fn map(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![0xe0 | u8::try_from(entries.len()).expect("few entries")];
    for (key, value) in entries {
        bytes.extend(text(key));
        bytes.extend(value);
    }
    bytes
}

fn named(name: &str) -> Vec<u8> {
    map(&[("names", map(&[("en", text(name))]))])
}

/// A database that knows the addresses from `network`.0.0.0 on, as far as the first byte goes.
fn database(network: u8, record: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for bit in 0..8_u8 {
        // Either the way goes on to the next node, or to the record behind the tree, or it ends.
        let on = if bit == 7 { 8 + 16 } else { bit + 1 };
        let records = if network << bit & 0x80 == 0 { [on, 8] } else { [8, on] };
        bytes.extend(records.iter().flat_map(|record| [0, 0, *record]));
    }
    bytes.extend([0; 16]);
    bytes.extend(record);
    bytes.extend(b"\xab\xcd\xefMaxMind.com");
    bytes.extend(map(&[
        ("node_count", [&[0xc4], 8_u32.to_be_bytes().as_slice()].concat()),
        ("record_size", short(24)),
        ("ip_version", short(4)),
        ("database_type", text("Test-City")),
        ("languages", array(&[text("en")])),
        ("binary_format_major_version", short(2)),
        ("binary_format_minor_version", short(0)),
        ("build_epoch", long(1)),
        ("description", map(&[("en", text("one network"))])),
    ]));
    bytes
}

fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, bytes).expect("the file is writable");
    path
}

async fn answer(options: EngineOptions, query: &str) -> Result<String, QueryError> {
    let engine = Engine::new(options)?;
    let prepared = engine.prepare(Arc::new(MemoryCatalog::new()), query, &QueryOptions::default()).await?;
    let rows: Vec<String> =
        prepared.collect().await?.rows().map(|row| serde_json::Value::Array(row).to_string()).collect();
    Ok(rows.join("\n"))
}

#[tokio::test]
async fn an_address_is_looked_up() {
    let record = map(&[
        ("country", named("Sweden")),
        ("city", named("Linköping")),
        ("location", map(&[("latitude", real(58.4167)), ("longitude", real(15.6167))])),
        ("subdivisions", array(&[named("Östergötland County"), named("Elsewhere")])),
    ]);
    let path = file("one_network.mmdb", &database(89, &record));
    let options = EngineOptions { geoip_database: Some(path), ..EngineOptions::default() };
    let query = "datatable(address: string)['89.160.20.128', '10.0.0.1', '::1', 'none', '']
        | extend info = geo_info_from_ip_address(address)
        | union (print address = 'constant', info = geo_info_from_ip_address('89.0.0.1'))
        | sort by isnull(info) asc, address asc
        | project address, info, tostring(info.city)";
    let given = answer(options, query).await.expect("an answer");
    let info = "{\"country\":\"Sweden\",\"state\":\"Östergötland County\",\"city\":\"Linköping\",\"latitude\":58.4167,\"longitude\":15.6167}";
    let expected = [
        format!("[\"89.160.20.128\",{info},\"Linköping\"]"),
        format!("[\"constant\",{info},\"Linköping\"]"),
        "[\"\",null,\"\"]\n[\"10.0.0.1\",null,\"\"]\n[\"::1\",null,\"\"]\n[\"none\",null,\"\"]".to_owned(),
    ];
    assert_eq!(given, expected.join("\n"));
}

#[tokio::test]
async fn without_a_database_the_query_is_refused() {
    let error = answer(EngineOptions::default(), "print geo_info_from_ip_address('10.0.0.1')").await;
    let error = error.expect_err("there is no database").to_string();
    assert!(error.contains("geo_info_from_ip_address needs a GeoIP database"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_an_error() {
    let missing = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("missing.mmdb");
    for path in [missing, file("no_database.mmdb", b"no database")] {
        let options = EngineOptions { geoip_database: Some(path), ..EngineOptions::default() };
        let error = Engine::new(options).expect_err("this is no database").to_string();
        assert!(error.starts_with("cannot read the GeoIP database"), "{error}");
    }
}
