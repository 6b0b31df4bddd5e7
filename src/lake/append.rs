//! Appending rows: deduped, together with the proof of what they cover.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Date32Array, RecordBatch, StringArray};
use arrow::array::{Int64Array, TimestampMicrosecondArray};
use arrow::compute::{filter_record_batch, sort_to_indices, take_record_batch};
use arrow::datatypes::TimestampMicrosecondType;
use chrono::{DateTime, Utc};
use datafusion::logical_expr::{col, lit};
use datafusion::scalar::ScalarValue;
use deltalake_core::DeltaTable;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake_core::kernel::{Action, Add, Transaction};
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::writer::{DeltaWriter, RecordBatchWriter};
use futures::TryStreamExt;
use provost_model::TableSpec;
use sha2::{Digest, Sha256};

use super::{DAY, Lake, LakeError, stored_schema};

/// The application transaction that every append to a table moves on: of two appends that began on one version of
/// the table, the second one cannot commit without looking again.
const APPENDS: &str = "provost/appends";
/// How often an append looks again before it gives up to its caller.
const ATTEMPTS: usize = 20;
const MICROS_PER_DAY: i64 = 86_400_000_000;

/// What an append proves besides its rows: the job and partition `name` is covered up to `position`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Job and partition.
    pub name: String,
    /// Microseconds since the epoch.
    pub position: i64,
    /// The position this one builds on; where the lake has another one, somebody else won the window.
    pub expected: Option<i64>,
    /// A second instant that goes with it, kept under the name with `#from` behind it: where the cover begins.
    pub from: Option<i64>,
}

/// What an append did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Appended {
    /// Rows that are now in the table.
    pub written: u64,
    /// Rows that the table already had.
    pub duplicates: u64,
    /// Event time of the first and the last row written.
    pub span: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

/// An append under way. Files are written as rows come; they count once [`Append::commit`] is done.
#[derive(Debug)]
pub struct Append<'a> {
    lake: &'a Lake,
    spec: &'static TableSpec,
    table: DeltaTable,
    writer: RecordBatchWriter,
    source: String,
    now: DateTime<Utc>,
    ids: HashSet<u128>,
    span: Option<(i64, i64)>,
    done: Appended,
}

impl Lake {
    /// Begins an append. `source` is kept in `_Source`, `now` in `_IngestedAt`.
    pub async fn append(
        &self,
        spec: &'static TableSpec,
        source: impl Into<String>,
        now: DateTime<Utc>,
    ) -> Result<Append<'_>, LakeError> {
        let table = self.table_for_writing(spec).await?;
        let writer =
            RecordBatchWriter::for_table(&table).map_err(|error| self.error(spec, "write", error))?;
        Ok(Append {
            lake: self,
            spec,
            table,
            writer,
            source: source.into(),
            now,
            ids: HashSet::new(),
            span: None,
            done: Appended::default(),
        })
    }

    /// How far the lake says that job and partition are covered.
    pub async fn position(&self, spec: &'static TableSpec, name: &str) -> Result<Option<i64>, LakeError> {
        match self.newest(spec).await?.as_mut() {
            Some(open) => open.position(name).await.map_err(|error| self.error(spec, "read", error)),
            None => Ok(None),
        }
    }

    /// The ids in the table among rows of that span of event time, as digests.
    async fn known_ids(
        &self,
        spec: &'static TableSpec,
        table: &DeltaTable,
        (first, last): (i64, i64),
        wanted: &HashSet<u128>,
    ) -> Result<HashSet<u128>, LakeError> {
        let fail = |error| self.engine_error(spec, "read", error);
        let rows = self.rows(spec, table)?;
        let time = |micros| lit(ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())));
        let day = |micros: i64| {
            // A day number of any representable instant fits.
            lit(ScalarValue::Date32(Some(micros.div_euclid(MICROS_PER_DAY) as i32)))
        };
        let quoted = |name: &str| col(format!("\"{name}\""));
        let mut stream = self
            .session
            .read_table(Arc::new(rows))
            .and_then(|frame| match spec.name() {
                // Their time is when they were written down: the same fact comes again at another time.
                "Deliveries" | "Rejects" => Ok(frame),
                _ => frame
                    .filter(quoted(DAY).between(day(first), day(last)))?
                    .filter(quoted(TableSpec::TIME).between(time(first), time(last))),
            })
            .and_then(|frame| frame.select([quoted(TableSpec::EVENT_ID)]))
            .map_err(fail)?
            .execute_stream()
            .await
            .map_err(fail)?;
        let mut known = HashSet::new();
        while let Some(batch) = stream.try_next().await.map_err(fail)? {
            let ids = as_text(spec, batch.column(0))?;
            known.extend(ids.iter().flatten().map(digest).filter(|id| wanted.contains(id)));
        }
        Ok(known)
    }
}

