//! In-process servers: hourglass on a store, and the bare handler as its reference. Each has its
//! own runtime, with as many threads as `serve` has by default.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::disk::Counters;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::hour::SystemClock;
use crate::query::QueryEngine;
use crate::server::access::Access;
use crate::server::http::{self, App, HttpDoor};
use crate::server::listener::{self, Entrance, Stop};
use crate::storage::Engine;

/// HTTP server on a free local port. Stops when dropped.
pub struct Server {
    pub address: SocketAddr,
    /// `None` only during drop.
    runtime: Option<Runtime>,
}

/// hourglass server, with its parts.
pub struct Hourglass {
    pub server: Server,
    pub engine: Engine,
    pub query: Arc<QueryEngine>,
    pub disk: Arc<Counters>,
}

impl Server {
    fn start<F>(serve: impl FnOnce(TcpListener) -> F) -> Result<Server>
    where
        F: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("http")
            .enable_all()
            .build();
        let runtime = runtime.map_err(Error::io("", "start the server's threads"))?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = listener.map_err(Error::io("127.0.0.1", "listen"))?;
        let address = listener.local_addr().map_err(Error::io("127.0.0.1", "listen"))?;
        runtime.spawn(serve(listener));
        Ok(Server { address, runtime: Some(runtime) })
    }

    /// Starts a server of the bare handler.
    pub fn baseline() -> Result<Server> {
        Server::start(http::baseline)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Hourglass {
    /// Starts hourglass with the defaults of `hourglass serve --data-dir DIR`.
    pub fn start(dir: &Path) -> Result<Hourglass> {
        Hourglass::start_with(dir, &Config::default())
    }

    pub fn start_with(dir: &Path, config: &Config) -> Result<Hourglass> {
        let disk = Arc::<Counters>::default();
        let engine =
            Engine::open_with(dir, config.engine_options(), disk.disk(), Arc::new(SystemClock))?;
        let query = Arc::new(QueryEngine::new(&config.query_options())?);
        let access = Arc::new(Access::open(dir, disk.disk(), None)?);
        let (options, http) = (config.service_options(), config.http_options());
        let app = Arc::new(App::new(engine.clone(), query.clone(), access, options, http));
        let server = Server::start(|listener| async move {
            let service = app.service().clone();
            let door = Arc::new(HttpDoor::new(app, None));
            let entrances = vec![Entrance { listener, door }];
            listener::serve(entrances, service, Stop::on_signals()?).await;
            Ok(())
        })?;
        let warm = server
            .runtime
            .as_ref()
            .expect("taken on drop only")
            .block_on(query.warm_up(&engine.snapshot()));
        warm?;
        Ok(Hourglass { server, engine, query, disk })
    }
}
