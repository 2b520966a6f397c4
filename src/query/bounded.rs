//! What makes long strings of short ones, bounded.
//!
//! `repeat('a', 2000000000)` takes gigabytes that no memory pool counts, in one call that no clock stops, and so do a dozen CTEs
//! of which each is the one before, twice in a row. How long the answers of `repeat`, `lpad`, `rpad`, `replace`,
//! `regexp_replace`, `concat`, `concat_ws` and `||` would be is therefore estimated before they are made. Other functions answer
//! strings about as long as those they are given.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::compute::kernels::length::length;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, exec_err};
use datafusion::functions::{regex, string, unicode};
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Documentation, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{self, Column};
use datafusion::scalar::ScalarValue;

/// Bytes of one string.
const STRING_BYTES: u64 = 1 << 20;

/// Bytes of the strings of one batch.
const BATCH_BYTES: u64 = 128 << 20;

/// The functions, to be registered in the place of DataFusion's.
pub fn functions() -> [Arc<ScalarUDF>; 7] {
    let functions = [
        (string::repeat(), Growth::Times),
        (unicode::lpad(), Growth::Padded),
        (unicode::rpad(), Growth::Padded),
        (string::replace(), Growth::Replaced),
        (regex::regexp_replace(), Growth::ReplacedAnywhere),
        (string::concat(), Growth::Together),
        (string::concat_ws(), Growth::Together),
    ];
    functions.map(|(inner, growth)| bounded(inner, growth))
}

fn bounded(inner: Arc<ScalarUDF>, growth: Growth) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Bounded { inner, growth }))
}

/// How long a result may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Growth {
    /// The first argument as often as the second says.
    Times,
    /// As many characters as the second argument says.
    Padded,
    /// The third argument wherever the second stood in the first.
    Replaced,
    /// The third argument between all bytes of the first.
    ReplacedAnywhere,
    /// All arguments, and the first between each two.
    Together,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    growth: Growth,
}

impl Growth {
    /// The most bytes that the results of a batch can have, one after the other.
    fn estimate(self, args: &[ColumnarValue], rows: usize) -> Result<Vec<u64>> {
        let int64 = |array: &ArrayRef| -> Result<Vec<u64>> {
            let array = cast(array, &DataType::Int64)?;
            Ok(array.as_primitive::<Int64Type>().iter().map(|n| n.unwrap_or(0).max(0) as u64).collect())
        };
        let number = |i: usize| int64(&args[i].to_array(rows)?);
        let text_len = |i: usize| {
            let array = args[i].to_array(rows)?;
            // What is no string will be made one.
            let lengths = length(&array).or_else(|_| length(&cast(&array, &DataType::Utf8View)?));
            int64(&lengths?)
        };
        let texts = text_len(0)?.into_iter();
        Ok(match self {
            Growth::Times => texts.zip(number(1)?).map(|(text, times)| text.saturating_mul(times)).collect(),
            Growth::Padded => texts.zip(number(1)?).map(|(_, characters)| characters).collect(),
            Growth::Replaced => {
                let places = texts.zip(text_len(1)?).map(|(text, from)| (text, text / from.max(1)));
                places.zip(text_len(2)?).map(|((text, places), to)| text + places.saturating_mul(to)).collect()
            }
            Growth::ReplacedAnywhere => texts.zip(text_len(2)?).map(|(text, to)| (text + 1) * (to + 1)).collect(),
            Growth::Together => {
                let times = (args.len() as u64).saturating_sub(1).max(1);
                let mut all: Vec<u64> = texts.map(|text| text.saturating_mul(times)).collect();
                for i in 1..args.len() {
                    all.iter_mut().zip(text_len(i)?).for_each(|(all, text)| *all += text);
                }
                all
            }
        })
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        // Where all are constants, one row is computed.
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let bytes = self.growth.estimate(&args.args, if is_constant { 1 } else { args.number_rows })?;
        let (longest, all) =
            bytes.iter().fold((0, 0_u64), |(longest, all), n| (*n.max(&longest), all.saturating_add(*n)));
        if longest > STRING_BYTES || all > BATCH_BYTES {
            return exec_err!(
                "{} would make a string of {longest} bytes, or of {all} bytes over a batch of rows; up to {STRING_BYTES} \
                 and {BATCH_BYTES} are made",
                self.name()
            );
        }
        self.inner.invoke_with_args(args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

/// Puts a bounded function in the place of `||`.
#[derive(Debug)]
pub struct ConcatenationRewrite(Arc<ScalarUDF>);

impl Default for ConcatenationRewrite {
    fn default() -> ConcatenationRewrite {
        let signature = Signature::user_defined(Volatility::Immutable);
        let operator = Arc::new(ScalarUDF::new_from_impl(Concatenation { signature }));
        ConcatenationRewrite(bounded(operator, Growth::Together))
    }
}

impl FunctionRewrite for ConcatenationRewrite {
    fn name(&self) -> &str {
        "bounded_concatenation"
    }

    fn rewrite(&self, expr: Expr, _: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        Ok(match expr {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right }) => {
                Transformed::yes(self.0.call(vec![*left, *right]))
            }
            other => Transformed::no(other),
        })
    }
}

/// `||` as a function: its types and its answers are the operator's.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Concatenation {
    signature: Signature,
}

impl ScalarUDFImpl for Concatenation {
    fn name(&self) -> &str {
        "string_concat"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let (left, right) = BinaryTypeCoercer::new(&types[0], &Operator::StringConcat, &types[1]).get_input_types()?;
        Ok(vec![left, right])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        BinaryTypeCoercer::new(&types[0], &Operator::StringConcat, &types[1]).get_result_type()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let field = |(name, array): (&str, &ArrayRef)| Field::new(name, array.data_type().clone(), true);
        let schema = Schema::new(["left", "right"].into_iter().zip(&columns).map(field).collect::<Vec<_>>());
        let batch = RecordBatch::try_new(Arc::new(schema), columns)?;
        let [left, right] = [Column::new("left", 0), Column::new("right", 1)].map(Arc::new);
        let operator = expressions::BinaryExpr::new(left, Operator::StringConcat, right);
        let answer = operator.evaluate(&batch)?.into_array(batch.num_rows())?;
        match is_constant {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&answer, 0)?)),
            false => Ok(ColumnarValue::Array(answer)),
        }
    }
}
