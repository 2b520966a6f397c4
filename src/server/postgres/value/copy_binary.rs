//! The rows of a binary COPY file that arrives in pieces; see [`super::copy_out`] for its layout.

use std::ops::Range;

use super::copy_error::{CopyError, bad_format, too_long};
use super::copy_out::SIGNATURE;

/// Flags of the header: above them all are critical.
const OIDS: u32 = 1 << 16;
const CRITICAL: u32 = 0xfffe_0000;

/// Bytes of the header without an extension.
const HEADER: usize = SIGNATURE.len() + 8;

enum Stage {
    Header,
    Rows,
    End,
}

pub struct BinaryReader {
    columns: usize,
    max_bytes: usize,
    stage: Stage,
    buffer: Vec<u8>,
    start: usize,
    row: u64,
}

impl BinaryReader {
    pub fn new(columns: usize, max_bytes: usize) -> BinaryReader {
        BinaryReader {
            columns,
            max_bytes,
            stage: Stage::Header,
            buffer: Vec::new(),
            start: 0,
            row: 0,
        }
    }

    /// Number of the last row that was returned, from 1.
    pub fn number(&self) -> u64 {
        self.row
    }

    pub fn bytes(&self, field: Range<usize>) -> &[u8] {
        &self.buffer[field]
    }

    /// Takes bytes in. What was returned before is gone.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns where the fields of the next row are; `None` if it is not there yet, or if no more
    /// bytes come, not at all.
    pub fn next(&mut self, is_last: bool) -> Result<Option<Vec<Option<Range<usize>>>>, CopyError> {
        if matches!(self.stage, Stage::Header) && !self.header(is_last)? {
            return Ok(None);
        }
        if matches!(self.stage, Stage::End) {
            return match self.buffer.len() - self.start {
                0 => Ok(None),
                _ => Err(bad_format(self.row + 1, "received copy data after EOF marker")),
            };
        }
        let fields = self.fields()?;
        let is_part = fields.is_none() && matches!(self.stage, Stage::Rows);
        if is_part && is_last && self.start < self.buffer.len() {
            return Err(bad_format(self.row + 1, "unexpected EOF in COPY data"));
        }
        if fields.is_some() {
            self.row += 1;
        } else if !is_part {
            return self.next(is_last);
        }
        Ok(fields)
    }

    /// Reads the header; returns whether it is there.
    fn header(&mut self, is_last: bool) -> Result<bool, CopyError> {
        let wrong = |text| Err(bad_format(0, text));
        let there = self.buffer.len().min(SIGNATURE.len());
        if self.buffer[..there] != SIGNATURE[..there] {
            return wrong("COPY file signature not recognized");
        }
        if self.buffer.len() < HEADER {
            return match is_last {
                true if there < SIGNATURE.len() => wrong("COPY file signature not recognized"),
                true if self.buffer.len() < SIGNATURE.len() + 4 => {
                    wrong("invalid COPY file header (missing flags)")
                }
                true => wrong("invalid COPY file header (missing length)"),
                false => Ok(false),
            };
        }
        let number = |at: usize| self.i32(at).expect("it is there");
        let (flags, extension) = (number(SIGNATURE.len()) as u32, number(SIGNATURE.len() + 4));
        if flags & OIDS != 0 {
            return wrong("invalid COPY file header (WITH OIDS)");
        }
        if flags & CRITICAL != 0 {
            return wrong("unrecognized critical flags in COPY file header");
        }
        let Ok(extension) = usize::try_from(extension) else {
            return wrong("invalid COPY file header (missing length)");
        };
        if extension > self.max_bytes {
            return Err(too_long(0, self.max_bytes));
        }
        if self.buffer.len() < HEADER + extension {
            return if is_last {
                wrong("invalid COPY file header (wrong length)")
            } else {
                Ok(false)
            };
        }
        self.start = HEADER + extension;
        self.stage = Stage::Rows;
        Ok(true)
    }

    /// Reads a row, or the end of the file.
    fn fields(&mut self) -> Result<Option<Vec<Option<Range<usize>>>>, CopyError> {
        let line = self.row + 1;
        let Some(count) = self.buffer.get(self.start..self.start + 2) else { return Ok(None) };
        let count = i16::from_be_bytes([count[0], count[1]]);
        let mut at = self.start + 2;
        if count == -1 {
            (self.start, self.stage) = (at, Stage::End);
            return Ok(None);
        }
        if usize::try_from(count) != Ok(self.columns) {
            let text = format!("row field count is {count}, expected {}", self.columns);
            return Err(bad_format(line, text));
        }
        let mut fields = Vec::with_capacity(self.columns);
        for _ in 0..count {
            let Some(length) = self.i32(at) else { return Ok(None) };
            at += 4;
            let Ok(length) = usize::try_from(length) else {
                if length != -1 {
                    return Err(bad_format(line, "invalid field size"));
                }
                fields.push(None);
                continue;
            };
            fields.push(Some(at..at + length));
            at += length;
            if at - self.start > self.max_bytes {
                return Err(too_long(line, self.max_bytes));
            }
        }
        if at > self.buffer.len() {
            return Ok(None);
        }
        self.start = at;
        Ok(Some(fields))
    }

    fn i32(&self, at: usize) -> Option<i32> {
        let bytes = self.buffer.get(at..at + 4)?;
        Some(i32::from_be_bytes(bytes.try_into().expect("four bytes")))
    }
}
