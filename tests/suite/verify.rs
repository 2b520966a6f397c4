//! `hourglass verify`: what is sound passes, each kind of damage is found and named, repairs lose
//! nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hourglass::event::{EventBatch, EventKind, Key};
use hourglass::hour::HOUR_US;
use hourglass::storage::verify::{self, Report};
use hourglass::storage::vfs::{Disk, Vfs};
use hourglass::storage::{EngineOptions, Error, ReadOnly};

use crate::server::{Server, hourglass};
use crate::support::{ManualClock, Model, assert_answers, block_on, number_from, open, random};

const FIRST_HOUR: i64 = 400_000;

/// A closed store whose Delta log has a checkpoint at version 50 and commits after it, whose hours
/// have one file or several, and whose write-ahead log has four frames that are not flushed.
struct Built {
    dir: tempfile::TempDir,
    model: Model,
    /// The model without the last frame.
    before_last: Model,
}

fn batch(seed: &mut u64, hour: i64) -> EventBatch {
    let mut batch = EventBatch::new();
    for _ in 0..20 {
        let late = if random(seed, 20) == 0 { random(seed, 5) as i64 } else { 0 };
        let us = (FIRST_HOUR + hour - late) * HOUR_US + random(seed, HOUR_US as u64) as i64;
        batch.push(
            us,
            &format!("visitor-{}", random(seed, 12)),
            EventKind::CONTRACT[random(seed, 2) as usize],
        );
    }
    batch.key_from(0, Key::new(&hour.to_string()).unwrap());
    batch
}

fn build() -> Built {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), ManualClock::at(FIRST_HOUR * HOUR_US));
    let (mut seed, mut model, mut before_last) = (11, Model::default(), Model::default());
    block_on(async {
        for n in 0..56 {
            let batch = batch(&mut seed, n);
            before_last = model.clone();
            model.add(&batch);
            engine.append(batch).await.unwrap();
            if n < 52 {
                engine.flush().await.unwrap();
            }
        }
    });
    engine.close().unwrap();
    Built { dir, model, before_last }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()))
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

impl Built {
    fn copy(&self) -> tempfile::TempDir {
        let to = tempfile::tempdir().unwrap();
        copy(self.dir.path(), to.path());
        to
    }
}

/// The files below `dir` in order, spares, locks and temporaries left out.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false
                if path.ends_with("lock") || path.extension().is_some_and(|end| end == "spare") => {
            }
            false => found.push(path),
        }
    }
    found.sort();
    found
}

fn data_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = files(&dir.join("events"));
    found.retain(|path| path.to_string_lossy().contains("/part-"));
    found
}

fn segment(dir: &Path) -> PathBuf {
    files(&dir.join("wal")).into_iter().next_back().unwrap()
}

fn commit(dir: &Path, version: u64) -> PathBuf {
    dir.join(format!("events/_delta_log/{version:020}.json"))
}

