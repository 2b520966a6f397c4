//! CSV and TSV writer (RFC 4180), with a header: quoted fields may contain line ends, separators
//! and doubled quotes.
//!
//! NULL is an empty field and an empty text is `""`, as in PostgreSQL; in a line of a single field
//! both are `""`, because readers skip empty lines. A field that begins or ends with a space is
//! quoted, because some readers would trim it. TSV is quoted in the same way, which DuckDB, pandas,
//! Polars and spreadsheets read; ClickHouse reads it as CSV with `format_csv_delimiter`, not as its
//! TabSeparated, which has escapes and no quotes.

use std::fmt;
use std::io::Write;

use arrow::array::{Array, RecordBatch};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// Bytes buffered before they are passed on.
const CHUNK_BYTES: usize = 64 << 10;

pub struct SeparatedWriter<W> {
    output: W,
    delimiter: u8,
    lines: Vec<u8>,
}

impl<W: Write> SeparatedWriter<W> {
    /// Writes the header.
    pub fn new<'a>(
        mut output: W,
        delimiter: u8,
        names: impl ExactSizeIterator<Item = &'a String>,
    ) -> Result<SeparatedWriter<W>, ArrowError> {
        let mut lines = Vec::new();
        let alone = names.len() == 1;
        for (i, name) in names.enumerate() {
            if i > 0 {
                lines.push(delimiter);
            }
            put(&mut lines, delimiter, name.as_bytes(), alone);
        }
        lines.push(b'\n');
        output.write_all(&lines)?;
        lines.clear();
        Ok(SeparatedWriter { output, delimiter, lines })
    }

    /// Writes one line per row. Columns must have been converted to one text per value.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let options = FormatOptions::default().with_display_error(false);
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| Ok((ArrayFormatter::try_new(column, &options)?, column.logical_nulls())))
            .collect::<Result<_, ArrowError>>()?;
        let (alone, mut field) = (columns.len() == 1, Field::default());
        for row in 0..batch.num_rows() {
            for (i, (formatter, nulls)) in columns.iter().enumerate() {
                if i > 0 {
                    self.lines.push(self.delimiter);
                }
                if !nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                    field.0.clear();
                    formatter.value(row).write(&mut field)?;
                    put(&mut self.lines, self.delimiter, &field.0, true);
                } else if alone {
                    self.lines.extend(b"\"\"");
                }
            }
            self.lines.push(b'\n');
            if self.lines.len() >= CHUNK_BYTES {
                self.write_out()?;
            }
        }
        self.write_out()
    }

    fn write_out(&mut self) -> Result<(), ArrowError> {
        self.output.write_all(&self.lines)?;
        self.lines.clear();
        Ok(())
    }

    pub fn into_inner(self) -> W {
        self.output
    }
}

/// Bytes of one field.
#[derive(Default)]
struct Field(Vec<u8>);

impl fmt::Write for Field {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Appends a field, quoted if it would otherwise be misread.
fn put(line: &mut Vec<u8>, delimiter: u8, field: &[u8], quote_empty: bool) {
    let is_special = |&byte: &u8| byte == delimiter || matches!(byte, b'"' | b'\r' | b'\n');
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let is_quoted = match field {
        [] => quote_empty,
        _ => field.iter().any(is_special) || is_blank(field.first()) || is_blank(field.last()),
    };
    if !is_quoted {
        line.extend_from_slice(field);
        return;
    }
    line.push(b'"');
    for &byte in field {
        line.push(byte);
        if byte == b'"' {
            line.push(byte);
        }
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};

    use super::*;

    fn written(columns: &[(&str, &[Option<&str>])], delimiter: u8) -> String {
        let array =
            |texts: &[Option<&str>]| Arc::new(StringArray::from(texts.to_vec())) as ArrayRef;
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns.iter().map(|(name, texts)| (*name, array(texts), true)),
        );
        let (batch, names): (_, Vec<String>) =
            (batch.unwrap(), columns.iter().map(|(name, _)| name.to_string()).collect());
        let mut writer = SeparatedWriter::new(Vec::new(), delimiter, names.iter()).unwrap();
        writer.write(&batch).unwrap();
        String::from_utf8(writer.into_inner()).unwrap()
    }

    #[test]
    fn a_field_is_quoted_where_it_would_be_read_as_something_else() {
        let texts = ["a", "a b", " a", "a,b", "a\tb", "say \"a\"", "a\nb", "a\r", "Zoë"].map(Some);
        let lines = [
            "a",
            "a b",
            "\" a\"",
            "\"a,b\"",
            "a\tb",
            "\"say \"\"a\"\"\"",
            "\"a\nb\"",
            "\"a\r\"",
            "Zoë",
        ]
        .join("\n");
        assert_eq!(written(&[("t", &texts)], b','), format!("t\n{lines}\n"));
        assert_eq!(
            written(&[("a\tb", &[Some("a\tb"), Some("a,b")])], b'\t'),
            "\"a\tb\"\n\"a\tb\"\na,b\n"
        );
    }

    #[test]
    fn a_null_is_empty_and_an_empty_text_is_two_quotes() {
        let column = [None, Some("")];
        assert_eq!(
            written(&[("a", &column), ("b", &[Some("x"), Some("x")])], b','),
            "a,b\n,x\n\"\",x\n"
        );
        assert_eq!(written(&[("a", &column)], b','), "a\n\"\"\n\"\"\n", "a line is never empty");
    }
}
