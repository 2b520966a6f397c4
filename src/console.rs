//! Console: writes to standard output and standard error without panicking when they cannot be
//! written.
//!
//! `println!` and `eprintln!` panic when the disk is full or the reader of a pipe has gone, and a
//! service must not end because nobody reads its log; lints in Cargo.toml forbid them everywhere. A
//! command's own output goes through [`print()`], whose failure is the command's failure.
//! Everything else is best effort, through [`tell`] and [`announce`].
//!
//! Writing to a pipe blocks while nobody reads it. A service therefore calls [`in_background`]
//! first: one thread writes, the others only queue lines, and lines beyond [`MAX_QUEUED_LINES`] are
//! dropped and counted.

use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// Name of standard output in errors.
pub const STDOUT: &str = "standard output";

/// Maximum number of lines queued for the writing thread.
const MAX_QUEUED_LINES: usize = 1_024;

/// Maximum time that process exit waits for queued lines.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Out,
    Err,
}

enum Job {
    Write(Stream, Vec<u8>),
    /// Replies when everything queued before it is written.
    Finish(SyncSender<()>),
}

/// Queue to the writing thread; empty until that is started. Global, as the streams are.
static QUEUE: OnceLock<SyncSender<Job>> = OnceLock::new();

/// Number of lines lost, because the queue was full or the stream could not be written.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Writes a command's output to standard output. A closed pipe counts as success: the reader, such
/// as `head`, has seen enough.
///
/// # Errors
/// [`Error::Storage`] when writing fails for another reason, such as a full disk.
pub fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(Error::io(STDOUT, "write")),
    }
}

/// Writes a line to standard error, for people or the log; failures are counted, not returned.
pub fn tell(line: &str) {
    put(Stream::Err, line);
}

/// Writes an optional line to standard output; failures are counted, not returned.
pub fn announce(line: &str) {
    put(Stream::Out, line);
}

/// Returns the number of lines lost so far.
pub fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

fn put(stream: Stream, line: &str) {
    let line = format!("{line}\n").into_bytes();
    match QUEUE.get() {
        Some(queue) => enqueue(queue, stream, line),
        None => write(stream, &line),
    }
}

fn enqueue(queue: &SyncSender<Job>, stream: Stream, line: Vec<u8>) {
    if queue.try_send(Job::Write(stream, line)).is_err() {
        LOST.fetch_add(1, Ordering::Relaxed);
    }
}

/// Writes a line with one system call, so that lines of several processes do not mix.
fn write(stream: Stream, line: &[u8]) {
    let written = match stream {
        Stream::Out => io::stdout().lock().write_all(line),
        Stream::Err => io::stderr().lock().write_all(line),
    };
    if written.is_err() {
        LOST.fetch_add(1, Ordering::Relaxed);
    }
}

/// Moves writing to a background thread. If lines were lost and writing works again, the thread
/// first writes the line that `lines_lost` returns for their number.
pub fn in_background(lines_lost: fn(u64) -> String) {
    let (queue, jobs) = sync_channel(MAX_QUEUED_LINES);
    let started =
        thread::Builder::new().name("hourglass-log".into()).spawn(move || work(&jobs, lines_lost));
    // If the thread cannot be started, lines are written by the calling thread.
    if started.is_ok() {
        let _ = QUEUE.set(queue);
    }
}

fn work(jobs: &Receiver<Job>, lines_lost: fn(u64) -> String) {
    let mut reported = 0;
    for job in jobs {
        match job {
            Job::Write(stream, line) => {
                let before = lost();
                write(stream, &line);
                // If a line was just lost, this one would be lost too.
                if lost() == before && before > reported {
                    write(Stream::Err, format!("{}\n", lines_lost(before - reported)).as_bytes());
                    reported = before;
                }
            }
            Job::Finish(done) => drop(done.send(())),
        }
    }
}

/// Waits until queued lines are written, for at most [`EXIT_TIMEOUT`].
pub fn finish() {
    let Some(queue) = QUEUE.get() else { return };
    let deadline = Instant::now() + EXIT_TIMEOUT;
    let (done, finished) = sync_channel(1);
    let mut job = Job::Finish(done);
    while let Err(TrySendError::Full(again)) = queue.try_send(job) {
        if Instant::now() >= deadline {
            return;
        }
        job = again;
        thread::sleep(Duration::from_millis(10));
    }
    let _ = finished.recv_timeout(deadline.saturating_duration_since(Instant::now()));
}

/// Standard error as [`io::Write`], for a library that writes whole lines. Never fails, and never
/// blocks once [`in_background`] has been called.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match QUEUE.get() {
            Some(queue) => enqueue(queue, Stream::Err, line.to_vec()),
            None => write(Stream::Err, line),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
