//! Aggregates over whole hours, answered from exact counters instead of rows.
//!
//! [`RollupRule`] finds an aggregate without groups over `events`, bounded to whole hours by time alone, whose measures the
//! store keeps exactly: rows, clicks, impressions, and for one hour its distinct users. It puts a scan of the table
//! `rollups` in its place, which [`RollupExec`] runs. What does not fit exactly is left as it is.
//! `SET hourglass.rollups = false` leaves everything as it is, with the same answers.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::ConfigExtension;
use datafusion::common::extensions_options;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::datasource::{TableType, provider_as_source, source_as_provider};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Aggregate, BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator, TableScan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use datafusion::prelude::ident;
use futures::stream;

use super::spans::Spans;
use super::table::EventsTable;
use crate::event::EventKind;
use crate::hour::Hour;
use crate::storage::{HourNumbers, Snapshot};

extensions_options! {
    /// Settings of a session, `SET hourglass.…`.
    pub struct HourglassOptions {
        /// Whether aggregates over whole hours are answered from rollups.
        pub rollups: bool, default = true
    }
}

impl ConfigExtension for HourglassOptions {
    const PREFIX: &'static str = "hourglass";
}

/// What the store keeps exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    Events,
    Of(EventKind),
    UniqueUsers,
}

impl Measure {
    fn name(self) -> &'static str {
        match self {
            Measure::Events => "events",
            Measure::Of(EventKind::Click) => "clicks",
            Measure::Of(EventKind::Impression) => "impressions",
            Measure::UniqueUsers => "unique_users",
        }
    }

    fn of(self, numbers: HourNumbers) -> i64 {
        let count = match self {
            Measure::Events => numbers.clicks + numbers.impressions,
            Measure::Of(EventKind::Click) => numbers.clicks,
            Measure::Of(EventKind::Impression) => numbers.impressions,
            Measure::UniqueUsers => numbers.unique_users,
        };
        count as i64
    }

    /// The measure that an aggregate over unfiltered rows is, where it is one.
    fn of_aggregate(expr: &Expr) -> Option<Measure> {
        let expr = expr.clone().unalias_nested().data;
        let Expr::AggregateFunction(function) = &expr else { return None };
        let params = &function.params;
        if function.func.name() != "count" || !params.order_by.is_empty() || params.null_treatment.is_some() {
            return None;
        }
        let [argument] = &params.args[..] else { return None };
        match (argument, params.distinct, &params.filter) {
            (Expr::Column(column), true, None) if column.name == "user_id" => Some(Measure::UniqueUsers),
            (_, true, _) => None,
            // No column of the table is ever null.
            (Expr::Column(_), false, filter) => Measure::of_filter(filter.as_deref()),
            (Expr::Literal(value, _), false, filter) if !value.is_null() => Measure::of_filter(filter.as_deref()),
            _ => None,
        }
    }

    fn of_filter(filter: Option<&Expr>) -> Option<Measure> {
        let Some(filter) = filter else { return Some(Measure::Events) };
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = filter else { return None };
        let ((Expr::Column(column), Expr::Literal(value, _)) | (Expr::Literal(value, _), Expr::Column(column))) =
            (&**left, &**right)
        else {
            return None;
        };
        let kind = value.try_as_str().flatten().and_then(EventKind::parse);
        kind.filter(|_| column.name == "event").map(Measure::Of)
    }
}

/// The optimizer rule. It must run after predicates are pushed down and before distinct aggregates are taken apart.
#[derive(Debug, Default)]
pub struct RollupRule;

impl OptimizerRule for RollupRule {
    fn name(&self) -> &str {
        "hourglass_rollups"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let options = config.options();
        if options.extensions.get::<HourglassOptions>().is_some_and(|options| !options.rollups) {
            return Ok(Transformed::no(plan));
        }
        let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(Transformed::no(plan)) };
        match answer(aggregate)? {
            Some(answer) => Ok(Transformed::yes(answer)),
            None => Ok(Transformed::no(plan)),
        }
    }
}

fn answer(aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    if !aggregate.group_expr.is_empty() {
        return Ok(None);
    }
    let Some((scan, predicates)) = scan_below(&aggregate.input) else { return Ok(None) };
    let provider = source_as_provider(&scan.source)?;
    let Some(events) = (provider.as_ref() as &dyn Any).downcast_ref::<EventsTable>() else { return Ok(None) };
    let Some((first, last)) = Spans::of_all(predicates).whole_hours() else { return Ok(None) };
    let measures: Option<Vec<Measure>> = aggregate.aggr_expr.iter().map(Measure::of_aggregate).collect();
    let Some(measures) = measures else { return Ok(None) };
    if first != last && measures.contains(&Measure::UniqueUsers) {
        return Ok(None);
    }
    let table = RollupTable { snapshot: events.snapshot.clone(), first, last, measures };
    let fields = table.schema();
    let names = aggregate.schema.fields().iter().zip(fields.fields());
    let columns: Vec<Expr> = names.map(|(name, field)| ident(field.name()).alias(name.name())).collect();
    let scan = LogicalPlanBuilder::scan("rollups", provider_as_source(Arc::new(table)), None)?;
    Ok(Some(scan.project(columns)?.build()?))
}

