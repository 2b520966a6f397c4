//! Library of saved queries: the bundled statements of `queries/` and those of a user's folder.
//! Each answers one question, with typed parameters, some of which have a default.
//!
//! A file begins with comments: a description, then a line for each parameter:
//!
//! ```text
//! -- Users with the most events in a range.
//! -- $start timestamp: the first instant
//! -- $limit integer = 10: how many users
//! ```
//!
//! A user's queries are the files `NAME.sql` directly in the folder. They are read once, at
//! startup, and a file that cannot be read or parsed makes the startup fail, since a later caller
//! could not repair it. A user's query replaces a bundled one of the same name, so that a new
//! version may add bundled queries of any name.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::event::{EventSchema, parse_time, shown};
use crate::query::params::Params;
use crate::query::parse::parse;

/// Names that a parameter cannot have, with what they mean in a URL.
const RESERVED: [(&str, &str); 2] =
    [("format", "the answer's format"), ("as_of", "the version of the table to read")];

macro_rules! library {
    ($($name:literal),* $(,)?) => {
        const FILES: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../../queries/", $name, ".sql")))),*];
    };
}

library![
    "hour_stats",
    "day_by_hour",
    "range_totals",
    "top_users",
    "new_and_returning",
    "new_and_returning_by_day",
    "rolling_visitors",
    "stickiness",
    "retention",
    "lapsed_and_revived",
    "saw_then_clicked",
    "hour_of_day",
    "late_events",
    "partition_sizes",
    "top_values",
    "top_values_by_users",
    "values_by_hour",
    "entries",
    "conversion",
];

/// The saved queries: the bundled ones in the order of the README, then the user's by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SavedQueries(Vec<SavedQuery>);

/// One saved query.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedQuery {
    pub name: String,
    /// Description of the result.
    pub answers: String,
    pub parameters: Vec<Parameter>,
    pub sql: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Parameter {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: ParameterType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    pub meaning: String,
}

/// Type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParameterType {
    /// A time in a format that [`parse_time`] reads.
    Timestamp,
    Integer,
    Text,
    /// A dimension of the store; its column stands where the parameter does.
    Dimension,
}

impl Default for SavedQueries {
    /// Returns the bundled queries.
    fn default() -> SavedQueries {
        let parse = |(name, text): &(&str, &str)| {
            SavedQuery::parse(name, text).expect("a test parses each")
        };
        SavedQueries(FILES.iter().map(parse).collect())
    }
}

impl SavedQueries {
    /// Returns the bundled queries and those of a folder.
    ///
    /// # Errors
    /// [`Error::Config`] names the file that is not a valid saved query, or the folder that cannot
    /// be read.
    pub fn with_folder(folder: &Path) -> Result<SavedQueries> {
        let unreadable = |path: &Path| {
            let path = path.display().to_string();
            move |cause: std::io::Error| {
                Error::Config(format!("{path}: cannot be read as a saved query: {cause}"))
            }
        };
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).map_err(|cause| {
            Error::Config(format!(
                "queries: the folder {} cannot be read: {cause}",
                folder.display()
            ))
        })? {
            paths.push(entry.map_err(unreadable(folder))?.path());
        }
        paths.sort();
        let mut library = SavedQueries::default();
        for path in
            paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        {
            // Skips the hidden files that editors leave beside the edited one.
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            if name.starts_with('.') {
                continue;
            }
            let text = fs::read_to_string(path).map_err(unreadable(path))?;
            let named = SavedQuery::parse(&name, text.strip_prefix('\u{feff}').unwrap_or(&text));
            let named =
                named.map_err(|reason| Error::Config(format!("{}: {reason}", path.display())))?;
            library.0.retain(|known| known.name != named.name);
            library.0.push(named);
        }
        Ok(library)
    }

    pub fn all(&self) -> &[SavedQuery] {
        &self.0
    }

    pub fn find(&self, name: &str) -> Option<&SavedQuery> {
        self.0.iter().find(|named| named.name == name)
    }
}

