//! Floating-point numbers as PostgreSQL prints them: the shortest digits that are read back as the
//! same number, with an exponent below 1e-4 and from 1e15 (float8) or 1e6 (float4).
//!
//! PostgreSQL avoids decimals that lie exactly between two numbers, since some readers round them
//! the other way: 1e23 is `9.999999999999999e+22`. Rust prints them, so they are found and printed
//! with more digits.

use std::fmt::{LowerExp, Write};
use std::str::FromStr;

use bytes::{BufMut, BytesMut};

pub fn put_float8(out: &mut BytesMut, value: f64) {
    // Only multiples of ten above 54 bits can have the digits of a midpoint.
    let may_tie = value.abs() >= 18_014_398_509_481_984.0 && value.abs() < 1e41;
    put(out, value, shortest(value.abs(), may_tie.then_some((value.abs(), 53))).as_str(), 15);
}

pub fn put_float4(out: &mut BytesMut, value: f32) {
    let wide = f64::from(value);
    let may_tie = wide.abs() >= 33_554_432.0 && wide.abs() < 1e19;
    put(out, wide, shortest(value.abs(), may_tie.then_some((wide.abs(), 24))).as_str(), 6);
}

/// Appends a number whose digits are `text`, such as `1.25e-7`; those of `fixed` or more places
/// before the point have an exponent.
fn put(out: &mut BytesMut, value: f64, text: &str, fixed: i32) {
    if value.is_nan() {
        return out.put_slice(b"NaN");
    }
    if value.is_sign_negative() {
        out.put_u8(b'-');
    }
    if value.is_infinite() {
        return out.put_slice(b"Infinity");
    }
    let (mantissa, exponent) = text.split_once('e').expect("scientific");
    let exponent: i32 = exponent.parse().expect("a number");
    if !(-4..fixed).contains(&exponent) {
        out.put_slice(mantissa.as_bytes());
        out.put_slice(if exponent < 0 { b"e-" } else { b"e+" });
        let exponent = exponent.unsigned_abs();
        if exponent < 10 {
            out.put_u8(b'0');
        }
        return write!(out, "{exponent}").expect("memory grows");
    }
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if exponent < 0 {
        out.put_slice(b"0.");
        out.put_bytes(b'0', exponent.unsigned_abs() as usize - 1);
        out.put_slice(whole.as_bytes());
        return out.put_slice(fraction.as_bytes());
    }
    let moved = fraction.len().min(exponent as usize);
    out.put_slice(whole.as_bytes());
    out.put_slice(&fraction.as_bytes()[..moved]);
    out.put_bytes(b'0', exponent as usize - moved);
    if moved < fraction.len() {
        out.put_u8(b'.');
        out.put_slice(&fraction.as_bytes()[moved..]);
    }
}

/// Returns the shortest digits of a positive number. `tie` has the number and the bits of its
/// mantissa if its shortest digits may be those of a midpoint.
fn shortest<F>(value: F, tie: Option<(f64, i32)>) -> Text
where
    F: LowerExp + FromStr + PartialEq + Copy,
{
    let text = Text::of(format_args!("{value:e}"));
    let is_tie = |text: &Text| tie.is_some_and(|(of, bits)| is_midpoint(text.as_str(), of, bits));
    if !is_tie(&text) {
        return text;
    }
    let longer = (0..=16).map(|digits| Text::of(format_args!("{value:.digits$e}")));
    let is_same = |text: &Text| text.as_str().parse().is_ok_and(|read: F| read == value);
    longer.into_iter().find(|text| is_same(text) && !is_tie(text)).unwrap_or(text)
}

/// Reports whether digits such as `1e23` are exactly halfway between `value` and a neighbour, of
/// numbers with `bits` of mantissa. Both are integers of more than `bits` + 1 bits.
fn is_midpoint(text: &str, value: f64, bits: i32) -> bool {
    let (mantissa, exponent) = text.split_once('e').expect("scientific");
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.parse().unwrap_or(0) - fraction.len() as i32;
    let digits = format!("{whole}{fraction}").parse::<u128>();
    // A midpoint has one bit more than a number; more fives would be more bits.
    let (Ok(digits), 0..=23) = (digits, exponent) else { return false };
    let (mantissa, shift) =
        (value.to_bits() & ((1 << 52) - 1) | (1 << 52), (value.to_bits() >> 52) as i32 - 1075);
    // Quarters of the distance between two numbers, in units of 2^scale, are whole.
    let quarter = shift + 53 - bits - 2;
    let scale = quarter.min(exponent).min(shift);
    let printed = (digits * 5u128.pow(exponent as u32)).checked_shl((exponent - scale) as u32);
    let exact = u128::from(mantissa).checked_shl((shift - scale) as u32);
    let (Some(printed), Some(exact)) = (printed, exact) else { return false };
    let distance = printed.abs_diff(exact);
    let is_power = mantissa == 1 << 52;
    let half = 2u128 << (quarter - scale);
    distance == half || (is_power && printed < exact && distance == half / 2)
}

/// A short text on the stack.
struct Text {
    bytes: [u8; 40],
    length: usize,
}

impl Text {
    fn of(arguments: std::fmt::Arguments) -> Text {
        let mut text = Text { bytes: [0; 40], length: 0 };
        text.write_fmt(arguments).expect("at most 17 digits and an exponent");
        text
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).expect("ASCII")
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.length + text.len();
        let free = self.bytes.get_mut(self.length..end).ok_or(std::fmt::Error)?;
        free.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}
