//! The groups of rows, as several threads find them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{ArrayRef, UInt32Array, new_empty_array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::logical_expr::EmitTo;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;

/// The groups of all threads.
pub struct Groups {
    schema: SchemaRef,
    /// A mutex held for the new groups of a batch.
    values: Mutex<Box<dyn GroupValues>>,
    bytes: AtomicUsize,
}

impl Groups {
    /// `schema` is of the columns that make a group.
    pub fn new(schema: &SchemaRef) -> Result<Groups> {
        let values = Mutex::new(new_group_values(schema.clone(), &GroupOrdering::None)?);
        Ok(Groups { schema: schema.clone(), values, bytes: 0.into() })
    }

    pub fn len(&self) -> usize {
        self.values.lock().expect("no panic under this lock").len()
    }

    /// Returns the number of bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Takes the columns of all groups out.
    pub fn take(&self) -> Result<Vec<ArrayRef>> {
        let mut values = self.values.lock().expect("no panic under this lock");
        if values.is_empty() {
            let fields = self.schema.fields().iter();
            return Ok(fields.map(|field| new_empty_array(field.data_type())).collect());
        }
        values.emit(EmitTo::All)
    }
}

/// The groups of the rows that one thread has seen.
pub struct OwnGroups {
    values: Box<dyn GroupValues>,
    /// Index of each of them among the groups of all threads.
    places: Vec<u32>,
    /// Groups of the rows of a batch.
    of_rows: Vec<usize>,
    bytes: usize,
}

impl OwnGroups {
    pub fn new(schema: &SchemaRef) -> Result<OwnGroups> {
        let values = new_group_values(schema.clone(), &GroupOrdering::None)?;
        let (places, of_rows, bytes) = Default::default();
        Ok(OwnGroups { values, places, of_rows, bytes })
    }

    /// Finds the groups of a batch's rows.
    pub fn find(&mut self, columns: &[ArrayRef], all: &Groups) -> Result<()> {
        let known = self.places.len();
        self.values.intern(columns, &mut self.of_rows)?;
        if self.values.len() > known {
            let mut rows = vec![0; self.values.len() - known];
            let new = self.of_rows.iter().enumerate().filter(|(_, group)| **group >= known);
            new.for_each(|(row, group)| rows[group - known] = row as u32);
            let rows = UInt32Array::from(rows);
            let columns = columns
                .iter()
                .map(|column| Ok(take(column, &rows, None)?))
                .collect::<Result<Vec<_>>>()?;
            let mut places = Vec::new();
            let mut values = all.values.lock().expect("no panic under this lock");
            values.intern(&columns, &mut places)?;
            all.bytes.store(values.size(), Ordering::Relaxed);
            drop(values);
            self.places.extend(places.iter().map(|place| *place as u32));
            self.bytes = self.values.size() + self.places.capacity() * size_of::<u32>();
        }
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Returns the number of bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the group of each row of the batch, among its own.
    pub fn of_rows(&self) -> &[usize] {
        &self.of_rows
    }

    /// Returns the group of a row of the batch, among those of all threads.
    pub fn of(&self, row: usize) -> usize {
        self.place(self.of_rows[row])
    }

    /// Returns the place of a group of its own among those of all threads.
    pub fn place(&self, own: usize) -> usize {
        self.places[own] as usize
    }
}
