//! Shell commands: lines that begin with a backslash or a dot, with their names and arguments.
//!
//! [`COMMANDS`] is the only list of them, used by the parser, the help and completion.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use super::render::{DisplayFormat, Expanded};
use crate::error::{Error, Result};
use crate::rows::RowFormat;
use crate::text::nearest;

/// A parsed command.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Lists the tables whose names contain the text.
    Tables(String),
    Describe(String),
    /// Lists the functions whose names contain the text.
    Functions(String),
    SavedQueries,
    Run {
        name: String,
        given: BTreeMap<String, String>,
    },
    Copy {
        query: String,
        file: PathBuf,
        format: RowFormat,
    },
    /// Shows the cost of each statement; `None` toggles it.
    Timing(Option<bool>),
    Expanded(Option<Expanded>),
    DisplayFormat(DisplayFormat),
    /// Writes results to a file; `None` is the terminal.
    Output(Option<PathBuf>),
    Include(PathBuf),
    Edit,
    Watch {
        every: Duration,
        times: Option<u64>,
    },
    Help(Option<&'static Entry>),
    Quit,
}

/// A command's names, help and parser.
#[derive(Debug)]
pub struct Entry {
    /// All names; the first is psql's.
    pub names: &'static [&'static str],
    pub args: &'static str,
    pub help: &'static str,
    parse: fn(&str) -> Result<Command>,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.names == other.names
    }
}

const fn entry(
    names: &'static [&'static str],
    args: &'static str,
    help: &'static str,
    parse: fn(&str) -> Result<Command>,
) -> Entry {
    Entry { names, args, help, parse }
}

pub static COMMANDS: &[Entry] = &[
    entry(&["\\d", ".schema"], "[TABLE]", "list the tables, or describe one", |args| {
        Ok(optional(args)?.map_or(Command::Tables(String::new()), Command::Describe))
    }),
    entry(&["\\dt", ".tables"], "[TEXT]", "list the tables whose names contain the text", |args| {
        Ok(Command::Tables(optional(args)?.unwrap_or_default()))
    }),
    entry(
        &["\\df", ".functions"],
        "[TEXT]",
        "list the functions whose names contain the text",
        |args| Ok(Command::Functions(optional(args)?.unwrap_or_default())),
    ),
    entry(&["\\l", ".queries"], "", "list the saved queries", |args| {
        none(args, Command::SavedQueries)
    }),
    entry(&["\\run", ".run"], "NAME [PARAM=VALUE …]", "run a saved query", run),
    entry(
        &["\\copy", ".copy"],
        "(QUERY)|TABLE to 'FILE'",
        "write a result to a file: .parquet, .csv, .tsv, .json, .ndjson or .arrows",
        copy,
    ),
    entry(
        &["\\watch", ".watch"],
        "[SECONDS] [c=TIMES]",
        "repeat the last statement, by default every 2 seconds",
        watch,
    ),
    entry(
        &["\\e", ".edit"],
        "",
        "edit the last statement in $VISUAL or $EDITOR and run it",
        |args| none(args, Command::Edit),
    ),
    entry(&["\\i", ".read"], "FILE", "run the statements of a file", |args| {
        Ok(Command::Include(required(args, "the file to read")?.into()))
    }),
    entry(
        &["\\o", ".output"],
        "[FILE]",
        "write results to a file, or to the terminal again",
        |args| Ok(Command::Output(optional(args)?.map(PathBuf::from))),
    ),
    entry(
        &["\\pset", ".mode"],
        "format NAME",
        "show results as table, expanded, csv, tsv, json, ndjson or markdown",
        |args| format(args.strip_prefix("format").map_or(args, str::trim_start)),
    ),
    entry(&["\\x", ".expanded"], "[on|off|auto]", "show each row as a block of lines", |args| {
        Ok(Command::Expanded(match optional(args)?.as_deref() {
            None => None,
            Some("auto") => Some(Expanded::Auto),
            Some(word) => Some(if switch(word)? { Expanded::On } else { Expanded::Off }),
        }))
    }),
    entry(&["\\timing", ".timer"], "[on|off]", "show the cost of each statement", |args| {
        Ok(Command::Timing(optional(args)?.map(|word| switch(&word)).transpose()?))
    }),
    entry(
        &["\\?", "\\h", ".help", "help"],
        "[COMMAND]",
        "show this list, or one command",
        |args| Ok(Command::Help(optional(args)?.map(|name| find(&name)).transpose()?)),
    ),
    entry(&["\\q", ".quit", ".exit", "quit", "exit"], "", "exit; so does Ctrl-D", |args| {
        none(args, Command::Quit)
    }),
];

