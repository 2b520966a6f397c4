//! Bytes from strangers: the query string, the log and SQL, fed with a corpus and seeded mutations of it. None may panic, hang or
//! open a door. An input that is found to do harm goes into the corpus.
//!
//! `HOURGLASS_FUZZ_ROUNDS=100000` asks for more mutations.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hourglass::error::Error;
use hourglass::event::{EventBatch, EventKind, Key};
use hourglass::hour::HOUR_US;
use hourglass::http::params;
use hourglass::query::{Params, QueryEngine, QueryOptions};
use hourglass::storage::replay_log;
use hourglass::storage::vfs::Vfs;

use crate::simulation::disk::SimDisk;
use crate::support::{ManualClock, block_on, number_from, open, random};

/// Bytes that mean something in one of the targets.
const SPECIAL: &[u8] = b"%&=+;'\"()\0\xff*,-";

fn rounds(usual: u64) -> u64 {
    number_from("HOURGLASS_FUZZ_ROUNDS", usual)
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// One input with up to four changes: bytes flipped, cut, doubled, or taken from another input.
fn mutated(inputs: &[Vec<u8>], seed: &mut u64) -> Vec<u8> {
    let pick = |seed: &mut u64| &inputs[random(seed, inputs.len() as u64) as usize];
    let mut bytes = pick(seed).clone();
    for _ in 0..1 + random(seed, 4) {
        let len = bytes.len() as u64;
        let (from, at) = (random(seed, len + 1) as usize, random(seed, len + 1) as usize);
        let (from, to) = (from.min(at), from.max(at));
        match random(seed, 6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random(seed, 8),
            1 if at < bytes.len() => bytes[at] = random(seed, 256) as u8,
            2 => drop(bytes.drain(from..to)),
            3 => {
                let piece = bytes[from..to].to_vec();
                bytes.splice(at..at, piece);
            }
            4 => {
                let other = pick(seed).clone();
                let start = random(seed, other.len() as u64 + 1) as usize;
                bytes.truncate(at);
                bytes.extend_from_slice(&other[start..]);
            }
            _ => bytes.insert(at, SPECIAL[random(seed, SPECIAL.len() as u64) as usize]),
        }
        bytes.truncate(64 << 10);
    }
    bytes
}

/// The corpus, then so many mutations of it.
fn inputs(target: &str, usual: u64, seed: u64) -> impl Iterator<Item = Vec<u8>> {
    let (corpus, mut seed) = (corpus(target), seed);
    let mutations = (0..rounds(usual)).map({
        let corpus = corpus.clone();
        move |_| mutated(&corpus, &mut seed)
    });
    corpus.into_iter().chain(mutations)
}

#[test]
fn any_query_string_is_an_event_or_names_its_fault() {
    let mut events = 0;
    for input in inputs("params", 100_000, 1) {
        let text = String::from_utf8_lossy(&input);
        match params::event(&text) {
            Ok(event) => {
                assert!((1..=1024).contains(&event.user.len()) && event.timestamp_us >= 0, "{text}");
                events += 1;
            }
            Err(rejection) => {
                assert!(["timestamp", "user", "event", "id"].contains(&rejection.parameter), "{text}");
            }
        }
        let _ = (params::timestamp(&text), params::pairs(&text));
    }
    assert!(events > 0);
}

/// The bytes of a log's segment with a few frames.
fn segment() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let engine = open(dir.path(), ManualClock::at(HOUR_US));
        for n in 0..4_i64 {
            let mut batch = EventBatch::new();
            (0..=n).for_each(|i| batch.push(i, &format!("user {i}"), EventKind::Click));
            batch.key_from(0, Key::new(&n.to_string()).unwrap());
            engine.append(batch).await.unwrap();
        }
        tokio::task::block_in_place(|| engine.close()).unwrap();
    });
    let bytes = std::fs::read(dir.path().join("wal/00000000000000000001.wal")).unwrap();
    bytes[..600].to_vec()
}

#[test]
fn any_log_is_read_up_to_its_end_or_refused() {
    let disk = SimDisk::new();
    let (dir, seed_segment) = (Path::new("/wal"), segment());
    disk.create_dir_all(dir).unwrap();
    let mut seed = 2;
    for round in 0..rounds(20_000) {
        let bytes =
            if round == 0 { seed_segment.clone() } else { mutated(std::slice::from_ref(&seed_segment), &mut seed) };
        disk.create(&dir.join("00000000000000000001.wal")).unwrap().write_all_at(&bytes, 0).unwrap();
        disk.sync_filesystem(dir).unwrap();
        match replay_log(&disk, dir) {
            Ok(events) => assert!(events <= 10, "{events} events of 10"),
            Err(Error::Damaged { .. } | Error::Config(_)) => {}
            Err(error) => panic!("round {round}: {error}"),
        }
    }
}

#[test]
fn any_statement_is_answered_or_refused_and_changes_nothing() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(dir.path(), ManualClock::at(HOUR_US));
        let mut batch = EventBatch::new();
        (0..20).for_each(|i| batch.push(i, &format!("user {}", i % 3), EventKind::ALL[i as usize % 2]));
        engine.append(batch).await.unwrap();
        let options = QueryOptions {
            timeout: Duration::from_secs(2),
            memory_bytes: 64 << 20,
            spill_bytes: 16 << 20,
            ..QueryOptions::default()
        };
        let query = Arc::new(QueryEngine::new(&options).unwrap());
        let mut answered = 0;
        for input in inputs("sql", 1_500, 3) {
            let text = String::from_utf8_lossy(&input).into_owned();
            let mut session = query.new_session();
            let Ok(mut answer) = query.run_text(&mut session, &engine.snapshot(), &text, Params::None).await else {
                continue;
            };
            for _ in 0..4 {
                match tokio::time::timeout(Duration::from_secs(30), answer.next()).await {
                    Ok(Some(Ok(_))) => {}
                    Ok(_) => break,
                    Err(_) => panic!("it hangs: {text}"),
                }
            }
            answered += 1;
        }
        assert!(answered > 0);
        assert_eq!(engine.snapshot().counts(hourglass::hour::Hour(0), hourglass::hour::Hour(0)).events(), 20);
    });
}
