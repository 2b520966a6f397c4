//! SQL lexer for the shell, which needs tokens to find the ends of statements and to colour them.
//!
//! It uses the tokenizer of the server's parser; the rest of the grammar is left to the server.

use std::ops::Range;

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{
    Location, Token as Sql, TokenWithSpan, Tokenizer, Whitespace,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    Keyword,
    Name,
    Number,
    String,
    Parameter,
    Comment,
    Space,
    Semicolon,
    Symbol,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub kind: TokenKind,
    /// Byte range of the token in the text.
    pub range: Range<usize>,
    /// Whether a string, a quoted name or a comment is terminated.
    pub closed: bool,
}

/// Keywords that are coloured and completed, sorted. Words that are mostly used as names (`date`,
/// `type`) are left out.
pub const KEYWORDS: &[&str] = &[
    "ALL",
    "ANALYZE",
    "AND",
    "ANTI",
    "ANY",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "CROSS",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "FALSE",
    "FILTER",
    "FIRST",
    "FOLLOWING",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "ILIKE",
    "IN",
    "INNER",
    "INTERSECT",
    "INTERVAL",
    "IS",
    "JOIN",
    "LAST",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NATURAL",
    "NOT",
    "NULL",
    "NULLS",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARTITION",
    "PRECEDING",
    "QUALIFY",
    "RANGE",
    "RECURSIVE",
    "RESET",
    "RIGHT",
    "ROLLUP",
    "ROWS",
    "SELECT",
    "SEMI",
    "SET",
    "SHOW",
    "TABLES",
    "THEN",
    "TIMESTAMP",
    "TRUE",
    "UNBOUNDED",
    "UNION",
    "USING",
    "VALUES",
    "VERBOSE",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
    "WITHIN",
];

/// Reports whether `word` is a SQL keyword.
pub fn is_keyword(word: &str) -> bool {
    KEYWORDS.binary_search_by(|known| known.cmp(&word.to_ascii_uppercase().as_str())).is_ok()
}

/// Splits a text into tokens; every byte is in exactly one. If the text ends within the last token,
/// that token is not closed.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    // An error means an unterminated token; the tokens before it are in `found`.
    let _ = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location_into_buf(&mut found);
    let mut tokens = Vec::new();
    let (mut start, mut place, mut chars) = (0, Location::new(1, 1), text.chars());
    for TokenWithSpan { token, span } in found {
        // The tokenizer reports lines and columns of characters, not byte offsets.
        while place < span.end
            && let Some(c) = chars.next()
        {
            place = match c {
                '\n' => Location::new(place.line + 1, 1),
                _ => Location::new(place.line, place.column + 1),
            };
        }
        let end = text.len() - chars.as_str().len();
        let kind = kind(&token, &text[start..end]);
        // The line end after a line comment is not part of the comment.
        let within = if kind == TokenKind::Comment {
            text[start..end].trim_end_matches('\n').len()
        } else {
            end - start
        };
        tokens.push(Token { kind, range: start..start + within, closed: true });
        if start + within < end {
            tokens.push(Token { kind: TokenKind::Space, range: start + within..end, closed: true });
        }
        start = end;
    }
    if start < text.len() {
        tokens.push(Token {
            kind: open_kind(&text[start..]),
            range: start..text.len(),
            closed: false,
        });
    }
    tokens
}

fn kind(token: &Sql, text: &str) -> TokenKind {
    match token {
        Sql::Word(word) if word.quote_style.is_none() && is_keyword(text) => TokenKind::Keyword,
        Sql::Word(_) => TokenKind::Name,
        Sql::Number(..) => TokenKind::Number,
        Sql::Placeholder(_) => TokenKind::Parameter,
        Sql::SemiColon => TokenKind::Semicolon,
        Sql::Whitespace(Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_)) => {
            TokenKind::Comment
        }
        Sql::Whitespace(_) => TokenKind::Space,
        Sql::DollarQuotedString(_) => TokenKind::String,
        // The tokenizer has a dozen kinds of strings.
        _ if text.ends_with('\'') => TokenKind::String,
        _ => TokenKind::Symbol,
    }
}

/// Returns the kind of a token that the end of the text cuts off.
fn open_kind(text: &str) -> TokenKind {
    match text.as_bytes()[0] {
        b'/' => TokenKind::Comment,
        b'"' | b'`' => TokenKind::Name,
        _ => TokenKind::String,
    }
}

pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the ranges of the complete statements in a text, without leading comments and
/// semicolons, and the start of an incomplete one.
pub fn split(text: &str) -> (Vec<Range<usize>>, Option<usize>) {
    let (mut statements, mut open) = (Vec::new(), None::<Range<usize>>);
    for Token { kind, range, closed } in tokens(text) {
        match kind {
            TokenKind::Semicolon => statements.extend(open.take()),
            TokenKind::Space => {}
            TokenKind::Comment if closed => {}
            _ => open = Some(open.map_or(range.start, |open| open.start)..range.end),
        }
    }
    (statements, open.map(|open| open.start))
}

/// A statement or a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Statement {
        text: String,
        /// Line on which the statement begins, counted from 1.
        line: u64,
    },
    /// A command of the shell.
    Command { text: String, line: u64 },
}

/// Splitter of text that arrives line by line into statements and commands.
#[derive(Debug, Default)]
pub struct Cutter {
    /// Text of the current, incomplete statement.
    pending: String,
    lines: u64,
}

