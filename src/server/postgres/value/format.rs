//! The two formats of a value.

use crate::error::Error;

/// Format of a value; in the protocol 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Binary,
}

impl Format {
    pub fn of_code(code: i16) -> Result<Format, Error> {
        match code {
            0 => Ok(Format::Text),
            1 => Ok(Format::Binary),
            other => Err(Error::Invalid(format!("{other} is no format: 0 is text, 1 is binary"))),
        }
    }

    pub fn code(self) -> i16 {
        match self {
            Format::Text => 0,
            Format::Binary => 1,
        }
    }

    /// Returns the format of each of `count` columns or parameters, from the codes of a Bind
    /// message: none stands for text, and one for all.
    pub fn of_codes(codes: &[i16], count: usize) -> Result<Vec<Format>, Error> {
        match codes {
            [] => Ok(vec![Format::Text; count]),
            [one] => Ok(vec![Format::of_code(*one)?; count]),
            codes if codes.len() == count => {
                codes.iter().map(|code| Format::of_code(*code)).collect()
            }
            codes => Err(Error::Invalid(format!(
                "there are {} formats for {count} values; send none, one, or one for each",
                codes.len()
            ))),
        }
    }
}
