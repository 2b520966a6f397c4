//! Cursors: DECLARE, FETCH and MOVE. They go forward only.

use super::words::{Words, inner_query};
use crate::error::{Error, Result};
use crate::query::parse::{Parsed, Piece};

/// DECLARE CURSOR.
#[derive(Clone, Debug)]
pub struct Declare {
    pub name: String,
    pub query: Parsed,
    /// WITH HOLD: whether it outlives the transaction.
    pub is_held: bool,
}

/// FETCH or MOVE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    pub cursor: String,
    pub count: Count,
    /// Whether the rows are passed over.
    pub is_move: bool,
}

/// How many rows are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    Rows(u64),
    All,
}

/// Reads `DECLARE name [BINARY] [ASENSITIVE | INSENSITIVE] [[NO] SCROLL] CURSOR [WITH | WITHOUT
/// HOLD] FOR query`.
pub fn declare(piece: &Piece) -> Result<Declare> {
    let mut words = Words::of(&piece.tokens);
    words.expect("declare")?;
    let name = words.name()?;
    while !words.eat("cursor") {
        match words.word().as_deref() {
            Some("no") => words.expect("scroll")?,
            Some("asensitive" | "insensitive") => {}
            Some("scroll") => {
                return Err(Error::Invalid(
                    "a cursor that scrolls is not answered here: leave SCROLL out, and go forward"
                        .into(),
                ));
            }
            Some("binary") => {
                return Err(Error::Invalid(
                    "DECLARE BINARY is not answered here: ask for binary rows by the protocol"
                        .into(),
                ));
            }
            _ => return Err(words.unexpected("CURSOR")),
        }
    }
    let mut is_held = false;
    if words.eat("with") {
        words.expect("hold")?;
        is_held = true;
    } else if words.eat("without") {
        words.expect("hold")?;
    }
    words.expect("for")?;
    let query = inner_query(piece, words.next, piece.tokens.len())?;
    Ok(Declare { name, query, is_held })
}

/// Reads what follows FETCH or MOVE: `[direction] [FROM | IN] name`.
pub fn fetch(verb: &str, mut words: Words<'_>) -> Result<Fetch> {
    let count = direction(&mut words)?;
    if !words.eat("from") {
        words.eat("in");
    }
    let cursor = words.name()?;
    words.end()?;
    Ok(Fetch { cursor, count, is_move: verb == "move" })
}

fn direction(words: &mut Words<'_>) -> Result<Count> {
    let mut ahead = words.clone();
    let count = match ahead.word().as_deref() {
        Some("next") => Count::Rows(1),
        Some("all") => Count::All,
        Some("forward") => match ahead.number() {
            Some(rows) => rows_forward(rows)?,
            None if ahead.eat("all") => Count::All,
            None => Count::Rows(1),
        },
        Some("prior" | "first" | "last" | "absolute" | "relative" | "backward") => {
            return Err(backward());
        }
        // The cursor's own name, or FROM.
        Some(_) => return Ok(Count::Rows(1)),
        None => match ahead.number() {
            Some(rows) => rows_forward(rows)?,
            None => return Ok(Count::Rows(1)),
        },
    };
    *words = ahead;
    Ok(count)
}

fn rows_forward(rows: i64) -> Result<Count> {
    u64::try_from(rows).map(Count::Rows).map_err(|_| backward())
}

fn backward() -> Error {
    Error::Invalid("a cursor goes forward only: FETCH FORWARD 100, NEXT or ALL".into())
}
