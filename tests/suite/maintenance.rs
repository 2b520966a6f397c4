//! Compaction, retention and erasure: what they leave, and that no answer changes but those of what
//! they remove.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hourglass::event::{EventBatch, EventKind, Key};
use hourglass::hour::{HOUR_US, Hour, SystemClock};
use hourglass::storage::vfs::observed::{Call, CallKind, Observed, Observer, Verdict};
use hourglass::storage::vfs::{Disk, Vfs};
use hourglass::storage::{Engine, EngineOptions, Error, Progress, ReadOnly, verify};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::server::Server;
use crate::support::{ManualClock, Model, assert_answers, block_on, open, random, small_options};

const DAY_US: i64 = 24 * HOUR_US;

/// First hour of the events.
const FIRST: i64 = 500_000;

/// Flushes `flushes` generations whose events lie in ten hours.
async fn fill(engine: &Engine, model: &mut Model, flushes: u64, seed: &mut u64) {
    for _ in 0..flushes {
        let mut batch = EventBatch::new();
        for _ in 0..1 + random(seed, 300) {
            let us = (FIRST + random(seed, 10) as i64) * HOUR_US + random(seed, 1 << 30) as i64;
            let kind = EventKind::CONTRACT[random(seed, 2) as usize];
            batch.push(us, &format!("visitor {}", random(seed, 400)), kind);
        }
        model.add(&batch);
        engine.append(batch).await.unwrap();
        engine.flush().await.unwrap();
    }
}

fn close(engine: Engine) {
    tokio::task::block_in_place(|| engine.close()).unwrap();
}

fn assert_sound(dir: &Path) -> verify::Report {
    let vfs: Arc<dyn Vfs> = Arc::new(Disk);
    let report = verify::verify(dir, &vfs, &SystemClock, &|_, _| ()).unwrap();
    assert!(report.is_sound() && report.notes.is_empty(), "{report:#?}");
    report
}

/// Every file below a folder.
fn files_in(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() { files.extend(files_in(&path)?) } else { files.push(path) }
    }
    Ok(files)
}

fn data_files(dir: &Path) -> usize {
    files_in(&dir.join("events")).unwrap().iter().filter(|path| is_data_file(path)).count()
}

fn is_data_file(path: &Path) -> bool {
    path.to_string_lossy().ends_with(".zstd.parquet")
}

#[test]
fn a_compaction_leaves_one_file_an_hour_and_changes_no_answer() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::at((FIRST + 20) * HOUR_US);
        let engine = open(dir.path(), clock.clone());
        let (mut seed, mut model) = (1, Model::default());
        fill(&engine, &mut model, 30, &mut seed).await;
        let before = engine.snapshot();
        let planned = engine.compact(true, Progress::default()).await.unwrap();
        assert_eq!(engine.snapshot().file_count, before.file_count, "a dry run merges nothing");
        let report = engine.compact(false, Progress::default()).await.unwrap();
        assert_eq!((report.hours, report.files_before), (planned.hours, planned.files_before));
        assert_eq!((report.hours, report.files_after), (10, 10));
        assert_eq!(engine.snapshot().file_count, 10);
        for (hour, files) in &engine.snapshot().files {
            assert!(files.rollup.unique_users().is_some(), "{hour}: the users are known");
        }
        assert_answers(&engine.snapshot(), &model).await;
        // Late files stay beside a much larger base, and what was merged is found after a restart.
        fill(&engine, &mut model, 2, &mut seed).await;
        engine.compact(false, Progress::default()).await.unwrap();
        assert_answers(&engine.snapshot(), &model).await;
        assert!(engine.snapshot().files.values().all(|files| files.files.len() <= 2));
        assert_eq!(engine.compact(false, Progress::default()).await.unwrap().hours, 0);
        // A statement that began before still reads the files that were replaced.
        assert_eq!(before.files.len(), 10);
        let replaced = data_files(dir.path()) as u64 - engine.snapshot().file_count;
        assert!(replaced > 200, "{replaced}");
        close(engine);
        assert_sound(dir.path());
        // A day later they are gone.
        drop(before);
        clock.set((FIRST + 20) * HOUR_US + DAY_US);
        let engine = open(dir.path(), clock);
        assert_answers(&engine.snapshot(), &model).await;
        while data_files(dir.path()) as u64 > engine.snapshot().file_count {
            engine.compact(true, Progress::default()).await.unwrap();
        }
        assert_answers(&engine.snapshot(), &model).await;
        close(engine);
        assert_sound(dir.path());
    });
}

