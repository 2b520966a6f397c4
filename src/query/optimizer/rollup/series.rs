//! Aggregates computed over the hours as a relation: one row for each hour and kind of event,
//! weighted by its number of events.
//!
//! A value that is constant within an hour (its date, its start, its month), and the kind of event,
//! has one value in such a row. So groups, predicates, FILTERs and CASEs over those are evaluated
//! on the relation instead of the events, and counts become sums of weights. The number of distinct
//! users is known for an hour as a whole; where groups are made of several hours, or depend on the
//! kind of event, it is the size of a union of sets ([`VisitorReader`]).
//!
//! The parts of hours at the edges of a range are scanned, as rows of weight one in addition to the
//! relation; or as groups of their own, if users are counted by hour.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::functions::expr_fn::coalesce;
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Expr, ExprFunctionExt, ExprSchemable, LogicalPlan, LogicalPlanBuilder,
    Operator, Volatility,
};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use datafusion::prelude::lit;
use datafusion::scalar::ScalarValue;
use futures::stream;

use super::input::AggregateInput;
use crate::event::{EventKind, timestamp_type};
use crate::hour::Hour;
use crate::query::exec::leaf::leaf;
use crate::query::functions;
use crate::query::functions::time_bucket::{SECOND_US, TimeBucket};
use crate::query::functions::visitors::{self, Of, VISITOR_SET};
use crate::query::optimizer::conditional::Conditional;
use crate::query::schema::partition_values;
use crate::query::stats::recorder::StatsRecorder;
use crate::query::time_ranges::{
    EXACT_SECONDS, Split, TimeRanges, ZonedBucket, is_hour_of_day, unit_of_seconds,
};
use crate::rollup::Rollup;
use crate::storage::{Snapshot, VisitorReader, of_hour};

const WEIGHT: &str = "events";
const UNIQUE_USERS: &str = "unique_users";
const FIRST: &str = "min_timestamp";
const LAST: &str = "max_timestamp";
const VISITORS: &str = "visitors";

/// Returns the aggregate over the relation; `None` if the result would differ.
pub fn answer(aggregate: &Aggregate, below: &AggregateInput) -> Result<Option<LogicalPlan>> {
    let groups = below.inline_all(&aggregate.group_expr)?;
    let mut looks = Looks::new(below);
    if !groups.iter().all(|group| looks.at(group)) {
        return Ok(None);
    }
    let Some(Rows { mut table, rest, split, edges }) = rows(below, &mut looks)? else {
        return Ok(None);
    };
    let is_single =
        split.edges.is_empty() && matches!(split.whole[..], [(first, last)] if first == last);
    let within_an_hour = is_single || determine_an_hour(&groups);
    let aggregates = below.inline_all(&aggregate.aggr_expr)?;
    let mut weighing = Weighing { below, looks, within_an_hour, reader: None, counts_users: false };
    let mut over_relation = Vec::new();
    for expr in &aggregates {
        let Some(weighed) = weighing.weigh(expr)? else { return Ok(None) };
        over_relation.push(weighed);
    }
    if weighing.reader.is_some() && weighing.counts_users && edges.is_some() {
        // The users of the parts of hours are in sets, so those of whole hours must be, too.
        weighing.within_an_hour = false;
        over_relation.clear();
        for expr in &aggregates {
            over_relation.extend(weighing.weigh(expr)?);
        }
    }
    let Weighing { reader, counts_users, .. } = weighing;
    if let Some(reader) = &reader
        && !reader.is_ready(table.hours.iter().copied(), edges.is_some())
    {
        return Ok(None);
    }
    table.reader = reader.clone();
    let relation = relation(table, &rest)?;
    let plan = match edges {
        None => aggregated(relation, &groups, over_relation)?,
        Some(edges) if counts_users && reader.is_none() => {
            let whole = aggregated(relation, &groups, over_relation)?;
            let parts = aggregated(edges, &groups, aggregates)?;
            LogicalPlanBuilder::from(whole).union(parts)?.build()?
        }
        Some(edges) => {
            aggregated(with_edges(relation, edges, reader.as_ref())?, &groups, over_relation)?
        }
    };
    let named = aggregate.schema.iter().enumerate().map(|(i, (qualifier, field))| {
        relation_column(&output_name(i)).alias_qualified(qualifier.cloned(), field.name())
    });
    Ok(Some(LogicalPlanBuilder::from(plan).project(named.collect::<Vec<_>>())?.build()?))
}

