//! `hourglass baseline`: serves the bare HTTP handlers that the server's speed is compared with.

use std::net::SocketAddr;

use super::serve::{listen, runtime};
use crate::console;
use crate::error::{Error, Result};
use crate::server::http;

#[derive(clap::Args)]
pub struct Args {
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// Number of worker threads; the default is the server's: one per core
    #[arg(long, value_name = "N", default_value_t = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64))]
    worker_threads: u64,
}

pub fn run(args: Args) -> Result<()> {
    runtime(args.worker_threads)?.block_on(async {
        let (listener, address) = listen(args.listen)?;
        console::announce(&format!("the bare handler is ready on http://{address}"));
        let serving = tokio::spawn(http::baseline(listener));
        serving
            .await
            .expect("the accept loop does not panic")
            .map_err(Error::io("listen", "accept connections"))
    })
}