impl Command {
    /// # Errors
    /// [`Error::Invalid`] with the nearest command for an unknown one, or with the usage of a known
    /// one.
    pub fn parse(line: &str) -> Result<Command> {
        let line = line.trim().trim_end_matches(';').trim_end();
        let (name, args) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let entry = find(name)?;
        (entry.parse)(args.trim()).map_err(|error| {
            let usage = format!("{error}; {name} is used as: {name} {}", entry.args);
            Error::Invalid(usage.trim_end().to_string())
        })
    }
}

/// Finds a command by name, with or without its backslash: `\h copy`.
fn find(name: &str) -> Result<&'static Entry> {
    let lower = name.to_ascii_lowercase();
    let is = |known: &str| known == lower || known.strip_prefix('\\') == Some(&lower);
    let found = COMMANDS.iter().find(|entry| entry.names.iter().any(|known| is(known)));
    found.ok_or_else(|| {
        let names = || COMMANDS.iter().flat_map(|entry| entry.names.iter().copied());
        let same_first = names().filter(|known| known.chars().next() == name.chars().next());
        let hint = match nearest(&lower, same_first)[..] {
            [] => "\\? lists the commands".to_string(),
            ref near => format!("did you mean {}? \\? lists all", near.join(" or ")),
        };
        Error::Invalid(format!("there is no command {name}; {hint}"))
    })
}

fn invalid(reason: impl Into<String>) -> Error {
    Error::Invalid(reason.into())
}

/// Splits arguments at spaces; quotes group words, and a doubled quote stands for itself.
fn words(args: &str) -> Result<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut chars = args.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => match chars.next_if_eq(&open) {
                Some(c) => word.get_or_insert_default().push(c),
                None => quote = None,
            },
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    match quote {
        Some(quote) => Err(invalid(format!("the quote {quote} is not closed"))),
        None => {
            words.extend(word);
            Ok(words)
        }
    }
}

fn optional(args: &str) -> Result<Option<String>> {
    let mut words = words(args)?;
    match words.len() {
        0 | 1 => Ok(words.pop()),
        _ => Err(invalid(format!("unexpected argument {:?}", words[1]))),
    }
}

fn required(args: &str, what: &str) -> Result<String> {
    optional(args)?.ok_or_else(|| invalid(format!("{what} is missing")))
}

fn none(args: &str, command: Command) -> Result<Command> {
    match args {
        "" => Ok(command),
        _ => Err(invalid("it takes no further argument")),
    }
}

fn switch(word: &str) -> Result<bool> {
    match word.to_ascii_lowercase().as_str() {
        "on" | "true" | "1" => Ok(true),
        "off" | "false" | "0" => Ok(false),
        _ => Err(invalid(format!("{word} is neither on nor off"))),
    }
}

fn format(args: &str) -> Result<Command> {
    let name = required(args, "the format")?;
    let alias = match name.to_ascii_lowercase().as_str() {
        // Format names of psql, DuckDB and SQLite.
        "aligned" | "box" | "column" | "duckbox" => "table",
        "line" => "expanded",
        "tabs" => "tsv",
        "jsonlines" | "jsonl" => "ndjson",
        _ => &name,
    };
    DisplayFormat::from_str(alias, true).map(Command::DisplayFormat).map_err(|_| {
        let known = DisplayFormat::value_variants().iter().map(|format| format.name());
        let hint =
            nearest(&name, known.clone()).first().map(|near| format!("; did you mean {near}?"));
        let known = known.collect::<Vec<_>>().join(", ");
        invalid(format!(
            "there is no format {name}{}: the formats are {known}",
            hint.unwrap_or_default()
        ))
    })
}

fn run(args: &str) -> Result<Command> {
    let mut words = words(args)?.into_iter();
    let name = words.next().ok_or_else(|| invalid("the name is missing; \\l lists the library"))?;
    let given = words.map(|word| match word.split_once('=') {
        Some((name, value)) => Ok((name.trim_start_matches('$').to_string(), value.to_string())),
        None => Err(invalid(format!("{word:?} is not of the form PARAM=VALUE"))),
    });
    Ok(Command::Run { name, given: given.collect::<Result<_>>()? })
}

fn watch(args: &str) -> Result<Command> {
    let (mut every, mut times) = (Duration::from_secs(2), None);
    for word in words(args)? {
        match word.strip_prefix("c=") {
            Some(count) => {
                times = Some(
                    count
                        .parse()
                        .map_err(|_| invalid(format!("{count} is not a number of repetitions")))?,
                )
            }
            None => {
                let seconds =
                    word.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                every =
                    seconds.ok_or_else(|| invalid(format!("{word} is not a number of seconds")))?;
            }
        }
    }
    Ok(Command::Watch { every, times })
}

