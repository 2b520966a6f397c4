//! Totals of a range of whole hours as one row, from counters. Every `GET /analytics` runs this.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator,
};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use datafusion::prelude::ident;
use futures::stream;

use super::input::AggregateInput;
use crate::event::{EventKind, EventSchema};
use crate::hour::Hour;
use crate::query::exec::leaf::leaf;
use crate::query::stats::recorder::StatsRecorder;
use crate::query::time_ranges::TimeRanges;
use crate::rollup::Rollup;
use crate::storage::Snapshot;

/// A number that the store keeps exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    Events,
    Of(EventKind),
    UniqueUsers,
}

impl Measure {
    fn name(self, schema: &EventSchema) -> &str {
        match self {
            Measure::Events => "events",
            Measure::Of(kind) => schema.counter(kind),
            Measure::UniqueUsers => "unique_users",
        }
    }

    /// Returns the value of the measure. For unique users, the rollup must know its users.
    fn of(self, rollup: &Rollup) -> i64 {
        let count = match self {
            Measure::Events => rollup.rows(),
            Measure::Of(kind) => rollup.count(kind),
            Measure::UniqueUsers => rollup.users.n,
        };
        count as i64
    }

    /// Returns the measure that an aggregate over unfiltered rows computes, if any.
    fn of_aggregate(expr: &Expr, below: &AggregateInput<'_>) -> Option<Measure> {
        let expr = expr.clone().unalias_nested().data;
        let Expr::AggregateFunction(function) = &expr else { return None };
        let params = &function.params;
        if function.func.name() != "count"
            || !params.order_by.is_empty()
            || params.null_treatment.is_some()
        {
            return None;
        }
        let [argument] = &params.args[..] else { return None };
        match (argument, params.distinct, &params.filter) {
            (Expr::Column(column), true, None) if column.name == "user_id" => {
                Some(Measure::UniqueUsers)
            }
            (_, true, _) => None,
            (Expr::Column(column), false, filter) if below.is_never_null(column) => {
                Measure::of_filter(filter.as_deref(), below)
            }
            (Expr::Literal(value, _), false, filter) if !value.is_null() => {
                Measure::of_filter(filter.as_deref(), below)
            }
            _ => None,
        }
    }

    fn of_filter(filter: Option<&Expr>, below: &AggregateInput<'_>) -> Option<Measure> {
        let Some(filter) = filter else { return Some(Measure::Events) };
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = filter else {
            return None;
        };
        let ((Expr::Column(column), Expr::Literal(value, _))
        | (Expr::Literal(value, _), Expr::Column(column))) = (&**left, &**right)
        else {
            return None;
        };
        let schema = &below.events.snapshot.schema;
        let kind = value.try_as_str().flatten().and_then(|name| schema.kind(name));
        kind.filter(|_| column.name == "event").map(Measure::Of)
    }
}

/// Returns the aggregate as one row of measures; `None` if it has groups or covers parts of hours.
pub fn answer(aggregate: &Aggregate, below: &AggregateInput) -> Result<Option<LogicalPlan>> {
    if !aggregate.group_expr.is_empty() || below.of_sets {
        return Ok(None);
    }
    let Some((first, last)) = TimeRanges::of_all(&below.predicates).whole_hours() else {
        return Ok(None);
    };
    let aggregates = below.inline_all(&aggregate.aggr_expr)?;
    let measures: Option<Vec<Measure>> =
        aggregates.iter().map(|expr| Measure::of_aggregate(expr, below)).collect();
    let Some(measures) = measures else { return Ok(None) };
    if first != last && measures.contains(&Measure::UniqueUsers) {
        return Ok(None);
    }
    let (snapshot, recorder) = (below.events.snapshot.clone(), below.events.recorder.clone());
    let table = RollupTable { snapshot, recorder, first, last, measures };
    let fields = table.schema();
    let names = aggregate.schema.fields().iter().zip(fields.fields());
    let columns: Vec<Expr> =
        names.map(|(name, field)| ident(field.name()).alias(name.name())).collect();
    let scan = LogicalPlanBuilder::scan("rollups", provider_as_source(Arc::new(table)), None)?;
    Ok(Some(scan.project(columns)?.build()?))
}

