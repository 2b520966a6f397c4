//! Benchmarks: `hourglass bench`, to be run on the user's own machine.
//!
//! [`pruning`] queries the same hour in stores of very different sizes, [`http`] compares serving
//! with a bare handler, [`ingest`] measures loading and recovery, [`distinct`] compares exact
//! distinct users with plain DataFusion, [`overload`] sends more requests than a server can accept,
//! [`lake`] compacts stores that late events reach, and [`visitors`] counts distinct users of a month
//! and a year from their sets. All follow the same rules: every answer is
//! compared with an independent computation before it is timed; things that are compared are
//! measured in alternation within one run and reported as a ratio; a result is a median with its
//! quartiles; latency counts from when a request was due, not from when it could be sent
//! ([`load`]).
//!
//! [`report`] holds the results: tables on the terminal, and JSON and an HTML page with plots
//! ([`html`]) if `--out` is given. Stores are created in a scratch folder, which is removed at the
//! end.

mod data;
mod disk;
mod distinct;
mod harness;
mod html;
mod http;
mod ingest;
mod lake;
mod load;
mod machine;
mod overload;
mod plain;
mod process;
mod pruning;
mod report;
mod server;
mod stats;
mod traffic;
mod visitors;

pub use self::harness::Options;
use self::harness::Scratch;

use self::report::Report;
use crate::error::Result;

/// The benchmarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bench {
    Pruning,
    Http,
    Ingest,
    Distinct,
    Overload,
    Lake,
    Visitors,
}

impl Bench {
    pub const ALL: [Bench; 7] = [
        Bench::Pruning,
        Bench::Http,
        Bench::Ingest,
        Bench::Distinct,
        Bench::Overload,
        Bench::Lake,
        Bench::Visitors,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Bench::Pruning => "pruning",
            Bench::Http => "http",
            Bench::Ingest => "ingest",
            Bench::Distinct => "distinct",
            Bench::Overload => "overload",
            Bench::Lake => "lake",
            Bench::Visitors => "visitors",
        }
    }
}

/// Runs one benchmark and returns its report, which is also written to `--out` if given.
///
/// # Errors
/// [`Error::Invalid`](crate::error::Error::Invalid) if an answer differs from the independent
/// computation; nothing is timed then.
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
        Bench::Lake => lake::run(options, &scratch.0, &mut report)?,
        Bench::Visitors => visitors::run(options, &scratch.0, &mut report)?,
    }
    report.peers = peers;
    report.ended();
    if let Some(out) = &options.out {
        html::write(&report, out)?;
    }
    Ok(report)
}
