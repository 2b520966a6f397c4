//! The parameters of a statement, as a Bind message brings them.

use datafusion::scalar::ScalarValue;

use super::array::array;
use super::format::Format;
use super::scalar::scalar;
use super::types::{Base, arrow_type};
use crate::error::Error;

/// `unknown`: a parameter whose type is left to the server.
const UNKNOWN: u32 = 705;

/// Reads a parameter of the type with this OID; `None` is null. 0 and `unknown` are texts.
///
/// # Errors
/// [`Error::Invalid`], which begins with the name of the type.
pub fn parameter(oid: u32, format: Format, bytes: Option<&[u8]>) -> Result<ScalarValue, Error> {
    let oid = if matches!(oid, 0 | UNKNOWN) { Base::Text.oid() } else { oid };
    let Some((of, is_array)) = Base::of_oid(oid) else {
        return Err(Error::Invalid(format!(
            "parameters of the type with OID {oid} are not supported; send a text, and cast it in the statement"
        )));
    };
    let Some(bytes) = bytes else { return null(oid) };
    let (value, brackets) = match is_array {
        false => (scalar(of, format, bytes), ""),
        true => (array(of, format, bytes), "[]"),
    };
    value.map_err(|reason| Error::Invalid(format!("{}{brackets}: {reason}", of.name())))
}

fn null(oid: u32) -> Result<ScalarValue, Error> {
    match arrow_type(oid) {
        Some(of) => Ok(ScalarValue::try_from(&of)?),
        None => Ok(ScalarValue::Null),
    }
}
