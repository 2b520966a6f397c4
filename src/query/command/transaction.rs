//! BEGIN, COMMIT, ROLLBACK and savepoints.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::words::Words;
use crate::error::Result;

/// A command of transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transaction {
    Begin {
        is_read_only: bool,
        /// Name of the isolation level, if it is given.
        isolation: Option<&'static str>,
    },
    /// `chain` begins the next transaction at once.
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
    },
    Savepoint(String),
    Release(String),
    RollbackTo(String),
}

pub fn parse(verb: &str, mut words: Words<'_>) -> Result<Transaction> {
    let command = match verb {
        "begin" | "start" => begin(verb, &mut words)?,
        "savepoint" => Transaction::Savepoint(words.name()?),
        "release" => {
            words.eat("savepoint");
            Transaction::Release(words.name()?)
        }
        _ => end(verb, &mut words)?,
    };
    words.end()?;
    Ok(command)
}

/// Every isolation level is answered alike: a transaction reads one snapshot.
fn begin(verb: &str, words: &mut Words<'_>) -> Result<Transaction> {
    if verb == "start" {
        words.expect("transaction")?;
    } else if !words.eat("transaction") {
        words.eat("work");
    }
    let (mut is_read_only, mut isolation) = (false, None);
    while words.peek().is_some() {
        if words.eat("isolation") {
            words.expect("level")?;
            isolation = Some(level(words)?);
        } else if words.eat("read") {
            is_read_only = words.eat("only");
            if !is_read_only {
                words.expect("write")?;
            }
        } else {
            words.eat("not");
            words.expect("deferrable")?;
        }
        words.eat_token(&Token::Comma);
    }
    Ok(Transaction::Begin { is_read_only, isolation })
}

fn level(words: &mut Words<'_>) -> Result<&'static str> {
    if words.eat("serializable") {
        return Ok("serializable");
    }
    if words.eat("repeatable") {
        words.expect("read")?;
        return Ok("repeatable read");
    }
    words.expect("read")?;
    if words.eat("uncommitted") {
        return Ok("read uncommitted");
    }
    words.expect("committed")?;
    Ok("read committed")
}

fn end(verb: &str, words: &mut Words<'_>) -> Result<Transaction> {
    if !words.eat("transaction") {
        words.eat("work");
    }
    let is_rollback = matches!(verb, "rollback" | "abort");
    if is_rollback && words.eat("to") {
        words.eat("savepoint");
        return Ok(Transaction::RollbackTo(words.name()?));
    }
    let mut chain = false;
    if words.eat("and") {
        chain = !words.eat("no");
        words.expect("chain")?;
    }
    Ok(if is_rollback { Transaction::Rollback { chain } } else { Transaction::Commit { chain } })
}
