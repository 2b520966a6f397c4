//! Strict splitting of delimited text into records: a record is returned exactly as it was written,
//! or rejected with its line.
//!
//! | dialect | fields |
//! | --- | --- |
//! | quotes (RFC 4180) | a field in double quotes may hold anything, a quote doubled; others hold no quote and no CR |
//! | backslashes (PostgreSQL's COPY, ClickHouse's TSV) | a backslash begins an escape; a lone `\N` is null; `\.` ends the input |
//! | plain tabs | as they are; a quote at the beginning or a backslash is an error, because the dialect is unknown |
//!
//! Lines end in LF or CRLF, which the last line may lack. Blank lines are skipped.
//!
//! This module does not know about columns: a record is a list of byte strings.

use std::io::{BufRead, Read};
use std::ops::Range;

use super::format::{BYTE_ORDER_MARK, DecodeError, check_text};

/// Maximum length of a record, so that an unclosed quote is rejected instead of read into memory.
const MAX_RECORD_BYTES: usize = 1 << 20;

const STRAY_CR: &str = "holds a carriage return outside of quotes; lines end in LF or CRLF";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Quotes,
    Backslashes,
    PlainTabs,
}

pub struct Records<R> {
    input: R,
    pub dialect: Dialect,
    pub delimiter: u8,
    /// Number of lines read so far.
    lines: u64,
    /// Line that the record begins on, counted from 1.
    pub line: u64,
    /// Lines of the record; fields are unescaped in place.
    buffer: Vec<u8>,
    fields: Vec<Range<usize>>,
    nulls: Vec<bool>,
    /// Whether the buffer holds a line that was peeked at and not split yet.
    peeked: bool,
    /// Whether the record has been split in advance.
    ahead: bool,
}

impl<R: BufRead> Records<R> {
    pub fn new(input: R, dialect: Dialect, delimiter: u8) -> Records<R> {
        let (buffer, fields, nulls) = (Vec::new(), Vec::new(), Vec::new());
        Records {
            input,
            dialect,
            delimiter,
            lines: 0,
            line: 0,
            buffer,
            fields,
            nulls,
            peeked: false,
            ahead: false,
        }
    }

    /// Returns the next line that is not blank, without splitting it; `None` at the end of the
    /// input.
    pub fn peek(&mut self) -> Result<Option<&[u8]>, DecodeError> {
        self.peeked = self.peeked || self.begin()?;
        Ok(self.peeked.then(|| &self.buffer[..self.content_end()]))
    }

    /// Returns the number of fields of the peeked record, which remains to be read.
    pub fn count_ahead(&mut self) -> Result<usize, DecodeError> {
        self.ahead = self.read()?;
        Ok(self.len())
    }

    /// Reads the next record; false at the end of the input.
    pub fn read(&mut self) -> Result<bool, DecodeError> {
        if std::mem::take(&mut self.ahead) {
            return Ok(true);
        }
        if !std::mem::take(&mut self.peeked) && !self.begin()? {
            return Ok(false);
        }
        self.fields.clear();
        self.nulls.clear();
        match self.dialect {
            Dialect::Quotes if self.buffer.contains(&b'"') => self.split_quoted()?,
            Dialect::Backslashes if self.buffer.contains(&b'\\') => {
                if &self.buffer[..self.content_end()] == b"\\." {
                    return self.expect_end();
                }
                self.split_escaped()?;
            }
            _ => self.split_plain()?,
        }
        Ok(true)
    }

    pub fn len(&self) -> usize {
        self.fields.len()
    }

    pub fn field(&self, place: usize) -> &[u8] {
        &self.buffer[self.fields[place].clone()]
    }

    /// Reports whether the field is a null of the backslash dialect.
    pub fn is_null(&self, place: usize) -> bool {
        self.nulls.get(place).is_some_and(|null| *null)
    }

    /// Reports whether the field has a quote or a backslash whose meaning is unknown.
    pub fn is_ambiguous(&self, place: usize) -> bool {
        let field = self.field(place);
        self.dialect == Dialect::PlainTabs && (field.starts_with(b"\"") || field.contains(&b'\\'))
    }

