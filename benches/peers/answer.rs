//! Answers as sets of rows that can be compared: the engines print times and numbers each in their way.

use std::collections::BTreeMap;

use provost_kql::ResultSet;
use serde_json::Value;

/// How often each row occurs.
pub(crate) struct Answer(BTreeMap<String, usize>);

impl Answer {
    pub(crate) fn of(result: &ResultSet) -> Self {
        Self::from_rows(result.rows().collect())
    }

    pub(crate) fn from_rows(rows: Vec<Vec<Value>>) -> Self {
        let mut counted = BTreeMap::new();
        for row in rows {
            let row: Vec<String> = row.iter().map(normal).collect();
            *counted.entry(row.join(" | ")).or_default() += 1;
        }
        Self(counted)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.values().sum()
    }

    /// What the two do not have in common, the first of it; empty where they are equal.
    pub(crate) fn difference(&self, other: &Self) -> String {
        let only = |these: &Self, those: &Self| {
            let row = these.0.iter().find(|(row, count)| those.0.get(*row) != Some(count));
            row.map(|(row, count)| format!("{count} times [{row}]"))
        };
        match (only(self, other), only(other, self)) {
            (None, None) => String::new(),
            (ours, theirs) => format!(
                "{} rows here, {} there; only here: {}; only there: {}",
                self.len(),
                other.len(),
                ours.unwrap_or_default(),
                theirs.unwrap_or_default()
            ),
        }
    }
}

/// Equal values, equal texts: reals to eight digits. Queries give times as seconds since the epoch.
fn normal(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (None, Some(real)) if real.fract() != 0.0 => format!("{real:.7e}"),
            (None, Some(whole)) => format!("{whole:.0}"),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}
