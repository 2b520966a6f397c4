//! Metrics computed when scraped, from the engine's current state.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::engine::Engine;
use super::memory::memtable::Memtable;
use super::metrics::since;
use super::recurring::Recurring;
use super::snapshot::Snapshot;
use crate::hour::Hour;
use crate::metrics::{family, gauge};

impl Engine {
    /// Registers all metrics of storage. A scrape lists the log's folder, so it may block.
    pub fn register(&self, registry: &mut Registry) {
        self.metrics().register(registry);
        registry.register_collector(Box::new(State(self.clone(), Recurring::default())));
    }
}

/// Collector of an engine's state; the [`Recurring`] limits warnings about a log that cannot be
/// listed.
#[derive(Debug)]
struct State(Engine, Recurring);

impl Collector for State {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (encoder, snapshot) = (&mut encoder, self.0.snapshot());
        self.queue(encoder)?;
        self.wal(encoder, &snapshot)?;
        self.room(encoder)?;
        self.memtables(encoder, &snapshot)?;
        let mut kinds = family(
            encoder,
            "hourglass_stored_events",
            "Events in the store, by kind",
            MetricType::Gauge,
        )?;
        let totals = snapshot.totals(Hour::FIRST, Hour::LAST);
        for kind in snapshot.schema.kinds() {
            let labels = [("kind", snapshot.schema.name(kind))];
            kinds.encode_family(&labels)?.encode_gauge(&totals.count(kind))?;
        }
        gauge(
            encoder,
            "hourglass_idempotency_keys",
            "Idempotency keys remembered",
            self.0.keys() as u64,
        )?;
        let limit = "Maximum number of remembered idempotency keys; beyond it, requests with a \
            key are rejected";
        gauge(
            encoder,
            "hourglass_idempotency_max_keys",
            limit,
            self.0.options().idempotency_max_keys as u64,
        )?;
        gauge(encoder, "hourglass_files", "Data files of the table", snapshot.file_count)?;
        gauge(
            encoder,
            "hourglass_table_bytes",
            "Bytes of the table's data files",
            snapshot.file_bytes,
        )?;
        self.sets(encoder, &snapshot)?;
        gauge(
            encoder,
            "hourglass_hours",
            "Hours that have rows, in files or in memory",
            snapshot.partitions() as u64,
        )
    }
}

impl State {
    fn queue(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (events, bytes) = self.0.queued();
        let options = self.0.options();
        gauge(encoder, "hourglass_queue_events", "Events waiting for the writer", events as u64)?;
        gauge(encoder, "hourglass_queue_bytes", "Bytes waiting for the writer", bytes as u64)?;
        let limit = "Maximum number of waiting events; more are rejected";
        gauge(encoder, "hourglass_queue_max_events", limit, options.queue_max_events as u64)?;
        let limit = "Maximum number of waiting bytes; more are rejected";
        gauge(encoder, "hourglass_queue_max_bytes", limit, options.queue_max_bytes as u64)
    }

    fn wal(&self, encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
        let accepting = u32::from(self.0.refusal().is_none());
        let help = "1 if events are accepted, 0 if they are rejected, as /readyz reports";
        gauge(encoder, "hourglass_accepting_events", help, accepting)?;
        let poisoned = u32::from(self.0.poisoned().is_some());
        gauge(
            encoder,
            "hourglass_poisoned",
            "1 after the write-ahead log has failed: events are rejected until a restart",
            poisoned,
        )?;
        let oldest = snapshot.memtables().find(|memtable| !memtable.is_empty());
        let age = oldest
            .map_or(0.0, |memtable| since(&**self.0.clock(), memtable.since_us).as_secs_f64());
        let help = "Age in the write-ahead log of the oldest event that is not in a data file, \
            across restarts";
        gauge(encoder, "hourglass_wal_age_seconds", help, age)?;
        match snapshot.log.segments() {
            Ok(segments) => {
                self.1.has_passed();
                let bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
                let used = segments.iter().filter(|segment| segment.first_lsn.is_some()).count();
                gauge(
                    encoder,
                    "hourglass_wal_bytes",
                    "Bytes of the log's folder, including preallocated ones",
                    bytes,
                )?;
                gauge(
                    encoder,
                    "hourglass_wal_segments",
                    "Segments of the log that hold or receive events",
                    used as u64,
                )
            }
            // The other metrics are still useful.
            Err(error) => {
                if self.1.is_due(self.0.clock().now_us()) {
                    tracing::warn!(%error, "the size of the write-ahead log is missing from the metrics");
                }
                Ok(())
            }
        }
    }

    fn sets(&self, encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
        let figures = snapshot.set_figures();
        let help = "Data files whose visitor sets are still to be made";
        gauge(encoder, "hourglass_set_files_missing", help, figures.missing)?;
        let help = "Bytes of the visitor sets";
        gauge(encoder, "hourglass_set_bytes", help, figures.set_bytes)?;
        let help = "Users that have a code in the index of names";
        gauge(encoder, "hourglass_indexed_users", help, figures.users)?;
        let help = "Bytes of the index of names";
        gauge(encoder, "hourglass_index_bytes", help, figures.index_bytes)
    }

    /// Encodes the disk metrics; omits them if the system does not report them.
    fn room(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Ok(room) = self.0.room() else { return Ok(()) };
        gauge(
            encoder,
            "hourglass_disk_free_bytes",
            "Bytes free on the data directory's file system",
            room.free_bytes,
        )?;
        gauge(
            encoder,
            "hourglass_disk_bytes",
            "Bytes of the data directory's file system",
            room.bytes,
        )?;
        let free = "Free inodes of the data directory's file system";
        gauge(encoder, "hourglass_disk_free_inodes", free, room.free_inodes)?;
        let help = "Total inodes of the data directory's file system, 0 if it has no such limit";
        gauge(encoder, "hourglass_disk_inodes", help, room.inodes)
    }

    fn memtables(&self, encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
        let options = self.0.options();
        by_state(encoder, "hourglass_memtable_rows", "Rows in memory", snapshot, |memtable| {
            memtable.rows
        })?;
        by_state(encoder, "hourglass_memtable_bytes", "Bytes in memory", snapshot, |memtable| {
            memtable.bytes
        })?;
        let full = "Number of rows at which a generation is sealed";
        gauge(encoder, "hourglass_memtable_max_rows", full, options.memtable_max_rows)?;
        let full = "Number of bytes at which a generation is sealed";
        gauge(encoder, "hourglass_memtable_max_bytes", full, options.memtable_max_bytes)?;
        let sealed = snapshot.sealed.len() as u64;
        gauge(
            encoder,
            "hourglass_memtable_sealed",
            "Sealed generations that are not yet in data files",
            sealed,
        )
    }
}

/// Encodes a figure by state: of the active generation, and summed over the sealed ones.
fn by_state(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    snapshot: &Snapshot,
    figure: impl Fn(&Memtable) -> u64,
) -> fmt::Result {
    let mut states = family(encoder, name, help, MetricType::Gauge)?;
    let sealed: u64 = snapshot.sealed.iter().map(&figure).sum();
    for (state, value) in [("active", figure(&snapshot.active)), ("sealed", sealed)] {
        states.encode_family(&[("state", state)])?.encode_gauge(&value)?;
    }
    Ok(())
}
