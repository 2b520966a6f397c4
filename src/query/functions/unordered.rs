//! Casts of times that do not keep their order. DataFusion takes every cast between temporal types for one that does, so that
//! `ORDER BY CAST(timestamp AS TIME)` over sorted rows is not sorted.

use std::sync::Arc;

use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// Whether the cast of a time may bring a later one before an earlier: the time of day begins anew, and clocks are put back.
pub fn may_reorder(from: &DataType, to: &DataType) -> bool {
    let is_utc = |zone: &Arc<str>| ["UTC", "+00:00"].contains(&&**zone);
    match (from, to) {
        (DataType::Timestamp(..) | DataType::Date64, DataType::Time32(_) | DataType::Time64(_)) => true,
        (DataType::Timestamp(_, Some(zone)), DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64) => {
            !is_utc(zone)
        }
        (DataType::Timestamp(_, None), DataType::Timestamp(_, Some(zone))) => !is_utc(zone),
        _ => false,
    }
}

pub fn cast(expr: Expr, to: DataType, or_null: bool) -> Expr {
    let signature = Signature::any(1, Volatility::Immutable);
    ScalarUDF::new_from_impl(UnorderedCast { to, or_null, signature }).call(vec![expr])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct UnorderedCast {
    to: DataType,
    /// Whether what cannot be cast is null.
    or_null: bool,
    signature: Signature,
}

impl ScalarUDFImpl for UnorderedCast {
    fn name(&self) -> &str {
        "cast_time"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let is_nullable = self.or_null || args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.to.clone(), is_nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let options = CastOptions { safe: self.or_null, ..CastOptions::default() };
        Ok(match &args.args[0] {
            ColumnarValue::Array(array) => ColumnarValue::Array(cast_with_options(array, &self.to, &options)?),
            ColumnarValue::Scalar(value) => {
                let cast = cast_with_options(&value.to_array()?, &self.to, &options)?;
                ColumnarValue::Scalar(ScalarValue::try_from_array(&cast, 0)?)
            }
        })
    }
}
