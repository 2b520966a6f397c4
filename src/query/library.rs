//! The library of statements in `queries/`: each answers one question, with parameters of a type and, some, a default.
//!
//! A file begins with comments: what it answers, then a line for each parameter:
//!
//! ```text
//! -- Users with the most events in a range.
//! -- $start timestamp: the first instant
//! -- $limit integer = 10: how many users
//! ```

use std::collections::BTreeMap;
use std::sync::LazyLock;

use datafusion::scalar::ScalarValue;
use serde::Serialize;

use super::Params;
use crate::error::{Error, Result};
use crate::event::parse_timestamp;

macro_rules! library {
    ($($name:literal),* $(,)?) => {
        const FILES: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../queries/", $name, ".sql")))),*];
    };
}

library![
    "hour_stats",
    "day_by_hour",
    "range_totals",
    "top_users",
    "new_and_returning",
    "hour_of_day",
    "late_events",
    "partition_sizes",
];

/// The statements, in the order of the README.
#[derive(Debug)]
pub struct Library;

/// One statement of the library.
#[derive(Debug, Serialize)]
pub struct Named {
    pub name: &'static str,
    /// What it answers.
    pub answers: String,
    pub parameters: Vec<Parameter>,
    pub sql: &'static str,
}

#[derive(Debug, Serialize)]
pub struct Parameter {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    pub meaning: String,
}

/// What a parameter may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Milliseconds since the epoch, RFC 3339, or a date.
    Timestamp,
    Integer,
    Text,
}

impl Library {
    pub fn all() -> &'static [Named] {
        static ALL: LazyLock<Vec<Named>> =
            LazyLock::new(|| FILES.iter().map(|(name, text)| Named::parse(name, text)).collect());
        &ALL
    }

    pub fn find(name: &str) -> Option<&'static Named> {
        Library::all().iter().find(|named| named.name == name)
    }
}

impl Named {
    /// A file of the library; its head is held to the form by a test.
    fn parse(name: &'static str, sql: &'static str) -> Named {
        let (mut answers, mut parameters) = (String::new(), Vec::new());
        for line in sql.lines().map_while(|line| line.strip_prefix("--")).map(str::trim) {
            match line.strip_prefix('$') {
                Some(parameter) => parameters.extend(Parameter::parse(parameter)),
                None => answers.push_str(&format!("{}{line}", if answers.is_empty() { "" } else { " " })),
            }
        }
        Named { name, answers, parameters, sql }
    }

    /// The parameters from what a caller gave as text, the defaults filled in.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the parameter that is missing, unknown or not of its type.
    pub fn params(&self, given: &BTreeMap<String, String>) -> Result<Params> {
        let known = |name: &String| self.parameters.iter().any(|parameter| parameter.name == *name);
        if let Some(unknown) = given.keys().find(|name| !known(name)) {
            let names: Vec<&str> = self.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
            let names = if names.is_empty() { "none".to_string() } else { names.join(", ") };
            return Err(Error::Invalid(format!("{unknown}: the parameters of {} are {names}", self.name)));
        }
        let value = |parameter: &Parameter| {
            let text = given.get(&parameter.name).or(parameter.default.as_ref());
            let text = text.ok_or_else(|| {
                Error::Invalid(format!("{}: is missing; it is {}", parameter.name, parameter.meaning))
            })?;
            let value = parameter.kind.value(text);
            let value = value.map_err(|reason| Error::Invalid(format!("{}: {reason}", parameter.name)))?;
            Ok((parameter.name.clone(), value))
        };
        Ok(Params::Named(self.parameters.iter().map(value).collect::<Result<_>>()?))
    }
}

impl Parameter {
    /// `name type [= default]: meaning`.
    fn parse(text: &str) -> Option<Parameter> {
        let (head, meaning) = text.split_once(": ")?;
        let (head, default) = match head.split_once(" = ") {
            Some((head, default)) => (head, Some(default.to_string())),
            None => (head, None),
        };
        let (name, kind) = head.split_once(' ')?;
        let kind = match kind {
            "timestamp" => Kind::Timestamp,
            "integer" => Kind::Integer,
            "text" => Kind::Text,
            _ => return None,
        };
        Some(Parameter { name: name.to_string(), kind, default, meaning: meaning.to_string() })
    }
}

impl Kind {
    fn value(self, text: &str) -> Result<ScalarValue, String> {
        match self {
            Kind::Text => Ok(ScalarValue::Utf8(Some(text.to_string()))),
            Kind::Integer => {
                let value = text.parse().map_err(|_| format!("{text} is no whole number"))?;
                Ok(ScalarValue::Int64(Some(value)))
            }
            Kind::Timestamp => {
                let is_date = text.len() == 10 && text.as_bytes()[4] == b'-';
                let us = match is_date {
                    true => parse_timestamp(&format!("{text}T00:00:00Z")),
                    false => parse_timestamp(text),
                };
                let us = us.map_err(|_| format!("{text} is neither milliseconds, nor a date, nor RFC 3339"))?;
                Ok(ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_says_what_it_answers_and_takes() {
        for named in Library::all() {
            assert!(named.answers.ends_with('.'), "{}: {}", named.name, named.answers);
            let dollars = named.sql.lines().filter(|line| line.starts_with("-- $")).count();
            assert_eq!(named.parameters.len(), dollars, "{}", named.name);
            for parameter in &named.parameters {
                let code = named.sql.lines().filter(|line| !line.starts_with("--")).collect::<String>();
                assert!(code.contains(&format!("${}", parameter.name)), "{} uses {}", named.name, parameter.name);
            }
        }
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/queries")).unwrap().count();
        assert_eq!(files, Library::all().len());
    }

    #[test]
    fn a_parameter_is_read_by_its_type() {
        let at = |us| Ok(ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into())));
        assert_eq!(Kind::Timestamp.value("3600000"), at(3_600_000_000));
        assert_eq!(Kind::Timestamp.value("1970-01-01T01:00:00Z"), at(3_600_000_000));
        assert_eq!(Kind::Timestamp.value("1970-01-02"), at(86_400_000_000));
        assert!(Kind::Timestamp.value("yesterday").unwrap_err().contains("yesterday"));
        assert!(Kind::Integer.value("ten").is_err());
        let named = Library::find("hour_stats").unwrap();
        let error = named.params(&BTreeMap::from([("begin".into(), "0".into())])).unwrap_err();
        assert_eq!(error.to_string(), "begin: the parameters of hour_stats are start, end");
    }
}
