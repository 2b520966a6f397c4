//! Integer arithmetic that reports overflow as an error. DataFusion's wraps around: there
//! `9223372036854775807 + 1` is a negative number.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Datum, Scalar};
use arrow::compute::kernels::numeric::{add, mul, neg, sub};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::common::{Result, exec_datafusion_err, internal_err};
use datafusion::logical_expr::{ColumnarValue, Expr, Operator, ScalarUDF};

use super::function::Function;

static ADD: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Function::new("checked_add", same, |args, _| binary(args, "+", add)).udf());
static SUBTRACT: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Function::new("checked_subtract", same, |args, _| binary(args, "-", sub)).udf()
});
static MULTIPLY: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Function::new("checked_multiply", same, |args, _| binary(args, "*", mul)).udf()
});
static NEGATE: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Function::new("checked_negate", same, negate).udf());

/// Returns `left op right`, of one integer type, as a function call; `None` if the operator cannot
/// overflow.
pub fn arithmetic(left: &Expr, op: Operator, right: &Expr) -> Option<Expr> {
    let function = match op {
        Operator::Plus => &ADD,
        Operator::Minus => &SUBTRACT,
        Operator::Multiply => &MULTIPLY,
        _ => return None,
    };
    Some(function.call(vec![left.clone(), right.clone()]))
}

pub fn negation(of: Expr) -> Expr {
    NEGATE.call(vec![of])
}

fn same(types: &[DataType]) -> Result<(Vec<DataType>, DataType)> {
    match types {
        [of, rest @ ..] if of.is_integer() && rest.iter().all(|other| other == of) => {
            Ok((types.to_vec(), of.clone()))
        }
        _ => internal_err!("checked arithmetic takes integers of one type"),
    }
}

type Kernel = fn(&dyn Datum, &dyn Datum) -> std::result::Result<ArrayRef, ArrowError>;

fn binary(args: &[ColumnarValue], symbol: &str, kernel: Kernel) -> Result<ArrayRef> {
    let datum = |arg: &ColumnarValue| -> Result<Box<dyn Datum>> {
        Ok(match arg {
            ColumnarValue::Array(array) => Box::new(array.clone()),
            ColumnarValue::Scalar(value) => Box::new(Scalar::new(value.to_array()?)),
        })
    };
    let is_constant = args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    let answer = if is_constant {
        kernel(&args[0].to_array(1)?, &args[1].to_array(1)?)
    } else {
        kernel(&*datum(&args[0])?, &*datum(&args[1])?)
    };
    answer.map_err(|error| overflow(symbol, &args[0].data_type(), &error))
}

fn negate(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    neg(&args[0].to_array(rows)?).map_err(|error| overflow("-", &args[0].data_type(), &error))
}

fn overflow(symbol: &str, of: &DataType, error: &ArrowError) -> datafusion::error::DataFusionError {
    let values = match error {
        ArrowError::ArithmeticOverflow(text) => {
            text.split_once(": ").map_or("", |(_, values)| values)
        }
        _ => "",
    };
    let what = if values.is_empty() { symbol } else { values };
    exec_datafusion_err!(
        "{what} overflows {of}: cast to DECIMAL(38, 0) or DOUBLE for larger numbers"
    )
}
