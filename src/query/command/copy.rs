//! COPY between the table and the client (PostgreSQL manual, COPY).

use datafusion::sql::sqlparser::tokenizer::Token;

use super::copy_options::{Columns, CopyFormat, CopyOptions, Header};
use super::table::{is_events, not_events, table};
use super::words::{Words, inner_query};
use crate::error::{Error, Result};
use crate::query::identifiers::in_quotes;
use crate::query::parse::{self, Parsed, Piece};

/// COPY, in one direction or the other.
#[derive(Clone, Debug)]
pub enum Copy {
    In(CopyIn),
    Out(CopyOut),
}

/// COPY events FROM STDIN.
#[derive(Clone, Debug)]
pub struct CopyIn {
    /// Names of the columns that the rows have; empty for all, in the order of the table.
    pub columns: Vec<String>,
    pub options: CopyOptions,
}

/// COPY … TO STDOUT.
#[derive(Clone, Debug)]
pub struct CopyOut {
    pub query: Parsed,
    pub options: CopyOptions,
}

/// Parses a COPY command.
pub fn parse(piece: &Piece) -> Result<Copy> {
    let mut words = Words::of(&piece.tokens);
    words.expect("copy")?;
    if words.peek() == Some(&Token::LParen) {
        let (from, to) = parentheses(piece, &mut words)?;
        let query = inner_query(piece, from, to)?;
        words.expect("to")?;
        return copy_out(query, words);
    }
    let table = table(&mut words)?;
    let columns = words.list(Words::name)?.unwrap_or_default();
    if words.eat("to") {
        let list = match columns.is_empty() {
            // Columns that are derived from others are no part of a copy.
            true if is_events(&table) => "* EXCLUDE (date, hour)".into(),
            true => "*".into(),
            false => all_in_quotes(&columns, ", "),
        };
        let name = all_in_quotes(&table, ".");
        let mut parsed = parse_query(&format!("SELECT {list} FROM {name}"))?;
        parsed.text = piece.text.clone();
        return copy_out(parsed, words);
    }
    words.expect("from")?;
    if !is_events(&table) {
        return Err(not_events(&table.join(".")));
    }
    place(&mut words, "stdin")?;
    let options = options(words)?;
    if options.force_quote != Columns::None {
        return Err(Error::Invalid("FORCE_QUOTE is an option of COPY TO".into()));
    }
    Ok(Copy::In(CopyIn { columns, options }))
}

fn all_in_quotes(names: &[String], between: &str) -> String {
    names.iter().map(|name| in_quotes(name)).collect::<Vec<_>>().join(between)
}

fn parse_query(sql: &str) -> Result<Parsed> {
    parse::parse(sql)?.pop().ok_or_else(|| Error::Syntax("a query is missing".into()))
}

fn copy_out(query: Parsed, mut words: Words<'_>) -> Result<Copy> {
    place(&mut words, "stdout")?;
    Ok(Copy::Out(CopyOut { query, options: options(words)? }))
}

/// Returns the range of the tokens within the parentheses that come next, and reads them.
fn parentheses(piece: &Piece, words: &mut Words<'_>) -> Result<(usize, usize)> {
    words.token();
    let from = words.next;
    let mut depth = 1;
    loop {
        match words.token() {
            Some(Token::LParen) => depth += 1,
            Some(Token::RParen) => depth -= 1,
            Some(_) => {}
            None => return Err(words.unexpected("a closing parenthesis")),
        }
        if depth == 0 {
            return Ok((from, words.next - 1))
                .inspect(|_| debug_assert!(words.next <= piece.tokens.len()));
        }
    }
}

/// Reads STDIN or STDOUT: files of the server are not for clients.
fn place(words: &mut Words<'_>, expected: &str) -> Result<()> {
    if words.eat(expected) || (expected == "stdout" && words.eat("stdin")) {
        return Ok(());
    }
    let shown = expected.to_uppercase();
    match words.peek() {
        Some(Token::SingleQuotedString(_)) => Err(Error::Invalid(format!(
            "COPY with a file of the server is not answered here: write {shown}; psql's \\copy has files of its own"
        ))),
        _ => Err(words.unexpected(&shown)),
    }
}

/// Reads the options, in parentheses or as PostgreSQL before 9.0 wrote them.
fn options(mut words: Words<'_>) -> Result<CopyOptions> {
    let mut given = Given::default();
    words.eat("with");
    if words.eat_token(&Token::LParen) {
        loop {
            let name = words.word().ok_or_else(|| words.unexpected("an option"))?;
            given.read(&name, &mut words)?;
            if words.eat_token(&Token::RParen) {
                break;
            }
            if !words.eat_token(&Token::Comma) {
                return Err(words.unexpected("a comma or a closing parenthesis"));
            }
        }
    } else {
        while let Some(name) = words.word() {
            given.read_old(&name, &mut words)?;
        }
    }
    words.end()?;
    given.checked()
}

/// Options as they are given; `None` is the default of the format.
#[derive(Default)]
struct Given {
    format: Option<CopyFormat>,
    delimiter: Option<u8>,
    null: Option<String>,
    header: Header,
    quote: Option<u8>,
    escape: Option<u8>,
    force_quote: Columns,
    force_not_null: Columns,
    force_null: Columns,
}