/// Name of the column of [`users`].
pub const SET: &str = "users";

/// Returns the users of the input as a set, in one row; `None` if its rows are no whole hours, or if
/// their users are found faster by a scan.
pub fn users(below: &AggregateInput) -> Result<Option<LogicalPlan>> {
    let mut looks = Looks::new(below);
    let Some(Rows { mut table, rest, edges, .. }) = rows(below, &mut looks)? else {
        return Ok(None);
    };
    let reader = below.events.visitors.of(&below.events.snapshot).clone();
    if !reader.is_ready(table.hours.iter().copied(), edges.is_some()) {
        return Ok(None);
    }
    table.reader = Some(reader.clone());
    let mut rows = relation(table, &rest)?;
    if let Some(edges) = edges {
        rows = with_edges(rows, edges, Some(&reader))?;
    }
    let set = visitors::aggregate(&reader, Of::Set).call(vec![relation_column(VISITORS)]);
    Ok(Some(
        LogicalPlanBuilder::from(rows).aggregate(Vec::<Expr>::new(), [set.alias(SET)])?.build()?,
    ))
}

/// Returns the relation with the events of parts of hours as more rows of it.
fn with_edges(
    relation: LogicalPlan,
    edges: LogicalPlan,
    reader: Option<&Arc<VisitorReader>>,
) -> Result<LogicalPlan> {
    let rows = LogicalPlanBuilder::from(edges).project(edge_columns(reader))?.build()?;
    LogicalPlanBuilder::from(relation).union(rows)?.build()
}

/// The rows of an aggregate: the relation, and the events of parts of hours.
struct Rows {
    table: RollupHours,
    /// Predicates that are evaluated on the relation.
    rest: Vec<Expr>,
    split: Split,
    edges: Option<LogicalPlan>,
}

/// Returns the rows that pass the predicates; `None` if the predicates depend on more than the hour
/// and the kind, or there are no whole hours.
fn rows(below: &AggregateInput, looks: &mut Looks) -> Result<Option<Rows>> {
    let spans = TimeRanges::of_all(&below.predicates);
    // Predicates that the time ranges do not express exactly are evaluated on the relation.
    let rest: Vec<Expr> = below
        .predicates
        .iter()
        .filter(|predicate| !TimeRanges::of(predicate).exact)
        .cloned()
        .collect();
    if !rest.iter().all(|predicate| looks.at(predicate)) {
        return Ok(None);
    }
    let split = spans.split();
    let mut table = RollupHours::new(below, &spans, &split);
    let (whole, cut): (Vec<Hour>, Vec<Hour>) =
        table.hours.iter().partition(|hour| looks.zoned.iter().all(|unit| unit.has_whole(**hour)));
    if whole.len() <= cut.len() {
        return Ok(None);
    }
    table.hours = whole.into();
    let edges = edges(below, &spans, &split, &cut)?;
    Ok(Some(Rows { table, rest, split, edges }))
}

/// The columns that the groups and predicates of an aggregate read.
#[derive(Clone)]
struct Looks {
    event: bool,
    /// Whether there are hours whose microseconds cannot be told apart as seconds.
    is_far: bool,
    /// Units of zones, whose intervals may begin within an hour.
    zoned: Vec<ZonedBucket>,
}

impl Looks {
    fn new(below: &AggregateInput) -> Looks {
        Looks { event: false, is_far: is_far(below), zoned: Vec::new() }
    }

