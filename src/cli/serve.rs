//! `hourglass serve`: opens the store and serves it until a signal stops it.

use std::net::SocketAddr;
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;

use super::log;
use crate::config::{Config, Flags, unknown_variables};
use crate::error::{Error, Result};
use crate::query::QueryEngine;
use crate::server::access::{Access, Anonymous};
use crate::server::http::{App, HttpDoor};
use crate::server::listener::{self, Door, Entrance, Stop};
use crate::server::postgres::PostgresDoor;
use crate::server::tls::Tls;
use crate::storage::vfs::Disk;
use crate::storage::{self, Engine};

/// Maximum number of connections waiting to be accepted; the system has its own limit as well
/// (`somaxconn`). It is large because clients retry a dropped connection only after a second, and a
/// burst of clients should not have to wait for that.
const BACKLOG: u32 = 4_096;

/// Open files that connections leave free: for those being refused ([`listener::REFUSALS`]), for
/// what the store and the runtime hold (35 while a new store of 300 hours is flushed and its
/// visitor sets are made), and as many again.
const OTHER_FILES: usize = 128;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  hourglass serve                                         on 127.0.0.1:8080, data in data/store
  hourglass serve --listen 0.0.0.0:8080 --data-dir /data  for other machines
  hourglass serve --postgres-listen localhost:5432        for psql, Grafana, JDBC, too
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
    let mut options = config.service_options();
    options.max_connections = max_connections(options.max_connections);
    let app = App::new(engine.clone(), query, access, options, config.http_options());
    let doors = Doors { http: Arc::new(app), tls };
    let served = runtime.block_on(async {
        let entrances = doors.open(&config)?;
        let stop = Stop::on_signals().map_err(Error::io("signals", "install a handler"))?;
        doors.announce(&config, &entrances)?;
        // A separate task makes the accept loop run on a worker thread, beside the connections that
        // it accepts.
        let service = doors.http.service().clone();
        let serving = tokio::spawn(listener::serve(entrances, service, stop));
        serving.await.map_err(|panic| {
            storage::Error::Died(format!("the accept loop panicked: {panic}")).into()
        })
    });
    engine.close()?;
    served
}

/// The doors of a server.
struct Doors {
    http: Arc<App>,
    tls: Option<Tls>,
}

impl Doors {
    /// Listens on every address that is configured; the first is that of HTTP.
    fn open(&self, config: &Config) -> Result<Vec<Entrance>> {
        let tls = self.tls.as_ref();
        let entrance = |address, door: Arc<dyn Door>| {
            listen(address).map(|(listener, _)| Entrance { listener, door })
        };
        let http = Arc::new(HttpDoor::new(self.http.clone(), tls));
        let mut entrances = vec![entrance(config.listen, http)?];
        if let Some(address) = config.listen_ingest.0 {
            let ingest = HttpDoor::for_events(self.http.clone(), tls);
            entrances.push(entrance(address, Arc::new(ingest))?);
        }
        if let Some(address) = config.postgres_listen.0 {
            let postgres = PostgresDoor::new(self.http.service().clone(), tls);
            entrances.push(entrance(address, Arc::new(postgres))?);
        }
        Ok(entrances)
    }

    /// Says that the server is ready, and where.
    fn announce(&self, config: &Config, entrances: &[Entrance]) -> Result<()> {
        let addresses = entrances.iter().map(|entrance| entrance.listener.local_addr());
        let addresses: Vec<SocketAddr> =
            addresses.collect::<std::io::Result<_>>().map_err(Error::io("sockets", "read"))?;
        let open = addresses.iter().find(|address| !address.ip().is_loopback());
        if let Some(address) = open
            && self.http.service().access.anonymous() == Anonymous::All
        {
            tracing::warn!(
                "anyone who reaches {address} may do everything here: create a token (`hourglass token create --role admin`), or listen on loopback"
            );
        }
        let address = addresses[0];
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let data_dir = config.data_dir.display().to_string();
        let mut places = format!("{scheme}://{address}");
        let mut others = addresses[1..].iter();
        let ingest = config.listen_ingest.0.and_then(|_| others.next());
        let postgres = config.postgres_listen.0.and_then(|_| others.next());
        if let Some(ingest) = ingest {
            places += &format!(", {scheme}://{ingest} for events");
        }
        if let Some(postgres) = postgres {
            places += &format!(", postgres://{postgres}");
        }
        let sentence = format!("hourglass is ready on {places} (data in {data_dir})");
        let mut fields = json!({ "address": address.to_string(), "data_dir": data_dir });
        for (name, address) in [("ingest_address", ingest), ("postgres_address", postgres)] {
            if let Some(address) = address {
                fields[name] = address.to_string().into();
            }
        }
        log::ready(config.log_format, &sentence, fields);
        Ok(())
    }
}

/// Raises the process's limit of open files as far as the system allows, and returns the limit of
/// connections: the configured one, but fewer than there are open files, because a log that cannot
/// open its next segment accepts no more events. A quarter of the files is left, and at least
/// [`OTHER_FILES`].
fn max_connections(configured: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    if let Err(cause) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%cause, "the limit of open files cannot be raised");
    }
    let files = getrlimit(Resource::Nofile)
        .current
        .map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
    let possible = (files / 4 * 3).min(files.saturating_sub(OTHER_FILES)).max(1);
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
