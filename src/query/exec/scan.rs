//! Scan of events in files and in memory, as one leaf of the plan.
//!
//! Each partition reads its share of the rows in memory and then its share of the files. A union of
//! the two would have twice as many partitions as were asked for, and DataFusion starts a task for
//! each. Reading one after the other is correct only in a leaf: an operator between them, such as a
//! hash join, could wait for all partitions.

use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics};
use datafusion::datasource::source::{DataSource, OpenArgs};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, Partitioning, PhysicalExpr};
use datafusion::physical_plan::filter_pushdown::{FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan};
use futures::{StreamExt, TryStreamExt, stream};

use super::memory::MemtableExec;
use crate::query::schema::about_rows;

/// Data source of rows in memory and in files, with one schema.
#[derive(Clone, Debug)]
pub struct EventsSource {
    memory: Arc<MemtableExec>,
    files: Arc<dyn DataSource>,
}

impl EventsSource {
    pub fn new(memory: Arc<MemtableExec>, files: Arc<dyn DataSource>) -> EventsSource {
        EventsSource { memory, files }
    }

    fn memory_partitions(&self) -> usize {
        self.memory.properties().partitioning.partition_count()
    }

    fn file_partitions(&self) -> usize {
        self.files.output_partitioning().partition_count()
    }

    pub fn files(&self) -> &Arc<dyn DataSource> {
        &self.files
    }

    pub fn with_files(&self, files: Arc<dyn DataSource>) -> Arc<dyn DataSource> {
        Arc::new(EventsSource { files, ..self.clone() })
    }
}

impl DataSource for EventsSource {
    fn open(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        self.open_with_args(OpenArgs::new(partition, context))
    }

    fn open_with_args(&self, args: OpenArgs) -> Result<SendableRecordBatchStream> {
        let memory = if args.partition < self.memory_partitions() {
            self.memory.execute(args.partition, args.context.clone())?.left_stream()
        } else {
            stream::empty().right_stream()
        };
        // Files are opened only after the rows in memory have been read: until then, a filter that
        // a join is still building may narrow them.
        let files = (args.partition < self.file_partitions()).then(|| self.files.clone());
        let files =
            stream::iter(files).map(move |files| files.open_with_args(args.clone())).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.memory.schema(), memory.chain(files))))
    }

    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "memory={{hours={}, rows={}}}, ", self.memory.hours(), self.memory.rows())?;
        self.files.fmt_as(format, f)
    }

    fn repartitioned(
        &self,
        partitions: usize,
        min_bytes: usize,
        ordering: Option<LexOrdering>,
    ) -> Result<Option<Arc<dyn DataSource>>> {
        let files = self.files.repartitioned(partitions, min_bytes, ordering)?;
        Ok(files.map(|files| self.with_files(files)))
    }

    fn output_partitioning(&self) -> Partitioning {
        Partitioning::UnknownPartitioning(self.memory_partitions().max(self.file_partitions()))
    }

    /// Claims only the schema: a property of the rows in files, such as a predicate they have
    /// passed, need not hold for those in memory.
    fn eq_properties(&self) -> EquivalenceProperties {
        EquivalenceProperties::new(self.memory.schema())
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let rows = if partition.is_none() {
            let in_files = self.files.partition_statistics(None)?;
            in_files.num_rows.get_value().map(|rows| rows + self.memory.rows() as usize)
        } else {
            None
        };
        Ok(Arc::new(about_rows(&self.memory.schema(), rows)))
    }

    fn with_fetch(&self, _: Option<usize>) -> Option<Arc<dyn DataSource>> {
        None
    }

    fn fetch(&self) -> Option<usize> {
        None
    }

    fn metrics(&self) -> ExecutionPlanMetricsSet {
        self.files.metrics()
    }

    fn try_swapping_with_projection(
        &self,
        _: &ProjectionExprs,
    ) -> Result<Option<Arc<dyn DataSource>>> {
        Ok(None)
    }

    /// The files use the filters that they can; every filter is evaluated again above the scan, for
    /// the rows in memory.
    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn DataSource>>> {
        let rejected = vec![PushedDown::No; filters.len()];
        let files = self.files.try_pushdown_filters(filters, config)?;
        let updated_node = files.updated_node.map(|files| self.with_files(files));
        Ok(FilterPushdownPropagation { filters: rejected, updated_node })
    }

    fn create_sibling_state(
        &self,
        config: &ConfigOptions,
    ) -> Option<Arc<dyn std::any::Any + Send + Sync>> {
        self.files.create_sibling_state(config)
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.files.apply_expressions(visit)
    }
}
