//! Casts of texts in columns to times and dates, which are read as constants are: DataFusion's own reader knows fewer spellings.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Date32Array, StringArray, TimestampMicrosecondArray};
use arrow::compute::cast as cast_array;
use arrow::datatypes::{DataType, Date32Type, Field, FieldRef, TimeUnit};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::text;

/// Whether this is a cast that is ours.
pub fn is_one(from: &DataType, to: &DataType) -> bool {
    from.is_string() && matches!(to, DataType::Timestamp(TimeUnit::Microsecond, _) | DataType::Date32)
}

/// The cast of a text, `or_null` where what is no time is null.
pub fn cast(expr: Expr, to: DataType, or_null: bool) -> Expr {
    let signature = Signature::any(1, Volatility::Immutable);
    ScalarUDF::new_from_impl(TextCast { to, or_null, signature }).call(vec![expr])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TextCast {
    to: DataType,
    or_null: bool,
    signature: Signature,
}

impl TextCast {
    fn read(&self, texts: &StringArray) -> Result<ArrayRef> {
        Ok(match &self.to {
            DataType::Timestamp(_, zone) => {
                let times = self.each(texts, |written| text::parse_time(written, zone.as_deref()))?;
                Arc::new(TimestampMicrosecondArray::from(times).with_timezone_opt(zone.clone()))
            }
            DataType::Date32 => {
                let day = |written: &str| text::parse_date(written).map(Date32Type::from_naive_date);
                Arc::new(Date32Array::from(self.each(texts, day)?))
            }
            other => return internal_err!("a text is not read as {other}"),
        })
    }

    fn each<T>(&self, texts: &StringArray, read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<Option<T>>> {
        let one = |written: Option<&str>| match written.map(&read) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(_)) if self.or_null => Ok(None),
            Some(Err(reason)) => Err(exec_datafusion_err!("{reason}")),
        };
        texts.iter().map(one).collect()
    }
}

impl ScalarUDFImpl for TextCast {
    fn name(&self) -> &str {
        "cast_text"
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
        let read = |array: &ArrayRef| self.read(cast_array(array, &DataType::Utf8)?.as_string::<i32>());
        Ok(match &args.args[0] {
            ColumnarValue::Array(array) => ColumnarValue::Array(read(array)?),
            ColumnarValue::Scalar(value) => {
                ColumnarValue::Scalar(ScalarValue::try_from_array(&read(&value.to_array()?)?, 0)?)
            }
        })
    }
}
