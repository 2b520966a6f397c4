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
        if self.format == CopyFormat::Binary {
            return match self.header {
                Header::None => Ok(()),
                _ => Err(ValueError::new("0A000", "cannot specify HEADER in BINARY mode")),
            };
        }
        let is_csv = self.format == CopyFormat::Csv;
        let bytes = [("delimiter", self.delimiter), ("quote", self.quote), ("escape", self.escape)];
        for (name, byte) in &bytes[..if is_csv { 3 } else { 1 }] {
            if !byte.is_ascii() || *byte == 0 {
                return wrong(&format!("COPY {name} must be a single one-byte character"));
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
            return wrong("COPY delimiter must not appear in the NULL specification");
        }
        if is_csv && self.null.contains(char::from(self.quote)) {
            return wrong("CSV quote character must not appear in the NULL specification");
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
