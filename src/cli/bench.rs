//! `hourglass bench`: benchmarks of everything, on this machine.

use std::path::PathBuf;

use crate::bench::{self, Bench, Options};
use crate::console;
use crate::error::Result;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  hourglass bench --quick                    all five, small: a few minutes
  hourglass bench pruning                    one hour of up to 87,600, with and without pruning
  hourglass bench http --out report          the serving path, with report/http.html and .json
  hourglass bench distinct --out report --peers clickhouse.json
                                             other engines' results beside ours; see tests/peers

Every answer is compared with an independent computation before it is timed. Stores are made in a scratch folder in \
--dir, whose disk is measured, and removed. Compare ratios within one run, not times of two machines.")]
pub struct Args {
    /// What to measure; everything by default
    #[arg(value_enum)]
    bench: Option<Name>,

    /// Smaller stores and fewer rounds
    #[arg(long)]
    quick: bool,

    /// Write NAME.html, a page with plots, and NAME.json to this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Folder for scratch stores; its disk is measured
    #[arg(long, value_name = "DIR", default_value = "data")]
    dir: PathBuf,

    /// Seed of every workload
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,

    /// Results of other engines to include in the report, as written by the scripts in tests/peers
    #[arg(long, value_name = "FILE")]
    peers: Vec<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Name {
    /// One hour and one day, from stores of a day to ten years of hours
    Pruning,
    /// GET and POST compared with a bare handler; latencies at fixed loads
    Http,
    /// Appending, importing, flushing and recovering
    Ingest,
    /// Exact distinct users compared with plain DataFusion
    Distinct,
    /// Twice the load that the server can take, for minutes
    Overload,
}

pub fn run(args: Args) -> Result<()> {
    let benches: Vec<Bench> = match args.bench {
        None => Bench::ALL.into(),
        Some(Name::Pruning) => vec![Bench::Pruning],
        Some(Name::Http) => vec![Bench::Http],
        Some(Name::Ingest) => vec![Bench::Ingest],
        Some(Name::Distinct) => vec![Bench::Distinct],
        Some(Name::Overload) => vec![Bench::Overload],
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
