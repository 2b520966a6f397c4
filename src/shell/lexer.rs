//! Lexer of SQL text, as far as the shell needs one: to find the ends of statements, and to colour
//! them.
//!
//! Strings, quoted names, nested comments and dollar quotes follow the server's dialect; the rest
//! of the grammar is left to the parser.

use std::ops::Range;

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
    /// Byte range in the text.
    pub range: Range<usize>,
    /// Whether a string, a quoted name or a comment is terminated.
    pub closed: bool,
}

/// Words that are coloured and completed. Words that are mostly used as names (`date`, `type`) are
/// left out.
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

/// Splits a text into tokens; every byte is in exactly one.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut start = 0;
    while let Some(first) = text[start..].chars().next() {
        let (kind, length, closed) = token(&text[start..], first);
        tokens.push(Token { kind, range: start..start + length, closed });
        start += length;
    }
    tokens
}

/// Returns the kind and the length of the first token of `rest`.
fn token(rest: &str, first: char) -> (TokenKind, usize, bool) {
    let second = rest[first.len_utf8()..].chars().next();
    let run = |of: fn(char) -> bool| rest.find(|c| !of(c)).unwrap_or(rest.len());
    match (first, second) {
        (';', _) => (TokenKind::Semicolon, 1, true),
        ('-', Some('-')) => (TokenKind::Comment, rest.find('\n').unwrap_or(rest.len()), true),
        ('/', Some('*')) => block_comment(rest),
        ('\'', _) => quoted(rest, 0, TokenKind::String, false),
        ('e' | 'E', Some('\'')) => quoted(rest, 1, TokenKind::String, true),
        ('"' | '`', _) => quoted(rest, 0, TokenKind::Name, false),
        ('$', _) => dollar(rest),
        (c, _) if c.is_whitespace() => (TokenKind::Space, run(char::is_whitespace), true),
        (c, _) if c.is_ascii_digit() => {
            (TokenKind::Number, run(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_'), true)
        }
        (c, _) if is_word(c) => {
            let length = run(is_word);
            (
                if is_keyword(&rest[..length]) { TokenKind::Keyword } else { TokenKind::Name },
                length,
                true,
            )
        }
        (c, _) => (TokenKind::Symbol, c.len_utf8(), true),
    }
}

pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Lexes a quoted token whose quote is at byte `at`. A doubled quote is content, and so is a quote
/// after a backslash if `escapes`.
fn quoted(rest: &str, at: usize, kind: TokenKind, escapes: bool) -> (TokenKind, usize, bool) {
    let quote = rest.as_bytes()[at];
    let bytes = rest.as_bytes();
    let mut i = at + 1;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' if escapes => i += 2,
            byte if byte == quote && bytes.get(i + 1) == Some(&quote) => i += 2,
            byte if byte == quote => return (kind, i + 1, true),
            _ => i += 1,
        }
    }
    (kind, rest.len(), false)
}

fn block_comment(rest: &str) -> (TokenKind, usize, bool) {
    let bytes = rest.as_bytes();
    let (mut depth, mut i) = (0, 0);
    while i + 1 < bytes.len() {
        match &bytes[i..i + 2] {
            b"/*" => (depth, i) = (depth + 1, i + 2),
            b"*/" if depth == 1 => return (TokenKind::Comment, i + 2, true),
            b"*/" => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
    }
    (TokenKind::Comment, rest.len(), false)
}

/// Lexes a token that begins with `$`: `$1` and `$name` are parameters; `$$…$$` and `$tag$…$tag$`
/// are strings.
fn dollar(rest: &str) -> (TokenKind, usize, bool) {
    let word = rest[1..].find(|c| !is_word(c)).map_or(rest.len(), |length| length + 1);
    if rest[word..].starts_with('$') && !rest[1..].starts_with(|c: char| c.is_ascii_digit()) {
        let (tag, content) = rest.split_at(word + 1);
        return match content.find(tag) {
            Some(end) => (TokenKind::String, tag.len() + end + tag.len(), true),
            None => (TokenKind::String, rest.len(), false),
        };
    }
    (TokenKind::Parameter, word, true)
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
        /// Line it begins on, counted from 1.
        line: u64,
    },
    /// A command of the shell.
    Command { text: String, line: u64 },
}

/// Splits text that arrives line by line into statements and commands.
#[derive(Debug, Default)]
pub struct Cutter {
    /// Lines of the current, incomplete statement.
    pending: String,
    lines: u64,
}

impl Cutter {
    /// Adds a line, with or without its line end, and returns the pieces that it completes.
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

/// Whether a line at the start of a statement is a command of the shell.
pub fn is_command(line: &str) -> bool {
    let line = line.trim();
    line.starts_with(['\\', '.'])
        || ["help", "quit", "exit"].contains(&line.to_ascii_lowercase().trim_end_matches(';'))
}

/// Whether the text can be run as it is.
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
