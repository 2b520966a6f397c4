//! Casts implemented as functions: those that DataFusion parses differently, or from which it draws
//! wrong conclusions.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::{from_text, unordered};

/// The input of a cast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Text, cast to a time.
    Text,
    /// A time, cast so that a later time may sort before an earlier one.
    Time,
}

impl Source {
    /// Returns the kind of the cast; `None` if DataFusion's own cast is used.
    pub fn of(from: &DataType, to: &DataType) -> Option<Source> {
        if from_text::is_one(from, to) {
            Some(Source::Text)
        } else if unordered::may_reorder(from, to) {
            Some(Source::Time)
        } else {
            None
        }
    }
}

/// Casts `expr`; with `or_null`, a value that cannot be cast becomes null.
pub fn cast(source: Source, expr: Expr, to: DataType, or_null: bool) -> Expr {
    let signature = Signature::any(1, Volatility::Immutable);
    ScalarUDF::new_from_impl(Cast { source, to, or_null, signature }).call(vec![expr])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Cast {
    source: Source,
    to: DataType,
    or_null: bool,
    signature: Signature,
}

impl Cast {
    fn convert(&self, array: &ArrayRef) -> Result<ArrayRef> {
        match self.source {
            Source::Text => from_text::read(array, &self.to, self.or_null),
            Source::Time => unordered::convert(array, &self.to, self.or_null),
        }
    }
}

impl ScalarUDFImpl for Cast {
    fn name(&self) -> &str {
        match self.source {
            Source::Text => "cast_text",
            Source::Time => "cast_time",
        }
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
        Ok(match &args.args[0] {
            ColumnarValue::Array(array) => ColumnarValue::Array(self.convert(array)?),
            ColumnarValue::Scalar(value) => ColumnarValue::Scalar(ScalarValue::try_from_array(
                &self.convert(&value.to_array()?)?,
                0,
            )?),
        })
    }
}
