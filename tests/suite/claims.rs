//! What is claimed of an hour's distinct users: it holds for exactly the files it was made from,
//! whoever writes to the table.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hourglass::event::{EventBatch, EventKind};
use hourglass::hour::{HOUR_US, Hour};
use hourglass::storage::vfs::Disk;
use hourglass::storage::vfs::observed::{Call, CallKind, Observed, Observer, Verdict};
use hourglass::storage::{Engine, Snapshot, verify};

use crate::support::{ManualClock, Model, assert_answers, block_on, open, small_options};

const HOUR: Hour = Hour(500_000);

fn batch(hour: Hour, users: &[&str]) -> EventBatch {
    let mut batch = EventBatch::new();
    users.iter().for_each(|user| batch.push(hour.start_us() + 1, user, EventKind::CLICK));
    batch
}

fn clock() -> Arc<ManualClock> {
    ManualClock::at(HOUR.start_us())
}

/// A closed store with a file of the hour for each of the lists of users.
fn store(files: &[&[&str]]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), clock());
    for users in files {
        block_on(engine.append(batch(HOUR, users))).unwrap();
        block_on(engine.flush()).unwrap();
    }
    engine.close().unwrap();
    dir
}

fn partition(dir: &Path) -> PathBuf {
    dir.join("events").join(HOUR.partition_path())
}

fn data_files(dir: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(partition(dir)).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|end| end == "parquet")).collect()
}

fn commit(dir: &Path, version: u64) -> PathBuf {
    dir.join(format!("events/_delta_log/{version:020}.json"))
}

/// Commits as another engine does: takes one file of the hour out of the table, and puts in that of
/// `other`, without tags.
fn replace(dir: &Path, removed: &Path, other: &Path, version: u64) {
    let name = "part-00000-d6f7.c000.snappy.parquet";
    let to = partition(dir).join(name);
    fs::copy(data_files(other).first().unwrap(), &to).unwrap();
    let below =
        |path: &Path| path.strip_prefix(dir.join("events")).unwrap().to_str().unwrap().to_string();
    let partition =
        serde_json::json!({ "date": HOUR.date().to_string(), "hour": HOUR.of_day().to_string() });
    let actions = [
        serde_json::json!({ "remove": {
            "path": below(removed), "deletionTimestamp": 1, "dataChange": true, "extendedFileMetadata": true,
            "partitionValues": partition, "size": fs::metadata(removed).unwrap().len(),
        } }),
        serde_json::json!({ "add": {
            "path": below(&to), "partitionValues": partition, "size": fs::metadata(&to).unwrap().len(),
            "modificationTime": 1, "dataChange": true,
        } }),
    ];
    let lines: Vec<String> = actions.iter().map(|action| action.to_string() + "\n").collect();
    fs::write(commit(dir, version), lines.concat()).unwrap();
}

fn unique_users(snapshot: &Snapshot) -> Option<u64> {
    snapshot.exact_now(HOUR)?.unique_users()
}

fn check(dir: &Path) -> verify::Report {
    verify::verify(dir, &(Arc::new(Disk) as _), &*clock(), &|_, _| ()).unwrap()
}

#[test]
fn the_users_of_an_hour_in_two_files_are_known_without_a_look_at_them() {
    let dir = store(&[&["a", "b"], &["b", "c"]]);
    assert!(check(dir.path()).is_sound());
    data_files(dir.path()).iter().for_each(|path| fs::write(path, "").unwrap());
    assert_eq!(unique_users(&open(dir.path(), clock()).snapshot()), Some(3));
}

/// A claim named the files by their number. Another engine that replaced one by one left the
/// number, and the hour kept the users that it had had before. A claim now names its files.
#[test]
fn the_users_of_an_hour_are_exact_after_another_engine_replaced_one_of_its_files() {
    let others = store(&[&["x", "y", "z", "b"]]);
    for replaced in 0..2 {
        let dir = store(&[&["a", "b"], &["b", "c", "d"]]);
        let removed = data_files(dir.path()).into_iter().nth(replaced).unwrap();
        replace(dir.path(), &removed, others.path(), 3);
        let mut model = Model::default();
        let left: &[&str] = if replaced == 0 { &["b", "c", "d"] } else { &["a", "b"] };
        model.add(&batch(HOUR, left));
        model.add(&batch(HOUR, &["x", "y", "z", "b"]));
        let report = check(dir.path());
        assert!(report.is_sound(), "{report:#?}");
        let engine = open(dir.path(), clock());
        assert_eq!(unique_users(&engine.snapshot()), None, "nobody has united them");
        block_on(assert_answers(&engine.snapshot(), &model));
        // What arrives later is counted with what is there now.
        block_on(engine.append(batch(HOUR, &["a", "new"]))).unwrap();
        model.add(&batch(HOUR, &["a", "new"]));
        block_on(assert_answers(&engine.snapshot(), &model));
        block_on(engine.flush()).unwrap();
        block_on(assert_answers(&engine.snapshot(), &model));
        engine.close().unwrap();
        drop(engine);
        block_on(assert_answers(&open(dir.path(), clock()).snapshot(), &model));
    }
}

