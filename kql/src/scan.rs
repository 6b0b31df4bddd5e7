//! A catalog's table in KQL's terms: its declared columns, in the types that queries work on.
//!
//! Filters come in on KQL's columns (ticks, strings that are never null) and go out on the provider's own (timestamps,
//! strings that may be null), so that files and row groups are left unread.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray, new_null_array,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column as PlanColumn, Result, ScalarValue};
use datafusion::datasource::TableType;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
    stream::RecordBatchStreamAdapter,
};
use futures::StreamExt;

use crate::catalog::Table;
use crate::dictionary::{self, Filler};
use crate::format::{normalise, ticks_per};
use crate::time::EPOCH_TICKS;
use crate::types::{Column, KqlType};
use crate::value::{Builder, Value};

/// A table as queries see it.
#[derive(Debug)]
pub(crate) struct KqlScan {
    provider: Arc<dyn TableProvider>,
    is_watchlist: bool,
    columns: Vec<Column>,
    /// Where each column is in the provider's schema, if it is there.
    sources: Vec<Option<usize>>,
    schema: SchemaRef,
}

impl KqlScan {
    pub(crate) fn new(table: &Table, is_watchlist: bool) -> Result<Self> {
        let inner = table.provider.schema();
        let sources: Vec<Option<usize>> = table
            .columns
            .iter()
            .map(|column| inner.index_of(column.alias_of.as_ref().unwrap_or(&column.name)).ok())
            .collect();
        let fields: Vec<Field> = table
            .columns
            .iter()
            .map(|column| Field::new(&column.name, column.kind.arrow(), column.kind != KqlType::String))
            .collect();
        Ok(KqlScan {
            provider: Arc::clone(&table.provider),
            is_watchlist,
            columns: table.columns.clone(),
            sources,
            schema: Arc::new(Schema::new(fields)),
        })
    }

    pub(crate) fn is_watchlist(&self) -> bool {
        self.is_watchlist
    }

