//! Messages of a client, decoded (PostgreSQL manual, section 55.7).
//!
//! pgwire's decoders end the thread where a message is cut, and replace bytes that are no text.
//! Here a message may be cut, lie about its length, or hold anything: it is an error that says what
//! is wrong, and nothing is replaced.

use bytes::{Buf, Bytes};

use super::error::PgError;

/// A message after the login.
#[derive(Debug)]
pub enum Message {
    Query(String),
    Parse {
        name: String,
        text: String,
        types: Vec<u32>,
    },
    Bind(Bind),
    Describe(Named),
    Execute {
        portal: String,
        most: i32,
    },
    Close(Named),
    Flush,
    Sync,
    Terminate,
    /// Of a COPY from the client.
    CopyData(Bytes),
    CopyDone,
    CopyFail(String),
}

#[derive(Debug)]
pub struct Bind {
    pub portal: String,
    pub statement: String,
    pub formats: Vec<i16>,
    pub values: Vec<Option<Bytes>>,
    pub result_formats: Vec<i16>,
}

/// What Describe and Close are of.
#[derive(Debug)]
pub enum Named {
    Statement(String),
    Portal(String),
}

impl Message {
    /// Decodes a message of the kind `kind`.
    ///
    /// # Errors
    /// Fatal where it is malformed, as nothing after it can be trusted; not where a text is no
    /// UTF-8.
    pub fn decode(kind: u8, body: Bytes) -> Result<Message> {
        let mut reader = Reader::new(body);
        let message = match kind {
            b'Q' => Message::Query(reader.text()?),
            b'P' => Message::Parse {
                name: reader.text()?,
                text: reader.text()?,
                types: reader.list(|reader| Ok(reader.int()?.cast_unsigned()))?,
            },
            b'B' => Message::Bind(Bind {
                portal: reader.text()?,
                statement: reader.text()?,
                formats: reader.list(Reader::code)?,
                values: reader.list(Reader::value)?,
                result_formats: reader.list(Reader::code)?,
            }),
            b'D' => Message::Describe(reader.named()?),
            b'E' => Message::Execute { portal: reader.text()?, most: reader.int()? },
            b'C' => Message::Close(reader.named()?),
            b'H' => Message::Flush,
            b'S' => Message::Sync,
            b'X' => Message::Terminate,
            b'd' => return Ok(Message::CopyData(reader.rest())),
            b'c' => Message::CopyDone,
            b'f' => Message::CopyFail(reader.text()?),
            kind => {
                let reason =
                    format!("a message of the kind {:?} is not known here", char::from(kind));
                return Err(PgError::fatal("08P01", reason));
            }
        };
        reader.end()?;
        Ok(message)
    }
}

/// Reads the parts of a message's body.
pub struct Reader(Bytes);

type Result<T, E = PgError> = std::result::Result<T, E>;

impl Reader {
    pub fn new(body: Bytes) -> Reader {
        Reader(body)
    }

    /// Reads a text that ends with a zero byte.
    pub fn text(&mut self) -> Result<String> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or_else(cut)?;
        let text = self.0.split_to(end);
        self.0.advance(1);
        let text = std::str::from_utf8(&text);
        text.map(str::to_owned).map_err(|_| PgError::new("22021", "a text is not UTF-8"))
    }

    pub fn byte(&mut self) -> Result<u8> {
        self.0.try_get_u8().map_err(|_| cut())
    }

    pub fn count(&mut self) -> Result<u16> {
        self.0.try_get_u16().map_err(|_| cut())
    }

    pub fn int(&mut self) -> Result<i32> {
        self.0.try_get_i32().map_err(|_| cut())
    }

    pub fn code(&mut self) -> Result<i16> {
        Ok(self.count()?.cast_signed())
    }

    fn named(&mut self) -> Result<Named> {
        let (kind, name) = (self.byte()?, self.text()?);
        match kind {
            b'S' => Ok(Named::Statement(name)),
            b'P' => Ok(Named::Portal(name)),
            _ => Err(PgError::fatal("08P01", "expected a statement, S, or a portal, P")),
        }
    }

    /// Reads a value with its length before it; `None` is a null.
    pub fn value(&mut self) -> Result<Option<Bytes>> {
        match usize::try_from(self.int()?) {
            Err(_) => Ok(None),
            Ok(length) if length <= self.0.len() => Ok(Some(self.0.split_to(length))),
            Ok(_) => Err(cut()),
        }
    }

    /// Reads a list with its length before it.
    pub fn list<T>(&mut self, mut read: impl FnMut(&mut Reader) -> Result<T>) -> Result<Vec<T>> {
        (0..self.count()?).map(|_| read(self)).collect()
    }

    /// Returns what is left.
    pub fn rest(self) -> Bytes {
        self.0
    }

    /// Checks that nothing is left.
    pub fn end(self) -> Result<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(PgError::fatal("08P01", "a message is longer than its content"))
        }
    }
}

fn cut() -> PgError {
    PgError::fatal("08P01", "a message ends within its content")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_cut_or_too_long_is_fatal() {
        let bind = b"\0s\0\0\x01\0\x01\0\x02\0\0\0\x02hi\xff\xff\xff\xff\0\0";
        let decode = |kind, bytes: &[u8]| Message::decode(kind, Bytes::copy_from_slice(bytes));
        let Message::Bind(Bind { statement, formats, values, .. }) = decode(b'B', bind).unwrap()
        else {
            panic!()
        };
        assert_eq!((statement.as_str(), &formats[..]), ("s", &[1][..]));
        assert_eq!(values, [Some(Bytes::from_static(b"hi")), None]);
        for end in 0..bind.len() {
            assert!(decode(b'B', &bind[..end]).unwrap_err().is_fatal, "{end}");
        }
        let mut longer = bind.to_vec();
        longer.push(0);
        assert!(decode(b'B', &longer).unwrap_err().is_fatal);
        assert!(decode(b'?', b"").unwrap_err().is_fatal);
        assert!(decode(b'D', b"Xa\0").unwrap_err().is_fatal);
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error_of_the_statement() {
        let error = Message::decode(b'Q', Bytes::from_static(b"select '\xff'\0")).unwrap_err();
        assert_eq!((error.is_fatal, error.sqlstate), (false, "22021"));
    }
}
