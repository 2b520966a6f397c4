//! Exact distinct users where rollups cannot be used: parts of hours, several hours, groups, and
//! FILTERs on the kind of event; and the distinct values of a dimension, by group.
//!
//! DataFusion's own plan hashes every row's name, keeps a copy of each user for every group, and
//! gives up its best rewrite when a FILTER is combined with a DISTINCT. [`answer`] rewrites an
//! aggregate of `count(DISTINCT user_id)` and `count(*)`, each with any FILTER, to
//! [`DistinctNamesExec`], which uses what the store knows: files are sorted by user, so equal names
//! are adjacent and a run of them is hashed once; in memory, users are already interned, so each
//! name is hashed once, regardless of its number of rows. A set of users is a bitmap over codes.
//! The values of a dimension are counted by group in the same way.
//!
//! If there may be more names than `hourglass.distinct_users_in_memory`, or too many groups, the
//! node gets a second plan for that case: the aggregate split into one by name and one over that,
//! which DataFusion runs in bounded memory, spilling to temporary files.

use std::any::Any;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Column, Result};
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::functions::expr_fn::coalesce;
use datafusion::functions_aggregate::expr_fn::{bool_or, count, sum};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Aggregate, Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::expressions::Column as Place;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::prelude::{ident, lit};

use super::aggregate::is_same_each_time;
use super::rollup::AggregateInput;
use crate::query::catalog::events::{EventsTable, Part};
use crate::query::exec::counting::{Count, Question};
use crate::query::exec::distinct::DistinctNamesExec;
use crate::query::opaque::Opaque;
use crate::query::options::HourglassOptions;
use crate::query::stats::recorder::StatsRecorder;
use crate::query::time_ranges::TimeRanges;

/// The column of users.
const USERS: &str = "user_id";

/// Returns the plan of an aggregate that counts distinct names; `None` for another. It must run
/// after the rollup rule, which is faster where it applies.
pub fn answer(aggregate: &Aggregate, options: &ConfigOptions) -> Result<Option<LogicalPlan>> {
    let Some(below) = AggregateInput::of(&aggregate.input)?.filter(|below| !below.of_sets) else {
        return Ok(None);
    };
    let Some(asked) = Asked::of(aggregate, below)? else { return Ok(None) };
    let limit =
        options.extensions.get::<HourglassOptions>().map_or(0, |o| o.distinct_users_in_memory);
    match (limit, asked.groups.is_empty()) {
        (0, true) => asked.by_name(&asked.below.events.recorder).map(Some),
        (0, false) => Ok(None),
        _ => asked.in_memory(limit).map(Some),
    }
}

/// One count, of rows or of the distinct names in a column, among the rows that pass a filter.
#[derive(Clone, Debug)]
pub struct Measure {
    /// The column with the names; `None` if rows are counted.
    of: Option<String>,
    filter: Option<Expr>,
}

impl Measure {
    pub fn is_of_users(&self) -> bool {
        self.of.as_deref() == Some(USERS)
    }

    pub fn is_of_rows(&self) -> bool {
        self.of.is_none()
    }
}

/// An aggregate that counts the distinct names in a column.
struct Asked<'a> {
    aggregate: &'a Aggregate,
    below: AggregateInput<'a>,
    /// The column with the names: the users, or a dimension.
    names: String,
    groups: Vec<Expr>,
    measures: Vec<Measure>,
    /// The distinct filters of all measures.
    filters: Vec<Expr>,
}