impl Given {
    fn read(&mut self, name: &str, words: &mut Words<'_>) -> Result<()> {
        match name {
            "format" => {
                let format = words.text().or_else(|_| words.name())?;
                self.format = Some(match format.to_lowercase().as_str() {
                    "text" => CopyFormat::Text,
                    "csv" => CopyFormat::Csv,
                    "binary" => CopyFormat::Binary,
                    _ => {
                        return Err(Error::Invalid(format!(
                            "COPY format {format:?} is unknown: text, csv and binary are"
                        )));
                    }
                });
            }
            "delimiter" => self.delimiter = Some(byte(name, words)?),
            "quote" => self.quote = Some(byte(name, words)?),
            "escape" => self.escape = Some(byte(name, words)?),
            "null" => self.null = Some(words.text()?),
            "header" => {
                self.header = match words.eat("match") {
                    true => Header::Match,
                    false if boolean(words)? => Header::Line,
                    false => Header::None,
                }
            }
            "encoding" => {
                let encoding = words.text().or_else(|_| words.name())?;
                if !matches!(encoding.to_lowercase().as_str(), "utf8" | "utf-8" | "unicode") {
                    return Err(Error::Invalid(format!(
                        "encoding {encoding:?}: texts are UTF8 here"
                    )));
                }
            }
            "force_quote" => self.force_quote = columns(words)?,
            "force_not_null" => self.force_not_null = columns(words)?,
            "force_null" => self.force_null = columns(words)?,
            "freeze" if !boolean(words)? => {}
            _ => {
                return Err(Error::Invalid(format!(
                    "COPY option {} is not answered here: format, delimiter, null, header, quote, escape, force_quote, force_null, \
                     force_not_null and encoding are",
                    name.to_uppercase()
                )));
            }
        }
        Ok(())
    }

    fn read_old(&mut self, name: &str, words: &mut Words<'_>) -> Result<()> {
        match name {
            "csv" => self.format = Some(CopyFormat::Csv),
            "binary" => self.format = Some(CopyFormat::Binary),
            "header" => self.header = Header::Line,
            "force" if words.eat("not") => {
                words.expect("null")?;
                self.force_not_null = columns(words)?;
            }
            "force" => {
                words.expect("quote")?;
                self.force_quote = columns(words)?;
            }
            name => {
                words.eat("as");
                self.read(name, words)?;
            }
        }
        Ok(())
    }

    /// Refuses an option that is of another format, which would change nothing.
    fn checked(self) -> Result<CopyOptions> {
        let Given {
            format,
            delimiter,
            null,
            header,
            quote,
            escape,
            force_quote,
            force_not_null,
            force_null,
        } = self;
        let format = format.unwrap_or(CopyFormat::Text);
        let is_forced =
            [&force_quote, &force_not_null, &force_null].iter().any(|of| **of != Columns::None);
        if format != CopyFormat::Csv && (quote.is_some() || escape.is_some() || is_forced) {
            let fault = "COPY QUOTE, ESCAPE and FORCE_… are of the format csv";
            return Err(Error::Invalid(fault.into()));
        }
        if format == CopyFormat::Binary && (delimiter.is_some() || null.is_some()) {
            return Err(Error::Invalid(
                "COPY DELIMITER and NULL are not of the format binary".into(),
            ));
        }
        let own = CopyOptions::new(format);
        Ok(CopyOptions {
            format,
            delimiter: delimiter.unwrap_or(own.delimiter),
            null: null.unwrap_or(own.null),
            header,
            quote: quote.unwrap_or(own.quote),
            escape: escape.or(quote).unwrap_or(own.escape),
            force_quote,
            force_not_null,
            force_null,
        })
    }
}

fn columns(words: &mut Words<'_>) -> Result<Columns> {
    if words.eat_token(&Token::Mul) {
        return Ok(Columns::All);
    }
    Ok(Columns::Named(match words.list(Words::name)? {
        Some(columns) => columns,
        None => {
            let mut names = vec![words.name()?];
            while words.eat_token(&Token::Comma) {
                names.push(words.name()?);
            }
            names
        }
    }))
}

/// Reads a boolean; true if it is left out.
fn boolean(words: &mut Words<'_>) -> Result<bool> {
    if matches!(words.peek(), Some(Token::Comma | Token::RParen) | None) {
        return Ok(true);
    }
    if let Some(number) = words.number() {
        return Ok(number != 0);
    }
    let text = words.text().or_else(|_| words.name())?;
    match text.to_lowercase().as_str() {
        "true" | "on" => Ok(true),
        "false" | "off" => Ok(false),
        _ => Err(Error::Invalid(format!("{text:?} is not a boolean: on or off"))),
    }
}

fn byte(name: &str, words: &mut Words<'_>) -> Result<u8> {
    let text = words.text()?;
    match text.as_bytes() {
        [byte] => Ok(*byte),
        _ => Err(Error::Invalid(format!("COPY {} must be one byte", name.to_uppercase()))),
    }
}