/// Table of one row: measures of the hours `first..=last`.
#[derive(Debug)]
struct RollupTable {
    snapshot: Arc<Snapshot>,
    recorder: Arc<StatsRecorder>,
    first: Hour,
    last: Hour,
    measures: Vec<Measure>,
}

#[async_trait]
impl TableProvider for RollupTable {
    fn schema(&self) -> SchemaRef {
        // A repeated measure has its position in its name.
        let field = |(i, measure): (usize, &Measure)| {
            let repeated = self.measures[..i].contains(measure);
            let name = measure.name(&self.snapshot.schema);
            let name = if repeated { format!("{name}_{i}") } else { name.to_string() };
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
        let hours = self.snapshot.hours_within(self.first, self.last);
        self.recorder.rolled_up(&self.snapshot, hours);
        let columns = projection.map_or_else(|| (0..self.measures.len()).collect(), Vec::clone);
        let schema = Arc::new(self.schema().project(&columns)?);
        let measures = columns.iter().map(|&column| self.measures[column]).collect();
        Ok(Arc::new(RollupExec::new(
            self.snapshot.clone(),
            self.first,
            self.last,
            measures,
            schema,
        )))
    }
}

/// Plan node that computes one row from the counters of the hours `first..=last`.
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
        // Returns its one row at once, so there is no point at which to yield.
        let properties = Arc::new(properties.with_scheduling_type(SchedulingType::Cooperative));
        RollupExec { snapshot, first, last, measures, properties }
    }

    /// Returns a plan of the same measures for another hour and snapshot, so that one plan serves
    /// every hour.
    pub fn rebind(&self, snapshot: Arc<Snapshot>, hour: Hour) -> RollupExec {
        let (measures, properties) = (self.measures.clone(), self.properties.clone());
        RollupExec { snapshot, first: hour, last: hour, measures, properties }
    }

    /// Returns the result; `None` if a file must be read for it.
    pub fn answer_now(&self) -> Option<Result<RecordBatch>> {
        let rollup = if self.first == self.last {
            self.snapshot.exact_now(self.first)?
        } else {
            self.snapshot.totals(self.first, self.last)
        };
        Some(self.batch(&rollup))
    }

    fn batch(&self, rollup: &Rollup) -> Result<RecordBatch> {
        let column =
            |measure: &Measure| Arc::new(Int64Array::from_value(measure.of(rollup), 1)) as ArrayRef;
        Ok(RecordBatch::try_new(self.schema(), self.measures.iter().map(column).collect())?)
    }
}

impl DisplayAs for RollupExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let measures: Vec<&str> =
            self.measures.iter().map(|measure| measure.name(&self.snapshot.schema)).collect();
        if self.first == self.last {
            write!(f, "RollupExec: hour={}", self.first)?
        } else {
            write!(f, "RollupExec: hours={}..={}", self.first, self.last)?
        }
        write!(f, ", measures=[{}]", measures.join(", "))
    }
}

impl ExecutionPlan for RollupExec {
    leaf!("RollupExec", |_| 1);

    /// Absorbs a projection that only selects and renames columns, so that the whole plan is this
    /// one node.
    fn try_swapping_with_projection(
        &self,
        projection: &ProjectionExec,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let column = |expr: &Arc<dyn PhysicalExpr>| {
            Some((expr.as_ref() as &dyn Any).downcast_ref::<Column>()?.index())
        };
        let columns: Option<Vec<usize>> =
            projection.expr().iter().map(|expr| column(&expr.expr)).collect();
        let Some(columns) = columns else { return Ok(None) };
        let measures = columns.iter().map(|&column| self.measures[column]).collect();
        let (snapshot, schema) = (self.snapshot.clone(), projection.schema());
        Ok(Some(Arc::new(RollupExec::new(snapshot, self.first, self.last, measures, schema))))
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if let Some(answer) = self.answer_now() {
            return Ok(Box::pin(RecordBatchStreamAdapter::new(
                self.schema(),
                stream::iter([answer]),
            )));
        }
        let this = self.clone();
        let answer = async move {
            let rollup = this.snapshot.exact(this.first).await;
            this.batch(&rollup.map_err(|error| DataFusionError::External(error.into()))?)
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), stream::once(answer))))
    }
}
