//! A thread of the engine that panics.
//!
//! The bug: the writer, or the flusher, was gone, and nobody noticed. Events were refused without a
//! word, or waited for ever and filled memory up, while `/readyz` went on saying 200 and SIGTERM
//! waited for requests that nobody would answer. Now the first thread that ends brings the engine
//! down in order: who waits is told, `/readyz` and POSTs say why, reads go on until the server
//! ends, and what was acknowledged is there after the next start.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use hourglass::event::{EventBatch, EventKind};
use hourglass::hour::{Clock, HOUR_US, Hour};
use hourglass::server::access::Access;
use hourglass::server::http::{App, HttpDoor, HttpOptions, Origins};
use hourglass::server::listener::{self, Entrance, Stop};
use hourglass::server::service::ServiceOptions;
use hourglass::storage::vfs::Disk;
use hourglass::storage::vfs::observed::{Call, CallKind, Observed, Observer, Verdict};
use hourglass::storage::{Engine, Error};
use tokio::net::TcpListener;

use crate::server::Client;
use crate::support::{ManualClock, block_on, open, query_engine, small_options};

/// Where a panic is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The log's frame is written: by the writer.
    LogWrite,
    /// The writer looks at the clock.
    WriterClock,
    /// A data file is written: by the flusher, or a thread of its own.
    DataFile,
    /// The key file of a generation is written: by the flusher.
    KeyFile,
    /// A segment is released, under a lock that the writer takes as well.
    Release,
    /// The flusher looks at the clock.
    FlusherClock,
}

const PLACES: [Place; 6] = [
    Place::LogWrite,
    Place::WriterClock,
    Place::DataFile,
    Place::KeyFile,
    Place::Release,
    Place::FlusherClock,
];

#[derive(Debug)]
struct Trap {
    place: Place,
    armed: AtomicBool,
}

impl Trap {
    fn spring_if(&self, is_place: bool) {
        if is_place && self.armed.load(Ordering::SeqCst) {
            panic!("planted at {:?}", self.place);
        }
    }
}

impl Observer for Trap {
    fn see(&self, call: Call<'_>) -> Verdict {
        let path = call.path.to_string_lossy();
        self.spring_if(match self.place {
            Place::LogWrite => call.kind == CallKind::Write && path.ends_with(".wal"),
            Place::DataFile => call.kind == CallKind::Write && path.contains(".parquet"),
            Place::KeyFile => call.kind == CallKind::Create && path.contains("/keys/"),
            Place::Release => call.kind == CallKind::Rename && path.ends_with(".spare"),
            Place::WriterClock | Place::FlusherClock => false,
        });
        Verdict::Proceed
    }
}

#[derive(Debug)]
struct TrappedClock(Arc<Trap>);

impl Clock for TrappedClock {
    fn now_us(&self) -> i64 {
        let name = match self.0.place {
            Place::WriterClock => "hourglass-writer",
            Place::FlusherClock => "hourglass-committer",
            _ => "",
        };
        self.0.spring_if(thread::current().name() == Some(name));
        HOUR_US / 2
    }
}

fn open_trapped(dir: &Path, place: Place) -> (Engine, Arc<Trap>) {
    let trap = Arc::new(Trap { place, armed: AtomicBool::new(false) });
    let disk = Arc::new(Observed::new(Disk, trap.clone()));
    let engine =
        Engine::open_with(dir, small_options(), disk, Arc::new(TrappedClock(trap.clone())))
            .unwrap();
    (engine, trap)
}

fn batch(n: i64) -> EventBatch {
    let mut batch = EventBatch::new();
    batch.push(n, &format!("u{n}"), EventKind::CLICK);
    batch.key_from(0, hourglass::event::Key::new(&n.to_string()).unwrap());
    batch
}

fn clicks(engine: &Engine) -> u64 {
    engine.snapshot().rollup(Hour(0)).count(EventKind::CLICK)
}

