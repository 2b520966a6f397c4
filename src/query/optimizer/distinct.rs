//! Exact distinct users where rollups cannot be used: parts of hours, several hours, and FILTERs on
//! the kind of event.
//!
//! DataFusion's own plan hashes every row's name, and gives up its best rewrite when a FILTER is
//! combined with a DISTINCT. [`DistinctRule`] rewrites an aggregate without groups, of
//! `count(DISTINCT user_id)` and `count(*)`, each with any FILTER, to [`DistinctUsersExec`], which
//! uses what the store knows: files are sorted by user, so equal names are adjacent and a run of
//! them is hashed once; in memory, users are already interned, so each name is hashed once,
//! regardless of its number of rows. A set of users is a bitmap over their codes.
//!
//! If the hours may hold more users than `hourglass.distinct_users_in_memory`, the aggregate is
//! split into one by user and one over that, which DataFusion runs in bounded memory, spilling to
//! temporary files.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, Int64Array, RecordBatch,
    StringViewArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{Column, Result, internal_err};
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::functions::expr_fn::coalesce;
use datafusion::functions_aggregate::expr_fn::{bool_or, count, sum};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Aggregate, Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use datafusion::physical_expr::{Distribution, EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use datafusion::prelude::{ident, lit};
use futures::{StreamExt, stream};

use super::rollup::AggregateInput;
use crate::query::catalog::events::{EventsTable, Part};
use crate::query::opaque::Opaque;
use crate::query::options::HourglassOptions;
use crate::query::time_ranges::TimeRanges;
use crate::storage::Interner;

/// Optimizer rule for distinct users. It must run after the rollup rule, which is faster where it
/// applies.
#[derive(Debug, Default)]
pub struct DistinctRule;

impl OptimizerRule for DistinctRule {
    fn name(&self) -> &str {
        "hourglass_distinct_users"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(Transformed::no(plan)) };
        let Some(below) = AggregateInput::of(&aggregate.input)? else {
            return Ok(Transformed::no(plan));
        };
        if below.of_sets {
            return Ok(Transformed::no(plan));
        }
        let Some(measures) = measures(aggregate, &below)? else { return Ok(Transformed::no(plan)) };
        let options = config.options();
        let limit =
            options.extensions.get::<HourglassOptions>().map_or(0, |o| o.distinct_users_in_memory);
        let answer = if most_users(&below) <= limit as u64 {
            in_memory(aggregate, &below, &measures)?
        } else {
            by_user(aggregate, &below, &measures)?
        };
        Ok(Transformed::yes(answer))
    }
}

/// One count, of rows or of distinct users, among the rows that pass a filter.
#[derive(Clone, Debug)]
struct Measure {
    distinct: bool,
    filter: Option<Expr>,
}

/// Returns the aggregate as counts; `None` if it is anything else, or counts no distinct users.
fn measures(aggregate: &Aggregate, below: &AggregateInput) -> Result<Option<Vec<Measure>>> {
    if !aggregate.group_expr.is_empty() {
        return Ok(None);
    }
    let aggregates = below.inline_all(&aggregate.aggr_expr)?;
    let measures: Option<Vec<Measure>> =
        aggregates.iter().map(|expr| measure(expr, below)).collect();
    Ok(measures.filter(|measures| measures.iter().any(|measure| measure.distinct)))
}

fn measure(expr: &Expr, below: &AggregateInput<'_>) -> Option<Measure> {
    let Expr::AggregateFunction(function) = expr else { return None };
    let params = &function.params;
    if function.func.name() != "count"
        || !params.order_by.is_empty()
        || params.null_treatment.is_some()
    {
        return None;
    }
    let filter = params.filter.as_deref().cloned();
    match (&params.args[..], params.distinct) {
        ([Expr::Column(column)], true) if column.name == "user_id" => {
            Some(Measure { distinct: true, filter })
        }
        ([Expr::Column(column)], false) if below.is_never_null(column) => {
            Some(Measure { distinct: false, filter })
        }
        ([Expr::Literal(value, _)], false) if !value.is_null() => {
            Some(Measure { distinct: false, filter })
        }
        _ => None,
    }
}

/// Returns an upper limit of the number of users in the selected hours.
fn most_users(below: &AggregateInput) -> u64 {
    let spans = TimeRanges::of_all(&below.predicates);
    let in_files =
        below.events.files(&spans).iter().map(|(_, file)| file.rollup.users.n).sum::<u64>();
    let in_memory =
        below.events.tables(&spans).iter().map(|(_, table)| table.users.len() as u64).sum::<u64>();
    in_files + in_memory
}

