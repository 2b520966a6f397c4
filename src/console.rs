//! Console: writes to standard output and standard error, and never panics when they cannot be written.
//!
//! `println!` and `eprintln!` panic where the disk behind them is full or the reader of a pipe has gone, and a service must
//! not end because nobody reads its log; the lints of Cargo.toml forbid them everywhere. What a command was asked for goes
//! through [`print()`], whose failure is the command's. Everything else is best effort, through [`tell`] and [`announce`].
//!
//! A pipe whose reader lives and does not read blocks whoever writes to it. A service calls [`in_background`] first: then a
//! thread of its own writes, the others only queue lines, and lines past [`MAX_QUEUED_LINES`] are counted and dropped.

use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// The name of standard output in errors.
pub const STDOUT: &str = "standard output";

/// Lines that wait for the thread that writes them.
const MAX_QUEUED_LINES: usize = 1_024;

/// How long the end of the process waits for lines that are still queued.
const LAST_LINES: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Out,
    Err,
}

enum Job {
    Write(Stream, Vec<u8>),
    /// Answers when everything before is written.
    Finish(SyncSender<()>),
}

/// The queue to the writing thread, once there is one. Global as the streams themselves are.
static QUEUE: OnceLock<SyncSender<Job>> = OnceLock::new();

/// Lines that nobody could read: dropped because the queue was full, or refused by the stream.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Writes what a command was asked for to standard output. A reader that has gone has read enough, as `head` has.
///
/// # Errors
/// [`Error::Io`] when it cannot be written for another reason, such as a full disk.
pub fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(Error::io(STDOUT, "write")),
    }
}

/// Writes a line to standard error, for people or the log, as far as that is possible.
pub fn tell(line: &str) {
    put(Stream::Err, line);
}

/// Writes a line to standard output that nobody need read, as far as that is possible.
pub fn announce(line: &str) {
    put(Stream::Out, line);
}

/// Lines lost so far.
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

/// One call of the system for a whole line, so that lines of several processes do not mix.
fn write(stream: Stream, line: &[u8]) {
    let written = match stream {
        Stream::Out => io::stdout().lock().write_all(line),
        Stream::Err => io::stderr().lock().write_all(line),
    };
    if written.is_err() {
        LOST.fetch_add(1, Ordering::Relaxed);
    }
}

/// Lets a thread of its own write from now on. When lines were lost and others can be written again, it first writes what
/// `lines_lost` makes of their number.
pub fn in_background(lines_lost: fn(u64) -> String) {
    let (queue, jobs) = sync_channel(MAX_QUEUED_LINES);
    let started = thread::Builder::new().name("hourglass-log".into()).spawn(move || work(&jobs, lines_lost));
    // Without the thread everything is written where it is said.
    if started.is_ok() {
        let _ = QUEUE.set(queue);
    }
}

fn work(jobs: &Receiver<Job>, lines_lost: fn(u64) -> String) {
    let mut told = 0;
    for job in jobs {
        match job {
            Job::Write(stream, line) => {
                let before = lost();
                write(stream, &line);
                // A line that was just lost says that the next one would be, too.
                if lost() == before && before > told {
                    write(Stream::Err, format!("{}\n", lines_lost(before - told)).as_bytes());
                    told = before;
                }
            }
            Job::Finish(done) => drop(done.send(())),
        }
    }
}

/// Waits until what was queued is written, but not for ever: somebody may have stopped reading.
pub fn finish() {
    let Some(queue) = QUEUE.get() else { return };
    let deadline = Instant::now() + LAST_LINES;
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

/// Standard error as [`io::Write`], for a library that writes whole lines. It never fails and never blocks a service.
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
