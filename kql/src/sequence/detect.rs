//! Steps that follow one another in time: the plugin `sequence_detect`.
//!
//! All ways through the steps are found, not only the first. The rows come in order, part by part, and of what has begun
//! only that is held which may still go on: the work grows with the rows and with what is found.

use std::collections::VecDeque;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::{interleave, partition};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use futures::stream::{self, BoxStream, StreamExt};

use crate::pass::Pass;

/// The most sequences that are found, or are under way at once.
const MAX_SEQUENCES: usize = 10_000_000;
/// What a sequence takes beside its times.
const SEQUENCE_BYTES: usize = 48;
/// How many sequences are looked at before others get their turn.
const WORK_AT_ONCE: usize = 1_000_000;

/// What is looked for. The input has the dimensions first, ordered by them and then by the time; then the time, which is
/// never null and never twice the same for the same dimensions; then for each step whether it is met.
#[derive(Debug)]
pub(crate) struct Detect {
    dimensions: usize,
    steps: usize,
    /// The longest time from a step to the next, in ticks.
    step_window: i64,
    /// The longest time from the first step to the last, in ticks.
    span: i64,
    schema: SchemaRef,
}

impl Detect {
    /// `dimensions` are the fields of the dimensions, `times` the names of the steps' times, and `duration` that of the time
    /// they took.
    pub(crate) fn new(
        dimensions: Vec<Field>,
        times: &[String],
        duration: &str,
        step_window: i64,
        span: i64,
    ) -> Self {
        let (count, steps) = (dimensions.len(), times.len());
        let ticks = |name: &str| Field::new(name, DataType::Int64, true);
        let times = times.iter().map(|name| ticks(name)).chain([ticks(duration)]);
        let schema = Arc::new(Schema::new(dimensions.into_iter().chain(times).collect::<Vec<_>>()));
        Detect { dimensions: count, steps, step_window, span, schema }
    }
}

/// What is found, and what has begun.
struct Run<'a> {
    detect: &'a Detect,
    memory: &'a MemoryReservation,
    /// For each step but the last the sequences that have reached it, by the time at which they did.
    begun: Vec<VecDeque<Box<[i64]>>>,
    /// How many sequences have begun.
    alive: usize,
    /// The times of the sequences found, step by step.
    times: Vec<Vec<i64>>,
    /// The batches with the dimensions of the sequences found.
    batches: Vec<Vec<ArrayRef>>,
    /// For each sequence found its batch and row.
    places: Vec<(usize, usize)>,
}

impl<'a> Run<'a> {
    fn new(detect: &'a Detect, memory: &'a MemoryReservation) -> Self {
        Run {
            detect,
            memory,
            begun: vec![VecDeque::new(); detect.steps - 1],
            alive: 0,
            times: vec![Vec::new(); detect.steps],
            batches: Vec::new(),
            places: Vec::new(),
        }
    }

    fn end_part(&mut self) {
        for begun in &mut self.begun {
            begun.clear();
        }
        self.memory.shrink(self.alive * self.sequence_bytes());
        self.alive = 0;
    }

    fn sequence_bytes(&self) -> usize {
        SEQUENCE_BYTES + self.detect.steps * size_of::<i64>()
    }

    /// Takes a row in, and says how many sequences were looked at.
    fn row(&mut self, time: i64, met: impl Fn(usize) -> bool, place: (usize, usize)) -> Result<usize> {
        let mut looked_at = 0;
        // From the last step to the first, so that no sequence takes two steps at once.
        for step in (0..self.detect.steps).rev().filter(|step| met(*step)) {
            if step == 0 {
                self.reached(step, Box::new([time]), place)?;
                continue;
            }
            let mut before = std::mem::take(&mut self.begun[step - 1]);
            looked_at += before.len();
            let (span, window) = (self.detect.span, self.detect.step_window);
            let may_go_on = |times: &[i64]| {
                let since = |at: Option<&i64>| at.map_or(i64::MAX, |at| time.saturating_sub(*at));
                since(times.last()) <= window && since(times.first()) <= span
            };
            // Time goes on: what is too old now stays too old.
            let count = before.len();
            before.retain(|times| may_go_on(times));
            self.forget(count - before.len());
            for times in &before {
                let times = times.iter().copied().chain([time]).collect();
                self.reached(step, times, place)?;
            }
            self.begun[step - 1] = before;
        }
        Ok(looked_at)
    }

    fn forget(&mut self, count: usize) {
        self.alive -= count;
        self.memory.shrink(count * self.sequence_bytes());
    }

    /// A sequence has come to a step: it is found, or it goes on.
    fn reached(&mut self, step: usize, times: Box<[i64]>, place: (usize, usize)) -> Result<()> {
        self.memory.try_grow(self.sequence_bytes())?;
        if self.places.len().max(self.alive) >= MAX_SEQUENCES {
            return exec_err!(
                "sequence_detect: more than {MAX_SEQUENCES} sequences; make the windows shorter, the steps narrower, \
                 or give the dimensions that a sequence has in common"
            );
        }
        if step + 1 == self.detect.steps {
            for (column, time) in self.times.iter_mut().zip(&times) {
                column.push(*time);
            }
            self.places.push(place);
        } else {
            self.begun[step].push_back(times);
            self.alive += 1;
        }
        Ok(())
    }

