//! Aggregates over the number of occurrences of each value: `mode` and `percentile_disc`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Signature, Volatility,
};

pub fn aggregates() -> Vec<Arc<AggregateUDF>> {
    let counted = |what, aliases: &[&str]| {
        let aliases = aliases.iter().map(|alias| (*alias).to_string()).collect();
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(AggregateUDF::new_from_impl(Counted { what, aliases, signature }))
    };
    vec![counted(What::Mode, &[]), counted(What::Percentile, &["quantile_disc"])]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum What {
    /// The most frequent value; of several, the least.
    Mode,
    /// The first value such that the given share of all values lies at or before it.
    Percentile,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Counted {
    what: What,
    aliases: Vec<String>,
    signature: Signature,
}

impl AggregateUDFImpl for Counted {
    fn name(&self) -> &str {
        match self.what {
            What::Mode => "mode",
            What::Percentile => "percentile_disc",
        }
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn supports_within_group_clause(&self) -> bool {
        true
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        // Dictionary arrays are counted by their values.
        let plain = |of: &DataType| match of {
            DataType::Dictionary(_, value) => (**value).clone(),
            other => other.clone(),
        };
        match (self.what, types) {
            (What::Mode, [of]) => Ok(vec![plain(of)]),
            (What::Percentile, [of, share]) if share.is_numeric() => {
                Ok(vec![plain(of), DataType::Float64])
            }
            (What::Mode, _) => plan_err!("mode is called as mode(x)"),
            (What::Percentile, _) => {
                plan_err!(
                    "percentile_disc is called as percentile_disc(0.5) WITHIN GROUP (ORDER BY x)"
                )
            }
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let list = |name: &str, of: DataType| -> FieldRef {
            Arc::new(Field::new_list(
                format_state_name(args.name, name),
                Field::new_list_field(of, true),
                true,
            ))
        };
        Ok(vec![
            list("values", args.input_fields[0].data_type().clone()),
            list("counts", DataType::Int64),
        ])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let is_descending = args.order_bys.first().is_some_and(|sort| sort.options.descending);
        let share = match self.what {
            What::Mode => 0.0,
            What::Percentile => share_of(&args)?,
        };
        let of = args.expr_fields[0].data_type().clone();
        let what = self.what;
        Ok(Box::new(Counts {
            what,
            share,
            is_descending,
            is_distinct: args.is_distinct,
            of,
            counts: HashMap::new(),
            bytes: 0,
        }))
    }
}

fn share_of(args: &AccumulatorArgs) -> Result<f64> {
    let empty = arrow::record_batch::RecordBatch::new_empty(Arc::new(args.schema.clone()));
    let share = match args.exprs[1].evaluate(&empty) {
        Ok(ColumnarValue::Scalar(ScalarValue::Float64(Some(share)))) => share,
        _ => return exec_err!("the fraction of percentile_disc must be a constant"),
    };
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        exec_err!("the fraction of percentile_disc must be between 0 and 1; found {share}")
    }
}

#[derive(Debug)]
struct Counts {
    what: What,
    share: f64,
    is_descending: bool,
    is_distinct: bool,
    of: DataType,
    counts: HashMap<ScalarValue, i64>,
    /// Heap bytes of the values, in addition to the map itself.
    bytes: usize,
}

impl Counts {
    fn add(&mut self, values: &dyn Array, counts: impl Fn(usize) -> i64) -> Result<()> {
        for row in 0..values.len() {
            if values.is_valid(row) {
                let mut value = ScalarValue::try_from_array(values, row)?;
                match self.counts.get_mut(&value) {
                    Some(count) => *count += counts(row),
                    None => {
                        // Copies the value, so that a text of a view array does not keep its batch
                        // alive.
                        value.compact();
                        self.bytes += value.size() - size_of::<ScalarValue>();
                        self.counts.insert(value, counts(row));
                    }
                }
            }
        }
        Ok(())
    }

    fn answer(&self) -> Result<Option<ScalarValue>> {
        let mut values: Vec<(&ScalarValue, i64)> =
            self.counts.iter().map(|(value, count)| (value, *count)).collect();
        values.sort_by(|(a, _), (b, _)| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
        if self.is_descending {
            values.reverse();
        }
        if self.is_distinct {
            values.iter_mut().for_each(|(_, count)| *count = 1);
        }
        if self.what == What::Mode {
            let most = values.iter().map(|(_, count)| *count).max();
            return Ok(values
                .iter()
                .find(|(_, count)| Some(*count) == most)
                .map(|(value, _)| (*value).clone()));
        }
        let all: i64 = values.iter().map(|(_, count)| count).sum();
        let wanted = ((self.share * all as f64).ceil() as i64).max(1);
        let mut seen = 0;
        let reached = values.iter().find(|(_, count)| {
            seen += count;
            seen >= wanted
        });
        Ok(reached.or(values.last()).map(|(value, _)| (*value).clone()))
    }
}

impl Accumulator for Counts {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(&values[0], |_| 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        match self.answer()? {
            Some(value) => Ok(value),
            None => ScalarValue::try_from(&self.of),
        }
    }

    fn size(&self) -> usize {
        size_of_val(self)
            + self.bytes
            + self.counts.capacity() * (size_of::<(ScalarValue, i64)>() + 1)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let (values, counts): (Vec<ScalarValue>, Vec<i64>) = self.counts.drain().unzip();
        let counts: Vec<ScalarValue> =
            counts.into_iter().map(|count| ScalarValue::Int64(Some(count))).collect();
        Ok(vec![
            ScalarValue::List(ScalarValue::new_list_nullable(&values, &self.of)),
            ScalarValue::List(ScalarValue::new_list_nullable(&counts, &DataType::Int64)),
        ])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let (values, counts) = (states[0].as_list::<i32>(), states[1].as_list::<i32>());
        for (values, counts) in values.iter().zip(counts.iter()) {
            if let (Some(values), Some(counts)) = (values, counts) {
                let counts: &Int64Array = counts.as_primitive::<Int64Type>();
                self.add(&values, |row| counts.value(row))?;
            }
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for row in 0..values[0].len() {
            if values[0].is_valid(row) {
                let value = ScalarValue::try_from_array(&values[0], row)?;
                let is_last = self.counts.get_mut(&value).is_some_and(|count| {
                    *count -= 1;
                    *count <= 0
                });
                if is_last {
                    self.bytes -= self
                        .counts
                        .remove_entry(&value)
                        .map_or(0, |(value, _)| value.size() - size_of::<ScalarValue>());
                }
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }
}
