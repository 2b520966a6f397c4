//! `string_agg` with a delimiter that differs from row to row; DataFusion's takes only a constant.
//!
//! The call is rewritten to an aggregate over texts that hold both:
//! `<length of the delimiter>:<delimiter><value>`. They are collected as by `array_agg`,
//! with its ORDER BY and DISTINCT, and split at the end; the delimiter of the first one is dropped.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast as cast_array;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue, internal_err};
use datafusion::functions::{core, string};
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Signature, Volatility,
    WindowFunctionDefinition, cast, lit, when,
};

use super::stoppable::Stoppable;

static PAIRS: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| {
    let signature = Signature::exact(vec![DataType::Utf8], Volatility::Immutable);
    Arc::new(AggregateUDF::new_from_impl(Pairs { signature }))
});

/// Rewrites calls of `string_agg` whose delimiter is not a constant.
#[derive(Debug)]
pub struct DelimiterRewrite;

impl FunctionRewrite for DelimiterRewrite {
    fn name(&self) -> &str {
        "string_agg_delimiters"
    }

    fn rewrite(
        &self,
        mut expr: Expr,
        _: &DFSchema,
        _: &ConfigOptions,
    ) -> Result<Transformed<Expr>> {
        match &mut expr {
            Expr::AggregateFunction(call) if call.func.name() == "string_agg" => {
                if let Some(pair) = pair(&call.params.args)? {
                    (call.func, call.params.args) = (PAIRS.clone(), vec![pair]);
                    return Ok(Transformed::yes(expr));
                }
            }
            Expr::WindowFunction(call) if call.fun.name() == "string_agg" => {
                if let Some(pair) = pair(&call.params.args)? {
                    call.fun = WindowFunctionDefinition::AggregateUDF(PAIRS.clone());
                    call.params.args = vec![pair];
                    return Ok(Transformed::yes(expr));
                }
            }
            _ => {}
        }
        Ok(Transformed::no(expr))
    }
}

/// Joins value and delimiter to one text; `None` if the delimiter is a constant.
fn pair(args: &[Expr]) -> Result<Option<Expr>> {
    let [value, delimiter] = args else { return Ok(None) };
    if matches!(delimiter, Expr::Literal(..)) {
        return Ok(None);
    }
    let (value, delimiter) =
        (cast(value.clone(), DataType::Utf8), cast(delimiter.clone(), DataType::Utf8));
    let delimiter = core::coalesce().call(vec![delimiter, lit("")]);
    let length = cast(string::octet_length().call(vec![delimiter.clone()]), DataType::Utf8);
    let both = string::concat().call(vec![length, lit(":"), delimiter, value.clone()]);
    Ok(Some(when(value.is_not_null(), cast(both, DataType::Utf8)).end()?))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Pairs {
    signature: Signature,
}

impl AggregateUDFImpl for Pairs {
    fn name(&self) -> &str {
        "string_agg_pairs"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::LargeUtf8)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        array_agg_udaf().state_fields(args)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        array_agg_udaf().order_sensitivity()
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let list = DataType::new_list(DataType::Utf8, true);
        let return_field = Arc::new(Field::new("f", list, true));
        let lists = array_agg_udaf().accumulator(AccumulatorArgs { return_field, ..args })?;
        Ok(Box::new(Collected(Stoppable(lists))))
    }

    fn with_beneficial_ordering(
        self: Arc<Self>,
        _: bool,
    ) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        Ok(Some(self))
    }
}

/// Accumulator of the pairs, which are collected by `array_agg`.
#[derive(Debug)]
struct Collected(Stoppable);

impl Accumulator for Collected {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(values)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let ScalarValue::List(list) = self.0.evaluate()? else {
            return internal_err!("array_agg answers a list");
        };
        let pairs = cast_array(list.values(), &DataType::Utf8)?;
        let mut joined: Option<String> = None;
        for pair in pairs.as_string::<i32>().iter().flatten() {
            let parts = pair
                .split_once(':')
                .and_then(|(length, both)| both.split_at_checked(length.parse().ok()?));
            let Some((delimiter, value)) = parts else {
                return internal_err!("a pair without its length");
            };
            match &mut joined {
                Some(joined) => joined.extend([delimiter, value]),
                None => joined = Some(value.to_string()),
            }
        }
        Ok(ScalarValue::LargeUtf8(joined))
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states)
    }
}
