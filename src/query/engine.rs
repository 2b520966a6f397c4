//! Query engine: DataFusion, set up once, with a session of it for each statement.

use std::any::Any;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList,
};
use datafusion::common::ParamValues;
use datafusion::common::format::ExplainFormat;
use datafusion::execution::object_store::{DefaultObjectStoreRegistry, ObjectStoreRegistry};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::execution::{FunctionRegistry, TaskContext};
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use datafusion::scalar::ScalarValue;
use futures::StreamExt;
use futures::future::BoxFuture;

use tokio::sync::Semaphore;

use super::catalog::events;
use super::catalog::postgres::facts::Facts;
use super::catalog::postgres::{self, CatalogSchema, INFORMATION_SCHEMA, PG_CATALOG};
use super::catalog::saved_queries::SavedQueries;
use super::catalog::sources::{Setting, Sources};
use super::catalog::system::{ShowChunks, SystemSchema};
use super::catalog::{PublicSchema, SCHEMA, SYSTEM_SCHEMA};
use super::opaque::Opaque;
use super::optimizer::rollup::RollupExec;
use super::options::HourglassOptions;
use super::parse::Parsed;
use super::pool::HalfSharedPool;
use super::schema::SHOW_CHUNKS;
use super::session::Session;
use super::slots::Slots;
use super::stats::history::History;
use super::stats::recorder::StatsRecorder;
use super::{functions, memory, optimizer, syntax};
use crate::error::{Error, Result};
use crate::event::EventSchema;
use crate::hour::Hour;
use crate::rollup::{Counts, HourNumbers};
use crate::storage::{Counted, Snapshot};

/// The statement behind `GET /analytics`.
pub const HOUR_STATS: &str = include_str!("../../queries/hour_stats.sql");

const CATALOG: &str = "hourglass";

/// Divisor of the memory budget that gives the size of DataFusion's memory pool. Operators hold
/// more memory than they account for, and should spill to temporary files before they hold too
/// much.
const COUNTED_SHARE: usize = 2;

#[derive(Clone, Debug)]
pub struct QueryOptions {
    /// Memory limit of all statements together: by default a quarter of the machine's. Sorts, joins
    /// and groups spill to temporary files before they reach it.
    pub memory_bytes: u64,
    /// Size limit of those temporary files.
    pub spill_bytes: u64,
    /// Whether aggregates over whole hours are computed from rollups.
    pub rollups: bool,
    /// Time limit of one statement.
    pub timeout: Duration,
    /// Number of statements that may run at once.
    pub concurrency: usize,
    /// Number of threads that one statement runs on.
    pub threads: usize,
    /// The rows of `system.settings`.
    pub settings: Vec<Setting>,
    /// A folder of saved queries in addition to the bundled ones.
    pub queries: Option<PathBuf>,
}

impl Default for QueryOptions {
    fn default() -> QueryOptions {
        QueryOptions {
            memory_bytes: memory::default_budget(),
            spill_bytes: 10 << 30,
            rollups: true,
            timeout: Duration::from_secs(60),
            concurrency: 8,
            threads: std::thread::available_parallelism().map_or(1, |cores| cores.get()),
            settings: Vec::new(),
            queries: None,
        }
    }
}

/// Query engine shared by all statements.
#[derive(Debug)]
pub struct QueryEngine {
    pub(super) options: QueryOptions,
    /// A session without tables; each statement's session is a copy with the tables of its
    /// snapshot.
    pub(super) base: Opaque<SessionState>,
    pub(super) context: Arc<TaskContext>,
    /// The plan of [`HOUR_STATS`], if it is served from rollups: made for one hour, rebound to any
    /// other.
    pub(super) hour_stats: OnceLock<RollupExec>,
    /// Permits to run a statement. Nobody waits on this semaphore: a statement without a permit
    /// fails.
    pub(super) permits: Arc<Semaphore>,
    pub(super) history: Arc<History>,
    pub(super) settings: Arc<[Setting]>,
    pub(super) library: SavedQueries,
    /// When this was made, in microseconds since 1970.
    started_us: i64,
    /// The threads that statements run on.
    pub(super) slots: Slots,
}

