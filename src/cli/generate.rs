//! `hourglass generate`: writes reproducible random events to a store, a server or a file.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use futures::stream::StreamExt;

use super::load::{Sink, SinkArgs, ahead, print_summary, progress_bar, runtime};
use crate::encode::FileWriter;
use crate::error::{Error, Result};
use crate::event::{EventSchema, parse_time};
use crate::generate::{Dimension, Workload, parse_interval_us};
use crate::text::visible;

const EXAMPLES: &str = "\
Examples:
  hourglass generate
      one event a minute for 152 days, 218,881 events in 3,649 hours
  hourglass generate --interval 131ms --users 1000000 --skew 1.0
      about 100 million events of a million users, a few of them very busy
  hourglass generate --late 0.05 --url http://localhost:8080
      the same into a running server, but one event in twenty arrives two
      hours behind its time; every answer is as without --late
  hourglass generate --end 2020-01-01T03:19:00Z --output data/sample.csv
      200 events as a file
  hourglass generate --dimension page=200:zipf --dimension country=30
      with a page and a country, into a new store that gets these dimensions

The same options give the same events, on every machine.";

#[derive(Args, Clone, Debug)]
#[command(about = "Make a seeded workload", after_help = EXAMPLES)]
pub struct GenerateArgs {
    /// Time of the first event: a date, RFC 3339 or milliseconds since 1970
    #[arg(long, value_name = "TIME", default_value = "2020-01-01T00:00:00Z", value_parser = parse_time)]
    pub start: i64,

    /// Latest time of an event, inclusive; a date means its first instant
    #[arg(long, value_name = "TIME", default_value = "2020-06-01T00:00:00Z", value_parser = parse_time)]
    pub end: i64,

    /// Time between two events: a whole number of us, ms, s, m, h or d
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = parse_interval_us)]
    pub interval: i64,

    /// Number of different users, named user0, user1 and so on
    #[arg(long, value_name = "COUNT", default_value_t = 31, value_parser = clap::value_parser!(u64).range(1..))]
    pub users: u64,

    /// How unevenly the events are spread over users: the exponent of a Zipf distribution, which
    /// makes user0 the busiest; 0 is uniform
    #[arg(long, value_name = "EXPONENT", default_value_t = 0.0)]
    pub skew: f64,

    /// Share of events, 0 to 1, that arrive two hours late; the events are the same, in another
    /// order
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub late: f64,

    /// Seed of the random users, kinds and lateness; the same seed gives the same events
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub seed: u64,

    /// Give every event a value of this dimension: as many different ones as are named, page0,
    /// page1 and so on, equally frequent or, with :zipf, some of them very; may be repeated
    #[arg(long = "dimension", value_name = "NAME=VALUES[:zipf]", value_parser = Dimension::parse)]
    pub dimensions: Vec<Dimension>,

    /// Write the events to this file instead of loading them; .csv, .ndjson or .parquet sets its
    /// format
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    pub output: Option<PathBuf>,

    #[command(flatten)]
    pub sink: SinkArgs,
}

impl GenerateArgs {
    fn workload(&self) -> Workload {
        Workload {
            start_us: self.start,
            end_us: self.end,
            interval_us: self.interval,
            users: self.users,
            skew: self.skew,
            late: self.late,
            seed: self.seed,
            dimensions: self.dimensions.clone(),
        }
    }
}

/// Generates the events, writes them to their destination, and prints the count and the time.
pub fn run(args: GenerateArgs) -> Result<()> {
    let started = Instant::now();
    let mut workload = args.workload();
    let events = match &args.output {
        Some(path) => write_file(&mut workload, path)?,
        None => runtime()?.block_on(load(&mut workload, &args.sink))?,
    };
    print_summary(events, started);
    Ok(())
}

/// Returns the names of the workload's dimensions.
fn names(workload: &Workload) -> Vec<String> {
    workload.dimensions.iter().map(|dimension| dimension.name.clone()).collect()
}

/// Numbers the workload's dimensions as the destination does.
fn number(workload: &mut Workload, schema: &EventSchema) {
    for dimension in &mut workload.dimensions {
        dimension.index = schema.dimension(&dimension.name).expect("the destination has it");
    }
}

fn write_file(workload: &mut Workload, path: &Path) -> Result<u64> {
    let schema = EventSchema::new(&[], &names(workload)).map_err(Error::Invalid)?;
    number(workload, &schema);
    let batches = workload.events()?;
    let bar = progress_bar(workload.count());
    bar.set_message(format!("writing {}", visible(&path.display().to_string())));
    let mut file = FileWriter::create(&schema, path)?;
    for batch in batches {
        file.write(&batch)?;
        bar.inc(batch.len() as u64);
    }
    file.finish()?;
    bar.finish_and_clear();
    Ok(workload.count())
}

async fn load(workload: &mut Workload, sink: &SinkArgs) -> Result<u64> {
    workload.check()?;
    let sink = Sink::open(sink, &names(workload))?;
    number(workload, &sink.schema());
    let batches = workload.events()?;
    let bar = progress_bar(workload.count());
    bar.set_message("loading");
    let moving = ahead(batches).inspect(|batch| bar.inc(batch.len() as u64)).map(Ok);
    let loaded = sink.append_all(moving).await;
    bar.finish_and_clear();
    sink.close_after(loaded).await
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches};

    use super::*;

    fn parse(arguments: &[&str]) -> Result<GenerateArgs, clap::Error> {
        let command = GenerateArgs::augment_args(Command::new("generate"));
        GenerateArgs::from_arg_matches(
            &command.try_get_matches_from(["generate"].iter().chain(arguments))?,
        )
    }

    #[test]
    fn no_options_mean_the_default_workload() {
        let workload = parse(&[]).unwrap().workload();
        assert_eq!(format!("{workload:?}"), format!("{:?}", Workload::default()));
    }

    #[test]
    fn a_file_and_a_server_exclude_each_other() {
        assert!(parse(&["--output", "a.csv", "--url", "http://localhost:8080"]).is_err());
        assert!(parse(&["--interval", "1 fortnight"]).is_err());
    }
}
