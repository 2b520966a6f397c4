//! The `events` table over one [`Snapshot`]: the hours that a predicate leaves, from memory and from files, as one.
//!
//! Pruning happens here, before anything is opened: by hour, then by each file's first and last timestamp, from the
//! predicate's bounds ([`Spans`]) and the file index in memory. Within the files, DataFusion goes on with the statistics of
//! row groups, page index and bloom filters.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::scalar::ScalarValue;
use object_store::ObjectMeta;

use super::memory::MemtableExec;
use super::receipt::Receipt;
use super::scan::EventsSource;
use super::spans::Spans;
use crate::event;
use crate::hour::Hour;
use crate::storage::{DataFile, HourTable, Snapshot};

/// Under this URL DataFusion finds the snapshot's object store.
pub fn store_url() -> ObjectStoreUrl {
    ObjectStoreUrl::parse("hourglass://store").expect("a valid URL")
}

fn partition_columns() -> [FieldRef; 2] {
    [Field::new("date", DataType::Date32, false).into(), Field::new("hour", DataType::Int32, false).into()]
}

/// `timestamp`, `user_id`, `event`, `date`, `hour`.
pub fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let fields: Vec<FieldRef> = event::file_schema().fields().iter().cloned().chain(partition_columns()).collect();
        Arc::new(Schema::new(fields))
    });
    SCHEMA.clone()
}

impl Part {
    fn schema(self) -> SchemaRef {
        static CODES: LazyLock<SchemaRef> = LazyLock::new(|| {
            let coded = |field: &FieldRef| match field.name().as_str() {
                "user_id" => {
                    let codes = DataType::Dictionary(DataType::UInt32.into(), DataType::Utf8View.into());
                    Arc::new(Field::new("user_id", codes, false))
                }
                _ => field.clone(),
            };
            Arc::new(Schema::new(schema().fields().iter().map(coded).collect::<Vec<_>>()))
        });
        match self {
            Part::MemoryCodes => CODES.clone(),
            _ => schema(),
        }
    }
}

/// The values of the partition columns.
pub fn partition_values(hour: Hour) -> [ScalarValue; 2] {
    let days = hour.0.div_euclid(24) as i32;
    [ScalarValue::Date32(Some(days)), ScalarValue::Int32(Some(hour.of_day()))]
}

/// Which of the rows a scan gives, and how it gives the users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    All,
    Files,
    Memory,
    /// Those in memory, `user_id` as a dictionary: the codes that the store has for the users of each hour.
    MemoryCodes,
}

/// The table as one snapshot has it.
#[derive(Clone, Debug)]
pub struct EventsTable {
    pub snapshot: Arc<Snapshot>,
    pub part: Part,
    pub receipt: Arc<Receipt>,
    /// Whether predicates choose among the hours; every hour is read otherwise.
    pub pruning: bool,
}

impl EventsTable {
    /// What the predicates leave of time.
    fn spans(&self, predicates: &[Expr]) -> Spans {
        Spans::of_all(predicates.iter().filter(|_| self.pruning))
    }

    /// The files of the hours that the spans touch, but for those whose timestamps all lie outside.
    pub fn files(&self, spans: &Spans) -> Vec<(Hour, Arc<DataFile>)> {
        let hours = spans.hours().flat_map(|(first, last)| self.snapshot.files.range(first..=last));
        let hours = hours.filter(|(hour, _)| spans.touches(**hour));
        let meets = |file: &&Arc<DataFile>| spans.meets(file.rollup.min_us, file.rollup.max_us);
        hours.flat_map(|(hour, files)| files.files.iter().filter(meets).map(|file| (*hour, file.clone()))).collect()
    }

    /// The same of the hours in memory.
    pub fn tables(&self, spans: &Spans) -> Vec<(Hour, Arc<HourTable>)> {
        let mut tables = Vec::new();
        for (first, last) in spans.hours() {
            for memtable in self.snapshot.memtables() {
                let hours = memtable.hours.range(first..=last);
                let meets = |table: &HourTable| table.rows() > 0 && spans.meets(table.min_us, table.max_us);
                let hours = hours.filter(|(hour, table)| spans.touches(**hour) && meets(table));
                tables.extend(hours.map(|(hour, table)| (*hour, table.clone())));
            }
        }
        tables
    }

    /// The predicate reaches the files by DataFusion's filter pushdown.
    fn scan_files(
        &self,
        state: &dyn Session,
        files: Vec<(Hour, Arc<DataFile>)>,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<FileScanConfig> {
        let table_schema =
            TableSchema::builder(event::file_schema()).with_table_partition_cols(partition_columns()).build();
        let options = state.config_options().execution.parquet.clone();
        let runtime = state.runtime_env();
        // Footers are kept from one statement to the next, in bounded memory: a data file never changes under its name.
        let footers = runtime.cache_manager.get_file_metadata_cache();
        let readers = CachedParquetFileReaderFactory::new(runtime.object_store(store_url())?, footers);
        let source = ParquetSource::new(table_schema)
            .with_table_parquet_options(datafusion::config::TableParquetOptions {
                global: options,
                ..Default::default()
            })
            .with_parquet_file_reader_factory(Arc::new(readers));
        let groups = spread(
            files.into_iter().map(partitioned_file).collect(),
            state.config_options().execution.target_partitions,
        );
        Ok(FileScanConfigBuilder::new(store_url(), Arc::new(source))
            .with_file_groups(groups)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build())
    }
}

fn partitioned_file((hour, file): (Hour, Arc<DataFile>)) -> PartitionedFile {
    let meta = ObjectMeta {
        location: file.location.clone(),
        last_modified: Default::default(),
        size: file.bytes,
        e_tag: None,
        version: None,
    };
    PartitionedFile::new_from_meta(meta).with_partition_values(partition_values(hour).to_vec())
}

/// Deals the files out to `partitions` groups, a run of neighbours each.
fn spread(files: Vec<PartitionedFile>, partitions: usize) -> Vec<FileGroup> {
    let each = files.len().div_ceil(partitions.max(1)).max(1);
    files.chunks(each).map(|files| FileGroup::new(files.to_vec())).collect()
}

#[async_trait]
impl TableProvider for EventsTable {
    fn schema(&self) -> SchemaRef {
        self.part.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // What bounds whole hours holds for every row of the hours it leaves, and for no other: no row need be looked at.
        let support = |filter: &&Expr| match self.pruning && Spans::of(filter).is_whole() {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Inexact,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let spans = self.spans(filters);
        let tables = if self.part == Part::Files { Vec::new() } else { self.tables(&spans) };
        let files = if matches!(self.part, Part::All | Part::Files) { self.files(&spans) } else { Vec::new() };
        self.receipt.scanned(&self.snapshot, &tables, &files);
        let memory = match tables.is_empty() {
            true => None,
            false => {
                let partitions = state.config_options().execution.target_partitions;
                Some(Arc::new(MemtableExec::new(&tables, self.part.schema(), projection, partitions)?))
            }
        };
        let files = match files.is_empty() {
            true => None,
            false => Some(self.scan_files(state, files, projection, limit)?),
        };
        Ok(match (memory, files) {
            (Some(memory), Some(files)) => DataSourceExec::from_data_source(EventsSource::new(memory, Arc::new(files))),
            (Some(memory), None) => memory,
            (None, Some(files)) => DataSourceExec::from_data_source(files),
            (None, None) => {
                let columns = projection.map_or_else(|| (0..schema().fields().len()).collect(), Vec::clone);
                Arc::new(EmptyExec::new(Arc::new(self.part.schema().project(&columns)?)))
            }
        })
    }
}
