//! Command line: one module per subcommand. They parse arguments and print results; the layers
//! below do the work.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::unknown_variables;
use crate::console;
use crate::error::{Error, Result};

mod baseline;
mod bench;
mod compact;
mod completions;
mod config;
mod export;
mod forget;
mod generate;
mod healthcheck;
mod import;
mod load;
mod log;
mod retain;
mod schema;
mod serve;
mod sql;
mod status;
mod token;
mod verify;

#[derive(Parser)]
#[command(
    name = "hourglass",
    version = env!("BUILD_VERSION"),
    about,
    disable_help_subcommand = true,
    after_help = "\
Examples:
  hourglass serve
  curl -X POST 'http://127.0.0.1:8080/analytics?timestamp=10032342000&user=ana&event=click'
  curl 'http://127.0.0.1:8080/analytics?timestamp=10032342000'

  hourglass config                 every setting, its value and where it comes from
  hourglass serve --help           every setting with its flag, variable and default

Exit codes, as sysexits.h numbers them:
  0   done
  1   `verify` found damage, or `healthcheck` a server that is not ready
  2   an unknown or invalid argument
  65  an invalid statement or row
  66  a store or a file is missing or damaged
  70  a bug in hourglass
  74  a disk or a server failed
  75  busy: another process has the directory or the port, or a limit is reached; try again
  77  no permission
  78  an invalid setting"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server: take events and answer queries over HTTP.
    Serve(serve::Args),
    /// Generate reproducible random events.
    Generate(generate::GenerateArgs),
    /// Load events from files, folders and Delta tables: CSV, TSV, NDJSON, Arrow or Parquet.
    Import(import::ImportArgs),
    /// Write hours, or the result of a SQL statement, as files for a data lake.
    Export(export::Args),
    /// Show or declare the kinds of event and the dimensions of a store.
    Schema(schema::SchemaArgs),
    /// Run SQL: in an interactive shell, as one statement, or from a file.
    Sql(sql::Args),
    /// Show what a data directory contains: hours, rows, files, log.
    Status(status::Args),
    /// Check that everything in a data directory is as it was written; exit code 0 or 1.
    Verify(verify::Args),
    /// Merge the data files of each hour now, instead of in the background.
    Compact(compact::Args),
    /// Remove the hours that are older than a retention now, instead of in the background.
    Retain(retain::Args),
    /// Remove all rows of users, for good.
    Forget(forget::Args),
    /// Create, list and revoke tokens, which say who may do what.
    Token(token::TokenArgs),
    /// Run the benchmarks on this machine.
    Bench(bench::Args),
    /// Show every setting, its value and where it comes from.
    Config(config::Args),
    /// Ask a running server whether it is ready; exit code 0 or 1.
    Healthcheck(healthcheck::Args),
    /// Print the completion script of a shell.
    Completions(completions::CompletionsArgs),
    /// Write manual pages.
    Man(completions::ManArgs),
    #[command(hide = true)]
    Baseline(baseline::Args),
}

/// Entry point: parses the arguments, runs the command, and reports an error.
pub fn main() -> ExitCode {
    let done = match Cli::try_parse() {
        Ok(cli) => cli.run(),
        Err(usage) => show(&usage),
    };
    done.unwrap_or_else(|error| {
        log::fatal(&error);
        ExitCode::from(error.exit_code())
    })
}

/// Prints help or the version to standard output, or an argument error to standard error.
fn show(usage: &clap::Error) -> Result<ExitCode> {
    let code = ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(2));
    match usage.print() {
        Err(error) if !usage.use_stderr() && error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::io(console::STDOUT, "write")(error))
        }
        _ => Ok(code),
    }
}

impl Cli {
    /// Runs the subcommand and returns its exit code; the caller reports an error.
    fn run(self) -> Result<ExitCode> {
        // The server warns in its log instead, and the health check runs too often to warn.
        if !matches!(self.command, Command::Serve(_) | Command::Healthcheck(_)) {
            unknown_variables()
                .iter()
                .for_each(|unknown| console::tell(&format!("warning: {unknown}")));
        }
        match self.command {
            Command::Serve(args) => serve::run(args)?,
            Command::Generate(args) => generate::run(args)?,
            Command::Import(args) => import::run(args)?,
            Command::Export(args) => export::run(args)?,
            Command::Schema(args) => schema::run(args)?,
            Command::Sql(args) => return sql::run(args),
            Command::Status(args) => status::run(args)?,
            Command::Verify(args) => return verify::run(args),
            Command::Compact(args) => compact::run(args)?,
            Command::Retain(args) => retain::run(args)?,
            Command::Forget(args) => forget::run(args)?,
            Command::Token(args) => token::run(args)?,
            Command::Bench(args) => bench::run(args)?,
            Command::Config(args) => config::run(args)?,
            Command::Healthcheck(args) => return healthcheck::run(args),
            Command::Completions(args) => completions::completions(&args, Cli::command())?,
            Command::Man(args) => completions::man(&args, Cli::command())?,
            Command::Baseline(args) => baseline::run(args)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
