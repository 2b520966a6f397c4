//! Checks of the options of COPY.

use super::error::ValueError;

pub use crate::query::command::{Columns, CopyFormat, CopyOptions, Header};

impl CopyOptions {
    /// Checks that the options can be told apart in a file.
    ///
    /// # Errors
    /// With the words and the SQLSTATE of PostgreSQL.
    pub fn check(&self) -> Result<(), ValueError> {
        let wrong = |text: &str| Err(ValueError::new("22023", text));
        let unsupported = |text: &str| Err(ValueError::new("0A000", text));
        if self.format == CopyFormat::Binary {
            return match self.header {
                Header::None => Ok(()),
                _ => unsupported("cannot specify HEADER in BINARY mode"),
            };
        }
        let is_csv = self.format == CopyFormat::Csv;
        let bytes = [("delimiter", self.delimiter), ("quote", self.quote), ("escape", self.escape)];
        for (name, byte) in &bytes[..if is_csv { 3 } else { 1 }] {
            if !byte.is_ascii() || *byte == 0 {
                return unsupported(&format!("COPY {name} must be a single one-byte character"));
            }
            if matches!(byte, b'\r' | b'\n') {
                return wrong(&format!("COPY {name} cannot be newline or carriage return"));
            }
        }
        if self.null.contains(['\r', '\n']) {
            return wrong("COPY null representation cannot use newline or carriage return");
        }
        let delimiter = char::from(self.delimiter);
        if !is_csv && matches!(delimiter, '\\' | '.' | 'a'..='z' | '0'..='9') {
            return wrong(&format!("COPY delimiter cannot be \"{delimiter}\""));
        }
        if is_csv && self.delimiter == self.quote {
            return wrong("COPY delimiter and quote must be different");
        }
        if self.null.contains(delimiter) {
            return unsupported("COPY delimiter must not appear in the NULL specification");
        }
        if is_csv && self.null.contains(char::from(self.quote)) {
            return unsupported("CSV quote character must not appear in the NULL specification");
        }
        Ok(())
    }
}

impl Columns {
    /// Returns for each of the columns whether the option, named `option`, is for it.
    ///
    /// # Errors
    /// A column that is not among them.
    pub fn flags(&self, option: &str, names: &[String]) -> Result<Vec<bool>, ValueError> {
        let Columns::Named(named) = self else {
            return Ok(vec![*self == Columns::All; names.len()]);
        };
        match named.iter().find(|name| !names.contains(name)) {
            Some(name) => Err(ValueError::new(
                "42P10",
                format!("{option} column \"{name}\" not referenced by COPY"),
            )),
            None => Ok(names.iter().map(|name| named.contains(name)).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_contradict_each_other_are_refused_in_the_words_of_postgresql() {
        let (text, csv) = (CopyOptions::new(CopyFormat::Text), CopyOptions::new(CopyFormat::Csv));
        let binary = CopyOptions::new(CopyFormat::Binary);
        let csv_null = |null: &str| CopyOptions { null: null.into(), ..csv.clone() };
        for (options, sqlstate, message) in [
            (
                CopyOptions { delimiter: b'a', ..text.clone() },
                "22023",
                "COPY delimiter cannot be \"a\"",
            ),
            (
                CopyOptions { delimiter: b'\n', ..text.clone() },
                "22023",
                "COPY delimiter cannot be newline or carriage return",
            ),
            (
                CopyOptions { delimiter: 0xe9, ..text.clone() },
                "0A000",
                "COPY delimiter must be a single one-byte character",
            ),
            (
                CopyOptions { null: "a\n".into(), ..text.clone() },
                "22023",
                "COPY null representation cannot use newline or carriage return",
            ),
            (
                CopyOptions { delimiter: b'"', ..csv.clone() },
                "22023",
                "COPY delimiter and quote must be different",
            ),
            (csv_null("a,b"), "0A000", "COPY delimiter must not appear in the NULL specification"),
            (
                csv_null("\""),
                "0A000",
                "CSV quote character must not appear in the NULL specification",
            ),
            (
                CopyOptions { header: Header::Line, ..binary.clone() },
                "0A000",
                "cannot specify HEADER in BINARY mode",
            ),
        ] {
            assert_eq!(options.check(), Err(ValueError::new(sqlstate, message)));
        }
        for options in [text, csv, binary] {
            assert_eq!(options.check(), Ok(()));
        }
    }
}