    /// Records what an expression reads; returns false if its value may differ among the events of
    /// one hour and kind.
    fn at(&mut self, expr: &Expr) -> bool {
        if TimeBucket::of(expr).is_some_and(TimeBucket::is_hourly) || is_hour_of_day(expr) {
            return true;
        }
        if let Some(unit) = ZonedBucket::of(expr) {
            self.zoned.push(unit);
            return true;
        }
        if unit_of_seconds(expr).is_some_and(TimeBucket::is_hourly) {
            return !self.is_far;
        }
        // Between and not within hours, such as from an hour on.
        if is_comparison(expr) && TimeRanges::of(expr).is_whole() {
            return true;
        }
        match expr {
            Expr::Literal(..) => true,
            Expr::Column(column) => {
                self.event |= column.name == "event";
                ["event", "date", "hour"].contains(&column.name.as_str())
            }
            Expr::ScalarFunction(function) if function.func.name() == "date_part" => {
                is_calendar_part(&function.args) || self.at_children(expr)
            }
            Expr::ScalarFunction(function) => {
                function.func.signature().volatility == Volatility::Immutable
                    && self.at_children(expr)
            }
            Expr::BinaryExpr(_)
            | Expr::Not(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::Negative(_)
            | Expr::Between(_)
            | Expr::Case(_)
            | Expr::Cast(_)
            | Expr::TryCast(_)
            | Expr::InList(_)
            | Expr::Like(_) => self.at_children(expr),
            _ => false,
        }
    }

    /// Like [`Looks::at`], but false if the hours that are whole would be others for it.
    fn at_whole(&mut self, expr: &Expr) -> bool {
        let zoned = self.zoned.len();
        self.at(expr) && self.zoned.len() == zoned
    }

    fn at_children(&mut self, expr: &Expr) -> bool {
        let mut all = true;
        let visited = expr.apply_children(|child| {
            all &= self.at(child);
            Ok(if all { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        });
        visited.is_ok() && all
    }
}

fn is_comparison(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryExpr(BinaryExpr { op, .. }) => !matches!(op, Operator::And | Operator::Or),
        Expr::Between(_) | Expr::InList(_) => true,
        _ => false,
    }
}

/// Reports whether there are hours among those asked for so late that the seconds of their last
/// microseconds, as floats, may be rounded into the next hour.
fn is_far(below: &AggregateInput) -> bool {
    let far = Hour::of_us(EXACT_SECONDS * SECOND_US);
    let asked = TimeRanges::of_all(&below.predicates);
    let mut far_hours = asked.hours().filter(|(_, last)| *last >= far);
    far_hours
        .any(|(first, last)| !below.events.snapshot.hours_within(first.max(far), last).is_empty())
}

/// Reports whether `date_part` is called for a part of the timestamp that is constant within an
/// hour.
fn is_calendar_part(args: &[Expr]) -> bool {
    const PARTS: [&str; 9] =
        ["hour", "day", "dow", "isodow", "doy", "week", "month", "quarter", "year"];
    let [Expr::Literal(part, _), Expr::Column(column)] = args else { return false };
    let part = part.try_as_str().flatten().unwrap_or_default();
    column.name == "timestamp" && PARTS.iter().any(|known| known.eq_ignore_ascii_case(part))
}

/// Reports whether all events of a group lie in one hour.
fn determine_an_hour(groups: &[Expr]) -> bool {
    let unit = |group| TimeBucket::of(group).or_else(|| unit_of_seconds(group));
    let units = || groups.iter().filter_map(unit);
    units().any(TimeBucket::is_hour)
        || (units().any(TimeBucket::is_day) && groups.iter().any(is_hour_of_day))
}

/// Rewriting of aggregates over events to aggregates over the relation.
struct Weighing<'b, 'p> {
    below: &'b AggregateInput<'p>,
    looks: Looks,
    /// Whether all events of a group lie in one hour.
    within_an_hour: bool,
    /// Reader of the users in sets, if an aggregate needs them.
    reader: Option<Arc<VisitorReader>>,
    /// Whether an aggregate counts users by the counters of the hours.
    counts_users: bool,
}

impl Weighing<'_, '_> {
    /// Rewrites an aggregate; `None` if the relation lacks the data.
    fn weigh(&mut self, expr: &Expr) -> Result<Option<Expr>> {
        let Expr::AggregateFunction(AggregateFunction { func, params }) = expr else {
            return Ok(None);
        };
        let [argument] = &params.args[..] else { return Ok(None) };
        if !params.order_by.is_empty() || params.null_treatment.is_some() {
            return Ok(None);
        }
        let filter = params.filter.as_deref().cloned();
        if let Some(of) = self.set_of(func.name(), params.distinct, argument) {
            return self.over_sets(of, filter);
        }
        if self.below.of_sets {
            return Ok(None);
        }
        // What the filter and argument of this aggregate read, in addition to the groups and
        // predicates.
        let Some(own) = self.looks_of(filter.as_ref()) else { return Ok(None) };
        let is_hourly = own.clone().at_whole(argument);
        let (column, is_never_null) = match argument {
            Expr::Column(column) => (column.name.as_str(), self.below.is_never_null(column)),
            Expr::Literal(value, _) => ("", !value.is_null()),
            _ => ("", false),
        };
        match (func.name(), params.distinct) {
            ("count", true) if column == "user_id" && self.within_an_hour && !own.event => {
                self.counts_users = true;
                let expr = filtered(max(relation_column(UNIQUE_USERS)), filter)?;
                Ok(Some(coalesce(vec![expr, lit(0_i64)])))
            }
            ("count", true) if !is_hourly => self.count_users(argument, filter),
            ("count", false) => {
                let counted = match is_never_null {
                    true => filter,
                    false if is_hourly => {
                        conjunction(filter.into_iter().chain([argument.clone().is_not_null()]))
                    }
                    false => return Ok(None),
                };
                let weights = filtered(sum(relation_column(WEIGHT)), counted)?;
                Ok(Some(coalesce(vec![weights, lit(0_i64)])))
            }
            ("sum", false)
                if is_hourly
                    && argument.get_type(&*self.below.scan.projected_schema)?
                        == DataType::Int64 =>
            {
                let weighted = functions::product(argument, &relation_column(WEIGHT));
                Ok(Some(filtered(sum(weighted), filter)?))
            }
            ("min", _) if column == "timestamp" && !own.event => Ok(Some(filtered(
                datafusion::functions_aggregate::expr_fn::min(relation_column(FIRST)),
                filter,
            )?)),
            ("max", _) if column == "timestamp" && !own.event => {
                Ok(Some(filtered(max(relation_column(LAST)), filter)?))
            }
            ("min" | "max", _) | ("count", true) if is_hourly => Ok(Some(expr.clone())),
            _ => Ok(None),
        }
    }

    /// Returns what the groups, the predicates and this filter read; `None` if the filter may differ
    /// among the events of one hour and kind.
    fn looks_of(&self, filter: Option<&Expr>) -> Option<Looks> {
        let mut own = self.looks.clone();
        filter.is_none_or(|filter| own.at_whole(filter)).then_some(own)
    }

    /// Returns what an aggregate over sets makes of them; `None` for another aggregate.
    fn set_of(&self, function: &str, distinct: bool, argument: &Expr) -> Option<Of> {
        let is_set = |expr: &Expr| match expr {
            Expr::AggregateFunction(AggregateFunction { func, params }) => {
                func.name() == VISITOR_SET && params.filter.is_none()
            }
            _ => false,
        };
        match function {
            VISITOR_SET if !self.below.of_sets && is_user(argument) => Some(Of::Set),
            "rb_or_agg" if !distinct && self.below.of_sets && is_set(argument) => Some(Of::Set),
            "rb_or_cardinality_agg" if !distinct && self.below.of_sets && is_set(argument) => {
                Some(Of::Cardinality)
            }
            _ => None,
        }
    }

    /// Counts distinct users, or those for whom a condition holds: `CASE WHEN … THEN user_id END`.
    fn count_users(&mut self, argument: &Expr, filter: Option<Expr>) -> Result<Option<Expr>> {
        if is_user(argument) {
            return self.over_sets(Of::Count, filter);
        }
        match Conditional::of(argument) {
            Some(Conditional { condition, value, other: None }) if is_user(value) => {
                self.over_sets(Of::Count, conjunction([condition].into_iter().chain(filter)))
            }
            _ => Ok(None),
        }
    }

    /// Returns an aggregate over the users of the hours and kinds that pass the filter.
    fn over_sets(&mut self, of: Of, filter: Option<Expr>) -> Result<Option<Expr>> {
        if self.looks_of(filter.as_ref()).is_none() {
            return Ok(None);
        }
        let events = self.below.events;
        let reader =
            self.reader.get_or_insert_with(|| events.visitors.of(&events.snapshot).clone());
        let call = visitors::aggregate(reader, of).call(vec![relation_column(VISITORS)]);
        let call = filtered(call, filter)?;
        Ok(Some(match of {
            Of::Count => coalesce(vec![call, lit(0_i64)]),
            Of::Cardinality | Of::Set | Of::Names => call,
        }))
    }
}

fn is_user(expr: &Expr) -> bool {
    matches!(expr, Expr::Column(column) if column.name == "user_id")
}

/// Returns a sum that reports overflow as an error.
fn sum(of: Expr) -> Expr {
    functions::sum().call(vec![of])
}

fn relation_column(name: &str) -> Expr {
    Expr::Column(Column::from_name(name))
}

fn filtered(aggregate: Expr, filter: Option<Expr>) -> Result<Expr> {
    match filter {
        None => Ok(aggregate),
        Some(filter) => aggregate.filter(filter).build(),
    }
}

/// Returns the name of a column of an aggregated plan.
fn output_name(i: usize) -> String {
    format!("output_{i}")
}

/// Aggregates `input`: groups, then aggregates, named by their position.
fn aggregated(input: LogicalPlan, groups: &[Expr], exprs: Vec<Expr>) -> Result<LogicalPlan> {
    let groups = groups
        .iter()
        .enumerate()
        .map(|(i, group)| Ok(unqualified(group)?.alias(format!("group_{i}"))));
    // Arithmetic on aggregates is done in a projection after them.
    let mut inner = Vec::new();
    let mut outer = Vec::new();
    for expr in &exprs {
        let taken_out = unqualified(expr)?.transform_down(|part| {
            Ok(match part {
                Expr::AggregateFunction(_) => {
                    let name = format!("aggregate_{}", inner.len());
                    inner.push(part.alias(&name));
                    Transformed::new(relation_column(&name), true, TreeNodeRecursion::Jump)
                }
                other => Transformed::no(other),
            })
        })?;
        outer.push(taken_out.data);
    }
    let groups: Vec<Expr> = groups.collect::<Result<_>>()?;
    let names = (0..groups.len()).map(|i| relation_column(&format!("group_{i}"))).chain(outer);
    let named: Vec<Expr> = names.enumerate().map(|(i, expr)| expr.alias(output_name(i))).collect();
    LogicalPlanBuilder::from(input).aggregate(groups, inner)?.project(named)?.build()
}

/// Returns the expression with unqualified column names.
fn unqualified(expr: &Expr) -> Result<Expr> {
    let renamed = expr.clone().transform(|expr| {
        Ok(match expr {
            Expr::Column(column) if column.relation.is_some() => {
                Transformed::yes(relation_column(&column.name))
            }
            other => Transformed::no(other),
        })
    })?;
    Ok(renamed.data)
}

/// Returns the relation without the rows that `rest` excludes.
fn relation(table: RollupHours, rest: &[Expr]) -> Result<LogicalPlan> {
    let names: Vec<String> =
        RollupHours::schema().fields().iter().map(|field| field.name().clone()).collect();
    let columns =
        names.iter().map(|name| Expr::Column(Column::new(Some("rollups"), name)).alias(name));
    let columns: Vec<Expr> = columns.collect();
    let mut plan = LogicalPlanBuilder::scan("rollups", provider_as_source(Arc::new(table)), None)?
        .project(columns)?;
    for predicate in rest {
        plan = plan.filter(unqualified(predicate)?)?;
    }
    plan.build()
}

/// Returns the events of the hours that the ranges cut, and of the hours `cut`; `None` if none of
/// these hours has rows.
fn edges(
    below: &AggregateInput,
    spans: &TimeRanges,
    split: &Split,
    cut: &[Hour],
) -> Result<Option<LogicalPlan>> {
    let snapshot = &below.events.snapshot;
    let has_rows = |&&(start, _): &&(i64, i64)| {
        let hour = Hour::of_us(start);
        spans.touches(hour) && !snapshot.hours_within(hour, hour).is_empty()
    };
    let timestamp = Expr::Column(Column::new(Some(below.scan.table_name.clone()), "timestamp"));
    let at = |us: i64| lit(ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into())));
    let edge = |&(start, end): &(i64, i64)| {
        timestamp.clone().gt_eq(at(start)).and(timestamp.clone().lt(at(end)))
    };
    let hour = functions::date_trunc().call(vec![lit("hour"), timestamp.clone()]);
    let whole = (!cut.is_empty())
        .then(|| hour.in_list(cut.iter().map(|hour| at(hour.start_us())).collect(), false));
    let edges = split.edges.iter().filter(has_rows).map(edge).chain(whole).reduce(Expr::or);
    let Some(edges) = edges else { return Ok(None) };
    let filters: Vec<Expr> = below.predicates.iter().cloned().chain([edges]).collect();
    let source = below.scan.source.clone();
    let scan = LogicalPlanBuilder::scan_with_filters(
        below.scan.table_name.clone(),
        source,
        None,
        filters.clone(),
    )?;
    let predicate = conjunction(filters).expect("the edges at least");
    let columns: Vec<Expr> = below
        .events
        .snapshot
        .schema
        .table()
        .fields()
        .iter()
        .map(|field| {
            Expr::Column(Column::new(Some(below.scan.table_name.clone()), field.name()))
                .alias(field.name())
        })
        .collect();
    Ok(Some(scan.filter(predicate)?.project(columns)?.build()?))
}

