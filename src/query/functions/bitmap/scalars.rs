//! Functions of one or two sets.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayBuilder, ArrayRef, AsArray, BinaryBuilder, BooleanArray, Int64Array, Int64Builder,
    ListBuilder,
};
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF};
use roaring::RoaringTreemap;

use super::super::function::Function;
use super::value::{Sets, encode, one_set, set_type};
use crate::query::memory;

/// Maximum number of elements that `rb_to_array` makes of a set: 8 MB, the most that functions of
/// arrays make of a row.
const MAX_ELEMENTS: u64 = 1_000_000;

pub fn functions() -> Vec<Arc<ScalarUDF>> {
    [of_two_sets(), of_two_sets_with_numbers(), of_one_set(), of_arrays()].concat()
}

fn of_two_sets() -> Vec<Arc<ScalarUDF>> {
    let combining = |name, call, answers, syntax| {
        let types = |types: &[DataType]| Ok((two_sets(types)?, DataType::Binary));
        Function::new(name, types, call).told(answers, syntax).udf()
    };
    vec![
        combining(
            "rb_and",
            |args, rows| combine(args, rows, |a, b| a & b),
            "Elements in both sets",
            "rb_and(a, b)",
        ),
        combining(
            "rb_or",
            |args, rows| combine(args, rows, |a, b| a | b),
            "Elements in either set",
            "rb_or(a, b)",
        ),
        combining(
            "rb_andnot",
            |args, rows| combine(args, rows, |a, b| a - b),
            "Elements of the first set that are not in the second",
            "rb_andnot(a, b)",
        ),
        combining(
            "rb_xor",
            |args, rows| combine(args, rows, |a, b| a ^ b),
            "Elements in one of the sets and not in the other",
            "rb_xor(a, b)",
        ),
    ]
}

fn of_two_sets_with_numbers() -> Vec<Arc<ScalarUDF>> {
    let counting = |name, call, answers, syntax| {
        let types = |types: &[DataType]| Ok((two_sets(types)?, DataType::Int64));
        Function::new(name, types, call).told(answers, syntax).udf()
    };
    let comparing = |name, call, answers, syntax| {
        let types = |types: &[DataType]| Ok((two_sets(types)?, DataType::Boolean));
        Function::new(name, types, call).told(answers, syntax).udf()
    };
    let containing = |types: &[DataType]| Ok((a_set_and_a_part(types)?, DataType::Boolean));
    vec![
        counting(
            "rb_and_cardinality",
            |args, rows| count(args, rows, RoaringTreemap::intersection_len),
            "Number of elements in both sets",
            "rb_and_cardinality(a, b)",
        ),
        counting(
            "rb_or_cardinality",
            |args, rows| count(args, rows, RoaringTreemap::union_len),
            "Number of elements in either set",
            "rb_or_cardinality(a, b)",
        ),
        counting(
            "rb_andnot_cardinality",
            |args, rows| count(args, rows, RoaringTreemap::difference_len),
            "Number of elements of the first set that are not in the second",
            "rb_andnot_cardinality(a, b)",
        ),
        counting(
            "rb_xor_cardinality",
            |args, rows| count(args, rows, RoaringTreemap::symmetric_difference_len),
            "Number of elements in one of the sets and not in the other",
            "rb_xor_cardinality(a, b)",
        ),
        comparing(
            "rb_intersect",
            |args, rows| compare(args, rows, |a, b| !a.is_disjoint(b)),
            "Whether the sets share an element",
            "rb_intersect(a, b)",
        ),
        comparing(
            "rb_equals",
            |args, rows| compare(args, rows, |a, b| a == b),
            "Whether the sets have the same elements",
            "rb_equals(a, b)",
        ),
        Function::new("rb_contains", containing, contains)
            .told(
                "Whether the first set has all elements of the second, or the element",
                "rb_contains(a, b)",
            )
            .udf(),
    ]
}

