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
mod harness;
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

pub use self::harness::Options;
use self::harness::Scratch;

use self::report::Report;
use crate::error::Result;

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

/// Runs one benchmark and answers its report, written to `--out` where that is given.
///
/// # Errors
/// [`Error::Invalid`](crate::error::Error::Invalid) when an answer is not what the independent computation says: nothing is timed then.
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
        html::write(&report, out)?;
    }
    Ok(report)
}