    pub(crate) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// A filter in the provider's terms, if it says there exactly what it says here.
    fn translate(&self, filter: &Expr) -> Option<Expr> {
        match filter {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                Operator::And | Operator::Or => {
                    let (left, right) = (self.translate(left)?, self.translate(right)?);
                    Some(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), *op, Box::new(right))))
                }
                _ => match (left.as_ref(), right.as_ref()) {
                    (Expr::Column(column), Expr::Literal(value, _)) => self.comparison(column, *op, value),
                    (Expr::Literal(value, _), Expr::Column(column)) => {
                        self.comparison(column, op.swap()?, value)
                    }
                    _ => None,
                },
            },
            Expr::InList(InList { expr, list, negated: false }) => {
                let Expr::Column(column) = expr.as_ref() else { return None };
                let (source, kind) = self.source(column)?;
                let mut values = Vec::with_capacity(list.len());
                for item in list {
                    let Expr::Literal(value, _) = item else { return None };
                    if kind == KqlType::String && value.try_as_str().flatten().is_none_or(str::is_empty) {
                        return None;
                    }
                    values.push(Expr::Literal(
                        self.literal(kind, source.data_type(), value, Operator::Eq)?.1,
                        None,
                    ));
                }
                let own = Expr::Column(PlanColumn::new_unqualified(source.name()));
                Some(Expr::InList(InList::new(Box::new(own), values, false)))
            }
            Expr::IsNotNull(inner) => {
                let Expr::Column(column) = inner.as_ref() else { return None };
                let (source, kind) = self.source(column)?;
                let own = Expr::Column(PlanColumn::new_unqualified(source.name()));
                (kind != KqlType::String && kind != KqlType::Dynamic).then(|| Expr::IsNotNull(Box::new(own)))
            }
            _ => None,
        }
    }

    fn source(&self, column: &PlanColumn) -> Option<(Arc<Field>, KqlType)> {
        let index = self.schema.index_of(&column.name).ok()?;
        let schema = self.provider.schema();
        Some((Arc::new(schema.field(self.sources[index]?).clone()), self.columns[index].kind))
    }

    fn comparison(&self, column: &PlanColumn, op: Operator, value: &ScalarValue) -> Option<Expr> {
        let (source, kind) = self.source(column)?;
        if !matches!(op, Operator::Eq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq)
            || value.is_null()
        {
            return None;
        }
        // The provider's null is the empty string here, which only a comparison with something greater tells apart.
        if kind == KqlType::String
            && !(matches!(op, Operator::Eq | Operator::Gt | Operator::GtEq)
                && value.try_as_str().flatten().is_some_and(|text| !text.is_empty()))
        {
            return None;
        }
        if matches!(kind, KqlType::Dynamic | KqlType::Guid | KqlType::Decimal) {
            return None;
        }
        let (op, value) = self.literal(kind, source.data_type(), value, op)?;
        let own = Expr::Column(PlanColumn::new_unqualified(source.name()));
        Some(Expr::BinaryExpr(BinaryExpr::new(Box::new(own), op, Box::new(Expr::Literal(value, None)))))
    }

    /// A literal in the provider's type, with the operator that keeps the comparison's meaning.
    fn literal(
        &self,
        kind: KqlType,
        target: &DataType,
        value: &ScalarValue,
        op: Operator,
    ) -> Option<(Operator, ScalarValue)> {
        let (unit, zone) = match (kind, target) {
            (KqlType::Datetime, DataType::Timestamp(unit, zone)) => (*unit, zone.clone()),
            (KqlType::Datetime | KqlType::Dynamic, _) => return None,
            (KqlType::Timespan, target) if *target != DataType::Int64 => return None,
            _ => return Some((op, value.cast_to(target).ok()?)),
        };
        let ScalarValue::Int64(Some(ticks)) = value else { return None };
        let (multiply, divide) = ticks_per(unit);
        let scaled = i128::from(ticks.checked_sub(EPOCH_TICKS)?) * i128::from(divide);
        let (floor, rest) =
            (scaled.div_euclid(i128::from(multiply)), scaled.rem_euclid(i128::from(multiply)));
        let floor = i64::try_from(floor).ok()?;
        // Between two of the provider's instants: `>= x` is `> floor(x)`, and `< x` is `<= floor(x)`.
        let op = match (op, rest) {
            (op, 0) => op,
            (Operator::GtEq, _) => Operator::Gt,
            (Operator::Lt, _) => Operator::LtEq,
            (Operator::Eq, _) => return None,
            (op, _) => op,
        };
        let value = match unit {
            TimeUnit::Second => ScalarValue::TimestampSecond(Some(floor), zone),
            TimeUnit::Millisecond => ScalarValue::TimestampMillisecond(Some(floor), zone),
            TimeUnit::Microsecond => ScalarValue::TimestampMicrosecond(Some(floor), zone),
            TimeUnit::Nanosecond => ScalarValue::TimestampNanosecond(Some(floor), zone),
        };
        Some((op, value))
    }
}

#[async_trait]
impl TableProvider for KqlScan {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        filters
            .iter()
            .map(|filter| {
                let Some(translated) = self.translate(filter) else {
                    return Ok(TableProviderFilterPushDown::Unsupported);
                };
                let answer = self.provider.supports_filters_pushdown(&[&translated])?;
                Ok(answer.into_iter().next().unwrap_or(TableProviderFilterPushDown::Unsupported))
            })
            .collect()
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted: Vec<usize> = match projection {
            Some(projection) => projection.clone(),
            None => (0..self.columns.len()).collect(),
        };
        // Each of the provider's columns once, whatever the number of columns that read it.
        let mut inner_projection: Vec<usize> = Vec::new();
        let mut place: HashMap<usize, usize> = HashMap::new();
        for source in wanted.iter().filter_map(|index| self.sources[*index]) {
            place.entry(source).or_insert_with(|| {
                inner_projection.push(source);
                inner_projection.len() - 1
            });
        }
        let filters: Vec<Expr> = filters.iter().filter_map(|filter| self.translate(filter)).collect();
        let inner = self.provider.scan(state, Some(&inner_projection), &filters, limit).await?;
        let outputs = wanted
            .iter()
            .map(|index| Output {
                kind: self.columns[*index].kind,
                source: self.sources[*index].and_then(|source| place.get(&source).copied()),
                coded: false,
            })
            .collect();
        let schema = Arc::new(self.schema.project(&wanted)?);
        Ok(Arc::new(KqlScanExec::new(inner, outputs, schema)))
    }
}

