//! Functions that make long strings of short ones, bounded.
//!
//! `repeat('a', 2000000000)` takes gigabytes that no memory pool counts, in one call that no clock stops. What `repeat`,
//! `lpad`, `rpad`, `replace` and `regexp_replace` would answer is therefore estimated before they run. What grows with the
//! length of its arguments alone (`concat`, `upper`) is left as it is.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::compute::kernels::length::length;
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::{Result, exec_err};
use datafusion::functions::{regex, string, unicode};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// Bytes of one string.
const STRING_BYTES: u64 = 1 << 20;

/// Bytes of the strings of one batch.
const BATCH_BYTES: u64 = 128 << 20;

/// The functions, to be registered in the place of DataFusion's.
pub fn functions() -> [Arc<ScalarUDF>; 5] {
    let functions = [
        (string::repeat(), Growth::Times),
        (unicode::lpad(), Growth::Padded),
        (unicode::rpad(), Growth::Padded),
        (string::replace(), Growth::Replaced),
        (regex::regexp_replace(), Growth::ReplacedAnywhere),
    ];
    functions.map(|(inner, growth)| Arc::new(ScalarUDF::new_from_impl(Bounded { inner, growth })))
}

/// How long a result may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Growth {
    /// The first argument as often as the second says.
    Times,
    /// As many characters as the second argument says.
    Padded,
    /// The third argument wherever the second stood in the first.
    Replaced,
    /// The third argument between all bytes of the first.
    ReplacedAnywhere,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    growth: Growth,
}

impl Growth {
    /// The most bytes that the results of a batch can have, one after the other.
    fn estimate(self, args: &[ColumnarValue], rows: usize) -> Result<Vec<u64>> {
        let int64 = |array: &ArrayRef| -> Result<Vec<u64>> {
            let array = cast(array, &DataType::Int64)?;
            Ok(array.as_primitive::<Int64Type>().iter().map(|n| n.unwrap_or(0).max(0) as u64).collect())
        };
        let number = |i: usize| int64(&args[i].to_array(rows)?);
        let text_len = |i: usize| int64(&length(&cast(&args[i].to_array(rows)?, &DataType::Utf8View)?)?);
        let texts = text_len(0)?.into_iter();
        Ok(match self {
            Growth::Times => texts.zip(number(1)?).map(|(text, times)| text.saturating_mul(times)).collect(),
            Growth::Padded => texts.zip(number(1)?).map(|(_, characters)| characters).collect(),
            Growth::Replaced => {
                let places = texts.zip(text_len(1)?).map(|(text, from)| (text, text / from.max(1)));
                places.zip(text_len(2)?).map(|((text, places), to)| text + places.saturating_mul(to)).collect()
            }
            Growth::ReplacedAnywhere => texts.zip(text_len(2)?).map(|(text, to)| (text + 1) * (to + 1)).collect(),
        })
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        // Where all are constants, one row is computed.
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let bytes = self.growth.estimate(&args.args, if is_constant { 1 } else { args.number_rows })?;
        let (longest, all) =
            bytes.iter().fold((0, 0_u64), |(longest, all), n| (*n.max(&longest), all.saturating_add(*n)));
        if longest > STRING_BYTES || all > BATCH_BYTES {
            return exec_err!(
                "{} would make a string of {longest} bytes, or of {all} bytes over a batch of rows; up to {STRING_BYTES} \
                 and {BATCH_BYTES} are made",
                self.name()
            );
        }
        self.inner.invoke_with_args(args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}
