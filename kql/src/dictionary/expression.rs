//! Expressions over strings in dictionaries.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column, DynamicFilterPhysicalExpr};
use datafusion::physical_expr_common::physical_expr::with_new_children_if_necessary;

use super::{Coded, coded, is_coded, same};

/// A column by its place.
pub(super) fn column(name: &str, index: usize) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(name, index))
}

/// The strings of a dictionary one by one.
pub(super) fn written_out(expr: Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
    Arc::new(CastExpr::new(expr, DataType::Utf8, None))
}

/// From expressions over one schema to expressions over another that has dictionaries in place of some strings.
pub(super) struct Rewrite<'a> {
    pub(super) before: &'a SchemaRef,
    pub(super) after: &'a SchemaRef,
}

/// What an expression reads.
enum Reads {
    /// No column.
    Nothing,
    /// One dictionary, and nothing else: it has one answer for each of the dictionary's values.
    Dictionary(Column),
    /// Anything else.
    Others,
}

impl Rewrite<'_> {
    /// The expression with its value written out.
    pub(super) fn whole(&self, expr: &Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let (expr, reads) = self.visit(expr)?;
        self.finish(expr, &reads, false)
    }

    /// The expression, which may give a dictionary where it gave strings.
    pub(super) fn kept(&self, expr: &Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let (expr, reads) = self.visit(expr)?;
        self.finish(expr, &reads, true)
    }

    /// The expression, rewritten already unless it reads one dictionary only.
    fn visit(&self, expr: &Arc<dyn PhysicalExpr>) -> Result<(Arc<dyn PhysicalExpr>, Reads)> {
        if let Some(column) = expr.downcast_ref::<Column>() {
            let is_coded = is_coded(self.after.field(column.index()).data_type());
            let reads = if is_coded { Reads::Dictionary(column.clone()) } else { Reads::Others };
            return Ok((Arc::clone(expr), reads));
        }
        let children =
            expr.children().into_iter().map(|child| self.visit(child)).collect::<Result<Vec<_>>>()?;
        // What has another answer the next time cannot be asked once.
        let steady = !expr.is_volatile_node() && !expr.is::<DynamicFilterPhysicalExpr>();
        let mut reads = if steady { Reads::Nothing } else { Reads::Others };
        for (_, child) in &children {
            reads = match (reads, child) {
                (reads, Reads::Nothing) => reads,
                (Reads::Nothing, Reads::Dictionary(column)) => Reads::Dictionary(column.clone()),
                (Reads::Dictionary(one), Reads::Dictionary(other)) if one == *other => Reads::Dictionary(one),
                _ => Reads::Others,
            };
        }
        if !matches!(reads, Reads::Others) {
            return Ok((Arc::clone(expr), reads));
        }
        let children = children
            .into_iter()
            .map(|(child, reads)| self.finish(child, &reads, false))
            .collect::<Result<Vec<_>>>()?;
        Ok((with_new_children_if_necessary(Arc::clone(expr), children)?, Reads::Others))
    }

    fn finish(
        &self,
        expr: Arc<dyn PhysicalExpr>,
        reads: &Reads,
        may_stay: bool,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let Reads::Dictionary(column) = reads else { return Ok(expr) };
        if expr.is::<Column>() {
            return Ok(if may_stay { expr } else { written_out(expr) });
        }
        Ok(Arc::new(PerValue::new(&expr, column, self.before, may_stay)?))
    }
}

/// How many dictionaries' answers are kept: those that the partitions are at, and some more.
const KEPT: usize = 16;

/// An expression over one dictionary, evaluated once for each of its values.
struct PerValue {
    /// Over batches of one column: the values.
    inner: Arc<dyn PhysicalExpr>,
    values: SchemaRef,
    column: Arc<dyn PhysicalExpr>,
    /// What the expression gives.
    field: FieldRef,
    /// Whether it gives strings, and leaves them in a dictionary.
    stays: bool,
    /// The answers for the dictionaries met last.
    known: Mutex<VecDeque<(StringArray, ArrayRef)>>,
}

impl PerValue {
    fn new(expr: &Arc<dyn PhysicalExpr>, read: &Column, before: &Schema, may_stay: bool) -> Result<Self> {
        let field = expr.return_field(before)?;
        let values = Schema::new(vec![before.field(read.index()).clone()]);
        let only = column(read.name(), 0);
        let inner = Arc::clone(expr).transform_up(|expr| {
            Ok(if expr.is::<Column>() { Transformed::yes(Arc::clone(&only)) } else { Transformed::no(expr) })
        })?;
        Ok(PerValue {
            inner: inner.data,
            values: Arc::new(values),
            column: Arc::new(read.clone()),
            stays: may_stay && *field.data_type() == DataType::Utf8,
            field,
            known: Mutex::default(),
        })
    }

    /// The answers for a dictionary's values.
    fn answers(&self, values: &StringArray) -> Result<ArrayRef> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, answers)) = known.iter().find(|(known, _)| same(known, values)) {
            return Ok(Arc::clone(answers));
        }
        drop(known);
        let answers = self.over(Arc::new(values.clone()))?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() == KEPT {
            known.pop_front();
        }
        known.push_back((values.clone(), Arc::clone(&answers)));
        Ok(answers)
    }

    fn over(&self, strings: ArrayRef) -> Result<ArrayRef> {
        let rows = strings.len();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.values), vec![strings], &options)?;
        self.inner.evaluate(&batch)?.into_array(rows)
    }
}

impl PhysicalExpr for PerValue {
    fn data_type(&self, _schema: &Schema) -> Result<DataType> {
        Ok(if self.stays { coded() } else { self.field.data_type().clone() })
    }

    fn nullable(&self, _schema: &Schema) -> Result<bool> {
        Ok(self.field.is_nullable())
    }

    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        Ok(Arc::new(Field::clone(&self.field).with_data_type(self.data_type(schema)?)))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let array = self.column.evaluate(batch)?.into_array(batch.num_rows())?;
        let Some(rows) = array.as_any().downcast_ref::<Coded>() else {
            return exec_err!("{} is not in a dictionary", self.column);
        };
        let found = match self.answers(rows.values().as_string()) {
            Ok(answers) if self.stays => Arc::new(Coded::try_new(rows.keys().clone(), answers)?),
            Ok(answers) => take(&answers, rows.keys(), None)?,
            // A value that no row has may be one that the expression fails on.
            Err(_) => {
                let found = self.over(cast(&array, &DataType::Utf8)?)?;
                if self.stays { cast(&found, &coded())? } else { found }
            }
        };
        Ok(ColumnarValue::Array(found))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.column]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let Some(column) = children.into_iter().next() else { return Ok(self) };
        Ok(Arc::new(PerValue {
            inner: Arc::clone(&self.inner),
            values: Arc::clone(&self.values),
            column,
            field: Arc::clone(&self.field),
            stays: self.stays,
            known: Mutex::default(),
        }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "each({self})")
    }
}

impl PartialEq for PerValue {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner) && self.column.eq(&other.column) && self.stays == other.stays
    }
}

impl Eq for PerValue {}

impl Hash for PerValue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
        self.column.hash(state);
    }
}

impl fmt::Debug for PerValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerValue").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl fmt::Display for PerValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "each({})", self.inner)
    }
}