#[test]
fn late_files_are_merged_without_being_asked() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::at((FIRST + 20) * HOUR_US);
        let mut options = small_options();
        options.compaction.interval_ms = 20;
        let engine = Engine::open_with(dir.path(), options, Arc::new(Disk), clock.clone()).unwrap();
        let (mut seed, mut model) = (2, Model::default());
        fill(&engine, &mut model, 4, &mut seed).await;
        let few = engine.snapshot().file_count;
        fill(&engine, &mut model, 20, &mut seed).await;
        for second in 0.. {
            assert!(second < 1_000, "nothing is merged");
            clock.set((FIRST + 20) * HOUR_US + second * 1_000_000);
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            if engine.snapshot().file_count < few {
                break;
            }
        }
        assert_answers(&engine.snapshot(), &model).await;
        close(engine);
    });
}

#[test]
fn hours_older_than_the_retention_go_and_the_others_stay() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::at((FIRST + 10) * HOUR_US);
        let options = EngineOptions { retention_ms: Some(30 * 3_600_000), ..small_options() };
        let engine = Engine::open_with(dir.path(), options, Arc::new(Disk), clock.clone()).unwrap();
        let (mut seed, mut model) = (3, Model::default());
        fill(&engine, &mut model, 5, &mut seed).await;
        assert_eq!(engine.retain(false).await.unwrap().hours, 0);
        let due = engine.snapshot().removed_after_us(Hour(FIRST)).unwrap();
        assert_eq!(due, (FIRST + 31) * HOUR_US);
        // Three hours are older now, and the fourth in part.
        clock.set((FIRST + 33) * HOUR_US + 1);
        let planned = engine.retain(true).await.unwrap();
        assert_eq!(planned.hours, 3);
        let all = engine.snapshot().totals(Hour::FIRST, Hour::LAST).rows();
        let report = engine.retain(false).await.unwrap();
        // It may have been removed in the background meanwhile.
        assert!(report == planned || report.hours == 0, "{report:?}");
        let mut kept = Model::default();
        let snapshot = engine.snapshot();
        assert_eq!(snapshot.hours().first(), Some(&Hour(FIRST + 3)));
        assert_eq!(snapshot.totals(Hour::FIRST, Hour::LAST).rows(), all - planned.rows);
        // What is left answers as before.
        let mut again = 3;
        let other = tempfile::tempdir().unwrap();
        let whole = open(other.path(), clock.clone());
        fill(&whole, &mut kept, 5, &mut again).await;
        for hour in snapshot.hours() {
            let numbers = snapshot.exact(hour).await.unwrap().numbers();
            assert_eq!(numbers, Some(kept.numbers(hour)), "{hour}");
        }
        close(whole);
        close(engine);
        assert_sound(dir.path());
    });
}

#[test]
fn what_nobody_names_any_more_is_found_after_a_long_time() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::at((FIRST + 20) * HOUR_US);
        let engine = open(dir.path(), clock.clone());
        let (mut seed, mut model) = (7, Model::default());
        fill(&engine, &mut model, 2, &mut seed).await;
        let location = engine.snapshot().files[&Hour(FIRST)].files[0].location.to_string();
        close(engine);
        let file = dir.path().join(location);
        let name = file.file_name().unwrap().to_str().unwrap();
        let node = name.rsplit_once('-').unwrap().1;
        let orphan = file.with_file_name(format!("merged-0000000001-0000000009-{node}"));
        let other = file.with_file_name("of-another-engine.zstd.parquet");
        fs::copy(&file, &orphan).unwrap();
        fs::copy(&file, &other).unwrap();
        clock.set((FIRST + 20) * HOUR_US + 30 * DAY_US);
        let engine = open(dir.path(), clock);
        for round in 0.. {
            assert!(round < 1_000, "the orphan stays");
            engine.compact(true, Progress::default()).await.unwrap();
            if !orphan.exists() {
                break;
            }
        }
        assert!(file.exists() && other.exists());
        assert_answers(&engine.snapshot(), &model).await;
        close(engine);
    });
}