    /// Reads the next line that is not blank into the empty buffer.
    fn begin(&mut self) -> Result<bool, DecodeError> {
        loop {
            self.buffer.clear();
            if !self.read_line(None)? {
                return Ok(false);
            }
            self.line = self.lines;
            if self.lines == 1 {
                check_text(&self.buffer)?;
                if self.buffer.starts_with(BYTE_ORDER_MARK) {
                    self.buffer.drain(..BYTE_ORDER_MARK.len());
                }
            }
            if self.content_end() > 0 {
                return Ok(true);
            }
        }
    }

    /// Appends a line to the buffer; false at the end of the input. `opened` is the line of the
    /// open quote, if any.
    fn read_line(&mut self, opened: Option<u64>) -> Result<bool, DecodeError> {
        let room = MAX_RECORD_BYTES.saturating_sub(self.buffer.len()) as u64 + 1;
        let before = self.buffer.len();
        (&mut self.input)
            .take(room)
            .read_until(b'\n', &mut self.buffer)
            .map_err(DecodeError::from_io)?;
        if self.buffer.len() > MAX_RECORD_BYTES {
            return Err(match opened {
                Some(line) => unclosed(line, &format!("within {MAX_RECORD_BYTES} bytes")),
                None => DecodeError::bad_line(
                    self.lines + 1,
                    format!("is longer than {MAX_RECORD_BYTES} bytes"),
                ),
            });
        }
        let read = self.buffer.len() > before;
        self.lines += u64::from(read);
        Ok(read)
    }

    /// Returns the end offset of the buffer's last line, without its line end.
    fn content_end(&self) -> usize {
        let line = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
        line.strip_suffix(b"\r").unwrap_or(line).len()
    }

    fn fault(&self, reason: &str) -> DecodeError {
        DecodeError::bad_line(self.line, reason)
    }

    fn split_plain(&mut self) -> Result<(), DecodeError> {
        let line = &self.buffer[..self.content_end()];
        if line.contains(&b'\r') {
            return Err(self.fault(STRAY_CR));
        }
        let mut start = 0;
        for field in line.split(|byte| *byte == self.delimiter) {
            self.fields.push(start..start + field.len());
            start += field.len() + 1;
        }
        Ok(())
    }

    /// Splits a record that has quotes, reading more lines while one is open.
    fn split_quoted(&mut self) -> Result<(), DecodeError> {
        let (mut read, mut written) = (0, 0);
        loop {
            let start = written;
            let is_quoted = self.buffer.get(read) == Some(&b'"');
            (read, written) = if is_quoted {
                self.unquote(read + 1, written)?
            } else {
                self.copy_plain(read, written)?
            };
            self.fields.push(start..written);
            if read == self.content_end() {
                return Ok(());
            }
            if self.buffer[read] != self.delimiter {
                let place = self.fields.len();
                return Err(self
                    .fault(&format!("has characters behind the closing quote of field {place}")));
            }
            read += 1;
        }
    }

    /// Moves a quoted field from `read` to `written`; returns the end offsets of both, after the
    /// closing quote.
    fn unquote(
        &mut self,
        mut read: usize,
        mut written: usize,
    ) -> Result<(usize, usize), DecodeError> {
        let opened = self.lines;
        loop {
            let Some(&byte) = self.buffer.get(read) else {
                if self.read_line(Some(opened))? {
                    continue;
                } else {
                    return Err(unclosed(opened, "before the end"));
                }
            };
            read += 1;
            if byte == b'"' {
                if self.buffer.get(read) != Some(&b'"') {
                    return Ok((read, written));
                }
                read += 1;
            }
            self.buffer[written] = byte;
            written += 1;
        }
    }

