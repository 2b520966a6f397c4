//! Parameters of LIMIT and OFFSET: a GET sends them as text, JSON perhaps as 5.0.

use datafusion::common::ParamValues;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Expr, LogicalPlan, lit};
use datafusion::scalar::ScalarValue;

use crate::error::{Error, Result};

/// Binds the parameters of LIMIT and OFFSET as whole numbers.
pub fn bind_limits(plan: LogicalPlan, values: &ParamValues) -> Result<LogicalPlan> {
    let mut wrong = None;
    let bound = plan.transform_up_with_subqueries(|plan| match plan {
        LogicalPlan::Limit(mut limit) => {
            for bound in [&mut limit.skip, &mut limit.fetch] {
                if let Some(expr) = bound.take() {
                    *bound = Some(Box::new(bind(*expr, values, &mut wrong)?));
                }
            }
            Ok(Transformed::yes(LogicalPlan::Limit(limit)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    match wrong {
        None => Ok(bound.data),
        Some(error) => Err(error),
    }
}

fn bind(
    expr: Expr,
    values: &ParamValues,
    wrong: &mut Option<Error>,
) -> datafusion::common::Result<Expr> {
    let bound = expr.transform_up(|expr| {
        let Expr::Placeholder(Placeholder { id, .. }) = &expr else {
            return Ok(Transformed::no(expr));
        };
        let value = values.get_placeholders_with_values(id)?.value;
        let number = match &value {
            ScalarValue::Null => {
                return Ok(Transformed::yes(Expr::Literal(ScalarValue::Int64(None), None)));
            }
            value => value.to_string().trim().trim_end_matches(".0").parse::<i64>(),
        };
        match number {
            Ok(number) if number >= 0 => Ok(Transformed::yes(lit(number))),
            _ => {
                let reason = format!(
                    "LIMIT and OFFSET take a whole number from 0, and the parameter {id} is {value}"
                );
                *wrong = Some(Error::Invalid(reason));
                Ok(Transformed::no(expr))
            }
        }
    })?;
    Ok(bound.data)
}