/// Changes the bit at an offset, counted from the end where it is negative.
fn flip(path: &Path, offset: i64) {
    let mut bytes = fs::read(path).unwrap();
    let at = if offset < 0 { bytes.len() as i64 + offset } else { offset };
    bytes[at as usize] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

fn disk() -> Arc<dyn Vfs> {
    Arc::new(Disk)
}

fn check(dir: &Path) -> Report {
    verify::verify(dir, &disk(), &*ManualClock::at(FIRST_HOUR * HOUR_US), &|_, _| ()).unwrap()
}

fn repair(dir: &Path) -> (Vec<String>, Report) {
    let (moved, report) =
        verify::repair(dir, &disk(), &*ManualClock::at(FIRST_HOUR * HOUR_US), &|_, _| ()).unwrap();
    for moved in &moved {
        assert!(dir.join(&moved.to).exists() && !dir.join(&moved.from).exists(), "{moved:?}");
    }
    (moved.into_iter().map(|moved| moved.from).collect(), report)
}

fn assert_store_answers(dir: &Path, model: &Model) {
    let engine = open(dir, ManualClock::at(FIRST_HOUR * HOUR_US));
    block_on(assert_answers(&engine.snapshot(), model));
}

#[test]
fn a_sound_store_passes_and_its_counts_are_right() {
    let built = build();
    let report = check(built.dir.path());
    assert!(report.is_sound() && report.notes.is_empty() && !report.in_use, "{report:#?}");
    assert_eq!((report.log.frames, report.log.events), (4, 80));
    assert_eq!(
        (report.table.rows, report.table.flushed_lsn, report.table.commits),
        (52 * 20, 52 * 20, 53)
    );
    assert_eq!(report.keys, 52);
    assert_eq!(report.table.files, data_files(built.dir.path()).len() as u64);
    assert!(report.table.files > report.table.hours, "some hours have several files");
}

#[test]
fn a_torn_tail_is_a_note_and_the_next_start_cuts_it() {
    let built = build();
    let segment = segment(built.dir.path());
    // The file may go on with zeros: the tear is in the last frame.
    flip(&segment, last_frame(&segment) as i64 + 40);
    let report = check(built.dir.path());
    assert!(report.is_sound(), "{report:#?}");
    assert!(report.notes[0].what.contains("the last frame is not whole"), "{report:#?}");
    assert_store_answers(built.dir.path(), &built.before_last);
    assert!(check(built.dir.path()).notes.is_empty());
}

fn frames(segment: &Path) -> Vec<usize> {
    let bytes = fs::read(segment).unwrap();
    let mut offset = 64;
    let mut offsets = Vec::new();
    while bytes.get(offset..offset + 4) == bytes.get(12..16) {
        offsets.push(offset);
        offset +=
            24 + u32::from_le_bytes(bytes[offset + 4..offset + 8].try_into().unwrap()) as usize;
    }
    offsets
}

fn last_frame(segment: &Path) -> usize {
    frames(segment)[3]
}

#[test]
fn each_kind_of_damage_is_found_by_its_path_and_nothing_else_is() {
    type Plant = fn(&Path) -> Vec<PathBuf>;
    let plants: Vec<(&str, Plant)> = vec![
        ("a frame in the middle of the log", |dir| {
            let segment = segment(dir);
            flip(&segment, frames(&segment)[1] as i64 + 30);
            vec![segment]
        }),
        ("a segment's header", |dir| {
            let segment = segment(dir);
            flip(&segment, 17);
            vec![segment]
        }),
        ("a commit after the checkpoint", |dir| {
            flip(&commit(dir, 51), 1);
            vec![commit(dir, 51)]
        }),
        ("a commit before the checkpoint", |dir| {
            flip(&commit(dir, 10), 1);
            vec![commit(dir, 10)]
        }),
        ("a commit that is missing", |dir| {
            fs::remove_file(commit(dir, 51)).unwrap();
            vec![commit(dir, 51)]
        }),
        ("the newest commit missing", |dir| {
            fs::remove_file(commit(dir, 52)).unwrap();
            vec![segment(dir)]
        }),
        ("a checkpoint's pages", |dir| {
            flip(&checkpoint(dir), 300);
            vec![checkpoint(dir)]
        }),
        ("a checkpoint's footer", |dir| {
            flip(&checkpoint(dir), -6);
            vec![checkpoint(dir)]
        }),
        ("the name of the last checkpoint", |dir| {
            let path = dir.join("events/_delta_log/_last_checkpoint");
            edit(&path, "50", "40");
            vec![path]
        }),
        ("a data page", |dir| {
            let path = data_files(dir).swap_remove(7);
            flip(&path, 60);
            vec![path]
        }),
        ("a data file's footer", |dir| {
            let path = data_files(dir).swap_remove(7);
            flip(&path, -30);
            vec![path]
        }),
        ("a data file cut short", |dir| {
            let path = data_files(dir).swap_remove(7);
            fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(200).unwrap();
            vec![path]
        }),
        ("a data file missing", |dir| {
            let path = data_files(dir).swap_remove(7);
            fs::remove_file(&path).unwrap();
            vec![path]
        }),
        ("two data files in each other's place", |dir| {
            let files = data_files(dir);
            let (a, b) = (fs::read(&files[3]).unwrap(), fs::read(&files[9]).unwrap());
            fs::write(&files[3], b).unwrap();
            fs::write(&files[9], a).unwrap();
            vec![files[3].clone(), files[9].clone()]
        }),
        ("a wrong counter", |dir| {
            edit(&commit(dir, 52), "\\\"clicks\\\":", "\\\"clicks\\\":1");
            vec![commit(dir, 52)]
        }),
        ("a wrong statistic", |dir| {
            edit(&commit(dir, 52), "\\\"numRecords\\\":", "\\\"numRecords\\\":1");
            vec![commit(dir, 52)]
        }),
        ("a wrong partition", |dir| {
            edit(&commit(dir, 52), "\"hour\":\"", "\"hour\":\"1");
            vec![commit(dir, 52)]
        }),
        ("a wrong last LSN", |dir| {
            edit(&commit(dir, 52), "\"version\":1040", "\"version\":1060");
            vec![dir.join("events/_delta_log")]
        }),
        ("another node's name", |dir| {
            let meta = fs::read_to_string(dir.join("hourglass.json")).unwrap();
            let node = meta.split('"').find(|text| text.len() == 36).unwrap();
            edit(&dir.join("hourglass.json"), &node[30..], "zzzzzz");
            fs::remove_dir_all(dir.join("wal")).unwrap();
            vec![dir.join("hourglass.json")]
        }),
        ("idempotency keys", |dir| {
            let path = files(&dir.join("keys")).swap_remove(0);
            flip(&path, 30);
            vec![path]
        }),
        ("an unreadable name", |dir| {
            flip(&dir.join("hourglass.json"), 0);
            vec![dir.join("hourglass.json")]
        }),
    ];
    let built = build();
    for (name, plant) in plants {
        let dir = built.copy();
        let expected: Vec<String> = plant(dir.path())
            .iter()
            .map(|path| path.strip_prefix(dir.path()).unwrap().display().to_string())
            .collect();
        let report = check(dir.path());
        let found: Vec<&String> = report.damage.iter().map(|finding| &finding.path).collect();
        assert_eq!(found, expected.iter().collect::<Vec<_>>(), "{name}: {report:#?}");
        let finding = &report.damage[0];
        assert!(!finding.means.is_empty() && !finding.advice.is_empty(), "{name}: {finding:#?}");
    }
}

/// Where each checkpoint lies in the stores built here.
fn checkpoint(dir: &Path) -> PathBuf {
    dir.join(format!("events/_delta_log/{:020}.checkpoint.parquet", 50))
}

#[test]
fn a_damaged_checkpoint_is_moved_aside_and_the_commits_answer() {
    let built = build();
    let plants: [fn(&Path); 3] = [
        |dir| flip(&checkpoint(dir), 300),
        |dir| flip(&checkpoint(dir), -6),
        |dir| edit(&dir.join("events/_delta_log/_last_checkpoint"), "50", "40"),
    ];
    for plant in plants {
        let dir = built.copy();
        plant(dir.path());
        assert!(!check(dir.path()).is_sound());
        let (moved, report) = repair(dir.path());
        assert!(
            report.is_sound() && moved.iter().all(|path| path.contains("checkpoint")),
            "{moved:?} {report:#?}"
        );
        assert_store_answers(dir.path(), &built.model);
    }
}

#[test]
fn a_checkpoint_that_disagrees_with_the_commits_is_moved_aside_and_the_commits_answer() {
    let (built, other) = (build(), build());
    // Whole and readable, and of another store.
    fs::copy(checkpoint(other.dir.path()), checkpoint(built.dir.path())).unwrap();
    let report = check(built.dir.path());
    let found: Vec<bool> =
        report.damage.iter().map(|finding| finding.path.contains("checkpoint")).collect();
    assert!(found == [true] && report.damage[0].movable, "{report:#?}");
    assert_eq!(report.table.rows, 52 * 20, "the table is read from its commits");
    let (moved, report) = repair(built.dir.path());
    assert!(
        report.is_sound() && moved.iter().all(|path| path.contains("checkpoint")),
        "{moved:?} {report:#?}"
    );
    assert_store_answers(built.dir.path(), &built.model);
}

#[test]
fn a_checkpoint_stays_where_a_commit_is_wrong() {
    let built = build();
    let dir = built.dir.path();
    edit(&commit(dir, 10), "\\\"clicks\\\":", "\\\"clicks\\\":1");
    let (moved, report) = repair(dir);
    assert!(moved.is_empty() && checkpoint(dir).exists(), "{moved:?}");
    assert!(report.damage.len() == 1 && report.damage[0].path.ends_with("10.json"), "{report:#?}");
    assert!(report.notes.iter().any(|note| note.path.contains("checkpoint")), "{report:#?}");
    // A start reads the checkpoint, which is right.
    assert_store_answers(dir, &built.model);
}

#[test]
fn what_a_crash_left_over_is_moved_aside_unless_something_is_missing() {
    let built = build();
    let leave = |dir: &Path| {
        let file = data_files(dir).pop().unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        let left = name.replace(&name[5..25], "00000000000000001041");
        fs::copy(&file, file.with_file_name(left)).unwrap();
        fs::write(dir.join("events/_delta_log/.x.json.7-1.tmp"), "half").unwrap();
        fs::write(dir.join("keys/00000000000000001100.tmp"), "half").unwrap();
    };
    let dir = built.copy();
    leave(dir.path());
    let report = check(dir.path());
    assert!(report.is_sound() && report.notes.len() == 3, "{report:#?}");
    let (moved, report) = repair(dir.path());
    assert!(
        moved.len() == 3 && report.is_sound() && report.notes.is_empty(),
        "{moved:?} {report:#?}"
    );
    assert_store_answers(dir.path(), &built.model);

    let dir = built.copy();
    leave(dir.path());
    fs::remove_file(commit(dir.path(), 52)).unwrap();
    let (moved, report) = repair(dir.path());
    assert!(moved.is_empty() && !report.is_sound(), "{moved:?} {report:#?}");
}

#[test]
fn a_damaged_log_segment_whose_events_are_all_in_the_table_is_moved_aside() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), ManualClock::at(FIRST_HOUR * HOUR_US));
    let (mut seed, mut model) = (3, Model::default());
    let batches: Vec<EventBatch> = (0..2).map(|n| batch(&mut seed, n)).collect();
    batches.iter().for_each(|batch| model.add(batch));
    let kept = block_on(async {
        engine.append(batches[0].clone()).await.unwrap();
        let kept = (segment(dir.path()), fs::read(segment(dir.path())).unwrap());
        engine.flush().await.unwrap();
        engine.append(batches[1].clone()).await.unwrap();
        kept
    });
    engine.close().unwrap();
    drop(engine);
    // As after a crash between the flush's commit and the release of the segment.
    fs::write(&kept.0, &kept.1).unwrap();
    assert!(check(dir.path()).is_sound());
    flip(&kept.0, 20);
    let report = check(dir.path());
    assert!(
        report.damage[0].movable && report.damage[0].means.starts_with("nothing"),
        "{report:#?}"
    );
    let (moved, report) = repair(dir.path());
    assert!(moved.len() == 1 && report.is_sound(), "{moved:?} {report:#?}");
    assert_store_answers(dir.path(), &model);
}

