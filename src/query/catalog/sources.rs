//! The inputs from which the tables of a statement are built.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::Result;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::functions_aggregate::expr_fn::{count, count_distinct};
use datafusion::logical_expr::{ExprFunctionExt, LogicalPlanBuilder};
use datafusion::prelude::{col, lit};

use super::events::{EventsTable, LazyVisitors, Part};
use crate::query::functions::{date_trunc, visitors};
use crate::query::identifiers::quoted;
use crate::query::schema::EVENTS;
use crate::query::session::Session;
use crate::query::stats::history::History;
use crate::query::stats::recorder::StatsRecorder;
use crate::storage::Snapshot;

/// One row of `system.settings`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub name: String,
    pub value: String,
    /// Origin of the value.
    pub source: String,
    pub help: String,
}

/// The inputs from which a statement's tables are built.
#[derive(Clone, Debug)]
pub struct Sources {
    pub snapshot: Arc<Snapshot>,
    pub recorder: Arc<StatsRecorder>,
    pub history: Arc<History>,
    pub settings: Arc<[Setting]>,
    /// Whether predicates select hours from the index.
    pub pruning: bool,
    pub session: Session,
    pub visitors: LazyVisitors,
    /// When the engine was made, in microseconds since 1970.
    pub started_us: i64,
}

impl Sources {
    pub fn events(&self) -> Arc<dyn TableProvider> {
        let (snapshot, recorder) = (self.snapshot.clone(), self.recorder.clone());
        let (pruning, visitors) = (self.pruning, self.visitors.clone());
        Arc::new(EventsTable { snapshot, part: Part::All, recorder, pruning, visitors })
    }

    /// The `hours` view: the hours that have rows, with their numbers. It is served from rollups; a
    /// scan would return the same rows.
    pub fn hours(&self) -> Result<Arc<dyn TableProvider>> {
        let schema = &self.snapshot.schema;
        let of = |name: &str| count(lit(1_i64)).filter(col("event").eq(lit(name))).build();
        let hour = date_trunc().call(vec![lit("hour"), col("timestamp")]).alias("hour");
        let mut measures = vec![count_distinct(col("user_id")).alias("unique_users")];
        let mut text =
            "SELECT date_trunc('hour', timestamp) AS hour, count(DISTINCT user_id) AS unique_users"
                .to_string();
        for kind in schema.kinds() {
            let (name, counter) = (schema.name(kind), schema.counter(kind));
            measures.push(of(name)?.alias(counter));
            let counter = quoted(counter);
            text += &format!(", count(*) FILTER (WHERE event = '{name}') AS {counter}");
        }
        text += " FROM events GROUP BY 1";
        let plan = LogicalPlanBuilder::scan(EVENTS, provider_as_source(self.events()), None)?
            .aggregate([hour], measures)?
            .build()?;
        Ok(Arc::new(ViewTable::new(plan, Some(text))))
    }

    /// The `visitors` view: the users of each hour and kind as a set. It is served from the stored
    /// sets; a scan would return the same.
    pub fn visitors(&self) -> Result<Arc<dyn TableProvider>> {
        let reader = self.visitors.of(&self.snapshot);
        let hour = date_trunc().call(vec![lit("hour"), col("timestamp")]).alias("hour");
        let users = visitors::aggregate(reader, visitors::Of::Names).call(vec![col("user_id")]);
        let text = "SELECT date_trunc('hour', timestamp) AS hour, event, rb_build_agg(the code of user_id) AS users FROM events GROUP BY 1, 2";
        let plan = LogicalPlanBuilder::scan(EVENTS, provider_as_source(self.events()), None)?
            .aggregate([hour, col("event")], [users.alias("users")])?
            .build()?;
        Ok(Arc::new(ViewTable::new(plan, Some(text.into()))))
    }
}
