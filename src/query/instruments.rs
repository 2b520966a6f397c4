//! What statements are counted by, once each has ended.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::QueryEngine;
use super::history::State;
use super::receipt::Figures;
use crate::metrics::{Histogram, gauge};

/// The instruments of one [`QueryEngine`].
#[derive(Debug)]
pub struct Instruments {
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

impl Default for Instruments {
    fn default() -> Instruments {
        let (ended, rollups, rows) = Default::default();
        let (partitions_considered, partitions_read, files_read, bytes_read) = Default::default();
        let (planning, running) = (Histogram::of_times(), Histogram::of_times());
        Instruments {
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

impl Instruments {
    /// Counts a statement by its receipt.
    pub fn ended(&self, state: State, figures: &Figures) {
        self.ended.get_or_create(&[("outcome", state.as_str())]).inc();
        self.planning.took(Duration::from_secs_f64(figures.planning_ms / 1e3));
        self.running.took(Duration::from_secs_f64(figures.running_ms / 1e3));
        self.rollups.inc_by(figures.rollup.into());
        self.rows.inc_by(figures.rows);
        self.partitions_considered.inc_by(figures.partitions);
        self.partitions_read.inc_by(figures.partitions_read);
        self.files_read.inc_by(figures.files_read);
        self.bytes_read.inc_by(figures.bytes_read);
    }

    fn register(&self, registry: &mut Registry) {
        registry.register("hourglass_queries", "Statements that ended, by outcome", self.ended.clone());
        registry.register(
            "hourglass_query_planning_duration_seconds",
            "Time from a statement's start until it is planned",
            self.planning.clone(),
        );
        registry.register(
            "hourglass_query_running_duration_seconds",
            "Time from a statement's plan until its last row was taken",
            self.running.clone(),
        );
        let mut count = |name, help, counter: &Counter| registry.register(name, help, counter.clone());
        count("hourglass_query_rollups", "Statements that rollups answered, all or in part", &self.rollups);
        count("hourglass_query_rows", "Rows answered", &self.rows);
        let help = "Partitions (hours) that the table had, summed over statements";
        count("hourglass_query_partitions_considered", help, &self.partitions_considered);
        let help = "Partitions (hours) left after pruning, summed over statements";
        count("hourglass_query_partitions_read", help, &self.partitions_read);
        count("hourglass_query_files_read", "Data files that statements opened", &self.files_read);
        count("hourglass_query_bytes_read", "Bytes of data files that statements read", &self.bytes_read);
    }
}

impl QueryEngine {
    /// Registers everything that statements are counted by, and how many run.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        self.history.instruments.register(registry);
        registry.register_collector(Box::new(Load(self.clone())));
    }
}

#[derive(Debug)]
struct Load(Arc<QueryEngine>);

impl Collector for Load {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (encoder, engine) = (&mut encoder, &self.0);
        let (most, free) = (engine.options.concurrency, engine.slots.available_permits());
        gauge(encoder, "hourglass_queries_running", "Statements that run now", most.saturating_sub(free) as u64)?;
        gauge(encoder, "hourglass_queries_max", "Statements that may run at once", most as u64)?;
        let reserved = engine.base.runtime_env().memory_pool.reserved() as u64;
        gauge(encoder, "hourglass_query_memory_bytes", "Memory that statements have reserved", reserved)?;
        let limit = "Memory that statements may reserve together";
        gauge(encoder, "hourglass_query_memory_max_bytes", limit, engine.options.memory_bytes)
    }
}