#[test]
fn damage_in_the_log_says_which_events_are_lost_and_is_left_to_a_person() {
    let built = build();
    let segment = segment(built.dir.path());
    flip(&segment, frames(&segment)[1] as i64 + 30);
    let (moved, report) = repair(built.dir.path());
    assert!(moved.is_empty());
    let finding = &report.damage[0];
    assert_eq!(finding.offset, Some(frames(&segment)[1] as u64));
    assert!(
        finding.means.contains("20 acknowledged events are not intact (LSN 1061 to 1080); 60"),
        "{finding:#?}"
    );
    assert_eq!((report.log.frames, report.log.events), (3, 60));
}

/// Flips; `HOURGLASS_TEST_FLIPS` asks for more.
fn flips() -> u64 {
    number_from("HOURGLASS_TEST_FLIPS", 40)
}

#[test]
fn a_flipped_bit_anywhere_is_reported_or_changes_no_answer() {
    let built = build();
    let dir = built.dir.path();
    let segment = segment(dir);
    let log_used = (last_frame(&segment) + 1_000) as u64;
    let [delta, keys] = ["events/_delta_log", "keys"].map(|folder| files(&dir.join(folder)));
    let kinds = [data_files(dir), delta, vec![checkpoint(dir)], vec![segment.clone()], keys];
    let (mut seed, mut reported) = (5, 0);
    for n in 0..flips() {
        let files = &kinds[n as usize % kinds.len()];
        let path = &files[random(&mut seed, files.len() as u64) as usize];
        let whole = fs::read(path).unwrap();
        let len =
            if *path == segment { log_used.min(whole.len() as u64) } else { whole.len() as u64 };
        let (at, bit) = (random(&mut seed, len) as usize, random(&mut seed, 8));
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << bit;
        fs::write(path, damaged).unwrap();
        let place = format!("{} byte {at} of {}, bit {bit}", path.display(), whole.len());
        match verify::verify(dir, &disk(), &*ManualClock::at(FIRST_HOUR * HOUR_US), &|_, _| ()) {
            Ok(report) if report.is_sound() && report.notes.is_empty() => {
                // The end of the log cannot be told from a write that did not end.
                let is_tail = *path == segment && at >= last_frame(&segment);
                let model = if is_tail { &built.before_last } else { &built.model };
                let store = ReadOnly::open(dir, &EngineOptions::default(), &disk())
                    .unwrap_or_else(|error| panic!("{place}: {error}"));
                if !is_tail || store.snapshot.active.rows < 80 {
                    block_on(assert_answers(&store.snapshot, model));
                }
            }
            _ => reported += 1,
        }
        fs::write(path, whole).unwrap();
    }
    println!("{reported} of {} flips reported", flips());
    assert!(check(dir).is_sound());
}