impl SavedQuery {
    /// Parses a file of the library, or returns what is wrong with it.
    fn parse(name: &str, sql: &str) -> Result<SavedQuery, String> {
        if name.is_empty()
            || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
        {
            return Err(
                "the name of a saved query may have only letters, digits, _ and -, because \
                it is part of a URL path"
                    .into(),
            );
        }
        let (mut answers, mut parameters) = (String::new(), Vec::new());
        for line in sql.lines().map_while(|line| line.strip_prefix("--")).map(str::trim) {
            match line.strip_prefix('$') {
                Some(parameter) => parameters.push(Parameter::parse(parameter)?),
                None => answers
                    .push_str(&format!("{}{line}", if answers.is_empty() { "" } else { " " })),
            }
        }
        let statements = parse(sql).map_err(|error| match error.position() {
            Some((line, column)) => format!("line {line}, column {column}: {error}"),
            None => error.to_string(),
        })?;
        if statements.is_empty() {
            return Err("it holds no statement".into());
        }
        let declared =
            |name: &str| parameters.iter().any(|parameter: &Parameter| parameter.name == name);
        let tokens = Tokenizer::new(&GenericDialect {}, sql)
            .tokenize()
            .map_err(|error| error.to_string())?;
        let placeholders = tokens.iter().filter_map(|token| match token {
            Token::Placeholder(text) => Some(text.trim_start_matches('$')),
            _ => None,
        });
        if let Some(unknown) = placeholders.into_iter().find(|name| !declared(name)) {
            return Err(format!(
                "${unknown} has no line in its head, such as: -- ${unknown} integer = 10: how many"
            ));
        }
        Ok(SavedQuery { name: name.to_string(), answers, parameters, sql: sql.to_string() })
    }

    /// Returns the statement, with the columns of dimensions where their parameters stand, and its
    /// parameters: the caller's texts converted, and defaults filled in.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the parameter that is missing, unknown or not of its type.
    pub fn bind(
        &self,
        schema: &EventSchema,
        given: &BTreeMap<String, String>,
    ) -> Result<(String, Params)> {
        let known = |name: &String| self.parameters.iter().any(|parameter| parameter.name == *name);
        if let Some(unknown) = given.keys().find(|name| !known(name)) {
            let names: Vec<&str> =
                self.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
            let names = if names.is_empty() { "none".to_string() } else { names.join(", ") };
            return Err(Error::Invalid(format!(
                "{unknown}: the parameters of {} are {names}",
                self.name
            )));
        }
        let value = |parameter: &Parameter| {
            let text = given.get(&parameter.name).or(parameter.default.as_ref());
            let text = text.ok_or_else(|| {
                Error::Invalid(format!(
                    "{}: is missing; it is {}",
                    parameter.name, parameter.meaning
                ))
            })?;
            let invalid = |reason| Error::Invalid(format!("{}: {reason}", parameter.name));
            if parameter.kind == ParameterType::Dimension {
                check_dimension(schema, text).map_err(invalid)?;
            }
            let value = parameter.kind.value(text).map_err(invalid)?;
            Ok((parameter.name.clone(), value))
        };
        let mut values: BTreeMap<String, ScalarValue> =
            self.parameters.iter().map(value).collect::<Result<_>>()?;
        let is_dimension = |parameter: &&Parameter| parameter.kind == ParameterType::Dimension;
        let mut sql = self.sql.clone();
        for parameter in self.parameters.iter().filter(is_dimension) {
            if let Some(ScalarValue::Utf8(Some(column))) = values.remove(&parameter.name) {
                sql = with_column(&sql, &parameter.name, &format!("\"{column}\""));
            }
        }
        Ok((sql, Params::Named(values)))
    }
}

