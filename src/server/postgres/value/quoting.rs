//! Text of arrays: `{1,2,NULL,"a b"}`, and `{{1,2},{3,4}}` for more dimensions.
//!
//! An element is quoted if it is empty, is the word NULL, or has white space, a comma, a quote, a
//! backslash or a brace in it; quotes and backslashes have a backslash before them.

use bytes::{BufMut, BytesMut};

/// Quotes the element that begins at `start`, if it must be.
pub fn quote_element(out: &mut BytesMut, start: usize) {
    let element = &out[start..];
    let is_special = |byte: &u8| is_space(*byte) || b"{},\"\\".contains(byte);
    let is_plain = !element.is_empty()
        && !element.eq_ignore_ascii_case(b"null")
        && !element.iter().any(is_special);
    if is_plain {
        return;
    }
    let element = out.split_off(start);
    out.reserve(element.len() + 2);
    out.put_u8(b'"');
    for byte in element {
        if matches!(byte, b'"' | b'\\') {
            out.put_u8(b'\\');
        }
        out.put_u8(byte);
    }
    out.put_u8(b'"');
}

/// White space of arrays, as in C.
pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Splits the text of an array of one dimension into its elements, `None` for NULL.
///
/// # Errors
/// Says what is wrong, for a text that is no such array.
pub fn elements(text: &str) -> Result<Vec<Option<String>>, String> {
    let inner = text.trim_matches(|c: char| c.is_ascii() && is_space(c as u8));
    if inner.starts_with('[') {
        return Err("bounds such as [1:3]= are not supported; leave them out".into());
    }
    let inner = inner
        .strip_prefix('{')
        .ok_or_else(|| format!("'{text}' is no array: it is written as {{1,2,NULL}}"))?;
    let mut rest = Elements { text: inner };
    let mut elements = Vec::new();
    rest.skip_space();
    if rest.take('}') {
        return rest.end(elements);
    }
    loop {
        elements.push(rest.element()?);
        rest.skip_space();
        if rest.take('}') {
            return rest.end(elements);
        }
        if !rest.take(',') {
            return Err("an array needs a comma after each element, and a brace at its end".into());
        }
    }
}

struct Elements<'a> {
    text: &'a str,
}

impl Elements<'_> {
    fn take(&mut self, expected: char) -> bool {
        match self.text.strip_prefix(expected) {
            Some(rest) => {
                self.text = rest;
                true
            }
            None => false,
        }
    }

    fn skip_space(&mut self) {
        self.text = self.text.trim_start_matches(|c: char| c.is_ascii() && is_space(c as u8));
    }

    fn end(mut self, elements: Vec<Option<String>>) -> Result<Vec<Option<String>>, String> {
        self.skip_space();
        if self.text.is_empty() {
            Ok(elements)
        } else {
            Err(format!("'{}' is left after the end of the array", self.text))
        }
    }

    fn element(&mut self) -> Result<Option<String>, String> {
        self.skip_space();
        if self.text.starts_with('{') {
            return Err("an array in a parameter has one dimension".into());
        }
        if self.take('"') {
            return self.quoted().map(Some);
        }
        let mut element = String::new();
        // Where the element ends without the spaces after it; an escaped space is kept.
        let mut end = 0;
        let mut has_escape = false;
        let mut chars = self.text.char_indices();
        let left = loop {
            match chars.next() {
                None => return Err("an array needs a brace at its end".into()),
                Some((at, ',' | '}')) => break at,
                Some((_, '{' | '"')) => {
                    return Err("a brace or a quote in an element needs quotes around it".into());
                }
                Some((_, '\\')) => {
                    let (_, escaped) = chars.next().ok_or("a backslash ends the array")?;
                    element.push(escaped);
                    (end, has_escape) = (element.len(), true);
                }
                Some((_, c)) => {
                    element.push(c);
                    if !(c.is_ascii() && is_space(c as u8)) {
                        end = element.len();
                    }
                }
            }
        };
        self.text = &self.text[left..];
        element.truncate(end);
        if element.is_empty() {
            return Err("an empty element is written as \"\"".into());
        }
        let is_null = !has_escape && element.eq_ignore_ascii_case("null");
        Ok((!is_null).then_some(element))
    }

    fn quoted(&mut self) -> Result<String, String> {
        let mut element = String::new();
        let mut chars = self.text.char_indices();
        loop {
            match chars.next() {
                None => return Err("a quote of an array has no end".into()),
                Some((at, '"')) => {
                    self.text = &self.text[at + 1..];
                    return Ok(element);
                }
                Some((_, '\\')) => {
                    element.push(chars.next().ok_or("a backslash ends the array")?.1)
                }
                Some((_, c)) => element.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_split_as_postgresql_splits_them() {
        let of = |text: &str| elements(text);
        let some = |texts: &[&str]| Ok(texts.iter().map(|text| Some(text.to_string())).collect());
        assert_eq!(of("{}"), Ok(vec![]));
        assert_eq!(of(" { 1 , 2 } "), some(&["1", "2"]));
        assert_eq!(of("{a b,\"\",\"null\",\\null}"), some(&["a b", "", "null", "null"]));
        assert_eq!(of("{\"a\\\"b\",a\\ }"), some(&["a\"b", "a "]));
        assert_eq!(of("{NULL,null}"), Ok(vec![None, None]));
        for wrong in ["", "{", "{1", "{1,}", "{,1}", "{1}x", "{{1}}", "{\"a", "{a\"b\"}", "{\\"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