/// Where the bytes of a name are below a folder, in files as they are and in decoded Parquet.
///
/// A server that runs removes and renames files meanwhile: then it is looked again, from the start,
/// as a renamed file may have come to where was looked already.
fn places_of(name: &str, dir: &Path) -> Vec<String> {
    loop {
        match look_for(name, dir) {
            Ok(places) => return places,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn look_for(name: &str, dir: &Path) -> io::Result<Vec<String>> {
    let mut places = Vec::new();
    for path in files_in(dir)? {
        let bytes = Bytes::from(fs::read(&path)?);
        if bytes.windows(name.len()).any(|window| window == name.as_bytes()) {
            places.push(format!("{} (raw)", path.display()));
        }
        if path.extension().is_some_and(|extension| extension == "parquet") {
            let rows = ParquetRecordBatchReaderBuilder::try_new(bytes);
            for batch in rows.unwrap().build().unwrap() {
                if format!("{:?}", batch.unwrap()).contains(name) {
                    places.push(format!("{} (decoded)", path.display()));
                }
            }
        }
    }
    Ok(places)
}

/// A name that is nowhere by chance, and first of all in the order of users: it is in statistics.
const GONE: &str = "!quagga-okapi-7f3a";

#[test]
fn after_an_erasure_no_byte_of_the_name_is_left() {
    let dir = tempfile::tempdir().unwrap();
    // Hours of 1970: they are over, and are merged.
    let server = Server::start(dir.path(), &[("HOURGLASS_WAL_SEGMENT_BYTES", "64KiB")]);
    let mut client = server.connect();
    let post = |client: &mut crate::server::Client, hour: u64, user: &str| {
        let ms = hour * 3_600_000 + 5;
        let answer = client.post(&format!("/analytics?timestamp={ms}&user={user}&event=click"));
        assert_eq!(answer.unwrap().status, 204);
    };
    for round in 0..4 {
        for hour in 0..12 {
            for user in 0..20 {
                post(&mut client, hour, &format!("other{}", user + round));
            }
            if hour % 3 != 2 {
                post(&mut client, hour, GONE);
            }
        }
        assert_eq!(client.post("/admin/flush").unwrap().status, 204);
        if round == 2 {
            assert_eq!(client.post("/admin/compact").unwrap().status, 200);
        }
    }
    // In the log, in memory and in the statements remembered, too.
    post(&mut client, 3, GONE);
    let sql = format!("/sql?q=SELECT+count(*)+FROM+events+WHERE+user_id='{GONE}'&format=csv");
    assert!(client.get(&sql).body.ends_with("33\n"), "{}", client.get(&sql).body);
    assert!(places_of(GONE, dir.path()).len() > 30, "{:?}", places_of(GONE, dir.path()));

    let answer = client.post(&format!("/admin/forget?user={GONE}&now=true")).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    let receipt: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(
        (&receipt["rows_removed"], &receipt["hours"], &receipt["purged"]),
        (&33.into(), &8.into(), &true.into()),
        "{receipt}"
    );
    assert_eq!(places_of(GONE, dir.path()), [""; 0]);
    let named = client.get(
        "/sql?q=SELECT+count(*)+FROM+system.queries+WHERE+query+LIKE+'%25quagga%25'&format=csv",
    );
    // The statement that asks is one of them.
    assert!(named.body.ends_with("\n1\n"), "{}", named.body);
    assert!(client.get(&sql).body.ends_with("\n0\n"));
    // 20 users in the first round, and one more in each later one.
    let hour = client.get("/analytics?timestamp=10800000").body;
    assert_eq!(hour, "unique_users,23\nclicks,80\nimpressions,0\n");
    post(&mut client, 3, "new");
    assert_eq!(server.stop(), Some(0));
    assert_eq!(places_of(GONE, dir.path()), [""; 0]);
    assert_sound(dir.path());
}

#[test]
fn an_erasure_that_is_not_urgent_leaves_the_bytes_until_the_grace_period_ends() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::at((FIRST + 20) * HOUR_US);
        let engine = open(dir.path(), clock.clone());
        let (mut seed, mut model) = (4, Model::default());
        fill(&engine, &mut model, 3, &mut seed).await;
        let mut batch = EventBatch::new();
        for hour in 0..3 {
            batch.push((FIRST + hour) * HOUR_US, GONE, EventKind::CLICK);
        }
        engine.append(batch).await.unwrap();
        let users = BTreeSet::from([GONE.to_string(), "nobody".into()]);
        let receipt = engine.forget(users, false).await.unwrap();
        assert_eq!((receipt.rows_removed, receipt.hours, receipt.purged), (3, 3, false));
        assert_answers(&engine.snapshot(), &model).await;
        assert!(!places_of(GONE, dir.path()).is_empty());
        close(engine);
        assert_sound(dir.path());
        clock.set((FIRST + 20) * HOUR_US + DAY_US + 1_000);
        let engine = open(dir.path(), clock);
        // The index of users is rewritten beside the rest.
        for _ in 0..500 {
            engine.compact(true, Progress::default()).await.unwrap();
            if places_of(GONE, dir.path()).is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(places_of(GONE, dir.path()), [""; 0]);
        assert_answers(&engine.snapshot(), &model).await;
        close(engine);
        assert_sound(dir.path());
    });
}

/// Commits by hand, as another process would.
fn commit(dir: &Path, action: &str) {
    let log = dir.join("events/_delta_log");
    let newest = fs::read_dir(&log)
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(".json")?.parse::<u64>().ok()
        })
        .max()
        .unwrap();
    let info = r#"{"commitInfo":{"timestamp":1,"operation":"WRITE"}}"#;
    fs::write(log.join(format!("{:020}.json", newest + 1)), format!("{info}\n{action}\n")).unwrap();
}

