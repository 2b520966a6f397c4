//! Check of statement kinds: only statements that read are supported.

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{DescribeAlias, Expr, Set, Statement as Ast};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::settings;
use super::tree::refused;
use crate::error::{Error, Result};

/// First words of statements that write, or that concern features that do not exist here.
const WRITING: [&str; 35] = [
    "INSERT",
    "UPDATE",
    "DELETE",
    "MERGE",
    "UPSERT",
    "REPLACE",
    "CREATE",
    "DROP",
    "ALTER",
    "TRUNCATE",
    "RENAME",
    "COPY",
    "LOAD",
    "IMPORT",
    "GRANT",
    "REVOKE",
    "VACUUM",
    "OPTIMIZE",
    "ATTACH",
    "DETACH",
    "INSTALL",
    "BEGIN",
    "START",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT",
    "LOCK",
    "CALL",
    "PREPARE",
    "EXECUTE",
    "DEALLOCATE",
    "REFRESH",
    "REINDEX",
    "COMMENT",
    "PRAGMA",
];

/// Rejects a statement by its first word, before it is parsed: a statement that writes gets that
/// error even if the rest is invalid.
pub fn check_verb(tokens: &[TokenWithSpan]) -> Result<()> {
    let first = tokens.iter().find(|token| !matches!(token.token, Token::Whitespace(_)));
    match first.map(|first| &first.token) {
        Some(Token::Word(word)) if WRITING.contains(&&*word.value.to_uppercase()) => {
            Err(not_read(&word.value))
        }
        _ => Ok(()),
    }
}

/// Rejects a number followed directly by a word: `1_000` would be read as 1 with the alias `_000`.
pub fn check_numbers(tokens: &[TokenWithSpan]) -> Result<()> {
    let joined = tokens.windows(2).find_map(|pair| match (&pair[0].token, &pair[1].token) {
        (Token::Number(number, _), Token::Word(word)) => Some(format!("{number}{word}")),
        _ => None,
    });
    match joined {
        Some(joined) => Err(Error::Invalid(format!(
            "{joined} is no number: write its digits alone, as in 1000"
        ))),
        None => Ok(()),
    }
}

/// Returns the error for a statement that does not read.
fn not_read(verb: &str) -> Error {
    Error::Invalid(format!(
        "{}: this store is read through SQL and written through events (POST /analytics, POST /events, hourglass import): \
         SELECT, WITH, FROM, TABLE, VALUES, EXPLAIN, SHOW, DESCRIBE and SET are answered",
        verb.to_uppercase()
    ))
}

/// Rejects a statement that does not read; returns the statement whose contents are still to be
/// checked.
pub fn check(statement: &mut Statement) -> Result<Option<&mut Ast>> {
    match statement {
        Statement::Statement(statement) => check_kind(statement).map(|()| Some(&mut **statement)),
        Statement::Explain(explain) => check(&mut explain.statement),
        Statement::CopyTo(_) => Err(not_read("COPY")),
        Statement::CreateExternalTable(_) => Err(not_read("CREATE")),
        Statement::Reset(_) => Ok(None),
    }
}

/// Reports whether this is UTC, the zone of all times.
fn is_utc(zone: &Expr) -> bool {
    ["'utc'", "'etc/utc'", "'+00:00'", "'gmt'", "utc"].contains(&&*zone.to_string().to_lowercase())
}

/// Checks that SET changes one option to one value.
fn check_set(set: &Set) -> Result<()> {
    match set {
        set if settings::is_change(set) => Ok(()),
        Set::SingleAssignment { scope: None, hivevar: false, variable: _, values: _ } => Ok(()),
        Set::SetTimeZone { local: _, value } if is_utc(value) => Ok(()),
        Set::SetTimeZone { local: _, value } => Err(refused(
            format!("SET TIME ZONE {value}"),
            "times are answered in UTC, write timestamp AT TIME ZONE 'Europe/Berlin'",
        )),
        other => {
            Err(refused(other.to_string(), "write SET name = value; SHOW ALL lists the options"))
        }
    }
}

fn check_kind(statement: &Ast) -> Result<()> {
    match statement {
        Ast::Set(set) => check_set(set),
        Ast::Query(_)
        | Ast::ShowVariable { .. }
        | Ast::ShowTables { .. }
        | Ast::ShowColumns { .. } => Ok(()),
        Ast::ShowFunctions { .. } | Ast::ShowCreate { .. } | Ast::Discard { .. } => Ok(()),
        Ast::ExplainTable { describe_alias, hive_format, has_table_keyword: _, table_name } => {
            match describe_alias {
                _ if hive_format.is_some() => {
                    Err(refused("DESCRIBE EXTENDED and FORMATTED", "write DESCRIBE and the table"))
                }
                DescribeAlias::Explain => {
                    Err(refused(format!("EXPLAIN {table_name}"), "write DESCRIBE for a table"))
                }
                DescribeAlias::Describe | DescribeAlias::Desc => Ok(()),
            }
        }
        Ast::Explain {
            describe_alias: _,
            analyze: _,
            verbose: _,
            query_plan,
            estimate,
            statement,
            format: _,
            options,
        } => match (query_plan, estimate, options) {
            (false, false, None) => check_kind(statement),
            _ => Err(refused(
                "this form of EXPLAIN",
                "write EXPLAIN or EXPLAIN ANALYZE and the statement",
            )),
        },
        other => {
            let text = other.to_string();
            let mut words = text.split_whitespace();
            match (words.next().unwrap_or_default(), words.next()) {
                ("SHOW", Some(what)) => Err(refused(
                    format!("SHOW {what}"),
                    "SHOW TABLES, SHOW COLUMNS FROM a table, SHOW FUNCTIONS and SHOW of an option are",
                )),
                (verb, _) => Err(not_read(verb)),
            }
        }
    }
}

/// Rewrites `TABLE events` to `SELECT * FROM events`: the parser accepts it only within a
/// statement.
pub fn read_table(tokens: &mut Vec<TokenWithSpan>) {
    let Some(at) = tokens.iter().position(|token| !matches!(token.token, Token::Whitespace(_)))
    else {
        return;
    };
    let span = tokens[at].span;
    if !matches!(&tokens[at].token, Token::Word(word) if word.keyword == Keyword::TABLE && word.quote_style.is_none())
    {
        return;
    }
    let words = [Token::make_keyword("SELECT"), Token::Mul, Token::make_keyword("FROM")];
    tokens.splice(at..=at, words.map(|token| TokenWithSpan { token, span }));
}
