//! Asking the lake.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use provost_kql::{Catalog, Engine, Prepared, QueryOptions, Scalar};
use provost_model::{Entity, EntityKind, parse_time};
use serde_json::{Map, Value};

/// A row of an answer, by column.
pub(crate) type Row = Map<String, Value>;

/// What the lake said.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The rows.
    pub(crate) rows: Vec<Row>,
    /// Whether the row limit was reached.
    pub(crate) cut: bool,
}

/// Runs a query to its end.
pub(crate) async fn rows(
    engine: &Engine,
    catalog: &Arc<dyn Catalog>,
    text: &str,
    options: &QueryOptions,
) -> Result<Answer, String> {
    let prepared =
        engine.prepare(Arc::clone(catalog), text, options).await.map_err(|error| error.to_string())?;
    answer(prepared, options).await
}

/// Runs a query that is ready.
pub(crate) async fn answer(prepared: Prepared, options: &QueryOptions) -> Result<Answer, String> {
    let result = prepared.collect().await.map_err(|error| error.to_string())?;
    let rows: Vec<Row> = result.objects().collect();
    let cut = options.row_limit.is_some_and(|limit| rows.len() >= limit);
    Ok(Answer { rows, cut })
}

/// The names under which a query finds the entities, one list for each kind.
pub(crate) const LISTS: [(&str, EntityKind); 9] = [
    ("Accounts", EntityKind::Account),
    ("Asns", EntityKind::Asn),
    ("Credentials", EntityKind::Credential),
    ("Domains", EntityKind::Domain),
    ("Hosts", EntityKind::Host),
    ("Ips", EntityKind::Ip),
    ("Principals", EntityKind::Principal),
    ("Processes", EntityKind::Process),
    ("Resources", EntityKind::Resource),
];

/// The entities and the span of time as constants of a query.
pub(crate) fn scalars(
    entities: &BTreeSet<Entity>,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> BTreeMap<String, Scalar> {
    let lists = LISTS.iter().map(|&(name, kind)| {
        let of_kind = entities.iter().filter(|entity| entity.kind() == kind);
        let values = of_kind.map(|entity| Value::from(entity.value())).collect();
        (name.to_owned(), Scalar::Dynamic(Value::Array(values)))
    });
    let ends = [("From".to_owned(), Scalar::Datetime(from)), ("To".to_owned(), Scalar::Datetime(to))];
    lists.chain(ends).collect()
}

/// A column as a number.
pub(crate) fn number(row: &Row, column: &str) -> Option<f64> {
    row.get(column).and_then(Value::as_f64)
}

/// A column as a moment.
pub(crate) fn time(row: &Row, column: &str) -> Option<DateTime<Utc>> {
    row.get(column).and_then(Value::as_str).and_then(|text| parse_time(text).ok())
}