/// Returns the columns that make an event a row of the relation, of weight one.
fn edge_columns(reader: Option<&Arc<VisitorReader>>) -> Vec<Expr> {
    let column = |field: &Arc<Field>| match field.name().as_str() {
        VISITORS => match reader {
            Some(reader) => {
                visitors::references(reader, relation_column("user_id")).alias(VISITORS)
            }
            None => lit(ScalarValue::Int64(None)).alias(VISITORS),
        },
        WEIGHT => lit(1_i64).alias(WEIGHT),
        UNIQUE_USERS => lit(0_i64).alias(UNIQUE_USERS),
        FIRST => relation_column("timestamp").alias(FIRST),
        LAST => relation_column("timestamp").alias(LAST),
        same => relation_column(same),
    };
    RollupHours::schema().fields().iter().map(column).collect()
}

/// The relation as a table; `timestamp` is the start of the hour.
#[derive(Debug)]
struct RollupHours {
    snapshot: Arc<Snapshot>,
    recorder: Arc<StatsRecorder>,
    hours: Arc<[Hour]>,
    /// Reader of the users, if a statement asks for them.
    reader: Option<Arc<VisitorReader>>,
}

impl RollupHours {
    fn new(below: &AggregateInput, spans: &TimeRanges, split: &Split) -> RollupHours {
        let snapshot = &below.events.snapshot;
        let runs = split.whole.iter().flat_map(|&(first, last)| snapshot.hours_within(first, last));
        let hours = runs.filter(|hour| spans.touches(*hour)).collect();
        let recorder = below.events.recorder.clone();
        RollupHours { snapshot: snapshot.clone(), recorder, hours, reader: None }
    }