fn user_column(below: &AggregateInput) -> Expr {
    Expr::Column(Column::new(Some(below.scan.table_name.clone()), "user_id"))
}

/// Returns the rows of a part of the table that pass the predicates: the user, and for each filter
/// whether the row passes it.
fn input(below: &AggregateInput, part: Part, filters: &[Expr]) -> Result<LogicalPlan> {
    let table = Arc::new(EventsTable { part, ..below.events.clone() });
    let name = below.scan.table_name.clone();
    let scan = LogicalPlanBuilder::scan_with_filters(
        name,
        provider_as_source(table),
        None,
        below.predicates.clone(),
    )?;
    let scan = match conjunction(below.predicates.clone()) {
        Some(predicate) => scan.filter(predicate)?,
        None => scan,
    };
    let flags =
        filters.iter().enumerate().map(|(i, filter)| filter.clone().alias(format!("filter_{i}")));
    scan.project([user_column(below).alias("user_id")].into_iter().chain(flags))?.build()
}

/// Returns the distinct filters of all measures.
fn filters_of(measures: &[Measure]) -> Vec<Expr> {
    let mut filters: Vec<Expr> = Vec::new();
    for filter in measures.iter().filter_map(|measure| measure.filter.as_ref()) {
        if !filters.contains(filter) {
            filters.push(filter.clone());
        }
    }
    filters
}

fn in_memory(
    aggregate: &Aggregate,
    below: &AggregateInput,
    measures: &[Measure],
) -> Result<LogicalPlan> {
    let filters = filters_of(measures);
    let looks_at_users =
        |expr: &Expr| expr.column_refs().iter().any(|column| column.name == "user_id");
    // Codes can replace names only if no other expression reads the names.
    let codes = !below.predicates.iter().chain(&filters).any(looks_at_users);
    let inputs = vec![
        input(below, Part::Files, &filters)?,
        input(below, if codes { Part::MemoryCodes } else { Part::Memory }, &filters)?,
    ];
    let place =
        |filter: &Expr| filters.iter().position(|known| known == filter).expect("gathered above");
    let counts: Vec<Count> = measures
        .iter()
        .map(|measure| Count {
            distinct: measure.distinct,
            flag: measure.filter.as_ref().map(place),
        })
        .collect();
    let table = DistinctTable { inputs: Opaque::new(inputs), counts: counts.into() };
    let columns = table
        .schema()
        .fields()
        .iter()
        .zip(aggregate.schema.fields())
        .map(|(from, to)| ident(from.name()).alias(to.name()))
        .collect::<Vec<_>>();
    let scan =
        LogicalPlanBuilder::scan("distinct_users", provider_as_source(Arc::new(table)), None)?;
    scan.project(columns)?.build()
}

/// Returns the equivalent plan of two aggregates that DataFusion has: one row for each user, then
/// counts of those rows.
fn by_user(
    aggregate: &Aggregate,
    below: &AggregateInput,
    measures: &[Measure],
) -> Result<LogicalPlan> {
    let input = input(below, Part::All, &filters_of(measures))?;
    let filters = filters_of(measures);
    let flag = |filter: &Expr| {
        let place = filters.iter().position(|known| known == filter).expect("gathered above");
        Expr::Column(Column::from_name(format!("filter_{place}")))
    };
    let mut inner = Vec::new();
    let mut outer = Vec::new();
    let mut named = Vec::new();
    for (i, (measure, field)) in measures.iter().zip(aggregate.schema.fields()).enumerate() {
        let (name, total) = (format!("of_user_{i}"), format!("total_{i}"));
        let of_user = Expr::Column(Column::from_name(&name));
        match (measure.distinct, &measure.filter) {
            (true, Some(filter)) => {
                inner.push(bool_or(flag(filter)).alias(&name));
                outer.push(count(lit(1_i64)).filter(of_user).build()?.alias(&total));
            }
            (true, None) => outer.push(count(lit(1_i64)).alias(&total)),
            (false, filter) => {
                let rows = match filter {
                    Some(filter) => count(lit(1_i64)).filter(flag(filter)).build()?,
                    None => count(lit(1_i64)),
                };
                inner.push(rows.alias(&name));
                outer.push(sum(of_user).alias(&total));
            }
        }
        named.push(
            coalesce(vec![Expr::Column(Column::from_name(&total)), lit(0_i64)]).alias(field.name()),
        );
    }
    let by_user = LogicalPlanBuilder::from(input)
        .aggregate([Expr::Column(Column::from_name("user_id"))], inner)?;
    by_user.aggregate(Vec::<Expr>::new(), outer)?.project(named)?.build()
}

