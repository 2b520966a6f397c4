//! Names of tables, and the one that can be written.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::words::Words;
use crate::error::{Error, Result};
use crate::query::schema::EVENTS;

/// Reads a name that may have the names of a schema and a database before it.
pub fn table(words: &mut Words<'_>) -> Result<Vec<String>> {
    let mut parts = vec![words.name()?];
    while words.eat_token(&Token::Period) {
        parts.push(words.name()?);
    }
    Ok(parts)
}

/// Reports whether a name is that of the table of events.
pub fn is_events(parts: &[String]) -> bool {
    match parts {
        [table] => table == EVENTS,
        [.., schema, table] => schema == "public" && table == EVENTS,
        [] => false,
    }
}

pub fn not_events(name: &str) -> Error {
    Error::ReadOnly(format!("cannot write to {name}: rows are stored in {EVENTS} alone"))
}
