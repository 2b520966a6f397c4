//! Exact distinct users where rollups cannot be used: parts of hours, several hours, groups, and
//! FILTERs on the kind of event; and the distinct values of a dimension, by group.
//!
//! DataFusion's own plan hashes every row's name, keeps a copy of each user for every group, and
//! gives up its best rewrite when a FILTER is combined with a DISTINCT. [`answer`] rewrites an
//! aggregate with `count(DISTINCT user_id)` to [`DistinctNamesExec`], which uses what the store
//! knows: files are sorted by user, so equal names are adjacent and a run of them is hashed once;
//! in memory, users are already interned, so each name is hashed once, regardless of its number of
//! rows. A set of users is a bitmap over codes. The values of a dimension are counted by group in
//! the same way. Counts, minima, maxima, sums and means beside them are computed in the same
//! reading, each with any FILTER.
//!
//! If there may be more names than `hourglass.distinct_users_in_memory`, or too many groups, the
//! node gets a second plan for that case: the aggregate split into one by name and one over that
//! ([`distinct_groups`]), which DataFusion runs in bounded memory, spilling to temporary files.

use std::any::Any;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Column, Result, internal_err};
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_expr::aggregate::{AggregateFunctionExpr, LoweredAggregateBuilder};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::expressions::Column as Place;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::prelude::ident;

use super::aggregate::{is_same_each_time, unite};
use super::distinct_groups;
use super::rollup::AggregateInput;
use crate::query::catalog::events::{EventsTable, Part};
use crate::query::exec::counting::{self, Question, What};
use crate::query::exec::distinct::DistinctNamesExec;
use crate::query::opaque::Opaque;
use crate::query::options::HourglassOptions;
use crate::query::stats::recorder::StatsRecorder;
use crate::query::time_ranges::TimeRanges;

/// The column of users.
const USERS: &str = "user_id";

/// Prefix of the columns that other aggregates read.
const ARGUMENT: &str = "argument";

/// Returns the plan of an aggregate that counts distinct names, and may compute more; `None` for
/// another. It must run after the rollup rule, which is faster where it applies.
pub fn answer(aggregate: &Aggregate, options: &ConfigOptions) -> Result<Option<LogicalPlan>> {
    let options = options.extensions.get::<HourglassOptions>();
    let limit = options.map_or(0, |options| options.distinct_users_in_memory);
    let Some(below) =
        AggregateInput::of(&aggregate.input)?.filter(|below| limit > 0 && !below.of_sets)
    else {
        return Ok(None);
    };
    match Asked::of(aggregate, below)? {
        Some(asked) => asked.in_memory(limit),
        None => Ok(None),
    }
}

/// What is computed of the rows of a group.
#[derive(Clone, Debug)]
enum Of {
    Rows,
    /// The distinct names in this column.
    Names(String),
    /// An aggregate whose state has a fixed size.
    Other,
}

/// A measure of the rows that pass a filter.
#[derive(Clone, Debug)]
pub struct Measure {
    of: Of,
    filter: Option<Expr>,
}

impl Measure {
    pub fn is_of_users(&self) -> bool {
        self.names().is_some_and(|names| names == USERS)
    }

    pub fn is_of_rows(&self) -> bool {
        matches!(self.of, Of::Rows)
    }

    fn names(&self) -> Option<&String> {
        match &self.of {
            Of::Names(names) => Some(names),
            Of::Rows | Of::Other => None,
        }
    }
}

/// An aggregate that counts the distinct names in some columns.
struct Asked<'a> {
    aggregate: &'a Aggregate,
    below: AggregateInput<'a>,
    /// The columns with the names: the users, or dimensions.
    names: Vec<String>,
    /// The groups and aggregates, over the columns of the scan.
    groups: Vec<Expr>,
    aggregates: Vec<Expr>,
    measures: Vec<Measure>,
    /// The distinct filters of all measures.
    filters: Vec<Expr>,
    /// The distinct arguments of other aggregates.
    arguments: Vec<Expr>,
}

