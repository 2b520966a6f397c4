//! Aggregates that are rewritten to others.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, internal_err, plan_err};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::functions_aggregate::{average, min_max};
use datafusion::logical_expr::expr::AggregateFunctionParams;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Expr, Signature, Volatility,
};
use datafusion::prelude::lit;

use super::super::function::{documentation, equal_by_name, identity};
use super::super::sum;

/// An aggregate that is rewritten to another, with the conversion of its parameters.
#[derive(Debug)]
pub struct AggregateSpelling {
    pub name: &'static str,
    aliases: Vec<String>,
    usage: &'static str,
    arguments: usize,
    answers: Answers,
    becomes: fn() -> Arc<AggregateUDF>,
    expand: fn(AggregateFunctionParams) -> AggregateFunctionParams,
    signature: Signature,
    documentation: Documentation,
}

#[derive(Clone, Copy, Debug)]
enum Answers {
    Count,
    /// The type of the first argument.
    First,
    /// The type that the other aggregate returns for the first argument.
    Other,
}

impl AggregateSpelling {
    pub fn expanded(
        &self,
        params: AggregateFunctionParams,
    ) -> Result<(Arc<AggregateUDF>, AggregateFunctionParams)> {
        if params.args.len() != self.arguments {
            return plan_err!("{} is called as {}", self.name, self.usage);
        }
        if params.distinct && !matches!(self.answers, Answers::Other) {
            return plan_err!("{} takes no DISTINCT", self.name);
        }
        Ok(((self.becomes)(), (self.expand)(params)))
    }
}

equal_by_name!(AggregateSpelling);

impl AggregateUDFImpl for AggregateSpelling {
    identity!();

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if types.len() == self.arguments {
            Ok(types.to_vec())
        } else {
            plan_err!("{} is called as {}", self.name, self.usage)
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match self.answers {
            Answers::Count => Ok(DataType::Int64),
            Answers::First => Ok(types[0].clone()),
            Answers::Other => {
                let other = (self.becomes)();
                let field: FieldRef =
                    Arc::new(arrow::datatypes::Field::new("", types[0].clone(), true));
                let coerced = datafusion::logical_expr::type_coercion::functions::fields_with_udf(
                    &[field],
                    other.as_ref(),
                )?;
                other.return_type(
                    &coerced.iter().map(|field| field.data_type().clone()).collect::<Vec<_>>(),
                )
            }
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        internal_err!("{} should have been rewritten to another aggregate", self.name)
    }

    fn state_fields(&self, _: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        internal_err!("{} should have been rewritten to another aggregate", self.name)
    }
}

fn and(filter: Option<Box<Expr>>, condition: Expr) -> Option<Box<Expr>> {
    Some(Box::new(match filter {
        Some(filter) => filter.and(condition),
        None => condition,
    }))
}

/// Moves the last argument into the filter.
fn with_condition(mut params: AggregateFunctionParams) -> AggregateFunctionParams {
    if let Some(condition) = params.args.pop() {
        params.filter = and(params.filter, condition);
    }
    if params.args.is_empty() {
        params.args.push(lit(1_i64));
    }
    params
}

/// Orders by the last argument, to return the first argument of the row with the least or greatest
/// of it. Rows in which either is null are left out.
fn by_the_other(mut params: AggregateFunctionParams, ascending: bool) -> AggregateFunctionParams {
    if let Some(by) = params.args.pop() {
        let known = params.args[0].clone().is_not_null().and(by.clone().is_not_null());
        params.filter = and(params.filter, known);
        params.order_by = vec![by.sort(ascending, false)];
    }
    params
}

fn distinct(params: AggregateFunctionParams) -> AggregateFunctionParams {
    AggregateFunctionParams { distinct: true, ..params }
}

pub fn aggregates() -> Vec<Arc<AggregateUDF>> {
    let aggregate = |name, aliases: &[&str], usage, arguments, answers, becomes, expand| {
        let aliases = aliases.iter().map(|alias| (*alias).to_string()).collect();
        let signature = Signature::user_defined(Volatility::Immutable);
        let documentation =
            documentation("Short for another expression, as other engines have it.", usage);
        let spelling = AggregateSpelling {
            name,
            aliases,
            usage,
            arguments,
            answers,
            becomes,
            expand,
            signature,
            documentation,
        };
        Arc::new(AggregateUDF::new_from_impl(spelling))
    };
    type Becomes = fn() -> Arc<AggregateUDF>;
    let (count, first): (Becomes, Becomes) = (count_udaf, first_value_udaf);
    vec![
        aggregate(
            "count_if",
            &["countif"],
            "count_if(event = 'click')",
            1,
            Answers::Count,
            count,
            with_condition,
        ),
        aggregate(
            "sum_if",
            &["sumif"],
            "sum_if(x, condition)",
            2,
            Answers::Other,
            sum::udaf,
            with_condition,
        ),
        aggregate(
            "avg_if",
            &["avgif"],
            "avg_if(x, condition)",
            2,
            Answers::Other,
            average::avg_udaf,
            with_condition,
        ),
        aggregate(
            "min_if",
            &["minif"],
            "min_if(x, condition)",
            2,
            Answers::Other,
            min_max::min_udaf,
            with_condition,
        ),
        aggregate(
            "max_if",
            &["maxif"],
            "max_if(x, condition)",
            2,
            Answers::Other,
            min_max::max_udaf,
            with_condition,
        ),
        aggregate(
            "uniq",
            &["uniqexact", "uniqcombined"],
            "uniq(user_id)",
            1,
            Answers::Count,
            count,
            distinct,
        ),
        aggregate(
            "uniq_if",
            &["uniqif", "uniqexactif"],
            "uniq_if(user_id, condition)",
            2,
            Answers::Count,
            count,
            |params| distinct(with_condition(params)),
        ),
        aggregate(
            "arg_max",
            &["argmax", "max_by"],
            "arg_max(value, by)",
            2,
            Answers::First,
            first,
            |params| by_the_other(params, false),
        ),
        aggregate(
            "arg_min",
            &["argmin", "min_by"],
            "arg_min(value, by)",
            2,
            Answers::First,
            first,
            |params| by_the_other(params, true),
        ),
    ]
}
