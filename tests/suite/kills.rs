//! kill -9 under load, at random moments, flushes among them: acknowledged events exactly once,
//! others at most once. Those with an idempotency key whose answer never came are sent again after
//! the restart, and then count exactly once, too.

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use arrow::array::AsArray;
use hourglass::hour::SystemClock;
use hourglass::storage::vfs::{Disk, Vfs};
use hourglass::storage::{EngineOptions, ReadOnly, verify};

use crate::server::{Client, Server};
use crate::support::{block_on, number_from, query_engine, random};

/// Rounds; `HOURGLASS_TEST_KILLS` asks for more.
fn rounds() -> u64 {
    number_from("HOURGLASS_TEST_KILLS", 12)
}

/// Kills that one store lives through, before the next begins empty.
const ROUNDS_A_STORE: usize = 25;

/// What the clients know: every event has a user of its own.
#[derive(Default)]
struct Journal {
    sent: AtomicU64,
    acknowledged: Mutex<Vec<u64>>,
    /// Sent under a key, the answer never came.
    unanswered: Mutex<Vec<u64>>,
    retried: AtomicU64,
    stop: AtomicBool,
}

impl Journal {
    fn next(&self) -> u64 {
        match self.unanswered.lock().unwrap().pop() {
            Some(again) => {
                self.retried.fetch_add(1, Ordering::Relaxed);
                again
            }
            None => self.sent.fetch_add(1, Ordering::Relaxed),
        }
    }
}

/// Posts until told to stop or the server dies. Every tenth event is late, by one of 40 hours;
/// every other has a key.
fn post(address: &str, journal: &Journal) {
    let Ok(mut client) = Client::connect(address) else { return };
    while !journal.stop.load(Ordering::Relaxed) {
        let n = journal.next();
        let hour = if n.is_multiple_of(10) { n / 10 % 40 } else { 100 };
        let mut target =
            format!("/analytics?timestamp={}&user=u{n}&event=click", hour * 3_600_000 + n % 1_000);
        if n.is_multiple_of(3) {
            target.push_str(&format!("&page=p{n}"));
        }
        let has_key = n.is_multiple_of(2);
        if has_key {
            target.push_str(&format!("&id={n}"));
        }
        match client.post(&target) {
            Ok(answer) if answer.status == 204 => {
                journal.acknowledged.lock().unwrap().push(n);
                if n.is_multiple_of(8) && !refuses_other(&mut client, n) {
                    return;
                }
            }
            Ok(answer) => assert_eq!(answer.status, 503, "{}", answer.body),
            Err(_) => {
                if has_key {
                    journal.unanswered.lock().unwrap().push(n);
                }
                return;
            }
        }
    }
}

/// Sends something else under the key of an acknowledged event, which must be told and not stored.
/// Whether the server lives.
fn refuses_other(client: &mut Client, n: u64) -> bool {
    let other = format!("/analytics?timestamp=1&user=u{n}&event=impression&id={n}");
    match client.post(&other) {
        Ok(answer) => {
            assert!([422, 503].contains(&answer.status), "{n}: {} {}", answer.status, answer.body);
            true
        }
        Err(_) => false,
    }
}

/// Prefix of the users that are erased.
const ERASED: &str = "u1000000";

/// Merges files all the time, and erases users of its own. Those whose receipt came are `erased`.
fn maintain(address: &str, round: u64, erased: &Mutex<Vec<String>>) {
    let Ok(mut client) = Client::connect(address) else { return };
    for n in 0.. {
        // Users whose number leaves 1 when divided by 3 have no page.
        let user = format!("{ERASED}{}", 3 * (round * 1_000 + n));
        let event = format!("/analytics?timestamp={}&user={user}&event=click", n % 7 * 3_600_000);
        let now = ["", "&now=true"][n as usize % 2];
        for work in [event, "/admin/compact".into(), format!("/admin/forget?user={user}{now}")] {
            match client.post(&work) {
                Ok(answer) if [200, 204].contains(&answer.status) => {}
                Ok(answer) => return assert_eq!(answer.status, 503, "{}", answer.body),
                Err(_) => return,
            }
        }
        erased.lock().unwrap().push(user);
    }
}

fn verified(dir: &Path) -> verify::Report {
    let vfs: Arc<dyn Vfs> = Arc::new(Disk);
    verify::verify(dir, &vfs, &SystemClock, &|_, _| ()).unwrap()
}

/// Every user and how often it is stored.
fn stored(dir: &Path) -> Vec<(String, i64)> {
    let vfs: Arc<dyn Vfs> = Arc::new(Disk);
    let store = ReadOnly::open(dir, &EngineOptions::default(), &vfs).unwrap();
    block_on(async {
        let session = query_engine(true).session(&store.snapshot).unwrap();
        let wrong = "SELECT count(*) FROM events WHERE coalesce(page, '') <> \
            CASE WHEN CAST(substr(user_id, 2) AS BIGINT) % 3 = 0 THEN 'p' || substr(user_id, 2) \
            ELSE '' END";
        let wrong = session.sql(wrong).await.unwrap().collect().await.unwrap();
        let wrong = wrong[0].column(0).as_primitive::<arrow::datatypes::Int64Type>().value(0);
        assert_eq!(wrong, 0, "events with another page than was sent");
        let sql = "SELECT user_id, count(*) FROM events GROUP BY user_id";
        let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
        let rows = batches.iter().flat_map(|batch| {
            let counts = batch.column(1).as_primitive::<arrow::datatypes::Int64Type>();
            (0..batch.num_rows())
                .map(|i| (batch.column(0).as_string_view().value(i).to_string(), counts.value(i)))
        });
        rows.collect()
    })
}

