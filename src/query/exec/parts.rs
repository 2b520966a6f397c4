//! Splits batches into parts for writers: a batch of long texts may be hundreds of megabytes, and
//! as much again when written as text.

use arrow::array::{Array, AsArray, GenericByteViewArray, RecordBatch};
use arrow::datatypes::{ByteViewType, DataType};

/// Target bytes of the values in a part.
const PART_BYTES: usize = 4 << 20;

/// Splits a batch into parts of about [`PART_BYTES`]. No value is copied.
pub fn split(batch: RecordBatch) -> Vec<RecordBatch> {
    let bytes: usize = batch.columns().iter().map(|column| bytes(column)).sum();
    let rows = batch.num_rows();
    let rows_of_part = rows.div_ceil((bytes / PART_BYTES).max(1)).max(1);
    if rows_of_part >= rows {
        return vec![batch];
    }
    let part = |start: usize| batch.slice(start, rows_of_part.min(rows - start));
    (0..rows).step_by(rows_of_part).map(part).collect()
}

/// Returns the bytes of an array's own values, without buffers that it shares with other batches,
/// such as an hour's users.
fn bytes(array: &dyn Array) -> usize {
    match array.data_type() {
        DataType::Utf8View => view_bytes(array.as_string_view()),
        DataType::BinaryView => view_bytes(array.as_binary_view()),
        DataType::Dictionary(..) => bytes(array.as_any_dictionary().keys()),
        _ => array
            .to_data()
            .get_slice_memory_size()
            .unwrap_or_else(|_| array.get_array_memory_size()),
    }
}

/// Returns the bytes of a view array: 16 for each view, plus each value longer than 12 bytes, which
/// is stored outside its view.
fn view_bytes<T: ByteViewType>(array: &GenericByteViewArray<T>) -> usize {
    let long =
        array.lengths().filter(|length| *length > 12).map(|length| length as usize).sum::<usize>();
    16 * array.len() + long
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringViewArray};

    use super::*;

    #[test]
    fn long_rows_come_in_parts_and_short_ones_together() {
        let batch = |text: &str, rows: usize| {
            let texts: ArrayRef = Arc::new(StringViewArray::from(vec![text; rows]));
            RecordBatch::try_from_iter([("text", texts)]).unwrap()
        };
        assert_eq!(split(batch("short", 8_192)).len(), 1);
        assert_eq!(split(batch("short", 0)).len(), 1);
        let parts = split(batch(&"x".repeat(1 << 20), 9));
        assert_eq!(parts.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [5, 4]);
        assert_eq!(split(batch(&"x".repeat(8 << 20), 3)).len(), 3);
    }
}
