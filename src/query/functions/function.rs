//! A scalar function defined by its types and an implementation.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

/// Maps the types of the arguments to the types they are cast to and the type of the result.
pub type Types = fn(&[DataType]) -> Result<(Vec<DataType>, DataType)>;

/// Implements equality and hashing by the field `name`, which no two functions share.
macro_rules! equal_by_name {
    ($function:ty) => {
        impl PartialEq for $function {
            fn eq(&self, other: &Self) -> bool {
                self.name == other.name
            }
        }

        impl Eq for $function {}

        impl std::hash::Hash for $function {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                self.name.hash(state);
            }
        }
    };
}

pub(super) use equal_by_name;

/// Implements the methods that say what a function is called and takes: by the fields `name`,
/// `aliases` and `signature`, or as the function in the field `inner`, which it stands for.
macro_rules! identity {
    () => {
        fn name(&self) -> &str {
            self.name
        }

        fn aliases(&self) -> &[String] {
            &self.aliases
        }

        fn signature(&self) -> &datafusion::logical_expr::Signature {
            &self.signature
        }
    };
    (inner) => {
        fn name(&self) -> &str {
            self.inner.name()
        }

        fn aliases(&self) -> &[String] {
            self.inner.aliases()
        }

        fn signature(&self) -> &datafusion::logical_expr::Signature {
            self.inner.signature()
        }
    };
}

pub(super) use identity;

/// Calls a function for all rows, or for one if its arguments are constants: its result is one,
/// too.
pub fn by_rows(
    args: &ScalarFunctionArgs,
    call: impl FnOnce(&[ColumnarValue], usize) -> Result<ArrayRef>,
) -> Result<ColumnarValue> {
    let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    let answer = call(&args.args, if is_constant { 1 } else { args.number_rows })?;
    if is_constant {
        Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&answer, 0)?))
    } else {
        Ok(ColumnarValue::Array(answer))
    }
}

/// A scalar function that returns null if one of its arguments is null.
#[derive(Debug)]
pub struct Function {
    pub name: &'static str,
    pub types: Types,
    /// Computes the given number of values.
    pub call: fn(&[ColumnarValue], usize) -> Result<ArrayRef>,
    aliases: Vec<String>,
    signature: Signature,
    documentation: Option<Documentation>,
    /// The argument in which the result is increasing, if all others are constant.
    rises_with: Option<usize>,
    /// Whether the result may be null though no argument is.
    may_be_null: bool,
}

impl Function {
    pub fn new(
        name: &'static str,
        types: Types,
        call: fn(&[ColumnarValue], usize) -> Result<ArrayRef>,
    ) -> Function {
        let signature = Signature::user_defined(Volatility::Immutable);
        Function {
            name,
            types,
            call,
            aliases: Vec::new(),
            signature,
            documentation: None,
            rises_with: None,
            may_be_null: false,
        }
    }

    pub fn or(mut self, alias: &str) -> Function {
        self.aliases.push(alias.to_string());
        self
    }

    /// Sets the documentation: a description and the syntax of a call.
    pub fn told(mut self, answers: &str, syntax: &str) -> Function {
        self.documentation = Some(documentation(answers, syntax));
        self
    }

    /// Copies the documentation of a function that this one replaces.
    pub fn in_place_of(mut self, other: &ScalarUDF) -> Function {
        self.documentation = other.documentation().cloned();
        self
    }

    pub fn rising_with(mut self, argument: usize) -> Function {
        self.rises_with = Some(argument);
        self
    }

    /// The result may be null though no argument is.
    pub fn or_null(mut self) -> Function {
        self.may_be_null = true;
        self
    }

    pub fn udf(self) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::new_from_impl(self))
    }
}

equal_by_name!(Function);

impl ScalarUDFImpl for Function {
    identity!();

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok((self.types)(types)?.0)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok((self.types)(types)?.1)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> =
            args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let is_nullable =
            self.may_be_null || args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name, self.return_type(&types)?, is_nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        by_rows(&args, self.call)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.documentation.as_ref()
    }

    fn output_ordering(&self, arguments: &[ExprProperties]) -> Result<SortProperties> {
        let Some(rises_with) = self.rises_with else { return Ok(SortProperties::Unordered) };
        let is_constant =
            |properties: &ExprProperties| properties.sort_properties == SortProperties::Singleton;
        let others = arguments.iter().enumerate().filter(|(i, _)| *i != rises_with);
        Ok(if others.map(|(_, properties)| properties).all(is_constant) {
            arguments[rises_with].sort_properties
        } else {
            SortProperties::Unordered
        })
    }
}

pub fn documentation(answers: &str, syntax: &str) -> Documentation {
    Documentation::builder(DocSection::default(), answers, syntax).build()
}

/// Returns the type that a time argument is cast to, microseconds in its own zone; `None` if a
/// value of this type is not a time.
pub fn time(of: &DataType) -> Option<DataType> {
    match of {
        DataType::Timestamp(_, zone) => {
            Some(DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))
        }
        DataType::Date32 | DataType::Date64 | DataType::Null => {
            Some(DataType::Timestamp(TimeUnit::Microsecond, None))
        }
        of if of.is_string() => Some(DataType::Timestamp(TimeUnit::Microsecond, None)),
        _ => None,
    }
}

/// Reports whether a value of this type may be read as text.
pub fn is_text(of: &DataType) -> bool {
    of.is_string() || of.is_null()
}

/// Returns a text argument that is the same for all rows.
pub fn constant_text<'a>(arg: &'a ColumnarValue, of: &str) -> Result<&'a str> {
    match arg {
        ColumnarValue::Scalar(value) => match value.try_as_str().flatten() {
            Some(text) => Ok(text),
            None => exec_err!("{of} must be a text, not null"),
        },
        ColumnarValue::Array(_) => {
            exec_err!("{of} must be the same for all rows: write it as a constant")
        }
    }
}