#[test]
fn a_process_that_has_been_replaced_commits_nothing_more() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(dir.path(), ManualClock::at((FIRST + 20) * HOUR_US));
        let (mut seed, mut model) = (5, Model::default());
        fill(&engine, &mut model, 1, &mut seed).await;
        let meta = fs::read_to_string(dir.path().join("hourglass.json")).unwrap();
        let meta: serde_json::Value = serde_json::from_str(&meta).unwrap();
        let fence = format!("{}/fence", meta["node"].as_str().unwrap());
        commit(dir.path(), &format!(r#"{{"txn":{{"appId":"{fence}","version":99}}}}"#));
        let mut batch = EventBatch::new();
        batch.push(FIRST * HOUR_US, "late", EventKind::CLICK);
        model.add(&batch);
        engine.append(batch).await.unwrap();
        let error = engine.flush().await.unwrap_err();
        assert!(error.to_string().contains("another process has taken over"), "{error}");
        let why = engine.wait_for_death().await;
        assert!(why.contains("taken over"), "{why}");
        let closed = tokio::task::block_in_place(|| engine.close());
        assert!(matches!(closed, Err(Error::Died(_))), "{closed:?}");
        drop(engine);
        // The events are still in the log, for the next that opens it.
        let engine = open(dir.path(), ManualClock::at((FIRST + 20) * HOUR_US));
        assert_answers(&engine.snapshot(), &model).await;
        engine.flush().await.unwrap();
        close(engine);
        assert_sound(dir.path());
    });
}

#[test]
fn what_another_engine_has_removed_meanwhile_is_neither_merged_nor_answered() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(dir.path(), ManualClock::at((FIRST + 20) * HOUR_US));
        let (mut seed, mut model) = (6, Model::default());
        fill(&engine, &mut model, 3, &mut seed).await;
        let snapshot = engine.snapshot();
        let (hour, files) = snapshot.files.iter().next().unwrap();
        let (rows, path) = (files.files[0].rollup.rows(), files.files[0].location.as_ref());
        let path = path.strip_prefix("events/").unwrap();
        commit(
            dir.path(),
            &format!(r#"{{"remove":{{"path":"{path}","deletionTimestamp":1,"dataChange":true}}}}"#),
        );
        engine.compact(false, Progress::default()).await.unwrap();
        let after = engine.snapshot().rollup(*hour).rows();
        assert_eq!(after, snapshot.rollup(*hour).rows() - rows);
        close(engine);
        let vfs: Arc<dyn Vfs> = Arc::new(Disk);
        let report = verify::verify(dir.path(), &vfs, &SystemClock, &|_, _| ()).unwrap();
        assert!(report.is_sound(), "{report:#?}");
        let store = ReadOnly::open(dir.path(), &EngineOptions::default(), &vfs).unwrap();
        assert_eq!(store.snapshot.rollup(*hour).rows(), after);
    });
}