/// A measure over input columns, with the index of the flag that must be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Count {
    distinct: bool,
    flag: Option<usize>,
}

/// Table of one row of counts over its inputs, which brings [`DistinctUsersExec`] into a logical
/// plan.
#[derive(Debug)]
struct DistinctTable {
    inputs: Opaque<Vec<LogicalPlan>>,
    counts: Arc<[Count]>,
}

#[async_trait]
impl TableProvider for DistinctTable {
    fn schema(&self) -> SchemaRef {
        let field = |i| Field::new(format!("count_{i}"), DataType::Int64, false);
        Arc::new(Schema::new((0..self.counts.len()).map(field).collect::<Vec<_>>()))
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
        let columns = projection.map_or_else(|| (0..self.counts.len()).collect(), Vec::clone);
        let schema = Arc::new(self.schema().project(&columns)?);
        let counts = columns.iter().map(|&column| self.counts[column]).collect();
        // All plans are started before the first is awaited, so that the future holds no logical
        // plan (see `opaque`).
        let plans: Vec<_> =
            self.inputs.iter().map(|input| state.create_physical_plan(input)).collect();
        let mut inputs = Vec::new();
        for plan in plans {
            let plan = plan.await?;
            // A part of the table without rows is left out.
            if (plan.as_ref() as &dyn Any).downcast_ref::<EmptyExec>().is_none() {
                inputs.push(plan);
            }
        }
        Ok(Arc::new(DistinctUsersExec::new(inputs, counts, schema)))
    }
}

/// Plan node that counts rows and distinct users of its inputs. The first column of an input is the
/// user, by name or by code; the others are flags.
#[derive(Clone, Debug)]
pub struct DistinctUsersExec {
    inputs: Vec<Arc<dyn ExecutionPlan>>,
    counts: Arc<[Count]>,
    properties: Arc<PlanProperties>,
}

impl DistinctUsersExec {
    fn new(
        inputs: Vec<Arc<dyn ExecutionPlan>>,
        counts: Arc<[Count]>,
        schema: SchemaRef,
    ) -> DistinctUsersExec {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        DistinctUsersExec { inputs, counts, properties: Arc::new(properties) }
    }
}

impl DisplayAs for DistinctUsersExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let text = |count: &Count| {
            let what = if count.distinct { "count(DISTINCT user_id)" } else { "count(*)" };
            count.flag.map_or(what.to_string(), |flag| format!("{what} FILTER filter_{flag}"))
        };
        write!(
            f,
            "DistinctUsersExec: [{}]",
            self.counts.iter().map(text).collect::<Vec<_>>().join(", ")
        )
    }
}

impl ExecutionPlan for DistinctUsersExec {
    fn name(&self) -> &str {
        "DistinctUsersExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inputs.iter().collect()
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition; self.inputs.len()]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(DistinctUsersExec { inputs: children, ..DistinctUsersExec::clone(&self) }))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let mut inputs = Vec::new();
        for input in &self.inputs {
            if input.output_partitioning().partition_count() != 1 {
                return internal_err!("DistinctUsersExec takes one partition of each input");
            }
            inputs.push(input.execute(partition, context.clone())?);
        }
        let reservation = MemoryConsumer::new("DistinctUsersExec").register(context.memory_pool());
        let (schema, mut counting) =
            (self.schema(), Counting::new(self.counts.clone(), reservation));
        let answer = async move {
            for mut input in inputs {
                while let Some(batch) = input.next().await {
                    counting.add(&batch?)?;
                }
            }
            let columns = counting
                .totals()
                .map(|total| Arc::new(Int64Array::from_value(total, 1)) as ArrayRef);
            Ok(RecordBatch::try_new(schema, columns.collect())?)
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), stream::once(answer))))
    }
}

/// A set of users, by code.
#[derive(Debug, Default)]
struct Bitmap(Vec<u64>);

impl Bitmap {
    fn insert(&mut self, code: u32) {
        let word = code as usize / 64;
        if word >= self.0.len() {
            self.0.resize((word + 1).next_power_of_two(), 0);
        }
        self.0[word] |= 1 << (code % 64);
    }

