//! Integers and decimals as PostgreSQL writes them.
//!
//! The binary form of numeric: four i16 (number of digits, weight of the first, sign: 0 or 0x4000,
//! digits after the point that are shown), then digits of base 10000, i16 each, without zeros at
//! either end. A digit of weight w counts 10000^w.

use arrow::datatypes::i256;
use bytes::{BufMut, BytesMut};

/// Sign of a negative numeric.
pub const NEGATIVE: u16 = 0x4000;

/// The digits of a number in ASCII, without leading zeros.
pub struct Digits {
    bytes: [u8; 80],
    start: usize,
}

impl Digits {
    pub fn of(mut n: u128) -> Digits {
        const CHUNK: u128 = 10_000_000_000_000_000_000;
        let mut digits = Digits { bytes: [b'0'; 80], start: 80 };
        while n >= CHUNK {
            let end = digits.start - 19;
            digits.push((n % CHUNK) as u64);
            digits.start = end;
            n /= CHUNK;
        }
        digits.push(n as u64);
        digits
    }

    /// The digits of a number without its sign.
    pub fn of_i256(n: i256) -> Digits {
        if let Some(n) = n.to_i128() {
            return Digits::of(n.unsigned_abs());
        }
        let text = n.to_string();
        let text = text.trim_start_matches('-').as_bytes();
        let mut digits = Digits { bytes: [b'0'; 80], start: 80 - text.len() };
        digits.bytes[digits.start..].copy_from_slice(text);
        digits
    }

    fn push(&mut self, mut n: u64) {
        loop {
            self.start -= 1;
            self.bytes[self.start] = b'0' + (n % 10) as u8;
            n /= 10;
            if n == 0 {
                return;
            }
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

pub fn put_integer(out: &mut BytesMut, n: i64) {
    if n < 0 {
        out.put_u8(b'-');
    }
    out.put_slice(Digits::of(n.unsigned_abs().into()).as_bytes());
}

/// A decimal: sign, unscaled digits, and how many of them are after the point.
pub struct Decimal {
    pub is_negative: bool,
    pub digits: Digits,
    pub scale: i8,
}

impl Decimal {
    fn is_zero(&self) -> bool {
        self.digits.as_bytes() == b"0"
    }

    pub fn put_text(&self, out: &mut BytesMut) {
        let digits = self.digits.as_bytes();
        if self.is_negative {
            out.put_u8(b'-');
        }
        match usize::try_from(self.scale) {
            Ok(0) => out.put_slice(digits),
            Ok(scale) if digits.len() > scale => {
                let (whole, fraction) = digits.split_at(digits.len() - scale);
                out.put_slice(whole);
                out.put_u8(b'.');
                out.put_slice(fraction);
            }
            Ok(scale) => {
                out.put_slice(b"0.");
                out.put_bytes(b'0', scale - digits.len());
                out.put_slice(digits);
            }
            Err(_) => {
                out.put_slice(digits);
                if !self.is_zero() {
                    out.put_bytes(b'0', self.scale.unsigned_abs().into());
                }
            }
        }
    }

    pub fn put_binary(&self, out: &mut BytesMut) {
        let shown = u16::try_from(self.scale).unwrap_or(0);
        if self.is_zero() {
            for part in [0, 0, 0, shown] {
                out.put_u16(part);
            }
            return;
        }
        let digits = self.digits.as_bytes();
        let first = digits.len() as i16 - 1 - i16::from(self.scale);
        let weight = first.div_euclid(4);
        let count = out.len();
        out.put_u16(0);
        out.put_i16(weight);
        out.put_u16(if self.is_negative { NEGATIVE } else { 0 });
        out.put_u16(shown);
        let significant = digits.len() - digits.iter().rev().take_while(|d| **d == b'0').count();
        let (mut group, mut missing, mut groups) = (0, first.rem_euclid(4) + 1, 0u16);
        for digit in &digits[..significant] {
            group = group * 10 + u16::from(digit - b'0');
            missing -= 1;
            if missing == 0 {
                out.put_u16(group);
                (group, missing, groups) = (0, 4, groups + 1);
            }
        }
        if group > 0 {
            out.put_u16(group * 10u16.pow(missing as u32));
            groups += 1;
        }
        out[count..count + 2].copy_from_slice(&groups.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_any_width() {
        let text = |n| String::from_utf8(Digits::of(n).as_bytes().to_vec()).unwrap();
        for n in [0, 7, 10_000_000_000_000_000_000, 10_000_000_000_000_000_007, u128::MAX] {
            assert_eq!(text(n), n.to_string());
        }
        let widest = Digits::of_i256(i256::MIN);
        assert_eq!(widest.as_bytes(), &i256::MIN.to_string().as_bytes()[1..]);
    }
}
