//! Aggregates over sets: their union, intersection or symmetric difference, as a set or as its
//! number of elements, and the set of the integers of many rows.
//!
//! NULLs are skipped; without other rows the result is NULL, of the cardinalities too.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, ReversedUDAF, Signature, Volatility,
};
use roaring::RoaringTreemap;

use super::super::function::{documentation, equal_by_name};
use super::operation::{Answer, Operation, each_set, elements_of};
use super::sliding::{SlidingElements, SlidingSets};
use super::value::{held_bytes, one_set};
use crate::query::memory;

pub fn aggregates() -> Vec<Arc<AggregateUDF>> {
    use Answer::{Cardinality, Set};
    use Operation::{And, Or, Xor};
    let sets = |name, operation, answer, answers| {
        let syntax = format!("{name}(set)");
        aggregate(name, Input::Sets(operation), answer, documentation(answers, &syntax))
    };
    let built = documentation("Set of the integers of all rows", "rb_build_agg(integer)");
    vec![
        sets("rb_or_agg", Or, Set, "Elements in any of the sets"),
        sets("rb_and_agg", And, Set, "Elements in all of the sets"),
        sets("rb_xor_agg", Xor, Set, "Elements in an odd number of the sets"),
        sets("rb_or_cardinality_agg", Or, Cardinality, "Number of elements in any of the sets"),
        sets("rb_and_cardinality_agg", And, Cardinality, "Number of elements in all of the sets"),
        sets(
            "rb_xor_cardinality_agg",
            Xor,
            Cardinality,
            "Number of elements in an odd number of the sets",
        ),
        aggregate("rb_build_agg", Input::Elements, Set, built),
    ]
}

fn aggregate(
    name: &'static str,
    input: Input,
    answer: Answer,
    documentation: Documentation,
) -> Arc<AggregateUDF> {
    let signature = Signature::user_defined(Volatility::Immutable);
    let aggregate = SetAggregate { name, input, answer, signature, documentation };
    Arc::new(AggregateUDF::new_from_impl(aggregate))
}

/// What the rows are.
#[derive(Clone, Copy, Debug)]
enum Input {
    Sets(Operation),
    Elements,
}

#[derive(Debug)]
struct SetAggregate {
    name: &'static str,
    input: Input,
    answer: Answer,
    signature: Signature,
    documentation: Documentation,
}

equal_by_name!(SetAggregate);

impl SetAggregate {
    /// Only of unions and intersections, the same set twice is the same set once.
    fn check_distinct(&self, args: &AccumulatorArgs) -> Result<()> {
        if args.is_distinct && matches!(self.input, Input::Sets(Operation::Xor)) {
            return exec_err!(
                "{} does not know DISTINCT: take the distinct sets in a subquery",
                self.name
            );
        }
        Ok(())
    }
}