/// A column of the scan: from which of the provider's, if from any.
#[derive(Debug, Clone)]
struct Output {
    kind: KqlType,
    source: Option<usize>,
    /// Whether its strings stay in the provider's dictionary.
    coded: bool,
}

/// Brings a provider's batches into KQL's types.
#[derive(Debug)]
pub(crate) struct KqlScanExec {
    inner: Arc<dyn ExecutionPlan>,
    outputs: Arc<[Output]>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl KqlScanExec {
    fn new(inner: Arc<dyn ExecutionPlan>, outputs: Vec<Output>, schema: SchemaRef) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            datafusion::physical_plan::Partitioning::UnknownPartitioning(
                inner.properties().output_partitioning().partition_count(),
            ),
            inner.properties().emission_type,
            inner.properties().boundedness,
        );
        KqlScanExec { inner, outputs: outputs.into(), schema, properties: Arc::new(properties) }
    }

    /// The scan that leaves strings in the dictionaries in which the provider has them; `None` if it has none.
    pub(crate) fn with_dictionaries(&self) -> Option<Self> {
        let inner = self.inner.schema();
        let mut outputs = self.outputs.to_vec();
        let mut fields = Vec::with_capacity(outputs.len());
        for (output, field) in outputs.iter_mut().zip(self.schema.fields()) {
            output.coded = output.kind == KqlType::String
                && output.source.is_some_and(|source| dictionary::is_coded(inner.field(source).data_type()));
            let kind = if output.coded { dictionary::coded() } else { field.data_type().clone() };
            fields.push(Field::clone(field).with_data_type(kind));
        }
        let any = outputs.iter().any(|output| output.coded);
        any.then(|| KqlScanExec::new(Arc::clone(&self.inner), outputs, Arc::new(Schema::new(fields))))
    }
}

impl DisplayAs for KqlScanExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(f, "KqlScanExec: columns=[{}]", names.join(", "))
    }
}

impl ExecutionPlan for KqlScanExec {
    fn name(&self) -> &str {
        "KqlScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.inner]
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.into_iter().next() {
            Some(inner) => {
                let outputs = self.outputs.to_vec();
                Ok(Arc::new(KqlScanExec::new(inner, outputs, Arc::clone(&self.schema))))
            }
            None => Ok(self),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let inner = self.inner.execute(partition, context)?;
        let outputs = Arc::clone(&self.outputs);
        let schema = Arc::clone(&self.schema);
        let mut fillers: Vec<Filler> = outputs.iter().map(|_| Filler::default()).collect();
        let stream = inner.map(move |batch| in_kql_types(&batch?, &outputs, &schema, &mut fillers));
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream)))
    }
}

fn in_kql_types(
    batch: &RecordBatch,
    outputs: &[Output],
    schema: &SchemaRef,
    fillers: &mut [Filler],
) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let arrays = outputs
        .iter()
        .zip(fillers)
        .map(|(output, filler)| {
            let array = match output.source {
                Some(source) if output.coded => {
                    return filler.fill(batch.column(source).as_dictionary());
                }
                Some(source) => normalise(batch.column(source), output.kind)?,
                None => new_null_array(&output.kind.arrow(), rows),
            };
            Ok(if output.kind == KqlType::String { without_nulls(array)? } else { array })
        })
        .collect::<Result<Vec<ArrayRef>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)?)
}

/// A column of strings with the empty one where there was null.
fn without_nulls(array: ArrayRef) -> Result<ArrayRef> {
    let Some(nulls) = array.logical_nulls().filter(|nulls| nulls.null_count() > 0) else {
        return Ok(array);
    };
    // Where nothing lies behind a null, as readers leave it, the strings need not be written anew.
    if let Some(text) = array.as_string_opt::<i32>() {
        let lengths = || text.offsets().windows(2).map(|ends| ends[1] - ends[0]);
        if lengths().zip(nulls.iter()).all(|(length, valid)| valid || length == 0) {
            let (offsets, values, _) = text.clone().into_parts();
            return Ok(Arc::new(StringArray::try_new(offsets, values, None)?));
        }
    }
    let cells = crate::value::Cells::new(array.as_ref())?;
    let mut builder = Builder::new(KqlType::String, array.len());
    for row in 0..array.len() {
        builder.push(&cells.text(row).map_or(Value::Null, Value::from));
    }
    Ok(builder.finish())
}
