//! Array parameters: of one dimension, or empty.

use datafusion::scalar::ScalarValue;

use super::format::Format;
use super::quoting;
use super::scalar::{scalar, text};
use super::types::Base;

/// Reads an array whose elements are of the type `of`.
///
/// # Errors
/// Says what is wrong, without the name of the type.
pub fn array(of: Base, format: Format, bytes: &[u8]) -> Result<ScalarValue, String> {
    let elements = match format {
        Format::Text => of_text(of, text(bytes)?)?,
        Format::Binary => of_binary(of, bytes)?,
    };
    list(of, elements)
}

/// Makes a list; `None` stands for null.
fn list(of: Base, elements: Vec<Option<ScalarValue>>) -> Result<ScalarValue, String> {
    // Decimals bring precisions and scales of their own, and a list has one.
    let types = elements.iter().flatten().map(ScalarValue::data_type);
    let element_type = types.reduce(super::decimal::wider).unwrap_or_else(|| of.arrow_type());
    let null = ScalarValue::try_from(&element_type).map_err(|error| error.to_string())?;
    let element = |value: Option<ScalarValue>| match value {
        Some(value) if value.data_type() != element_type => {
            value.cast_to(&element_type).map_err(|error| error.to_string())
        }
        Some(value) => Ok(value),
        None => Ok(null.clone()),
    };
    let elements = elements.into_iter().map(element).collect::<Result<Vec<_>, _>>()?;
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(&elements, &element_type)))
}

fn of_text(of: Base, text: &str) -> Result<Vec<Option<ScalarValue>>, String> {
    let element = |text: Option<String>| {
        text.map(|text| scalar(of, Format::Text, text.as_bytes())).transpose()
    };
    quoting::elements(text)?.into_iter().map(element).collect()
}

fn of_binary(of: Base, bytes: &[u8]) -> Result<Vec<Option<ScalarValue>>, String> {
    let mut rest = Bytes(bytes);
    let (dimensions, _has_nulls, oid) = (rest.i32()?, rest.i32()?, rest.i32()? as u32);
    if oid != of.oid() {
        return Err(format!("its elements have the type {oid} instead of {}", of.oid()));
    }
    let count = match dimensions {
        0 => 0,
        1 => {
            let (count, _lower_bound) = (rest.i32()?, rest.i32()?);
            count
        }
        _ => return Err("an array in a parameter has one dimension".into()),
    };
    let mut elements = Vec::new();
    for _ in 0..count {
        let length = rest.i32()?;
        elements.push(match usize::try_from(length) {
            Ok(length) => Some(scalar(of, Format::Binary, rest.take(length)?)?),
            Err(_) if length == -1 => None,
            Err(_) => return Err(format!("{length} is no length of an element")),
        });
    }
    match rest.0.len() {
        0 => Ok(elements),
        left => Err(format!("{left} bytes are left after its elements")),
    }
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("the array ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn i32(&mut self) -> Result<i32, String> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into().expect("four bytes")))
    }
}
