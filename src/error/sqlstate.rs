//! SQLSTATE of an error (PostgreSQL manual, appendix A), finer than its row of the table: programs
//! tell a missing table from a syntax error by it.

use std::error::Error as StdError;

use arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;

use super::kinds::Error;
use super::pushed_down::chain;

/// States of errors that DataFusion tells apart only by their text.
const BY_TEXT: [(&str, &str); 18] = [
    ("divide by zero", "22012"),
    ("division by zero", "22012"),
    ("overflow", "22003"),
    ("out of range", "22003"),
    ("error parsing timestamp", "22007"),
    ("is no time", "22007"),
    ("is not a time", "22007"),
    ("cannot cast string", "22P02"),
    ("table '", "42P01"),
    ("there is no table", "42P01"),
    ("there is no column", "42703"),
    ("no field named", "42703"),
    ("ambiguous", "42702"),
    ("there is no function", "42883"),
    ("invalid function", "42883"),
    ("group by", "42803"),
    ("there is no option", "42704"),
    ("not answered", "0A000"),
];

impl Error {
    /// Returns the SQLSTATE.
    pub fn sqlstate(&self) -> &'static str {
        let coarse = self.failure().row().sqlstate;
        match self {
            Error::Query(fault) => {
                of_fault(fault).unwrap_or_else(|| of_text(&self.to_string(), coarse))
            }
            Error::Syntax(_) => "42601",
            Error::ReadOnly(_) => "25006",
            Error::Invalid(text) => of_text(text, coarse),
            Error::Limit(text)
                if text.contains("query_timeout") || text.contains("statement_timeout") =>
            {
                "57014"
            }
            _ => coarse,
        }
    }
}

fn of_fault(fault: &DataFusionError) -> Option<&'static str> {
    chain(fault).find_map(of_cause)
}

fn of_cause(cause: &(dyn StdError + 'static)) -> Option<&'static str> {
    if let Some(error) = cause.downcast_ref::<ParserError>() {
        return Some(match error {
            ParserError::RecursionLimitExceeded => "54001",
            _ => "42601",
        });
    }
    if let Some(error) = cause.downcast_ref::<SchemaError>() {
        return Some(match error {
            SchemaError::AmbiguousReference { .. } => "42702",
            SchemaError::FieldNotFound { .. } => "42703",
            _ => "42701",
        });
    }
    match cause.downcast_ref::<ArrowError>()? {
        ArrowError::DivideByZero => Some("22012"),
        ArrowError::ArithmeticOverflow(_) => Some("22003"),
        ArrowError::CastError(_) | ArrowError::ParseError(_) => Some("22P02"),
        _ => None,
    }
}

fn of_text(text: &str, otherwise: &'static str) -> &'static str {
    let text = text.to_lowercase();
    BY_TEXT.iter().find(|(part, _)| text.contains(part)).map_or(otherwise, |(_, state)| state)
}