/// Checks that the store has a dimension.
fn check_dimension(schema: &EventSchema, name: &str) -> Result<(), String> {
    match schema.dimensions() {
        names if names.iter().any(|known| known == name) => Ok(()),
        [] => Err("the store has no dimensions; `hourglass schema add dimension` adds one".into()),
        names => {
            Err(format!("{} is no dimension; the store has {}", shown(name), names.join(", ")))
        }
    }
}

/// Replaces the placeholder `$name` by a column.
fn with_column(sql: &str, name: &str, column: &str) -> String {
    let placeholder = format!("${name}");
    let mut pieces = sql.split(&placeholder);
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        // A longer name that begins like this one stays.
        let goes_on = piece.starts_with(|next: char| next.is_alphanumeric() || next == '_');
        text += if goes_on { &placeholder } else { column };
        text += piece;
    }
    text
}

impl Parameter {
    /// Parses `name type [= default]: meaning`.
    fn parse(text: &str) -> Result<Parameter, String> {
        let form = || {
            format!(
                "-- ${text} is not of the form -- $name timestamp|integer|text|dimension [= default]: meaning"
            )
        };
        let (head, meaning) = text.split_once(": ").ok_or_else(form)?;
        let (head, default) = match head.split_once(" = ") {
            Some((head, default)) => (head, Some(default.to_string())),
            None => (head, None),
        };
        let (name, kind) = head.split_once(' ').ok_or_else(form)?;
        let kind = match kind {
            "timestamp" => ParameterType::Timestamp,
            "integer" => ParameterType::Integer,
            "text" => ParameterType::Text,
            "dimension" => ParameterType::Dimension,
            _ => return Err(form()),
        };
        if let Some((_, what)) = RESERVED.iter().find(|(reserved, _)| *reserved == name) {
            return Err(format!(
                "${name}: in a URL the parameter {name} names {what}; call it otherwise"
            ));
        }
        if let Some(default) = &default {
            kind.value(default).map_err(|reason| format!("${name}: {reason}"))?;
        }
        Ok(Parameter { name: name.to_string(), kind, default, meaning: meaning.to_string() })
    }
}

impl ParameterType {
    fn value(self, text: &str) -> Result<ScalarValue, String> {
        match self {
            ParameterType::Text | ParameterType::Dimension => {
                Ok(ScalarValue::Utf8(Some(text.to_string())))
            }
            ParameterType::Integer => {
                let value = text.parse().map_err(|_| format!("{text} is no whole number"))?;
                Ok(ScalarValue::Int64(Some(value)))
            }
            ParameterType::Timestamp => {
                let us = parse_time(text).map_err(|reason| format!("{text} {reason}"))?;
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
        for named in SavedQueries::default().all() {
            assert!(named.answers.ends_with('.'), "{}: {}", named.name, named.answers);
            let dollars = named.sql.lines().filter(|line| line.starts_with("-- $")).count();
            assert_eq!(named.parameters.len(), dollars, "{}", named.name);
            for parameter in &named.parameters {
                let code =
                    named.sql.lines().filter(|line| !line.starts_with("--")).collect::<String>();
                assert!(
                    code.contains(&format!("${}", parameter.name)),
                    "{} uses {}",
                    named.name,
                    parameter.name
                );
            }
        }
        let files =
            std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/queries")).unwrap().count();
        assert_eq!(files, SavedQueries::default().all().len());
    }

    #[test]
    fn a_parameter_is_read_by_its_type() {
        let at = |us| Ok(ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into())));
        assert_eq!(ParameterType::Timestamp.value("3600000"), at(3_600_000_000));
        assert_eq!(ParameterType::Timestamp.value("1970-01-01T01:00:00Z"), at(3_600_000_000));
        assert_eq!(ParameterType::Timestamp.value("1970-01-02"), at(86_400_000_000));
        assert!(ParameterType::Timestamp.value("yesterday").unwrap_err().contains("yesterday"));
        assert!(ParameterType::Integer.value("ten").is_err());
        let library = SavedQueries::default();
        let named = library.find("hour_stats").unwrap();
        let given = BTreeMap::from([("begin".into(), "0".into())]);
        let error = named.bind(&EventSchema::default(), &given).unwrap_err();
        assert_eq!(error.to_string(), "begin: the parameters of hour_stats are start, end");
    }

