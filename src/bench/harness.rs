//! Harness of the benchmarks: options, a scratch folder, progress, and checks of answers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use indicatif::{ProgressBar, ProgressStyle};

use crate::error::{Error, Result};
use crate::query::{Params, QueryEngine, QueryStats};
use crate::storage::Snapshot;

/// Options of a benchmark.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether to use smaller stores and fewer rounds: a minute or so, for a first look.
    pub quick: bool,
    /// Seed of every workload.
    pub seed: u64,
    /// Folder whose disk is measured; scratch folders are made in it and removed.
    pub dir: PathBuf,
    /// Folder for the report, `NAME.html` and `NAME.json`.
    pub out: Option<PathBuf>,
    /// Results of other engines, as written by the scripts in `tests/peers/`, to include in the
    /// report.
    pub peers: Vec<PathBuf>,
    /// Command line of this run, for the report.
    pub command: String,
}

/// Scratch folder of this run, removed when dropped.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(dir: &Path, name: &str) -> Result<Scratch> {
        let path = std::path::absolute(dir).map_err(Error::io(dir, "find"))?;
        let path = path.join(format!("bench-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(Error::io(&path, "create the scratch folder"))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(cause) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %cause, "the scratch folder could not be removed");
        }
    }
}

/// Progress bar on standard error, counting steps; hidden if that is not a terminal.
pub struct Steps(ProgressBar);

impl Steps {
    pub fn new(steps: usize) -> Steps {
        let style =
            ProgressStyle::with_template("{spinner} {msg} {wide_bar} {pos}/{len} {elapsed}");
        let bar = ProgressBar::new(steps as u64).with_style(style.expect("the template is valid"));
        bar.enable_steady_tick(Duration::from_millis(120));
        Steps(bar)
    }

    /// Starts the next step, and shows what it does.
    pub fn next(&self, doing: impl Into<String>) {
        if !self.0.message().is_empty() {
            self.0.inc(1);
        }
        self.0.set_message(doing.into());
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Runs a future to completion on this thread.
pub fn wait<T>(future: impl Future<Output = T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(Error::io("", "start a runtime"))?.block_on(future))
}

/// Asks hourglass with rollups off; returns the time in milliseconds and the rows.
pub fn ask_by_scan(
    engine: &Arc<QueryEngine>,
    snapshot: &Arc<Snapshot>,
    question: &str,
) -> Result<(f64, Vec<RecordBatch>)> {
    let answered = ask(engine, snapshot, question, false)?;
    Ok((answered.ms, answered.batches))
}

/// A statement's answer.
pub struct Answered {
    /// From the statement's text to its last row.
    pub ms: f64,
    pub batches: Vec<RecordBatch>,
    pub stats: QueryStats,
}

/// Asks hourglass, with or without rollups and sets.
pub fn ask(
    engine: &Arc<QueryEngine>,
    snapshot: &Arc<Snapshot>,
    question: &str,
    rollups: bool,
) -> Result<Answered> {
    let mut session = engine.new_session();
    session.set("hourglass.rollups", if rollups { "true" } else { "false" })?;
    let started = Instant::now();
    let (batches, stats) = wait(async {
        let answer = engine.run_text(&mut session, snapshot, question, Params::None).await?;
        let recorder = answer.recorder.clone();
        let batches = answer.collect().await?;
        Ok::<_, Error>((batches, recorder.stats()))
    })??;
    Ok(Answered { ms: started.elapsed().as_secs_f64() * 1e3, batches, stats })
}

/// Compares an answer with the expected one; an error if they differ.
pub fn check<T: PartialEq + std::fmt::Debug>(what: &str, answered: &T, expected: &T) -> Result<()> {
    if answered == expected {
        Ok(())
    } else {
        Err(Error::Invalid(format!(
            "{what}: answered {answered:?}, but an independent computation says {expected:?}; nothing is timed"
        )))
    }
}
