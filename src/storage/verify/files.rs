//! Checks of the data files: bytes against the checksum in the table, rows against the counters in
//! the table.

use std::io;
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use super::commits::Listed;
use super::finding::{Finding, Progress, RESTORE};
use super::place::Place;
use crate::event::EventSchema;
use crate::rollup::Rollup;
use crate::storage::error::Error;
use crate::storage::lake::data_file::{self, Contents};
use crate::storage::memory::dictionary::Interner;
use crate::storage::store;
use crate::text::thousands;

#[derive(Debug, Default)]
pub struct Checked {
    pub rows: u64,
    pub findings: Vec<Finding>,
}

/// Reads and checks every file, hour by hour, on all cores. `files` must be in order of their
/// hours.
pub fn check(place: &Place<'_>, files: &[Listed], progress: Progress<'_>) -> Checked {
    let hours: Vec<&[Listed]> = files.chunk_by(|a, b| a.hour == b.hour).collect();
    let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
    let all = Mutex::new(Checked::default());
    let work = || {
        while let Some(hour) = hours.get(next.fetch_add(1, Ordering::Relaxed)) {
            let checked = check_hour(place, hour);
            let done = done.fetch_add(hour.len() as u64, Ordering::Relaxed) + hour.len() as u64;
            progress(done, files.len() as u64);
            let mut all = all.lock().expect("no panic under this lock");
            all.rows += checked.rows;
            all.findings.extend(checked.findings);
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(hours.len());
    thread::scope(|scope| {
        (1..threads).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    let mut all = all.into_inner().expect("no panic under this lock");
    all.findings.sort_by(|a, b| a.path.cmp(&b.path));
    all
}

/// Checks the files of one hour, and the number of their distinct users together.
fn check_hour(place: &Place<'_>, files: &[Listed]) -> Checked {
    let (mut checked, mut counted) = (Checked::default(), Rollup::EMPTY);
    let mut users = Interner::default();
    for listed in files {
        match check_file(place, listed) {
            Ok(mut contents) => {
                checked.rows += contents.rows;
                counted.merge(&contents.rollup);
                for name in contents.users.dict().iter_from(0) {
                    users.intern(name);
                }
            }
            Err(finding) => checked.findings.push(finding),
        }
    }
    if !checked.findings.is_empty() {
        return checked;
    }
    // Only a claim about exactly these files can be checked; one about files that the hour had
    // earlier is skipped.
    let mut claims = files.iter().filter(|listed| listed.file.hour.of == counted.sources);
    if let Some(listed) = claims.find(|listed| listed.file.hour.n != users.len() as u64) {
        let (claimed, counted) = (listed.file.hour.n, users.len());
        let what = format!(
            "says that {} has {claimed} distinct users, and its files have {counted}",
            listed.hour
        );
        checked.findings.push(wrong_counters(listed, what));
    }
    checked
}

/// Reads one file and compares it with the table's record of it.
fn check_file(place: &Place<'_>, listed: &Listed) -> Result<Contents, Finding> {
    let (file, schema) = (&listed.file, &place.meta.schema);
    let damaged = |what: String| {
        let (rows, hour) = (thousands(file.rollup.rows()), listed.hour);
        let means = format!(
            "{rows} acknowledged events of {hour}: statements that read these rows fail or give \
            wrong answers; the hour's counts still come from the Delta log"
        );
        Finding::new(&file.location, what).means(means).advice(
            "Restore the file from a backup; `hourglass verify` reports whether it is the \
                same, byte for byte",
        )
    };
    let bytes =
        place.runtime.block_on(store::read(&*place.store, &file.location)).map_err(|error| {
            match error {
                Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                    damaged("the file is missing".into())
                }
                Error::Io { source, .. } => damaged(format!("cannot be read: {source}")),
                error => damaged(format!("cannot be read: {error}")),
            }
        })?;
    if bytes.len() as u64 != file.bytes {
        let what = format!(
            "has {} bytes, but {} were written",
            thousands(bytes.len() as u64),
            thousands(file.bytes)
        );
        return Err(damaged(what));
    }
    let checksum = crc32c::crc32c(&bytes);
    if let Some(written) = file.checksum.filter(|written| *written != checksum) {
        return Err(damaged(format!(
            "its bytes have the CRC-32C {checksum:08x}; {written:08x} was written"
        )));
    }
    let contents = data_file::read_contents(schema, bytes, file.rollup.sources)
        .map_err(|error| damaged(format!("cannot be decoded: {error}")))?;
    if file.checksum.is_some() && !contents.sorted {
        return Err(damaged("its rows are not in order".into()));
    }
    let counted = &contents.rollup;
    if counted.first_us < listed.hour.start_us() || counted.last_us >= listed.hour.end_us() {
        return Err(wrong_counters(
            listed,
            format!(
                "puts {} in {}, but some of its rows are of other hours",
                file.location, listed.hour
            ),
        ));
    }
    if let Some(what) = difference(schema, &file.rollup, counted) {
        return Err(wrong_counters(
            listed,
            format!("has wrong counters for {}: {what}", file.location),
        ));
    }
    if let Some((commit, stats)) = &listed.stats
        && let Some(what) = false_statistics(stats, counted, file.checksum.is_none())
    {
        let what = format!("has wrong statistics for {}: {what}", file.location);
        return Err(wrong_counters(&Listed { source: commit.clone(), ..listed.clone() }, what));
    }
    Ok(contents)
}

/// Returns the finding for counters that do not match the rows. The bytes are those that were
/// written, so the Delta log is wrong; for a file without a checksum, either may be.
fn wrong_counters(listed: &Listed, what: String) -> Finding {
    let means = format!("the numbers of {}; its events are intact", listed.hour);
    Finding::new(&listed.source, what).means(means).advice(RESTORE)
}

/// Describes where the counters differ from the rows; `None` if they agree.
fn difference(schema: &EventSchema, says: &Rollup, counted: &Rollup) -> Option<String> {
    let figures = |rollup: &Rollup| {
        let count = |kind| (rollup.count(kind) as i64, schema.counter(kind));
        let counts: Vec<_> = schema.kinds().map(count).collect();
        let others = [
            (rollup.users.n as i64, "users"),
            (rollup.first_us, "as first microsecond"),
            (rollup.last_us, "as last microsecond"),
        ];
        counts.into_iter().chain(others)
    };
    let differ = figures(says).zip(figures(counted)).filter(|(says, counted)| says != counted);
    let words = differ.map(|((says, name), (counted, _))| format!("{says} {name}, not {counted}"));
    let words: Vec<String> = words.collect();
    (!words.is_empty()).then(|| words.join("; "))
}

/// Describes what is wrong with the statistics that other engines use; `None` if they are right.
/// Other engines cut the microseconds off a maximum.
fn false_statistics(stats: &str, counted: &Rollup, is_cut: bool) -> Option<String> {
    let Ok(stats) = serde_json::from_str::<serde_json::Value>(stats) else {
        return Some("not JSON".into());
    };
    if let Some(rows) = stats["numRecords"].as_u64().filter(|rows| *rows != counted.rows()) {
        return Some(format!("{rows} rows, not {}", counted.rows()));
    }
    let bound = |which: &str| {
        let text = stats[which]["timestamp"].as_str()?;
        chrono::DateTime::parse_from_rfc3339(text).ok().map(|at| at.timestamp_micros())
    };
    let cut_us = if is_cut { 999 } else { 0 };
    let excludes = bound("minValues").is_some_and(|min| min > counted.first_us)
        || bound("maxValues").is_some_and(|max| max + cut_us < counted.last_us);
    excludes.then(|| "they leave out some timestamps".into())
}