impl<'a> Asked<'a> {
    /// Returns the aggregate; `None` if it counts anything else, or not the names in one column.
    fn of(aggregate: &'a Aggregate, below: AggregateInput<'a>) -> Result<Option<Asked<'a>>> {
        let groups = below.inline_all(&aggregate.group_expr)?;
        let aggregates = below.inline_all(&aggregate.aggr_expr)?;
        let measures: Option<Vec<Measure>> =
            aggregates.iter().map(|expr| measure(expr, &below)).collect();
        let Some(measures) = measures else { return Ok(None) };
        let mut columns = measures.iter().filter_map(|measure| measure.of.as_ref());
        let Some(names) = columns.next().filter(|first| columns.all(|other| other == *first))
        else {
            return Ok(None);
        };
        let names = names.clone();
        // Of a single group, the few values of a dimension are found faster by grouping by them.
        if names != USERS && groups.is_empty() {
            return Ok(None);
        }
        for group in &groups {
            if !is_simple(group)? {
                return Ok(None);
            }
        }
        let mut filters: Vec<Expr> = Vec::new();
        for filter in measures.iter().filter_map(|measure| measure.filter.as_ref()) {
            if !filters.contains(filter) {
                filters.push(filter.clone());
            }
        }
        Ok(Some(Asked { aggregate, below, names, groups, measures, filters }))
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
            Some(Measure { of: Some(column.name.clone()), filter })
        }
        ([value @ Expr::Column(column)], true) if schema.dimension(&column.name).is_some() => {
            let filter = conjunction([value.clone().is_not_null()].into_iter().chain(filter));
            Some(Measure { of: Some(column.name.clone()), filter })
        }
        ([Expr::Column(column)], false) if below.is_never_null(column) => {
            Some(Measure { of: None, filter })
        }
        ([Expr::Literal(value, _)], false) if !value.is_null() => {
            Some(Measure { of: None, filter })
        }
        _ => None,
    }
}

fn looks_at_users(expr: &Expr) -> bool {
    expr.column_refs().iter().any(|column| column.name == USERS)
}

fn column(name: &str) -> Expr {
    Expr::Column(Column::from_name(name))
}

fn group_name(i: usize) -> String {
    format!("group_{i}")
}

