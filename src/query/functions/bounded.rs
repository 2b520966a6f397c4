//! Size limits for functions whose result may be large.
//!
//! `repeat('a', 2000000000)` takes gigabytes in one call, during which nothing checks the
//! statement's memory. The result size of these functions and of `||` is therefore estimated before
//! the call, and regular expression functions are called on few enough rows at a time that only
//! some patterns are compiled at once.

use std::collections::HashSet;
use std::sync::Arc;

use super::function::{by_rows, identity};
use super::matching::regular;
use super::repeated::once_each;
use crate::query::memory;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::kernels::concat_elements::concat_elements_dyn;
use arrow::compute::kernels::length::length;
use arrow::compute::{cast, concat};
use arrow::datatypes::{
    DataType, Field, FieldRef, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
    IntervalUnit, TimeUnit,
};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, exec_err};
use datafusion::functions::{core, encoding, regex, string, unicode};
use datafusion::functions_nested::{
    array_has, concat as arrays, except, range, repeat, replace, resize, set_ops, string as nested,
};
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Documentation, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit, not,
};

/// Maximum bytes of the result for one row, if it is text.
const ROW_BYTES: u64 = 1 << 20;

/// Maximum bytes of the arrays of one row: a million numbers. Some functions take many times as
/// much beside them, and so does a constant in the plan, whose name is written out.
const ARRAY_BYTES: u64 = 8 << 20;

/// Maximum bytes of the results for one batch.
const BATCH_BYTES: u64 = 32 << 20;

/// Maximum number of regular expressions compiled at once.
const PATTERNS: usize = 8;

/// Returns the limited functions, to be registered in place of DataFusion's.
pub fn functions() -> impl Iterator<Item = Arc<ScalarUDF>> {
    let functions = [
        (string::repeat(), Growth::Times),
        (unicode::lpad(), Growth::Padded),
        (unicode::rpad(), Growth::Padded),
        (string::replace(), Growth::Replaced),
        (regex::regexp_replace(), Growth::ReplacedAnywhere),
        (regex::regexp_match(), Growth::Captured),
        (regex::regexp_like(), Growth::Matched),
        (regex::regexp_count(), Growth::Matched),
        (regex::regexp_instr(), Growth::Matched),
        (string::concat(), Growth::Together),
        (string::concat_ws(), Growth::Joined),
        (core::overlay(), Growth::Overlaid),
        (encoding::encode(), Growth::Encoded),
        (super::to_char(), Growth::Formatted),
        (string::levenshtein(), Growth::Compared),
        (repeat::array_repeat_udf(), Growth::Repeated),
        (resize::array_resize_udf(), Growth::Resized),
        (super::series::array(range::range_udf()), Growth::Ranged),
        (arrays::array_concat_udf(), Growth::Arrays),
        (array_has::array_has_all_udf(), Growth::Paired),
        (array_has::array_has_any_udf(), Growth::Paired),
        (nested::array_to_string_udf(), Growth::Written),
        (replace::array_replace_udf(), Growth::ReplacedElements),
        (replace::array_replace_n_udf(), Growth::ReplacedElements),
        (replace::array_replace_all_udf(), Growth::ReplacedElements),
        (set_ops::array_distinct_udf(), Growth::Together),
        (set_ops::array_union_udf(), Growth::Together),
        (set_ops::array_intersect_udf(), Growth::Together),
        (except::array_except_udf(), Growth::Together),
    ];
    functions.into_iter().map(|(inner, growth)| bounded(inner, growth))
}

fn bounded(inner: Arc<ScalarUDF>, growth: Growth) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Bounded { inner, growth }))
}

/// How the size of a function's result depends on its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Growth {
    /// The first argument, repeated as many times as the second says.
    Times,
    /// The number of characters in the second argument, at up to four bytes each.
    Padded,
    /// The first argument with each occurrence of the second replaced by the third.
    Replaced,
    /// The first argument with one match replaced by the third, which may repeat the first; with
    /// flags, a replacement between all bytes of the first.
    ReplacedAnywhere,
    /// The first argument once for each capture group of the second.
    Captured,
    /// A number.
    Matched,
    /// All arguments, concatenated.
    Together,
    /// All arguments, with the first between each two.
    Joined,
    /// Up to twice the first argument, plus the second.
    Overlaid,
    /// Two bytes for each byte of the first argument.
    Encoded,
    /// The second argument, of which two bytes may expand to forty.
    Formatted,
    /// Steps, not bytes: the length of the first argument times that of the second.
    Compared,
    /// Steps, not bytes: elements of the first argument times elements of the second, at eight
    /// bytes or more each.
    Paired,
    /// The elements of the first argument as a text, with the second between each two of them, and
    /// the third for nulls.
    Written,
    /// All arguments, which are arrays.
    Arrays,
    /// The first argument with the third in the place of its elements.
    ReplacedElements,
    /// An array of the first argument, repeated as many times as the second says.
    Repeated,
    /// The array in the first argument, resized to the length in the second and filled with the
    /// third.
    Resized,
    /// An array of the numbers or times from the first argument to the second, by the step in the
    /// third.
    Ranged,
}

