//! Parameters: the values of the placeholders `$1` or `$name` of a statement.

use std::collections::BTreeMap;

use datafusion::common::ParamValues;
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::logical_expr::LogicalPlan;
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
        Ok(syntax::bind_limits(plan, &values)?.with_param_values(values)?)
    }
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