    fn len(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}

/// The codes assigned to the names of one dictionary.
#[derive(Debug)]
struct Codes {
    names: ArrayRef,
    /// Indexed by the dictionary's own keys; `UNKNOWN` until a row has the key.
    codes: Vec<u32>,
}

const UNKNOWN: u32 = u32::MAX;

#[derive(Debug)]
struct Counting {
    counts: Arc<[Count]>,
    users: Interner,
    /// The users or the rows of each count.
    sets: Vec<Bitmap>,
    rows: Vec<u64>,
    dictionaries: Vec<Codes>,
    reservation: MemoryReservation,
}

impl Counting {
    fn new(counts: Arc<[Count]>, reservation: MemoryReservation) -> Counting {
        let sets = counts.iter().map(|_| Bitmap::default()).collect();
        let rows = vec![0; counts.len()];
        Counting {
            counts,
            users: Interner::default(),
            sets,
            rows,
            dictionaries: Vec::new(),
            reservation,
        }
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        // A null flag counts as false.
        let flags: Vec<BooleanArray> = batch.columns()[1..]
            .iter()
            .map(|column| {
                let flags = column.as_boolean();
                match flags.nulls() {
                    Some(valid) => BooleanArray::new(flags.values() & valid.inner(), None),
                    None => flags.clone(),
                }
            })
            .collect();
        for (rows, count) in self.rows.iter_mut().zip(&*self.counts) {
            if !count.distinct {
                *rows +=
                    count.flag.map_or(batch.num_rows(), |flag| flags[flag].true_count()) as u64;
            }
        }
        let column = batch.column(0);
        match column.data_type() {
            DataType::Dictionary(..) => {
                self.add_codes(column.as_dictionary::<UInt32Type>(), &flags)
            }
            _ => self.add_names(column.as_string_view(), &flags),
        }
        let bitmaps: usize = self.sets.iter().map(|set| set.0.len() * 8).sum();
        let codes: usize =
            self.dictionaries.iter().map(|dictionary| dictionary.codes.len() * 4).sum();
        self.reservation.try_resize(self.users.bytes() as usize + bitmaps + codes)
    }

    /// Adds users by name, with one look-up for each run of equal names.
    fn add_names(&mut self, names: &StringViewArray, flags: &[BooleanArray]) {
        let (views, mut start) = (names.views(), 0);
        // A view of up to 12 bytes holds the whole name, so equal views are equal names.
        let is_same = |a: usize, b: usize| match views[a] as u32 {
            ..=12 => views[a] == views[b],
            _ => views[a] as u64 == views[b] as u64 && names.value(a) == names.value(b),
        };
        while start < names.len() {
            let mut end = start + 1;
            while end < names.len() && is_same(start, end) {
                end += 1;
            }
            let mut code = None;
            for (set, count) in self.sets.iter_mut().zip(&*self.counts) {
                let is_member = |flag: usize| (start..end).any(|row| flags[flag].value(row));
                if count.distinct && count.flag.is_none_or(is_member) {
                    set.insert(
                        *code.get_or_insert_with(|| self.users.intern(names.value(start)).0),
                    );
                }
            }
            start = end;
        }
    }

    /// Adds users by the keys of a dictionary, with one look-up for each key.
    fn add_codes(&mut self, column: &DictionaryArray<UInt32Type>, flags: &[BooleanArray]) {
        let known =
            self.dictionaries.iter().position(|codes| Arc::ptr_eq(&codes.names, column.values()));
        let place = known.unwrap_or_else(|| {
            let codes = vec![UNKNOWN; column.values().len()];
            self.dictionaries.push(Codes { names: column.values().clone(), codes });
            self.dictionaries.len() - 1
        });
        let Codes { names, codes } = &mut self.dictionaries[place];
        let names = names.as_string_view();
        let keys = column.keys().values();
        for (set, count) in
            self.sets.iter_mut().zip(&*self.counts).filter(|(_, count)| count.distinct)
        {
            let mut insert = |row: usize| {
                let code = &mut codes[keys[row] as usize];
                if *code == UNKNOWN {
                    *code = self.users.intern(names.value(keys[row] as usize)).0;
                }
                set.insert(*code);
            };
            match count.flag {
                None => (0..keys.len()).for_each(&mut insert),
                Some(flag) => flags[flag].values().set_indices().for_each(&mut insert),
            }
        }
    }

    fn totals(&self) -> impl Iterator<Item = i64> {
        let total = |(count, (set, rows)): (&Count, (&Bitmap, &u64))| {
            if count.distinct { set.len() as i64 } else { *rows as i64 }
        };
        self.counts.iter().zip(self.sets.iter().zip(&self.rows)).map(total)
    }
}