#[test]
fn what_is_asked_of_maintenance_is_taken_exactly_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut client = server.connect();
    for user in ["a", "b", "a%0Ab", "c", "d"] {
        let event = format!("/analytics?timestamp=5&user={user}&event=click");
        assert_eq!(client.post(&event).unwrap().status, 204);
    }
    for target in [
        "/admin/forget?user=a&dry_run=true",
        "/admin/forget?user=",
        "/admin/forget",
        "/admin/compact?dryrun=true",
        "/admin/compact?dry_run=maybe",
        "/admin/retain",
        "/admin/flush?now=true",
    ] {
        let answer = client.post(target).unwrap();
        assert_eq!(answer.status, 400, "{target}: {}", answer.body);
    }
    let forget = |client: &mut crate::server::Client, kind: &str, body: &[u8]| {
        let head = format!("content-type: {kind}\r\n");
        let answer = client.request("POST", "/admin/forget", &head, body).unwrap();
        let receipt = serde_json::from_str::<serde_json::Value>(&answer.body);
        receipt.map_or(0, |receipt| receipt["rows_removed"].as_u64().unwrap_or(0))
    };
    assert_eq!(forget(&mut client, "application/json", br#"["a\nb","nobody"]"#), 1);
    assert_eq!(forget(&mut client, "application/json", br#"{"user":"a"}"#), 0);
    assert_eq!(forget(&mut client, "text/plain", b"\xef\xbb\xbfc\r\nd\r\n"), 2);
    let numbers = client.get("/analytics?timestamp=5").body;
    assert_eq!(numbers, "unique_users,2\nclicks,2\nimpressions,0\n");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_damaged_or_missing_file_leaves_its_hour_alone_and_no_other() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(dir.path(), ManualClock::at((FIRST + 20) * HOUR_US));
        let (mut seed, mut model) = (8, Model::default());
        fill(&engine, &mut model, 4, &mut seed).await;
        let file = |hour: i64| {
            dir.path().join(engine.snapshot().files[&Hour(hour)].files[0].location.to_string())
        };
        let mut bytes = fs::read(file(FIRST)).unwrap();
        bytes[60] ^= 1;
        fs::write(file(FIRST), bytes).unwrap();
        fs::remove_file(file(FIRST + 1)).unwrap();
        let report = engine.compact(false, Progress::default()).await.unwrap();
        assert_eq!((report.hours, report.skipped), (8, 2));
        for (hour, files) in &engine.snapshot().files {
            assert_eq!(files.files.len() > 1, hour.0 < FIRST + 2, "{hour}");
        }
        let again = engine.compact(false, Progress::default()).await.unwrap();
        assert_eq!((again.hours, again.skipped), (0, 2), "who asks again is told again");
        close(engine);
    });
}

/// The bug: the plan of every GET kept the snapshot of the server's start, and its files with it.
#[test]
fn a_server_keeps_replaced_files_no_longer_than_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let fill = |client: &mut crate::server::Client| {
        for n in 0..3 {
            let event = format!("/analytics?timestamp=5&user=u{n}&event=click");
            assert_eq!(client.post(&event).unwrap().status, 204);
            assert_eq!(client.post("/admin/flush").unwrap().status, 204);
        }
    };
    let server = Server::start(dir.path(), &[]);
    fill(&mut server.connect());
    assert_eq!(server.stop(), Some(0));
    let server = Server::start(dir.path(), &[("HOURGLASS_KEEP_REPLACED", "0s")]);
    let mut client = server.connect();
    fill(&mut client);
    assert_eq!(client.get("/analytics?timestamp=5").status, 200);
    assert_eq!(client.get("/sql?q=SELECT+count(DISTINCT+user_id)+FROM+events").status, 200);
    assert_eq!(client.post("/admin/compact").unwrap().status, 200);
    for round in 0.. {
        assert!(round < 400, "{} files are left", data_files(dir.path()));
        if data_files(dir.path()) == 1 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(
        client.get("/analytics?timestamp=5").body,
        "unique_users,3\nclicks,6\nimpressions,0\n"
    );
}

/// A disk with one fault, and the data files whose bytes it has been told to sync.
#[derive(Debug, Default)]
struct Watched {
    fault: Mutex<Option<Fault>>,
    synced: Mutex<BTreeSet<PathBuf>>,
}

#[derive(Debug)]
enum Fault {
    /// Another engine commits this action just before the next commit.
    LostRace(PathBuf, String),
    /// The next commit succeeds and reports an error; then the log cannot be listed.
    LostAnswer,
    NoList,
    /// The bytes of the next data file cannot be synced.
    NoSync,
}

impl Observer for Watched {
    fn see(&self, call: Call<'_>) -> Verdict {
        let path = call.path.to_string_lossy();
        let is_log = path.contains("_delta_log");
        let is_commit = call.kind == CallKind::HardLink && is_log && path.ends_with(".json");
        let is_sync = call.kind == CallKind::SyncData && is_data_file(call.path);
        let mut fault = self.fault.lock().unwrap();
        match &*fault {
            Some(Fault::LostRace(dir, action)) if is_commit => {
                commit(dir, action);
                *fault = None;
            }
            Some(Fault::LostAnswer) if is_commit => {
                *fault = Some(Fault::NoList);
                return Verdict::FailAfter(io::Error::other("the answer is lost"));
            }
            Some(Fault::NoList) if call.kind == CallKind::List && is_log => {
                return Verdict::Fail(io::Error::other("the disk does not answer"));
            }
            Some(Fault::NoSync) if is_sync => {
                *fault = None;
                return Verdict::Fail(io::Error::other("the device is gone"));
            }
            _ => {}
        }
        if is_sync {
            self.synced.lock().unwrap().insert(call.path.into());
        }
        Verdict::Proceed
    }
}

/// Opens a store on a disk that is watched, with files to merge.
async fn watched(
    dir: &Path,
    clock: &Arc<ManualClock>,
    model: &mut Model,
) -> (Engine, Arc<Watched>) {
    let disk = Arc::new(Watched::default());
    let vfs = Arc::new(Observed::new(Disk, disk.clone()));
    let engine = Engine::open_with(dir, small_options(), vfs, clock.clone()).unwrap();
    fill(&engine, model, 3, &mut 8).await;
    (engine, disk)
}

/// The bug that it is there for: a merge that lost a race was committed all the same, and brought
/// rows back that another engine had removed meanwhile.
#[test]
fn a_merge_that_loses_a_race_is_weighed_again() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (clock, mut model) = (ManualClock::at((FIRST + 20) * HOUR_US), Model::default());
        let (engine, disk) = watched(dir.path(), &clock, &mut model).await;
        let snapshot = engine.snapshot();
        let merged = snapshot.files.iter().find(|(_, files)| files.files.len() > 1);
        let (hour, files) = merged.unwrap();
        let (rows, path) = (files.files[0].rollup.rows(), files.files[0].location.as_ref());
        let path = path.strip_prefix("events/").unwrap();
        let remove =
            format!(r#"{{"remove":{{"path":"{path}","deletionTimestamp":1,"dataChange":true}}}}"#);
        *disk.fault.lock().unwrap() = Some(Fault::LostRace(dir.path().into(), remove));
        let _ = engine.compact(false, Progress::default()).await;
        assert!(disk.fault.lock().unwrap().is_none(), "the race took place");
        engine.compact(false, Progress::default()).await.unwrap();
        let left = snapshot.rollup(*hour).rows() - rows;
        assert_eq!(engine.snapshot().rollup(*hour).rows(), left);
        close(engine);
        let engine = open(dir.path(), clock);
        assert_eq!(engine.snapshot().rollup(*hour).rows(), left);
        close(engine);
    });
}

