//! `hourglass serve`: opens the store and serves it over HTTP until a signal stops it.

use std::net::SocketAddr;
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;

use super::log;
use crate::config::{Flags, unknown_variables};
use crate::error::{Error, Result};
use crate::query::QueryEngine;
use crate::server::access::{Access, Anonymous};
use crate::server::http::{self, App};
use crate::server::tls::Tls;
use crate::storage::vfs::Disk;
use crate::storage::{self, Engine};

/// Maximum number of connections waiting to be accepted; the system has its own limit as well
/// (`somaxconn`). It is large because clients retry a dropped connection only after a second, and a
/// burst of clients should not have to wait for that.
const BACKLOG: u32 = 4_096;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  hourglass serve                                         on 127.0.0.1:8080, data in data/store
  hourglass serve --listen 0.0.0.0:8080 --data-dir /data  for other machines
  HOURGLASS_LOG=debug hourglass serve                     every setting is a variable, too
  hourglass serve --config hourglass.toml                 and a key of a file

On SIGTERM or SIGINT, requests in flight may finish; a second signal aborts them. SIGHUP ends the \
process at once, like SIGKILL: there is no file to reload. Nothing acknowledged is lost in any of \
these cases. Exit codes: `hourglass --help`.")]
pub struct Args {
    #[command(flatten)]
    flags: Flags,
}

pub fn run(args: Args) -> Result<()> {
    let resolved = args.flags.load()?;
    let query_options = resolved.query_options();
    let config = resolved.config;
    log::start(&config);
    unknown_variables().iter().for_each(|unknown| tracing::warn!("{unknown}"));
    let runtime = runtime(config.worker_threads.0)?;
    // The engine is opened and closed outside the runtime's tasks, because both operations block.
    let _context = runtime.enter();
    let tls = config.certificate()?.map(Tls::open).transpose()?;
    let engine = Engine::open(&config.data_dir, config.engine_options())?;
    let access = Access::open(&config.data_dir, Arc::new(Disk), config.anonymous.0)?;
    let access = Arc::new(access);
    let query = Arc::new(QueryEngine::new(&query_options)?);
    runtime.block_on(query.warm_up(&engine.snapshot()))?;
    let mut options = config.http_options();
    options.max_connections = max_connections(options.max_connections);
    let app = Arc::new(App::new(engine.clone(), query, access.clone(), options));
    let served = runtime.block_on(async {
        let (listener, address) = listen(config.listen)?;
        let stop = http::Stop::on_signals().map_err(Error::io("signals", "install a handler"))?;
        let data_dir = config.data_dir.display().to_string();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let sentence = format!("hourglass is ready on {scheme}://{address} (data in {data_dir})");
        if !address.ip().is_loopback() && access.anonymous() == Anonymous::All {
            tracing::warn!(
                "anyone who reaches {address} may do everything here: create a token (`hourglass token create --role admin`), or listen on loopback"
            );
        }
        log::ready(
            config.log_format,
            &sentence,
            json!({ "address": address.to_string(), "data_dir": data_dir }),
        );
        // A separate task makes the accept loop run on a worker thread, beside the connections that
        // it accepts.
        let serving = tokio::spawn(http::serve(listener, tls, app, stop));
        serving.await.map_err(|panic| {
            storage::Error::Died(format!("the accept loop panicked: {panic}")).into()
        })
    });
    engine.close()?;
    served
}

/// Raises the process's limit of open files as far as the system allows, and returns the limit of
/// connections: the configured one, but at most three quarters of the open files, because a log
/// that cannot open its next segment accepts no more events.
fn max_connections(configured: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    if let Err(cause) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%cause, "the limit of open files cannot be raised");
    }
    let files = getrlimit(Resource::Nofile)
        .current
        .map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
    let possible = files / 4 * 3;
    if possible < configured {
        tracing::warn!(
            possible,
            files,
            "max_connections is lowered: raise the limit of open files (ulimit -n)"
        );
    }
    configured.min(possible)
}

pub(super) fn runtime(worker_threads: u64) -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(usize::try_from(worker_threads).unwrap_or(usize::MAX))
        .thread_name("http")
        .enable_all()
        .build()
        .map_err(|cause| {
            Error::Config(format!(
                "worker_threads: {worker_threads} threads cannot be started: {cause}"
            ))
        })
}

/// Binds the listener and returns it with its actual address: for port 0 the system picks a port.
pub(super) fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let refused = |source| Error::Listen { address, source };
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }
        .map_err(refused)?;
    // Lets a restarted server reuse its port while old connections are still closing.
    socket.set_reuseaddr(true).and_then(|()| socket.bind(address)).map_err(refused)?;
    let listener = socket.listen(BACKLOG).map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok((listener, address))
}
