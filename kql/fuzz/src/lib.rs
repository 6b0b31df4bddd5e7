//! What the fuzz targets share: an engine within narrow bounds, and a catalog with a column of every type.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use provost_kql::{Column, Engine, EngineOptions, KqlType, MemoryCatalog, QueryOptions};
use serde_json::json;
use tokio::runtime::Runtime;

/// What a query is run with.
pub struct Bench {
    /// The engine.
    pub engine: Engine,
    /// The tables `T` and `U`.
    pub catalog: Arc<MemoryCatalog>,
    /// Where it runs: on this thread, so that a panic is seen.
    pub runtime: Runtime,
}

/// The one bench of the process.
pub fn bench() -> &'static Bench {
    static BENCH: OnceLock<Bench> = OnceLock::new();
    BENCH.get_or_init(|| Bench {
        engine: Engine::new(EngineOptions {
            memory_limit: Some(64 << 20),
            target_partitions: Some(1),
            ..EngineOptions::default()
        })
        .expect("an engine in memory starts"),
        catalog: Arc::new(catalog()),
        runtime: tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime on one thread starts"),
    })
}

/// Bounds that no query of the fuzzer may leave, at a fixed time.
pub fn options() -> QueryOptions {
    QueryOptions {
        now: chrono::DateTime::from_timestamp(1_767_225_600, 0).expect("an instant"),
        row_limit: Some(1_000),
        time_limit: Some(Duration::from_secs(2)),
        ..QueryOptions::default()
    }
}

fn catalog() -> MemoryCatalog {
    let columns = [
        ("b", KqlType::Bool),
        ("i", KqlType::Int),
        ("l", KqlType::Long),
        ("r", KqlType::Real),
        ("m", KqlType::Decimal),
        ("s", KqlType::String),
        ("t", KqlType::Datetime),
        ("p", KqlType::Timespan),
        ("g", KqlType::Guid),
        ("d", KqlType::Dynamic),
    ];
    let columns = columns.map(|(name, kind)| Column::new(name, kind)).to_vec();
    let rows = [
        json!({"b": true, "i": 1, "l": -5, "r": 0.5, "m": "1.25", "s": "a b,c", "t": "2026-01-02T03:04:05Z",
            "p": "01:00:00", "g": "6f3b0c52-1d0e-4c55-9a5c-0c2f4a1c7b11", "d": {"k": [1, "x"]}}),
        json!({"b": false, "i": i32::MIN, "l": i64::MIN, "r": -1e300, "m": "-0.1", "s": "", "t": "0001-01-01T00:00:00Z",
            "p": "-10675199.02:48:05", "d": []}),
        json!({"i": i32::MAX, "l": i64::MAX, "r": 1e300, "s": "10.0.0.1", "t": "9999-12-31T23:59:59Z",
            "p": "10675199.02:48:05", "d": "text"}),
        json!({}),
    ];
    let mut catalog = MemoryCatalog::new();
    catalog.add_json("T", columns.clone(), &rows).expect("the rows are a table");
    catalog.add_json("U", columns, &rows[..1]).expect("the rows are a table");
    catalog
}
