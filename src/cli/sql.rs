//! `hourglass sql`: runs SQL in an interactive shell, from arguments, or from a file.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::client::Address;
use crate::error::Result;
use crate::shell::{DisplayFormat, Failed, Flow, Shell, Target, interact};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hourglass sql                                  a shell on data/store; \\? lists its commands
  hourglass sql --data-dir /var/lib/hourglass    on another store, also beside a running server
  hourglass sql --url http://localhost:8080      through a server
  hourglass sql -c 'SELECT count(DISTINCT user_id) FROM events'
  hourglass sql -c 'SELECT * FROM hours' --format csv > hours.csv
  hourglass sql --as-of '2026-11-25 10:00' -c 'SELECT * FROM hours'      the sealed hours as they were then
  hourglass sql -c \"\\copy hours to 'hours.parquet'\"       a command of the shell
  hourglass sql -c '\\run day_by_hour day=2020-01-01'     a saved query
  hourglass sql --queries reports -c '\\run weekly'       a query from your own folder: reports/weekly.sql
  hourglass sql -f report.sql --format markdown          statements separated by semicolons
  echo 'SELECT 1;' | hourglass sql                       from standard input

The tables are events (timestamp, user_id, event, date, hour), hours (hour, unique_users, clicks, impressions) \
and those of the schema system: partitions, files, commits, wal, settings, queries.

A script ends at its first failure. Exit codes, for a directory and for a server: 0; 65 an \
invalid statement; 66 no store there, or a file missing or damaged; 70 the query engine failed; \
74 a disk or a server failed; 75 a limit reached; 77 no permission; 78 an invalid setting.")]
pub struct Args {
    /// Data directory of the store to read; nothing in it is changed [default: data/store] [env:
    /// HOURGLASS_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Address of a running server to query instead of a directory, such as http://localhost:8080
    #[arg(long, value_name = "URL", conflicts_with = "data_dir")]
    url: Option<String>,

    /// Token for the server, of the role read
    #[arg(long, value_name = "TOKEN", env = "HOURGLASS_TOKEN", hide_env_values = true)]
    token: Option<String>,

    /// Folder of your own saved queries for \run, in addition to the bundled ones; a server has its
    /// own folder [env: HOURGLASS_QUERIES]
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    queries: Option<PathBuf>,

    /// Read the sealed hours as they were: a version of the table (system.commits lists them), or a
    /// time, in UTC unless it has an offset. SET and RESET hourglass.as_of change it
    #[arg(long, value_name = "VERSION|TIME")]
    as_of: Option<String>,

    /// Run these SQL statements or shell commands, and exit; may be given several times
    #[arg(short, long, value_name = "SQL", allow_hyphen_values = true)]
    command: Vec<String>,

    /// Run the SQL statements and shell commands of this file, and exit; - is standard input. Runs
    /// after those of --command
    #[arg(short, long, value_name = "FILE")]
    file: Vec<PathBuf>,

    /// Format of the results
    #[arg(long, value_enum, default_value_t = DisplayFormat::Table)]
    format: DisplayFormat,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let target = Target::new(
        args.url.as_deref().map(|url| Address::new(url, args.token.as_deref())).transpose()?,
        args.data_dir.as_deref(),
        args.queries.as_deref(),
        args.as_of.as_deref(),
    )?;
    let mut shell = Shell::new(target, args.format)?;
    let done = if !args.command.is_empty() || !args.file.is_empty() {
        script(&mut shell, &args.command, &args.file)
    } else if io::stdin().is_terminal() {
        return interact(&mut shell).map(|()| ExitCode::SUCCESS);
    } else {
        shell.run_file(Path::new("-")).map(drop)
    };
    Ok(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed(code)) => ExitCode::from(code),
    })
}

fn script(shell: &mut Shell, texts: &[String], files: &[PathBuf]) -> Result<(), Failed> {
    for text in texts {
        if shell.run_text(text)? == Flow::Quit {
            return Ok(());
        }
    }
    for file in files {
        if shell.run_file(file)? == Flow::Quit {
            return Ok(());
        }
    }
    Ok(())
}
