//! Functions over the users of one snapshot, by their codes: `visitor_set(user_id)` makes the set of
//! its users; the others are what optimizer rules put in its place.
//!
//! A reference is an integer that stands for the users of an hour and kind, or for one user
//! ([`VisitorReader`]).

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Expr, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::storage::VisitorReader;

/// Name of the aggregate of names to the set of their users.
pub const VISITOR_SET: &str = "visitor_set";

/// References beyond which repeated ones are dropped.
const MANY: usize = 1 << 16;

/// The reader, of which each statement has its own.
#[derive(Clone, Debug)]
struct Reader(Arc<VisitorReader>);

impl PartialEq for Reader {
    fn eq(&self, other: &Reader) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Reader {}

impl Hash for Reader {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

/// What an aggregate takes, and what it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Of {
    /// The number of distinct users behind references.
    Count,
    /// The same, but NULL without a reference, as the cardinality of a union of no sets is.
    Cardinality,
    /// Their set.
    Set,
    /// The set of users by their names.
    Names,
}

/// Returns an aggregate over the users of the reader's snapshot.
pub fn aggregate(reader: &Arc<VisitorReader>, of: Of) -> Arc<AggregateUDF> {
    let signature = match of {
        Of::Names => Signature::exact(vec![DataType::Utf8View], Volatility::Immutable),
        Of::Count | Of::Cardinality | Of::Set => {
            Signature::exact(vec![DataType::Int64], Volatility::Immutable)
        }
    };
    Arc::new(AggregateUDF::new_from_impl(Visitors {
        reader: Reader(reader.clone()),
        of,
        signature,
    }))
}

/// Returns the references to users by their names.
pub fn references(reader: &Arc<VisitorReader>, names: Expr) -> Expr {
    let signature = Signature::exact(vec![DataType::Utf8View], Volatility::Immutable);
    ScalarUDF::new_from_impl(References { reader: Reader(reader.clone()), signature })
        .call(vec![names])
}

fn failed(error: crate::storage::Error) -> DataFusionError {
    DataFusionError::External(error.into())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct References {
    reader: Reader,
    signature: Signature,
}

impl ScalarUDFImpl for References {
    fn name(&self) -> &str {
        "visitor"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let names = args.args[0].to_array(args.number_rows)?;
        Ok(ColumnarValue::Array(Arc::new(look_up(&self.reader, &names)?)))
    }
}

fn look_up(reader: &Reader, names: &ArrayRef) -> Result<Int64Array> {
    Ok(Int64Array::from(reader.0.users(names.as_string_view().iter()).map_err(failed)?))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Visitors {
    reader: Reader,
    of: Of,
    signature: Signature,
}

impl AggregateUDFImpl for Visitors {
    fn name(&self) -> &str {
        match self.of {
            Of::Count => "count_visitors",
            Of::Cardinality => "visitors_cardinality",
            Of::Set => "visitors",
            Of::Names => VISITOR_SET,
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.of {
            Of::Count | Of::Cardinality => DataType::Int64,
            Of::Set | Of::Names => DataType::Binary,
        })
    }

    fn default_value(&self, of: &DataType) -> Result<ScalarValue> {
        match self.of {
            Of::Count => Ok(ScalarValue::Int64(Some(0))),
            Of::Cardinality | Of::Set | Of::Names => ScalarValue::try_from(of),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, "references");
        let list = Field::new_list(name, Field::new_list_field(DataType::Int64, true), true);
        Ok(vec![Arc::new(list)])
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let (reader, of) = (self.reader.clone(), self.of);
        Ok(Box::new(Collected { reader, of, references: Vec::new(), distinct: 0 }))
    }
}

/// The references of a group.
#[derive(Debug)]
struct Collected {
    reader: Reader,
    of: Of,
    references: Vec<i64>,
    /// How many there were when repeated ones were dropped last.
    distinct: usize,
}

impl Collected {
    fn extend(&mut self, references: &Int64Array) {
        self.references.extend(references.iter().flatten());
        if self.references.len() > MANY.max(2 * self.distinct) {
            self.references.sort_unstable();
            self.references.dedup();
            self.distinct = self.references.len();
        }
    }
}

impl Accumulator for Collected {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        match self.of {
            Of::Names => {
                let references = look_up(&self.reader, &values[0])?;
                self.extend(&references);
            }
            Of::Count | Of::Cardinality | Of::Set => {
                self.extend(values[0].as_primitive::<Int64Type>())
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(lists) = states[0].as_list_opt::<i32>() else {
            return internal_err!("the state of {:?} is a list", self.of);
        };
        for references in lists.iter().flatten() {
            self.extend(references.as_primitive::<Int64Type>());
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let references = std::mem::take(&mut self.references);
        let values: Vec<ScalarValue> = references.into_iter().map(ScalarValue::from).collect();
        Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(&values, &DataType::Int64))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let reader = &self.reader.0;
        Ok(match self.of {
            Of::Cardinality if self.references.is_empty() => ScalarValue::Int64(None),
            Of::Count | Of::Cardinality => {
                let users = reader.count(&mut self.references).map_err(failed)?;
                ScalarValue::Int64(Some(users as i64))
            }
            Of::Set | Of::Names if self.references.is_empty() => ScalarValue::Binary(None),
            Of::Set | Of::Names => {
                let users = reader.union(&mut self.references).map_err(failed)?;
                let mut bytes = Vec::with_capacity(users.serialized_size());
                users.serialize_into(&mut bytes).expect("memory takes all bytes");
                ScalarValue::Binary(Some(bytes))
            }
        })
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.references.capacity() * size_of::<i64>()
    }
}
