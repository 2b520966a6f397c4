//! Metrics of the query engine for `/metrics`.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;

use super::engine::QueryEngine;
use crate::metrics::gauge;

impl QueryEngine {
    /// Registers the counters of statements, and gauges such as the number that run.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        self.history.metrics.register(registry);
        registry.register_collector(Box::new(Load(self.clone())));
    }
}

#[derive(Debug)]
struct Load(Arc<QueryEngine>);

impl Collector for Load {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (encoder, engine) = (&mut encoder, &self.0);
        let (most, free) = (engine.options.concurrency, engine.permits.available_permits());
        gauge(
            encoder,
            "hourglass_queries_running",
            "Running statements",
            most.saturating_sub(free) as u64,
        )?;
        gauge(
            encoder,
            "hourglass_queries_max",
            "Maximum number of concurrent statements",
            most as u64,
        )?;
        let held = engine.slots.held() as u64;
        gauge(encoder, "hourglass_query_memory_bytes", "Memory used by statements", held)?;
        let limit = "Maximum memory for all statements together";
        gauge(encoder, "hourglass_query_memory_max_bytes", limit, engine.options.memory_bytes)
    }
}