#[test]
fn a_thread_that_panics_ends_the_engine_in_order_and_loses_nothing() {
    for place in PLACES {
        let dir = tempfile::tempdir().unwrap();
        let mut acknowledged = 0;
        block_on(async {
            let (engine, trap) = open_trapped(dir.path(), place);
            for n in 0..5 {
                engine.append(batch(n)).await.unwrap();
                acknowledged += 1;
            }
            assert!(engine.refusal().is_none());
            trap.armed.store(true, Ordering::SeqCst);
            // One of many, and a flush, run into it: each is answered.
            for n in 5..10 {
                acknowledged += u64::from(engine.append(batch(n)).await.is_ok());
                let _ = engine.flush().await;
            }
            let why = engine.wait_for_death().await;
            assert!(why.contains("thread of the engine panicked: "), "{place:?}: {why}");
            let refused = engine.append(batch(10)).await.unwrap_err();
            assert!(matches!(&refused, Error::Died(said) if *said == why), "{place:?}: {refused}");
            assert!(matches!(engine.refusal(), Some(Error::Died(_))), "{place:?}");
            assert!(matches!(engine.flush().await, Err(Error::Died(_))), "{place:?}");
            assert!(clicks(&engine) >= acknowledged, "{place:?}: reads go on");
            let closed = tokio::task::block_in_place(|| engine.close());
            assert!(
                matches!(closed, Err(Error::Died(_))),
                "{place:?}: the end is in order, and no success"
            );
        });
        let engine = open(dir.path(), ManualClock::at(HOUR_US / 2));
        // The one that ran into it may be there, and be sent again under its key.
        assert!((acknowledged..=acknowledged + 1).contains(&clicks(&engine)), "{place:?}");
        block_on(async {
            for n in 0..20 {
                engine.append(batch(n)).await.unwrap();
            }
            engine.flush().await.unwrap();
        });
        assert_eq!(clicks(&engine), 20, "{place:?}");
    }
}

/// Serves an engine over HTTP until the task is aborted; returns the address.
pub async fn serve_http(engine: &Engine, dir: &Path) -> (String, tokio::task::JoinHandle<()>) {
    let second = Duration::from_secs(1);
    let options = ServiceOptions {
        rate_by_address: None,
        rate_by_token: None,
        max_body_bytes: 1 << 20,
        header_timeout: 10 * second,
        body_timeout: 10 * second,
        shutdown_timeout: 10 * second,
        max_connections: 100,
        batch_slots: 4,
        event_max_age: None,
        event_max_ahead: None,
    };
    let http =
        HttpOptions { cors_origins: Origins::None, hosts: Vec::new(), max_uri_bytes: 8 << 10 };
    let (query, access) = (Arc::new(query_engine(true)), access(dir));
    let app = Arc::new(App::new(engine.clone(), query, access, options, http));
    let service = app.service().clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let door = Arc::new(HttpDoor::new(app, None));
    let serving =
        listener::serve(vec![Entrance { listener, door }], service, Stop::on_signals().unwrap());
    (address, tokio::spawn(serving))
}

/// The access of a store without tokens.
fn access(dir: &Path) -> Arc<Access> {
    Arc::new(Access::open(dir, Arc::new(Disk), None).unwrap())
}

#[test]
fn a_server_whose_engine_died_says_so_and_ends_by_itself() {
    for place in [Place::LogWrite, Place::DataFile] {
        let dir = tempfile::tempdir().unwrap();
        block_on(async {
            let (engine, trap) = open_trapped(dir.path(), place);
            let (address, serving) = serve_http(&engine, dir.path()).await;
            let asked = tokio::task::spawn_blocking(move || {
                let mut client = Client::connect(&address).unwrap();
                let event = "/analytics?timestamp=1&user=u&event=click";
                assert_eq!(client.post(event).unwrap().status, 204);
                assert_eq!(client.get("/readyz").status, 200);
                trap.armed.store(true, Ordering::SeqCst);
                let _ = (client.post(event).unwrap(), client.post("/admin/flush").unwrap());
                let mut client = Client::connect(&address).unwrap();
                // Who waited is told an instant before all others are.
                while client.get("/readyz").status == 200 {}
                for answer in [
                    client.get("/readyz"),
                    client.post(event).unwrap(),
                    client.post("/admin/flush").unwrap(),
                ] {
                    assert_eq!(
                        (answer.status, answer.header("retry-after")),
                        (503, Some("10")),
                        "{}",
                        answer.body
                    );
                    assert!(answer.body.contains("panicked: "), "{}", answer.body);
                }
                let numbers = client.get("/analytics?timestamp=1");
                assert!(
                    numbers.status == 200 && numbers.body.starts_with("unique_users,1\n"),
                    "{}",
                    numbers.body
                );
            });
            asked.await.unwrap();
            tokio::time::timeout(Duration::from_secs(20), serving).await.expect("it ends").unwrap();
            assert!(tokio::task::block_in_place(|| engine.close()).is_err());
        });
    }
}