impl AggregateUDFImpl for SetAggregate {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match (self.input, types) {
            (Input::Elements, [of]) if of.is_integer() || of.is_null() => Ok(vec![DataType::Int64]),
            (Input::Elements, _) => plan_err!("it expects one integer"),
            (Input::Sets(_), types) => one_set(types),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.answer {
            Answer::Set => DataType::Binary,
            Answer::Cardinality => DataType::Int64,
        })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, "set");
        Ok(vec![Arc::new(Field::new(name, DataType::Binary, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.check_distinct(&args)?;
        Ok(Box::new(Combined { input: self.input, answer: self.answer, set: None }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.check_distinct(&args)?;
        Ok(match self.input {
            Input::Sets(operation) => Box::new(SlidingSets::new(operation, self.answer)),
            Input::Elements => Box::new(SlidingElements::new(self.answer)),
        })
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

/// The set of all rows so far; its state is the set.
#[derive(Debug)]
struct Combined {
    input: Input,
    answer: Answer,
    /// `None` before the first row that is not null.
    set: Option<RoaringTreemap>,
}

impl Combined {
    fn combine(&mut self, sets: &ArrayRef, operation: Operation) -> Result<()> {
        each_set(sets, |other| match &mut self.set {
            Some(set) => operation.apply(set, other),
            None => self.set = Some(other),
        })
    }
}

impl Accumulator for Combined {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        match self.input {
            Input::Sets(operation) => self.combine(&values[0], operation),
            Input::Elements => {
                memory::check()?;
                if values[0].null_count() < values[0].len() {
                    self.set.get_or_insert_default().extend(elements_of(&values[0]));
                }
                Ok(())
            }
        }
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        memory::check()?;
        Ok(self.answer.of(self.set.as_ref()))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.set.as_ref().map_or(0, held_bytes)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![Answer::Set.of(self.set.as_ref())])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        match self.input {
            Input::Sets(operation) => self.combine(&states[0], operation),
            Input::Elements => self.combine(&states[0], Operation::Or),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use arrow::array::{BinaryArray, Int64Array};
    use proptest::prelude::*;

    use super::super::value::{decode, encode};
    use super::*;

    fn decoded(answer: ScalarValue) -> Option<BTreeSet<u64>> {
        match answer {
            ScalarValue::Binary(set) => set.map(|set| decode(&set).unwrap().into_iter().collect()),
            other => panic!("{other} is no set"),
        }
    }

    /// Sends the rows in batches to accumulators of their own, and their states to a last one.
    fn in_parts(input: Input, batches: Vec<ArrayRef>) -> Combined {
        let new = || Combined { input, answer: Answer::Set, set: None };
        let mut last = new();
        for batch in batches {
            let mut part = new();
            part.update_batch(&[batch]).unwrap();
            let state = part.state().unwrap().remove(0).to_array().unwrap();
            last.merge_batch(&[state]).unwrap();
        }
        last
    }

    type Rows = Vec<Option<BTreeSet<u64>>>;

    fn rows() -> impl Strategy<Value = Rows> {
        let element = prop_oneof![0..40_u64, 65_530..65_600_u64, any::<u64>()];
        let set = proptest::collection::btree_set(element, 0..20);
        proptest::collection::vec(proptest::option::of(set), 0..12)
    }

    fn of_sets(rows: &[Option<BTreeSet<u64>>]) -> ArrayRef {
        let encoded = rows.iter().map(|set| {
            let set = set.as_ref()?;
            Some(encode(&set.iter().copied().collect()))
        });
        Arc::new(encoded.collect::<BinaryArray>())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn parts_are_combined_as_their_elements_are(rows in rows(), width in 1..5_usize) {
            let sets = || rows.iter().flatten().cloned();
            for (operation, expected) in [
                (Operation::Or, sets().reduce(|a, b| &a | &b)),
                (Operation::And, sets().reduce(|a, b| &a & &b)),
                (Operation::Xor, sets().reduce(|a, b| &a ^ &b)),
            ] {
                let batches = rows.chunks(width).map(of_sets).collect();
                let mut all = in_parts(Input::Sets(operation), batches);
                // Twice, as for the rows of a window.
                prop_assert_eq!(decoded(all.evaluate().unwrap()), expected.clone());
                prop_assert_eq!(decoded(all.evaluate().unwrap()), expected.clone());
                all.answer = Answer::Cardinality;
                let cardinality = expected.map(|set| set.len() as i64);
                prop_assert_eq!(all.evaluate().unwrap(), ScalarValue::Int64(cardinality));
            }
        }

        #[test]
        fn integers_become_a_set(
            rows in proptest::collection::vec(proptest::option::of(any::<i64>()), 0..40),
            width in 1..9_usize,
        ) {
            let array = |rows: &[_]| Arc::new(Int64Array::from(rows.to_vec())) as ArrayRef;
            let batches = rows.chunks(width).map(array).collect();
            let elements: BTreeSet<u64> = rows.iter().flatten().map(|n| n.cast_unsigned()).collect();
            let expected = (!elements.is_empty()).then_some(elements);
            let mut all = in_parts(Input::Elements, batches);
            prop_assert_eq!(decoded(all.evaluate().unwrap()), expected);
        }
    }

    #[test]
    fn memory_grows_with_the_set() {
        let mut set = Combined { input: Input::Elements, answer: Answer::Set, set: None };
        let empty = set.size();
        // Each in a container of its own.
        set.update_batch(&[Arc::new((0..1_000).map(|n| n << 16).collect::<Int64Array>())]).unwrap();
        assert!(set.size() > empty + 40_000, "{}", set.size());
    }
}
