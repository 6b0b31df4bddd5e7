//! Functions that work row by row, as DataFusion calls them.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use serde_json::Value as Json;

use super::{Eval, Typed};
use crate::types::KqlType;
use crate::value::{Builder, Cells, Value};

/// One row of a function's arguments.
pub(crate) struct Row<'a> {
    cells: &'a [(Cells<'a>, bool)],
    kinds: &'a [KqlType],
    row: usize,
}

impl<'a> Row<'a> {
    /// How many arguments there are.
    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }

    pub(crate) fn kind(&self, index: usize) -> KqlType {
        self.kinds.get(index).copied().unwrap_or(KqlType::Dynamic)
    }

    pub(crate) fn get(&self, index: usize) -> Value<'a> {
        match self.cells.get(index) {
            Some((cells, constant)) => cells.get(if *constant { 0 } else { self.row }),
            None => Value::Null,
        }
    }

    pub(crate) fn is_null(&self, index: usize) -> bool {
        self.get(index) == Value::Null
    }

    /// A string; null and an argument left out read as the empty one.
    pub(crate) fn text(&self, index: usize) -> &'a str {
        match self.cells.get(index) {
            Some((cells, constant)) => cells.text(if *constant { 0 } else { self.row }).unwrap_or(""),
            None => "",
        }
    }

    pub(crate) fn long(&self, index: usize) -> Option<i64> {
        self.get(index).as_long()
    }

    pub(crate) fn real(&self, index: usize) -> Option<f64> {
        self.get(index).as_real()
    }

    pub(crate) fn bool(&self, index: usize) -> Option<bool> {
        match self.get(index) {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// A dynamic, read.
    pub(crate) fn json(&self, index: usize) -> Json {
        crate::value::to_json(&self.get(index), self.kind(index))
    }

    pub(crate) fn array(&self, index: usize) -> Option<Vec<Json>> {
        match self.json(index) {
            Json::Array(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn bag(&self, index: usize) -> Option<serde_json::Map<String, Json>> {
        match self.json(index) {
            Json::Object(bag) => Some(bag),
            _ => None,
        }
    }
}

/// A function that works row by row.
pub(crate) struct Kernel {
    name: &'static str,
    params: Vec<KqlType>,
    returns: KqlType,
    eval: Eval,
}

impl Kernel {
    /// The call of a function on arguments. A call of constants is a constant.
    pub(crate) fn call(name: &'static str, args: Vec<Typed>, returns: KqlType, eval: Eval) -> Typed {
        let params: Vec<KqlType> = args.iter().map(|arg| arg.kind).collect();
        let kernel = Kernel { name, params, returns, eval };
        if args.iter().all(|arg| matches!(arg.expr, Expr::Literal(..))) {
            let arrays: Option<Vec<ArrayRef>> = args
                .iter()
                .map(|arg| match &arg.expr {
                    Expr::Literal(scalar, _) => scalar.to_array().ok(),
                    _ => None,
                })
                .collect();
            if let Some(arrays) = arrays
                && let Ok(result) = kernel.run(&arrays, &vec![true; arrays.len()], 1)
                && let Ok(scalar) = ScalarValue::try_from_array(&result, 0)
            {
                return Typed::new(Expr::Literal(scalar, None), returns);
            }
        }
        let udf = Arc::new(ScalarUDF::from(kernel));
        Typed::new(udf.call(args.into_iter().map(|arg| arg.expr).collect()), returns)
    }

    fn run(&self, arrays: &[ArrayRef], constant: &[bool], rows: usize) -> Result<ArrayRef> {
        let cells = arrays
            .iter()
            .zip(constant)
            .map(|(array, constant)| Ok((Cells::new(array.as_ref())?, *constant)))
            .collect::<Result<Vec<_>>>()?;
        let mut builder = Builder::new(self.returns, rows);
        for row in 0..rows {
            builder.push(&(self.eval)(&Row { cells: &cells, kinds: &self.params, row }));
        }
        Ok(builder.finish())
    }
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel")
            .field("name", &self.name)
            .field("params", &self.params)
            .finish_non_exhaustive()
    }
}

// A name and the types of its arguments stand for one function of the registry.
impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.params == other.params && self.returns == other.returns
    }
}

impl Eq for Kernel {}

impl Hash for Kernel {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.params.hash(state);
        self.returns.hash(state);
    }
}

/// Any arguments of any type: the binder has seen to them.
pub(crate) static ANY_ARGUMENTS: LazyLock<Signature> = LazyLock::new(|| {
    Signature::one_of(vec![TypeSignature::VariadicAny, TypeSignature::Nullary], Volatility::Immutable)
});

impl ScalarUDFImpl for Kernel {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &ANY_ARGUMENTS
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.returns.arrow())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (arrays, constant, rows) = arrays(&args)?;
        let all_constant = constant.iter().all(|constant| *constant);
        let result = self.run(&arrays, &constant, if all_constant { 1 } else { rows })?;
        if all_constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

/// A function's arguments as arrays, those that are constant with one row, which the second list tells.
pub(crate) fn arrays(args: &ScalarFunctionArgs) -> Result<(Vec<ArrayRef>, Vec<bool>, usize)> {
    let mut arrays = Vec::with_capacity(args.args.len());
    let mut constant = Vec::with_capacity(args.args.len());
    for arg in &args.args {
        match arg {
            ColumnarValue::Array(array) => {
                arrays.push(Arc::clone(array));
                constant.push(false);
            }
            ColumnarValue::Scalar(scalar) => {
                arrays.push(scalar.to_array()?);
                constant.push(true);
            }
        }
    }
    Ok((arrays, constant, args.number_rows))
}

/// A row of an aggregate's arguments.
pub(crate) fn row_at<'a>(cells: &'a [(Cells<'a>, bool)], kinds: &'a [KqlType], row: usize) -> Row<'a> {
    Row { cells, kinds, row }
}
