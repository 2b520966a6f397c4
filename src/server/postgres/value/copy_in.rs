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
            let line = lines.bytes(line);
            if is_first && self.options.header != Header::None {
                self.check_header(line, number)?;
                continue;
            }
            let fields = copy_fields::split(&self.options, line, number)?;
            let fields = self.checked(fields, number)?;
            each(CopyRow { line: number, fields: CopyFields::Texts(&fields) })?;
        }
        // An empty file has an empty header.
        match &self.file {
            File::Lines(lines)
                if is_last && lines.is_new() && self.options.header != Header::None =>
            {
                Ok(self.check_header(&[], 1)?)
            }
            _ => Ok(()),
        }
    }

    fn check_header(&self, header: &[u8], line: u64) -> Result<(), CopyError> {
        if self.options.header != Header::Match {
            return copy_fields::checked(header, line).map(|_| ());
        }
        let fields = copy_fields::split(&self.options, header, line)?;
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, RecordBatch, StringArray};
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::super::copy::Columns;
    use super::super::copy_out::{CopyWriter, SIGNATURE};
    use super::*;

    fn options(name: &str) -> CopyOptions {
        let text = CopyOptions::new(CopyFormat::Text);
        let csv = CopyOptions::new(CopyFormat::Csv);
        match name {
            "text" => text,
            "text with header" => CopyOptions { header: Header::Match, ..text },
            "text with bars" => CopyOptions { delimiter: b'|', null: "".into(), ..text },
            "csv" => csv,
            "csv with header" => CopyOptions { header: Header::Match, ..csv },
            "csv with backslash" => CopyOptions { escape: b'\\', null: "N".into(), ..csv },
            "csv of its own" => CopyOptions {
                quote: b'\'',
                escape: b'\'',
                delimiter: b';',
                header: Header::Line,
                force_null: Columns::Named(vec!["a".into()]),
                force_not_null: Columns::Named(vec!["b".into()]),
                ..csv
            },
            _ => CopyOptions::new(CopyFormat::Binary),
        }
    }

    const OPTIONS: [&str; 8] = [
        "text",
        "text with header",
        "text with bars",
        "csv",
        "csv with header",
        "csv with backslash",
        "csv of its own",
        "binary",
    ];

    /// Reads a file of the columns a and b in pieces; returns its rows as JSON, or the error.
    fn read(options: CopyOptions, file: &[u8], piece_bytes: usize) -> String {
        let columns = vec!["a".to_string(), "b".to_string()];
        let mut reader = CopyReader::new(options, columns, 1_000).unwrap();
        let mut rows = Vec::new();
        let mut each = |row: CopyRow| {
            rows.push(match row.fields {
                CopyFields::Texts(fields) => serde_json::json!(fields),
                CopyFields::Binary(fields) => serde_json::json!(fields),
            });
            Ok::<_, CopyError>(())
        };
        let fed = file.chunks(piece_bytes).try_for_each(|piece| reader.feed(piece, &mut each));
        match fed.and_then(|()| reader.finish(&mut each)) {
            Ok(()) => serde_json::Value::from(rows).to_string(),
            Err(error) => format!("{} {error}", error.sqlstate),
        }
    }

    /// Options, file, and what PostgreSQL 15 reads from it into a table of two texts.
    const FILES: &[(&str, &str, &str)] = &[
        ("text", "\\.0", "22P04 line 1: end-of-copy marker corrupt"),
        ("text", "éN", "22P04 line 1: missing data for column \"b\""),
        ("text", "\t\tN", "22P04 line 1: extra data after last expected column"),
        ("text", "a\\0x", "22021 line 1: invalid byte sequence for encoding \"UTF8\": 0x00"),
        ("text", "xé\t7\n", "[[\"xé\",\"7\"]]"),
        ("text", "N\\N\t\r\n", "[[\"NN\",\"\"]]"),
        ("text", "\t.\n7\t\n", "[[\"\",\".\"],[\"7\",\"\"]]"),
        ("text", "a\t\n\\N\t", "[[\"a\",\"\"],[null,\"\"]]"),
        ("text", "x\t\\.\r\n", "[[\"x\",\"\"]]"),
        (
            "text",
            "\t\r\t\r\\.\n",
            "22P04 line 3: end-of-copy marker does not match previous newline style",
        ),
        (
            "text",
            "\t\r\n\nf\n.",
            "22P04 line 2: literal newline found in data (Use \"\\n\" to represent newline.)",
        ),
        ("text", "N\ta\r\t\\.\r", "[[\"N\",\"a\"],[\"\",\"\"]]"),
        ("text", "\\.\r\nNxaaa", "[]"),
        (
            "text",
            "N\t\r\n\\N\ta\r",
            "22P04 line 2: literal carriage return found in data (Use \"\\r\" to represent carriage return.)",
        ),
        (
            "text with header",
            "\n\\N",
            "22P04 line 1: wrong number of fields in header line: got 1, expected 2",
        ),
        (
            "text with header",
            "b\t\n",
            "22P04 line 1: column name mismatch in header line field 1: got \"b\", expected \"a\"",
        ),
        ("text with header", "\t\\.x", "22P04 line 1: end-of-copy marker corrupt"),
        ("text with header", "a\tb\nb", "22P04 line 2: missing data for column \"b\""),
        ("text with header", "a\tb\n\t\n", "[[\"\",\"\"]]"),
        (
            "text with header",
            "a\tb\n\t\r",
            "22P04 line 2: literal carriage return found in data (Use \"\\r\" to represent carriage return.)",
        ),
        ("text with header", "a\tb\n\t\\N", "[[\"\",null]]"),
        ("text with header", "a\tb\n\tb\t", "22P04 line 2: extra data after last expected column"),
        ("text with header", "a\tb\n\t\n\t", "[[\"\",\"\"],[\"\",\"\"]]"),
        ("text with header", "a\tb\n\t\n\t\\N", "[[\"\",\"\"],[\"\",null]]"),
        ("text with header", "a\tb\n\t\\Na\\.\n", "[[\"\",\"Na\"]]"),
        (
            "text with header",
            "a\tb\na\tb\n\t\\.\ra\tb\r",
            "22P04 line 3: end-of-copy marker does not match previous newline style",
        ),
        ("text with header", "a\tb\nb\t\n\tb\n\\.\na\tb\n", "[[\"b\",\"\"],[\"\",\"b\"]]"),
        ("text with bars", "\\|\\", "22P04 line 1: missing data for column \"b\""),
        ("text with bars", "\\.\\", "22P04 line 1: end-of-copy marker corrupt"),
        ("text with bars", "|\\||", "22P04 line 1: extra data after last expected column"),
        (
            "text with bars",
            "|\r\n|\r",
            "22P04 line 2: literal carriage return found in data (Use \"\\r\" to represent carriage return.)",
        ),
        ("text with bars", "a\\\\|\\\n", "[[\"a\\\\\",\"\\n\"]]"),
        ("text with bars", "\\a|\ra|", "[[\"a\",null],[\"a\",null]]"),
        ("text with bars", "a|aa\r\n", "[[\"a\",\"aa\"]]"),
        ("text with bars", "|\\|\\.\r", "[[null,\"|\"]]"),
        ("text with bars", "|aa\n|\n", "[[null,\"aa\"],[null,null]]"),
        (
            "text with bars",
            "|\r\n|\\\r\n",
            "22P04 line 2: literal newline found in data (Use \"\\n\" to represent newline.)",
        ),
        ("text with bars", "\\.\n\\\n\n\n", "[]"),
        (
            "text with bars",
            "a|\r\n\\.\n",
            "22P04 line 2: end-of-copy marker does not match previous newline style",
        ),
        ("text with bars", "|\n|\n\\.\n", "[[null,null],[null,null]]"),
        ("csv", "aa\n", "22P04 line 1: missing data for column \"b\""),
        ("csv", ", ,", "22P04 line 1: extra data after last expected column"),
        ("csv", "\"\na", "22P04 line 1: unterminated CSV quoted field"),
        (
            "csv",
            ",\r\\.\n",
            "22P04 line 2: end-of-copy marker does not match previous newline style",
        ),
        ("csv", "\"\"é,\n", "[[\"é\",null]]"),
        ("csv", "éé\\,", "[[\"éé\\\\\",null]]"),
        ("csv", " ,a\\.\r", "[[\" \",\"a\\\\.\"]]"),
        ("csv", " aa,\r\n", "[[\" aa\",null]]"),
        ("csv", "\\.\r\n\"\"", "[]"),
        ("csv", ",\\\"\"\r\n", "[[null,\"\\\\\"]]"),
        ("csv", "\\.\r,\\,", "[]"),
        ("csv", "\\.\"\"\\,", "[[\"\\\\.\\\\\",null]]"),
        ("csv", "\\,\r\n,\\", "[[\"\\\\\",null],[null,\"\\\\\"]]"),
        ("csv", " ,\né,", "[[\" \",null],[\"é\",null]]"),
        (
            "csv",
            ",\r\né \r",
            "22P04 line 2: unquoted carriage return found in data (Use quoted CSV field to represent carriage return.)",
        ),
        ("csv", "\"\"\\,\n\"\",", "[[\"\\\\\",null],[\"\",null]]"),
        ("csv", ",\r\"\",\\.\r", "[[null,null],[\"\",\"\\\\.\"]]"),
        ("csv", ",\\.\na,b\n", "[[null,\"\\\\.\"],[\"a\",\"b\"]]"),
        (
            "csv",
            " ,\ré,\r\n",
            "22P04 line 3: unquoted newline found in data (Use quoted CSV field to represent newline.)",
        ),
        ("csv", "\"\"é,\ra,", "[[\"é\",null],[\"a\",null]]"),
        ("csv with header", "a\"a", "22P04 line 1: unterminated CSV quoted field"),
        (
            "csv with header",
            "a\n,",
            "22P04 line 1: wrong number of fields in header line: got 1, expected 2",
        ),
        (
            "csv with header",
            "a,a",
            "22P04 line 1: column name mismatch in header line field 2: got \"a\", expected \"b\"",
        ),
        ("csv with header", "a,b\nb", "22P04 line 2: missing data for column \"b\""),
        ("csv with header", "a,b\n,a", "[[null,\"a\"]]"),
        (
            "csv with header",
            "a,b\n,\r",
            "22P04 line 2: unquoted carriage return found in data (Use quoted CSV field to represent carriage return.)",
        ),
        ("csv with header", "a,b\n,,", "22P04 line 2: extra data after last expected column"),
        ("csv with header", "\"\"a,b\n", "[]"),
        ("csv with header", "a,b\n,\n,", "[[null,null],[null,null]]"),
        ("csv with header", "a,b\n,\"\"\n", "[[null,\"\"]]"),
        ("csv with header", "a,b\n,\n\\.\n", "[[null,null]]"),
        ("csv with header", "a,b\n,\"\"b\n\\.\n", "[[null,\"b\"]]"),
        ("csv with header", "a,b\n,\n\\.a,b\n", "[[null,null],[\"\\\\.a\",\"b\"]]"),
        ("csv with header", "a,b\n,\"\"a\na,b\n", "[[null,\"a\"],[\"a\",\"b\"]]"),
        ("csv with header", "a,b\na,b\na,\"\"\n\\.\n", "[[\"a\",\"b\"],[\"a\",\"\"]]"),
        ("csv with backslash", "\"N\"", "22P04 line 1: missing data for column \"b\""),
        ("csv with backslash", "\\\"N", "22P04 line 1: unterminated CSV quoted field"),
        ("csv with backslash", ",,a\\", "22P04 line 1: extra data after last expected column"),
        (
            "csv with backslash",
            ",\r\\.\n",
            "22P04 line 2: end-of-copy marker does not match previous newline style",
        ),
        ("csv with backslash", "N\\,aa\r", "[[\"N\\\\\",\"aa\"]]"),
        ("csv with backslash", "\"N\",N\r", "[[\"N\",null]]"),
        ("csv with backslash", "a\\\"\",\r", "[[\"a\\\\\",\"\"]]"),
        (
            "csv with backslash",
            ",\r\n\\.\n",
            "22P04 line 2: unquoted newline found in data (Use quoted CSV field to represent newline.)",
        ),
        ("csv with backslash", ",\raa,\r", "[[\"\",\"\"],[\"aa\",\"\"]]"),
        ("csv with backslash", "NaN,\r\n", "[[\"NaN\",\"\"]]"),
        ("csv with backslash", ",N\na,\\\n", "[[\"\",null],[\"a\",\"\\\\\"]]"),
        ("csv with backslash", ",\n\\.a,b\n", "[[\"\",\"\"],[\"\\\\.a\",\"b\"]]"),
        ("csv with backslash", ",\nN\"N\"a,", "[[\"\",\"\"],[\"NNa\",\"\"]]"),
        ("csv with backslash", "\"N\",\n\\.\n", "[[\"N\",\"\"]]"),
        (
            "csv with backslash",
            ",\\\\.\na,b\r",
            "22P04 line 2: unquoted carriage return found in data (Use quoted CSV field to represent carriage return.)",
        ),
        ("csv with backslash", "N,\r\\.\ra,b\r", "[[null,\"\"]]"),
        ("csv with backslash", "\"N\"\\N,\n\\,\n", "[[\"N\\\\N\",\"\"],[\"\\\\\",\"\"]]"),
        ("csv with backslash", "\"N\",\n\\.xa,b\n", "[[\"N\",\"\"],[\"\\\\.xa\",\"b\"]]"),
        ("csv of its own", "a\n\n", "22P04 line 2: missing data for column \"b\""),
        ("csv of its own", "\n;'", "22P04 line 2: unterminated CSV quoted field"),
        ("csv of its own", "\n;;;;", "22P04 line 2: extra data after last expected column"),
        ("csv of its own", "'''';\r", "[]"),
        ("csv of its own", "a';\"''", "[]"),
        ("csv of its own", ";\"\na;\n", "[[\"a\",\"\"]]"),
        ("csv of its own", "\n;\n;\n;", "[[null,\"\"],[null,\"\"],[null,\"\"]]"),
        ("csv of its own", ";a\r;aa", "[[null,\"aa\"]]"),
        ("csv of its own", "';\r\\.\n", "[]"),
        (
            "csv of its own",
            ";a\r\n\\.\n",
            "22P04 line 2: unquoted newline found in data (Use quoted CSV field to represent newline.)",
        ),
        ("csv of its own", ";'a\"\r\\.x", "[]"),
        ("csv of its own", "\";\r'';\r;", "[[null,\"\"],[null,\"\"]]"),
        (
            "csv of its own",
            ";\"a\"\r\n;\r",
            "22P04 line 2: unquoted carriage return found in data (Use quoted CSV field to represent carriage return.)",
        ),
        ("csv of its own", "\";\n;a\n\\.\n", "[[null,\"a\"]]"),
        (
            "csv of its own",
            "\"a'';\r\\.\n",
            "22P04 line 2: end-of-copy marker does not match previous newline style",
        ),
        ("csv of its own", ";a\r\\.xa;b\r", "[[\"\\\\.xa\",\"b\"]]"),
        ("csv of its own", ";\"a\"\n;\\.\na;b\n", "[[null,\"\\\\.\"],[\"a\",\"b\"]]"),
        ("csv of its own", ";''\n''';\n';\\.\na;b\n", "[[\"';\\n\",\"\\\\.\"],[\"a\",\"b\"]]"),
    ];

    #[test]
    fn files_are_read_as_by_postgresql() {
        for (name, file, expected) in FILES {
            for piece_bytes in [1, 2, 3, 1_000] {
                let rows = read(options(name), file.as_bytes(), piece_bytes);
                assert_eq!(rows, *expected, "{name} {file:?}");
            }
        }
    }

    /// psql takes it for the end, and so do files that were written by hand.
    #[test]
    fn the_end_of_a_file_needs_no_line_end_if_it_is_alone_in_its_line() {
        assert_eq!(read(options("text"), b"a\tb\n\\.", 1), "[[\"a\",\"b\"]]");
        assert_eq!(read(options("csv"), b"a,b\r\n\\.", 1), "[[\"a\",\"b\"]]");
        assert!(read(options("text"), b"a\tb\\.", 1).starts_with("22P04 line 1: end-of-copy"));
    }

    #[test]
    fn an_empty_file_lacks_the_header_that_is_to_match() {
        assert_eq!(read(options("csv"), b"", 1), "[]");
        assert_eq!(read(options("csv of its own"), b"", 1), "[]");
        let error = "22P04 line 1: wrong number of fields in header line: got 1, expected 2";
        assert_eq!(read(options("text with header"), b"", 1), error);
    }

    #[test]
    fn a_row_is_bounded() {
        for (name, file) in [
            ("text", vec![b'a'; 2_000]),
            ("csv", [&b"a,\""[..], &b"\n".repeat(2_000)].concat()),
            ("binary", [&SIGNATURE[..], b"\0\0\0\0\0\0\0\0\0\x02\x7f\0\0\0"].concat()),
        ] {
            for piece_bytes in [1, 5_000] {
                let error = read(options(name), &file, piece_bytes);
                assert!(error.starts_with("54000 "), "{error}");
            }
        }
    }

    /// What PostgreSQL 15 says to the same files.
    #[test]
    fn a_binary_file_is_read_as_by_postgresql() {
        let header = [&SIGNATURE[..], &[0; 8]].concat();
        let row = b"\0\x02\0\0\0\x01x\xff\xff\xff\xff";
        let file = |parts: &[&[u8]]| [&header[..], &parts.concat()].concat();
        let headed = |rest: &[u8]| [&SIGNATURE[..], rest].concat();
        for (file, expected) in [
            (file(&[]), "[]"),
            (file(&[row]), "[[[120],null]]"),
            (file(&[row, row, b"\xff\xff"]), "[[[120],null],[[120],null]]"),
            (headed(b"\0\0\0\x01\0\0\0\x03abc\xff\xff"), "[]"),
            (file(&[row, b"\xff\xff\0"]), "22P04 line 2: received copy data after EOF marker"),
            (file(&[&row[..7]]), "22P04 line 1: unexpected EOF in COPY data"),
            (file(&[b"\0\x03"]), "22P04 line 1: row field count is 3, expected 2"),
            (file(&[b"\0\x02\xff\xff\xff\xfe"]), "22P04 line 1: invalid field size"),
            (b"".to_vec(), "22P04 line 0: COPY file signature not recognized"),
            (b"PGCOPX".to_vec(), "22P04 line 0: COPY file signature not recognized"),
            (headed(b"\0\0\0\0"), "22P04 line 0: invalid COPY file header (missing length)"),
            (headed(b"\0\x01\0\0\0\0\0\0"), "22P04 line 0: invalid COPY file header (WITH OIDS)"),
            (
                headed(b"\0\x02\0\0\0\0\0\0"),
                "22P04 line 0: unrecognized critical flags in COPY file header",
            ),
            (
                headed(b"\0\0\0\0\xff\xff\xff\xff"),
                "22P04 line 0: invalid COPY file header (missing length)",
            ),
            (
                headed(b"\0\0\0\0\0\0\0\x09"),
                "22P04 line 0: invalid COPY file header (wrong length)",
            ),
        ] {
            for piece_bytes in [1, 3, 1_000] {
                assert_eq!(read(options("binary"), &file, piece_bytes), expected, "{file:?}");
            }
        }
    }

    /// Writes two columns of texts, without the frames of the messages.
    fn written(options: CopyOptions, rows: &[[Option<String>; 2]]) -> Vec<u8> {
        let column = |i: usize| -> ArrayRef {
            Arc::new(rows.iter().map(|row| row[i].as_deref()).collect::<StringArray>())
        };
        let columns = [("a", column(0), true), ("b", column(1), true)];
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let options = match options.header {
            Header::Match => CopyOptions { header: Header::Line, ..options },
            _ => options,
        };
        let mut writer = CopyWriter::new(options, &batch.schema()).unwrap();
        let mut out = BytesMut::new();
        writer.start(&mut out).unwrap();
        writer.rows(&batch, 0..rows.len(), &mut out).unwrap();
        writer.finish(&mut out).unwrap();
        let (mut file, mut rest) = (Vec::new(), &out[..]);
        while let [b'd', a, b, c, d, ..] = rest {
            let end = 1 + u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            file.extend_from_slice(&rest[5..end]);
            rest = &rest[end..];
        }
        file
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn rows_are_read_as_they_were_written(
            name in prop::sample::select(&OPTIONS),
            rows in prop::collection::vec(
                prop::array::uniform2(prop::option::of("[aN\\\\\"',;|\t\n\r.é ]{0,6}")),
                0..4,
            ),
            piece_bytes in 1..20usize,
        ) {
            // FORCE_NULL and FORCE_NOT_NULL read other values than were written, and in text an
            // empty null is read for an empty value.
            let null = if name == "text with bars" { "-" } else { &options(name).null };
            let options = CopyOptions {
                null: null.into(),
                force_null: Columns::None,
                force_not_null: Columns::None,
                ..options(name)
            };
            let file = written(options.clone(), &rows);
            let expected = match options.format {
                CopyFormat::Binary => {
                    let bytes = |text: &Option<String>| text.as_ref().map(|text| text.as_bytes().to_vec());
                    serde_json::json!(rows.iter().map(|row| row.each_ref().map(bytes)).collect::<Vec<_>>())
                }
                CopyFormat::Text | CopyFormat::Csv => serde_json::json!(rows),
            };
            prop_assert_eq!(read(options, &file, piece_bytes), expected.to_string());
        }

        #[test]
        fn no_bytes_make_the_reader_panic(
            name in prop::sample::select(&OPTIONS),
            file in prop_oneof![
                any::<Vec<u8>>(),
                "[ab,;|\t\n\r\\\\.\"'Nx07é]{0,40}".prop_map(String::into_bytes),
                any::<Vec<u8>>().prop_map(|rest| [&SIGNATURE[..], &[0; 8], b"\0\x02", &rest].concat()),
            ],
            piece_bytes in 1..20usize,
        ) {
            let whole = read(options(name), &file, 10_000);
            prop_assert_eq!(read(options(name), &file, piece_bytes), whole);
        }
    }
}
