//! The yardstick: `hourglass bench`, on the machine of whoever runs it.
//!
//! [`pruning`] asks the same hour of stores of very different sizes, [`http`] measures the serving path beside a bare
//! handler, [`ingest`] the way from events to files and back, [`distinct`] exact distinct users beside plain DataFusion,
//! [`overload`] what becomes of requests that are more than a server can take.
//! What they share: every answer is compared with an independent computation before it is timed; what is compared is
//! measured in turns within one run and told as a ratio; a figure is a median with its quartiles; latency is taken from when
//! a request was due, not from when it could be sent ([`load`]).
//!
//! [`report`] is what a run says: tables on the terminal, JSON and a page of HTML with plots ([`html`]) where `--out` names a
//! folder. Everything lives in a scratch folder that is gone afterwards.

mod data;
mod disk;
mod distinct;
mod html;
mod http;
mod ingest;
mod load;
mod machine;
mod overload;
mod plain;
mod process;
mod pruning;
mod report;
mod server;
mod stats;
mod visitors;

use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use self::report::Report;
use crate::error::{Error, Result};

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bench {
    Pruning,
    Http,
    Ingest,
    Distinct,
    Overload,
}

impl Bench {
    pub const ALL: [Bench; 5] = [Bench::Pruning, Bench::Http, Bench::Ingest, Bench::Distinct, Bench::Overload];

    pub fn name(self) -> &'static str {
        match self {
            Bench::Pruning => "pruning",
            Bench::Http => "http",
            Bench::Ingest => "ingest",
            Bench::Distinct => "distinct",
            Bench::Overload => "overload",
        }
    }
}

/// How to measure it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Smaller stores and fewer rounds: a minute or so, for a first look.
    pub quick: bool,
    /// The seed of every workload.
    pub seed: u64,
    /// The folder whose disk is measured; scratch folders are made in it and removed.
    pub dir: PathBuf,
    /// Where the report goes, as `NAME.html` and `NAME.json`.
    pub out: Option<PathBuf>,
    /// Results of other engines, as the scripts in `tests/peers/` write them, to stand in the report.
    pub peers: Vec<PathBuf>,
    /// The command as it was typed.
    pub command: String,
}

/// Runs one benchmark and answers its report, written to `--out` where that is given.
///
/// # Errors
/// [`Error::Invalid`] when an answer is not what the independent computation says: nothing is timed then.
pub fn run(bench: Bench, options: &Options) -> Result<Report> {
    let peers = report::read_peers(&options.peers)?;
    let scratch = Scratch::new(&options.dir, bench.name())?;
    let machine = machine::Machine::look(&scratch.0)?;
    let mut report = Report::new(bench.name(), options, machine);
    match bench {
        Bench::Pruning => pruning::run(options, &scratch.0, &mut report)?,
        Bench::Http => http::run(options, &scratch.0, &mut report)?,
        Bench::Ingest => ingest::run(options, &scratch.0, &mut report)?,
        Bench::Distinct => distinct::run(options, &scratch.0, &mut report)?,
        Bench::Overload => overload::run(options, &scratch.0, &mut report)?,
    }
    report.peers = peers;
    report.ended();
    if let Some(out) = &options.out {
        report.write(out)?;
    }
    Ok(report)
}

/// A folder of this run, removed when it ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(dir: &Path, name: &str) -> Result<Scratch> {
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

/// A bar of steps on a terminal's stderr, and nothing elsewhere.
struct Steps(ProgressBar);

impl Steps {
    fn new(steps: usize) -> Steps {
        let style = ProgressStyle::with_template("{spinner} {msg} {wide_bar} {pos}/{len} {elapsed}");
        let bar = ProgressBar::new(steps as u64).with_style(style.expect("the template is valid"));
        bar.enable_steady_tick(Duration::from_millis(120));
        Steps(bar)
    }

    /// Says what is done now, with what came before behind it.
    fn next(&self, doing: impl Into<String>) {
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

/// Runs a future to its end on this thread.
fn wait<T>(future: impl Future<Output = T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(Error::io("", "start a runtime"))?.block_on(future))
}

/// What was answered must be what was computed.
fn check<T: PartialEq + std::fmt::Debug>(what: &str, answered: &T, expected: &T) -> Result<()> {
    match answered == expected {
        true => Ok(()),
        false => Err(Error::Invalid(format!(
            "{what}: answered {answered:?}, but an independent computation says {expected:?}; nothing is timed"
        ))),
    }
}
