//! COPY … FROM STDIN: the rows of a file that arrives in pieces, as PostgreSQL reads them.
//!
//! The reader holds one row and one piece at most. It does not convert fields to types.

use std::borrow::Cow;

use super::copy::{CopyFormat, CopyOptions, Header};
use super::copy_binary::BinaryReader;
use super::copy_error::{CopyError, bad_format};
use super::copy_fields::{self, Fields};
use super::copy_lines::LineReader;
use super::error::ValueError;

/// A row of the file.
#[derive(Debug)]
pub struct CopyRow<'a> {
    /// Number of its line, from 1, for errors; of a binary file, the number of the row.
    pub line: u64,
    pub fields: CopyFields<'a>,
}

/// The fields of a row, one for each column; `None` is null.
#[derive(Debug)]
pub enum CopyFields<'a> {
    /// Of a text or CSV file, without escapes and quotes.
    Texts(&'a [Option<Cow<'a, str>>]),
    /// Of a binary file: the binary forms of their types.
    Binary(&'a [Option<&'a [u8]>]),
}

/// Reads the rows of one file.
pub struct CopyReader {
    options: CopyOptions,
    columns: Vec<String>,
    force_not_null: Vec<bool>,
    force_null: Vec<bool>,
    file: File,
}

enum File {
    Lines(LineReader),
    Binary(BinaryReader),
}

impl CopyReader {
    /// Reads rows of the columns, of `max_row_bytes` each at most.
    ///
    /// # Errors
    /// Options that contradict each other.
    pub fn new(
        options: CopyOptions,
        columns: Vec<String>,
        max_row_bytes: usize,
    ) -> Result<CopyReader, ValueError> {
        options.check()?;
        let force_not_null = options.force_not_null.flags("FORCE_NOT_NULL", &columns)?;
        let force_null = options.force_null.flags("FORCE_NULL", &columns)?;
        let file = match options.format {
            CopyFormat::Binary => File::Binary(BinaryReader::new(columns.len(), max_row_bytes)),
            CopyFormat::Text | CopyFormat::Csv => {
                File::Lines(LineReader::new(&options, max_row_bytes))
            }
        };
        Ok(CopyReader { options, columns, force_not_null, force_null, file })
    }

    /// Takes a piece of the file in, which may end anywhere, and gives each row that it completes
    /// to `each`.
    ///
    /// # Errors
    /// The file is wrong, or `each` fails. The reader is of no use after it.
    pub fn feed<E: From<CopyError>>(
        &mut self,
        piece: &[u8],
        each: impl FnMut(CopyRow) -> Result<(), E>,
    ) -> Result<(), E> {
        match &mut self.file {
            File::Lines(lines) => lines.feed(piece),
            File::Binary(rows) => rows.feed(piece),
        }
        self.read(false, each)
    }

    /// Ends the file; its last line may lack its end.
    pub fn finish<E: From<CopyError>>(
        &mut self,
        each: impl FnMut(CopyRow) -> Result<(), E>,
    ) -> Result<(), E> {
        self.read(true, each)
    }

    fn read<E: From<CopyError>>(
        &mut self,
        is_last: bool,
        mut each: impl FnMut(CopyRow) -> Result<(), E>,
    ) -> Result<(), E> {
        if let File::Binary(rows) = &mut self.file {
            while let Some(fields) = rows.next(is_last)? {
                let bytes = |field: Option<_>| field.map(|field| rows.bytes(field));
                let fields: Vec<_> = fields.into_iter().map(bytes).collect();
                let fields = CopyFields::Binary(&fields);
                each(CopyRow { line: rows.number(), fields })?;
            }
            return Ok(());
        }
        while let File::Lines(lines) = &mut self.file
            && let Some(line) = lines.next(is_last)?
        {
            let number = lines.number();
            let is_first = lines.is_first();
            let File::Lines(lines) = &self.file else { continue };
            let fields = copy_fields::split(&self.options, lines.bytes(line), number)?;
            if is_first && self.options.header != Header::None {
                self.check_header(fields, number)?;
                continue;
            }
            let fields = self.checked(fields, number)?;
            each(CopyRow { line: number, fields: CopyFields::Texts(&fields) })?;
        }
        Ok(())
    }

    fn check_header(&self, fields: Fields, line: u64) -> Result<(), CopyError> {
        if self.options.header != Header::Match {
            return Ok(());
        }
        let (count, expected) = (fields.len(), self.columns.len());
        if count != expected {
            let text =
                format!("wrong number of fields in header line: got {count}, expected {expected}");
            return Err(bad_format(line, text));
        }
        for (i, (field, name)) in fields.iter().zip(&self.columns).enumerate() {
            let got = match field {
                Some(field) if field == name => continue,
                Some(field) => format!("\"{field}\""),
                None => format!("null value (\"{}\")", self.options.null),
            };
            let text = format!(
                "column name mismatch in header line field {}: got {got}, expected \"{name}\"",
                i + 1
            );
            return Err(bad_format(line, text));
        }
        Ok(())
    }

    /// Checks the number of fields, and applies FORCE_NULL and FORCE_NOT_NULL.
    fn checked<'a>(&'a self, mut fields: Fields<'a>, line: u64) -> Result<Fields<'a>, CopyError> {
        // An empty line is a row of a table without columns.
        if self.columns.is_empty() && fields.len() == 1 && fields[0].as_deref() == Some("") {
            return Ok(Vec::new());
        }
        if fields.len() > self.columns.len() {
            return Err(bad_format(line, "extra data after last expected column"));
        }
        if let Some(name) = self.columns.get(fields.len()) {
            return Err(bad_format(line, format!("missing data for column \"{name}\"")));
        }
        if self.options.format == CopyFormat::Csv {
            let null = self.options.null.as_str();
            for (i, field) in fields.iter_mut().enumerate() {
                if field.is_none() && self.force_not_null[i] {
                    *field = Some(Cow::Borrowed(null));
                } else if self.force_null[i] && field.as_deref() == Some(null) {
                    *field = None;
                }
            }
        }
        Ok(fields)
    }
}