#[test]
fn a_merge_whose_commit_was_not_answered_loses_nothing() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (clock, mut model) = (ManualClock::at((FIRST + 20) * HOUR_US), Model::default());
        let (engine, disk) = watched(dir.path(), &clock, &mut model).await;
        *disk.fault.lock().unwrap() = Some(Fault::LostAnswer);
        let error = engine.compact(false, Progress::default()).await.unwrap_err();
        assert!(error.to_string().contains("the answer is lost"), "{error}");
        *disk.fault.lock().unwrap() = None;
        clock.set((FIRST + 20) * HOUR_US + 60_000_000);
        engine.compact(false, Progress::default()).await.unwrap();
        assert!(engine.snapshot().files.values().all(|files| files.files.len() == 1));
        assert_answers(&engine.snapshot(), &model).await;
        close(engine);
        assert_sound(dir.path());
    });
}

/// The bug that it is there for: a merged file whose sync had failed was committed by the retry of
/// its commit, which had nothing left to sync.
#[test]
fn no_merged_file_is_committed_before_its_bytes_are_durable() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (clock, mut model) = (ManualClock::at((FIRST + 20) * HOUR_US), Model::default());
        let (engine, disk) = watched(dir.path(), &clock, &mut model).await;
        *disk.fault.lock().unwrap() = Some(Fault::NoSync);
        assert!(engine.compact(false, Progress::default()).await.is_err());
        clock.set((FIRST + 20) * HOUR_US + 60_000_000);
        engine.compact(false, Progress::default()).await.unwrap();
        let synced = disk.synced.lock().unwrap().clone();
        for file in engine.snapshot().files.values().flat_map(|files| &files.files) {
            assert!(synced.contains(&dir.path().join(file.location.as_ref())), "{file:?}");
        }
        assert_answers(&engine.snapshot(), &model).await;
        close(engine);
    });
}

