//! What the engine tells a scrape: figures that are there anyway, read when asked for.

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
use crate::metrics::{family, gauge};

impl Engine {
    /// Registers everything that storage counts and knows. A scrape lists the log's folder: it may
    /// block.
    pub fn register(&self, registry: &mut Registry) {
        self.metrics().register(registry);
        registry.register_collector(Box::new(State(self.clone(), Recurring::default())));
    }
}

/// The engine, and what of it cannot be told.
#[derive(Debug)]
struct State(Engine, Recurring);

impl Collector for State {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (encoder, snapshot) = (&mut encoder, self.0.snapshot());
        self.queue(encoder)?;
        self.wal(encoder, &snapshot)?;
        self.room(encoder, &snapshot)?;
        self.memtables(encoder, &snapshot)?;
        gauge(
            encoder,
            "hourglass_idempotency_keys",
            "Idempotency keys remembered",
            self.0.keys() as u64,
        )?;
        let limit = "Idempotency keys past which requests with one are refused";
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
        gauge(encoder, "hourglass_queue_events", "Events that wait for the writer", events as u64)?;
        gauge(encoder, "hourglass_queue_bytes", "Bytes that wait for the writer", bytes as u64)?;
        let limit = "Events that may wait, past which more are refused";
        gauge(encoder, "hourglass_queue_max_events", limit, options.queue_max_events as u64)?;
        let limit = "Bytes that may wait, past which more are refused";
        gauge(encoder, "hourglass_queue_max_bytes", limit, options.queue_max_bytes as u64)
    }

    fn wal(&self, encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
        let accepting = u32::from(self.0.refusal().is_none());
        let help = "1 while events are taken, 0 while they are refused, as /readyz says";
        gauge(encoder, "hourglass_accepting_events", help, accepting)?;
        let poisoned = u32::from(self.0.poisoned().is_some());
        gauge(
            encoder,
            "hourglass_poisoned",
            "1 once the write-ahead log has failed and events are refused",
            poisoned,
        )?;
        let oldest = snapshot.memtables().find(|memtable| !memtable.is_empty());
        let age = oldest
            .map_or(0.0, |memtable| since(&**self.0.clock(), memtable.since_us).as_secs_f64());
        let help = "How long the oldest event that is not in a data file has been in the write-ahead log, across restarts";
        gauge(encoder, "hourglass_wal_age_seconds", help, age)?;
        match snapshot.log_segments() {
            Ok(segments) => {
                self.1.has_passed();
                let bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
                let used = segments.iter().filter(|segment| segment.first_lsn.is_some()).count();
                gauge(
                    encoder,
                    "hourglass_wal_bytes",
                    "Bytes of the log's folder, preallocated ones too",
                    bytes,
                )?;
                gauge(
                    encoder,
                    "hourglass_wal_segments",
                    "Segments of the log that hold or take events",
                    used as u64,
                )
            }
            // The other figures are worth having all the same.
            Err(error) => {
                if self.1.is_due(self.0.clock().now_us()) {
                    tracing::warn!(%error, "the size of the write-ahead log is missing from the metrics");
                }
                Ok(())
            }
        }
    }

    /// Left out where the system does not tell it.
    fn room(&self, encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
        let (vfs, data_dir) = snapshot.store.vfs();
        let Ok(room) = vfs.room(data_dir) else { return Ok(()) };
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
        let free = "Files that can still be made on the data directory's file system";
        gauge(encoder, "hourglass_disk_free_inodes", free, room.free_inodes)?;
        let help = "Files that there can be on it, 0 where it has no such bound";
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
        let full = "Rows at which a generation is sealed";
        gauge(encoder, "hourglass_memtable_max_rows", full, options.memtable_max_rows)?;
        let full = "Bytes at which a generation is sealed";
        gauge(encoder, "hourglass_memtable_max_bytes", full, options.memtable_max_bytes)?;
        let sealed = snapshot.sealed.len() as u64;
        gauge(
            encoder,
            "hourglass_memtable_sealed",
            "Generations that are sealed and not yet in data files",
            sealed,
        )
    }
}

/// Writes a figure of the generation that events arrive in, and of those being flushed together.
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
