//! Accumulators of a moving window frame, such as `ROWS BETWEEN 6 PRECEDING AND CURRENT ROW`: rows
//! enter at its end and leave at its start.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::Accumulator;
use roaring::RoaringTreemap;

use super::operation::{Answer, Operation, each_set, elements_of};
use super::value::{bytes_of, held_bytes};
use crate::query::memory;

/// The sets of a frame, combined.
///
/// A set that leaves cannot be taken out of a union, so all are kept: a queue of two stacks. The
/// sets of the front are combined with all that follow them there, so that its top is the whole
/// front; when it is used up, the sets of the back are turned over. So each set is combined three
/// times at most, however long the frame. In memory there are, for each row of the frame, its set
/// or the sets from it on combined.
#[derive(Debug)]
pub struct SlidingSets {
    operation: Operation,
    answer: Answer,
    /// The earliest row is last; each is combined with the rows before it in this list.
    front: Vec<RoaringTreemap>,
    /// The sets after those of the front, in their order.
    back: Vec<RoaringTreemap>,
    /// The sets of `back`, combined.
    combined: Option<RoaringTreemap>,
    /// Bytes of the sets in `front` and `back`.
    bytes: usize,
}

impl SlidingSets {
    pub fn new(operation: Operation, answer: Answer) -> SlidingSets {
        let (front, back) = (Vec::new(), Vec::new());
        SlidingSets { operation, answer, front, back, combined: None, bytes: 0 }
    }

    fn push(&mut self, set: RoaringTreemap) {
        match &mut self.combined {
            Some(combined) => self.operation.apply_ref(combined, &set),
            None => self.combined = Some(set.clone()),
        }
        self.bytes += held_bytes(&set);
        self.back.push(set);
    }

    fn pop(&mut self) -> Result<()> {
        if self.front.is_empty() {
            self.turn_over()?;
        }
        match self.front.pop() {
            Some(set) => self.bytes -= held_bytes(&set),
            None => return internal_err!("a row leaves an empty frame"),
        }
        Ok(())
    }

    fn turn_over(&mut self) -> Result<()> {
        self.combined = None;
        while let Some(mut set) = self.back.pop() {
            memory::check()?;
            self.bytes -= held_bytes(&set);
            if let Some(following) = self.front.last() {
                self.operation.apply_ref(&mut set, following);
            }
            self.bytes += held_bytes(&set);
            self.front.push(set);
        }
        Ok(())
    }

    fn answer(&self) -> ScalarValue {
        let (front, back) = match (self.front.last(), &self.combined) {
            (Some(front), Some(back)) => (front, back),
            (front, back) => return self.answer.of(front.or(back.as_ref())),
        };
        match self.answer {
            Answer::Cardinality => {
                let count = self.operation.cardinality(front, back);
                ScalarValue::Int64(Some(count.cast_signed()))
            }
            Answer::Set => {
                let mut set = front.clone();
                self.operation.apply_ref(&mut set, back);
                self.answer.of(Some(&set))
            }
        }
    }
}

impl Accumulator for SlidingSets {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each_set(&values[0], |set| self.push(set))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let sets = (0..values[0].len()).filter(|row| bytes_of(&values[0], *row).is_some());
        for _ in sets {
            self.pop()?;
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        memory::check()?;
        Ok(self.answer())
    }

    fn size(&self) -> usize {
        let slots = self.front.capacity() + self.back.capacity();
        size_of_val(self)
            + self.bytes
            + self.combined.as_ref().map_or(0, held_bytes)
            + slots * size_of::<RoaringTreemap>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        internal_err!("a window frame has no partial state")
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        internal_err!("a window frame has no partial state")
    }
}

/// The set of the integers of a frame: how often each occurs there, and those that do.
#[derive(Debug)]
pub struct SlidingElements {
    answer: Answer,
    counts: HashMap<u64, u64>,
    set: RoaringTreemap,
}

impl SlidingElements {
    pub fn new(answer: Answer) -> SlidingElements {
        SlidingElements { answer, counts: HashMap::new(), set: RoaringTreemap::new() }
    }
}

