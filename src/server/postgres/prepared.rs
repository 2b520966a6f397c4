//! Prepared statements.

use arrow::datatypes::SchemaRef;
use tokio::sync::OnceCell;

use super::budget::Held;
use super::error::PgError;
use super::value::types::oid_of_name;
use crate::query::Parsed;
use crate::query::command::Command;

/// A prepared statement.
#[derive(Debug)]
pub struct Prepared {
    /// `None` is the empty text.
    pub command: Option<Command>,
    pub text: String,
    /// Types of the parameters that the client has declared, by their OIDs; 0 is none.
    pub declared: Vec<u32>,
    /// Its part of the memory that all sessions share; `None` if it is a portal's own.
    pub _held: Option<Held>,
    /// What it takes and returns, once that was asked for.
    pub described: OnceCell<Described>,
}

/// What a statement takes and returns.
#[derive(Clone, Debug)]
pub struct Described {
    /// OIDs of the parameters' types.
    pub parameters: Vec<u32>,
    /// `None` if it returns no rows.
    pub schema: Option<SchemaRef>,
}

impl Prepared {
    pub fn new(command: Option<Command>, text: String, declared: Vec<u32>) -> Prepared {
        Prepared { command, text, declared, _held: None, described: OnceCell::new() }
    }

    /// Returns about how many bytes of memory it takes, apart from what is made of its text.
    pub fn weight(&self) -> usize {
        self.text.len() + self.declared.len() * size_of::<u32>()
    }

    /// A statement without parameters.
    pub fn of_query(query: Parsed) -> Prepared {
        Prepared::new(Some(Command::Query(query)), String::new(), Vec::new())
    }

    /// A statement of PREPARE, with the names of its parameters' types.
    pub fn of_command(
        command: Command,
        text: String,
        types: &[String],
    ) -> Result<Prepared, PgError> {
        let of = |name: &String| {
            oid_of_name(name)
                .ok_or_else(|| PgError::new("42704", format!("type {name:?} does not exist")))
        };
        let declared = types.iter().map(of).collect::<Result<_, _>>()?;
        Ok(Prepared::new(Some(command), text, declared))
    }
}
