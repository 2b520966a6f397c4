//! The `events` table over one [`Snapshot`]: the rows of the hours that the predicates select, from
//! memory and from files.
//!
//! Pruning happens here, before any file is opened: by hour, then by each file's first and last
//! timestamp, from the predicates' time ranges ([`TimeRanges`]) and the file index in memory.
//! Within the files, DataFusion prunes further by row group statistics, page index and bloom
//! filters.

use std::sync::{Arc, OnceLock};

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, Result};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfig, FileScanConfigBuilder, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::{PhysicalExpr, conjunction_opt};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use futures::future::{BoxFuture, ready};
use object_store::ObjectMeta;

use crate::event;
use crate::hour::Hour;
use crate::query::exec::memory::MemtableExec;
use crate::query::exec::scan::EventsSource;
use crate::query::schema::{about_rows, partition_values};
use crate::query::stats::recorder::StatsRecorder;
use crate::query::time_ranges::TimeRanges;
use crate::storage::{DataFile, HourTable, Snapshot, VisitorReader};

/// Returns the URL under which DataFusion finds the snapshot's object store.
pub fn store_url() -> ObjectStoreUrl {
    ObjectStoreUrl::parse("hourglass://store").expect("a valid URL")
}

/// The rows that a scan returns, and the representation of their users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    All,
    Files,
    Memory,
    /// The rows in memory, with `user_id` as a dictionary array of the codes that the store uses
    /// for the users of each hour.
    MemoryCodes,
}

/// The `events` table of one snapshot.
#[derive(Clone, Debug)]
pub struct EventsTable {
    pub snapshot: Arc<Snapshot>,
    pub part: Part,
    pub recorder: Arc<StatsRecorder>,
    /// Whether predicates select hours; if not, every hour is read.
    pub pruning: bool,
    pub visitors: LazyVisitors,
}

/// The reader of the users of a statement's snapshot, made when the statement first asks for it.
#[derive(Clone, Debug, Default)]
pub struct LazyVisitors(Arc<OnceLock<Arc<VisitorReader>>>);

impl LazyVisitors {
    pub fn of(&self, snapshot: &Arc<Snapshot>) -> &Arc<VisitorReader> {
        self.0.get_or_init(|| Arc::new(VisitorReader::new(snapshot.clone())))
    }
}

impl EventsTable {
    /// Returns the columns of the rows that the scan returns.
    fn columns(&self) -> SchemaRef {
        let table = self.snapshot.schema.table();
        if self.part != Part::MemoryCodes {
            return table.clone();
        }
        let coded = |field: &FieldRef| match field.name().as_str() {
            "user_id" => {
                let codes =
                    DataType::Dictionary(DataType::UInt32.into(), DataType::Utf8View.into());
                Arc::new(Field::new("user_id", codes, false))
            }
            _ => field.clone(),
        };
        Arc::new(Schema::new(table.fields().iter().map(coded).collect::<Vec<_>>()))
    }

    /// Returns the time ranges that the predicates allow.
    fn spans(&self, predicates: &[Expr]) -> TimeRanges {
        TimeRanges::of_all(predicates.iter().filter(|_| self.pruning))
    }

    /// Returns the files of the hours that `spans` touches, without those whose timestamps all lie
    /// outside it.
    pub fn files(&self, spans: &TimeRanges) -> Vec<(Hour, Arc<DataFile>)> {
        let hours = spans.hours().flat_map(|(first, last)| self.snapshot.files.range(first..=last));
        let hours = hours.filter(|(hour, _)| spans.touches(**hour));
        let meets = |file: &&Arc<DataFile>| spans.meets(file.rollup.first_us, file.rollup.last_us);
        hours
            .flat_map(|(hour, files)| {
                files.files.iter().filter(meets).map(|file| (*hour, file.clone()))
            })
            .collect()
    }

    /// Returns the hours in memory that `spans` touches, without those whose timestamps all lie
    /// outside it.
    pub fn tables(&self, spans: &TimeRanges) -> Vec<(Hour, Arc<HourTable>)> {
        let mut tables = Vec::new();
        for (first, last) in spans.hours() {
            for memtable in self.snapshot.memtables() {
                let hours = memtable.hours.range(first..=last);
                let meets = |table: &HourTable| {
                    table
                        .rollup
                        .bounds()
                        .is_some_and(|(first_us, last_us)| spans.meets(first_us, last_us))
                };
                let hours = hours.filter(|(hour, table)| spans.touches(**hour) && meets(table));
                tables.extend(hours.map(|(hour, table)| (*hour, table.clone())));
            }
        }
        tables
    }

