//! Floating-point numbers as PostgreSQL prints them: the shortest digits that are read back as the
//! same number, with an exponent below 1e-4 and from 1e15 (float8) or 1e6 (float4).
//!
//! Rust's shortest digits are others in two cases, which only numbers with few digits after the
//! binary point are in. PostgreSQL avoids digits that are exactly halfway to another number, since
//! some readers round them to that: 1e23 is `9.999999999999999e+22`. And of two shortest texts that
//! are equally near it takes the one with an even last digit: 2^-25 is `2.9802322387695312e-08`.

use std::fmt::{LowerExp, Write};
use std::str::FromStr;

use bytes::{BufMut, BytesMut};

pub fn put_float8(out: &mut BytesMut, value: f64) {
    put(out, value, shortest(value.abs(), value.abs(), 53).as_str(), 15);
}

pub fn put_float4(out: &mut BytesMut, value: f32) {
    let wide = f64::from(value);
    put(out, wide, shortest(value.abs(), wide.abs(), 24).as_str(), 6);
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

/// Returns the shortest digits of a positive number of `bits` of mantissa; `wide` is the same
/// number.
fn shortest<F>(value: F, wide: f64, bits: i32) -> Text
where
    F: LowerExp + FromStr + PartialEq + Copy,
{
    let text = Text::of(format_args!("{value:e}"));
    // Both cases need more digits than a decimal of so many bits has for sure, a number of less
    // than 41 digits, and not more than 25 binary digits after the point.
    let (least, length) = if bits == 53 { (1e15, 16) } else { (1e7, 7) };
    let is_long = wide >= least || text.length > length;
    if !is_long || wide >= 1e41 || (wide * 33_554_432.0).fract() != 0.0 {
        return text;
    }
    let is_same = |text: &Text| text.as_str().parse().is_ok_and(|read: F| read == value);
    let is_good = |text: &Text| is_same(text) && !is_midpoint(text.as_str(), wide, bits);
    let even = half_even(&text, value);
    if even.as_ref().is_some_and(is_good) {
        return even.unwrap_or(text);
    }
    if is_good(&text) {
        return text;
    }
    let mut longer = (0..=16).map(|digits| Text::of(format_args!("{value:.digits$e}")));
    longer.find(is_good).unwrap_or(text)
}

/// Returns the digits before the last one, if the number is halfway to them and they are even.
fn half_even<F: LowerExp>(text: &Text, value: F) -> Option<Text> {
    let exact = Text::of(format_args!("{value:.66e}"));
    let (mantissa, exponent) = text.as_str().split_once('e')?;
    let (prefix, rest) = exact.as_str().split_at_checked(mantissa.len())?;
    let rest = rest.split('e').next()?.trim_start_matches('.');
    let is_half = rest.strip_prefix('5')?.bytes().all(|digit| digit == b'0');
    let is_even = matches!(prefix.as_bytes().last()?, b'0' | b'2' | b'4' | b'6' | b'8');
    (is_half && is_even).then(|| Text::of(format_args!("{prefix}e{exponent}")))
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
    bytes: [u8; 80],
    length: usize,
}

impl Text {
    fn of(arguments: std::fmt::Arguments) -> Text {
        let mut text = Text { bytes: [0; 80], length: 0 };
        text.write_fmt(arguments).expect("at most 67 digits, a point and an exponent");
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