impl Append<'_> {
    /// Writes the rows of a batch that the table does not have yet.
    pub async fn write(&mut self, batch: RecordBatch) -> Result<(), LakeError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let rows_error = |message: String| LakeError::Rows { table: self.spec.name(), message };
        let times = column(&batch, self.spec, TableSpec::TIME)?;
        let times = times
            .as_primitive_opt::<TimestampMicrosecondType>()
            .filter(|times| times.null_count() == 0)
            .ok_or_else(|| rows_error("a row has no event time".to_owned()))?
            .clone();
        let ids = as_text(self.spec, &column(&batch, self.spec, TableSpec::EVENT_ID)?)?;
        let digests: Vec<u128> = ids.iter().map(|id| digest(id.unwrap_or_default())).collect();

        let (Some(first), Some(last)) = (arrow::compute::min(&times), arrow::compute::max(&times)) else {
            return Ok(());
        };
        let wanted: HashSet<u128> = digests.iter().copied().collect();
        let known = self.lake.known_ids(self.spec, &self.table, (first, last), &wanted).await?;
        let fresh: Vec<bool> = digests.iter().map(|id| !known.contains(id) && self.ids.insert(*id)).collect();
        let written = fresh.iter().filter(|fresh| **fresh).count();
        self.done.duplicates += (fresh.len() - written) as u64;
        if written == 0 {
            return Ok(());
        }

        let kept = self.complete(&batch, &times)?;
        let kept =
            filter_record_batch(&kept, &BooleanArray::from(fresh)).map_err(|e| rows_error(e.to_string()))?;
        // In time order, so that the statistics of row groups prune by time.
        let times = column(&kept, self.spec, TableSpec::TIME)?;
        let order = sort_to_indices(&times, None, None).map_err(|e| rows_error(e.to_string()))?;
        let sorted = take_record_batch(&kept, &order).map_err(|e| rows_error(e.to_string()))?;
        if let (Some(first), Some(last)) = (
            times.as_primitive_opt::<TimestampMicrosecondType>().and_then(arrow::compute::min),
            times.as_primitive_opt::<TimestampMicrosecondType>().and_then(arrow::compute::max),
        ) {
            let (low, high) = self.span.unwrap_or((first, last));
            self.span = Some((low.min(first), high.max(last)));
        }
        self.writer.write(sorted).await.map_err(|error| self.lake.error(self.spec, "write", error))?;
        self.done.written += written as u64;
        Ok(())
    }

    /// Commits what was written and, in the same Delta commit, the progress. An append without rows and without
    /// progress commits nothing.
    pub async fn commit(mut self, progress: Option<Progress>) -> Result<Appended, LakeError> {
        let adds: Vec<Add> =
            self.writer.flush().await.map_err(|error| self.lake.error(self.spec, "write", error))?;
        if adds.is_empty() && progress.is_none() {
            return Ok(self.done);
        }
        let committed = self.commit_files(&adds, progress.as_ref()).await;
        // After any other error the commit may stand all the same: its files must stay.
        if matches!(committed, Err(LakeError::Conflict { .. })) {
            self.discard(&adds).await;
        }
        committed?;
        self.done.span = self.span.and_then(|(first, last)| {
            Some((DateTime::from_timestamp_micros(first)?, DateTime::from_timestamp_micros(last)?))
        });
        Ok(self.done)
    }

    async fn commit_files(&mut self, adds: &[Add], progress: Option<&Progress>) -> Result<(), LakeError> {
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                self.look_again().await?;
            }
            if let Some(progress) = progress {
                let position = self.lake.position(self.spec, &progress.name).await?;
                if position != progress.expected {
                    return Err(LakeError::Conflict { table: self.spec.name() });
                }
            }
            match self.try_commit(adds, progress).await {
                Err(LakeError::Conflict { .. }) => {}
                other => return other,
            }
        }
        Err(LakeError::Conflict { table: self.spec.name() })
    }

    async fn try_commit(&mut self, adds: &[Add], progress: Option<&Progress>) -> Result<(), LakeError> {
        let fail = |error| self.lake.error(self.spec, "commit to", error);
        let appends = self.lake.position(self.spec, APPENDS).await?.unwrap_or(0);
        let mut transactions = vec![Transaction::new(APPENDS, appends + 1)];
        let mut metadata: HashMap<String, serde_json::Value> = HashMap::new();
        metadata.insert("provost.source".to_owned(), self.source.clone().into());
        if let Some(progress) = progress {
            transactions.push(Transaction::new(&progress.name, progress.position));
            if let Some(from) = progress.from {
                transactions.push(Transaction::new(format!("{}#from", progress.name), from));
            }
            metadata.insert("provost.progress".to_owned(), progress.name.clone().into());
            metadata.insert("provost.position".to_owned(), progress.position.into());
        }
        let properties =
            CommitProperties::default().with_application_transactions(transactions).with_metadata(metadata);
        let operation = DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: Some(vec![DAY.to_owned()]),
            predicate: None,
        };
        let state = self.table.snapshot().map_err(fail)?.clone();
        CommitBuilder::from(properties)
            .with_actions(adds.iter().cloned().map(Action::Add).collect())
            .build(Some(&state), self.table.log_store(), operation)
            .await
            .map_err(fail)?;
        Ok(())
    }

    /// After a lost race: take the newer version of the table, unless its rows are some of ours.
    async fn look_again(&mut self) -> Result<(), LakeError> {
        let newer =
            self.lake.table(self.spec).await?.ok_or(LakeError::Conflict { table: self.spec.name() })?;
        if let Some(span) = self.span {
            let known = self.lake.known_ids(self.spec, &newer, span, &self.ids).await?;
            // `ids` also holds rows that were duplicates within this append, never rows the table had before.
            if !known.is_empty() {
                return Err(LakeError::Conflict { table: self.spec.name() });
            }
        }
        self.table = newer;
        Ok(())
    }

    /// Files that no commit names are only waste, which `lake vacuum` removes too: this is a courtesy.
    async fn discard(&mut self, adds: &[Add]) {
        use deltalake_core::logstore::object_store::ObjectStoreExt as _;
        let store = self.table.object_store();
        for add in adds {
            let path = deltalake_core::Path::from(add.path.as_str());
            if let Err(error) = store.delete(&path).await {
                tracing::debug!(path = %path, %error, "uncommitted file left for vacuum");
            }
        }
    }

    /// The batch with the columns that the lake itself fills.
    fn complete(
        &self,
        batch: &RecordBatch,
        times: &TimestampMicrosecondArray,
    ) -> Result<RecordBatch, LakeError> {
        let rows = batch.num_rows();
        let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
        let mut put = |name: &str, array: ArrayRef| {
            if let Some(place) = self.spec.position(name) {
                columns[place] = array;
            }
        };
        put(TableSpec::SOURCE, Arc::new(StringArray::from(vec![self.source.as_str(); rows])));
        let ingested = TimestampMicrosecondArray::from(
            Int64Array::from(vec![self.now.timestamp_micros(); rows]).values().to_vec(),
        )
        .with_timezone("UTC");
        put(TableSpec::INGESTED_AT, Arc::new(ingested));
        let days: Date32Array = times
            .iter()
            .map(|micros| micros.and_then(|micros| i32::try_from(micros.div_euclid(MICROS_PER_DAY)).ok()))
            .collect();
        columns.push(Arc::new(days));
        RecordBatch::try_new(stored_schema(self.spec), columns)
            .map_err(|error| LakeError::Rows { table: self.spec.name(), message: error.to_string() })
    }
}

fn column(batch: &RecordBatch, spec: &'static TableSpec, name: &str) -> Result<ArrayRef, LakeError> {
    batch
        .column_by_name(name)
        .cloned()
        .ok_or_else(|| LakeError::Rows { table: spec.name(), message: format!("there is no column {name}") })
}

fn as_text(spec: &'static TableSpec, array: &ArrayRef) -> Result<StringArray, LakeError> {
    let text = arrow::compute::cast(array, &arrow::datatypes::DataType::Utf8);
    text.ok()
        .and_then(|text| text.as_string_opt::<i32>().cloned())
        .ok_or_else(|| LakeError::Rows { table: spec.name(), message: "the identity is no text".to_owned() })
}

/// Ids are kept as 128 bits of SHA-256 while an append runs: small, and nobody can craft two that meet.
fn digest(id: &str) -> u128 {
    let hash = Sha256::digest(id.as_bytes());
    hash.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
}
