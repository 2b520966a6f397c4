//! Words of a command, read from its tokens one after another.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::cell::Cell;
use crate::error::{Error, Result};
use crate::query::parse::{Parsed, Piece, parse_piece};
use crate::query::syntax::Naming;

/// The tokens of a command that are left to read.
#[derive(Clone, Debug)]
pub struct Words<'t> {
    all: &'t [TokenWithSpan],
    /// Index of the next token, whitespace or not.
    pub next: usize,
}

impl<'t> Words<'t> {
    pub fn of(tokens: &'t [TokenWithSpan]) -> Words<'t> {
        Words { all: tokens, next: 0 }
    }

    pub fn peek(&mut self) -> Option<&'t Token> {
        while let Some(TokenWithSpan { token: Token::Whitespace(_), .. }) = self.all.get(self.next)
        {
            self.next += 1;
        }
        self.all.get(self.next).map(|token| &token.token)
    }

    /// Reads the next token.
    pub fn token(&mut self) -> Option<&'t Token> {
        let token = self.peek();
        self.next += usize::from(token.is_some());
        token
    }

    /// Reads the next word that is not quoted, in lower case.
    pub fn word(&mut self) -> Option<String> {
        let word = match self.peek()? {
            Token::Word(word) if word.quote_style.is_none() => word.value.to_lowercase(),
            _ => return None,
        };
        self.next += 1;
        Some(word)
    }

    /// Reads a word if it is the next one.
    pub fn eat(&mut self, word: &str) -> bool {
        let mut ahead = self.clone();
        let is_next = ahead.word().as_deref() == Some(word);
        if is_next {
            *self = ahead;
        }
        is_next
    }

    /// Reads a token if it is the next one.
    pub fn eat_token(&mut self, token: &Token) -> bool {
        let is_next = self.peek() == Some(token);
        self.next += usize::from(is_next);
        is_next
    }

    pub fn expect(&mut self, word: &str) -> Result<()> {
        if self.eat(word) { Ok(()) } else { Err(self.unexpected(&word.to_uppercase())) }
    }

    /// Reads a name: in lower case unless it is quoted.
    pub fn name(&mut self) -> Result<String> {
        match self.peek() {
            Some(Token::Word(word)) => {
                self.next += 1;
                Ok(match word.quote_style {
                    None => word.value.to_lowercase(),
                    Some(_) => word.value.clone(),
                })
            }
            _ => Err(self.unexpected("a name")),
        }
    }

    /// Reads a name, or ALL, which is `None`, and the end.
    pub fn name_or_all(mut self) -> Result<Option<String>> {
        let name = if self.eat("all") { None } else { Some(self.name()?) };
        self.end()?;
        Ok(name)
    }

    /// Reads the only word that is left.
    pub fn last_word(mut self) -> Result<String> {
        let word = self.word().ok_or_else(|| self.unexpected("a word"))?;
        self.end()?;
        Ok(word)
    }

    /// Reads a text in quotes.
    pub fn text(&mut self) -> Result<String> {
        match self.peek() {
            Some(
                Token::SingleQuotedString(text)
                | Token::EscapedStringLiteral(text)
                | Token::NationalStringLiteral(text),
            ) => {
                self.next += 1;
                Ok(text.clone())
            }
            _ => Err(self.unexpected("a text in quotes")),
        }
    }

    /// Reads a whole number, which may have a sign.
    pub fn number(&mut self) -> Option<i64> {
        let mut ahead = self.clone();
        let is_negative = ahead.eat_token(&Token::Minus);
        let Some(Token::Number(digits, _)) = ahead.token() else { return None };
        let number: i64 = digits.parse().ok()?;
        *self = ahead;
        Some(if is_negative { -number } else { number })
    }

    /// Reads a literal value.
    pub fn value(&mut self) -> Result<Cell> {
        let mut ahead = self.clone();
        let cell = match ahead.token() {
            Some(Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text)) => {
                Cell::Text(text.clone())
            }
            Some(Token::Number(number, _)) => Cell::Number(number.clone()),
            Some(Token::Minus) => match ahead.token() {
                Some(Token::Number(number, _)) => Cell::Number(format!("-{number}")),
                _ => return Err(self.unexpected("a value")),
            },
            Some(Token::Word(word)) if word.quote_style.is_none() => {
                match word.value.to_lowercase().as_str() {
                    "null" => Cell::Null,
                    "true" => Cell::Text("t".into()),
                    "false" => Cell::Text("f".into()),
                    _ => return Err(self.unexpected("a value")),
                }
            }
            _ => return Err(self.unexpected("a value")),
        };
        *self = ahead;
        Ok(cell)
    }

    /// Reads a list in parentheses, if there is one.
    pub fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Option<Vec<T>>> {
        if !self.eat_token(&Token::LParen) {
            return Ok(None);
        }
        let mut list = Vec::new();
        loop {
            list.push(read(self)?);
            if self.eat_token(&Token::RParen) {
                return Ok(Some(list));
            }
            if !self.eat_token(&Token::Comma) {
                return Err(self.unexpected("a comma or a closing parenthesis"));
            }
        }
    }

    /// Checks that nothing is left.
    pub fn end(&mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end of the statement")),
        }
    }

    pub fn unexpected(&mut self, expected: &str) -> Error {
        let found =
            self.peek().map_or("the end of the statement".into(), |token| format!("{token}"));
        Error::Syntax(format!("expected {expected}, found {found}"))
    }
}

/// Parses a statement within another one, such as the query of a cursor.
pub fn inner_query(piece: &Piece, from: usize, to: usize) -> Result<Parsed> {
    let inner = Piece { tokens: piece.tokens[from..to].to_vec(), text: piece.text.clone() };
    let missing = || Error::Syntax("a query is missing: SELECT …".into());
    parse_piece(inner, Naming::Postgres)?.ok_or_else(missing)
}