impl QueryEngine {
    pub fn new(options: &QueryOptions) -> Result<QueryEngine> {
        let mut config = SessionConfig::new()
            .with_default_catalog_and_schema(CATALOG, SCHEMA)
            .with_create_default_catalog_and_schema(false)
            .with_target_partitions(options.threads);
        let set = config.options_mut();
        set.execution.time_zone = Some("UTC".into());
        set.sql_parser.collect_spans = true;
        set.explain.format = ExplainFormat::Indent;
        set.extensions
            .insert(HourglassOptions { rollups: options.rollups, ..HourglassOptions::default() });
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(HalfSharedPool::new(
                options.memory_bytes as usize / COUNTED_SHARE,
            )))
            .with_max_temp_directory_size(options.spill_bytes)
            .build_arc()?;
        let builder =
            SessionStateBuilder::new().with_analyzer_rules(optimizer::first_analyzer_rules());
        let mut base = functions::plan(builder)
            .with_config(config)
            .with_runtime_env(runtime)
            .with_default_features()
            .with_analyzer_rule(Arc::new(syntax::MultisetRule))
            .with_analyzer_rule(Arc::new(syntax::CountedSubqueries))
            .with_analyzer_rule(Arc::new(syntax::SingleRows))
            .with_analyzer_rule(Arc::new(syntax::NullAwareRule))
            .with_analyzer_rule(Arc::new(syntax::SortKeysRule))
            .with_optimizer_rules(optimizer::rules())
            .with_physical_optimizer_rules(optimizer::physical_rules())
            .build();
        functions::register(&mut base)?;
        for function in functions::bounded::functions() {
            base.register_udf(function)?;
        }
        functions::stoppable::register(&mut base)?;
        base.register_function_rewrite(Arc::new(functions::bounded::OperatorRewrite::default()))?;
        let context = base.task_ctx();
        let concurrency = options.concurrency.clamp(1, Semaphore::MAX_PERMITS);
        Ok(QueryEngine {
            base: Opaque::new(base),
            context,
            hour_stats: OnceLock::new(),
            permits: Arc::new(Semaphore::new(concurrency)),
            history: Arc::default(),
            settings: options.settings.clone().into(),
            started_us: chrono::Utc::now().timestamp_micros(),
            library: options
                .queries
                .as_deref()
                .map_or_else(|| Ok(SavedQueries::default()), SavedQueries::with_folder)?,
            slots: Slots::new(concurrency, options.threads.max(1), options.memory_bytes as usize)?,
            options: QueryOptions { concurrency, ..options.clone() },
        })
    }

    /// Forgets the statements that name one of the users.
    pub fn forget(&self, users: &BTreeSet<String>) {
        self.history.forget(users);
    }

    /// Returns the number of statements that may run at once.
    pub fn concurrency(&self) -> usize {
        self.options.concurrency
    }

    /// Returns the saved queries.
    pub fn library(&self) -> &SavedQueries {
        &self.library
    }

    /// Returns a session with the configured options.
    pub fn new_session(&self) -> Session {
        Session::new(self.base.config().clone())
    }

    /// Returns DataFusion's state for one statement, and what its catalogs tell: it sees `snapshot`
    /// and nothing else, and `recorder` counts what it reads.
    pub(super) fn state(
        &self,
        session: &Session,
        snapshot: &Arc<Snapshot>,
        recorder: &Arc<StatsRecorder>,
    ) -> Result<(SessionState, Arc<Facts>)> {
        let options = session.config().options().extensions.get::<HourglassOptions>();
        let sources = Sources {
            snapshot: snapshot.clone(),
            recorder: recorder.clone(),
            history: self.history.clone(),
            settings: self.settings.clone(),
            pruning: options.is_none_or(|options| options.pruning),
            session: session.clone(),
            started_us: self.started_us,
            visitors: Default::default(),
        };
        let facts = Arc::new(Facts::new(sources.clone()));
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema(
            SCHEMA,
            Arc::new(PublicSchema { sources: sources.clone(), facts: facts.clone() }),
        )?;
        catalog.register_schema(SYSTEM_SCHEMA, Arc::new(SystemSchema(sources.clone())))?;
        let catalogs = MemoryCatalogProviderList::new();
        let catalog = Arc::new(catalog);
        catalogs.register_catalog(CATALOG.into(), catalog.clone());
        let registry = DefaultObjectStoreRegistry::new();
        registry.register_store(
            events::store_url().as_ref(),
            Arc::new(Counted::new(snapshot.store.clone(), recorder.reads.clone())),
        );
        let runtime = RuntimeEnv {
            object_store_registry: Arc::new(registry),
            ..RuntimeEnv::clone(self.base.runtime_env())
        };
        let mut state = SessionStateBuilder::new_from_existing(SessionState::clone(&self.base))
            .with_config(session.config().clone())
            .with_runtime_env(Arc::new(runtime))
            .with_catalog_list(Arc::new(catalogs))
            .build();
        // Sets the time of `now()` and resets the names that the optimizer generates.
        state.mark_start_execution();
        state.register_udtf(SHOW_CHUNKS, Arc::new(ShowChunks(sources)));
        for schema in [PG_CATALOG, INFORMATION_SCHEMA] {
            let functions = state.table_functions().clone();
            let provider = CatalogSchema { schema, facts: facts.clone(), functions };
            catalog.register_schema(schema, Arc::new(provider))?;
        }
        Ok((state, facts))
    }

    /// Returns the state for one statement with the functions that it calls, after a check that it
    /// may call them.
    pub(super) fn state_of(
        &self,
        session: &Session,
        snapshot: &Arc<Snapshot>,
        recorder: &Arc<StatsRecorder>,
        statement: &Parsed,
    ) -> Result<SessionState> {
        let (mut state, facts) = self.state(session, snapshot, recorder)?;
        postgres::register(&mut state, &statement.statement, &facts)?;
        syntax::check_calls(&statement.statement, &state)?;
        Ok(state)
    }

    /// Returns a session that sees `snapshot` and nothing else.
    pub fn session(&self, snapshot: &Arc<Snapshot>) -> Result<SessionContext> {
        let (state, _) = self.state(&self.new_session(), snapshot, &Arc::default())?;
        Ok(SessionContext::new_with_state(state))
    }

    /// Returns the numbers of one hour: the result of [`HOUR_STATS`] over `snapshot`.
    pub async fn hour_numbers(&self, snapshot: &Arc<Snapshot>, hour: Hour) -> Result<HourNumbers> {
        if let Some(plan) = self.hour_stats.get() {
            let mut batches =
                plan.rebind(snapshot.clone(), hour).execute(0, self.context.clone())?;
            let batch = batches.next().await.ok_or(Error::Closed)??;
            return numbers(&snapshot.schema, &batch);
        }
        self.plan_and_run_hour_stats(snapshot, hour).await
    }

    /// Plans and runs [`HOUR_STATS`]. Boxed so that the compiler proves once that what planning
    /// holds is `Send`, not again for each future around it.
    fn plan_and_run_hour_stats<'a>(
        &'a self,
        snapshot: &'a Arc<Snapshot>,
        hour: Hour,
    ) -> BoxFuture<'a, Result<HourNumbers>> {
        Box::pin(async move {
            let plan = self.plan_hour_stats(snapshot, hour).await?;
            if let Some(rollup) = (plan.as_ref() as &dyn Any).downcast_ref::<RollupExec>() {
                // A concurrent caller that set it first made the same plan.
                // It is kept for ever, and must not keep the files of this snapshot.
                let _ = self.hour_stats.set(rollup.rebind(Arc::new(snapshot.emptied()), hour));
            }
            let context = self.session(snapshot)?.task_ctx();
            let batches = collect(plan, context).await?;
            let row = arrow::compute::concat_batches(&batches[0].schema(), &batches)?;
            numbers(&snapshot.schema, &row)
        })
    }

    /// Returns the numbers of one hour without waiting; `None` if the plan is not yet made or must
    /// read a file.
    pub fn hour_numbers_now(&self, snapshot: &Arc<Snapshot>, hour: Hour) -> Option<HourNumbers> {
        let batch = self.hour_stats.get()?.rebind(snapshot.clone(), hour).answer_now()?;
        numbers(&snapshot.schema, &batch.ok()?).ok()
    }

    /// Makes the plan of [`HOUR_STATS`] in advance of the first request.
    pub async fn warm_up(&self, snapshot: &Arc<Snapshot>) -> Result<()> {
        self.hour_numbers(snapshot, Hour::FIRST).await.map(drop)
    }

    /// Returns the physical plan of [`HOUR_STATS`] for one hour.
    pub async fn plan_hour_stats(
        &self,
        snapshot: &Arc<Snapshot>,
        hour: Hour,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self.hour_stats_frame(snapshot, hour).await?.create_physical_plan().await?)
    }

    /// Returns [`HOUR_STATS`] for one hour, not yet planned.
    pub async fn hour_stats_frame(
        &self,
        snapshot: &Arc<Snapshot>,
        hour: Hour,
    ) -> Result<DataFrame> {
        let instant = |us| ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into()));
        let params = vec![("start", instant(hour.start_us())), ("end", instant(hour.end_us()))];
        let frame = self.session(snapshot)?.sql(&hour_stats(&snapshot.schema)).await?;
        Ok(frame.with_param_values(ParamValues::from(params))?)
    }
}

/// Returns [`HOUR_STATS`] with the counts of the declared kinds after those of the contract.
fn hour_stats(schema: &EventSchema) -> String {
    let declared = schema.kinds().filter(|kind| !kind.is_of_contract());
    let counts: String = declared
        .map(|kind| {
            let name = schema.name(kind);
            format!(",\n    count(*) FILTER (WHERE event = '{name}') AS \"{name}\"")
        })
        .collect();
    HOUR_STATS.replacen("\nFROM events", &format!("{counts}\nFROM events"), 1)
}

/// Reads the one row of [`HOUR_STATS`]: distinct users, then the events of each kind.
fn numbers(schema: &EventSchema, row: &RecordBatch) -> Result<HourNumbers> {
    if row.num_rows() != 1 || row.num_columns() != 1 + schema.kind_names().len() {
        return Err(Error::Invalid(
            "hour_stats.sql must return one row: users, and events of each kind".into(),
        ));
    }
    let value = |column: usize| row.column(column).as_primitive::<Int64Type>().value(0) as u64;
    let mut counts = Counts::NONE;
    schema.kinds().for_each(|kind| counts.add(kind, value(1 + kind.index())));
    Ok(HourNumbers { unique_users: value(0), counts })
}
