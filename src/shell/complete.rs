//! Completion at the cursor: of commands, tables, columns, functions, options, keywords and saved
//! queries.

use clap::ValueEnum;

use super::commands::COMMANDS;
use super::lexer::{self, KEYWORDS, Token, TokenKind, is_word};
use super::render::DisplayFormat;
use super::session::{Shell, qualified};
use crate::query::SavedQueries;
use crate::text::visible;

/// Names that can be completed.
#[derive(Debug, Default)]
pub struct Vocabulary {
    /// Table names as written in statements, with the columns and their types.
    tables: Vec<(String, Vec<(String, String)>)>,
    /// Functions, with an example call of each.
    functions: Vec<(String, String)>,
    /// Options, with their current values.
    options: Vec<(String, String)>,
    library: SavedQueries,
}

/// One completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub value: String,
    pub description: String,
    /// Whether a space is added after it.
    pub spaced: bool,
}

fn candidate(value: impl Into<String>, description: impl Into<String>, spaced: bool) -> Candidate {
    Candidate { value: value.into(), description: description.into(), spaced }
}

impl Vocabulary {
    /// Queries the target for its names. What it cannot provide is not completed.
    pub fn of(shell: &mut Shell) -> Vocabulary {
        let mut rows = |sql| -> Vec<Vec<String>> {
            let texts = shell.texts(sql).map(|(texts, _)| texts).unwrap_or_default();
            texts
                .into_iter()
                .map(|row| row.into_iter().map(Option::unwrap_or_default).collect())
                .collect()
        };
        let mut tables: Vec<(String, Vec<(String, String)>)> = Vec::new();
        for row in rows(
            "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns \
             WHERE table_schema IN ('public', 'system') ORDER BY table_schema, table_name, ordinal_position",
        ) {
            let (name, column) = (qualified(&row[0], &row[1]), (row[2].clone(), row[3].clone()));
            match tables.last_mut().filter(|(last, _)| *last == name) {
                Some((_, columns)) => columns.push(column),
                None => tables.push((name, vec![column])),
            }
        }
        let functions = rows(
            "SELECT routine_name, max(syntax_example) FROM information_schema.routines GROUP BY 1 ORDER BY 1",
        );
        let options = rows("SELECT name, value FROM information_schema.df_settings ORDER BY name");
        let pairs = |rows: Vec<Vec<String>>| {
            rows.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect()
        };
        let library = shell.target().library().unwrap_or_default();
        Vocabulary { tables, functions: pairs(functions), options: pairs(options), library }
    }

    /// Returns the start of the word at the end of `before`, and its completions; `after` is the
    /// text after the cursor.
    pub fn complete(&self, before: &str, after: &str) -> (usize, Vec<Candidate>) {
        let first = before.trim_start();
        if first.starts_with(['\\', '.']) && !before.contains('\n') {
            return self.command(before);
        }
        let tokens = lexer::tokens(before);
        let open = |token: &Token| {
            !token.closed || (token.kind == TokenKind::Comment && token.range.end == before.len())
        };
        if tokens.last().is_some_and(open) {
            return (before.len(), Vec::new());
        }
        let start = before
            .rfind(|c| !is_word(c) && c != '.')
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        (
            start,
            starting_with(self.words(&before[..start], &before[start..], after), &before[start..]),
        )
    }

    fn words(&self, before: &str, word: &str, after: &str) -> Vec<Candidate> {
        let tokens = lexer::tokens(before);
        let last = tokens
            .iter()
            .rfind(|token| !matches!(token.kind, TokenKind::Space | TokenKind::Comment));
        let last =
            last.map_or(String::new(), |token| before[token.range.clone()].to_ascii_uppercase());
        let keyword = tokens.iter().rfind(|token| token.kind == TokenKind::Keyword);
        let keyword =
            keyword.map_or(String::new(), |token| before[token.range.clone()].to_ascii_uppercase());
        let tables = || {
            self.tables.iter().map(|(name, columns)| {
                let columns: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
                candidate(name, columns.join(", "), false)
            })
        };
        match last.as_str() {
            "SET" | "RESET" | "SHOW" => {
                return self
                    .options
                    .iter()
                    .map(|(name, value)| candidate(name, value, true))
                    .collect();
            }
            "FROM" | "JOIN" | "DESCRIBE" => return tables().collect(),
            "," if keyword == "FROM" => return tables().collect(),
            _ if word.is_empty() => return Vec::new(),
            _ => {}
        }
        let text = format!("{before} {after}");
        let mentioned = |name: &str| {
            lexer::tokens(&text).iter().any(|token| {
                token.kind == TokenKind::Name
                    && text[token.range.clone()]
                        .eq_ignore_ascii_case(name.rsplit('.').next().unwrap_or(name))
            })
        };
        let (named, unnamed): (Vec<_>, Vec<_>) =
            self.tables.iter().partition(|(name, _)| mentioned(name));
        let of = if named.is_empty() { unnamed } else { named };
        let qualifier = word.rsplit_once('.').map(|(qualifier, _)| qualifier);
        let columns =
            of.iter().flat_map(|(_, columns)| columns).map(|(name, kind)| match qualifier {
                Some(qualifier) => candidate(format!("{qualifier}.{name}"), kind, false),
                None => candidate(name, kind, false),
            });
        let functions = self
            .functions
            .iter()
            .map(|(name, syntax)| candidate(format!("{name}("), syntax, false));
        let lower = word.contains(|c: char| c.is_ascii_lowercase());
        let case = |word: &str| if lower { word.to_ascii_lowercase() } else { word.to_string() };
        let keywords = KEYWORDS.iter().map(|word| candidate(case(word), "", true));
        columns.chain(tables()).chain(functions).chain(keywords).collect()
    }