impl Growth {
    /// Reports whether the second argument is a regular expression, which takes up to 10 MB once
    /// compiled.
    fn takes_pattern(self) -> bool {
        matches!(self, Growth::ReplacedAnywhere | Growth::Captured | Growth::Matched)
    }

    /// Returns the maximum result bytes for one row, or of the steps to it.
    fn row_bytes(self) -> u64 {
        match self {
            Growth::Paired => BATCH_BYTES,
            Growth::Arrays
            | Growth::Written
            | Growth::ReplacedElements
            | Growth::Repeated
            | Growth::Resized
            | Growth::Ranged => ARRAY_BYTES,
            _ => ROW_BYTES,
        }
    }

    /// Estimates the maximum result bytes for each row of a batch.
    fn estimate(self, args: &[ColumnarValue], rows: usize) -> Result<Vec<u64>> {
        let sizes = args.iter().map(size).collect::<Result<Vec<_>>>()?;
        let groups = match args.get(1) {
            _ if self != Growth::Captured => 0,
            Some(ColumnarValue::Scalar(pattern)) => pattern.to_string().matches('(').count() as u64,
            _ => sizes.get(1).and_then(|sizes| sizes.iter().max()).copied().unwrap_or(0),
        };
        let counts = match (self, args.first()) {
            (Growth::Ranged, _) => elements(args)?,
            (Growth::Written | Growth::ReplacedElements, Some(array)) => {
                lengths(&to_array(array)?)?
            }
            _ => Vec::new(),
        };
        // The argument that becomes an element.
        let element = match self {
            Growth::Repeated => args.first(),
            Growth::Resized | Growth::ReplacedElements => args.get(2),
            _ => None,
        };
        let held = element.map(bytes_of_a_row).transpose()?.unwrap_or_default();
        let estimate = |row: usize| {
            let at = |i: usize| sizes.get(i).map_or(0, |sizes| of_row(sizes, row));
            let count = || of_row(&counts, row);
            let all = || (0..sizes.len()).map(at).fold(0, u64::saturating_add);
            match self {
                Growth::Times => at(0).saturating_mul(at(1)),
                Growth::Padded => at(1).saturating_mul(4),
                Growth::Replaced => {
                    (at(0) / at(1).max(1)).saturating_mul(at(2)).saturating_add(at(0))
                }
                // A group reference takes two bytes; without flags, one match is replaced.
                Growth::ReplacedAnywhere if sizes.len() < 4 => {
                    at(0).saturating_mul(at(2) / 2 + 1).saturating_add(at(2))
                }
                Growth::ReplacedAnywhere => (at(0) + 1).saturating_mul(at(2) + 1),
                Growth::Captured => at(0).saturating_mul(groups + 1),
                Growth::Matched => 0,
                Growth::Together | Growth::Arrays => all(),
                Growth::Joined => at(0).saturating_mul(sizes.len() as u64).saturating_add(all()),
                Growth::Overlaid => at(0).saturating_mul(2).saturating_add(at(1)),
                Growth::Encoded => at(0).saturating_mul(2),
                Growth::Formatted => at(1).saturating_mul(20),
                Growth::Compared => at(0).saturating_mul(at(1)),
                Growth::Paired => (at(0) / 8).saturating_mul(at(1) / 8),
                // A number has up to 24 characters.
                Growth::Written => count()
                    .saturating_mul(at(1).saturating_add(at(2)).saturating_add(24))
                    .saturating_add(at(0)),
                Growth::ReplacedElements => count().saturating_mul(held).saturating_add(at(0)),
                Growth::Repeated => held.saturating_mul(at(1)),
                Growth::Resized => held.max(8).saturating_mul(at(1)).saturating_add(at(0)),
                Growth::Ranged => count().saturating_mul(8),
            }
        };
        Ok((0..rows).map(estimate).collect())
    }
}

/// Returns the size of each row's argument: the bytes of a text or array, the value of a number, 0
/// for other types. Returns a single element if it is the same for all rows.
fn size(arg: &ColumnarValue) -> Result<Vec<u64>> {
    let array = to_array(arg)?;
    let sizes = match array.data_type() {
        integer if integer.is_integer() => cast(&array, &DataType::Int64)?,
        text if text.is_string() || text.is_binary() => cast(&length(&array)?, &DataType::Int64)?,
        DataType::Dictionary(..) => {
            cast(&length(&cast(&array, &DataType::Utf8View)?)?, &DataType::Int64)?
        }
        DataType::List(_) | DataType::LargeList(_) => {
            let lengths = lengths(&array)?;
            let elements = lengths.iter().sum::<u64>().max(1);
            let bytes = (array.get_buffer_memory_size() as u64).div_ceil(elements);
            return Ok(lengths.into_iter().map(|n| n.saturating_mul(bytes)).collect());
        }
        _ => return Ok(vec![0]),
    };
    Ok(sizes.as_primitive::<Int64Type>().iter().map(|n| n.unwrap_or(0).max(0) as u64).collect())
}

