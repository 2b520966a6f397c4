//! The fields of a line of a text or CSV file.

use std::borrow::Cow;

use super::copy::{CopyFormat, CopyOptions};
use super::copy_error::{self, CopyError};

/// The fields of a row; `None` is null.
pub type Fields<'a> = Vec<Option<Cow<'a, str>>>;

/// Splits a line, whose number is for errors, into its fields.
pub fn split<'a>(
    options: &CopyOptions,
    line: &'a [u8],
    number: u64,
) -> Result<Fields<'a>, CopyError> {
    let line = checked(line, number)?;
    match options.format {
        CopyFormat::Csv => csv(options, line).map_err(|text| copy_error::bad_format(number, text)),
        CopyFormat::Text | CopyFormat::Binary => text(options, line, number),
    }
}

/// Checks that bytes are UTF-8 without a zero.
pub fn checked(bytes: &[u8], number: u64) -> Result<&str, CopyError> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.contains('\0') => Err(copy_error::encoding(number, &[0])),
        Ok(text) => Ok(text),
        Err(error) => {
            let rest = &bytes[error.valid_up_to()..];
            let length = error.error_len().unwrap_or(rest.len()).min(rest.len());
            Err(copy_error::encoding(number, &rest[..length]))
        }
    }
}

/// A delimiter with a backslash before it is part of its field.
fn text<'a>(options: &CopyOptions, line: &'a str, number: u64) -> Result<Fields<'a>, CopyError> {
    let (bytes, mut fields) = (line.as_bytes(), Vec::new());
    let (mut start, mut at, mut has_escapes) = (0, 0, false);
    loop {
        let byte = bytes.get(at);
        if byte == Some(&b'\\') {
            has_escapes = true;
            at += 2;
            continue;
        }
        if byte.is_some() && byte != Some(&options.delimiter) {
            at += 1;
            continue;
        }
        // A backslash at the end of a line stands for nothing.
        let raw = &line[start..if at > line.len() { line.len() - 1 } else { at }];
        fields.push(match (raw == options.null, has_escapes) {
            (true, _) => None,
            (false, false) => Some(Cow::Borrowed(raw)),
            (false, true) => {
                let bytes = unescaped(raw.as_bytes());
                checked(&bytes, number)?;
                Some(Cow::Owned(String::from_utf8(bytes).expect("checked above")))
            }
        });
        if at >= bytes.len() {
            return Ok(fields);
        }
        (start, at, has_escapes) = (at + 1, at + 1, false);
    }
}

/// Replaces escapes: letters for control characters, up to three octal digits, `\x` and up to two
/// hexadecimal digits. Any other character stands for itself.
fn unescaped(mut raw: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(raw.len());
    loop {
        let (byte, rest) = match raw {
            [] | [b'\\'] => return bytes,
            [b'\\', b'0'..=b'7', ..] => number(&raw[1..], 8, 3),
            [b'\\', b'x', digit, ..] if digit.is_ascii_hexdigit() => number(&raw[2..], 16, 2),
            [b'\\', letter, rest @ ..] => {
                let byte = match letter {
                    b'b' => 8,
                    b't' => b'\t',
                    b'n' => b'\n',
                    b'v' => 11,
                    b'f' => 12,
                    b'r' => b'\r',
                    other => *other,
                };
                (byte, rest)
            }
            [byte, rest @ ..] => (*byte, rest),
        };
        bytes.push(byte);
        raw = rest;
    }
}

/// Reads at most `most` digits; of a number above 255, the lower eight bits.
fn number(raw: &[u8], radix: u32, most: usize) -> (u8, &[u8]) {
    let digits = raw.iter().take(most).map_while(|byte| char::from(*byte).to_digit(radix));
    let (value, count) =
        digits.fold((0, 0), |(value, count), digit| (value * radix + digit, count + 1));
    (value as u8, &raw[count..])
}

/// A field may be quoted in part; what is quoted is never null.
fn csv<'a>(options: &CopyOptions, line: &'a str) -> Result<Fields<'a>, &'static str> {
    let (bytes, mut fields) = (line.as_bytes(), Vec::new());
    let is_end = |byte: &u8| *byte == options.delimiter || *byte == options.quote;
    let mut start = 0;
    loop {
        let length = bytes[start..].iter().position(is_end).unwrap_or(bytes.len() - start);
        let end = start + length;
        let next = if bytes.get(end) == Some(&options.quote) {
            let (field, next) = quoted(options, line, start)?;
            fields.push(Some(Cow::Owned(field)));
            next
        } else {
            let field = &line[start..end];
            fields.push((field != options.null).then_some(Cow::Borrowed(field)));
            end
        };
        if next >= bytes.len() {
            return Ok(fields);
        }
        start = next + 1;
    }
}

/// Reads a field with quotes; returns it and where it ends.
fn quoted(
    options: &CopyOptions,
    line: &str,
    start: usize,
) -> Result<(String, usize), &'static str> {
    let bytes = line.as_bytes();
    let CopyOptions { delimiter, quote, escape, .. } = *options;
    let (mut field, mut at, mut in_quotes) = (Vec::new(), start, false);
    while let Some(&byte) = bytes.get(at) {
        let next = bytes.get(at + 1).copied();
        if in_quotes && byte == escape && next.is_some_and(|b| b == escape || b == quote) {
            field.extend(next);
            at += 2;
            continue;
        }
        if byte == quote {
            in_quotes = !in_quotes;
        } else if byte == delimiter && !in_quotes {
            break;
        } else {
            field.push(byte);
        }
        at += 1;
    }
    if in_quotes {
        return Err("unterminated CSV quoted field");
    }
    // Only bytes of ASCII were left out of UTF-8.
    Ok((String::from_utf8(field).expect("UTF-8"), at))
}