impl Accumulator for SlidingElements {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        memory::check()?;
        for element in elements_of(&values[0]) {
            *self.counts.entry(element).or_default() += 1;
            self.set.insert(element);
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for element in elements_of(&values[0]) {
            let Some(count) = self.counts.get_mut(&element) else {
                return internal_err!("an element leaves a frame without it");
            };
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&element);
                self.set.remove(element);
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        memory::check()?;
        Ok(self.answer.of((!self.counts.is_empty()).then_some(&self.set)))
    }

    fn size(&self) -> usize {
        let entry = size_of::<(u64, u64)>() + 1;
        size_of_val(self) + self.counts.capacity() * entry + held_bytes(&self.set)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        internal_err!("a window frame has no partial state")
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        internal_err!("a window frame has no partial state")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use arrow::array::{BinaryArray, Int64Array};
    use proptest::prelude::*;

    use super::super::value::{decode, encode};
    use super::*;

    /// Moves a frame over the rows: `steps` says how many enter and how many leave at most. Compares
    /// each answer with the one that `expected` computes from the rows of the frame.
    fn slide(
        frame: &mut dyn Accumulator,
        rows: &ArrayRef,
        steps: &[(usize, usize)],
        expected: impl Fn(std::ops::Range<usize>) -> Option<BTreeSet<u64>>,
    ) {
        let (mut start, mut end) = (0, 0);
        for (enter, leave) in steps {
            let enter = (*enter).min(rows.len() - end);
            frame.update_batch(&[rows.slice(end, enter)]).unwrap();
            end += enter;
            let leave = (*leave).min(end - start);
            frame.retract_batch(&[rows.slice(start, leave)]).unwrap();
            start += leave;
            let ScalarValue::Binary(set) = frame.evaluate().unwrap() else { panic!("no set") };
            let set = set.map(|set| decode(&set).unwrap().into_iter().collect());
            assert_eq!(set, expected(start..end), "{start}..{end}");
        }
    }

    fn steps() -> impl Strategy<Value = Vec<(usize, usize)>> {
        proptest::collection::vec((0..4_usize, 0..4_usize), 0..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_frame_has_the_sets_of_its_rows(
            rows in proptest::collection::vec(
                proptest::option::of(proptest::collection::btree_set(0..30_u64, 0..12)), 0..40),
            steps in steps(),
        ) {
            let encoded = rows.iter().map(|set| {
                let set = set.as_ref()?;
                Some(encode(&set.iter().copied().collect()))
            });
            let array: ArrayRef = Arc::new(encoded.collect::<BinaryArray>());
            type Combine = fn(&BTreeSet<u64>, &BTreeSet<u64>) -> BTreeSet<u64>;
            let all: [(Operation, Combine); 3] = [
                (Operation::Or, |a, b| a | b),
                (Operation::And, |a, b| a & b),
                (Operation::Xor, |a, b| a ^ b),
            ];
            for (operation, combine) in all {
                let mut frame = SlidingSets::new(operation, Answer::Set);
                slide(&mut frame, &array, &steps, |range| {
                    rows[range].iter().flatten().cloned().reduce(|a, b| combine(&a, &b))
                });
                let mut counting = SlidingSets::new(operation, Answer::Cardinality);
                counting.update_batch(std::slice::from_ref(&array)).unwrap();
                for left in 1..=rows.len() {
                    counting.retract_batch(&[array.slice(left - 1, 1)]).unwrap();
                    counting.update_batch(&[array.slice(left - 1, 1)]).unwrap();
                    let around = rows[left..].iter().chain(&rows[..left]).flatten().cloned();
                    let count = around.reduce(|a, b| combine(&a, &b)).map(|set| set.len() as i64);
                    prop_assert_eq!(counting.evaluate().unwrap(), ScalarValue::Int64(count));
                }
                let held = frame.front.iter().chain(&frame.back).map(held_bytes).sum::<usize>();
                prop_assert_eq!(frame.bytes, held);
            }
        }

        #[test]
        fn a_frame_has_the_integers_of_its_rows(
            rows in proptest::collection::vec(proptest::option::of(-3..9_i64), 0..40),
            steps in steps(),
        ) {
            let array: ArrayRef = Arc::new(Int64Array::from(rows.clone()));
            let mut frame = SlidingElements::new(Answer::Set);
            slide(&mut frame, &array, &steps, |range| {
                let elements: BTreeSet<u64> =
                    rows[range].iter().flatten().map(|n| n.cast_unsigned()).collect();
                (!elements.is_empty()).then_some(elements)
            });
        }
    }
}