/// As builds before claims named their files wrote it.
#[test]
fn a_claim_by_the_number_of_files_is_not_believed() {
    let dir = store(&[&["a", "b"], &["b", "c"]]);
    let text = fs::read_to_string(commit(dir.path(), 2)).unwrap();
    let (before, claim) = text.split_once(r#"\"hour_users\":{"#).unwrap();
    let (_, after) = claim.split_once('}').unwrap();
    let old = r#"\"hour\":{\"files\":2,\"unique_users\":9}"#;
    fs::write(commit(dir.path(), 2), [before, old, after].concat()).unwrap();
    let report = check(dir.path());
    assert!(report.is_sound(), "{report:#?}");
    let engine = open(dir.path(), clock());
    assert_eq!(unique_users(&engine.snapshot()), None);
    let mut model = Model::default();
    [["a", "b"], ["b", "c"]].iter().for_each(|users| model.add(&batch(HOUR, users)));
    block_on(assert_answers(&engine.snapshot(), &model));
}

#[test]
fn a_claim_that_is_false_is_found() {
    let dir = store(&[&["a", "b"], &["b", "c"]]);
    let text = fs::read_to_string(commit(dir.path(), 2)).unwrap();
    fs::write(commit(dir.path(), 2), text.replace(r#"\"n\":3"#, r#"\"n\":4"#)).unwrap();
    let report = check(dir.path());
    let found: Vec<&str> = report.damage.iter().map(|finding| finding.what.as_str()).collect();
    assert!(
        matches!(found[..], [one] if one.contains("has 4 distinct users, and its files have 3")),
        "{report:#?}"
    );
    assert_eq!(report.damage[0].path, format!("events/_delta_log/{:020}.json", 2));
}

/// A disk on which no data file can be written while it is set.
#[derive(Debug, Default)]
struct Full(AtomicBool);

impl Observer for Full {
    fn see(&self, call: Call<'_>) -> Verdict {
        let is_data = call.path.to_string_lossy().contains(".parquet");
        match call.kind {
            CallKind::Create if is_data && self.0.load(Ordering::SeqCst) => {
                Verdict::Fail(io::ErrorKind::StorageFull.into())
            }
            _ => Verdict::Proceed,
        }
    }
}

/// A generation that went on with the users of the one before has more users than rows' users. The
/// union that was made while it was in memory had the new ones behind the others, and when it
/// became a file they were left out.
#[test]
fn users_are_united_alike_before_and_after_a_generation_becomes_a_file() {
    let (dir, full, clock) = (tempfile::tempdir().unwrap(), Arc::new(Full::default()), clock());
    let disk = Arc::new(Observed::new(Disk, full.clone()));
    let engine = Engine::open_with(dir.path(), small_options(), disk, clock.clone()).unwrap();
    let mut model = Model::default();
    let mut append = |hour, users: &[&str]| {
        model.add(&batch(hour, users));
        block_on(engine.append(batch(hour, users))).unwrap();
        model.clone()
    };
    append(HOUR, &["a", "b"]);
    block_on(engine.flush()).unwrap();
    append(HOUR, &["c"]);
    full.0.store(true, Ordering::SeqCst);
    clock.set(HOUR.start_us() + HOUR_US);
    append(HOUR.next(), &["d"]);
    assert!(block_on(engine.flush()).is_err());
    let model = append(HOUR, &["a"]);
    assert!(!engine.snapshot().sealed.is_empty());
    block_on(assert_answers(&engine.snapshot(), &model));
    full.0.store(false, Ordering::SeqCst);
    block_on(engine.flush()).unwrap();
    block_on(assert_answers(&engine.snapshot(), &model));
}

/// Users that were read from a file have no order of arrival, so such a union says nothing of the
/// time when they arrived.
#[test]
fn a_statement_that_began_before_a_flush_counts_the_users_it_sees() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), clock());
    // Not the current hour: its users do not go on.
    let hour = Hour(HOUR.0 - 5);
    let append = |users: &[&str]| _ = block_on(engine.append(batch(hour, users))).unwrap();
    append(&["a"]);
    block_on(engine.flush()).unwrap();
    append(&["b"]);
    let before = engine.snapshot();
    append(&["c"]);
    block_on(engine.flush()).unwrap();
    let counted = |snapshot: &Snapshot| block_on(snapshot.exact(hour)).unwrap().unique_users();
    assert_eq!(counted(&engine.snapshot()), Some(3));
    assert_eq!(counted(&before), Some(2));
    assert_eq!(counted(&engine.snapshot()), Some(3));
}
