//! Rows as numbers: each value of a dimension that is frequent enough to matter has a code.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::Float64Type;
use datafusion::arrow::row::{RowConverter, RowParser, SortField};
use datafusion::common::{Result, exec_err};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use futures::StreamExt;

/// The code of a value that is too rare to matter, and in a pattern that of any value.
pub(super) const ANY: u32 = 0;

/// The most cells of distinct rows that are searched.
const MAX_CELLS: usize = 50_000_000;

/// What a value in the dictionary takes beside its bytes.
const ENTRY_BYTES: usize = 64;

/// The distinct rows.
#[derive(Debug)]
pub(super) struct Table {
    /// For each dimension the codes of the rows.
    pub(super) columns: Vec<Vec<u32>>,
    /// For each dimension how many codes there are, beside [`ANY`].
    pub(super) sizes: Vec<usize>,
    /// For each row its weight in each set.
    pub(super) weights: Vec<[f64; 2]>,
    /// The weights of all rows.
    pub(super) totals: [f64; 2],
}

/// The values of a dimension by their codes, from 1.
pub(super) struct Values {
    converter: RowConverter,
    parser: RowParser,
    values: Vec<Arc<[u8]>>,
}

impl Values {
    /// The values in the order of their codes.
    pub(super) fn array(&self) -> Result<ArrayRef> {
        let rows = self.values.iter().map(|value| self.parser.parse(value));
        let mut arrays = self.converter.convert_rows(rows)?;
        match arrays.pop() {
            Some(array) => Ok(array),
            None => exec_err!("a dimension has no values"),
        }
    }
}

/// A dimension while rows come in.
struct Reading {
    converter: RowConverter,
    codes: HashMap<Arc<[u8]>, u32>,
    values: Vec<Arc<[u8]>>,
    /// The rows' codes, from 0.
    rows: Vec<u32>,
}

impl Table {
    /// Reads rows of dimensions with their weights in so many sets. A value gets a code where in one of the sets it has the
    /// least weight that `least` makes of the totals.
    pub(super) async fn read(
        name: &str,
        mut batches: SendableRecordBatchStream,
        sets: usize,
        memory: &MemoryReservation,
        least: impl FnOnce([f64; 2]) -> [f64; 2] + Send,
    ) -> Result<(Table, Vec<Values>)> {
        let schema = batches.schema();
        let dimensions = schema.fields().len() - sets;
        let mut reading = schema.fields()[..dimensions]
            .iter()
            .map(|field| {
                let converter = RowConverter::new(vec![SortField::new(field.data_type().clone())])?;
                Ok(Reading { converter, codes: HashMap::new(), values: Vec::new(), rows: Vec::new() })
            })
            .collect::<Result<Vec<_>>>()?;
        let mut weights: Vec<[f64; 2]> = Vec::new();
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            if (weights.len() + batch.num_rows()).saturating_mul(dimensions) > MAX_CELLS {
                return exec_err!(
                    "{name}: more than {} distinct rows of {dimensions} columns; project the columns that matter, \
                     or make their values coarser, as with bin()",
                    MAX_CELLS / dimensions
                );
            }
            let mut held = batch.num_rows() * (dimensions * size_of::<u32>() + size_of::<[f64; 2]>());
            for (column, array) in reading.iter_mut().zip(batch.columns()) {
                held += column.take_in(array)?;
            }
            weights.extend(weights_of(&batch, dimensions));
            memory.try_grow(held)?;
        }
        let mut totals = [0.0; 2];
        for weight in &weights {
            totals = add(totals, *weight);
        }
        let least = least(totals);
        let mut table = Table { columns: Vec::new(), sizes: Vec::new(), weights, totals };
        let mut values = Vec::new();
        for column in reading {
            let (codes, known) = column.frequent(&table.weights, least);
            table.columns.push(codes);
            table.sizes.push(known.values.len());
            values.push(known);
        }
        Ok((table, values))
    }
}

impl Reading {
    /// Takes a batch in, and says how many bytes the new values are.
    fn take_in(&mut self, array: &ArrayRef) -> Result<usize> {
        let rows = self.converter.convert_columns(std::slice::from_ref(array))?;
        let mut held = 0;
        for row in &rows {
            let code = match self.codes.get(row.as_ref()) {
                Some(code) => *code,
                None => {
                    let code = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
                    let value: Arc<[u8]> = row.as_ref().into();
                    held += value.len() + ENTRY_BYTES;
                    self.values.push(Arc::clone(&value));
                    self.codes.insert(value, code);
                    code
                }
            };
            self.rows.push(code);
        }
        Ok(held)
    }

    /// Gives the codes from 1 on to the values of enough weight, the heaviest first, and [`ANY`] to the others.
    fn frequent(self, weights: &[[f64; 2]], least: [f64; 2]) -> (Vec<u32>, Values) {
        let mut weight_of = vec![[0.0; 2]; self.values.len()];
        for (code, weight) in self.rows.iter().zip(weights) {
            let sum = &mut weight_of[*code as usize];
            *sum = add(*sum, *weight);
        }
        let enough = |code: &usize| {
            let weight = weight_of[*code];
            (0..2).any(|set| weight[set] > 0.0 && weight[set] >= least[set])
        };
        let mut frequent: Vec<usize> = (0..self.values.len()).filter(enough).collect();
        let sum = |code: usize| weight_of[code][0] + weight_of[code][1];
        // The rows come in any order, so that the values themselves decide between equals.
        frequent.sort_by(|left, right| {
            sum(*right).total_cmp(&sum(*left)).then_with(|| self.values[*left].cmp(&self.values[*right]))
        });
        let mut new_codes = vec![ANY; self.values.len()];
        for (new, old) in (1..).zip(&frequent) {
            new_codes[*old] = new;
        }
        let rows = self.rows.iter().map(|code| new_codes[*code as usize]).collect();
        let values = frequent.iter().map(|code| Arc::clone(&self.values[*code])).collect();
        let parser = self.converter.parser();
        (rows, Values { converter: self.converter, parser, values })
    }
}

/// The weights of a batch's rows; what is no weight is none.
fn weights_of(batch: &RecordBatch, dimensions: usize) -> impl Iterator<Item = [f64; 2]> + '_ {
    let columns: Vec<_> =
        batch.columns()[dimensions..].iter().map(|array| array.as_primitive::<Float64Type>()).collect();
    (0..batch.num_rows()).map(move |row| {
        let mut weight = [0.0; 2];
        for (set, column) in columns.iter().enumerate() {
            let valid = column.is_valid(row).then(|| column.value(row)).filter(|value| *value > 0.0);
            weight[set] = valid.filter(|value| value.is_finite()).unwrap_or(0.0);
        }
        weight
    })
}

pub(super) fn add(left: [f64; 2], right: [f64; 2]) -> [f64; 2] {
    [left[0] + right[0], left[1] + right[1]]
}
