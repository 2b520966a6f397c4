//! Rows of a statement on their way to the client.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use pgwire::messages::data::{FieldDescription, RowDescription};
use tokio::sync::Notify;

use super::budget::Held;
use super::error::{End, Fault, PgError};
use super::prepared::Prepared;
use super::value::encode::RowEncoder;
use super::value::format::Format;
use super::value::types::pg_type;
use super::wire::{OUTPUT_BYTES, Wire};
use crate::query::{Params, Parsed, ResultStream, shown_name};
use crate::server::connection::Connection;

/// A bound statement, or a cursor.
#[derive(Debug)]
pub struct Portal {
    pub statement: Arc<Prepared>,
    pub params: Params,
    /// Formats of the columns, as they were asked for.
    pub formats: Vec<i16>,
    /// The rows that are left, once it was begun.
    pub rows: Option<Rows>,
    /// Whether all of it was done.
    pub is_done: bool,
    /// Whether it outlives the transaction.
    pub is_held: bool,
    /// Number of savepoints before it in the transaction that is open; `None` if it is older.
    pub savepoints: Option<usize>,
    /// What its parameters take of the memory that all sessions share.
    pub _held: Option<Held>,
}

/// The rows of a statement that are left.
#[derive(Debug)]
pub struct Rows {
    stream: ResultStream,
    /// Whether the rows are those of EXPLAIN, which clients read line by line.
    is_plan: bool,
    schema: SchemaRef,
    batch: Option<RecordBatch>,
    /// The next row of the batch.
    next: usize,
    has_ended: bool,
}

/// How many rows were sent, and whether there may be more.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub rows: u64,
    pub has_ended: bool,
}

/// Waits for `work` until the statement is cancelled or its client has gone.
pub async fn stoppable<T, E: Into<PgError>>(
    connection: &Connection,
    cancelled: &Notify,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Fault> {
    tokio::select! {
        done = work => Ok(done.map_err(Into::into)?),
        () = cancelled.notified() => Err(PgError::cancelled().into()),
        () = connection.gone() => Err(End::Gone(std::io::ErrorKind::UnexpectedEof.into()).into()),
    }
}

impl Rows {
    pub fn new(statement: &Parsed, stream: ResultStream) -> Rows {
        let is_plan = verb(statement) == "EXPLAIN";
        let schema = if is_plan { plan_schema() } else { stream.described.clone() };
        Rows { stream, is_plan, schema, batch: None, next: 0, has_ended: false }
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Reports whether the statement still runs.
    pub fn is_running(&self) -> bool {
        !self.has_ended
    }

    /// Sends up to `most` rows.
    pub async fn send(
        &mut self,
        wire: &mut Wire,
        cancelled: &Notify,
        formats: &[i16],
        most: u64,
    ) -> Result<Sent, Fault> {
        let formats = column_formats(self.schema(), formats)?;
        let encoder = RowEncoder::new(self.schema(), formats).map_err(PgError::from)?;
        self.each(wire, cancelled, most, |batch, rows, wire| {
            encoder.data_rows(batch, rows, &mut wire.output).map_err(PgError::from)
        })
        .await
    }

    /// Hands up to `most` rows to `write`, in parts, and writes what it has sent.
    pub async fn each(
        &mut self,
        wire: &mut Wire,
        cancelled: &Notify,
        most: u64,
        mut write: impl FnMut(&RecordBatch, Range<usize>, &mut Wire) -> Result<(), PgError>,
    ) -> Result<Sent, Fault> {
        /// Rows that are encoded before the output is looked at.
        const PART: usize = 256;
        let mut sent = 0;
        while sent < most {
            let Some(batch) = &self.batch else {
                if self.has_ended {
                    break;
                }
                let connection = Arc::clone(&wire.connection);
                let next = async { self.stream.next().await.transpose() };
                let batch = stoppable(&connection, cancelled, next).await?;
                (self.next, self.has_ended) = (0, batch.is_none());
                self.batch = match batch {
                    Some(batch) if self.is_plan => Some(plan_lines(&batch)?),
                    batch => batch,
                };
                continue;
            };
            let wanted = usize::try_from(most - sent).unwrap_or(usize::MAX);
            let end = batch.num_rows().min(self.next.saturating_add(wanted.min(PART)));
            write(batch, self.next..end, wire)?;
            sent += (end - self.next) as u64;
            self.next = end;
            if end == batch.num_rows() {
                self.batch = None;
            }
            if wire.output.len() >= OUTPUT_BYTES {
                wire.flush().await.map_err(End::from)?;
            }
        }
        Ok(Sent { rows: sent, has_ended: self.has_ended && self.batch.is_none() })
    }
}

/// Returns the format of each column.
pub fn column_formats(schema: &Schema, given: &[i16]) -> Result<Vec<Format>, PgError> {
    let formats = Format::of_codes(given, schema.fields().len());
    formats.map_err(|error| PgError::new("08P01", error.to_string()))
}

/// Describes the columns of a result.
pub fn row_description(schema: &Schema, formats: &[Format]) -> RowDescription {
    let fields = schema.fields().iter().zip(formats).map(|(field, format)| {
        let of = pg_type(field);
        // A name ends with a zero byte, so it cannot hold one.
        let name = shown_name(field.name()).replace('\0', "\u{fffd}");
        FieldDescription::new(name, 0, 0, of.oid, of.size, of.modifier, format.code())
    });
    RowDescription::new(fields.collect())
}

/// Returns the columns of EXPLAIN: one, with a line of the plan in each row.
pub fn plan_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("QUERY PLAN", DataType::Utf8, false)]))
}

/// Splits plans into lines; each plan comes after a line with its name.
fn plan_lines(batch: &RecordBatch) -> Result<RecordBatch, PgError> {
    let text = |column: usize| cast(batch.column(column), &DataType::Utf8);
    let failed = |error: ArrowError| PgError::new("XX000", error.to_string());
    let (names, plans) = (text(0).map_err(failed)?, text(1).map_err(failed)?);
    let (names, plans) = (names.as_string::<i32>(), plans.as_string::<i32>());
    let mut lines = Vec::new();
    for (name, plan) in names.iter().zip(plans).map(|(a, b)| (a.unwrap_or(""), b.unwrap_or(""))) {
        lines.push(format!("{}:", name.replace('_', " ")));
        lines.extend(plan.lines().map(|line| format!("  {line}")));
    }
    let column = Arc::new(StringArray::from(lines));
    RecordBatch::try_new(plan_schema(), vec![column]).map_err(failed)
}

/// Returns the first word of a statement, in capitals.
pub fn verb(statement: &Parsed) -> String {
    let word = statement.text.chars().take_while(char::is_ascii_alphabetic);
    word.collect::<String>().to_uppercase()
}

/// Returns the tag of a statement that has returned rows.
pub fn tag(statement: &Parsed, rows: u64) -> String {
    let first = verb(statement);
    match first.as_str() {
        "SHOW" | "EXPLAIN" | "SET" | "RESET" | "DISCARD" => first,
        "DESCRIBE" | "DESC" => "SHOW".into(),
        _ => format!("SELECT {rows}"),
    }
}

pub fn no_cursor(name: &str) -> PgError {
    PgError::new("34000", format!("cursor {name:?} does not exist"))
}

pub fn no_statement(name: &str) -> PgError {
    PgError::new("26000", format!("prepared statement {name:?} does not exist"))
}
