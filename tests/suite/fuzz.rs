//! Bytes from strangers: the query string, the log, SQL and PostgreSQL's messages, fed with a corpus and seeded mutations
//! of it. None may panic, hang or open a door. An input that is found to do harm goes into the
//! corpus.
//!
//! `HOURGLASS_FUZZ_ROUNDS=100000` asks for more mutations.

use std::path::Path;

use hourglass::storage::vfs::Vfs;

use crate::simulation::disk::SimDisk;
use crate::support::{number_from, random};

#[path = "../../fuzz/targets.rs"]
mod targets;

/// Bytes that mean something in one of the targets.
const SPECIAL: &[u8] = b"%&=+;'\"()\0\xff*,-";

fn rounds(usual: u64) -> u64 {
    number_from("HOURGLASS_FUZZ_ROUNDS", usual)
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
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
    let events = inputs("params", 100_000, 1).filter(|input| targets::params(input)).count();
    assert!(events > 0);
}

#[test]
fn any_message_of_postgresql_is_read_or_refused() {
    let read = inputs("postgres", 20_000, 4).filter(|input| targets::postgres(input)).count();
    assert!(read > 0);
}

#[test]
fn any_log_is_read_up_to_its_end_or_refused() {
    let (disk, dir) = (SimDisk::new(), Path::new("/wal"));
    disk.create_dir_all(dir).unwrap();
    for input in inputs("wal", 20_000, 2) {
        targets::log(&disk, dir, &input);
        disk.sync_filesystem(dir).unwrap();
    }
}

#[test]
fn any_statement_is_answered_or_refused_and_changes_nothing() {
    let store = targets::Store::new();
    let answered = inputs("sql", 1_500, 3).filter(|input| store.ask(input)).count();
    assert!(answered > 0);
}