impl<'a> Asked<'a> {
    /// Returns the aggregate; `None` if it counts no names, or has what cannot be computed beside.
    fn of(aggregate: &'a Aggregate, below: AggregateInput<'a>) -> Result<Option<Asked<'a>>> {
        let groups = below.inline_all(&aggregate.group_expr)?;
        let aggregates = below.inline_all(&aggregate.aggr_expr)?;
        let of = |expr| measure(expr, &below).or_else(|| other(expr));
        let measures: Option<Vec<Measure>> = aggregates.iter().map(of).collect();
        let Some(measures) = measures else { return Ok(None) };
        let names = distinct(measures.iter().filter_map(Measure::names));
        // Of a single group, the few values of a dimension are found faster by grouping by them.
        let is_few = |names: &[String]| matches!(names, [one] if groups.is_empty() && one != USERS);
        if names.is_empty() || is_few(&names) {
            return Ok(None);
        }
        for group in &groups {
            if !is_simple(group)? {
                return Ok(None);
            }
        }
        // What is read again instead, or twice, must be the same rows.
        for expr in aggregates.iter().chain(&below.predicates) {
            if !is_same_each_time(expr)? {
                return Ok(None);
            }
        }
        let filters = distinct(measures.iter().filter_map(|measure| measure.filter.as_ref()));
        let others = aggregates.iter().zip(&measures);
        let others = others.filter(|(_, measure)| matches!(measure.of, Of::Other));
        let arguments = distinct(others.flat_map(|(expr, _)| arguments(expr)));
        let asked =
            Asked { aggregate, below, names, groups, aggregates, measures, filters, arguments };
        Ok(Some(asked))
    }
}

fn distinct<'a, T: Clone + PartialEq + 'a>(all: impl Iterator<Item = &'a T>) -> Vec<T> {
    let mut distinct = Vec::new();
    for one in all {
        if !distinct.contains(one) {
            distinct.push(one.clone());
        }
    }
    distinct
}

fn arguments(expr: &Expr) -> &[Expr] {
    match expr {
        Expr::AggregateFunction(function) => &function.params.args,
        _ => &[],
    }
}

/// Reports whether a group is computed from columns of its row other than the user, the same each
/// time.
pub fn is_simple(group: &Expr) -> Result<bool> {
    Ok(!looks_at_users(group) && is_same_each_time(group)?)
}

/// Returns the count that an expression over the scan's columns is; `None` for anything else.
pub fn measure(expr: &Expr, below: &AggregateInput<'_>) -> Option<Measure> {
    let Expr::AggregateFunction(function) = expr else { return None };
    let params = &function.params;
    if function.func.name() != "count"
        || !params.order_by.is_empty()
        || params.null_treatment.is_some()
    {
        return None;
    }
    let filter = params.filter.as_deref().cloned();
    let schema = &below.events.snapshot.schema;
    match (&params.args[..], params.distinct) {
        ([Expr::Column(column)], true) if column.name == USERS => {
            Some(Measure { of: Of::Names(column.name.clone()), filter })
        }
        ([value @ Expr::Column(column)], true) if schema.dimension(&column.name).is_some() => {
            let filter = conjunction([value.clone().is_not_null()].into_iter().chain(filter));
            Some(Measure { of: Of::Names(column.name.clone()), filter })
        }
        ([Expr::Column(column)], false) if below.is_never_null(column) => {
            Some(Measure { of: Of::Rows, filter })
        }
        ([Expr::Literal(value, _)], false) if !value.is_null() => {
            Some(Measure { of: Of::Rows, filter })
        }
        _ => None,
    }
}

/// Returns the other aggregate that an expression is; `None` if it is distinct, or its state grows.
fn other(expr: &Expr) -> Option<Measure> {
    let filter = match expr {
        Expr::AggregateFunction(function) => function.params.filter.as_deref().cloned(),
        _ => None,
    };
    distinct_groups::is_of_parts(expr).then_some(Measure { of: Of::Other, filter })
}

fn looks_at_users(expr: &Expr) -> bool {
    expr.column_refs().iter().any(|column| column.name == USERS)
}