/// Returns the number of elements in each row of an array; none for other types.
fn lengths(array: &ArrayRef) -> Result<Vec<u64>> {
    if !matches!(array.data_type(), DataType::List(_) | DataType::LargeList(_)) {
        return Ok(Vec::new());
    }
    let lengths = cast(&length(array)?, &DataType::Int64)?;
    Ok(lengths.as_primitive::<Int64Type>().iter().map(|n| n.unwrap_or(0) as u64).collect())
}

/// Returns the value for a row, of values for all rows or of one that they have in common.
fn of_row<T: Copy + Default>(values: &[T], row: usize) -> T {
    values.get(row).or(values.first()).copied().unwrap_or_default()
}

fn to_array(arg: &ColumnarValue) -> Result<ArrayRef> {
    match arg {
        ColumnarValue::Array(array) => Ok(array.clone()),
        ColumnarValue::Scalar(scalar) => scalar.to_array(),
    }
}

/// Returns the mean bytes per row of an argument of any type, at least 1.
fn bytes_of_a_row(arg: &ColumnarValue) -> Result<u64> {
    let array = to_array(arg)?;
    Ok(array.to_data().get_slice_memory_size()?.div_ceil(array.len().max(1)).max(1) as u64)
}

/// Returns the number of elements that `range` makes from each row's start, stop and step; a single
/// element if they are constants.
fn elements(args: &[ColumnarValue]) -> Result<Vec<u64>> {
    let numbers = args.iter().map(|arg| ordinals(&to_array(arg)?)).collect::<Result<Vec<_>>>()?;
    let rows = numbers.iter().map(Vec::len).max().unwrap_or_default();
    let at = |i: usize, row: usize| numbers.get(i).map(|of| of_row(of, row));
    let count = |row: usize| {
        let (start, stop) = match (at(0, row), at(1, row)) {
            (Some(start), Some(stop)) => (start, stop),
            (stop, _) => (0, stop.unwrap_or_default()),
        };
        // The function rejects a step of zero.
        match at(2, row).unwrap_or(1).unsigned_abs() {
            0 => 1,
            step => (start.abs_diff(stop) / step).saturating_add(1),
        }
    };
    Ok((0..rows).map(count).collect())
}

/// Converts an array to integers: times and intervals become microseconds.
fn ordinals(array: &ArrayRef) -> Result<Vec<i64>> {
    let numbers = match array.data_type() {
        DataType::Interval(_) => {
            let intervals = cast(array, &DataType::Interval(IntervalUnit::MonthDayNano))?;
            let us = |of: IntervalMonthDayNano| {
                let days = i64::from(of.months) * 28 + i64::from(of.days);
                days.saturating_mul(86_400_000_000).saturating_add(of.nanoseconds / 1_000)
            };
            let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>();
            return Ok(intervals.iter().map(|of| of.map_or(0, us)).collect());
        }
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => cast(
            &cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None))?,
            &DataType::Int64,
        )?,
        _ => cast(array, &DataType::Int64)?,
    };
    Ok(numbers.as_primitive::<Int64Type>().iter().map(|n| n.unwrap_or(0)).collect())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    growth: Growth,
}