fn of_one_set() -> Vec<Arc<ScalarUDF>> {
    let a_number = |types: &[DataType]| Ok((one_set(types)?, DataType::Int64));
    let an_answer = |types: &[DataType]| Ok((one_set(types)?, DataType::Boolean));
    vec![
        Function::new("rb_cardinality", a_number, |args, rows| {
            number(args, rows, |set| Some(set.len()))
        })
        .told("Number of elements of a set", "rb_cardinality(set)")
        .udf(),
        Function::new("rb_min", a_number, |args, rows| number(args, rows, RoaringTreemap::min))
            .or_null()
            .told("Least element of a set; NULL if it is empty", "rb_min(set)")
            .udf(),
        Function::new("rb_max", a_number, |args, rows| number(args, rows, RoaringTreemap::max))
            .or_null()
            .told("Greatest element of a set; NULL if it is empty", "rb_max(set)")
            .udf(),
        Function::new("rb_is_empty", an_answer, is_empty)
            .told("Whether a set has no elements", "rb_is_empty(set)")
            .udf(),
    ]
}

fn of_arrays() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new("rb_build", an_array, build)
            .told("Set of the integers in an array", "rb_build(array)")
            .udf(),
        Function::new("rb_to_array", |types| Ok((one_set(types)?, integers())), to_array)
            .told("Elements of a set in ascending order, at most 1,000,000", "rb_to_array(set)")
            .udf(),
    ]
}

fn integers() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)))
}

fn two_sets(types: &[DataType]) -> Result<Vec<DataType>> {
    match types.iter().map(set_type).collect::<Option<Vec<_>>>() {
        Some(sets) if sets.len() == 2 => Ok(sets),
        _ => plan_err!("it expects two sets, such as rb_build(ARRAY[1, 2])"),
    }
}

fn a_set_and_a_part(types: &[DataType]) -> Result<Vec<DataType>> {
    if let [set, element] = types
        && let Some(set) = set_type(set)
    {
        if element.is_integer() {
            return Ok(vec![set, DataType::Int64]);
        }
        if let Some(part) = set_type(element) {
            return Ok(vec![set, part]);
        }
    }
    plan_err!("it expects a set, and another set or an integer")
}

fn an_array(types: &[DataType]) -> Result<(Vec<DataType>, DataType)> {
    let is_of_integers = match types {
        [DataType::Null] => true,
        [
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::FixedSizeList(item, _),
        ] => item.data_type().is_integer() || item.data_type().is_null(),
        _ => false,
    };
    if is_of_integers {
        Ok((vec![integers()], DataType::Binary))
    } else {
        plan_err!("it expects an array of integers, such as ARRAY[1, 2]")
    }
}

/// Calls `with` for the sets of each row; `None` if one of them is null.
fn each_pair(
    args: &[ColumnarValue],
    rows: usize,
    mut with: impl FnMut(Option<(&RoaringTreemap, &RoaringTreemap)>) -> Result<()>,
) -> Result<()> {
    let (mut left, mut right) = (Sets::of(&args[0])?, Sets::of(&args[1])?);
    for row in 0..rows {
        memory::check()?;
        with(left.get(row)?.zip(right.get(row)?))?;
    }
    Ok(())
}

/// Calls `with` for the set of each row; `None` if it is null.
fn each_set(
    args: &[ColumnarValue],
    rows: usize,
    mut with: impl FnMut(Option<&RoaringTreemap>) -> Result<()>,
) -> Result<()> {
    let mut sets = Sets::of(&args[0])?;
    for row in 0..rows {
        memory::check()?;
        with(sets.get(row)?)?;
    }
    Ok(())
}

type Pair<T> = fn(&RoaringTreemap, &RoaringTreemap) -> T;

fn combine(args: &[ColumnarValue], rows: usize, of: Pair<RoaringTreemap>) -> Result<ArrayRef> {
    let mut answer = BinaryBuilder::new();
    each_pair(args, rows, |pair| append(&mut answer, pair.map(|(a, b)| of(a, b)).as_ref()))?;
    Ok(Arc::new(answer.finish()))
}