fn run(dir: &Path, args: &[&str]) -> (Option<i32>, String) {
    let output = hourglass().args(args).arg("--data-dir").arg(dir).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn the_command_prints_a_verdict_for_people_and_machines() {
    let built = build();
    let dir = built.dir.path();
    let (code, text) = run(dir, &["verify"]);
    assert!(
        code == Some(0) && text.contains("1,040 rows") && text.ends_with(" is sound.\n"),
        "{text}"
    );
    let file = data_files(dir).swap_remove(0);
    flip(&file, 100);
    let (code, text) = run(dir, &["verify", "--repair"]);
    let name = file.strip_prefix(dir).unwrap().display().to_string();
    assert!(
        code == Some(1) && text.contains(&format!("damaged: {name}: its bytes have the CRC-32C ")),
        "{text}"
    );
    let (code, text) = run(dir, &["verify", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (code, &json["sound"], &json["damage"][0]["path"]),
        (Some(1), &false.into(), &name.into())
    );
    let (code, text) = run(&dir.join("nothing"), &["verify"]);
    assert!(code == Some(66) && text.contains("no hourglass store here"), "{text}");
}

#[test]
fn a_running_server_is_no_damage_and_a_repair_waits_for_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[("HOURGLASS_MEMTABLE_MAX_ROWS", "50")]);
    let address = server.address.clone();
    let posting = std::thread::spawn(move || {
        let mut client = crate::server::Client::connect(&address).unwrap();
        (0..1_500).for_each(|n| {
            let target =
                format!("/analytics?timestamp={}&user=u{n}&event=click", n % 9 * 3_600_000);
            let status = client.post(&target).unwrap().status;
            assert!(status == 204 || status == 503, "{status}");
        });
    });
    while !posting.is_finished() {
        let report = check(dir.path());
        assert!(report.is_sound() && report.in_use, "{report:#?}");
    }
    posting.join().unwrap();
    let refused = verify::repair(dir.path(), &disk(), &*ManualClock::at(0), &|_, _| ());
    assert!(matches!(refused, Err(Error::Locked { .. })));
    drop(server);
    assert!(repair(dir.path()).1.is_sound());
}
