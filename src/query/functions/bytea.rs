//! Parsing of bytes from text, in both formats of PostgreSQL's bytea.

/// Parses `\x` and two digits for each byte, or bytes with escapes: `\\`, and `\ooo` in octal.
///
/// # Errors
/// Says what is wrong.
pub fn parse(text: &str) -> Result<Vec<u8>, String> {
    if let Some(hex) = text.strip_prefix("\\x") {
        let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
        let byte = |pair: &[u8]| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        };
        let bytes = digits.chunks(2).map(byte).collect::<Option<Vec<u8>>>();
        return bytes.ok_or_else(|| "\\x needs two hexadecimal digits for each byte".into());
    }
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    loop {
        rest = match rest {
            [] => return Ok(bytes),
            [b'\\', b'\\', rest @ ..] => {
                bytes.push(b'\\');
                rest
            }
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..] => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest
            }
            [b'\\', ..] => {
                return Err("a backslash needs another one, or three octal digits".into());
            }
            [byte, rest @ ..] => {
                bytes.push(*byte);
                rest
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_in_both_formats() {
        assert_eq!(parse(r"\x00 fF").unwrap(), [0, 255]);
        assert_eq!(parse(r"a\000\\b").unwrap(), b"a\0\\b");
        assert_eq!(parse("").unwrap(), b"");
        for wrong in [r"\x0", r"\xg0", r"a\", r"\400", r"\x0ü"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
