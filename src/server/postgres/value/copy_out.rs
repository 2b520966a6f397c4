//! COPY … TO STDOUT: rows as CopyData messages, one a row, byte for byte as PostgreSQL sends them.
//!
//! A CopyData is `d`, its length (i32, with itself, without the `d`), and bytes of the file. In
//! text, a backslash, a line end, a tab and the delimiter have a backslash before them; in CSV,
//! values are quoted that would be read as something else. A binary file is a signature, flags (i32
//! 0) and the length of an extension (i32 0); for each row the number of columns (i16) and the
//! values, framed; and -1 (i16). Its header is in the same message as what follows it, as clients
//! expect.

use std::ops::Range;

use arrow::array::RecordBatch;
use arrow::datatypes::{Fields, Schema};
use bytes::{BufMut, BytesMut};

use super::copy::{CopyFormat, CopyOptions, Header};
use super::encode::{check_columns, columns};
use super::error::ValueError;
use super::format::Format;
use super::values::{Column, set_length};
use crate::query::shown_name;

/// The beginning of a binary file.
pub const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// Writes the rows of batches of one schema.
pub struct CopyWriter {
    options: CopyOptions,
    columns: Fields,
    names: Vec<String>,
    force_quote: Vec<bool>,
    /// Whether the header of a binary file is still to be written.
    is_new: bool,
}

impl CopyWriter {
    /// # Errors
    /// Options that contradict each other, or too many columns.
    pub fn new(options: CopyOptions, schema: &Schema) -> Result<CopyWriter, ValueError> {
        options.check()?;
        check_columns(schema.fields().len())?;
        if options.header == Header::Match {
            return Err(ValueError::new("0A000", "cannot use \"match\" with HEADER in COPY TO"));
        }
        let names: Vec<String> =
            schema.fields().iter().map(|field| shown_name(field.name()).to_string()).collect();
        let force_quote = options.force_quote.flags("FORCE_QUOTE", &names)?;
        Ok(CopyWriter {
            options,
            columns: schema.fields().clone(),
            names,
            force_quote,
            is_new: true,
        })
    }

    /// Appends the names of the columns, if they are asked for.
    pub fn start(&mut self, out: &mut BytesMut) -> Result<(), ValueError> {
        if self.options.header == Header::None {
            return Ok(());
        }
        let message = self.begin(out);
        for (i, name) in self.names.iter().enumerate() {
            if i > 0 {
                out.put_u8(self.options.delimiter);
            }
            let start = out.len();
            out.put_slice(name.as_bytes());
            self.escape(false, out, start);
        }
        out.put_u8(b'\n');
        set_length(out, message, message)
    }