/// Appends a set. An array of sets holds at most 2 GiB.
fn append(sets: &mut BinaryBuilder, set: Option<&RoaringTreemap>) -> Result<()> {
    let Some(set) = set else {
        sets.append_null();
        return Ok(());
    };
    if sets.values_slice().len().saturating_add(set.serialized_size()) > i32::MAX as usize {
        return exec_err!(
            "the sets of one batch of rows would take more than 2 GiB: ask for their cardinalities \
            (rb_and_cardinality and the like), or for fewer rows"
        );
    }
    sets.append_value(encode(set));
    Ok(())
}

fn count(args: &[ColumnarValue], rows: usize, of: Pair<u64>) -> Result<ArrayRef> {
    let mut counts = Int64Builder::with_capacity(rows);
    each_pair(args, rows, |pair| {
        counts.append_option(pair.map(|(a, b)| of(a, b).cast_signed()));
        Ok(())
    })?;
    Ok(Arc::new(counts.finish()))
}

fn compare(args: &[ColumnarValue], rows: usize, holds: Pair<bool>) -> Result<ArrayRef> {
    let mut answers = Vec::with_capacity(rows);
    each_pair(args, rows, |pair| {
        answers.push(pair.map(|(a, b)| holds(a, b)));
        Ok(())
    })?;
    Ok(Arc::new(BooleanArray::from(answers)))
}

fn contains(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    if args[1].data_type() != DataType::Int64 {
        return compare(args, rows, |a, b| b.is_subset(a));
    }
    let elements = args[1].to_array(rows)?;
    let mut elements = elements.as_primitive::<Int64Type>().iter();
    let mut answers = Vec::with_capacity(rows);
    each_set(args, rows, |set| {
        let element = elements.next().flatten();
        answers.push(set.zip(element).map(|(set, element)| set.contains(element.cast_unsigned())));
        Ok(())
    })?;
    Ok(Arc::new(BooleanArray::from(answers)))
}

fn number(
    args: &[ColumnarValue],
    rows: usize,
    of: fn(&RoaringTreemap) -> Option<u64>,
) -> Result<ArrayRef> {
    let mut numbers = Vec::with_capacity(rows);
    each_set(args, rows, |set| {
        numbers.push(set.and_then(of).map(u64::cast_signed));
        Ok(())
    })?;
    Ok(Arc::new(Int64Array::from(numbers)))
}

fn is_empty(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let mut answers = Vec::with_capacity(rows);
    each_set(args, rows, |set| {
        answers.push(set.map(RoaringTreemap::is_empty));
        Ok(())
    })?;
    Ok(Arc::new(BooleanArray::from(answers)))
}

fn build(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let arrays = args[0].to_array(rows)?;
    let mut sets = BinaryBuilder::new();
    for array in arrays.as_list::<i32>().iter() {
        memory::check()?;
        let Some(array) = array else {
            sets.append_null();
            continue;
        };
        if array.null_count() > 0 {
            return exec_err!("rb_build takes an array without NULL");
        }
        let elements = array.as_primitive::<Int64Type>().values().iter();
        append(&mut sets, Some(&elements.map(|element| element.cast_unsigned()).collect()))?;
    }
    Ok(Arc::new(sets.finish()))
}

fn to_array(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let mut arrays = ListBuilder::new(Int64Builder::new());
    each_set(args, rows, |set| {
        let count = set.map_or(0, RoaringTreemap::len);
        if count > MAX_ELEMENTS {
            return exec_err!(
                "rb_to_array makes at most {MAX_ELEMENTS} elements of a set, and this one has \
                {count}: rb_cardinality counts them"
            );
        }
        if arrays.values().len() + count as usize > i32::MAX as usize {
            return exec_err!(
                "rb_to_array makes too many elements of a batch of rows: ask for fewer"
            );
        }
        if let Some(set) = set {
            arrays.values().extend(set.iter().map(|element| Some(element.cast_signed())));
        }
        arrays.append(set.is_some());
        Ok(())
    })?;
    Ok(Arc::new(arrays.finish()))
}
