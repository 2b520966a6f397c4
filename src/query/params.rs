//! Parameters: the values of the placeholders `$1` or `$name` of a statement.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use datafusion::common::ParamValues;
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr::{Cast, Placeholder};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::scalar::ScalarValue;

use super::syntax;
use crate::error::{Error, Result};

/// The values of a statement's parameters: `$1, $2, …` or `$name`.
#[derive(Clone, Debug, Default)]
pub enum Params {
    #[default]
    None,
    Positional(Vec<ScalarValue>),
    Named(BTreeMap<String, ScalarValue>),
}

impl Params {
    /// Reads parameters from a JSON array or object of strings, numbers, booleans and nulls.
    pub fn from_json(value: &serde_json::Value) -> Result<Params> {
        Ok(match value {
            serde_json::Value::Null => Params::None,
            serde_json::Value::Array(values) => {
                Params::Positional(values.iter().map(scalar).collect::<Result<_>>()?)
            }
            serde_json::Value::Object(values) => {
                let named = values.iter().map(|(name, value)| Ok((name.clone(), scalar(value)?)));
                Params::Named(named.collect::<Result<_>>()?)
            }
            _ => return Err(Error::Invalid("params must be an array or an object".into())),
        })
    }
}

impl Params {
    pub fn is_none(&self) -> bool {
        matches!(self, Params::None)
    }

    /// Returns the value of a parameter by its name, `$1`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it has none.
    pub fn value(&self, name: &str) -> Result<ScalarValue> {
        let bare = name.trim_start_matches('$');
        let value = match self {
            Params::None => None,
            Params::Positional(values) => {
                bare.parse::<usize>().ok().and_then(|number| values.get(number.checked_sub(1)?))
            }
            Params::Named(values) => values.get(bare),
        };
        value.cloned().ok_or_else(|| no_value(name))
    }
}

fn no_value(name: &str) -> Error {
    Error::Invalid(format!("the parameter {name} has no value"))
}

/// 2 to the power of 64, as a float.
const TWO_TO_64: f64 = 18_446_744_073_709_551_616.0;

fn scalar(value: &serde_json::Value) -> Result<ScalarValue> {
    Ok(match value {
        serde_json::Value::Null => ScalarValue::Null,
        serde_json::Value::Bool(value) => ScalarValue::Boolean(Some(*value)),
        serde_json::Value::String(value) => ScalarValue::Utf8(Some(value.clone())),
        serde_json::Value::Number(value) => {
            match (value.as_i64(), value.as_u64(), value.as_f64()) {
                (Some(value), ..) => ScalarValue::Int64(Some(value)),
                (_, Some(value), _) => ScalarValue::UInt64(Some(value)),
                // JSON numbers are parsed to 64 bits, so the last digits of a longer integer are
                // already lost.
                (.., Some(value))
                    if value.fract() == 0.0
                        && value.abs() < 1e38
                        && (value >= TWO_TO_64 || value <= -TWO_TO_64 / 2.0) =>
                {
                    let reason = "an integer parameter beyond 64 bits loses digits: give it as a string, and cast it in the \
                              statement to DECIMAL(38, 0), or to DOUBLE";
                    return Err(Error::Invalid(reason.into()));
                }
                (.., value) => ScalarValue::Float64(value),
            }
        }
        _ => {
            return Err(Error::Invalid(
                "a parameter must be a string, a number, a boolean or null".into(),
            ));
        }
    })
}

/// Binds the parameters. A parameter without a value is an error that names it.
pub(super) fn bind(plan: LogicalPlan, params: Params) -> Result<LogicalPlan> {
    let mut names: Vec<String> = plan.get_parameter_names()?.into_iter().collect();
    names.sort_unstable();
    let values = match params {
        Params::None => ParamValues::List(Vec::new()),
        Params::Positional(values) => {
            ParamValues::List(values.into_iter().map(ScalarAndMetadata::from).collect())
        }
        Params::Named(values) => {
            ParamValues::Map(values.into_iter().map(|(name, value)| (name, value.into())).collect())
        }
    };
    let missing = names.iter().find(|name| {
        let name = name.trim_start_matches('$');
        match &values {
            ParamValues::List(values) => {
                !name.parse().is_ok_and(|i: usize| (1..=values.len()).contains(&i))
            }
            ParamValues::Map(values) => !values.contains_key(name),
        }
    });
    if let Some(name) = missing {
        return Err(no_value(name));
    }
    if names.is_empty() {
        Ok(plan)
    } else {
        let plan = keep_scales(syntax::bind_limits(plan, &values)?, &values)?;
        Ok(plan.with_param_values(values)?)
    }
}

/// Type of `NUMERIC` without a precision, which in PostgreSQL has as many digits as its value.
const NUMERIC: DataType = DataType::Decimal128(38, 10);

/// Binds the parameters that are cast to NUMERIC, as in `$1::numeric`, with the digits that they
/// have: 1 is 1, and not 1.0000000000.
fn keep_scales(plan: LogicalPlan, values: &ParamValues) -> Result<LogicalPlan> {
    let is_number = |of: &DataType| of.is_decimal() || of.is_integer();
    let has_numbers = match values {
        ParamValues::List(values) => values.iter().any(|value| is_number(&value.value.data_type())),
        ParamValues::Map(values) => {
            values.values().any(|value| is_number(&value.value.data_type()))
        }
    };
    if !has_numbers {
        return Ok(plan);
    }
    let bound = |expr: Expr| {
        let Expr::Cast(Cast { expr: of, field }) = &expr else { return Ok(Transformed::no(expr)) };
        let Expr::Placeholder(Placeholder { id, .. }) = &**of else {
            return Ok(Transformed::no(expr));
        };
        let value = values.get_placeholders_with_values(id)?.value;
        Ok(match value.data_type() {
            _ if *field.data_type() != NUMERIC || value.is_null() => Transformed::no(expr),
            of if of.is_decimal() => Transformed::yes(Expr::Literal(value, None)),
            of if of.is_integer() => {
                let value = value.cast_to(&DataType::Decimal128(20, 0))?;
                Transformed::yes(Expr::Literal(value, None))
            }
            _ => Transformed::no(expr),
        })
    };
    let plan = plan.transform_up_with_subqueries(|plan| {
        let names = NamePreserver::new(&plan);
        let plan = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(expr.transform_up(bound)?.update_data(|expr| name.restore(expr)))
        })?;
        plan.map_data(LogicalPlan::recompute_schema)
    })?;
    Ok(plan.data)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Regression: an integer above i64 became a float and lost its last digits. It is now unsigned
    /// up to 64 bits, and an error beyond.
    #[test]
    fn an_integer_parameter_keeps_its_digits() {
        let of = |json: &str| Params::from_json(&serde_json::from_str(json).unwrap());
        assert!(matches!(&of("[18446744073709551615]").unwrap(), Params::Positional(values)
            if values[..] == [ScalarValue::UInt64(Some(u64::MAX))]));
        assert!(matches!(&of("[1.5, 1e300]").unwrap(), Params::Positional(values)
            if values[..] == [ScalarValue::Float64(Some(1.5)), ScalarValue::Float64(Some(1e300))]));
        assert!(of("[18446744073709551616]").is_err());
    }
}