    /// Moves an unquoted field; it ends before the delimiter or the line end.
    fn copy_plain(&mut self, read: usize, written: usize) -> Result<(usize, usize), DecodeError> {
        let field = &self.buffer[read..self.content_end()];
        let length = field.iter().position(|byte| *byte == self.delimiter).unwrap_or(field.len());
        let field = &field[..length];
        if field.contains(&b'"') {
            let place = self.fields.len() + 1;
            return Err(self.fault(&format!(
                "has a quote inside of field {place}, which does not begin with one"
            )));
        }
        if field.contains(&b'\r') {
            return Err(self.fault(STRAY_CR));
        }
        self.buffer.copy_within(read..read + length, written);
        Ok((read + length, written + length))
    }

    /// Splits a line with backslashes at its unescaped delimiters.
    fn split_escaped(&mut self) -> Result<(), DecodeError> {
        let end = self.content_end();
        if self.buffer[..end].contains(&b'\r') {
            return Err(self.fault(STRAY_CR));
        }
        let (mut start, mut at) = (0, 0);
        while at <= end {
            if at == end || self.buffer[at] == self.delimiter {
                let is_null = &self.buffer[start..at] == b"\\N";
                let field_end = if is_null { start } else { self.unescape(start, at)? };
                self.nulls.push(is_null);
                self.fields.push(start..field_end);
                start = at + 1;
            } else if self.buffer[at] == b'\\' {
                at = (at + 1).min(end - 1);
            }
            at += 1;
        }
        Ok(())
    }

    /// Unescapes a field in place and returns its new end.
    fn unescape(&mut self, start: usize, end: usize) -> Result<usize, DecodeError> {
        let (mut read, mut written) = (start, start);
        while read < end {
            let mut byte = self.buffer[read];
            if byte == b'\\' {
                read += 1;
                let escaped = self.buffer[..end].get(read).copied();
                byte = escaped.and_then(|escaped| unescaped(escaped, self.delimiter)).ok_or_else(
                    || {
                        let shown = escaped
                            .map_or(String::new(), |escaped| escaped.escape_ascii().to_string());
                        self.fault(&format!(
                            "has the unknown escape \\{shown} in field {}",
                            self.fields.len() + 1
                        ))
                    },
                )?;
            }
            self.buffer[written] = byte;
            (read, written) = (read + 1, written + 1);
        }
        Ok(written)
    }

    /// Checks that nothing follows the end marker.
    fn expect_end(&mut self) -> Result<bool, DecodeError> {
        if self.begin()? {
            Err(self.fault("follows the end of the data, which the line \\. marks"))
        } else {
            Ok(false)
        }
    }
}

fn unclosed(line: u64, until: &str) -> DecodeError {
    DecodeError::bad_line(line, format!("opens a quote that is not closed {until}"))
}