/// The scan of a table below filters alone, and all predicates on the way and in it.
fn scan_below(mut plan: &LogicalPlan) -> Option<(&TableScan, Vec<&Expr>)> {
    let mut predicates = Vec::new();
    loop {
        match plan {
            LogicalPlan::Filter(filter) => {
                predicates.extend(split_conjunction(&filter.predicate));
                plan = &filter.input;
            }
            LogicalPlan::Projection(projection) if projection.expr.iter().all(|e| matches!(e, Expr::Column(_))) => {
                plan = &projection.input;
            }
            LogicalPlan::TableScan(scan) if scan.fetch.is_none() => {
                predicates.extend(&scan.filters);
                return Some((scan, predicates));
            }
            _ => return None,
        }
    }
}

/// One row: measures of the hours `first..=last`.
#[derive(Debug)]
struct RollupTable {
    snapshot: Arc<Snapshot>,
    first: Hour,
    last: Hour,
    measures: Vec<Measure>,
}

#[async_trait]
impl TableProvider for RollupTable {
    fn schema(&self) -> SchemaRef {
        // A measure asked for twice keeps its place in the name.
        let field = |(i, measure): (usize, &Measure)| {
            let repeated = self.measures[..i].contains(measure);
            let name = if repeated { format!("{}_{i}", measure.name()) } else { measure.name().to_string() };
            Field::new(name, DataType::Int64, false)
        };
        Arc::new(Schema::new(self.measures.iter().enumerate().map(field).collect::<Vec<_>>()))
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = projection.map_or_else(|| (0..self.measures.len()).collect(), Vec::clone);
        let schema = Arc::new(self.schema().project(&columns)?);
        let measures = columns.iter().map(|&column| self.measures[column]).collect();
        Ok(Arc::new(RollupExec::new(self.snapshot.clone(), self.first, self.last, measures, schema)))
    }
}

/// Answers one row from the counters of the hours `first..=last`.
#[derive(Clone, Debug)]
pub struct RollupExec {
    snapshot: Arc<Snapshot>,
    first: Hour,
    last: Hour,
    measures: Arc<[Measure]>,
    properties: Arc<PlanProperties>,
}

impl RollupExec {
    fn new(
        snapshot: Arc<Snapshot>,
        first: Hour,
        last: Hour,
        measures: Arc<[Measure]>,
        schema: SchemaRef,
    ) -> RollupExec {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        // One row, at once: there is nothing to yield in between.
        let properties = Arc::new(properties.with_scheduling_type(SchedulingType::Cooperative));
        RollupExec { snapshot, first, last, measures, properties }
    }

    /// The same measures of another hour of another snapshot: how a plan made once answers every hour.
    pub fn rebind(&self, snapshot: Arc<Snapshot>, hour: Hour) -> RollupExec {
        let (measures, properties) = (self.measures.clone(), self.properties.clone());
        RollupExec { snapshot, first: hour, last: hour, measures, properties }
    }

    /// The answer, where no file need be read for it.
    pub fn answer_now(&self) -> Option<Result<RecordBatch>> {
        let numbers = match self.first == self.last {
            true => self.snapshot.numbers_now(self.first)?,
            false => self.snapshot.counts(self.first, self.last),
        };
        Some(self.batch(numbers))
    }

    fn batch(&self, numbers: HourNumbers) -> Result<RecordBatch> {
        let column = |measure: &Measure| Arc::new(Int64Array::from_value(measure.of(numbers), 1)) as ArrayRef;
        Ok(RecordBatch::try_new(self.schema(), self.measures.iter().map(column).collect())?)
    }
}

impl DisplayAs for RollupExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let measures: Vec<&str> = self.measures.iter().map(|measure| measure.name()).collect();
        match self.first == self.last {
            true => write!(f, "RollupExec: hour={}", self.first)?,
            false => write!(f, "RollupExec: hours={}..={}", self.first, self.last)?,
        }
        write!(f, ", measures=[{}]", measures.join(", "))
    }
}

impl ExecutionPlan for RollupExec {
    fn name(&self) -> &str {
        "RollupExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match children.is_empty() {
            true => Ok(self),
            false => internal_err!("RollupExec has no children"),
        }
    }

    /// Takes over a projection that only picks and renames, so that the whole plan is this one node.
    fn try_swapping_with_projection(&self, projection: &ProjectionExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let column = |expr: &Arc<dyn PhysicalExpr>| Some((expr.as_ref() as &dyn Any).downcast_ref::<Column>()?.index());
        let columns: Option<Vec<usize>> = projection.expr().iter().map(|expr| column(&expr.expr)).collect();
        let Some(columns) = columns else { return Ok(None) };
        let measures = columns.iter().map(|&column| self.measures[column]).collect();
        let (snapshot, schema) = (self.snapshot.clone(), projection.schema());
        Ok(Some(Arc::new(RollupExec::new(snapshot, self.first, self.last, measures, schema))))
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if let Some(answer) = self.answer_now() {
            return Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), stream::iter([answer]))));
        }
        let this = self.clone();
        let answer = async move {
            let numbers = this.snapshot.numbers(this.first).await;
            this.batch(numbers.map_err(|error| DataFusionError::External(error.into()))?)
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), stream::once(answer))))
    }
}
