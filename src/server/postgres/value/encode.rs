//! Result rows of PostgreSQL's protocol.
//!
//! A DataRow is `D`, its length (i32, with itself, without the `D`), the number of columns (i16),
//! and for each column its value, framed (see [`super::values`]).
//!
//! Types are converted once a batch, so that a row costs one branch for each of its values.

use std::ops::Range;

use arrow::array::RecordBatch;
use arrow::datatypes::{Fields, Schema};
use bytes::{BufMut, BytesMut};

pub use super::format::Format;

use super::error::ValueError;
use super::values::{Column, set_length};

/// Writes the rows of batches of one schema.
#[derive(Clone, Debug)]
pub struct RowEncoder {
    columns: Fields,
    formats: Vec<Format>,
}

impl RowEncoder {
    /// The columns are as they were described to the client: a batch may say less of their types.
    ///
    /// # Errors
    /// [`ValueError`] if there are more columns than a row can have.
    pub fn new(schema: &Schema, formats: Vec<Format>) -> Result<RowEncoder, ValueError> {
        assert_eq!(schema.fields().len(), formats.len(), "each column has a format");
        check_columns(schema.fields().len())?;
        Ok(RowEncoder { columns: schema.fields().clone(), formats })
    }

    /// Appends a DataRow for each of the rows.
    ///
    /// # Errors
    /// A value that PostgreSQL's type lacks. The rows before it are whole; nothing of its own row
    /// is appended.
    pub fn data_rows(
        &self,
        batch: &RecordBatch,
        rows: Range<usize>,
        out: &mut BytesMut,
    ) -> Result<(), ValueError> {
        let columns = columns(&self.columns, batch, rows.clone())?;
        for row in 0..rows.len() {
            let start = out.len();
            if let Err(error) = self.data_row(&columns, row, out) {
                out.truncate(start);
                return Err(error);
            }
        }
        Ok(())
    }

    fn data_row(
        &self,
        columns: &[Column],
        row: usize,
        out: &mut BytesMut,
    ) -> Result<(), ValueError> {
        out.put_u8(b'D');
        let start = out.len();
        out.put_i32(0);
        out.put_i16(columns.len() as i16);
        for (column, format) in columns.iter().zip(&self.formats) {
            column.put_framed(*format, row, out)?;
        }
        set_length(out, start, start)
    }
}

/// Converts the columns of some rows, which `fields` describes.
pub fn columns(
    fields: &Fields,
    batch: &RecordBatch,
    rows: Range<usize>,
) -> Result<Vec<Column>, ValueError> {
    let batch = batch.slice(rows.start, rows.len());
    let columns = fields.iter().zip(batch.columns());
    columns.map(|(field, column)| Column::described(field, column)).collect()
}

/// Checks that a row can have this many columns.
pub fn check_columns(count: usize) -> Result<(), ValueError> {
    const MAX: usize = i16::MAX as usize;
    if count <= MAX {
        return Ok(());
    }
    let text = format!("{count} columns are more than the {MAX} that a row can have");
    Err(ValueError::new("54011", text))
}
