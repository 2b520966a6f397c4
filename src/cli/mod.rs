//! The subcommands, one file each. What they do lies below; here is how it is asked for and shown.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::Result;

mod bench;
mod ceiling;
mod config;
mod export;
mod generate;
mod healthcheck;
mod import;
mod load;
mod log;
mod serve;
mod sql;
mod status;
mod verify;

#[derive(Parser)]
#[command(
    name = "hourglass",
    version,
    about,
    disable_help_subcommand = true,
    after_help = "\
Examples:
  hourglass serve
  curl -X POST 'http://127.0.0.1:8080/analytics?timestamp=10032342000&user=ana&event=click'
  curl 'http://127.0.0.1:8080/analytics?timestamp=10032342000'

  hourglass config                 every setting, its value and where it comes from
  hourglass serve --help           every setting with its flag, variable and default"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Take events and answer questions over HTTP.
    Serve(serve::Args),
    /// Write a reproducible series of events.
    Generate(generate::GenerateArgs),
    /// Read events from files.
    Import(import::ImportArgs),
    /// Write hours, or the answer of a statement, as files for a data lake.
    Export(export::Args),
    /// Ask in SQL: a shell, a statement, or a file of them.
    Sql(sql::Args),
    /// Show what the store holds.
    Status(status::Args),
    /// Check that everything in the store is as it was written: exit code 0 or 1.
    Verify(verify::Args),
    /// Measure the speed of all of it on this machine.
    Bench(bench::Args),
    /// Show every setting, its value and where it comes from.
    Config(config::Args),
    /// Ask a running server whether it is ready: exit code 0 or 1.
    Healthcheck(healthcheck::Args),
    #[command(hide = true)]
    Ceiling(ceiling::Args),
}

impl Cli {
    /// Runs the subcommand. An error has not been printed yet.
    pub fn run(self) -> Result<ExitCode> {
        match self.command {
            Command::Serve(args) => serve::run(args)?,
            Command::Generate(args) => generate::run(args)?,
            Command::Import(args) => import::run(args)?,
            Command::Export(args) => export::run(args)?,
            Command::Sql(args) => return sql::run(args),
            Command::Status(args) => status::run(args)?,
            Command::Verify(args) => return verify::run(args),
            Command::Bench(args) => bench::run(args)?,
            Command::Config(args) => config::run(args)?,
            Command::Healthcheck(args) => return healthcheck::run(args),
            Command::Ceiling(args) => ceiling::run(args)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
