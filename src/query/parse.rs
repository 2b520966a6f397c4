//! Parser: splits a text into statements and checks that each has no clause that the planner would
//! drop.

use std::ops::ControlFlow;

use datafusion::error::DataFusionError;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{
    Expr, Query, SelectItem, SetExpr, Statement as Ast, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::opaque::Opaque;
use super::schema::SHOW_CHUNKS;
use super::syntax::Naming;
use super::walk::walk_mut;
use super::{limits, memory, syntax};
use crate::error::{Error, Result};

/// Maximum nesting depth of expressions and subqueries.
const RECURSION_LIMIT: usize = 50;

/// One parsed statement.
#[derive(Clone, Debug)]
pub struct Parsed {
    pub(super) statement: Opaque<Statement>,
    /// The text of the statement, without leading comments and the final semicolon.
    pub text: String,
}

impl Parsed {
    /// Reports whether it changes an option of the session.
    pub fn is_set(&self) -> bool {
        match &*self.statement {
            Statement::Statement(statement) => {
                matches!(**statement, Ast::Set(_) | Ast::Discard { .. })
            }
            Statement::Reset(_) => true,
            _ => false,
        }
    }
}

/// Length in bytes of a text above which freed memory is returned to the system after parsing,
/// which may take a hundred times that length.
const LARGE_TEXT: usize = 16 << 10;

/// Parses the statements of a text, which semicolons separate. Empty statements are skipped.
pub fn parse(sql: &str) -> Result<Vec<Parsed>> {
    let statements = parse_all(sql);
    if sql.len() > LARGE_TEXT {
        memory::give_back();
    }
    statements
}

fn parse_all(sql: &str) -> Result<Vec<Parsed>> {
    split(sql)?
        .into_iter()
        .filter_map(|piece| parse_piece(piece, Naming::AsWritten).transpose())
        .collect()
}

/// A statement of a text, not yet parsed.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Tokens with their places in the whole text.
    pub tokens: Vec<TokenWithSpan>,
    /// The statement without leading comments and the final semicolon.
    pub text: String,
}

/// Splits a text at its semicolons. Empty statements are skipped.
pub fn split(sql: &str) -> Result<Vec<Piece>> {
    // Editors on Windows begin a file with a byte order mark.
    let sql = sql.strip_prefix('\u{feff}').unwrap_or(sql);
    let tokens = Tokenizer::new(&GenericDialect {}, sql)
        .tokenize_with_location()
        .map_err(|error| DataFusionError::SQL(Box::new(error.into()), None))?;
    let mut places = Places { text: sql, offset: 0, at: Location { line: 1, column: 1 } };
    let mut pieces = Vec::new();
    for tokens in tokens.split(|token| token.token == Token::SemiColon) {
        let is_code = |token: &&TokenWithSpan| !matches!(token.token, Token::Whitespace(_));
        if let (Some(first), Some(last)) =
            (tokens.iter().find(is_code), tokens.iter().rfind(is_code))
        {
            let text = places.excerpt(first, last);
            pieces.push(Piece { tokens: tokens.to_vec(), text });
        }
    }
    Ok(pieces)
}

/// Parses a statement that reads, and names its columns.
pub fn parse_piece(piece: Piece, naming: Naming) -> Result<Option<Parsed>> {
    let Piece { tokens, text } = piece;
    limits::check_tokens(&tokens)?;
    syntax::check_verb(&tokens)?;
    syntax::check_numbers(&tokens)?;
    let statement = limits::with_stack(tokens.len(), || parse_one(tokens, naming))?;
    Ok(statement.map(|statement| Parsed { statement: Opaque::new(statement), text }))
}

fn parse_one(mut tokens: Vec<TokenWithSpan>, naming: Naming) -> Result<Option<Statement>> {
    syntax::read_table(&mut tokens);
    let mut parser = DFParserBuilder::new(tokens)
        .with_dialect(&GenericDialect {})
        .with_recursion_limit(RECURSION_LIMIT)
        .build()?;
    let mut statement = parser.parse_statements()?.pop_front();
    if let Some(statement) = &statement {
        limits::check(statement)?;
    }
    if let Some(Statement::Statement(statement)) = &mut statement {
        walk_mut(&mut **statement, &mut FromChunks)?;
    }
    if let Some(statement) = &mut statement {
        syntax::prepare(statement, naming)?;
        // Some clauses become longer when rewritten.
        limits::check(statement)?;
    }
    Ok(statement)
}

/// Rewrites `SELECT show_chunks('events')`, as TimescaleDB accepts it, to
/// `SELECT show_chunks FROM show_chunks('events')`: there it is a function that returns rows, here
/// a table.
struct FromChunks;

impl VisitorMut for FromChunks {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        let SetExpr::Select(select) = &mut *query.body else { return ControlFlow::Continue(()) };
        let [SelectItem::UnnamedExpr(Expr::Function(function))] = &select.projection[..] else {
            return ControlFlow::Continue(());
        };
        if select.from.is_empty() && function.name.to_string().eq_ignore_ascii_case(SHOW_CHUNKS) {
            let table = format!("SELECT {SHOW_CHUNKS} FROM {function}");
            let parsed = DFParserBuilder::new(table.as_str())
                .build()
                .and_then(|mut parser| parser.parse_statements());
            if let Ok(Some(Statement::Statement(parsed))) =
                parsed.map(|mut parsed| parsed.pop_front())
                && let Ast::Query(parsed) = *parsed
            {
                query.body = parsed.body;
            }
        }
        ControlFlow::Continue(())
    }
}

/// Locates tokens in their text, in order. Positions count lines and characters from 1.
struct Places<'a> {
    text: &'a str,
    offset: usize,
    at: Location,
}

impl Places<'_> {
    fn offset(&mut self, of: Location) -> usize {
        let mut chars = self.text[self.offset..].chars();
        while self.at < of
            && let Some(char) = chars.next()
        {
            self.offset += char.len_utf8();
            self.at = match char {
                '\n' => Location { line: self.at.line + 1, column: 1 },
                _ => Location { column: self.at.column + 1, ..self.at },
            };
        }
        self.offset
    }

    /// Returns the text from one token to another.
    fn excerpt(&mut self, first: &TokenWithSpan, last: &TokenWithSpan) -> String {
        let start = self.offset(first.span.start);
        let end = self.offset(last.span.end);
        self.text[start..end].trim().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_splits_into_statements_whatever_stands_in_strings_and_comments() {
        let texts =
            |sql| parse(sql).unwrap().into_iter().map(|parsed| parsed.text).collect::<Vec<_>>();
        assert_eq!(
            texts(" select ';' ; -- one; two\n\n set a.b = 1;;"),
            ["select ';'", "set a.b = 1"]
        );
        assert_eq!(texts("select 'ü' as ß\n  from x"), ["select 'ü' as ß\n  from x"]);
        assert!(texts(" ; -- nothing\n").is_empty());
    }

    /// Regression: a script written by an editor on Windows was rejected for its byte order mark.
    #[test]
    fn a_byte_order_mark_is_no_part_of_a_statement() {
        let parsed = parse("\u{feff}select 1; select 2").unwrap();
        assert_eq!(
            parsed.into_iter().map(|parsed| parsed.text).collect::<Vec<_>>(),
            ["select 1", "select 2"]
        );
        assert_eq!(parse("\u{feff}select 1 2").unwrap_err().position(), Some((1, 10)));
    }

    #[test]
    fn a_fault_says_where() {
        let error = parse("select 1;\nselect a b c").unwrap_err();
        assert_eq!(error.position(), Some((2, 12)), "{error}");
    }
}
