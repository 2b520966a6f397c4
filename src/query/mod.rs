//! Query layer: runs SQL over one [`Snapshot`](crate::storage::Snapshot) with DataFusion.
//!
//! - [`engine`] holds what is made once: functions, rules, the memory pool, the threads, and the
//!   plan of `queries/hour_stats.sql`, which every `GET /analytics` runs.
//! - [`mod@parse`] parses a text into statements: [`syntax`] rejects clauses that the planner would
//!   drop, [`limits`] rejects statements that are too large to plan. [`params`] are the values of a
//!   statement's parameters, a [`session`] holds the options that `SET` changed, [`options`] are
//!   those of this engine, [`settings`] those of PostgreSQL. [`walk`] visits the syntax tree of a
//!   statement.
//! - [`command`] recognizes the other statements of a door with sessions, [`describe`] says what a
//!   statement takes and returns, without running it.
//! - [`catalog`] holds the tables that a statement can name, [`schema`] their columns,
//!   [`functions`] the functions of this engine.
//! - [`optimizer`] holds optimizer rules, [`time_ranges`] derives time ranges from predicates,
//!   [`exec`] holds plan nodes.
//! - [`memory`] measures the memory of statements, each of which runs on the threads of one of the
//!   [`slots`]; a [`pool`] is what operators account for, and decides which of them spill.
//! - [`statement`] runs one statement within its limits and returns its rows as a
//!   [`result_stream`].
//! - [`identifiers`] quotes names.
//! - [`opaque`] hides large types from the compiler, for its speed.
//! - [`stats`] records the cost of statements, [`scrape`] exports it to `/metrics`.
//!
//! This module depends on snapshots, never on the engine of [`crate::storage`]: a query cannot
//! change what it reads.

mod catalog;
pub mod command;
mod describe;
mod engine;
mod exec;
mod functions;
mod identifiers;
mod limits;
mod memory;
mod opaque;
mod optimizer;
mod options;
mod params;
mod parse;
mod pool;
mod result_stream;
mod schema;
mod scrape;
mod session;
mod settings;
mod slots;
mod statement;
mod stats;
mod syntax;
mod time_ranges;
mod walk;

pub use self::catalog::events::EventsTable;
pub use self::catalog::postgres::{of_arrow as postgres_type, reference_name};
pub use self::catalog::saved_queries::{Parameter, ParameterType, SavedQueries, SavedQuery};
pub use self::catalog::sources::Setting;
pub use self::describe::Description;
pub use self::engine::{HOUR_STATS, QueryEngine, QueryOptions};
pub use self::functions::{Interval, parse_bytea, parse_date, parse_interval, parse_time};
pub use self::optimizer::rollup::{Measure, RollupExec};
pub use self::options::HourglassOptions;
pub use self::params::Params;
pub use self::parse::{Parsed, parse};
pub use self::result_stream::ResultStream;
pub use self::schema::{EVENTS, POSTGRES_OID};
pub use self::session::{AS_OF, Session};
pub use self::stats::recorder::{QueryStats, StatsRecorder};
pub use self::syntax::shown_name;
