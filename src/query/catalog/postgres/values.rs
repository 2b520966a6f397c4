//! Rows of catalogs as values, and the columns made of them.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int16Array, Int16Builder, Int32Array,
    Int64Array, ListBuilder, StringArray, StringBuilder, TimestampMicrosecondArray, UInt32Array,
    UInt32Builder,
};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use datafusion::common::{DFSchema, Result, internal_err};
use datafusion::scalar::ScalarValue;

use super::types;
use crate::query::schema::POSTGRES_OID;

/// A value of a catalog, or an argument or a result of a function over catalogs.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    /// An integer, or microseconds since 1970.
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Value>),
}

macro_rules! from {
    ($($of:ty => $value:expr;)*) => {
        $(impl From<$of> for Value {
            fn from(of: $of) -> Value {
                #[allow(clippy::redundant_closure_call)]
                $value(of)
            }
        })*
    };
}

from! {
    bool => Value::Bool;
    i64 => Value::Int;
    i32 => |of| Value::Int(i64::from(of));
    u32 => |of| Value::Int(i64::from(of));
    f64 => Value::Float;
    &str => |of: &str| Value::Text(of.to_string());
    String => Value::Text;
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(of: Option<T>) -> Value {
        of.map_or(Value::Null, Into::into)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(of: Vec<T>) -> Value {
        Value::List(of.into_iter().map(Into::into).collect())
    }
}

impl Value {
    pub fn text(&self) -> Option<&str> {
        if let Value::Text(text) = self { Some(text) } else { None }
    }

    /// Returns a number, also one that is written as a text.
    pub fn number(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    pub fn truth(&self) -> Option<bool> {
        match self {
            Value::Bool(truth) => Some(*truth),
            Value::Text(text) => match text.to_lowercase().as_str() {
                "t" | "true" | "on" | "yes" | "1" => Some(true),
                "f" | "false" | "off" | "no" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns the value as PostgreSQL writes it.
    pub fn written(&self) -> Option<String> {
        Some(match self {
            Value::Null => return None,
            Value::Bool(truth) => if *truth { "t" } else { "f" }.into(),
            Value::Int(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Text(text) => text.clone(),
            Value::List(values) => {
                let written: Vec<String> =
                    values.iter().map(|value| value.written().unwrap_or("NULL".into())).collect();
                format!("{{{}}}", written.join(","))
            }
        })
    }

    /// Reads a value of an argument.
    pub fn of_scalar(scalar: &ScalarValue) -> Result<Value> {
        if scalar.is_null() {
            return Ok(Value::Null);
        }
        Ok(match scalar {
            ScalarValue::Boolean(Some(truth)) => Value::Bool(*truth),
            ScalarValue::Float32(Some(number)) => Value::Float(f64::from(*number)),
            ScalarValue::Float64(Some(number)) => Value::Float(*number),
            scalar if scalar.data_type().is_integer() => match scalar.cast_to(&DataType::Int64)? {
                ScalarValue::Int64(Some(number)) => Value::Int(number),
                _ => Value::Null,
            },
            ScalarValue::List(list) => {
                let items = list.value(0);
                let item = |row| Value::of_scalar(&ScalarValue::try_from_array(&items, row)?);
                Value::List((0..items.len()).map(item).collect::<Result<_>>()?)
            }
            scalar => Value::Text(match (scalar.try_as_str(), scalar.data_type()) {
                (Some(Some(text)), _) => text.to_string(),
                (_, DataType::Timestamp(..)) => match scalar.cast_to(&DataType::Utf8)? {
                    ScalarValue::Utf8(Some(text)) => text.replace('T', " ").replace('Z', "+00"),
                    _ => scalar.to_string(),
                },
                _ => scalar.to_string(),
            }),
        })
    }
}

/// The columns of a row that have other values than those of their type: null where a column may be,
/// else 0, false, or an empty text.
#[derive(Debug)]
pub struct Row(pub Vec<(&'static str, Value)>);

/// Makes a row: `row! { oid: 11, nspname: "pg_catalog" }`.
macro_rules! row {
    ($($name:ident: $value:expr),* $(,)?) => {
        $crate::query::catalog::postgres::values::Row(
            vec![$((
                stringify!($name),
                $crate::query::catalog::postgres::values::Value::from($value),
            )),*]
        )
    };
}

pub(super) use row;

/// Returns the Arrow type of a PostgreSQL type as catalogs and the functions over them have it: an
/// OID is an unsigned integer of 32 bits.
pub fn arrow_type(of: &str) -> DataType {
    let list = |of: DataType| DataType::List(Arc::new(Field::new_list_field(of, true)));
    match of {
        "oid" | "regproc" | "regtype" | "regclass" | "xid" => DataType::UInt32,
        "bool" => DataType::Boolean,
        "int2" => DataType::Int16,
        "int4" | "cardinal_number" => DataType::Int32,
        "int8" => DataType::Int64,
        "float4" => DataType::Float32,
        "float8" => DataType::Float64,
        "timestamptz" | "time_stamp" => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        "int2vector" | "int2[]" => list(DataType::Int16),
        "oidvector" | "oid[]" | "regtype[]" => list(DataType::UInt32),
        of if of.ends_with("[]") => list(DataType::Utf8),
        _ => DataType::Utf8,
    }
}

/// Returns a column of a PostgreSQL type, as [`arrow_type`] has it. Its metadata has the OID of the type
/// where the Arrow type alone would say another.
pub fn field(name: &str, of: &str, is_nullable: bool) -> Field {
    let field = Field::new(name, arrow_type(of), is_nullable);
    let own = match of {
        "sql_identifier" => "name",
        "character_data" | "yes_or_no" => "varchar",
        "regclass" => "oid",
        of => of,
    };
    let is_told = [
        "oid",
        "xid",
        "regproc",
        "regtype",
        "name",
        "char",
        "varchar",
        "int2vector",
        "oidvector",
        "oid[]",
        "regtype[]",
        "name[]",
        "char[]",
    ];
    match types::by_name(own).filter(|_| is_told.contains(&own)) {
        Some(of) => field.with_metadata([(POSTGRES_OID.into(), of.oid.to_string())].into()),
        None => field,
    }
}

/// Returns columns with the OIDs of PostgreSQL's types that the plan of the statement has for them.
pub fn described(columns: SchemaRef, plan: &DFSchema) -> SchemaRef {
    let told = |of: &Field| of.metadata().get(POSTGRES_OID).cloned();
    let plan = plan.fields();
    if plan.len() != columns.fields().len() || plan.iter().all(|field| told(field).is_none()) {
        return columns;
    }
    let field = |(column, of): (&FieldRef, &FieldRef)| {
        let mut metadata = column.metadata().clone();
        metadata.remove(POSTGRES_OID);
        metadata.extend(told(of).map(|oid| (POSTGRES_OID.to_string(), oid)));
        Field::clone(column).with_metadata(metadata)
    };
    let fields: Vec<Field> = columns.fields().iter().zip(plan).map(field).collect();
    Arc::new(Schema::new(fields))
}

/// Returns the value of a column that a row does not give.
pub fn absent(of: &DataType, is_nullable: bool) -> Value {
    match of {
        _ if is_nullable => Value::Null,
        DataType::Boolean => Value::Bool(false),
        DataType::Float32 | DataType::Float64 => Value::Float(0.0),
        DataType::Utf8 => Value::Text(String::new()),
        DataType::List(_) => Value::List(Vec::new()),
        _ => Value::Int(0),
    }
}

/// Returns a column of values.
///
/// # Errors
/// A number that does not fit in the type is an internal error.
pub fn array(values: &[Value], of: &DataType) -> Result<ArrayRef> {
    let numbers = || values.iter().map(Value::number);
    let floats = || {
        values.iter().map(|value| match value {
            Value::Float(number) => Some(*number),
            Value::Int(number) => Some(*number as f64),
            _ => None,
        })
    };
    Ok(match of {
        DataType::Boolean => Arc::new(values.iter().map(Value::truth).collect::<BooleanArray>()),
        DataType::UInt32 => {
            Arc::new(numbers().map(|n| n.map(|n| n as u32)).collect::<UInt32Array>())
        }
        DataType::Int16 => Arc::new(numbers().map(|n| n.map(|n| n as i16)).collect::<Int16Array>()),
        DataType::Int32 => Arc::new(numbers().map(|n| n.map(|n| n as i32)).collect::<Int32Array>()),
        DataType::Int64 => Arc::new(numbers().collect::<Int64Array>()),
        DataType::Float32 => {
            Arc::new(floats().map(|n| n.map(|n| n as f32)).collect::<Float32Array>())
        }
        DataType::Float64 => Arc::new(floats().collect::<Float64Array>()),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => Arc::new(
            numbers().collect::<TimestampMicrosecondArray>().with_timezone_opt(zone.clone()),
        ),
        DataType::Utf8 => Arc::new(values.iter().map(Value::written).collect::<StringArray>()),
        DataType::List(item) => lists(values, item.data_type())?,
        of => return internal_err!("a catalog has no {of}"),
    })
}

fn lists(values: &[Value], item: &DataType) -> Result<ArrayRef> {
    macro_rules! build {
        ($builder:expr, $item:expr) => {{
            let mut lists = ListBuilder::new($builder);
            for value in values {
                if let Value::List(items) = value {
                    items.iter().for_each(|item| lists.values().append_option($item(item)));
                }
                lists.append(matches!(value, Value::List(_)));
            }
            Arc::new(lists.finish()) as ArrayRef
        }};
    }
    Ok(match item {
        DataType::Int16 => {
            build!(Int16Builder::new(), |item: &Value| item.number().map(|n| n as i16))
        }
        DataType::UInt32 => {
            build!(UInt32Builder::new(), |item: &Value| item.number().map(|n| n as u32))
        }
        DataType::Utf8 => build!(StringBuilder::new(), Value::written),
        of => return internal_err!("a catalog has no lists of {of}"),
    })
}
