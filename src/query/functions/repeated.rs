//! Functions of a text, called once for equal texts of a batch.
//!
//! A file keeps the values of a dimension in a dictionary, and rows with the same one have equal
//! views. The views of equal texts may differ, as those of the current hour: then the function is
//! called for each.

use arrow::array::{Array, ArrayRef, StringViewArray, UInt32Array};
use arrow::compute::take;
use datafusion::common::Result;
use hashbrown::HashMap;

/// Returns what `call` returns for these texts; it gets fewer, if many of them are equal.
pub fn once_each(
    texts: &StringViewArray,
    call: impl FnOnce(&StringViewArray) -> Result<ArrayRef>,
) -> Result<ArrayRef> {
    let Some((first, indexes)) = places(texts) else { return call(texts) };
    let once = take(texts, &first, None)?;
    let answers = call(datafusion::common::cast::as_string_view_array(&once)?)?;
    Ok(take(&answers, &indexes, None)?)
}

/// Returns the first row of each text, and the index of each row's text among those; `None` if they
/// are more than half as many as the rows.
fn places(texts: &StringViewArray) -> Option<(UInt32Array, UInt32Array)> {
    let most = texts.len() / 2;
    let (mut first, mut indexes) = (Vec::new(), Vec::with_capacity(texts.len()));
    let mut known: HashMap<(u128, bool), u32> = HashMap::with_capacity(most);
    for (row, &view) in texts.views().iter().enumerate() {
        let next = first.len() as u32;
        let index = *known.entry((view, texts.is_null(row))).or_insert(next);
        if index == next {
            if first.len() == most {
                return None;
            }
            first.push(row as u32);
        }
        indexes.push(index);
    }
    Some((first.into(), indexes.into()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::Int64Type;

    use super::*;

    #[test]
    fn each_row_has_the_answer_of_its_text() {
        let texts =
            [Some(""), None, Some("a"), Some("a text of more than twelve bytes"), Some("b")];
        let rows = UInt32Array::from_iter_values((0..1_000).map(|i| i * i % 5));
        let repeated = take(&StringViewArray::from_iter(texts), &rows, None).unwrap();
        let different = StringViewArray::from_iter_values((0..1_000).map(|i| format!("{i}")));
        for (texts, called) in [(repeated.as_string_view(), 3), (&different, 1_000)] {
            let length = |text: Option<&str>| text.map(|text| text.len() as i64);
            let lengths = once_each(texts, |once| {
                assert_eq!(once.len(), called);
                Ok(Arc::new(Int64Array::from_iter(once.iter().map(length))))
            });
            let lengths: Vec<_> = lengths.unwrap().as_primitive::<Int64Type>().iter().collect();
            assert_eq!(lengths, texts.iter().map(length).collect::<Vec<_>>());
        }
    }
}
