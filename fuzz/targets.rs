//! What strangers can hand in, each as a function of bytes that panics where a promise is broken.
//! cargo-fuzz drives them by coverage (`fuzz/README.md`), `tests/suite/fuzz.rs` by a corpus and
//! seeded mutations of it.

#![allow(dead_code)] // each fuzzer drives one of them

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hourglass::event::{EventBatch, EventKind, EventSchema};
use hourglass::hour::{Clock, HOUR_US, Hour};
use hourglass::query::{self, QueryEngine, QueryOptions};
use hourglass::server::http::params;
use hourglass::storage::verify::verify_log;
use hourglass::storage::vfs::{Disk, Vfs};
use hourglass::storage::{self, Engine, EngineOptions};
use tokio::runtime::Runtime;

/// A query string is an event, or names the parameter at fault. Answers whether it is one.
pub fn params(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let schema = EventSchema::new(&["sign-up".into()], &["page".into()]).unwrap();
    let event = params::event(&schema, &text);
    match &event {
        Ok(event) => {
            assert!((1..=1024).contains(&event.user.len()) && event.timestamp_us >= 0, "{text}")
        }
        Err(rejection) => {
            assert!(
                ["timestamp", "user", "event", "id", "page"].contains(&&*rejection.parameter),
                "{text}"
            );
        }
    }
    let _ = (params::timestamp(&text), params::pairs(&text));
    event.is_ok()
}

/// A message of PostgreSQL's protocol, and what is in it, is read or refused. Answers whether it is
/// one.
pub fn postgres(bytes: &[u8]) -> bool {
    hourglass::server::postgres::read_untrusted(bytes)
}

/// A file of the log in the folder `dir` is read up to its end or refused, as it is and with its
/// checksums put right: those keep nearly all mutations away from what is behind them.
pub fn log(vfs: &dyn Vfs, dir: &Path, bytes: &[u8]) {
    read_log(vfs, dir, bytes);
    read_log(vfs, dir, &with_checksums(bytes.to_vec()));
}

fn read_log(vfs: &dyn Vfs, dir: &Path, bytes: &[u8]) {
    vfs.create(&dir.join("00000000000000000001.wal")).unwrap().write_all_at(bytes, 0).unwrap();
    match verify_log(vfs, dir) {
        // An event takes 13 bytes at least.
        Ok(report) => assert!(
            report.log.events <= bytes.len() as u64 / 13 || !report.is_sound(),
            "{report:?}"
        ),
        // A newer version's.
        Err(storage::Error::Config(_)) => {}
        Err(error) => panic!("{error}"),
    }
}

/// The offsets are those of `src/storage/wal/frame.rs`.
fn with_checksums(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() < 64 {
        return bytes;
    }
    bytes[..8].copy_from_slice(b"HGLASWAL");
    bytes[16..24].copy_from_slice(&1_u64.to_le_bytes());
    let salt: [u8; 4] =
        if bytes[8] < 3 { *b"HGFR" } else { bytes[12..16].try_into().expect("four bytes") };
    let header = crc32c::crc32c(&bytes[..32]);
    bytes[32..36].copy_from_slice(&header.to_le_bytes());
    let mut rest = &mut bytes[64..];
    while rest.len() > 24 {
        let most = rest.len() - 24;
        let length =
            u32::from_le_bytes(rest[4..8].try_into().expect("four bytes")) as usize % (most + 1);
        let (frame, after) = rest.split_at_mut(24 + length);
        frame[..4].copy_from_slice(&salt);
        frame[4..8].copy_from_slice(&(length as u32).to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&1_u64.to_le_bytes()), &frame[12..]);
        frame[8..12].copy_from_slice(&crc.to_le_bytes());
        rest = after;
    }
    bytes
}

#[derive(Debug)]
struct Stopped;

impl Clock for Stopped {
    fn now_us(&self) -> i64 {
        HOUR_US
    }
}

/// A store of twenty events, and who asks it.
pub struct Store {
    runtime: Runtime,
    engine: Engine,
    query: Arc<QueryEngine>,
    _dir: tempfile::TempDir,
}

impl Store {
    pub fn new() -> Store {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open_with(
            dir.path(),
            EngineOptions::default(),
            Arc::new(Disk),
            Arc::new(Stopped),
        )
        .unwrap();
        let mut batch = EventBatch::new();
        (0..20).for_each(|i| {
            batch.push(i, &format!("user {}", i % 3), EventKind::CONTRACT[i as usize % 2])
        });
        runtime.block_on(engine.append(batch)).unwrap();
        let options = QueryOptions {
            timeout: Duration::from_secs(2),
            memory_bytes: 64 << 20,
            spill_bytes: 16 << 20,
            ..QueryOptions::default()
        };
        let query = Arc::new(QueryEngine::new(&options).unwrap());
        Store { runtime, engine, query, _dir: dir }
    }

    /// A statement is answered or refused, in time, and changes nothing. Answers whether it was
    /// answered.
    pub fn ask(&self, bytes: &[u8]) -> bool {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let answered = self.runtime.block_on(async {
            let mut session = self.query.new_session();
            let snapshot = self.engine.snapshot();
            let Ok(mut answer) =
                self.query.run_text(&mut session, &snapshot, &text, query::Params::None).await
            else {
                return false;
            };
            for _ in 0..4 {
                match tokio::time::timeout(Duration::from_secs(30), answer.next()).await {
                    Ok(Some(Ok(_))) => {}
                    Ok(_) => break,
                    Err(_) => panic!("it hangs: {text}"),
                }
            }
            true
        });
        assert_eq!(self.engine.snapshot().rollup(Hour(0)).rows(), 20, "{text}");
        answered
    }
}
