//! Recognizes commands by their words.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cell::Cell;
use super::copy::{self, Copy};
use super::cursor::{self, Declare, Fetch};
use super::insert::{self, Insert};
use super::transaction::{self, Transaction};
use super::words::Words;
use crate::error::{Error, Result};
use crate::query::parse::{Parsed, Piece, parse_piece, split};
use crate::query::schema::EVENTS;
use crate::query::syntax::Naming;

/// Maximum size of a statement that is no INSERT, in bytes (ClickHouse's `max_query_size`).
const STATEMENT_BYTES: usize = 256 << 10;

/// Maximum size of an INSERT. A token takes some thirty times the memory of its text.
const INSERT_BYTES: usize = 1 << 20;

/// A statement of a session.
#[derive(Clone, Debug)]
pub enum Command {
    /// It reads, or changes an option of the session.
    Query(Parsed),
    Insert(Insert),
    Copy(Copy),
    Transaction(Transaction),
    /// DECLARE CURSOR.
    Declare(Declare),
    /// FETCH, or MOVE, which returns no rows.
    Fetch(Fetch),
    /// CLOSE; `None` is all cursors.
    Close(Option<String>),
    /// PREPARE, with the names of the parameters' types.
    Prepare {
        name: String,
        types: Vec<String>,
        command: Box<Command>,
    },
    Execute {
        name: String,
        values: Vec<Cell>,
    },
    /// DEALLOCATE; `None` is all prepared statements.
    Deallocate(Option<String>),
    /// DISCARD of what is named: all, plans, sequences or temp.
    Discard(String),
    /// UNLISTEN: nothing is ever listened to.
    Unlisten,
}

/// Parses the statements of a text, which semicolons separate.
///
/// # Errors
/// [`Error::ReadOnly`] if a statement writes what cannot be written.
pub fn parse_commands(sql: &str) -> Result<Vec<Command>> {
    if sql.len() > INSERT_BYTES {
        return Err(too_long(INSERT_BYTES));
    }
    split(sql)?.into_iter().filter_map(|piece| command(piece).transpose()).collect()
}

fn too_long(limit: usize) -> Error {
    Error::Limit(format!(
        "a statement may have {limit} bytes: use COPY {EVENTS} FROM STDIN for many rows"
    ))
}

fn command(piece: Piece) -> Result<Option<Command>> {
    let mut words = Words::of(&piece.tokens);
    let first = words.word().unwrap_or_default();
    if first != "insert" && piece.text.len() > STATEMENT_BYTES {
        return Err(too_long(STATEMENT_BYTES));
    }
    let command = match first.as_str() {
        "insert" => Command::Insert(insert::parse(piece)?),
        "copy" => Command::Copy(copy::parse(&piece)?),
        "begin" | "start" | "commit" | "end" | "rollback" | "abort" | "savepoint" | "release" => {
            Command::Transaction(transaction::parse(&first, words)?)
        }
        "declare" => Command::Declare(cursor::declare(&piece)?),
        "fetch" | "move" => Command::Fetch(cursor::fetch(&first, words)?),
        "close" => Command::Close(words.name_or_all()?),
        "prepare" => prepare(&piece)?,
        "execute" => execute(words)?,
        "deallocate" => {
            words.eat("prepare");
            Command::Deallocate(words.name_or_all()?)
        }
        "discard" => Command::Discard(words.last_word()?),
        "unlisten" => Command::Unlisten,
        "update" | "delete" | "merge" | "truncate" | "create" | "drop" | "alter" | "grant"
        | "revoke" | "vacuum" | "reindex" | "refresh" | "comment" | "lock" | "cluster"
        | "analyze" => {
            return Err(Error::ReadOnly(format!(
                "cannot execute {}: events are stored by INSERT and COPY FROM, and never changed; \
                 `hourglass forget` erases those of a user",
                first.to_uppercase()
            )));
        }
        _ => return Ok(parse_piece(piece, Naming::Postgres)?.map(Command::Query)),
    };
    Ok(Some(command))
}

/// Reads `PREPARE name [(type, …)] AS statement`.
fn prepare(piece: &Piece) -> Result<Command> {
    let mut words = Words::of(&piece.tokens);
    words.expect("prepare")?;
    if words.eat("transaction") {
        return Err(Error::Invalid(
            "PREPARE TRANSACTION is not answered here: COMMIT stores the rows at once".into(),
        ));
    }
    let name = words.name()?;
    let types = words.list(type_name)?.unwrap_or_default();
    words.expect("as")?;
    let tokens = piece.tokens[words.next..].to_vec();
    let inner = command(Piece { tokens, text: piece.text.clone() })?;
    match inner {
        Some(inner @ (Command::Query(_) | Command::Insert(_))) => {
            Ok(Command::Prepare { name, types, command: Box::new(inner) })
        }
        _ => Err(Error::Syntax("PREPARE takes a SELECT, VALUES or INSERT".into())),
    }
}

/// Reads the name of a type, which may have several words, such as `timestamp with time zone`.
fn type_name(words: &mut Words<'_>) -> Result<String> {
    let mut name = words.name()?;
    while !matches!(words.peek(), Some(Token::Comma | Token::RParen) | None) {
        let token = words.token().map(|token| format!("{token}")).unwrap_or_default();
        if token.chars().all(char::is_alphanumeric) {
            name.push(' ');
        }
        name += &token.to_lowercase();
    }
    Ok(name)
}

/// Reads `EXECUTE name [(value, …)]`; EXECUTE itself is read.
fn execute(mut words: Words<'_>) -> Result<Command> {
    let name = words.name()?;
    let values = words.list(Words::value)?.unwrap_or_default();
    words.end()?;
    Ok(Command::Execute { name, values })
}
