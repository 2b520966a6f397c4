//! The `hourglass` command.

use std::process::ExitCode;

use hourglass::{cli, console};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let code = cli::main();
    console::finish();
    code
}