    #[test]
    fn a_dimension_stands_where_its_parameter_does() {
        let text =
            "-- Of $d.\n-- $d dimension: which\n-- $dd text = x: other\nSELECT $d, $dd FROM t";
        let named = SavedQuery::parse("q", text).unwrap();
        let schema = EventSchema::new(&[], &["page".into(), "source".into()]).unwrap();
        let bind = |schema: &EventSchema, name: &str| {
            let given = BTreeMap::from([("d".into(), name.into())]);
            named.bind(schema, &given).map_err(|error| error.to_string())
        };
        let (sql, params) = bind(&schema, "page").unwrap();
        assert!(sql.ends_with("SELECT \"page\", $dd FROM t"), "{sql}");
        assert!(matches!(params, Params::Named(values) if values.len() == 1));
        assert_eq!(
            bind(&schema, "1; x").unwrap_err(),
            "d: \"1; x\" is no dimension; the store has page, source"
        );
        assert!(bind(&EventSchema::default(), "page").unwrap_err().contains("has no dimensions"));
    }

    #[test]
    fn ones_own_come_beside_the_bundled_ones_and_before_those_of_their_name() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write(
            "visits.sql",
            "\u{feff}-- Visits.\r\n-- $user text = ana: who\r\nSELECT 1 WHERE $user = '$5';\r\n",
        );
        write("top_users.sql", "SELECT 1");
        write("notes.txt", "no query");
        write(".#visits.sql", "(");
        let library = SavedQueries::with_folder(folder.path()).unwrap();
        assert_eq!(library.all().len(), FILES.len() + 1);
        assert_eq!(library.find("top_users").unwrap().sql, "SELECT 1");
        let visits = library.find("visits").unwrap();
        assert_eq!(
            (visits.answers.as_str(), visits.parameters[0].default.as_deref()),
            ("Visits.", Some("ana"))
        );
    }

    #[test]
    fn one_that_cannot_be_run_is_told_at_the_start() {
        let refused = |name: &str, text: &[u8]| {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(name), text).unwrap();
            let error = SavedQueries::with_folder(folder.path()).unwrap_err();
            assert!(
                matches!(error, Error::Config(_)) && error.to_string().contains(name),
                "{error}"
            );
            error.to_string()
        };
        assert!(refused("a.sql", b"SELECT 1\n  )").contains("line 2, column "));
        assert!(refused("a.sql", b"-- Nothing.").contains("it holds no statement"));
        assert!(
            refused("a.sql", b"-- $n number: how many\nSELECT $n").contains("is not of the form")
        );
        assert!(
            refused("a.sql", b"-- $n integer = ten: how many\nSELECT $n")
                .contains("ten is no whole number")
        );
        assert!(refused("a.sql", b"SELECT $n").contains("$n has no line in its head"));
        assert!(
            refused("a.sql", b"-- $format text: what\nSELECT $format")
                .contains("call it otherwise")
        );
        assert!(
            refused("a.sql", b"-- $as_of text: what\nSELECT $as_of").contains("call it otherwise")
        );
        assert!(refused("a b.sql", b"SELECT 1").contains("letters, digits"));
        assert!(refused("a.sql", b"SELECT '\xff'").contains("cannot be read"));
        let nowhere =
            SavedQueries::with_folder(Path::new("no/such/folder")).unwrap_err().to_string();
        assert!(
            nowhere.starts_with("queries: the folder no/such/folder cannot be read"),
            "{nowhere}"
        );
    }
}
