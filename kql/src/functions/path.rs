//! Paths into dynamics, read without reading the rest.

use std::sync::Arc;

use datafusion::arrow::array::{Array, StringBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::Typed;
use super::kernel::{ANY_ARGUMENTS, arrays};
use crate::json::{self, Step};
use crate::types::KqlType;
use crate::value::{Cells, Value};

/// A path into a dynamic. Steps after one another become one path, and `parse_json()` before it falls away: the text
/// is never read as a whole.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Path {
    steps: Vec<Step>,
    /// Whether the value is wanted as a string, as by `tostring()`.
    as_text: bool,
}

impl ScalarUDFImpl for Path {
    fn name(&self) -> &str {
        if self.as_text { "path_text" } else { "path" }
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let path: Vec<String> = self
            .steps
            .iter()
            .map(|step| match step {
                Step::Key(key) => format!(".{key}"),
                Step::Index(index) => format!("[{index}]"),
            })
            .collect();
        let base: Vec<String> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        Ok(format!("{}({}{})", self.name(), base.join(","), path.concat()))
    }

    fn signature(&self) -> &Signature {
        &ANY_ARGUMENTS
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (inputs, constant, _) = arrays(&args)?;
        let cells = Cells::new(inputs[0].as_ref())?;
        let rows = inputs[0].len();
        let mut builder = StringBuilder::with_capacity(rows, rows * 8);
        let keys = json::Keys::of(&self.steps);
        for row in 0..rows {
            let value = match cells.text(row).filter(|text| keys.may_be_in(text)) {
                None => Value::Null,
                Some(text) if self.as_text => text_at(text, &self.steps),
                Some(text) => step_value(text, &self.steps),
            };
            match value {
                Value::Text(text) => builder.append_value(text),
                _ if self.as_text => builder.append_value(""),
                _ => builder.append_null(),
            }
        }
        let array = builder.finish();
        if constant.first() == Some(&true) {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(Arc::new(array)))
    }
}

/// The value that a path leads to.
pub(crate) fn step_value<'a>(text: &'a str, steps: &[Step]) -> Value<'a> {
    match json::find(text, steps) {
        None | Some("null") => Value::Null,
        Some(found) => Value::text(found),
    }
}

/// The same as `tostring()` would give it.
fn text_at<'a>(text: &'a str, steps: &[Step]) -> Value<'a> {
    let Some(found) = json::find(text, steps) else { return Value::Null };
    if let Some(inner) = found.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'))
        && !inner.contains('\\')
    {
        return Value::text(inner);
    }
    if found == "null" {
        return Value::Null;
    }
    if found.bytes().all(|b| b.is_ascii_digit()) {
        return Value::text(found);
    }
    super::convert::convert(&Value::text(found), KqlType::Dynamic, KqlType::String)
}

/// The value that one more step leads to.
pub(crate) fn dynamic_path(base: Typed, step: Step) -> Typed {
    if let Some(value) = base.constant() {
        let Value::Text(text) = value else { return Typed::null(KqlType::Dynamic) };
        return Typed::literal(step_value(&text, &[step]), KqlType::Dynamic);
    }
    if let Expr::ScalarFunction(call) = &base.expr {
        if let Some(path) = call.func.inner().downcast_ref::<Path>()
            && !path.as_text
        {
            let mut steps = path.steps.clone();
            steps.push(step);
            return over(steps, false, call.args.clone(), KqlType::Dynamic);
        }
        if call.func.name() == "parse_json" {
            return over(vec![step], false, call.args.clone(), KqlType::Dynamic);
        }
    }
    over(vec![step], false, vec![base.expr], KqlType::Dynamic)
}

/// A dynamic as a string.
pub(crate) fn dynamic_text(base: Typed) -> Typed {
    if let Expr::ScalarFunction(call) = &base.expr
        && let Some(path) = call.func.inner().downcast_ref::<Path>()
        && !path.as_text
    {
        return over(path.steps.clone(), true, call.args.clone(), KqlType::String);
    }
    super::Kernel::call("tostring", vec![base], KqlType::String, |row| {
        super::convert::convert(&row.get(0), KqlType::Dynamic, KqlType::String)
    })
}

fn over(steps: Vec<Step>, as_text: bool, args: Vec<Expr>, kind: KqlType) -> Typed {
    let udf = Arc::new(ScalarUDF::from(Path { steps, as_text }));
    Typed::new(udf.call(args), kind)
}