/// Returns the meaning of an escaped byte, as PostgreSQL and ClickHouse write it.
fn unescaped(byte: u8, delimiter: u8) -> Option<u8> {
    Some(match byte {
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b'0' => 0,
        b'\\' | b'\'' | b'"' => byte,
        byte if byte == delimiter => byte,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits a text into records, with fields joined by a bar.
    fn records(dialect: Dialect, delimiter: u8, text: &str) -> Result<Vec<String>, String> {
        let mut records = Records::new(text.as_bytes(), dialect, delimiter);
        let mut all = Vec::new();
        while records.read().map_err(|error| error.to_string())? {
            let field = |place| {
                if records.is_null(place) {
                    "NULL".to_owned()
                } else {
                    String::from_utf8(records.field(place).to_vec()).unwrap()
                }
            };
            all.push((0..records.len()).map(field).collect::<Vec<_>>().join("|"));
        }
        Ok(all)
    }

    fn quotes(text: &str) -> Result<Vec<String>, String> {
        records(Dialect::Quotes, b',', text)
    }

    fn backslashes(text: &str) -> Result<Vec<String>, String> {
        records(Dialect::Backslashes, b'\t', text)
    }

    #[test]
    fn quoted_fields_hold_anything_and_line_ends_may_be_mixed() {
        let text =
            "\u{feff}a,\"b \"\"c\"\", d\",\r\n\r\n\n\"x\r\ny\",\"\",\"z\r\"\n,,\r\n\"\"\"\",\0,end";
        assert_eq!(quotes(text).unwrap(), ["a|b \"c\", d|", "x\r\ny||z\r", "||", "\"|\0|end"]);
        assert_eq!(quotes("a,b\r").unwrap(), ["a|b"]);
        assert_eq!(quotes("").unwrap(), Vec::<String>::new());
    }

    /// Regression: a quote that is never closed took all following rows into one field, so that
    /// rows were lost and a user's name had newlines. What RFC 4180 does not allow is now rejected,
    /// with the line at fault.
    #[test]
    fn what_quotes_leave_open_or_stray_is_told_with_its_line() {
        for (text, error) in [
            ("a\n\nb,\"c\nd\n", "line 3: opens a quote that is not closed before the end"),
            ("a\n\"b\n\",\"c\nd", "line 3: opens a quote that is not closed before the end"),
            ("a\n\"b\" ,c\n", "line 2: has characters behind the closing quote of field 1"),
            ("a,\"b\"c\"\n", "line 1: has characters behind the closing quote of field 2"),
            ("a,\"b\"\rc\n", "line 1: has characters behind the closing quote of field 2"),
            ("a,b\"c\n", "line 1: has a quote inside of field 2, which does not begin with one"),
            ("a, \"b\"\n", "line 1: has a quote inside of field 2, which does not begin with one"),
            (
                "a\rb\rc",
                "line 1: holds a carriage return outside of quotes; lines end in LF or CRLF",
            ),
            (
                "\"a\",b\rc\n",
                "line 1: holds a carriage return outside of quotes; lines end in LF or CRLF",
            ),
        ] {
            assert_eq!(quotes(text), Err(error.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn a_record_that_does_not_end_is_refused() {
        let long = "x".repeat(MAX_RECORD_BYTES + 1);
        assert_eq!(
            quotes(&format!("a\n{long}")),
            Err("line 2: is longer than 1048576 bytes".into())
        );
        let open = format!("a\n\"{}", "x\n".repeat(MAX_RECORD_BYTES));
        assert_eq!(
            quotes(&open),
            Err("line 2: opens a quote that is not closed within 1048576 bytes".into())
        );
    }

    #[test]
    fn backslashes_escape_and_the_mark_ends_the_data() {
        let text = "a\\tb\t\\\\N\t\\N\r\n\"q\"\t\\n\\r\\b\\f\\v\\'\\0\\\\\t\\\t\n\\.\n\n";
        let read = backslashes(text).unwrap();
        assert_eq!(read, ["a\tb|\\N|NULL", "\"q\"|\n\r\u{8}\u{c}\u{b}'\0\\|\t"]);
        for (text, error) in [
            ("a\\q", "line 1: has the unknown escape \\q in field 1"),
            ("a\tb\\", "line 1: has the unknown escape \\ in field 2"),
            ("\\.\na", "line 2: follows the end of the data, which the line \\. marks"),
            (
                "a\rb\\n",
                "line 1: holds a carriage return outside of quotes; lines end in LF or CRLF",
            ),
        ] {
            assert_eq!(backslashes(text), Err(error.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn bytes_of_any_kind_never_panic() {
        let alphabet = [b'"', b'\\', b',', b'\t', b'\r', b'\n', b'N', b'.', b'a', 0xff];
        for n in 0..100_000_u32 {
            let bytes: Vec<u8> =
                (0..5).map(|i| alphabet[(n / 10_u32.pow(i) % 10) as usize]).collect();
            for (dialect, delimiter) in [
                (Dialect::Quotes, b','),
                (Dialect::Backslashes, b'\t'),
                (Dialect::PlainTabs, b'\t'),
            ] {
                let mut records = Records::new(&bytes[..], dialect, delimiter);
                while let Ok(true) = records.read() {
                    assert!(
                        (0..records.len()).all(|place| records.field(place).len() <= bytes.len())
                    );
                }
            }
        }
    }
}
