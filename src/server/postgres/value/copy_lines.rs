//! The lines of a text or CSV file that arrives in pieces, divided as PostgreSQL divides them.
//!
//! The first line decides how all lines end: with a newline, a carriage return, or both. `\.` ends
//! the file; what follows it is ignored. In text a backslash takes the next byte along, in CSV a
//! line end within quotes is part of a value. Other than in PostgreSQL, and as in psql, `\.` alone
//! in the last line needs no line end.

use std::ops::Range;

use super::copy::{CopyFormat, CopyOptions};
use super::copy_error::{self, CopyError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineEnd {
    Newline,
    Return,
    Both,
}

/// What is found in the bytes that have arrived.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Line(Range<usize>),
    /// The file ends; a last line may lack its end.
    End(Option<Range<usize>>),
    /// More bytes are needed.
    Part,
}

pub struct LineReader {
    is_csv: bool,
    quote: u8,
    /// The escape within quotes, if it is not the quote.
    escape: Option<u8>,
    max_bytes: usize,
    buffer: Vec<u8>,
    /// Where the line begins that is being read, and how far it has been looked at.
    start: usize,
    at: usize,
    in_quotes: bool,
    was_escape: bool,
    line_end: Option<LineEnd>,
    has_ended: bool,
    /// Number of the line being read, from 1; lines within quotes count.
    line: u64,
    /// Number of the last line that was returned, and how many were.
    returned: u64,
    count: u64,
}

impl LineReader {
    /// A line has `max_bytes` at most.
    pub fn new(options: &CopyOptions, max_bytes: usize) -> LineReader {
        LineReader {
            is_csv: options.format == CopyFormat::Csv,
            quote: options.quote,
            escape: (options.escape != options.quote).then_some(options.escape),
            max_bytes,
            buffer: Vec::new(),
            start: 0,
            at: 0,
            in_quotes: false,
            was_escape: false,
            line_end: None,
            has_ended: false,
            line: 1,
            returned: 0,
            count: 0,
        }
    }

    /// Number of the last line that was returned: the last one of a value with line ends.
    pub fn number(&self) -> u64 {
        self.returned
    }

    /// Reports whether the line that was returned last is the first of the file.
    pub fn is_first(&self) -> bool {
        self.count == 1
    }

    /// Reports whether no line has been returned.
    pub fn is_new(&self) -> bool {
        self.count == 0
    }

    pub fn bytes(&self, line: Range<usize>) -> &[u8] {
        &self.buffer[line]
    }

    /// Takes bytes in. What was returned before is gone.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.has_ended {
            return;
        }
        self.buffer.drain(..self.start);
        self.at -= self.start;
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the next line without its end; `None` if there is none yet, or if `is_last` says
    /// that no more bytes come, none at all.
    pub fn next(&mut self, is_last: bool) -> Result<Option<Range<usize>>, CopyError> {
        if self.has_ended {
            return Ok(None);
        }
        let found = self.find(is_last)?;
        let line = match found {
            Found::Line(line) => Some(line),
            Found::End(line) => {
                self.has_ended = true;
                line
            }
            Found::Part => None,
        };
        let length = line.as_ref().map_or(self.buffer.len() - self.start, Range::len);
        if length > self.max_bytes && !(line.is_none() && self.has_ended) {
            return Err(copy_error::too_long(self.line, self.max_bytes));
        }
        if line.is_some() {
            self.start = self.at;
            (self.in_quotes, self.was_escape) = (false, false);
            self.returned = self.line;
            self.count += 1;
            self.line += 1;
        } else if self.has_ended {
            self.buffer = Vec::new();
        }
        Ok(line)
    }

    fn find(&mut self, is_last: bool) -> Result<Found, CopyError> {
        loop {
            let Some(&byte) = self.buffer.get(self.at) else {
                let line = self.start..self.at;
                return Ok(match is_last {
                    true => Found::End((!line.is_empty()).then_some(line)),
                    false => Found::Part,
                });
            };
            // What follows a return or a backslash must be there before either is looked at.
            let has_next = self.at + 1 < self.buffer.len() || is_last;
            if matches!(byte, b'\r' | b'\\') && !has_next {
                return Ok(Found::Part);
            }
            let is_marker = byte == b'\\'
                && (!self.is_csv || self.at == self.start)
                && self.buffer.get(self.at + 1) == Some(&b'.');
            if is_marker {
                match self.marker(is_last)? {
                    None => return Ok(Found::Part),
                    Some(true) => {
                        let line = self.start..self.at;
                        return Ok(Found::End((!line.is_empty()).then_some(line)));
                    }
                    Some(false) => {}
                }
            }
            if self.is_csv {
                self.track_quotes(byte);
            }
            let line = self.start..self.at;
            self.at += 1;
            match byte {
                b'\r' | b'\n' if !self.in_quotes && self.ends_line(byte)? => {
                    return Ok(Found::Line(line));
                }
                // Whatever follows is taken along, also a line end.
                b'\\' if !self.is_csv => self.at = (self.at + 1).min(self.buffer.len()),
                _ => {}
            }
        }
    }

    fn track_quotes(&mut self, byte: u8) {
        if self.in_quotes && Some(byte) == self.escape {
            self.was_escape = !self.was_escape;
        }
        if byte == self.quote && !self.was_escape {
            self.in_quotes = !self.in_quotes;
        }
        if Some(byte) != self.escape {
            self.was_escape = false;
        }
        let newline = if self.line_end == Some(LineEnd::Newline) { b'\n' } else { b'\r' };
        if self.in_quotes && byte == newline {
            self.line += 1;
        }
    }

    /// Decides how lines end, and checks that this one ends so; takes the newline after a return
    /// along. `at` is behind the byte.
    fn ends_line(&mut self, byte: u8) -> Result<bool, CopyError> {
        let end = match (byte, self.line_end) {
            (b'\r', None | Some(LineEnd::Both)) if self.buffer.get(self.at) == Some(&b'\n') => {
                self.at += 1;
                LineEnd::Both
            }
            (b'\r', None | Some(LineEnd::Return)) => LineEnd::Return,
            (b'\n', None | Some(LineEnd::Newline)) => LineEnd::Newline,
            _ => return Err(copy_error::line_end(self.line, byte == b'\r', self.is_csv)),
        };
        self.line_end = Some(end);
        Ok(true)
    }

    /// Reports whether `\.` at this place ends the file; `None` if that is not known yet.
    fn marker(&self, is_last: bool) -> Result<Option<bool>, CopyError> {
        let after = &self.buffer[self.at + 2..];
        let expected: &[u8] = match self.line_end {
            Some(LineEnd::Both) => b"\r\n",
            Some(LineEnd::Return) => b"\r",
            Some(LineEnd::Newline) => b"\n",
            None => match after.first() {
                Some(b'\r') => b"\r",
                _ => b"\n",
            },
        };
        let there = after.len().min(expected.len());
        let may_be = after[..there] == expected[..there];
        if may_be && (there == expected.len() || (is_last && self.at == self.start)) {
            return Ok(Some(true));
        }
        if may_be && !is_last {
            return Ok(None);
        }
        let is_line_end = matches!(after.first(), Some(b'\r' | b'\n'));
        if self.is_csv && (!is_line_end || self.line_end == Some(LineEnd::Both)) {
            return Ok(Some(false));
        }
        Err(copy_error::marker(self.line, is_line_end))
    }
}