impl ScalarUDFImpl for Bounded {
    identity!(inner);

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
        // If all arguments are constant, only one row is computed.
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let bytes =
            self.growth.estimate(&args.args, if is_constant { 1 } else { args.number_rows })?;
        let (longest, all) = bytes
            .iter()
            .fold((0, 0_u64), |(longest, all), n| (*n.max(&longest), all.saturating_add(*n)));
        let row = self.growth.row_bytes();
        if longest > row || all > BATCH_BYTES {
            return exec_err!(
                "{} would produce up to {longest} bytes for one row, and {all} for a batch of \
                rows; the limits are {row} and {BATCH_BYTES}",
                self.name()
            );
        }
        memory::check()?;
        let patterns = self.growth.takes_pattern().then(|| args.args.get(1).cloned()).flatten();
        match patterns {
            Some(ColumnarValue::Array(patterns)) => self.invoke_by_patterns(&args, &patterns),
            Some(ColumnarValue::Scalar(_)) => self.invoke_by_texts(args),
            None => self.inner.invoke_with_args(args),
        }
    }

    /// A literal pattern is simplified to an operator, which is faster; a pattern from a column
    /// stays in this function.
    fn simplify(&self, args: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        if self.growth == Growth::Matched && matches!(args.get(1), Some(Expr::Literal(..))) {
            self.inner.simplify(args, context)
        } else {
            Ok(ExprSimplifyResult::Original(args))
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

impl Bounded {
    /// Calls the function once for equal texts, if all else is constant.
    fn invoke_by_texts(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = |arg: &ColumnarValue| matches!(arg, ColumnarValue::Scalar(_));
        let texts = match &args.args[..] {
            [ColumnarValue::Array(texts), others @ ..] if others.iter().all(is_constant) => {
                texts.as_string_view_opt().cloned()
            }
            _ => None,
        };
        let Some(texts) = texts else { return self.inner.invoke_with_args(args) };
        let answers = once_each(&texts, |once| {
            let mut args = args;
            args.args[0] = ColumnarValue::Array(Arc::new(once.clone()));
            args.number_rows = once.len();
            self.inner.invoke_with_args(args)?.into_array(once.len())
        });
        answers.map(ColumnarValue::Array)
    }

    /// Calls the function on runs of rows that have at most [`PATTERNS`] distinct patterns each.
    fn invoke_by_patterns(
        &self,
        args: &ScalarFunctionArgs,
        patterns: &ArrayRef,
    ) -> Result<ColumnarValue> {
        let texts = cast(patterns, &DataType::Utf8View)?;
        let (mut answers, mut start, mut seen) = (Vec::new(), 0, HashSet::new());
        for (row, pattern) in texts.as_string_view().iter().enumerate() {
            if !seen.contains(&pattern) && seen.len() == PATTERNS {
                answers.push(self.invoke_rows(args, start, row - start)?);
                (start, seen) = (row, HashSet::new());
            }
            seen.insert(pattern);
        }
        answers.push(self.invoke_rows(args, start, texts.len() - start)?);
        let answers: Vec<_> = answers.iter().map(|answer| &**answer).collect();
        Ok(ColumnarValue::Array(concat(&answers)?))
    }

    fn invoke_rows(
        &self,
        args: &ScalarFunctionArgs,
        start: usize,
        rows: usize,
    ) -> Result<ArrayRef> {
        memory::check()?;
        let of_rows = |arg: &ColumnarValue| match arg {
            ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(start, rows)),
            constant => constant.clone(),
        };
        let args = ScalarFunctionArgs {
            args: args.args.iter().map(of_rows).collect(),
            arg_fields: args.arg_fields.clone(),
            number_rows: rows,
            return_field: args.return_field.clone(),
            config_options: args.config_options.clone(),
        };
        self.inner.invoke_with_args(args)?.into_array(rows)
    }
}

/// Rewrites `||`, and `~` if its pattern is not a literal, to bounded functions.
#[derive(Debug)]
pub struct OperatorRewrite {
    concatenation: Arc<ScalarUDF>,
    regexp_like: Arc<ScalarUDF>,
}

impl Default for OperatorRewrite {
    fn default() -> OperatorRewrite {
        let signature = Signature::user_defined(Volatility::Immutable);
        let operator = Arc::new(ScalarUDF::new_from_impl(Concatenation { signature }));
        OperatorRewrite {
            concatenation: bounded(operator, Growth::Together),
            regexp_like: bounded(regex::regexp_like(), Growth::Matched),
        }
    }
}

impl FunctionRewrite for OperatorRewrite {
    fn name(&self) -> &str {
        "bounded_operators"
    }

    fn rewrite(&self, expr: Expr, _: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        Ok(match expr {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right }) => {
                Transformed::yes(self.concatenation.call(vec![*left, *right]))
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right })
                if !matches!(*right, Expr::Literal(..)) =>
            {
                let Some((ignores_case, is_negated)) = regular(op) else {
                    let expr = Expr::BinaryExpr(BinaryExpr { left, op, right });
                    return Ok(Transformed::no(expr));
                };
                let flags = ignores_case.then(|| lit("i"));
                let args = [*left, *right].into_iter().chain(flags).collect();
                let matches = self.regexp_like.call(args);
                Transformed::yes(if is_negated { not(matches) } else { matches })
            }
            other => Transformed::no(other),
        })
    }
}

/// The operator `||` as a function of the same types and results.
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
        let (left, right) = BinaryTypeCoercer::new(&types[0], &Operator::StringConcat, &types[1])
            .get_input_types()?;
        Ok(vec![left, right])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        BinaryTypeCoercer::new(&types[0], &Operator::StringConcat, &types[1]).get_result_type()
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> =
            args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let is_nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, is_nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        by_rows(&args, |args, _| {
            let columns = ColumnarValue::values_to_arrays(args)?;
            Ok(concat_elements_dyn(&columns[0], &columns[1])?)
        })
    }
}
