//! Functions that may do much in one call, bounded.
//!
//! `repeat('a', 2000000000)` takes gigabytes in one call, within which nobody looks at what the
//! statement holds. How large the answers of these functions and of `||` may be is therefore
//! estimated before they are made, and rows are given to regular expressions so that few of them
//! are compiled at once.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::kernels::concat_elements::concat_elements_dyn;
use arrow::compute::kernels::length::length;
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, exec_err};
use datafusion::functions::{core, encoding, regex, string, unicode};
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Documentation, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit, not,
};
use datafusion::scalar::ScalarValue;

use crate::query::memory;

/// Bytes of the answer for one row.
const ROW_BYTES: u64 = 1 << 20;

/// Bytes of the answers for one batch.
const BATCH_BYTES: u64 = 32 << 20;

/// Regular expressions that are compiled at once.
const PATTERNS: usize = 8;

/// The functions, to be registered in the place of DataFusion's.
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
    ];
    functions.into_iter().map(|(inner, growth)| bounded(inner, growth))
}

fn bounded(inner: Arc<ScalarUDF>, growth: Growth) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Bounded { inner, growth }))
}

/// How large an answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Growth {
    /// The first argument as often as the second says.
    Times,
    /// As many characters as the second argument says, of up to four bytes.
    Padded,
    /// The third argument wherever the second stood in the first.
    Replaced,
    /// The third argument, in which the first may stand again, in its place; with flags, between
    /// all its bytes.
    ReplacedAnywhere,
    /// The first argument for each group of the second.
    Captured,
    /// A number.
    Matched,
    /// All arguments.
    Together,
    /// All arguments, and the first between each two.
    Joined,
    /// The first argument up to twice, with the second in it.
    Overlaid,
    /// Two bytes for each of the first argument.
    Encoded,
    /// The second argument, of which two bytes may become forty.
    Formatted,
    /// Steps, not bytes: the first argument by the second.
    Compared,
}

impl Growth {
    /// Whether the second argument is a regular expression, which takes up to 10 MB when it is
    /// compiled.
    fn takes_pattern(self) -> bool {
        matches!(self, Growth::ReplacedAnywhere | Growth::Captured | Growth::Matched)
    }

    /// The most bytes that the answers of a batch can have, one after the other.
    fn estimate(self, args: &[ColumnarValue], rows: usize) -> Result<Vec<u64>> {
        let sizes = args.iter().map(size).collect::<Result<Vec<_>>>()?;
        let groups = match args.get(1) {
            _ if self != Growth::Captured => 0,
            Some(ColumnarValue::Scalar(pattern)) => pattern.to_string().matches('(').count() as u64,
            _ => sizes.get(1).and_then(|sizes| sizes.iter().max()).copied().unwrap_or(0),
        };
        let estimate = |row: usize| {
            // What is constant is measured once.
            let at = |i: usize| {
                sizes.get(i).map_or(0, |sizes| sizes[if sizes.len() == 1 { 0 } else { row }])
            };
            let all = || (0..sizes.len()).map(at).fold(0, u64::saturating_add);
            match self {
                Growth::Times => at(0).saturating_mul(at(1)),
                Growth::Padded => at(1).saturating_mul(4),
                Growth::Replaced => {
                    (at(0) / at(1).max(1)).saturating_mul(at(2)).saturating_add(at(0))
                }
                // Two bytes name a group; without flags one place is replaced.
                Growth::ReplacedAnywhere if sizes.len() < 4 => {
                    at(0).saturating_mul(at(2) / 2 + 1).saturating_add(at(2))
                }
                Growth::ReplacedAnywhere => (at(0) + 1).saturating_mul(at(2) + 1),
                Growth::Captured => at(0).saturating_mul(groups + 1),
                Growth::Matched => 0,
                Growth::Together => all(),
                Growth::Joined => at(0).saturating_mul(sizes.len() as u64).saturating_add(all()),
                Growth::Overlaid => at(0).saturating_mul(2).saturating_add(at(1)),
                Growth::Encoded => at(0).saturating_mul(2),
                Growth::Formatted => at(1).saturating_mul(20),
                Growth::Compared => at(0).saturating_mul(at(1)),
            }
        };
        Ok((0..rows).map(estimate).collect())
    }
}

/// Of texts their bytes, of numbers what they are, of others nothing; one for all rows where they
/// have the same.
fn size(arg: &ColumnarValue) -> Result<Vec<u64>> {
    let array = match arg {
        ColumnarValue::Array(array) => array.clone(),
        ColumnarValue::Scalar(scalar) => scalar.to_array()?,
    };
    let sizes = match array.data_type() {
        integer if integer.is_integer() => cast(&array, &DataType::Int64)?,
        text if text.is_string() || text.is_binary() => cast(&length(&array)?, &DataType::Int64)?,
        DataType::Dictionary(..) => {
            cast(&length(&cast(&array, &DataType::Utf8View)?)?, &DataType::Int64)?
        }
        _ => return Ok(vec![0]),
    };
    Ok(sizes.as_primitive::<Int64Type>().iter().map(|n| n.unwrap_or(0).max(0) as u64).collect())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    growth: Growth,
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
        let bytes =
            self.growth.estimate(&args.args, if is_constant { 1 } else { args.number_rows })?;
        let (longest, all) = bytes
            .iter()
            .fold((0, 0_u64), |(longest, all), n| (*n.max(&longest), all.saturating_add(*n)));
        if longest > ROW_BYTES || all > BATCH_BYTES {
            return exec_err!(
                "{} would make up to {longest} bytes of one row, and {all} of a batch of rows; {ROW_BYTES} and \
                 {BATCH_BYTES} are allowed",
                self.name()
            );
        }
        memory::check()?;
        let patterns = self.growth.takes_pattern().then(|| args.args.get(1).cloned()).flatten();
        match patterns {
            Some(ColumnarValue::Array(patterns)) => self.invoke_by_patterns(&args, &patterns),
            _ => self.inner.invoke_with_args(args),
        }
    }

    /// A pattern that is written out becomes an operator, which is faster; one of a column stays
    /// here.
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
    /// Calls the function for runs of rows, of which none has more than [`PATTERNS`] patterns.
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

/// Puts bounded functions in the place of `||`, and of `~` where its pattern is not written out.
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
                let (flags, is_negated) = match op {
                    Operator::RegexMatch => (None, false),
                    Operator::RegexIMatch => (Some("i"), false),
                    Operator::RegexNotMatch => (None, true),
                    Operator::RegexNotIMatch => (Some("i"), true),
                    _ => {
                        return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr {
                            left,
                            op,
                            right,
                        })));
                    }
                };
                let args = [*left, *right].into_iter().chain(flags.map(lit)).collect();
                let matches = self.regexp_like.call(args);
                Transformed::yes(if is_negated { not(matches) } else { matches })
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
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let answer = concat_elements_dyn(&columns[0], &columns[1])?;
        if is_constant {
            Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&answer, 0)?))
        } else {
            Ok(ColumnarValue::Array(answer))
        }
    }
}
