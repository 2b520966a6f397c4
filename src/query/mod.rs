//! Query layer: runs SQL over one [`Snapshot`](crate::storage::Snapshot) with DataFusion.
//!
//! - [`engine`] holds what is made once: functions, rules, the memory pool, the threads, and the
//!   plan of `queries/hour_stats.sql`, which every `GET /analytics` runs.
//! - [`mod@parse`] makes statements of a text: [`syntax`] refuses clauses that the planner would
//!   drop, [`limits`] what is too large to plan. [`params`] are the values that a statement leaves
//!   open, a [`session`] the options that `SET` changed. [`walk`] goes over the tree of a
//!   statement.
//! - [`catalog`] is what a statement finds by name, [`schema`] its columns, [`functions`] are ours.
//! - [`optimizer`] has our rules, [`time_ranges`] what a predicate says about time, [`exec`] our
//!   plan nodes.
//! - [`memory`] measures what statements hold, each on the threads of one of the [`slots`].
//! - [`statement`] runs one within its limits; its rows come as a [`result_stream`].
//! - [`opaque`] hides large types from the compiler, for its speed.
//! - [`stats`] says what it cost, [`scrape`] tells `/metrics`.
//!
//! This module knows snapshots, never the engine of [`crate::storage`]: a query cannot change what
//! it reads.

mod catalog;
mod engine;
mod exec;
mod functions;
mod limits;
mod memory;
mod opaque;
mod optimizer;
mod params;
mod parse;
mod result_stream;
mod schema;
mod scrape;
mod session;
mod slots;
mod statement;
mod stats;
mod syntax;
mod time_ranges;
mod walk;

pub use self::catalog::Setting;
pub use self::catalog::events::EventsTable;
pub use self::catalog::saved_queries::{Parameter, ParameterType, SavedQueries, SavedQuery};
pub use self::engine::{HOUR_STATS, QueryEngine, QueryOptions};
pub use self::optimizer::rollup::{HourglassOptions, Measure, RollupExec};
pub use self::params::Params;
pub use self::parse::{Parsed, parse};
pub use self::result_stream::ResultStream;
pub use self::session::Session;
pub use self::stats::recorder::{QueryStats, StatsRecorder};
