//! Metrics of the process, under the names that Prometheus's client libraries use. Values are read
//! from Linux's `/proc`; missing ones are left out.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use rustix::process::{Resource, getrlimit};

use crate::console;
use crate::metrics::{family, gauge};

/// Unit of times in `/proc`: hundredths of a second (proc_pid_stat(5)).
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Debug)]
pub struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        if let Some(stat) = Stat::read() {
            let (name, help) = ("process_cpu_seconds", "Processor time, user and system");
            let mut cpu = family(encoder, name, help, MetricType::Counter)?;
            cpu.encode_counter::<NoLabelSet, _, u64>(&stat.cpu_seconds, None)?;
            gauge(
                encoder,
                "process_start_time_seconds",
                "Start time of the process, since the epoch",
                stat.start_seconds,
            )?;
            gauge(encoder, "process_threads", "Threads", stat.threads)?;
            gauge(encoder, "process_virtual_memory_bytes", "Address space", stat.virtual_bytes)?;
        }
        if let Some(bytes) = resident_bytes() {
            gauge(encoder, "process_resident_memory_bytes", "Resident memory", bytes)?;
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            gauge(encoder, "process_open_fds", "Open file descriptors", open.count() as u64)?;
        }
        let mut lost = family(
            encoder,
            "hourglass_log_lines_lost",
            "Log lines lost because they could not be written or were not read",
            MetricType::Counter,
        )?;
        lost.encode_counter::<NoLabelSet, _, u64>(&console::lost(), None)?;
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        gauge(encoder, "process_max_fds", "Maximum number of open file descriptors", limit)
    }
}

/// The contents of `/proc/self/stat`.
struct Stat {
    cpu_seconds: f64,
    start_seconds: f64,
    threads: u64,
    virtual_bytes: u64,
}

impl Stat {
    fn read() -> Option<Stat> {
        let text = fs::read_to_string("/proc/self/stat").ok()?;
        // The second field, the name in parentheses, may contain spaces.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Stat {
            cpu_seconds: (field(14)? + field(15)?) as f64 / TICKS_PER_SECOND,
            start_seconds: boot_seconds()? as f64 + field(22)? as f64 / TICKS_PER_SECOND,
            threads: field(20)?,
            virtual_bytes: field(23)?,
        })
    }
}

/// Returns the boot time of the machine, in seconds since the epoch.
fn boot_seconds() -> Option<u64> {
    number("/proc/stat", "btime ")
}

fn resident_bytes() -> Option<u64> {
    number("/proc/self/status", "VmRSS:").map(|kilobytes| kilobytes * 1_024)
}

/// Returns the number after `name` at the beginning of a line.
fn number(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}
