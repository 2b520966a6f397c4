//! The functions as DataFusion calls them.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray, Int32Array, StructArray, new_empty_array};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::scalar::ScalarValue;

use super::super::facts::Facts;
use super::super::types;
use super::super::values::{Value, array, arrow_type, field};
use super::definition::Function;
use super::procedures;
use crate::query::schema::POSTGRES_OID;

/// Names of the functions whose arguments may be of any type.
const OF_ANY: [&str; 3] = [OR_EMPTY, PG_TYPEOF, EXPANDED];
/// The elements of an array, each with its number: rows of `x` and `n`.
const EXPANDED: &str = "pg_expandarray";
/// An array, or an empty one in the place of null.
const OR_EMPTY: &str = "array_or_empty";
const PG_TYPEOF: &str = "pg_typeof";
/// The one function whose answer is not null where its first argument is.
const QUOTE_NULLABLE: &str = "quote_nullable";

/// Returns the names of all functions.
pub fn names() -> impl Iterator<Item = &'static str> {
    procedures::all().map(|function| function.name).chain(OF_ANY)
}

/// Returns all functions, over the facts of a statement.
pub fn all(facts: &Arc<Facts>) -> impl Iterator<Item = Arc<ScalarUDF>> {
    let of_facts = procedures::all()
        .map(|function| Arc::new(ScalarUDF::new_from_impl(Udf::new(function, facts))));
    let of_any = OF_ANY.map(|name| {
        let signature = Signature::any(1, Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(OfAny { name, signature }))
    });
    of_facts.chain(of_any)
}

/// A function with the facts of its statement.
struct Udf {
    function: &'static Function,
    facts: Arc<Facts>,
    signature: Signature,
}

impl Udf {
    fn new(function: &'static Function, facts: &Arc<Facts>) -> Udf {
        let volatility = if function.name.starts_with("txid") {
            Volatility::Volatile
        } else {
            Volatility::Stable
        };
        Udf { function, facts: facts.clone(), signature: Signature::user_defined(volatility) }
    }
}

impl fmt::Debug for Udf {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.function.name)
    }
}

impl PartialEq for Udf {
    fn eq(&self, other: &Udf) -> bool {
        self.function.name == other.function.name
    }
}

impl Eq for Udf {}

impl Hash for Udf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl ScalarUDFImpl for Udf {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let most = self.function.takes.split_whitespace().count();
        if (most - self.function.optional..=most).contains(&types.len()) {
            Ok(types.to_vec())
        } else {
            let takes = self.function.takes.split_whitespace().collect::<Vec<_>>().join(", ");
            plan_err!("{} is called as {}({takes})", self.function.name, self.function.name)
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(arrow_type(self.function.returns))
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(field(self.function.name, self.function.returns, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let value = |row: usize| {
            let at = |array: &arrow::array::ArrayRef| {
                Value::of_scalar(&ScalarValue::try_from_array(array, row)?)
            };
            let values = arrays.iter().map(at).collect::<Result<Vec<_>>>()?;
            match values.first() {
                Some(Value::Null) if self.function.name != QUOTE_NULLABLE => Ok(Value::Null),
                _ => (self.function.call)(&self.facts, &values),
            }
        };
        let values = (0..rows).map(value).collect::<Result<Vec<_>>>()?;
        let answer = array(&values, args.return_field.data_type())?;
        if is_constant {
            Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&answer, 0)?))
        } else {
            Ok(ColumnarValue::Array(answer))
        }
    }
}

/// A function whose argument may be of any type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct OfAny {
    name: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for OfAny {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match (self.name, types) {
            (PG_TYPEOF, _) => Ok(DataType::Utf8),
            (EXPANDED, [DataType::List(item)]) => Ok(expanded(item.data_type())),
            (EXPANDED, [DataType::Null]) => Ok(expanded(&DataType::Int16)),
            (OR_EMPTY, [list @ DataType::List(_)]) => Ok(list.clone()),
            (OR_EMPTY, [DataType::Null]) => {
                Ok(DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))))
            }
            (_, types) => plan_err!("{} takes an array, not {types:?}", self.name),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if self.name == PG_TYPEOF {
            let field = &args.arg_fields[0];
            let told = field.metadata().get(POSTGRES_OID).and_then(|oid| oid.parse().ok());
            let of = told.and_then(types::by_oid);
            let of = of.or_else(|| types::by_name(types::of_arrow(field.data_type())));
            let name = types::formatted(of.map_or(0, |of| of.oid), None);
            return Ok(ColumnarValue::Scalar(ScalarValue::from(name)));
        }
        let DataType::List(item) = args.return_field.data_type() else {
            return exec_err!("{} takes an array", self.name);
        };
        if self.name == EXPANDED {
            let lists = args.args[0].to_array(args.number_rows)?;
            let value = |row| expand(&lists, row, item.data_type());
            let values = (0..lists.len()).map(value).collect::<Result<Vec<_>>>()?;
            return match values.is_empty() {
                true => Ok(ColumnarValue::Array(new_empty_array(args.return_field.data_type()))),
                false => Ok(ColumnarValue::Array(ScalarValue::iter_to_array(values)?)),
            };
        }
        let empty = || ScalarValue::List(ScalarValue::new_list_nullable(&[], item.data_type()));
        let lists = args.args[0].to_array(args.number_rows)?;
        if lists.null_count() == 0 && lists.data_type() == args.return_field.data_type() {
            return Ok(args.args[0].clone());
        }
        if lists.is_empty() {
            return Ok(ColumnarValue::Array(new_empty_array(args.return_field.data_type())));
        }
        let list = |row| match lists.is_null(row) {
            true => Ok(empty()),
            false => ScalarValue::try_from_array(&lists, row),
        };
        let lists = (0..lists.len()).map(list).collect::<Result<Vec<_>>>()?;
        Ok(ColumnarValue::Array(ScalarValue::iter_to_array(lists)?))
    }
}

/// Returns the type of an array of elements with their numbers.
fn expanded(item: &DataType) -> DataType {
    let fields = [Field::new("x", item.clone(), true), Field::new("n", DataType::Int32, true)];
    let row = DataType::Struct(fields.to_vec().into());
    DataType::List(Arc::new(Field::new_list_field(row, true)))
}

/// Returns the elements of the array in a row, with their numbers.
fn expand(lists: &ArrayRef, row: usize, of: &DataType) -> Result<ScalarValue> {
    let DataType::Struct(fields) = of else { return exec_err!("an element has two fields") };
    let mut rows = Vec::new();
    if let Some(lists) = lists.as_list_opt::<i32>().filter(|lists| lists.is_valid(row)) {
        let items = lists.value(row);
        for at in 0..items.len() {
            let x = items.slice(at, 1);
            let n: ArrayRef = Arc::new(Int32Array::from(vec![at as i32 + 1]));
            let element = StructArray::new(fields.clone(), vec![x, n], None);
            rows.push(ScalarValue::try_from_array(&element, 0)?);
        }
    }
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(&rows, of)))
}
