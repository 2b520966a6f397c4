//! The `hourglass` command.

use std::process::ExitCode;

use clap::Parser;
use hourglass::cli::Cli;
use hourglass::text::visible;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("hourglass: {}", visible(&error.to_string()));
            ExitCode::from(error.exit_code())
        }
    }
}