    fn finish(self) -> Result<RecordBatch> {
        let rows = self.places.len();
        let mut arrays = Vec::new();
        for (column, field) in self.detect.schema.fields()[..self.detect.dimensions].iter().enumerate() {
            let sources: Vec<&dyn Array> = self.batches.iter().map(|batch| batch[column].as_ref()).collect();
            arrays.push(match sources.is_empty() {
                true => datafusion::arrow::array::new_empty_array(field.data_type()),
                false => interleave(&sources, &self.places)?,
            });
        }
        let durations = match (self.times.first(), self.times.last()) {
            (Some(first), Some(last)) => {
                last.iter().zip(first).map(|(last, first)| last.saturating_sub(*first)).collect()
            }
            _ => Vec::new(),
        };
        arrays.extend(
            self.times
                .into_iter()
                .chain([durations])
                .map(|times| -> ArrayRef { Arc::new(Int64Array::from(times)) }),
        );
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.detect.schema), arrays, &options)?)
    }
}

impl Pass for Detect {
    fn name(&self) -> String {
        "sequence_detect".to_owned()
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn order(&self) -> Vec<usize> {
        (0..self.dimensions).collect()
    }

    fn run(
        self: Arc<Self>,
        rows: SendableRecordBatchStream,
        memory: MemoryReservation,
    ) -> BoxStream<'static, Result<RecordBatch>> {
        stream::once(async move { self.find(rows, &memory).await }).boxed()
    }
}

impl Detect {
    async fn find(
        &self,
        mut rows: SendableRecordBatchStream,
        memory: &MemoryReservation,
    ) -> Result<RecordBatch> {
        let mut run = Run::new(self, memory);
        let mut last_part: Option<Vec<ScalarValue>> = None;
        let mut looked_at = 0;
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            if batch.num_rows() == 0 {
                continue;
            }
            let dimensions = &batch.columns()[..self.dimensions];
            let times = batch.column(self.dimensions).as_primitive::<Int64Type>();
            let steps: Vec<_> =
                batch.columns()[self.dimensions + 1..].iter().map(|step| step.as_boolean()).collect();
            let ranges = match dimensions {
                [] => std::iter::once(0..batch.num_rows()).collect(),
                dimensions => partition(dimensions)?.ranges(),
            };
            let found_before = run.places.len();
            for range in ranges {
                let part = dimensions.iter().map(|array| ScalarValue::try_from_array(array, range.start));
                let part = part.collect::<Result<Vec<_>>>()?;
                if last_part.as_ref() != Some(&part) {
                    run.end_part();
                    last_part = Some(part);
                }
                for row in range {
                    let met = |step: usize| steps[step].is_valid(row) && steps[step].value(row);
                    looked_at += run.row(times.value(row), met, (run.batches.len(), row))?;
                    if looked_at > WORK_AT_ONCE {
                        looked_at = 0;
                        tokio::task::yield_now().await;
                    }
                }
            }
            if run.places.len() > found_before {
                let held: usize = dimensions.iter().map(|array| array.get_array_memory_size()).sum();
                memory.try_grow(held)?;
                run.batches.push(dimensions.to_vec());
            }
        }
        run.finish()
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, UnboundedMemoryPool};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_way_through_the_steps_is_found_and_no_other(
            met in proptest::collection::vec(proptest::array::uniform3(any::<bool>()), 0..14),
            step_window in 0_i64..6,
            span in 0_i64..10,
        ) {
            let names = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
            let detect = Detect::new(Vec::new(), &names, "Duration", step_window, span);
            let pool: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
            let memory = MemoryConsumer::new("test").register(&pool);
            let mut run = Run::new(&detect, &memory);
            for (time, met) in (0_i64..).zip(&met) {
                run.row(time, |step| met[step], (0, 0)).expect("within the bounds");
            }
            let mut found: Vec<[i64; 3]> =
                (0..run.places.len()).map(|at| [run.times[0][at], run.times[1][at], run.times[2][at]]).collect();
            found.sort_unstable();
            let mut expected = Vec::new();
            let times = || 0..met.len();
            for (first, second, third) in
                times().flat_map(|a| times().flat_map(move |b| times().map(move |c| (a, b, c))))
            {
                let at = [first, second, third].map(|time| time as i64);
                let near = |from: i64, to: i64| to > from && to - from <= step_window;
                if met[first][0] && met[second][1] && met[third][2]
                    && near(at[0], at[1]) && near(at[1], at[2]) && at[2] - at[0] <= span
                {
                    expected.push(at);
                }
            }
            prop_assert_eq!(found, expected);
            run.end_part();
            prop_assert_eq!(memory.size(), run.places.len() * run.sequence_bytes());
        }
    }
}
