use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};
use proptest::prelude::*;

use super::functions;
use super::value::{decode, encode};

type Elements = BTreeSet<u64>;

/// Calls a function as an operator does, with arguments of the types that it asks for.
fn call(name: &str, args: Vec<ColumnarValue>, rows: usize) -> Result<ArrayRef> {
    let function = functions().into_iter().find(|function| function.name() == name).unwrap();
    let types: Vec<DataType> = args.iter().map(ColumnarValue::data_type).collect();
    let arg_fields = types.iter().map(|of| Arc::new(Field::new("", of.clone(), true)));
    let answer = function.invoke_with_args(ScalarFunctionArgs {
        arg_fields: arg_fields.collect(),
        args,
        number_rows: rows,
        return_field: Arc::new(Field::new("", function.return_type(&types)?, true)),
        config_options: Arc::default(),
    })?;
    answer.into_array(rows)
}

fn sets(array: &ArrayRef) -> Vec<Option<Elements>> {
    let set = |bytes: Option<&[u8]>| Some(decode(bytes?).unwrap().into_iter().collect());
    array.as_binary::<i32>().iter().map(set).collect()
}

fn bytes(set: Option<&Elements>) -> Option<Vec<u8>> {
    Some(encode(&set?.iter().copied().collect()))
}

fn some_set() -> impl Strategy<Value = Option<Elements>> {
    let element =
        prop_oneof![0..20_u64, 65_530..65_550_u64, (1_u64 << 32)..(1 << 32) + 9, any::<u64>()];
    proptest::option::of(proptest::collection::btree_set(element, 0..15))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn functions_of_two_sets_agree_with_those_of_the_library(
        mut rows in proptest::collection::vec((some_set(), some_set()), 1..8),
        of in prop_oneof![Just(DataType::Binary), Just(DataType::LargeBinary), Just(DataType::BinaryView)],
        is_constant in any::<bool>(),
    ) {
        let first = rows[0].1.clone();
        if is_constant {
            rows.iter_mut().for_each(|(_, right)| *right = first.clone());
        }
        let left: BinaryArray = rows.iter().map(|(a, _)| bytes(a.as_ref())).collect();
        let right: BinaryArray = rows.iter().map(|(_, b)| bytes(b.as_ref())).collect();
        let right = match is_constant {
            true => ColumnarValue::Scalar(ScalarValue::Binary(bytes(first.as_ref()))),
            false => ColumnarValue::Array(cast(&right, &of).unwrap()),
        };
        let args = || vec![ColumnarValue::Array(cast(&left, &of).unwrap()), right.clone()];
        type Pair<T> = fn(&Elements, &Elements) -> T;
        let expected = |with: Pair<Elements>| -> Vec<Option<Elements>> {
            rows.iter().map(|(a, b)| Some(with(a.as_ref()?, b.as_ref()?))).collect()
        };
        let all: [(&str, Pair<Elements>); 4] = [
            ("and", |a, b| a & b), ("or", |a, b| a | b), ("andnot", |a, b| a - b), ("xor", |a, b| a ^ b),
        ];
        for (name, with) in all {
            let expected = expected(with);
            let answer = call(&format!("rb_{name}"), args(), rows.len()).unwrap();
            prop_assert_eq!(sets(&answer), expected.clone(), "{}", name);
            let counts = call(&format!("rb_{name}_cardinality"), args(), rows.len()).unwrap();
            let counts: Vec<_> = counts.as_primitive::<Int64Type>().iter().collect();
            let lengths: Vec<_> = expected.iter().map(|set| Some(set.as_ref()?.len() as i64)).collect();
            prop_assert_eq!(counts, lengths, "{}", name);
        }
        let all: [(&str, Pair<bool>); 3] = [
            ("rb_intersect", |a, b| !a.is_disjoint(b)),
            ("rb_contains", BTreeSet::is_superset),
            ("rb_equals", |a, b| a == b),
        ];
        for (name, holds) in all {
            let expected: Vec<_> =
                rows.iter().map(|(a, b)| Some(holds(a.as_ref()?, b.as_ref()?))).collect();
            let answer = call(name, args(), rows.len()).unwrap();
            prop_assert_eq!(answer.as_boolean().iter().collect::<Vec<_>>(), expected, "{}", name);
        }
    }

    #[test]
    fn functions_of_one_set_agree_with_those_of_the_library(
        rows in proptest::collection::vec((some_set(), proptest::option::of(0..20_i64)), 1..8),
    ) {
        let encoded: BinaryArray = rows.iter().map(|(set, _)| bytes(set.as_ref())).collect();
        let array = ColumnarValue::Array(Arc::new(encoded));
        let numbers = |name| {
            let answer = call(name, vec![array.clone()], rows.len()).unwrap();
            answer.as_primitive::<Int64Type>().iter().collect::<Vec<_>>()
        };
        let expected = |of: fn(&Elements) -> Option<i64>| -> Vec<_> {
            rows.iter().map(|(set, _)| of(set.as_ref()?)).collect()
        };
        prop_assert_eq!(numbers("rb_cardinality"), expected(|set| Some(set.len() as i64)));
        prop_assert_eq!(numbers("rb_min"), expected(|set| Some(set.first()?.cast_signed())));
        prop_assert_eq!(numbers("rb_max"), expected(|set| Some(set.last()?.cast_signed())));
        let elements: Int64Array = rows.iter().map(|(_, element)| *element).collect();
        let args = vec![array.clone(), ColumnarValue::Array(Arc::new(elements))];
        let has = call("rb_contains", args, rows.len()).unwrap();
        let expected: Vec<_> =
            rows.iter().map(|(set, n)| Some(set.as_ref()?.contains(&n.as_ref()?.cast_unsigned()))).collect();
        prop_assert_eq!(has.as_boolean().iter().collect::<Vec<_>>(), expected);
        // To an array and back.
        let arrays = call("rb_to_array", vec![array.clone()], rows.len()).unwrap();
        let back = call("rb_build", vec![ColumnarValue::Array(arrays)], rows.len()).unwrap();
        prop_assert_eq!(sets(&back), rows.iter().map(|(set, _)| set.clone()).collect::<Vec<_>>());
    }
}

#[test]
fn a_row_that_is_no_set_is_an_error() {
    let rows = BinaryArray::from(vec![Some(&[0_u8; 8][..]), Some(b"no set")]);
    let args = vec![ColumnarValue::Array(Arc::new(rows))];
    let error = call("rb_cardinality", args, 2).unwrap_err().to_string();
    assert!(error.contains("these 6 bytes are not a set (they end too early)"), "{error}");
}

#[test]
fn constants_answer_a_constant() {
    let set = || ColumnarValue::Scalar(ScalarValue::Binary(bytes(Some(&BTreeSet::from([1, 2])))));
    let answer = call("rb_or_cardinality", vec![set(), set()], 3).unwrap();
    assert_eq!(answer.as_primitive::<Int64Type>().values(), &[2, 2, 2]);
    assert_eq!(answer.null_count(), 0);
}
