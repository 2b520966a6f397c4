//! The `hourglass` command.

use std::process::ExitCode;

use hourglass::{cli, console};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Returns freed memory to the system in background threads; otherwise threads do so in the
    // middle of their work, which is slower.
    let _ = tikv_jemalloc_ctl::background_thread::write(true);
    let code = cli::main();
    console::finish();
    code
}
