//! Counters of statements, updated when a statement ends.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::recorder::QueryStats;
use crate::metrics::Histogram;

/// State of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Running,
    Done,
    Failed,
    /// The client did not wait for the end.
    Cancelled,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Done => "done",
            State::Failed => "failed",
            State::Cancelled => "cancelled",
        }
    }
}

/// Counters of the statements of one engine.
#[derive(Debug)]
pub struct Metrics {
    ended: Family<[(&'static str, &'static str); 1], Counter>,
    planning: Histogram,
    running: Histogram,
    rollups: Counter,
    rows: Counter,
    partitions_considered: Counter,
    partitions_read: Counter,
    files_read: Counter,
    bytes_read: Counter,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let (ended, rollups, rows) = Default::default();
        let (partitions_considered, partitions_read, files_read, bytes_read) = Default::default();
        let (planning, running) = (Histogram::of_times(), Histogram::of_times());
        Metrics {
            ended,
            planning,
            running,
            rollups,
            rows,
            partitions_considered,
            partitions_read,
            files_read,
            bytes_read,
        }
    }
}

impl Metrics {
    /// Adds an ended statement's stats to the counters.
    pub fn ended(&self, state: State, stats: &QueryStats) {
        self.ended.get_or_create(&[("outcome", state.as_str())]).inc();
        self.planning.observe_duration(Duration::from_secs_f64(stats.planning_ms / 1e3));
        self.running.observe_duration(Duration::from_secs_f64(stats.running_ms / 1e3));
        self.rollups.inc_by(stats.rollup.into());
        self.rows.inc_by(stats.rows);
        self.partitions_considered.inc_by(stats.partitions);
        self.partitions_read.inc_by(stats.partitions_read);
        self.files_read.inc_by(stats.files_read);
        self.bytes_read.inc_by(stats.bytes_read);
    }

    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "hourglass_queries",
            "Statements that ended, by outcome",
            self.ended.clone(),
        );
        registry.register(
            "hourglass_query_planning_duration_seconds",
            "Time from a statement's start until it is planned",
            self.planning.clone(),
        );
        registry.register(
            "hourglass_query_running_duration_seconds",
            "Time from a statement's plan until its last row was read",
            self.running.clone(),
        );
        let mut count =
            |name, help, counter: &Counter| registry.register(name, help, counter.clone());
        count(
            "hourglass_query_rollups",
            "Statements answered by rollups, fully or in part",
            &self.rollups,
        );
        count("hourglass_query_rows", "Rows answered", &self.rows);
        let help = "Partitions (hours) in the table, summed over statements";
        count("hourglass_query_partitions_considered", help, &self.partitions_considered);
        let help = "Partitions (hours) left after pruning, summed over statements";
        count("hourglass_query_partitions_read", help, &self.partitions_read);
        count("hourglass_query_files_read", "Data files that statements opened", &self.files_read);
        count(
            "hourglass_query_bytes_read",
            "Bytes of data files that statements read",
            &self.bytes_read,
        );
    }
}
