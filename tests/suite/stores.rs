//! Stores of every format that was ever written, as `tests/stores/README.md` tells: each build
//! opens them, finds what is in them, and goes on with them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use hourglass::event::{EventBatch, EventKind, Key};
use hourglass::hour::SystemClock;
use hourglass::storage::vfs::{Disk, Vfs};
use hourglass::storage::{Engine, verify};
use serde::Deserialize;

use crate::server::{Server, hourglass};
use crate::support::{block_on, small_options};

/// What a store's `.json` says of it.
#[derive(Deserialize)]
struct Known {
    rows: u64,
    /// Rows that are in the log alone.
    unflushed: u64,
    /// Keys in key files.
    flushed_keys: u64,
    /// By the first millisecond of the hour.
    hours: Vec<(u64, String)>,
    /// A POST that is in it under this key: flushed, or not.
    keys: Vec<(String, String)>,
    /// Statements and their rows as CSV, of a store with declared kinds and dimensions.
    #[serde(default)]
    answers: Vec<(String, String)>,
}

fn each(test: impl Fn(&str, &Path, &Known)) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores");
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "json") {
            continue;
        }
        count += 1;
        let known: Known = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let archive = path.with_extension("tar.gz");
        let unpacked = Command::new("tar")
            .arg("-xzf")
            .arg(&archive)
            .arg("-C")
            .arg(dir.path())
            .status()
            .unwrap();
        assert!(unpacked.success(), "{archive:?}");
        test(path.file_stem().unwrap().to_str().unwrap(), &dir.path().join("store"), &known);
    }
    assert!(count > 0, "there are stores");
}

fn check(dir: &Path) -> verify::Report {
    verify::verify(dir, &(Arc::new(Disk) as Arc<dyn Vfs>), &SystemClock, &|_, _| ()).unwrap()
}

#[test]
fn a_store_of_every_format_is_sound_before_and_after_it_is_opened() {
    each(|name, dir, known| {
        let report = check(dir);
        assert!(report.is_sound() && report.notes.is_empty(), "{name}: {report:#?}");
        assert_eq!(report.table.rows, known.rows - known.unflushed, "{name}");
        assert_eq!(report.log.events, known.unflushed, "{name}");
        assert_eq!(report.keys, known.flushed_keys, "{name}");
        assert_eq!(report.sets.files > 0, name.starts_with("sets-"), "{name}");
        let status = hourglass()
            .args(["status", "--format", "json", "--data-dir"])
            .arg(dir)
            .output()
            .unwrap();
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        assert_eq!(status["rows"], known.rows, "{name}");
        assert!(status["last_flush"].is_string(), "{name}: {status}");
        // Beside those who only read, it is as it was.
        let server = Server::start(dir, &[]);
        let mut client = server.connect();
        for (ms, numbers) in &known.hours {
            assert_eq!(
                &client.get(&format!("/analytics?timestamp={ms}")).body,
                numbers,
                "{name} at {ms}"
            );
        }
        let sql = client
            .request("POST", "/sql", "accept: text/csv\r\n", b"SELECT count(*) FROM events")
            .unwrap();
        assert_eq!(sql.body.lines().nth(1), Some(&*known.rows.to_string()), "{name}");
        let answers = |client: &mut crate::server::Client| {
            for (sql, rows) in &known.answers {
                let answer =
                    client.request("POST", "/sql", "accept: text/csv\r\n", sql.as_bytes()).unwrap();
                assert_eq!(&answer.body, rows, "{name}: {sql}");
            }
        };
        answers(&mut client);
        assert_eq!(client.post("/admin/flush").unwrap().status, 204, "{name}");
        answers(&mut client);
        assert_eq!(server.stop(), Some(0));
        let report = check(dir);
        assert!(report.is_sound(), "{name}: {report:#?}");
        assert_eq!((report.table.rows, report.log.events), (known.rows, 0), "{name}");
    });
}

/// Its own window is long past, so it is opened with one that is not.
#[test]
fn the_keys_of_every_format_are_known() {
    const YEARS: &str = "876000h";
    each(|name, dir, known| {
        let server = Server::start(dir, &[("HOURGLASS_IDEMPOTENCY_WINDOW", YEARS)]);
        let mut client = server.connect();
        let counted = |client: &mut crate::server::Client| -> Vec<String> {
            known
                .hours
                .iter()
                .map(|(ms, _)| client.get(&format!("/analytics?timestamp={ms}")).body)
                .collect()
        };
        for (key, target) in &known.keys {
            let again = client.post(&format!("{target}&id={key}")).unwrap();
            assert_eq!(again.status, 204, "{name}: {key}: {}", again.body);
        }
        let numbers: Vec<String> = known.hours.iter().map(|(_, numbers)| numbers.clone()).collect();
        assert_eq!(counted(&mut client), numbers, "{name}: each counts once");
    });
}

#[test]
fn an_older_store_is_marked_as_one_that_older_binaries_do_not_read() {
    each(|name, dir, known| {
        let engine = Engine::open(dir, small_options()).unwrap();
        let mut batch = EventBatch::new();
        batch.push(1, "new", EventKind::CLICK);
        batch.key_from(0, Key::new("new").unwrap());
        block_on(engine.append(batch)).unwrap();
        engine.close().unwrap();
        let meta: serde_json::Value =
            serde_json::from_slice(&fs::read(dir.join("hourglass.json")).unwrap()).unwrap();
        // A store with declared kinds and dimensions is not for them either.
        let format = if known.answers.is_empty() { 2 } else { 3 };
        assert_eq!(meta["format"], format, "{name}");
    });
}
