//! Constants as PostgreSQL writes them: intervals such as `interval '1 day 02:03:04'`, bytes such as
//! `'\x00ff'::bytea`; and calls that other ones stand for: `to_date` with its formats, `age` of a
//! transaction.

use datafusion::sql::sqlparser::ast::{
    DataType as SqlType, Expr, FunctionArguments, Interval, Value,
};

use super::tree::{expression, within_parentheses};
use crate::error::{Error, Result};
use crate::query::functions::{is_interval_of_postgres, parse_bytea, parse_interval};

/// Rewrites a constant of PostgreSQL's to one that the planner reads, and `to_date` with a format of
/// PostgreSQL's to a cast of `to_timestamp`, which takes it.
pub fn rewrite(expr: &mut Expr) -> Result<()> {
    match expr {
        Expr::Interval(Interval { value, leading_field: None, .. }) => {
            if let Some(text) = text(value).filter(|text| is_interval_of_postgres(text)) {
                **value = interval(text)?;
            }
        }
        Expr::Cast { expr: of, data_type, .. } => {
            let constant = match (&*data_type, text(of)) {
                (SqlType::Interval { .. }, Some(text)) if is_interval_of_postgres(text) => {
                    interval(text)?
                }
                (SqlType::Bytea, Some(text)) if text.contains('\\') => bytea(text)?,
                _ => return Ok(()),
            };
            **of = constant;
        }
        Expr::Function(call) if call.name.to_string().eq_ignore_ascii_case("to_date") => {
            if let FunctionArguments::List(list) = &call.args
                && let [text, format] = &list.args[..]
                && let written = format.to_string()
                // A format with percent signs is chrono's.
                && written.starts_with('\'')
                && !written.contains('%')
            {
                *expr = expression(&format!("CAST(to_timestamp({text}, {written}) AS DATE)"))?;
            }
        }
        // No row has a version here, and so none is old.
        Expr::Function(call) if call.to_string().to_lowercase().starts_with("age(") => {
            if let FunctionArguments::List(list) = &call.args
                && let [of] = &list.args[..]
                && of.to_string().to_lowercase().ends_with("frozenxid")
            {
                *expr = expression("CAST(0 AS INT)")?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Returns bytes as a constant.
fn bytea(text: &str) -> Result<Expr> {
    let bytes = parse_bytea(text)
        .map_err(|reason| Error::Invalid(format!("'{text}' is no bytea: {reason}")))?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    expression(&format!("decode('{digits}', 'hex')"))
}

fn text(expr: &Expr) -> Option<&str> {
    match within_parentheses(expr) {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn interval(text: &str) -> Result<Expr> {
    let of = parse_interval(text).map_err(Error::Invalid)?;
    let text = format!("{} months {} days {} microseconds", of.months, of.days, of.us);
    Ok(Expr::value(Value::SingleQuotedString(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_written_as_the_planner_reads_them() {
        for (sql, expected) in [
            ("interval '02:03:04'", "INTERVAL '0 months 0 days 7384000000 microseconds'"),
            ("'-1 days +00:00:01'::interval", "'0 months -1 days 1000000 microseconds'::INTERVAL"),
            ("interval '1 day'", "INTERVAL '1 day'"),
            (r"'\x00ff'::bytea", "decode('00ff', 'hex')::BYTEA"),
            ("'abc'::bytea", "'abc'::BYTEA"),
            ("to_date(a, 'YYYY')", "CAST(to_timestamp(a, 'YYYY') AS DATE)"),
            ("to_date(a, '%Y')", "to_date(a, '%Y')"),
        ] {
            let mut expr = expression(sql).unwrap();
            rewrite(&mut expr).unwrap();
            assert_eq!(expr.to_string(), expected);
        }
        assert!(rewrite(&mut expression(r"'\x0'::bytea").unwrap()).is_err());
    }
}