    /// Configures the scan of `files`. The predicates skip row groups, pages and rows; they are
    /// evaluated again above the scan.
    fn scan_files(
        &self,
        state: &dyn Session,
        files: Vec<(Hour, Arc<DataFile>)>,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<FileScanConfig> {
        let table_schema = TableSchema::builder(self.snapshot.schema.file().clone())
            .with_table_partition_cols(event::partition_columns())
            .build();
        let columns = table_schema.table_schema().clone();
        let options = state.config_options().execution.parquet.clone();
        let runtime = state.runtime_env();
        // Footers are cached across statements, in bounded memory: a data file never changes under
        // its name.
        let footers = runtime.cache_manager.get_file_metadata_cache();
        let readers =
            CachedParquetFileReaderFactory::new(runtime.object_store(store_url())?, footers);
        let mut source = ParquetSource::new(table_schema)
            .with_table_parquet_options(datafusion::config::TableParquetOptions {
                global: options,
                ..Default::default()
            })
            .with_parquet_file_reader_factory(Arc::new(readers));
        if let Some(predicate) = self.predicate(state, filters)? {
            source = source.with_predicate(predicate);
        }
        let rows: u64 = files.iter().map(|(_, file)| file.rollup.rows()).sum();
        let groups = spread(
            files.into_iter().map(partitioned_file).collect(),
            state.config_options().execution.target_partitions,
        );
        Ok(FileScanConfigBuilder::new(store_url(), Arc::new(source))
            .with_file_groups(groups)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .with_statistics(about_rows(&columns, Some(rows as usize)))
            .build())
    }
}

impl EventsTable {
    /// Returns the predicate that the files apply, beyond the choice of whole hours. Filters
    /// without a physical expression of their own, such as subqueries, are left to the filter above
    /// the scan.
    fn predicate(
        &self,
        state: &dyn Session,
        filters: &[Expr],
    ) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let schema = DFSchema::try_from(self.snapshot.schema.table().clone())?;
        let within_hours = filters.iter().filter(|filter| !self.is_answered_by_hours(filter));
        let physical = within_hours
            .filter_map(|filter| state.create_physical_expr(filter.clone(), &schema).ok());
        Ok(conjunction_opt(physical))
    }

    /// Reports whether the choice of hours already decides `filter`: a filter on whole hours holds
    /// for every row of the hours it selects and for no other, so no row needs to be checked.
    fn is_answered_by_hours(&self, filter: &Expr) -> bool {
        self.pruning && TimeRanges::of(filter).is_whole()
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

/// Divides the files into at most `partitions` groups of consecutive files.
fn spread(files: Vec<PartitionedFile>, partitions: usize) -> Vec<FileGroup> {
    let each = files.len().div_ceil(partitions.max(1)).max(1);
    files.chunks(each).map(|files| FileGroup::new(files.to_vec())).collect()
}

impl EventsTable {
    /// Plans one scan of the hours and files that the filters select.
    fn plan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let spans = self.spans(filters);
        let tables = if self.part == Part::Files { Vec::new() } else { self.tables(&spans) };
        let files = if matches!(self.part, Part::All | Part::Files) {
            self.files(&spans)
        } else {
            Vec::new()
        };
        self.recorder.scanned(&self.snapshot, &tables, &files);
        let memory = if tables.is_empty() {
            None
        } else {
            let partitions = state.config_options().execution.target_partitions;
            Some(Arc::new(MemtableExec::new(
                &self.snapshot.schema,
                &tables,
                self.columns(),
                projection,
                partitions,
            )?))
        };
        let files = if files.is_empty() {
            None
        } else {
            Some(self.scan_files(state, files, projection, filters, limit)?)
        };
        Ok(match (memory, files) {
            (Some(memory), Some(files)) => {
                DataSourceExec::from_data_source(EventsSource::new(memory, Arc::new(files)))
            }
            (Some(memory), None) => memory,
            (None, Some(files)) => DataSourceExec::from_data_source(files),
            (None, None) => {
                let columns = projection
                    .map_or_else(|| (0..self.columns().fields().len()).collect(), Vec::clone);
                Arc::new(EmptyExec::new(Arc::new(self.columns().project(&columns)?)))
            }
        })
    }
}

impl TableProvider for EventsTable {
    fn schema(&self) -> SchemaRef {
        self.columns()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| {
            if self.is_answered_by_hours(filter) {
                TableProviderFilterPushDown::Exact
            } else {
                TableProviderFilterPushDown::Inexact
            }
        };
        Ok(filters.iter().map(support).collect())
    }

    /// Written out as `async_trait` would expand it, except that the future holds no expression:
    /// the compiler takes ten seconds to prove that one is `Sync`.
    fn scan<'life0, 'life1, 'life2, 'life3, 'async_trait>(
        &'life0 self,
        state: &'life1 dyn Session,
        projection: Option<&'life2 Vec<usize>>,
        filters: &'life3 [Expr],
        limit: Option<usize>,
    ) -> BoxFuture<'async_trait, Result<Arc<dyn ExecutionPlan>>>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        'life2: 'async_trait,
        'life3: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(ready(self.plan(state, projection, filters, limit)))
    }
}
