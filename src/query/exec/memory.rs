//! Scan of the hours in memory: columns are converted to Arrow batches on demand.

use std::fmt;
use std::sync::{Arc, OnceLock};

use arrow::array::{
    ArrayRef, DictionaryArray, RecordBatch, RecordBatchOptions, StringViewArray,
    TimestampMicrosecondArray, UInt8Array, UInt32Array, new_null_array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion::common::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::stream;

use super::leaf::leaf;
use crate::event::{EventSchema, OWN_COLUMNS};
use crate::hour::Hour;
use crate::query::schema::partition_values;
use crate::storage::{ABSENT, Chunk, HourTable};

/// Maximum number of rows in a batch.
const BATCH_ROWS: usize = 8_192;

/// An hour to scan, with its user names as an array that is made once for all partitions.
#[derive(Debug)]
struct Scan {
    hour: Hour,
    table: Arc<HourTable>,
    schema: EventSchema,
    names: OnceLock<ArrayRef>,
    /// The values of each dimension, as arrays.
    values: Box<[OnceLock<ArrayRef>]>,
}

/// A range of rows of one chunk.
#[derive(Clone, Debug)]
struct Piece {
    scan: Arc<Scan>,
    chunk: Arc<Chunk>,
    start: usize,
    len: usize,
}

/// Plan node that scans hours in memory. Each of n partitions takes every n-th range of rows.
#[derive(Debug)]
pub struct MemtableExec {
    hours: usize,
    rows: u64,
    columns: Vec<usize>,
    partitions: Vec<Vec<Piece>>,
    properties: Arc<PlanProperties>,
}

impl MemtableExec {
    pub fn new(
        events: &EventSchema,
        tables: &[(Hour, Arc<HourTable>)],
        schema: SchemaRef,
        projection: Option<&Vec<usize>>,
        partitions: usize,
    ) -> Result<MemtableExec> {
        let columns = projection.map_or_else(|| (0..schema.fields().len()).collect(), Vec::clone);
        let (hours, rows) = (tables.len(), tables.iter().map(|(_, table)| table.rows()).sum());
        let mut pieces = Vec::new();
        for (hour, table) in tables {
            let scan = Arc::new(Scan {
                hour: *hour,
                table: table.clone(),
                schema: events.clone(),
                names: OnceLock::new(),
                values: events.dimensions().iter().map(|_| OnceLock::new()).collect(),
            });
            for chunk in table.chunks() {
                for start in (0..chunk.rows()).step_by(BATCH_ROWS) {
                    let len = BATCH_ROWS.min(chunk.rows() - start);
                    pieces.push(Piece { scan: scan.clone(), chunk: chunk.clone(), start, len });
                }
            }
        }
        let mut dealt = vec![Vec::new(); partitions.clamp(1, pieces.len().max(1))];
        let count = dealt.len();
        pieces.into_iter().enumerate().for_each(|(i, piece)| dealt[i % count].push(piece));
        let projected: SchemaRef = Arc::new(schema.project(&columns)?);
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(projected),
            Partitioning::UnknownPartitioning(count),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        Ok(MemtableExec { hours, rows, columns, partitions: dealt, properties })
    }

    pub fn hours(&self) -> usize {
        self.hours
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }
}

impl Piece {
    fn to_batch(&self, schema: SchemaRef, columns: &[usize]) -> Result<RecordBatch> {
        let column = |(column, field): (&usize, &FieldRef)| self.column(*column, field.data_type());
        let arrays = columns.iter().zip(schema.fields()).map(column).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.len));
        Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
    }

    fn column(&self, column: usize, as_type: &DataType) -> Result<ArrayRef> {
        let (start, len) = (self.start, self.len);
        match column {
            0 => {
                let timestamps = self.chunk.timestamps_us.slice(start, len);
                Ok(Arc::new(TimestampMicrosecondArray::new(timestamps, None).with_timezone("UTC")))
            }
            1 => {
                let names =
                    self.scan.names.get_or_init(|| Arc::new(self.scan.table.users.to_array()));
                let codes = UInt32Array::new(self.chunk.users.slice(start, len), None);
                match as_type {
                    DataType::Dictionary(..) => {
                        Ok(Arc::new(DictionaryArray::try_new(codes, names.clone())?))
                    }
                    _ => Ok(take(names, &codes, None)?),
                }
            }
            2 => {
                let kinds = StringViewArray::from_iter_values(self.scan.schema.kind_names());
                Ok(take(&kinds, &UInt8Array::new(self.chunk.kinds.slice(start, len), None), None)?)
            }
            column => {
                let declared = column - OWN_COLUMNS;
                match declared.checked_sub(self.scan.values.len()) {
                    None => self.values(declared),
                    Some(partition) => {
                        partition_values(self.scan.hour)[partition].to_array_of_size(len)
                    }
                }
            }
        }
    }

    /// Returns the values of a dimension.
    fn values(&self, dimension: usize) -> Result<ArrayRef> {
        let Some(codes) = self.chunk.values(dimension) else {
            return Ok(new_null_array(&DataType::Utf8View, self.len));
        };
        let values = self.scan.values[dimension]
            .get_or_init(|| Arc::new(self.scan.table.values[dimension].to_array()));
        let codes = codes.slice(self.start, self.len);
        let is_there = codes.iter().map(|code| *code != ABSENT).collect::<Vec<bool>>();
        // An absent value has a code out of range, which is not looked at.
        let codes = UInt32Array::new(codes, Some(is_there.into()));
        Ok(take(values, &codes, None)?)
    }
}

impl DisplayAs for MemtableExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "MemtableExec: hours={}, rows={}", self.hours, self.rows)
    }
}

impl ExecutionPlan for MemtableExec {
    leaf!("MemtableExec", |scan| scan.rows as usize);

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (schema, columns) = (self.schema(), self.columns.clone());
        let pieces = self.partitions[partition].clone();
        let to = schema.clone();
        let batches = pieces.into_iter().map(move |piece| piece.to_batch(to.clone(), &columns));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter(batches))))
    }
}