#[test]
fn a_snapshot_keeps_the_files_that_were_replaced_beyond_their_time() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (clock, mut model) = (ManualClock::at((FIRST + 20) * HOUR_US), Model::default());
        let (engine, _) = watched(dir.path(), &clock, &mut model).await;
        let before = engine.snapshot();
        engine.compact(false, Progress::default()).await.unwrap();
        clock.set((FIRST + 20) * HOUR_US + 3 * DAY_US);
        // Each request lets it do what is due.
        for _ in 0..50 {
            engine.compact(true, Progress::default()).await.unwrap();
        }
        for file in before.files.values().flat_map(|files| &files.files) {
            assert!(dir.path().join(file.location.as_ref()).exists(), "{file:?}");
        }
        assert_answers(&before, &model).await;
        drop(before);
        for _ in 0..50 {
            engine.compact(true, Progress::default()).await.unwrap();
        }
        assert_eq!(data_files(dir.path()) as u64, engine.snapshot().file_count);
        close(engine);
    });
}

#[test]
fn a_merged_file_keeps_the_keys_of_those_it_was_made_from() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::at((FIRST + 2) * HOUR_US);
        let engine = open(dir.path(), clock.clone());
        let batch = |key: &str| {
            let mut batch = EventBatch::new();
            batch.push(FIRST * HOUR_US, key, EventKind::CLICK);
            batch.key_from(0, Key::new(key).unwrap());
            batch
        };
        for key in ["a", "b", "c"] {
            engine.append(batch(key)).await.unwrap();
            engine.flush().await.unwrap();
        }
        assert_eq!(engine.compact(false, Progress::default()).await.unwrap().files_after, 1);
        close(engine);
        assert_sound(dir.path());
        let engine = open(dir.path(), clock);
        for key in ["a", "b", "c"] {
            engine.append(batch(key)).await.unwrap();
        }
        assert_eq!(engine.snapshot().rollup(Hour(FIRST)).rows(), 3, "they are repeats");
        close(engine);
        // The table says which files of keys there must be.
        let keys = files_in(&dir.path().join("keys")).unwrap();
        assert_eq!(keys.len(), 3);
        fs::remove_file(&keys[0]).unwrap();
        let vfs: Arc<dyn Vfs> = Arc::new(Disk);
        let report = verify::verify(dir.path(), &vfs, &SystemClock, &|_, _| ()).unwrap();
        assert!(!report.is_sound(), "a missing file of keys is found");
    });
}