impl Asked<'_> {
    fn is_of_users(&self) -> bool {
        self.names == [USERS]
    }

    /// Returns an upper limit of the number of users in the selected hours.
    fn most_users(&self) -> u64 {
        let spans = TimeRanges::of_all(&self.below.predicates);
        let events = self.below.events;
        let in_files =
            events.files(&spans).iter().map(|(_, file)| file.rollup.users.n).sum::<u64>();
        let in_memory =
            events.tables(&spans).iter().map(|(_, table)| table.users.len() as u64).sum::<u64>();
        in_files + in_memory
    }

    /// Returns the rows of a part of the table that pass the predicates.
    fn rows(&self, part: Part, recorder: Arc<StatsRecorder>) -> Result<LogicalPlanBuilder> {
        let (scan, predicates) = (self.below.scan, &self.below.predicates);
        let table = Arc::new(EventsTable { part, recorder, ..self.below.events.clone() });
        let source = provider_as_source(table);
        let name = scan.table_name.clone();
        let rows = LogicalPlanBuilder::scan_with_filters(name, source, None, predicates.clone())?;
        match conjunction(predicates.clone()) {
            Some(predicate) => rows.filter(predicate),
            None => Ok(rows),
        }
    }

    /// Returns the rows with the columns that a [`Question`] is about.
    fn input(&self, part: Part) -> Result<LogicalPlan> {
        let table = Some(self.below.scan.table_name.clone());
        let names = self.names.iter().map(|name| Column::new(table.clone(), name));
        let names: Vec<Expr> = names.map(Expr::Column).collect();
        let columns = [
            named("name", &names),
            named("group", &self.groups),
            named("filter", &self.filters),
            named(ARGUMENT, &self.arguments),
        ];
        let rows = self.rows(part, self.below.events.recorder.clone())?;
        rows.project(columns.concat())?.build()
    }

    /// Returns the measure of an input's rows.
    fn measure(&self, i: usize, input: &LogicalPlan) -> Result<counting::Measure> {
        let Measure { of, filter } = &self.measures[i];
        let what = match of {
            Of::Rows => What::Rows,
            Of::Names(names) => What::Names(place(&self.names, names)),
            Of::Other => What::Other(self.lowered(&self.aggregates[i], input)?),
        };
        let flag = filter.as_ref().map(|filter| place(&self.filters, filter));
        Ok(counting::Measure { what, flag })
    }

    /// Returns an aggregate as one of an input's columns, without its filter.
    fn lowered(&self, expr: &Expr, input: &LogicalPlan) -> Result<Arc<AggregateFunctionExpr>> {
        let Expr::AggregateFunction(function) = expr else {
            return internal_err!("{expr} is no aggregate");
        };
        let mut function = function.clone();
        function.params.filter = None;
        let name = Expr::AggregateFunction(function.clone()).schema_name().to_string();
        for argument in &mut function.params.args {
            let place = place(&self.arguments, argument);
            *argument = Expr::Column(Column::from_name(format!("{ARGUMENT}_{place}")));
        }
        let expr = Expr::AggregateFunction(function);
        let (schema, properties) = (input.schema(), ExecutionProps::new());
        let context = PhysicalPlanningContext::default();
        let lowered =
            LoweredAggregateBuilder::new(&expr, schema, schema.as_arrow(), &properties, &context);
        Ok(lowered.with_name(name).build()?.aggregate)
    }

    fn in_memory(&self, limit: usize) -> Result<Option<LogicalPlan>> {
        // Codes can replace names only if no other expression reads the names.
        let mut others = [&self.below.predicates, &self.filters, &self.arguments].into_iter();
        let codes = self.names.iter().any(|names| names == USERS)
            && !others.any(|exprs| exprs.iter().any(looks_at_users));
        let inputs = vec![
            self.input(Part::Files)?,
            self.input(if codes { Part::MemoryCodes } else { Part::Memory })?,
        ];
        let fits =
            self.groups.is_empty() && self.is_of_users() && self.most_users() <= limit as u64;
        let otherwise = if fits { None } else { self.by_name()? };
        if otherwise.is_none() && !fits {
            return Ok(None);
        }
        let (schema, groups) = (self.aggregate.schema.as_arrow(), self.groups.len());
        let measures = (0..self.measures.len()).map(|i| self.measure(i, &inputs[0]));
        let fields = schema.fields().iter().enumerate().map(|(i, field)| {
            let name = if i < groups { format!("group_{i}") } else { format!("measure_{i}") };
            field.as_ref().clone().with_name(name)
        });
        let fields: Vec<Field> = fields.collect();
        let question = Question {
            names: self.names.clone().into(),
            groups: Arc::new(Schema::new(fields[..groups].to_vec())),
            measures: measures.collect::<Result<_>>()?,
            limit: (!fits).then_some(limit),
        };
        let columns: Vec<Expr> = fields.iter().map(|field| ident(field.name())).collect();
        let table = DistinctTable {
            inputs: Opaque::new(inputs),
            otherwise: Opaque::new(otherwise),
            question,
            schema: Arc::new(Schema::new(fields)),
        };
        let scan =
            LogicalPlanBuilder::scan("distinct_names", provider_as_source(Arc::new(table)), None)?;
        let columns = columns.into_iter().zip(self.aggregate.schema.iter());
        let columns = columns.map(|(column, (qualifier, field))| {
            column.alias_qualified(qualifier.cloned(), field.name())
        });
        scan.project(columns.collect::<Vec<_>>())?.build().map(Some)
    }

    /// Returns an equivalent plan of aggregates that DataFusion has: one row for each name of each
    /// group, then counts of those rows. The names of each column are counted by themselves, and
    /// all else beside the first. What it reads is not counted, as it reads that instead of the
    /// inputs, or again.
    fn by_name(&self) -> Result<Option<LogicalPlan>> {
        let mut parts = Vec::new();
        for (first, names) in self.names.iter().enumerate().map(|(i, names)| (i == 0, names)) {
            let is_in = |i: &usize| self.measures[*i].names().map_or(first, |of| of == names);
            let measures: Vec<usize> = (0..self.measures.len()).filter(is_in).collect();
            let exprs = measures.iter().map(|i| &self.aggregates[*i]);
            let (groups, exprs) = (named("group", &self.groups), named("measure", exprs));
            let rows = self.rows(Part::All, Arc::default())?.build()?;
            let part = Aggregate::try_new(Arc::new(rows), groups, exprs)?;
            let Some(part) = distinct_groups::in_two(&part)? else { return Ok(None) };
            parts.push((part, measures));
        }
        match &parts[..] {
            [(part, _)] => Ok(Some(part.clone())),
            _ => unite(self.aggregate, parts),
        }
    }
}

