//! Description of the machine, for judging the results.

use std::path::Path;
use std::time::Instant;

use serde::Serialize;

use super::stats::Samples;
use crate::error::{Error, Result};
use crate::storage::vfs::{Disk, Vfs};
use crate::text;

#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory_bytes: u64,
    pub kernel: String,
    pub file_system: String,
    /// Duration of one `fdatasync` after writing 4 KB to a preallocated file, in milliseconds: the
    /// minimum latency of an acknowledgement.
    pub sync_ms: f64,
    pub hourglass: String,
    pub datafusion: String,
    /// Whether this is an optimised build; results of other builds are meaningless.
    pub release: bool,
}

impl Machine {
    /// Inspects the machine, and measures the disk that holds `dir`.
    pub fn look(dir: &Path) -> Result<Machine> {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor =
            cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Ok(Machine {
            processor: processor.trim_start_matches([' ', '\t', ':']).to_string(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: kilobytes("/proc/meminfo", "MemTotal:").unwrap_or(0),
            kernel: format!("{} {}", std::env::consts::OS, kernel.trim()),
            file_system: file_system(dir),
            sync_ms: sync_ms(dir)?,
            hourglass: env!("CARGO_PKG_VERSION").into(),
            datafusion: datafusion::DATAFUSION_VERSION.into(),
            release: !cfg!(debug_assertions),
        })
    }

    /// Returns names and values for display.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        vec![
            ("processor", format!("{}, {} cores", self.processor, self.cores)),
            ("memory", text::bytes(self.memory_bytes)),
            ("system", self.kernel.clone()),
            ("disk", format!("{}, 4 KB fdatasync {:.2} ms", self.file_system, self.sync_ms)),
            (
                "build",
                format!(
                    "hourglass {}, DataFusion {}, {}",
                    self.hourglass,
                    self.datafusion,
                    self.build()
                ),
            ),
        ]
    }

    fn build(&self) -> &'static str {
        if self.release {
            "release"
        } else {
            "DEBUG: these results are meaningless, build with --release"
        }
    }
}

/// Returns the peak memory of a process in bytes; 0 if unknown.
pub fn peak_memory(process: u32) -> u64 {
    kilobytes(&format!("/proc/{process}/status"), "VmHWM:").unwrap_or(0)
}

/// Returns the current memory of a process in bytes; 0 if unknown.
pub fn memory(process: u32) -> u64 {
    kilobytes(&format!("/proc/{process}/status"), "VmRSS:").unwrap_or(0)
}

/// Returns the load of the machine over the last 1, 5 and 15 minutes.
pub fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(", ")
}

/// Returns the bytes stated by a line `NAME 123 kB` of a file.
fn kilobytes(file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches(" kB").parse().ok().map(|n: u64| n * 1024)
}

/// Returns the file system type of the mount that holds `dir`: the one with the longest matching
/// path.
fn file_system(dir: &Path) -> String {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let holding = fields.filter(|fields| fields.len() > 2 && dir.starts_with(fields[1]));
    holding
        .max_by_key(|fields| fields[1].len())
        .map_or("unknown".into(), |fields| fields[2].to_string())
}

fn sync_ms(dir: &Path) -> Result<f64> {
    const BLOCK: usize = 4096;
    const SYNCS: usize = 200;
    let path = dir.join("sync");
    let measure = || -> std::io::Result<Samples> {
        let file = Disk.create(&path)?;
        file.write_all_at(&vec![0; BLOCK * SYNCS], 0)?;
        file.sync_data()?;
        let timed = |i: usize| {
            let started = Instant::now();
            file.write_all_at(&[1; BLOCK], (i * BLOCK) as u64)?;
            file.sync_data()?;
            Ok(started.elapsed().as_secs_f64() * 1e3)
        };
        (0..SYNCS).map(timed).collect()
    };
    let samples = measure().map_err(Error::io(&path, "measure the disk"))?;
    let _ = Disk.remove_file(&path);
    Ok(samples.median())
}