    fn schema() -> SchemaRef {
        let field = |name, of| Field::new(name, of, false);
        Arc::new(Schema::new(vec![
            field("timestamp", timestamp_type()),
            field("event", DataType::Utf8View),
            field("date", DataType::Date32),
            field("hour", DataType::Int32),
            field(WEIGHT, DataType::Int64),
            field(UNIQUE_USERS, DataType::Int64),
            field(FIRST, timestamp_type()),
            field(LAST, timestamp_type()),
            Field::new(VISITORS, DataType::Int64, true),
        ]))
    }
}

#[async_trait]
impl TableProvider for RollupHours {
    fn schema(&self) -> SchemaRef {
        RollupHours::schema()
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
        self.recorder.rolled_up(&self.snapshot, self.hours.iter().copied());
        let columns = projection
            .map_or_else(|| (0..RollupHours::schema().fields().len()).collect(), Vec::clone);
        let schema = Arc::new(RollupHours::schema().project(&columns)?);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let (snapshot, hours, reader) =
            (self.snapshot.clone(), self.hours.clone(), self.reader.clone());
        let properties = Arc::new(properties);
        Ok(Arc::new(RollupHoursExec { snapshot, hours, reader, schema, properties }))
    }
}

/// Plan node that computes the relation from the counters of its hours.
#[derive(Clone, Debug)]
struct RollupHoursExec {
    snapshot: Arc<Snapshot>,
    hours: Arc<[Hour]>,
    reader: Option<Arc<VisitorReader>>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl RollupHoursExec {
    async fn batch(&self) -> Result<RecordBatch> {
        let distinct = self.schema.column_with_name(UNIQUE_USERS).is_some();
        if let Some(reader) = &self.reader
            && self.schema.column_with_name(VISITORS).is_some()
        {
            let prepared = reader.prepare(&self.hours).await;
            prepared.map_err(|error| DataFusionError::External(error.into()))?;
        }
        // Date and hour of each row come from its hour, all other columns from the hour's counters.
        let mut rows: Vec<(Hour, EventKind, Rollup)> = Vec::with_capacity(self.hours.len() * 2);
        for &hour in self.hours.iter() {
            let rollup = if distinct {
                self.snapshot.exact(hour).await
            } else {
                Ok(self.snapshot.rollup(hour))
            };
            let rollup = rollup.map_err(|error| DataFusionError::External(error.into()))?;
            let kinds = self.snapshot.schema.kinds().filter(|kind| rollup.count(*kind) > 0);
            rows.extend(kinds.map(|kind| (hour, kind, rollup.clone())));
        }
        let column = |field: &Arc<Field>| -> Result<ArrayRef> {
            let timestamps = |of: fn(Hour, &Rollup) -> i64| {
                let values = rows.iter().map(|(hour, _, rollup)| of(*hour, rollup));
                Arc::new(TimestampMicrosecondArray::from_iter_values(values).with_timezone("UTC"))
                    as ArrayRef
            };
            let numbers = |of: fn(EventKind, &Rollup) -> u64| {
                let values = rows.iter().map(|(_, kind, rollup)| of(*kind, rollup) as i64);
                Arc::new(Int64Array::from_iter_values(values)) as ArrayRef
            };
            let partition = |i: usize| {
                ScalarValue::iter_to_array(
                    rows.iter().map(|(hour, ..)| partition_values(*hour)[i].clone()),
                )
            };
            Ok(match field.name().as_str() {
                "timestamp" => timestamps(|hour, _| hour.start_us()),
                FIRST => timestamps(|_, rollup| rollup.first_us),
                LAST => timestamps(|_, rollup| rollup.last_us),
                "event" => Arc::new(StringViewArray::from_iter_values(
                    rows.iter().map(|(_, kind, _)| self.snapshot.schema.name(*kind)),
                )),
                "date" if !rows.is_empty() => partition(0)?,
                "hour" if !rows.is_empty() => partition(1)?,
                WEIGHT => numbers(|kind, rollup| rollup.count(kind)),
                UNIQUE_USERS => numbers(|_, rollup| rollup.users.n),
                VISITORS => {
                    let values = rows.iter().map(|(hour, kind, _)| of_hour(*hour, *kind));
                    Arc::new(Int64Array::from_iter_values(values))
                }
                _ => arrow::array::new_empty_array(field.data_type()),
            })
        };
        let columns = self.schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }
}

impl DisplayAs for RollupHoursExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let columns: Vec<&str> =
            self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(f, "RollupHoursExec: hours={}", self.hours.len())?;
        if let (Some(first), Some(last)) = (self.hours.first(), self.hours.last()) {
            write!(f, " ({first}..={last})")?;
        }
        write!(f, ", columns=[{}]", columns.join(", "))
    }
}

impl ExecutionPlan for RollupHoursExec {
    leaf!("RollupHoursExec", |relation| {
        relation.hours.len() * relation.snapshot.schema.kinds().count()
    });

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let this = self.clone();
        let batch = stream::once(async move { this.batch().await });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batch)))
    }
}
