//! Parameters in the arguments of table functions, `FROM generate_series(1, $1)`: such a function is
//! called while the statement is planned, so its parameters are bound before.

use std::ops::ControlFlow;

use arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, TableFactor, Value, VisitorMut,
};

use super::tree::{as_flow, edit_own_expressions, expression, refused};
use crate::error::{Error, Result};
use crate::query::walk::walk_mut;

/// Returns the value of a parameter by its name, `$1`.
type Values<'a> = &'a dyn Fn(&str) -> Result<ScalarValue>;

/// Binds the parameters in the arguments of table functions. Returns a query of the arguments that
/// had one, as they were; `None` if there are none.
///
/// # Errors
/// [`Error::Invalid`] names a parameter whose value is neither a number, a text nor a time; those
/// of `values`.
pub fn bind_table_arguments(statement: &mut Statement, values: Values) -> Result<Option<String>> {
    let mut binding = Binding { values, arguments: Vec::new() };
    match statement {
        Statement::Statement(statement) => walk_mut(&mut **statement, &mut binding)?,
        Statement::Explain(explain) => return bind_table_arguments(&mut explain.statement, values),
        _ => {}
    }
    let arguments = binding.arguments;
    Ok((!arguments.is_empty()).then(|| format!("SELECT {}", arguments.join(", "))))
}

struct Binding<'a> {
    values: Values<'a>,
    arguments: Vec<String>,
}

impl VisitorMut for Binding<'_> {
    type Break = Error;

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<Error> {
        let args = match table {
            TableFactor::Table { args: Some(args), .. } => &mut args.args,
            TableFactor::Function { args, .. } => args,
            _ => return ControlFlow::Continue(()),
        };
        as_flow(args.iter_mut().try_for_each(|arg| self.bind(arg)))
    }
}

impl Binding<'_> {
    fn bind(&mut self, arg: &mut FunctionArg) -> Result<()> {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = arg else { return Ok(()) };
        let (before, mut is_bound) = (expr.to_string(), false);
        edit_own_expressions(expr, |expr| {
            if let Expr::Value(value) = &*expr
                && let Value::Placeholder(name) = &value.value
            {
                let (bound, name) = ((self.values)(name)?, name.clone());
                *expr = literal(&name, &bound)?;
                is_bound = true;
            }
            Ok(())
        })?;
        if is_bound {
            self.arguments.push(format!("{before} AS a{}", self.arguments.len()));
        }
        Ok(())
    }
}

/// Returns a value as a constant of a statement.
fn literal(name: &str, value: &ScalarValue) -> Result<Expr> {
    let of = match value.data_type() {
        DataType::Null => return expression("NULL"),
        of if of.is_integer() && value.is_null() => return expression("NULL"),
        of if of.is_integer() => return expression(&value.to_string()),
        of if of.is_string() => "TEXT",
        of if of.is_floating() || of.is_decimal() => "DOUBLE",
        DataType::Timestamp(_, Some(_)) => "TIMESTAMPTZ",
        DataType::Timestamp(_, None) => "TIMESTAMP",
        DataType::Date32 | DataType::Date64 => "DATE",
        DataType::Interval(_) | DataType::Duration(_) => "INTERVAL",
        of => return Err(refused(name, format!("a table function takes no {of} as a parameter"))),
    };
    let text = match value.cast_to(&DataType::Utf8)? {
        ScalarValue::Utf8(Some(text)) => format!("'{}'", text.replace('\'', "''")),
        _ => "NULL".into(),
    };
    match of {
        "TEXT" => expression(&text),
        of => expression(&format!("CAST({text} AS {of})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_constants() {
        let written = |value| literal("$1", &value).unwrap().to_string();
        assert_eq!(written(ScalarValue::Int16(Some(-2))), "-2");
        assert_eq!(written(ScalarValue::Int64(None)), "NULL");
        assert_eq!(written(ScalarValue::from("it's")), "'it''s'");
        let time = ScalarValue::TimestampMicrosecond(Some(1), Some("UTC".into()));
        assert_eq!(written(time), "CAST('1970-01-01T00:00:00.000001Z' AS TIMESTAMPTZ)");
        let interval = ScalarValue::new_interval_mdn(1, 2, 3_000_000_000);
        assert_eq!(written(interval), "CAST('1 mons 2 days 3.000000000 secs' AS INTERVAL)");
        assert!(literal("$1", &ScalarValue::Boolean(Some(true))).is_err());
    }
}
