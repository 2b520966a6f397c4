//! `hourglass bench`: runs the benchmarks on this machine.

use std::path::PathBuf;

use crate::bench::{self, Bench, Options};
use crate::console;
use crate::error::Result;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  hourglass bench --quick                    all seven, small: a few minutes
  hourglass bench pruning                    one hour of up to 87,600, with and without pruning
  hourglass bench http --out report          the serving path, with report/http.html and .json
  hourglass bench distinct --out report --peers clickhouse.json
                                             other engines' results beside ours; see tests/peers

Every answer is compared with an independent computation before it is timed. Stores are made in a scratch folder in \
--dir, whose disk is measured, and removed. Compare ratios within one run, not times of two machines.")]
pub struct Args {
    /// Benchmark to run; by default all of them
    #[arg(value_enum)]
    bench: Option<Name>,

    /// Use smaller stores and fewer rounds, for a first look
    #[arg(long)]
    quick: bool,

    /// Also write the report to this folder, as NAME.html, a page with plots, and as NAME.json
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Folder for temporary stores; the disk that holds it is measured
    #[arg(long, value_name = "DIR", default_value = "data")]
    dir: PathBuf,

    /// Seed of the generated events and requests
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,

    /// JSON file with results of other engines, as written by the scripts in tests/peers, to
    /// include in the report; may be given several times
    #[arg(long, value_name = "FILE")]
    peers: Vec<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Name {
    /// Queries of one hour and of one day, in stores of one day to ten years
    Pruning,
    /// Throughput of GET and POST compared with a bare handler, and latencies at fixed loads
    Http,
    /// Appending, importing, flushing, and recovery after a crash
    Ingest,
    /// Exact counts of distinct users, compared with plain DataFusion
    Distinct,
    /// Twice the load that the server can accept, for minutes
    Overload,
    /// Files and bytes of stores with late events, and requests beside their compaction
    Lake,
    /// Distinct users of a month and a year from sets, and what these take
    Visitors,
}

pub fn run(args: Args) -> Result<()> {
    let benches: Vec<Bench> = match args.bench {
        None => Bench::ALL.into(),
        Some(Name::Pruning) => vec![Bench::Pruning],
        Some(Name::Http) => vec![Bench::Http],
        Some(Name::Ingest) => vec![Bench::Ingest],
        Some(Name::Distinct) => vec![Bench::Distinct],
        Some(Name::Overload) => vec![Bench::Overload],
        Some(Name::Lake) => vec![Bench::Lake],
        Some(Name::Visitors) => vec![Bench::Visitors],
    };
    if cfg!(debug_assertions) {
        console::tell(
            "warning: this is a debug build; its results are meaningless, build with --release",
        );
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let options = Options {
        quick: args.quick,
        seed: args.seed,
        dir: args.dir,
        out: args.out,
        peers: args.peers,
        command: format!("hourglass {}", words.join(" ")),
    };
    for bench in benches {
        let report = bench::run(bench, &options)?;
        console::print(&format!("hourglass bench {}\n\n{}\n", bench.name(), report.text()))?;
        if let Some(out) = &options.out {
            let page = out.join(format!("{}.html", bench.name()));
            console::tell(&format!("the report is in {}", page.display()));
        }
    }
    Ok(())
}