#[test]
fn no_kill_loses_or_doubles_an_acknowledged_event() {
    let (mut seed, mut acknowledged, mut retried) = (7, 0, 0);
    for first in (0..rounds()).step_by(ROUNDS_A_STORE) {
        let journal =
            kill_again_and_again(first..rounds().min(first + ROUNDS_A_STORE as u64), &mut seed);
        acknowledged += journal.acknowledged.lock().unwrap().len();
        retried += journal.retried.load(Ordering::Relaxed);
    }
    println!(
        "{} kills, {acknowledged} events acknowledged, {retried} sent again, none lost, none doubled",
        rounds()
    );
    assert!(acknowledged > 1_000, "only {acknowledged} events were acknowledged");
}

/// Rounds on one store; after each, everything it has is read.
fn kill_again_and_again(rounds: Range<u64>, seed: &mut u64) -> Arc<Journal> {
    let dir = tempfile::tempdir().unwrap();
    let journal = Arc::new(Journal::default());
    // Tiny generations and segments: nearly always a flush is under way.
    let env = [
        ("HOURGLASS_DIMENSIONS", "page"),
        ("HOURGLASS_MEMTABLE_MAX_ROWS", "400"),
        ("HOURGLASS_WAL_SEGMENT_BYTES", "32KiB"),
        ("HOURGLASS_KEEP_REPLACED", "0s"),
    ];
    let erased = Arc::new(Mutex::new(Vec::new()));
    for round in rounds {
        let server = Server::start(dir.path(), &env);
        // What came under a key is known after the restart, too, from the log or from a file.
        let keyed: Vec<u64> =
            journal.acknowledged.lock().unwrap().iter().copied().filter(|n| n % 2 == 0).collect();
        let mut client = server.connect();
        for n in keyed.iter().rev().step_by(1 + keyed.len() / 20) {
            assert!(refuses_other(&mut client, *n), "{n}");
        }
        drop(client);
        let posters: Vec<_> = (0..6)
            .map(|_| {
                let (journal, address) = (journal.clone(), server.address.clone());
                thread::spawn(move || post(&address, &journal))
            })
            .collect();
        let maintainer = {
            let (address, erased) = (server.address.clone(), erased.clone());
            thread::spawn(move || maintain(&address, round, &erased))
        };
        thread::sleep(Duration::from_millis(20 + random(seed, 280)));
        server.kill();
        maintainer.join().unwrap();
        posters.into_iter().for_each(|poster| poster.join().unwrap());

        // The visitor sets that were being built are whole or not there.
        let report = verified(dir.path());
        assert!(report.is_sound(), "round {round}: {:#?}", report.damage);
        let mut stored = stored(dir.path());
        for user in erased.lock().unwrap().iter() {
            assert!(stored.iter().all(|(name, _)| name != user), "round {round}: {user} is back");
        }
        stored.retain(|(user, _)| !user.starts_with(ERASED));
        let sent = journal.sent.load(Ordering::SeqCst);
        let doubled: Vec<_> = stored.iter().filter(|(_, count)| *count != 1).collect();
        assert!(doubled.is_empty(), "round {round}: counted twice: {doubled:?}");
        let users: HashSet<&str> = stored.iter().map(|(user, _)| &**user).collect();
        let acknowledged = journal.acknowledged.lock().unwrap();
        let lost: Vec<_> =
            acknowledged.iter().filter(|n| !users.contains(&*format!("u{n}"))).collect();
        assert!(
            lost.is_empty(),
            "round {round}: {} acknowledged, lost: {lost:?}",
            acknowledged.len()
        );
        assert!(users.len() as u64 <= sent);
    }
    // Left alone, a server completes them.
    let server = Server::start(dir.path(), &env);
    let mut client = server.connect();
    // There is something to complete even if no kill has left time for a flush.
    assert_eq!(client.post("/analytics?timestamp=1&user=last&event=click").unwrap().status, 204);
    assert_eq!(client.post("/admin/flush").unwrap().status, 204);
    let is_complete = |metrics: &str| {
        metrics.contains("hourglass_set_files_missing 0\n")
            && !metrics.contains("hourglass_set_files_total 0\n")
    };
    while !is_complete(&client.get("/metrics").body) {
        thread::sleep(Duration::from_millis(20));
    }
    server.kill();
    let report = verified(dir.path());
    assert!(report.is_sound() && report.sets.files > 0, "{report:#?}");
    journal
}

#[test]
fn a_server_told_to_stop_under_load_keeps_what_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Arc::new(Journal::default());
    let server = Server::start(dir.path(), &[("HOURGLASS_DIMENSIONS", "page")]);
    let (address, poster) = (server.address.clone(), journal.clone());
    let poster = thread::spawn(move || post(&address, &poster));
    thread::sleep(Duration::from_millis(200));
    assert_eq!(server.stop(), Some(0));
    poster.join().unwrap();
    let acknowledged = journal.acknowledged.lock().unwrap().len();
    assert!(acknowledged > 0 && stored(dir.path()).len() >= acknowledged);
}
