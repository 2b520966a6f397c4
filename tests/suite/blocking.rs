//! Which threads wait for the disk: none that serves requests reads a data file.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use hourglass::event::{EventBatch, EventKind};
use hourglass::hour::HOUR_US;
use hourglass::storage::Engine;
use hourglass::storage::vfs::Disk;
use hourglass::storage::vfs::observed::{Call, CallKind, Observed, Observer, Verdict};

use crate::server::Client;
use crate::support::{ManualClock, small_options};
use crate::threads::serve_http;

/// The threads that have opened or read a data file.
#[derive(Debug, Default)]
struct Readers(Mutex<HashSet<ThreadId>>);

impl Observer for Readers {
    fn see(&self, call: Call<'_>) -> Verdict {
        let is_read = matches!(call.kind, CallKind::Open | CallKind::Read | CallKind::Metadata);
        if is_read && call.path.extension().is_some_and(|extension| extension == "parquet") {
            self.0.lock().unwrap().insert(thread::current().id());
        }
        Verdict::Proceed
    }
}

fn late(n: i64) -> EventBatch {
    let mut batch = EventBatch::new();
    for user in 0..10 {
        batch.push(n, &format!("u{}", user + n), EventKind::CLICK);
    }
    batch
}

#[test]
fn no_thread_that_serves_requests_reads_a_data_file() {
    let dir = tempfile::tempdir().unwrap();
    let readers = Arc::new(Readers::default());
    // One worker, so that it is known which thread serves.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let disk = Arc::new(Observed::new(Disk, readers.clone()));
        let engine =
            Engine::open_with(dir.path(), small_options(), disk, ManualClock::at(5 * HOUR_US))
                .unwrap();
        for n in 0..3 {
            engine.append(late(n)).await.unwrap();
            engine.flush().await.unwrap();
        }
        engine.append(late(3)).await.unwrap();
        readers.0.lock().unwrap().clear();
        let worker = tokio::spawn(async { thread::current().id() }).await.unwrap();
        let (address, serving) = serve_http(&engine, dir.path()).await;
        let asked = tokio::task::spawn_blocking(move || {
            let mut client = Client::connect(&address).unwrap();
            let numbers = client.get("/analytics?timestamp=1");
            assert!(numbers.body.starts_with("unique_users,13\nclicks,40\n"), "{}", numbers.body);
            let united = readers.0.lock().unwrap().clone();
            let sql = "SELECT count(DISTINCT user_id) FROM events WHERE user_id > 'u1'";
            let answer = client.request("POST", "/sql", "", sql.as_bytes()).unwrap();
            assert_eq!(answer.status, 200, "{}", answer.body);
            (united, readers.0.lock().unwrap().clone())
        });
        let (united, scanned) = asked.await.unwrap();
        serving.abort();
        assert!(
            !united.is_empty() && scanned.len() > united.len(),
            "both read files: {united:?} {scanned:?}"
        );
        for thread in [worker, thread::current().id()] {
            assert!(
                !scanned.contains(&thread),
                "a thread that serves requests has read a data file"
            );
        }
        tokio::task::block_in_place(|| engine.close()).unwrap();
    });
}