/// Numbers expressions.
fn named<'a>(what: &str, exprs: impl IntoIterator<Item = &'a Expr>) -> Vec<Expr> {
    let exprs = exprs.into_iter().enumerate();
    exprs.map(|(i, expr)| expr.clone().alias(format!("{what}_{i}"))).collect()
}

/// Returns the place of what was gathered at first.
fn place<T: PartialEq>(all: &[T], one: &T) -> usize {
    all.iter().position(|known| known == one).expect("gathered at first")
}

/// Table of the counts over its inputs, which brings [`DistinctNamesExec`] into a logical plan.
#[derive(Debug)]
struct DistinctTable {
    inputs: Opaque<Vec<LogicalPlan>>,
    otherwise: Opaque<Option<LogicalPlan>>,
    question: Question,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for DistinctTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // All plans are started before the first is awaited, so that the future holds no logical
        // plan (see `opaque`).
        let plans: Vec<_> =
            self.inputs.iter().map(|input| state.create_physical_plan(input)).collect();
        let otherwise = self.otherwise.as_ref().map(|plan| state.create_physical_plan(plan));
        let mut inputs = Vec::new();
        for plan in plans {
            let plan = plan.await?;
            // A part of the table without rows is left out.
            if (plan.as_ref() as &dyn Any).downcast_ref::<EmptyExec>().is_none() {
                inputs.push(plan);
            }
        }
        let otherwise = match otherwise {
            Some(plan) => Some(plan.await?),
            None => None,
        };
        let question = self.question.clone();
        let plan = DistinctNamesExec::new(inputs, otherwise, question, self.schema());
        projected(Arc::new(plan), projection)
    }
}

/// Returns the plan with these columns of its own.
fn projected(
    plan: Arc<dyn ExecutionPlan>,
    columns: Option<&Vec<usize>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = plan.schema();
    let Some(columns) =
        columns.filter(|columns| !columns.iter().copied().eq(0..schema.fields().len()))
    else {
        return Ok(plan);
    };
    let columns = columns.iter().map(|&place| {
        let name = schema.field(place).name().clone();
        ProjectionExpr { expr: Arc::new(Place::new(&name, place)), alias: name }
    });
    Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Vec<_>>(), plan)?))
}