    fn command(&self, before: &str) -> (usize, Vec<Candidate>) {
        let start = before.rfind(char::is_whitespace).map_or(0, |at| at + 1);
        let (head, word) = before.split_at(start);
        let mut words = head.split_whitespace();
        let name = words.next().unwrap_or_default();
        let given: Vec<&str> = words.collect();
        let all = match (name, given.as_slice()) {
            ("", _) => COMMANDS
                .iter()
                .flat_map(|entry| entry.names.iter().map(move |name| (name, entry)))
                .filter(|(name, _)| name.starts_with(['\\', '.']))
                .map(|(name, entry)| {
                    candidate(
                        *name,
                        format!("{} {}", entry.args, entry.help).trim(),
                        !entry.args.is_empty(),
                    )
                })
                .collect(),
            ("\\d" | "\\dt" | ".schema" | ".tables" | "\\copy" | ".copy", []) => self
                .tables
                .iter()
                .map(|(name, _)| candidate(name, "", name.starts_with(['\\', '.'])))
                .collect(),
            ("\\df" | ".functions", []) => {
                self.functions.iter().map(|(name, syntax)| candidate(name, syntax, false)).collect()
            }
            ("\\run" | ".run", []) => self
                .library
                .all()
                .iter()
                .map(|named| candidate(&named.name, visible(&named.answers), true))
                .collect(),
            ("\\run" | ".run", [name, ..]) => {
                let parameters =
                    self.library.find(name).map_or(&[][..], |named| &named.parameters[..]);
                let parameters = parameters
                    .iter()
                    .map(|of| candidate(format!("{}=", of.name), &of.meaning, false));
                parameters
                    .filter(|of| !given.iter().any(|word| word.starts_with(&of.value)))
                    .collect()
            }
            ("\\pset", []) => vec![candidate("format", "how answers are shown", true)],
            ("\\pset", ["format"]) | (".mode", []) => DisplayFormat::value_variants()
                .iter()
                .map(|format| candidate(format.name(), "", false))
                .collect(),
            ("\\timing" | ".timer", []) => switch(&["on", "off"]),
            ("\\x" | ".expanded", []) => switch(&["on", "off", "auto"]),
            ("\\?" | "\\h" | ".help", []) => COMMANDS
                .iter()
                .map(|entry| candidate(entry.names[0].trim_start_matches('\\'), entry.help, false))
                .collect(),
            _ => Vec::new(),
        };
        (start, starting_with(all, word))
    }
}

fn switch(words: &[&str]) -> Vec<Candidate> {
    words.iter().map(|word| candidate(*word, "", false)).collect()
}

/// Returns the candidates that begin with the word, ignoring case, without duplicates.
fn starting_with(candidates: Vec<Candidate>, word: &str) -> Vec<Candidate> {
    let begins =
        |value: &str| value.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        if begins(&candidate.value) && !kept.iter().any(|known| known.value == candidate.value) {
            kept.push(candidate);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary() -> Vocabulary {
        let columns = |names: &[&str]| {
            names.iter().map(|name| (name.to_string(), "Utf8".to_string())).collect()
        };
        Vocabulary {
            tables: vec![
                ("events".into(), columns(&["timestamp", "user_id", "event"])),
                ("hours".into(), columns(&["hour", "unique_users"])),
                ("system.files".into(), columns(&["path", "rows"])),
            ],
            functions: vec![
                ("date_trunc".into(), "date_trunc(precision, expression)".into()),
                ("upper".into(), String::new()),
            ],
            options: vec![("hourglass.rollups".into(), "true".into())],
            library: SavedQueries::default(),
        }
    }

    /// Returns the completions at the `|` in the text.
    fn values(text: &str) -> Vec<String> {
        let (before, after) = text.split_once('|').unwrap();
        vocabulary()
            .complete(before, after)
            .1
            .into_iter()
            .map(|candidate| candidate.value)
            .collect()
    }

    #[test]
    fn a_statement_is_completed_by_what_fits_its_place() {
        assert_eq!(values("select * from |"), ["events", "hours", "system.files"]);
        assert_eq!(values("select * from sys|"), ["system.files"]);
        assert_eq!(
            values("select u| from hours"),
            ["unique_users", "upper(", "unbounded", "union", "using"]
        );
        assert_eq!(values("SELECT U| FROM events")[..2], ["user_id", "upper("]);
        assert_eq!(values("select e.t| from events e"), ["e.timestamp"]);
        assert_eq!(values("select date_t|"), ["date_trunc("]);
        assert_eq!(values("WHE|"), ["WHEN", "WHERE"]);
        assert_eq!(values("set hour|"), ["hourglass.rollups"]);
    }

    #[test]
    fn nothing_is_completed_in_strings_and_comments() {
        assert!(values("select 'ev|").is_empty());
        assert!(values("-- ev|").is_empty());
        assert!(values("select |").is_empty());
    }

    #[test]
    fn a_command_is_completed_and_so_is_what_it_takes() {
        assert_eq!(values("\\ti|"), ["\\timing"]);
        assert_eq!(values(".ta|"), [".tables"]);
        assert_eq!(values("\\d ho|"), ["hours"]);
        assert_eq!(values("\\pset format j|"), ["json"]);
        assert_eq!(values("\\run hour_s|"), ["hour_stats"]);
        assert_eq!(values("\\run hour_stats start=0 |"), ["end="]);
        let (start, _) = vocabulary().complete("\\d ho", "");
        assert_eq!(start, 3);
    }
}
