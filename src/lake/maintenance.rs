//! Keeping the lake tidy: small files into large ones, old files and old rows away.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use datafusion::logical_expr::{col, lit};
use datafusion::scalar::ScalarValue;
use provost_model::{TableSpec, tables};

use super::{DAY, Lake, LakeError};

/// What compaction did to one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compacted {
    /// The table.
    pub table: &'static str,
    /// Files that went into others.
    pub removed: u64,
    /// Files that were made of them.
    pub added: u64,
}

/// What vacuum did to one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vacuumed {
    /// The table.
    pub table: &'static str,
    /// Files deleted, or, in a dry run, that would be.
    pub files: usize,
}

/// What retention did to one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retained {
    /// The table.
    pub table: &'static str,
    /// Rows deleted.
    pub rows: u64,
    /// The first day that was kept.
    pub from: NaiveDate,
}

impl Lake {
    /// The tables that exist, or the named one.
    pub async fn existing(&self, only: Option<&str>) -> Result<Vec<&'static TableSpec>, LakeError> {
        let wanted: Vec<&'static TableSpec> = match only {
            Some(name) => vec![Self::spec(name)?],
            None => tables().iter().collect(),
        };
        let mut found = Vec::new();
        for spec in wanted {
            if self.table(spec).await?.is_some() {
                found.push(spec);
            }
        }
        Ok(found)
    }

    /// Joins small files, day by day. Queries and appends go on meanwhile.
    pub async fn compact(&self, spec: &'static TableSpec) -> Result<Compacted, LakeError> {
        let Some(table) = self.table(spec).await? else {
            return Ok(Compacted { table: spec.name(), removed: 0, added: 0 });
        };
        let (_, metrics) = table.optimize().await.map_err(|error| self.error(spec, "compact", error))?;
        Ok(Compacted {
            table: spec.name(),
            removed: metrics.num_files_removed,
            added: metrics.num_files_added,
        })
    }

    /// Deletes files that no version younger than `keep` needs.
    pub async fn vacuum(
        &self,
        spec: &'static TableSpec,
        keep: TimeDelta,
        dry_run: bool,
    ) -> Result<Vacuumed, LakeError> {
        let Some(table) = self.table(spec).await? else {
            return Ok(Vacuumed { table: spec.name(), files: 0 });
        };
        let (_, metrics) = table
            .vacuum()
            .with_retention_period(keep)
            .with_enforce_retention_duration(false)
            .with_dry_run(dry_run)
            .await
            .map_err(|error| self.error(spec, "vacuum", error))?;
        Ok(Vacuumed { table: spec.name(), files: metrics.files_deleted.len() })
    }

    /// Deletes rows of whole days older than `keep`. The files go with the next vacuum.
    pub async fn retain(
        &self,
        spec: &'static TableSpec,
        keep: TimeDelta,
        now: DateTime<Utc>,
    ) -> Result<Retained, LakeError> {
        let from = (now - keep).date_naive();
        let Some(table) = self.table(spec).await? else {
            return Ok(Retained { table: spec.name(), rows: 0, from });
        };
        let day = i32::try_from((from - NaiveDate::default()).num_days()).unwrap_or(i32::MIN);
        let old = col(format!("\"{DAY}\"")).lt(lit(ScalarValue::Date32(Some(day))));
        let (_, metrics) = table
            .delete()
            .with_predicate(old)
            .await
            .map_err(|error| self.error(spec, "delete from", error))?;
        Ok(Retained { table: spec.name(), rows: metrics.num_deleted_rows.unwrap_or(0) as u64, from })
    }
}
