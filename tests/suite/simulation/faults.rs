//! One fault at a time, armed by a seed: it meets the n-th call from now on in one part of the
//! store. Every call is written down.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use hourglass::hour::Clock;
use hourglass::storage::vfs::observed::{Call, CallKind, Observer, Verdict};
use rustix::io::Errno;

use super::REPLAY;
use super::disk::SimDisk;
use crate::support::{ManualClock, random};

/// Calls counted before a fault strikes, at most.
const FARTHEST: u64 = 12;

/// How long a call that is delayed takes, microseconds.
const DELAY_US: i64 = 60_000_000;

/// A part of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Log,
    DataFiles,
    DeltaLog,
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The power goes; of a write, a part may have gone through.
    Cut,
    Eio,
    Enospc,
    /// No descriptor is left for it.
    Emfile,
    /// The call takes long.
    Delay,
    /// The call was made and its answer lost, or it came too late.
    LostAnswer,
    /// Another writer took the name a commit was to have.
    Conflict,
}

#[derive(Clone, Copy, Debug)]
struct Armed {
    part: Part,
    kind: Kind,
    calls: u64,
    /// Of a write, how much in 256ths goes through before.
    share: usize,
}

#[derive(Debug)]
pub struct Faults {
    disk: SimDisk,
    clock: Arc<ManualClock>,
    armed: Mutex<Option<Armed>>,
    /// What was done, in order.
    trace: Mutex<Vec<String>>,
}

/// The text without what is random or the process's: the name of the node in names of data files,
/// the process's number in those of temporary files.
fn masked(text: &str) -> String {
    let (mut masked, mut rest) = (String::new(), text);
    while let Some((start, end)) = rest.split_once(".zstd.parquet") {
        masked += &start[..start.len() - 8];
        masked += "NODE.zstd.parquet";
        rest = end;
    }
    (masked + rest).replace(&format!(".{}-", std::process::id()), ".PROCESS-")
}

fn part_of(path: &Path) -> Part {
    let text = path.to_string_lossy();
    match () {
        () if text.contains("/wal") => Part::Log,
        () if text.contains("_delta_log") => Part::DeltaLog,
        () if text.contains("/events") => Part::DataFiles,
        () => Part::Any,
    }
}

impl Faults {
    pub fn new(disk: SimDisk, clock: Arc<ManualClock>) -> Faults {
        let (armed, trace) = Default::default();
        Faults { disk, clock, armed, trace }
    }

    /// Writes down what happens; a seed that is replayed prints it.
    pub fn tell(&self, what: String) {
        if std::env::var_os(REPLAY).is_some() {
            eprintln!("{what}");
        }
        self.trace.lock().unwrap().push(masked(&what));
    }

    /// All that was told, and each call of the disk.
    pub fn trace(&self) -> Vec<String> {
        self.trace.lock().unwrap().clone()
    }

    /// Answers what was armed, in words.
    pub fn arm(&self, seed: &mut u64) -> String {
        let part =
            [Part::Log, Part::Log, Part::DataFiles, Part::DeltaLog, Part::DeltaLog, Part::Any];
        let kind = [
            Kind::Cut,
            Kind::Cut,
            Kind::Cut,
            Kind::Eio,
            Kind::Enospc,
            Kind::Emfile,
            Kind::Delay,
            Kind::LostAnswer,
        ];
        let mut armed = Armed {
            part: part[random(seed, 6) as usize],
            kind: kind[random(seed, 8) as usize],
            calls: random(seed, FARTHEST),
            share: [0, random(seed, 257), 256][random(seed, 3) as usize] as usize,
        };
        if armed.part == Part::DeltaLog && random(seed, 4) == 0 {
            (armed.kind, armed.calls) = (Kind::Conflict, 0);
        }
        *self.armed.lock().unwrap() = Some(armed);
        format!("{armed:?}")
    }

    /// Whether one was armed, struck or not, since the last time.
    pub fn disarm(&self) -> bool {
        self.armed.lock().unwrap().take().is_some()
    }

    /// The fault that strikes this call, if one does. It stays known as one that was armed.
    fn strikes(&self, call: &Call<'_>) -> Option<Armed> {
        let mut armed = self.armed.lock().unwrap();
        let fault = armed.as_mut()?;
        let meets = (fault.part == Part::Any || fault.part == part_of(call.path))
            && match fault.kind {
                Kind::Conflict => call.kind == CallKind::HardLink,
                Kind::Emfile => {
                    matches!(call.kind, CallKind::Open | CallKind::Create | CallKind::SyncDir)
                }
                _ => true,
            };
        if !meets || fault.calls == u64::MAX {
            return None;
        }
        let now = fault.calls == 0;
        fault.calls = fault.calls.wrapping_sub(1);
        now.then_some(*fault)
    }

    /// A commit of another writer, which changes no file, under the name that ours was to have.
    fn conflict(&self, path: &Path) -> Verdict {
        let commit =
            r#"{"commitInfo":{"timestamp":0,"operation":"OPTIMIZE","operationParameters":{}}}"#;
        match self.disk.put(path, commit.as_bytes()) {
            Ok(()) => Verdict::Fail(io::ErrorKind::AlreadyExists.into()),
            Err(error) => Verdict::Fail(error),
        }
    }
}

impl Observer for Faults {
    fn see(&self, call: Call<'_>) -> Verdict {
        self.tell(format!("    {:?} {} {}", call.kind, call.path.display(), call.bytes));
        let Some(fault) = self.strikes(&call) else { return Verdict::Proceed };
        let is_sync = matches!(call.kind, CallKind::SyncData | CallKind::SyncDir);
        let may_fill = is_sync
            || matches!(call.kind, CallKind::Write | CallKind::Create | CallKind::CreateDir);
        let part = call.bytes * fault.share / 256;
        match fault.kind {
            Kind::Cut if call.kind == CallKind::Write => {
                // The part is written while there is power, and it goes with the next call.
                *self.armed.lock().unwrap() = Some(Armed { part: Part::Any, calls: 0, ..fault });
                Verdict::Tear(part, io::Error::other("the power goes"))
            }
            Kind::Cut => {
                self.disk.cut_power();
                Verdict::Fail(io::Error::other("the power goes"))
            }
            Kind::Eio | Kind::Enospc => {
                if call.kind == CallKind::SyncData {
                    self.disk.forget_unsynced(call.path);
                }
                let full = fault.kind == Kind::Enospc && may_fill;
                let error = if full {
                    io::ErrorKind::StorageFull.into()
                } else {
                    io::Error::other("the disk fails")
                };
                Verdict::Tear(part, error)
            }
            Kind::Emfile => Verdict::Fail(Errno::MFILE.into()),
            Kind::Delay => {
                self.clock.set(self.clock.now_us() + DELAY_US);
                Verdict::Proceed
            }
            Kind::LostAnswer => {
                Verdict::FailAfter(io::Error::new(io::ErrorKind::TimedOut, "the answer is lost"))
            }
            Kind::Conflict => self.conflict(call.path),
        }
    }
}
