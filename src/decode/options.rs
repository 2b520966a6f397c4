//! Decoding options, from a file's flags or a content type's parameters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::columns::ColumnNames;
use crate::event::{EventSchema, TimestampRules, TimestampUnit, shown};

/// Number of fields and columns that were ignored, as the store declares no such dimension. Clones
/// count together.
#[derive(Clone, Debug, Default)]
pub struct Ignored(Arc<AtomicU64>);

impl Ignored {
    pub fn add(&self, fields: usize) {
        self.0.fetch_add(fields as u64, Ordering::Relaxed);
    }

    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl PartialEq for Ignored {
    /// A count is no option: it makes none unequal.
    fn eq(&self, _: &Ignored) -> bool {
        true
    }
}

impl Eq for Ignored {}

/// Decoding options other than the format.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Kinds and dimensions of the store.
    pub schema: EventSchema,
    pub ignored: Ignored,
    pub columns: ColumnNames,
    pub timestamps: TimestampRules,
    /// Whether the first record of CSV or TSV is a header.
    pub header: bool,
    /// Delimiter of fields. `None` means a tab in TSV; in CSV it is detected from the header: a
    /// comma, or a semicolon, tab or bar if that makes the header name all three columns.
    pub delimiter: Option<u8>,
    /// Whether TSV is escaped by backslashes.
    pub backslashes: bool,
    /// Columns that a Parquet file may lack.
    pub constants: Vec<Constant>,
}

/// Column that a Parquet file may lack, with the text of its value in every row; `None` is null. A
/// partitioned table keeps such columns in its log or in the names of its folders. A column in the
/// file itself is read from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constant {
    pub name: String,
    pub value: Option<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            schema: EventSchema::default(),
            ignored: Ignored::default(),
            columns: ColumnNames::default(),
            timestamps: TimestampRules::default(),
            header: true,
            delimiter: None,
            backslashes: false,
            constants: Vec::new(),
        }
    }
}

impl Options {
    /// Parses the parameters of a `Content-Type`: `header=present|absent` (RFC 4180, section 3),
    /// and our own: `columns`, `delimiter`, `timestamp-unit`, `escape=backslash`. Others are
    /// ignored.
    pub fn from_content_type(value: &str) -> Result<Options, String> {
        let mut options = Options::default();
        for (name, value) in parameters(value) {
            let accepted = match (&*name, &*value) {
                ("header", "present") => true,
                ("header", "absent") => {
                    options.header = false;
                    true
                }
                ("escape", "backslash") => {
                    options.backslashes = true;
                    true
                }
                ("delimiter", value) => {
                    parse_delimiter(value).map(|byte| options.delimiter = Some(byte)).is_ok()
                }
                ("timestamp-unit", value) => {
                    TimestampUnit::parse(value).map(|unit| options.timestamps.unit = unit).is_some()
                }
                ("columns", value) => {
                    options.columns =
                        ColumnNames::parse(value).map_err(|reason| format!("columns: {reason}"))?;
                    true
                }
                ("header" | "escape", _) => false,
                _ => true,
            };
            if !accepted {
                let known = "header=present or absent, escape=backslash, delimiter=\";\" or tab, timestamp-unit=s, ms, us or ns";
                return Err(format!(
                    "the content type has {name}={}; known are {known}",
                    shown(&value)
                ));
            }
        }
        Ok(options)
    }
}

/// Parses a delimiter: one unambiguous ASCII character, or the word `tab`.
pub fn parse_delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\\' | b'\r' | b'\n') => Ok(*byte),
        _ => Err(format!("expected one character or tab; found {}", shown(text))),
    }
}

/// Returns the parameters of a media type (RFC 9110, section 5.6.6), names in lower case, values
/// unquoted.
fn parameters(value: &str) -> Vec<(String, String)> {
    let mut parameters = Vec::new();
    let mut rest = value.split_once(';').map_or("", |(_, rest)| rest);
    while !rest.is_empty() {
        let (name, tail) = rest.split_once('=').unwrap_or((rest, ""));
        let (value, tail) = match tail.strip_prefix('"') {
            Some(quoted) => unquoted(quoted),
            None => {
                let (value, tail) = tail.split_once(';').unwrap_or((tail, ""));
                (value.trim().to_owned(), tail)
            }
        };
        parameters.push((name.trim_matches([' ', '\t', ';']).to_ascii_lowercase(), value));
        rest = tail;
    }
    parameters
}

/// Parses a quoted string; returns its text and what follows.
fn unquoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (value, text[at + 1..].trim_start_matches([' ', '\t', ';'])),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_types_parameters_say_how_a_body_is_read() {
        let read = |value: &str| Options::from_content_type(value);
        assert_eq!(read("text/csv"), Ok(Options::default()));
        assert_eq!(read("text/csv; charset=utf-8; header=present"), Ok(Options::default()));
        let columns = ColumnNames::parse("timestamp=time,user=user id").unwrap();
        let timestamps =
            TimestampRules { unit: TimestampUnit::Second, ..TimestampRules::default() };
        let wanted = Options {
            columns,
            timestamps,
            header: false,
            delimiter: Some(b';'),
            backslashes: true,
            ..Options::default()
        };
        let value = r#"text/csv;Header=absent ; delimiter=";"; columns="timestamp=time,user=user id";timestamp-unit=s; escape=backslash"#;
        assert_eq!(read(value), Ok(wanted));
        for value in ["header=yes", "delimiter=ab", "timestamp-unit=h", "columns=x", "escape=quote"]
        {
            assert!(read(&format!("text/csv; {value}")).is_err(), "{value}");
        }
    }

    #[test]
    fn broken_parameters_never_panic() {
        for value in [";", ";;=;", "a;b=\"", "a;b=\"\\", "a;b=\"c\"d=e", "a; =", "a;é=\"é\";"] {
            let _ = Options::from_content_type(value);
        }
    }

    #[test]
    fn a_delimiter_is_one_character_that_means_nothing_else() {
        assert_eq!(
            (parse_delimiter(";"), parse_delimiter("tab"), parse_delimiter("\t")),
            (Ok(b';'), Ok(9), Ok(9))
        );
        for text in ["", "\"", "\\", "\n", "::", "é"] {
            assert!(parse_delimiter(text).is_err(), "{text:?}");
        }
    }
}