impl Cutter {
    /// Adds a line, with or without its line end, and returns the statements and commands that it
    /// completes.
    pub fn feed(&mut self, line: &str) -> Vec<Piece> {
        self.lines += 1;
        let line = line.trim_end_matches(['\n', '\r']);
        if is_command(line) && split(&self.pending).1.is_none() {
            self.pending.clear();
            return vec![Piece::Command { text: line.trim().to_string(), line: self.lines }];
        }
        if !self.pending.is_empty() {
            self.pending.push('\n');
        }
        self.pending.push_str(line);
        if line.contains(';') { self.cut() } else { Vec::new() }
    }

    /// Returns the last statement, which needs no semicolon.
    pub fn finish(&mut self) -> Option<Piece> {
        let pending = std::mem::take(&mut self.pending);
        let open = split(&pending).1?;
        let text = pending[open..].trim_end().to_string();
        Some(Piece::Statement {
            line: self.lines - pending[open..].matches('\n').count() as u64,
            text,
        })
    }

    fn cut(&mut self) -> Vec<Piece> {
        let first = self.lines - self.pending.matches('\n').count() as u64;
        let (statements, open) = split(&self.pending);
        let pieces = statements.into_iter().map(|range| {
            let line = first + self.pending[..range.start].matches('\n').count() as u64;
            Piece::Statement { text: self.pending[range].to_string(), line }
        });
        let pieces = pieces.collect();
        self.pending = open.map_or(String::new(), |open| self.pending[open..].to_string());
        pieces
    }
}

/// Reports whether a line at the start of a statement is a shell command.
pub fn is_command(line: &str) -> bool {
    let line = line.trim();
    line.starts_with(['\\', '.'])
        || ["help", "quit", "exit"].contains(&line.to_ascii_lowercase().trim_end_matches(';'))
}

/// Reports whether the text can be run without further lines.
pub fn is_complete(text: &str) -> bool {
    is_command(text.lines().next().unwrap_or_default()) || split(text).1.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(text: &str) -> (Vec<&str>, Option<&str>) {
        let (ranges, open) = split(text);
        (ranges.into_iter().map(|range| &text[range]).collect(), open.map(|open| &text[open..]))
    }

    #[test]
    fn semicolons_end_statements_and_nothing_else_does() {
        assert_eq!(
            statements("select ';' ; -- one; two\n\n set a.b = 1;;"),
            (vec!["select ';'", "set a.b = 1"], None)
        );
        assert_eq!(
            statements("select 'it''s;', \";\", e'\\';' , $$;$$, $t$;$$;$t$, $1;").0.len(),
            1
        );
        assert_eq!(
            statements("/* a /* b; */ c; */ select 1; select"),
            (vec!["select 1"], Some("select"))
        );
        assert_eq!(statements("select 'open; \n").1, Some("select 'open; \n"));
        assert_eq!(statements("-- nothing\n  "), (vec![], None));
        assert_eq!(statements("select 'ü;ß'; ß").1, Some("ß"));
    }

    #[test]
    fn a_text_is_complete_with_its_semicolon_or_as_a_command() {
        for text in [
            "",
            "select 1;",
            "select 1; -- done",
            "\\d events",
            ".tables",
            "quit",
            "HELP;",
            "\\timing\nselect 1",
        ] {
            assert!(is_complete(text), "{text}");
        }
        for text in ["select 1", "select ';", "select 1; select", "/* ", "select $$;"] {
            assert!(!is_complete(text), "{text}");
        }
    }

    #[test]
    fn lines_are_cut_into_statements_and_commands_that_know_their_line() {
        let mut cutter = Cutter::default();
        let text = "-- head\n\nselect 1; select\n2;\n\\timing on\nselect '\n\\d\n';\nselect 3";
        let mut pieces: Vec<Piece> = text.lines().flat_map(|line| cutter.feed(line)).collect();
        pieces.extend(cutter.finish());
        let statement = |text: &str, line| Piece::Statement { text: text.into(), line };
        let command = Piece::Command { text: "\\timing on".into(), line: 5 };
        let expected = [
            statement("select 1", 3),
            statement("select\n2", 3),
            command,
            statement("select '\n\\d\n'", 6),
            statement("select 3", 9),
        ];
        assert_eq!(pieces, expected);
    }

    #[test]
    fn keywords_are_in_order_for_the_search() {
        assert!(KEYWORDS.is_sorted());
        assert!(is_keyword("select") && !is_keyword("events"));
    }

    #[test]
    fn every_byte_has_its_token() {
        let text = "SELECT count(*), 'é' FROM events -- x\nWHERE a >= 1.5e3 AND $start <> \"b c\"";
        let tokens = tokens(text);
        assert_eq!(tokens.iter().map(|token| &text[token.range.clone()]).collect::<String>(), text);
        let of = |kind| {
            tokens
                .iter()
                .filter(|token| token.kind == kind)
                .map(|t| &text[t.range.clone()])
                .collect::<Vec<_>>()
        };
        assert_eq!(of(TokenKind::Keyword), ["SELECT", "FROM", "WHERE", "AND"]);
        assert_eq!(of(TokenKind::Number), ["1.5e3"]);
        assert_eq!(of(TokenKind::Parameter), ["$start"]);
        assert_eq!(of(TokenKind::Comment), ["-- x"]);
    }
}
