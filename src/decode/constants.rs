//! Constant columns: added to the record batches of a file that lacks them.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Int32Array, RecordBatch, RecordBatchOptions, StringArray,
};
use arrow::datatypes::{Field, Int32Type, Schema, SchemaRef};
use arrow::error::ArrowError;

use super::options::{Constant, Options};

/// Constants that a file lacks. They stand behind its own columns.
pub struct Constants(Vec<Constant>);

impl Constants {
    /// Selects the constants that no column of a file stands for: one of the same name in any case,
    /// or `user` for `user_id`.
    pub fn lacking(schema: &Schema, options: &Options) -> Constants {
        let (columns, store) = (&options.columns, &options.schema);
        let stands_for = |own: &str, name: &str| match columns.which(name) {
            Some(column) => columns.which(own) == Some(column),
            None => match columns.dimension(store, name) {
                Some(dimension) => columns.dimension(store, own) == Some(dimension),
                None => own.eq_ignore_ascii_case(name),
            },
        };
        let is_there = |constant: &&Constant| {
            schema.fields().iter().any(|field| stands_for(field.name(), &constant.name))
        };
        Constants(
            options.constants.iter().filter(|constant| !is_there(constant)).cloned().collect(),
        )
    }

    /// Returns the schema with the constants.
    pub fn widen(&self, schema: &SchemaRef) -> SchemaRef {
        if self.0.is_empty() {
            return schema.clone();
        }
        let empty = column(None, 0);
        let constants = self
            .0
            .iter()
            .map(|constant| Arc::new(Field::new(&constant.name, empty.data_type().clone(), true)));
        let fields: Vec<_> = schema.fields().iter().cloned().chain(constants).collect();
        Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
    }

    pub fn append_to(&self, batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
        if self.0.is_empty() {
            return Ok(batch);
        }
        let rows = batch.num_rows();
        let schema = self.widen(&batch.schema());
        let constants = self.0.iter().map(|constant| column(constant.value.as_deref(), rows));
        let columns = batch.columns().iter().cloned().chain(constants).collect();
        // A batch of constants alone tells its number of rows in no column.
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(schema, columns, &options)
    }
}

/// Returns a column of one value. A dictionary, so that the text is there once.
fn column(value: Option<&str>, rows: usize) -> ArrayRef {
    // Null keys, because the cast to views takes null values for empty texts.
    let keys = match value {
        Some(_) => Int32Array::from(vec![0; rows]),
        None => Int32Array::new_null(rows),
    };
    let values = Arc::new(StringArray::from(vec![value]));
    Arc::new(DictionaryArray::<Int32Type>::new(keys, values))
}
