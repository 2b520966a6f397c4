//! Arrays compared with a text, as clients of PostgreSQL write constants: `polroles = '{0}'`.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, ScalarValue, plan_datafusion_err};
use datafusion::logical_expr::planner::{PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, lit};
use datafusion::sql::sqlparser::ast::BinaryOperator;

/// Plans a comparison of an array and the text of one; returns other expressions unchanged.
pub fn plan(mut expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
    let is_comparison = matches!(expr.op, BinaryOperator::Eq | BinaryOperator::NotEq);
    if is_comparison {
        match (text(&expr.left), text(&expr.right)) {
            (None, Some(right)) => {
                if let DataType::List(item) = expr.left.get_type(schema)? {
                    expr.right = list(&right, item.data_type())?;
                }
            }
            (Some(left), None) => {
                if let DataType::List(item) = expr.right.get_type(schema)? {
                    expr.left = list(&left, item.data_type())?;
                }
            }
            _ => {}
        }
    }
    Ok(PlannerResult::Original(expr))
}

/// Returns a constant that is the text of an array.
fn text(expr: &Expr) -> Option<String> {
    let Expr::Literal(value, _) = expr else { return None };
    let text = value.try_as_str().flatten()?.trim();
    (text.starts_with('{') && text.ends_with('}')).then(|| text.to_string())
}

fn list(text: &str, of: &DataType) -> Result<Expr> {
    let inner = text.trim_start_matches('{').trim_end_matches('}');
    let items = inner.split(',').map(str::trim).filter(|item| !item.is_empty());
    let value = |item: &str| {
        let written = ScalarValue::from(item.trim_matches('"'));
        let value = if item.eq_ignore_ascii_case("NULL") { ScalarValue::Null } else { written };
        value.cast_to(of).map_err(|_| plan_datafusion_err!("'{text}' is no array of {of}"))
    };
    let values = items.map(value).collect::<Result<Vec<_>>>()?;
    Ok(lit(ScalarValue::List(ScalarValue::new_list_nullable(&values, of))))
}
