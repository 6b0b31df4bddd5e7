//! Keeping the lake tidy: small files into large ones, old files and old rows away.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use deltalake_core::kernel::transaction::CommitBuilder;
use deltalake_core::kernel::{Action, Remove};
use deltalake_core::logstore::object_store::path::Path;
use deltalake_core::protocol::DeltaOperation;
use deltalake_core::writer::{DeltaWriter, RecordBatchWriter};
use deltalake_core::{DeltaTable, DeltaTableError};
use futures::TryStreamExt;
use provost_model::{TableSpec, tables};

use super::data_files::{DataFile, data_files};
use super::rows::TableRows;
use super::{DAY, Lake, LakeError};

/// How many bytes of small files make up one that is left as it is.
const JOINED: u64 = 128 << 20;

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
        let mut done = Compacted { table: spec.name(), removed: 0, added: 0 };
        let Some(table) = self.table(spec).await? else {
            return Ok(done);
        };
        let rows = self.rows(spec, &table)?;
        for files in to_join(rows.files()) {
            let added = self.join(spec, &table, &rows, &files).await?;
            done.removed += files.len() as u64;
            done.added += added as u64;
        }
        Ok(done)
    }

    /// Writes the rows of some files of a day into one, which takes their place in one commit.
    async fn join(
        &self,
        spec: &'static TableSpec,
        table: &DeltaTable,
        rows: &TableRows,
        files: &[&DataFile],
    ) -> Result<usize, LakeError> {
        let fail = |error| self.error(spec, "compact", error);
        let mut writer = RecordBatchWriter::for_table(table).map_err(fail)?;
        let unread = |error| self.engine_error(spec, "compact", error);
        let mut batches = rows.read(files, &self.session).await.map_err(unread)?;
        while let Some(batch) = batches.try_next().await.map_err(unread)? {
            writer.write(batch).await.map_err(fail)?;
        }
        let mut adds = writer.flush().await.map_err(fail)?;
        for add in &mut adds {
            add.data_change = false;
        }
        let joined: HashSet<_> = files.iter().map(|file| file.path()).collect();
        let removes = removes(table, false, |path| joined.contains(path)).map_err(fail)?;
        let count = adds.len();
        let actions = adds.into_iter().map(Action::Add).chain(removes.into_iter().map(Action::Remove));
        let operation = DeltaOperation::Optimize { predicate: None, target_size: JOINED as i64 };
        let state = table.snapshot().map_err(fail)?;
        CommitBuilder::default()
            .with_actions(actions.collect())
            .build(Some(state), table.log_store(), operation)
            .await
            .map_err(fail)?;
        Ok(count)
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
        let fail = |error| self.error(spec, "delete from", error);
        let day = i32::try_from((from - NaiveDate::default()).num_days()).unwrap_or(i32::MIN);
        let files = data_files(&table).map_err(fail)?;
        let old: Vec<&DataFile> =
            files.iter().filter(|file| file.spans.day.is_some_and(|other| other < day)).collect();
        if old.is_empty() {
            return Ok(Retained { table: spec.name(), rows: 0, from });
        }
        let paths: HashSet<_> = old.iter().map(|file| file.path()).collect();
        let removes = removes(&table, true, |path| paths.contains(path)).map_err(fail)?;
        let operation = DeltaOperation::Delete { predicate: Some(format!("{DAY} < '{from}'")) };
        let state = table.snapshot().map_err(fail)?;
        CommitBuilder::default()
            .with_actions(removes.into_iter().map(Action::Remove).collect())
            .build(Some(state), table.log_store(), operation)
            .await
            .map_err(fail)?;
        let rows = old.iter().map(|file| file.rows.unwrap_or_default() as u64).sum();
        Ok(Retained { table: spec.name(), rows, from })
    }
}

/// Which files go together into one: files of a day that are small, as many as make up a large one.
fn to_join(files: &[DataFile]) -> Vec<Vec<&DataFile>> {
    let mut by_day: BTreeMap<Option<i32>, Vec<&DataFile>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.size() < JOINED) {
        by_day.entry(file.spans.day).or_default().push(file);
    }
    let mut joins = Vec::new();
    for mut files in by_day.into_values() {
        files.sort_by_key(|file| file.spans.happened);
        let (mut join, mut size) = (Vec::new(), 0);
        for file in files {
            if size + file.size() > JOINED {
                joins.push(std::mem::take(&mut join));
                size = 0;
            }
            size += file.size();
            join.push(file);
        }
        joins.push(join);
    }
    joins.retain(|join| join.len() > 1);
    joins
}

/// The actions that take files out of a table.
fn removes(
    table: &DeltaTable,
    data_change: bool,
    chosen: impl Fn(&Path) -> bool,
) -> Result<Vec<Remove>, DeltaTableError> {
    let files = table.snapshot()?.log_data();
    let chosen = files.into_iter().filter(|file| chosen(&file.object_store_path()));
    Ok(chosen.map(|file| file.remove_action(data_change)).collect())
}
