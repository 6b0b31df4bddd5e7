//! One table of the lake as it was seen last, with what was learned of that version.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use deltalake_core::{DeltaTable, DeltaTableError};
use serde::Deserialize;

use super::rows::TableRows;

/// Commits that are read one by one to learn what moved; with more of them the log is asked anew.
const FEW_COMMITS: u64 = 64;

/// A Delta table at a version.
pub(super) struct OpenTable {
    table: DeltaTable,
    /// Application transactions by name. The log answers each by reading all of itself, so that answers are kept,
    /// and brought up to date from newer commits.
    positions: HashMap<String, Option<i64>>,
    /// All rows, and the latest version of each, at this version of the table.
    pub(super) rows: Option<Arc<TableRows>>,
    pub(super) latest: Option<Arc<dyn TableProvider>>,
}

/// A line of a commit, as far as positions are concerned.
#[derive(Deserialize)]
struct Action {
    txn: Option<Txn>,
}

#[derive(Deserialize)]
struct Txn {
    #[serde(rename = "appId")]
    app_id: String,
    version: i64,
}

impl OpenTable {
    pub(super) fn new(table: DeltaTable) -> Self {
        Self { table, positions: HashMap::new(), rows: None, latest: None }
    }

    pub(super) fn table(&self) -> &DeltaTable {
        &self.table
    }

    /// Goes on to the newest version.
    pub(super) async fn refresh(&mut self) -> Result<(), DeltaTableError> {
        let before = self.table.version();
        self.table.update_state().await?;
        let now = self.table.version();
        if before == now {
            return Ok(());
        }
        self.rows = None;
        self.latest = None;
        let commits = before.zip(now).filter(|(before, now)| now - before <= FEW_COMMITS);
        let learned = match commits {
            Some((before, now)) => self.learn(before + 1, now).await,
            None => None,
        };
        if learned.is_none() {
            self.positions.clear();
        }
        Ok(())
    }

    /// Takes over what commits say of positions; nothing if one of them cannot be read any more.
    async fn learn(&mut self, first: u64, last: u64) -> Option<()> {
        for version in first..=last {
            let commit = self.table.log_store().read_commit_entry(version).await.ok()??;
            for line in commit.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                let action: Action = serde_json::from_slice(line).ok()?;
                if let Some(txn) = action.txn {
                    self.positions.insert(txn.app_id, Some(txn.version));
                }
            }
        }
        Some(())
    }

    /// The last application transaction of that name.
    pub(super) async fn position(&mut self, name: &str) -> Result<Option<i64>, DeltaTableError> {
        if let Some(position) = self.positions.get(name) {
            return Ok(*position);
        }
        let snapshot = self.table.snapshot()?;
        let position = snapshot.transaction_version(self.table.log_store().as_ref(), name).await?;
        self.positions.insert(name.to_owned(), position);
        Ok(position)
    }
}
