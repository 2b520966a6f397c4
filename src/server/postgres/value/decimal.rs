//! Numeric parameters: decimals with just the digits that were sent, up to 76.

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, i256};
use datafusion::scalar::ScalarValue;

use super::numeric::NEGATIVE;

const MAX_DIGITS: usize = DECIMAL256_MAX_PRECISION as usize;

/// Exponents beyond it have more digits than any decimal.
const MAX_EXPONENT: i64 = 1_000;

/// Parses digits with a sign, a point and an exponent.
///
/// # Errors
/// Says what is wrong; NaN and the infinities are no decimals.
pub fn of_text(text: &str) -> Result<ScalarValue, String> {
    let wrong = || format!("'{text}' is no number");
    let trimmed = text.trim();
    let unsigned = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    if ["nan", "inf", "infinity"].contains(&unsigned.to_ascii_lowercase().as_str()) {
        return Err(not_finite());
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse().map_err(|_| wrong())?),
        None => (unsigned, 0i64),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    if exponent.abs() > MAX_EXPONENT {
        return Err(too_long());
    }
    decimal(trimmed.starts_with('-'), digits, fraction.len() as i64 - exponent)
}

/// Reads the binary form; see [`super::numeric`].
pub fn of_binary(bytes: &[u8]) -> Result<ScalarValue, String> {
    let parts: Vec<u16> =
        bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    let [count, weight, sign, shown, groups @ ..] = &parts[..] else {
        return Err("it has less than 8 bytes".into());
    };
    let (weight, shown) = (i64::from(*weight as i16), i64::from(*shown));
    if groups.len() != usize::from(*count) || !bytes.len().is_multiple_of(2) {
        return Err(format!("there are {} bytes for {count} digits", bytes.len()));
    }
    match *sign {
        0 | NEGATIVE => {}
        0xC000 | 0xD000 | 0xF000 => return Err(not_finite()),
        other => return Err(format!("{other:#06x} is no sign")),
    }
    if let Some(digit) = groups.iter().find(|digit| **digit > 9_999) {
        return Err(format!("{digit} is no digit of base 10000"));
    }
    let digits: String = groups.iter().map(|group| format!("{group:04}")).collect();
    let scale = 4 * (groups.len() as i64 - 1 - weight);
    let is_negative = *sign == NEGATIVE;
    match shown - scale {
        0 => decimal(is_negative, digits, scale),
        more @ 1..=MAX_EXPONENT => decimal(is_negative, digits + &"0".repeat(more as usize), shown),
        // Digits that are not shown are cut off, as in PostgreSQL.
        less @ ..0 if -less <= digits.len() as i64 => {
            decimal(is_negative, digits[..digits.len() - (-less) as usize].into(), shown)
        }
        ..0 => decimal(false, String::new(), shown),
        _ if groups.is_empty() => decimal(false, String::new(), shown),
        _ => Err(too_long()),
    }
}

/// Makes a decimal of unscaled digits, of which `scale` are after the point.
fn decimal(is_negative: bool, digits: String, scale: i64) -> Result<ScalarValue, String> {
    let mut digits = digits.trim_start_matches('0').to_string();
    let zeros = if scale < 0 && !digits.is_empty() { scale.unsigned_abs() as usize } else { 0 };
    let scale = usize::try_from(scale).unwrap_or(0);
    let precision = (digits.len() + zeros).max(scale).max(1);
    if precision > MAX_DIGITS {
        return Err(too_long());
    }
    digits.extend(std::iter::repeat_n('0', zeros));
    if digits.is_empty() {
        digits.push('0');
    }
    if is_negative {
        digits.insert(0, '-');
    }
    let (wide, scale) = (precision > DECIMAL128_MAX_PRECISION.into(), scale as i8);
    let precision = precision as u8;
    Ok(if wide {
        let value = i256::from_string(&digits).ok_or_else(too_long)?;
        ScalarValue::Decimal256(Some(value), precision, scale)
    } else {
        let value = digits.parse().map_err(|_| too_long())?;
        ScalarValue::Decimal128(Some(value), precision, scale)
    })
}

fn not_finite() -> String {
    "NaN and the infinities are no decimals; send a float8".into()
}

fn too_long() -> String {
    format!("it has more than {MAX_DIGITS} digits; send a float8")
}

/// Returns a type that has the digits of both types before the point and after it. Types that are
/// no decimals are the same.
pub fn wider(a: DataType, b: DataType) -> DataType {
    let parts = |of: &DataType| match of {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            Some((i16::from(*precision) - i16::from(*scale), *scale))
        }
        _ => None,
    };
    let (Some((whole, scale)), Some((other, other_scale))) = (parts(&a), parts(&b)) else {
        return a;
    };
    let scale = scale.max(other_scale);
    let precision = (whole.max(other) + i16::from(scale)).min(MAX_DIGITS as i16) as u8;
    if precision <= DECIMAL128_MAX_PRECISION {
        DataType::Decimal128(precision, scale)
    } else {
        DataType::Decimal256(precision, scale)
    }
}