    /// Appends some rows of a batch.
    ///
    /// # Errors
    /// A value that PostgreSQL's type lacks. The rows before it are whole; nothing of its own row
    /// is appended.
    pub fn rows(
        &mut self,
        batch: &RecordBatch,
        rows: Range<usize>,
        out: &mut BytesMut,
    ) -> Result<(), ValueError> {
        let columns = columns(&self.columns, batch, rows.clone())?;
        for row in 0..rows.len() {
            let start = out.len();
            let is_new = self.is_new;
            if let Err(error) = self.row(&columns, row, out) {
                out.truncate(start);
                self.is_new = is_new;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Appends the end of the file.
    pub fn finish(&mut self, out: &mut BytesMut) -> Result<(), ValueError> {
        if self.options.format != CopyFormat::Binary {
            return Ok(());
        }
        let message = self.begin(out);
        out.put_i16(-1);
        set_length(out, message, message)
    }

    /// Begins a message; returns where its length is.
    fn begin(&mut self, out: &mut BytesMut) -> usize {
        out.put_u8(b'd');
        let at = out.len();
        out.put_i32(0);
        if std::mem::take(&mut self.is_new) && self.options.format == CopyFormat::Binary {
            out.put_slice(SIGNATURE);
            out.put_i32(0);
            out.put_i32(0);
        }
        at
    }

    fn row(
        &mut self,
        columns: &[Column],
        row: usize,
        out: &mut BytesMut,
    ) -> Result<(), ValueError> {
        let message = self.begin(out);
        if self.options.format == CopyFormat::Binary {
            out.put_i16(columns.len() as i16);
            for column in columns {
                column.put_framed(Format::Binary, row, out)?;
            }
            return set_length(out, message, message);
        }
        for (i, column) in columns.iter().enumerate() {
            if i > 0 {
                out.put_u8(self.options.delimiter);
            }
            if column.is_null(row) {
                out.put_slice(self.options.null.as_bytes());
                continue;
            }
            let start = out.len();
            column.put(Format::Text, row, out)?;
            self.escape(self.force_quote[i], out, start);
        }
        out.put_u8(b'\n');
        set_length(out, message, message)
    }

    /// Escapes or quotes the value that begins at `start`.
    fn escape(&self, is_forced: bool, out: &mut BytesMut, start: usize) {
        match self.options.format {
            CopyFormat::Csv => self.quote(is_forced, out, start),
            CopyFormat::Text | CopyFormat::Binary => self.escape_text(out, start),
        }
    }

    fn escape_text(&self, out: &mut BytesMut, start: usize) {
        let delimiter = self.options.delimiter;
        let escaped = |byte: u8| match byte {
            8 => Some(b'b'),
            b'\t' => Some(b't'),
            b'\n' => Some(b'n'),
            11 => Some(b'v'),
            12 => Some(b'f'),
            b'\r' => Some(b'r'),
            b'\\' => Some(b'\\'),
            byte if byte == delimiter => Some(byte),
            _ => None,
        };
        if !out[start..].iter().any(|byte| escaped(*byte).is_some()) {
            return;
        }
        let value = out.split_off(start);
        out.reserve(value.len() + 8);
        for byte in value {
            match escaped(byte) {
                Some(letter) => out.put_slice(&[b'\\', letter]),
                None => out.put_u8(byte),
            }
        }
    }

    fn quote(&self, is_forced: bool, out: &mut BytesMut, start: usize) {
        let CopyOptions { delimiter, quote, escape, ref null, .. } = self.options;
        let value = &out[start..];
        let is_special =
            |byte: &u8| *byte == delimiter || *byte == quote || matches!(byte, b'\r' | b'\n');
        // Alone in a line, `\.` would be the end of the file.
        let is_end = self.names.len() == 1 && value == b"\\.";
        if !is_forced && !is_end && value != null.as_bytes() && !value.iter().any(is_special) {
            return;
        }
        let value = out.split_off(start);
        out.reserve(value.len() + 8);
        out.put_u8(quote);
        for byte in value {
            if byte == quote || byte == escape {
                out.put_u8(escape);
            }
            out.put_u8(byte);
        }
        out.put_u8(quote);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, StringArray};

    use super::super::copy::Columns;
    use super::*;

    /// Returns the contents of the messages.
    fn messages(options: CopyOptions, batch: &RecordBatch) -> Vec<Vec<u8>> {
        let mut writer = CopyWriter::new(options, &batch.schema()).unwrap();
        let mut out = BytesMut::new();
        writer.start(&mut out).unwrap();
        let half = batch.num_rows() / 2;
        writer.rows(batch, 0..half, &mut out).unwrap();
        writer.rows(batch, half..batch.num_rows(), &mut out).unwrap();
        writer.finish(&mut out).unwrap();
        let (mut messages, mut rest) = (Vec::new(), &out[..]);
        while let [b'd', a, b, c, d, ..] = rest {
            let end = 1 + u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            messages.push(rest[5..end].to_vec());
            rest = &rest[end..];
        }
        assert!(rest.is_empty());
        messages
    }

    fn batch() -> RecordBatch {
        let numbers = [Some(1), None, Some(-2), Some(3), Some(4), Some(5), Some(6), Some(7)];
        let texts = [
            Some("a"),
            Some(""),
            Some("x\ty\\z\n"),
            None,
            Some("\\."),
            Some("a,b\"c"),
            Some("\\N"),
            Some("\x08\x0c\x0b\r|"),
        ];
        let columns: [(&str, ArrayRef); 2] = [
            ("a", Arc::new(Int32Array::from_iter(numbers))),
            ("b|", Arc::new(StringArray::from_iter(texts))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    /// What PostgreSQL 15 sends for the same rows.
    #[test]
    fn rows_are_those_of_postgresql() {
        let text = CopyOptions::new(CopyFormat::Text);
        let csv = CopyOptions::new(CopyFormat::Csv);
        let cases: [(CopyOptions, &[&str]); 5] = [
            (
                text.clone(),
                &[
                    "1\ta\n",
                    "\\N\t\n",
                    "-2\tx\\ty\\\\z\\n\n",
                    "3\t\\N\n",
                    "4\t\\\\.\n",
                    "5\ta,b\"c\n",
                    "6\t\\\\N\n",
                    "7\t\\b\\f\\v\\r|\n",
                ],
            ),
            (
                CopyOptions { delimiter: b'|', null: "".into(), header: Header::Line, ..text },
                &[
                    "a|b\\|\n",
                    "1|a\n",
                    "|\n",
                    "-2|x\\ty\\\\z\\n\n",
                    "3|\n",
                    "4|\\\\.\n",
                    "5|a,b\"c\n",
                    "6|\\\\N\n",
                    "7|\\b\\f\\v\\r\\|\n",
                ],
            ),
            (
                csv.clone(),
                &[
                    "1,a\n",
                    ",\"\"\n",
                    "-2,\"x\ty\\z\n\"\n",
                    "3,\n",
                    "4,\\.\n",
                    "5,\"a,b\"\"c\"\n",
                    "6,\\N\n",
                    "7,\"\x08\x0c\x0b\r|\"\n",
                ],
            ),
            (
                CopyOptions {
                    header: Header::Line,
                    force_quote: Columns::All,
                    null: "a".into(),
                    ..csv.clone()
                },
                &[
                    "\"a\",b|\n",
                    "\"1\",\"a\"\n",
                    "a,\"\"\n",
                    "\"-2\",\"x\ty\\z\n\"\n",
                    "\"3\",a\n",
                    "\"4\",\"\\.\"\n",
                    "\"5\",\"a,b\"\"c\"\n",
                    "\"6\",\"\\N\"\n",
                    "\"7\",\"\x08\x0c\x0b\r|\"\n",
                ],
            ),
            (
                CopyOptions {
                    delimiter: b';',
                    quote: b'\'',
                    escape: b'\\',
                    force_quote: Columns::Named(vec!["a".into()]),
                    ..csv
                },
                &[
                    "'1';a\n",
                    ";''\n",
                    "'-2';'x\ty\\\\z\n'\n",
                    "'3';\n",
                    "'4';\\.\n",
                    "'5';a,b\"c\n",
                    "'6';\\N\n",
                    "'7';'\x08\x0c\x0b\r|'\n",
                ],
            ),
        ];
        for (options, expected) in cases {
            let lines = messages(options, &batch());
            let lines: Vec<_> = lines.iter().map(|line| String::from_utf8_lossy(line)).collect();
            assert_eq!(lines, expected);
        }
    }

    #[test]
    fn a_binary_header_is_in_the_message_of_the_first_row_or_of_the_end() {
        let binary = CopyOptions::new(CopyFormat::Binary);
        let header = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
        let rows = messages(binary.clone(), &batch().slice(0, 2));
        let first = [&header[..], b"\0\x02\0\0\0\x04\0\0\0\x01\0\0\0\x01a"].concat();
        let second = b"\0\x02\xff\xff\xff\xff\0\0\0\0".to_vec();
        assert_eq!(rows, [first, second, b"\xff\xff".to_vec()]);
        let none = messages(binary, &batch().slice(0, 0));
        assert_eq!(none, [[&header[..], b"\xff\xff"].concat()]);
    }

    #[test]
    fn alone_in_a_line_the_end_of_a_file_is_quoted() {
        let column: ArrayRef = Arc::new(StringArray::from(vec![Some("\\."), Some(""), None]));
        let batch = RecordBatch::try_from_iter([("x", column)]).unwrap();
        let lines = messages(CopyOptions::new(CopyFormat::Csv), &batch);
        assert_eq!(lines, [&b"\"\\.\"\n"[..], b"\"\"\n", b"\n"]);
    }
}
