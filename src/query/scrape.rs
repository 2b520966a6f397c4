//! What the query engine tells a scrape of `/metrics`.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;

use super::engine::QueryEngine;
use crate::metrics::gauge;

impl QueryEngine {
    /// Registers everything that statements are counted by, and how many run.
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
            "Statements that run now",
            most.saturating_sub(free) as u64,
        )?;
        gauge(encoder, "hourglass_queries_max", "Statements that may run at once", most as u64)?;
        let held = engine.slots.held() as u64;
        gauge(encoder, "hourglass_query_memory_bytes", "Memory that statements hold", held)?;
        let limit = "Memory that statements may hold together";
        gauge(encoder, "hourglass_query_memory_max_bytes", limit, engine.options.memory_bytes)
    }
}
