//! Questions: SQL over one [`Snapshot`], by DataFusion.
//!
//! [`QueryEngine`] holds what is made once: functions, rules, the memory pool, and the plan of `queries/hour_stats.sql`,
//! which every `GET /analytics` runs. [`table`] is the `events` table, [`spans`] what a predicate says about time,
//! [`memory`] the scan of what is in memory, [`rollup`] the aggregates answered without a scan.
//!
//! This module knows snapshots, never the engine: a query cannot change what it reads.

mod memory;
mod rollup;
mod spans;
mod table;

use std::any::Any;
use std::sync::{Arc, OnceLock};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider};
use datafusion::catalog::{CatalogProviderList, SchemaProvider};
use datafusion::common::ParamValues;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::optimizer::Optimizer;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use datafusion::scalar::ScalarValue;
use futures::StreamExt;

pub use self::rollup::{HourglassOptions, Measure, RollupExec};
pub use self::table::EventsTable;
use crate::error::{Error, Result};
use crate::hour::Hour;
use crate::storage::{HourNumbers, Snapshot};

/// The statement behind `GET /analytics`.
pub const HOUR_STATS: &str = include_str!("../../queries/hour_stats.sql");

const CATALOG: &str = "hourglass";
const SCHEMA: &str = "public";

#[derive(Clone, Debug)]
pub struct QueryOptions {
    /// Memory the queries together may use.
    pub memory_bytes: u64,
    /// Whether aggregates over whole hours are answered from rollups.
    pub rollups: bool,
}

impl Default for QueryOptions {
    fn default() -> QueryOptions {
        QueryOptions { memory_bytes: 1 << 30, rollups: true }
    }
}

/// DataFusion, set up once.
#[derive(Debug)]
pub struct QueryEngine {
    /// A session without tables; each statement's session is a copy with the tables of its snapshot.
    base: SessionState,
    context: Arc<TaskContext>,
    /// The plan of [`HOUR_STATS`], when rollups answer it: made for one hour, run for every one.
    hour_stats: OnceLock<RollupExec>,
}

impl QueryEngine {
    pub fn new(options: &QueryOptions) -> Result<QueryEngine> {
        let mut config = SessionConfig::new()
            .with_default_catalog_and_schema(CATALOG, SCHEMA)
            .with_create_default_catalog_and_schema(false)
            .with_information_schema(true);
        config.options_mut().execution.parquet.pushdown_filters = true;
        config.options_mut().execution.parquet.reorder_filters = true;
        config.options_mut().execution.time_zone = Some("UTC".into());
        let own = HourglassOptions { rollups: options.rollups };
        config.options_mut().extensions.insert(own);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(options.memory_bytes as usize)))
            .build_arc()?;
        let base = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_default_features()
            .with_optimizer_rules(rules())
            .build();
        let context = base.task_ctx();
        Ok(QueryEngine { base, context, hour_stats: OnceLock::new() })
    }

    /// A session that sees `snapshot` and nothing else.
    pub fn session(&self, snapshot: &Arc<Snapshot>) -> Result<SessionContext> {
        let schema = MemorySchemaProvider::new();
        schema.register_table("events".into(), Arc::new(EventsTable { snapshot: snapshot.clone() }))?;
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema(SCHEMA, Arc::new(schema))?;
        let catalogs = MemoryCatalogProviderList::new();
        catalogs.register_catalog(CATALOG.into(), Arc::new(catalog));
        let state =
            SessionStateBuilder::new_from_existing(self.base.clone()).with_catalog_list(Arc::new(catalogs)).build();
        let store = Arc::new(snapshot.store.clone());
        state.runtime_env().register_object_store(table::store_url().as_ref(), store);
        Ok(SessionContext::new_with_state(state))
    }

    /// The numbers of one hour: [`HOUR_STATS`] over `snapshot`.
    pub async fn hour_numbers(&self, snapshot: &Arc<Snapshot>, hour: Hour) -> Result<HourNumbers> {
        if let Some(plan) = self.hour_stats.get() {
            let mut batches = plan.rebind(snapshot.clone(), hour).execute(0, self.context.clone())?;
            let batch = batches.next().await.ok_or(Error::Closed)??;
            return numbers(&batch);
        }
        let plan = self.plan_hour_stats(snapshot, hour).await?;
        if let Some(rollup) = (plan.as_ref() as &dyn Any).downcast_ref::<RollupExec>() {
            // Whoever came first made the same plan.
            let _ = self.hour_stats.set(rollup.clone());
        }
        let context = self.session(snapshot)?.task_ctx();
        let batches = collect(plan, context).await?;
        numbers(&arrow::compute::concat_batches(&batches[0].schema(), &batches)?)
    }

    /// The same at once, where the plan is made and reads no file.
    pub fn hour_numbers_now(&self, snapshot: &Arc<Snapshot>, hour: Hour) -> Option<HourNumbers> {
        let batch = self.hour_stats.get()?.rebind(snapshot.clone(), hour).answer_now()?;
        numbers(&batch.ok()?).ok()
    }

    /// Makes the plan of [`HOUR_STATS`], so that the first questions need not.
    pub async fn warm_up(&self, snapshot: &Arc<Snapshot>) -> Result<()> {
        self.hour_numbers(snapshot, Hour::FIRST).await.map(drop)
    }

    /// The physical plan of [`HOUR_STATS`] for one hour.
    pub async fn plan_hour_stats(&self, snapshot: &Arc<Snapshot>, hour: Hour) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self.hour_stats_frame(snapshot, hour).await?.create_physical_plan().await?)
    }

    /// [`HOUR_STATS`] for one hour, not yet planned.
    pub async fn hour_stats_frame(&self, snapshot: &Arc<Snapshot>, hour: Hour) -> Result<DataFrame> {
        let instant = |us| ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into()));
        let params = vec![("start", instant(hour.start_us())), ("end", instant(hour.end_us()))];
        let frame = self.session(snapshot)?.sql(HOUR_STATS).await?;
        Ok(frame.with_param_values(ParamValues::from(params))?)
    }
}

/// DataFusion's rules with ours where predicates have been pushed down and distinct aggregates are still whole.
fn rules() -> Vec<Arc<dyn datafusion::optimizer::OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    let at = rules.iter().position(|rule| rule.name() == "push_down_filter").map_or(rules.len(), |at| at + 1);
    rules.insert(at, Arc::new(rollup::RollupRule));
    rules
}

/// The one row of [`HOUR_STATS`].
fn numbers(row: &RecordBatch) -> Result<HourNumbers> {
    if row.num_rows() != 1 {
        return Err(Error::Invalid("hour_stats.sql must answer one row".into()));
    }
    let value = |column: usize| row.column(column).as_primitive::<Int64Type>().value(0) as u64;
    Ok(HourNumbers { unique_users: value(0), clicks: value(1), impressions: value(2) })
}