fn copy(args: &str) -> Result<Command> {
    // The last ` to ` separates the two: the query may contain one in a string or a name, and so
    // may a quoted file name.
    let before_file = match args.trim_end().chars().next_back() {
        Some(quote @ ('\'' | '"')) => format!(" to {quote}"),
        _ => " to ".to_string(),
    };
    let at =
        args.to_ascii_lowercase().rfind(&before_file).ok_or_else(|| invalid("`to` is missing"))?;
    let (from, file) = (args[..at].trim(), required(&args[at + 4..], "the file")?);
    let query = match from.strip_prefix('(').and_then(|query| query.strip_suffix(')')) {
        Some(query) => query.trim().trim_end_matches(';').to_string(),
        None if from.contains(char::is_whitespace) => from.to_string(),
        None => format!("SELECT * FROM {from}"),
    };
    let file = PathBuf::from(file);
    let extension = file.extension().unwrap_or_default().to_string_lossy();
    let format = RowFormat::of_extension(&extension).ok_or_else(|| {
        invalid(format!("{}: the extension names no known format", file.display()))
    })?;
    Ok(Command::Copy { query, file, format })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Command {
        Command::parse(line).unwrap()
    }

    fn refused(line: &str) -> String {
        Command::parse(line).unwrap_err().to_string()
    }

    #[test]
    fn what_people_of_psql_duckdb_and_sqlite_type_means_the_same() {
        assert_eq!(parse("\\d"), parse(".schema"));
        assert_eq!(parse("\\d events;"), parse(".schema events"));
        assert_eq!(parse("\\dt"), parse(".tables"));
        assert_eq!(parse("\\pset format csv"), parse(".mode csv"));
        assert_eq!(parse("\\pset format aligned"), Command::DisplayFormat(DisplayFormat::Table));
        assert_eq!(parse("\\timing on"), parse(".timer on"));
        assert_eq!(parse("\\i a.sql"), parse(".read 'a.sql'"));
        assert_eq!(parse("\\o"), Command::Output(None));
        assert_eq!(parse("\\q"), parse("exit"));
        assert_eq!(parse("\\x"), Command::Expanded(None));
    }

    #[test]
    fn a_copy_names_its_query_and_its_file() {
        let copy = |query: &str, file: &str, format| Command::Copy {
            query: query.into(),
            file: file.into(),
            format,
        };
        let expected = copy("select ' to ' from events", "a b.csv", RowFormat::Csv);
        assert_eq!(parse("\\copy (select ' to ' from events) TO 'a b.csv'"), expected);
        assert_eq!(
            parse("\\copy hours to 'a to b.csv'"),
            copy("SELECT * FROM hours", "a to b.csv", RowFormat::Csv)
        );
        assert_eq!(
            parse("\\copy hours to h.parquet"),
            copy("SELECT * FROM hours", "h.parquet", RowFormat::Parquet)
        );
        assert!(
            refused("\\copy hours to h.xls")
                .contains("h.xls: the extension names no known format; \\copy is used as")
        );
        assert!(refused("\\copy hours").contains("`to` is missing"));
    }

    #[test]
    fn a_watch_has_a_pace_and_an_end() {
        let watch = |every, times| Command::Watch { every: Duration::from_millis(every), times };
        assert_eq!(parse("\\watch"), watch(2_000, None));
        assert_eq!(parse("\\watch 0.5 c=3"), watch(500, Some(3)));
        assert!(refused("\\watch -1").starts_with("-1 is not a number of seconds"));
    }

    #[test]
    fn parameters_of_the_library_are_given_by_name() {
        let given = BTreeMap::from([
            ("start".to_string(), "2020-01-01".to_string()),
            ("limit".to_string(), "3".to_string()),
        ]);
        assert_eq!(
            parse("\\run top_users start=2020-01-01 $limit=3"),
            Command::Run { name: "top_users".into(), given }
        );
        assert!(refused("\\run top_users 3").starts_with("\"3\" is not of the form PARAM=VALUE"));
    }

    #[test]
    fn a_slip_is_answered_with_what_was_meant() {
        assert_eq!(
            refused("\\timng"),
            "there is no command \\timng; did you mean \\timing? \\? lists all"
        );
        assert_eq!(
            refused(".table"),
            "there is no command .table; did you mean .tables? \\? lists all"
        );
        assert!(refused("\\pset format cvs").contains("there is no format cvs; did you mean csv?"));
        assert_eq!(
            refused("\\timing maybe"),
            "maybe is neither on nor off; \\timing is used as: \\timing [on|off]"
        );
        assert_eq!(refused("\\o 'a"), "the quote ' is not closed; \\o is used as: \\o [FILE]");
    }
}