impl Asked<'_> {
    fn is_of_users(&self) -> bool {
        self.names == USERS
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

    /// Returns the rows of a part of the table that pass the predicates: the name, for each filter
    /// whether the row passes it, and the columns of the group.
    fn input(&self, part: Part, recorder: &Arc<StatsRecorder>) -> Result<LogicalPlan> {
        let (scan, predicates) = (self.below.scan, &self.below.predicates);
        let recorder = recorder.clone();
        let table = Arc::new(EventsTable { part, recorder, ..self.below.events.clone() });
        let of = Expr::Column(Column::new(Some(scan.table_name.clone()), &self.names));
        let source = provider_as_source(table);
        let name = scan.table_name.clone();
        let rows = LogicalPlanBuilder::scan_with_filters(name, source, None, predicates.clone())?;
        let rows = match conjunction(predicates.clone()) {
            Some(predicate) => rows.filter(predicate)?,
            None => rows,
        };
        let flags = self.filters.iter().enumerate();
        let flags = flags.map(|(i, filter)| filter.clone().alias(format!("filter_{i}")));
        let groups = self.groups.iter().enumerate();
        let groups = groups.map(|(i, group)| group.clone().alias(group_name(i)));
        rows.project([of.alias("name")].into_iter().chain(flags).chain(groups))?.build()
    }

    /// Returns the index of a measure's filter.
    fn place(&self, filter: &Expr) -> usize {
        self.filters.iter().position(|known| known == filter).expect("gathered at first")
    }

    fn in_memory(&self, limit: usize) -> Result<LogicalPlan> {
        // Codes can replace names only if no other expression reads the names.
        let codes = self.is_of_users()
            && !self.below.predicates.iter().chain(&self.filters).any(looks_at_users);
        let recorder = &self.below.events.recorder;
        let inputs = vec![
            self.input(Part::Files, recorder)?,
            self.input(if codes { Part::MemoryCodes } else { Part::Memory }, recorder)?,
        ];
        let fits =
            self.groups.is_empty() && self.is_of_users() && self.most_users() <= limit as u64;
        // What the other plan would read, it reads instead of the inputs or again: it is not counted.
        let otherwise = if fits { None } else { Some(self.by_name(&Arc::default())?) };
        let counts = self.measures.iter().map(|measure| Count {
            distinct: !measure.is_of_rows(),
            flag: measure.filter.as_ref().map(|filter| self.place(filter)),
        });
        let schema = self.aggregate.schema.as_arrow();
        let groups =
            (0..self.groups.len()).map(|i| schema.field(i).clone().with_name(group_name(i)));
        let table = DistinctTable {
            inputs: Opaque::new(inputs),
            otherwise: Opaque::new(otherwise),
            question: Question {
                names: self.names.as_str().into(),
                counts: counts.collect(),
                groups: Arc::new(Schema::new(groups.collect::<Vec<_>>())),
                limit: (!fits).then_some(limit),
            },
        };
        let names = table.schema().fields().iter().map(|field| ident(field.name())).collect();
        let scan =
            LogicalPlanBuilder::scan("distinct_names", provider_as_source(Arc::new(table)), None)?;
        self.named(scan, names)
    }

    /// Gives the columns of a plan the names that they have in the aggregate.
    fn named(&self, plan: LogicalPlanBuilder, columns: Vec<Expr>) -> Result<LogicalPlan> {
        let fields = self.aggregate.schema.iter();
        let columns = columns.into_iter().zip(fields).map(|(column, (qualifier, field))| {
            column.alias_qualified(qualifier.cloned(), field.name())
        });
        plan.project(columns.collect::<Vec<_>>())?.build()
    }

    /// Returns the equivalent plan of two aggregates that DataFusion has: one row for each name of
    /// each group, then counts of those rows.
    fn by_name(&self, recorder: &Arc<StatsRecorder>) -> Result<LogicalPlan> {
        let flag = |filter: &Expr| column(&format!("filter_{}", self.place(filter)));
        let groups: Vec<Expr> = (0..self.groups.len()).map(|i| column(&group_name(i))).collect();
        let mut inner = Vec::new();
        let mut outer = Vec::new();
        let mut columns = groups.clone();
        for (i, measure) in self.measures.iter().enumerate() {
            let (name, total) = (format!("of_name_{i}"), format!("total_{i}"));
            let of_name = column(&name);
            match (&measure.of, &measure.filter) {
                (Some(_), Some(filter)) => {
                    inner.push(bool_or(flag(filter)).alias(&name));
                    outer.push(count(lit(1_i64)).filter(of_name).build()?.alias(&total));
                }
                (Some(_), None) => outer.push(count(lit(1_i64)).alias(&total)),
                (None, filter) => {
                    let rows = match filter {
                        Some(filter) => count(lit(1_i64)).filter(flag(filter)).build()?,
                        None => count(lit(1_i64)),
                    };
                    inner.push(rows.alias(&name));
                    outer.push(sum(of_name).alias(&total));
                }
            }
            columns.push(coalesce(vec![column(&total), lit(0_i64)]));
        }
        let keys = groups.iter().cloned().chain([column("name")]);
        let plan = LogicalPlanBuilder::from(self.input(Part::All, recorder)?)
            .aggregate(keys, inner)?
            .aggregate(groups, outer)?;
        self.named(plan, columns)
    }
}

/// Table of the counts over its inputs, which brings [`DistinctNamesExec`] into a logical plan.
#[derive(Debug)]
struct DistinctTable {
    inputs: Opaque<Vec<LogicalPlan>>,
    otherwise: Opaque<Option<LogicalPlan>>,
    question: Question,
}

#[async_trait]
impl TableProvider for DistinctTable {
    fn schema(&self) -> SchemaRef {
        let field = |i| Arc::new(Field::new(format!("count_{i}"), DataType::Int64, false));
        let counts = (0..self.question.counts.len()).map(field);
        Arc::new(Schema::new(
            self.question.groups.fields().iter().cloned().chain(counts).collect::<Vec<_>>(),
        ))
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
