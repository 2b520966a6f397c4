//! Child processes of hourglass, measured from outside: duration and memory.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::machine::{memory, peak_memory};
use crate::error::{Error, Result};

/// Interval at which the memory of a process is sampled.
const LOOK: Duration = Duration::from_millis(5);

fn start(arguments: &[&OsStr], environment: &[(&str, &str)]) -> Result<Child> {
    let program = std::env::current_exe().map_err(Error::io("", "find this program"))?;
    let mut command = Command::new(&program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
        .env("HOURGLASS_LOG", "warn")
        .envs(environment.iter().copied())
        .spawn()
        .map_err(Error::io(&program, "start"))
}

fn failed(arguments: &[&OsStr], child: &mut Child) -> Error {
    let mut stderr_text = String::new();
    let _ = child.stderr.take().map(|mut stderr| stderr.read_to_string(&mut stderr_text));
    let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
    Error::Invalid(format!("`hourglass {}` failed: {}", words.join(" "), stderr_text.trim()))
}

/// Runs an hourglass command; returns its duration in seconds and its peak memory in bytes.
pub fn run(arguments: &[&OsStr]) -> Result<(f64, u64)> {
    let started = Instant::now();
    let mut child = start(arguments, &[])?;
    let mut peak = 0;
    loop {
        peak = peak.max(peak_memory(child.id()));
        match child.try_wait().map_err(Error::io("", "wait for a process"))? {
            Some(status) if status.success() => return Ok((started.elapsed().as_secs_f64(), peak)),
            Some(_) => return Err(failed(arguments, &mut child)),
            None => thread::sleep(LOOK),
        }
    }
}

/// A server in its own process, killed when dropped.
pub struct Served {
    child: Child,
    pub address: SocketAddr,
    /// Seconds from its start until it announced that it is ready.
    pub seconds: f64,
}

impl Served {
    pub fn start(data_dir: &Path, environment: &[(&str, &str)]) -> Result<Served> {
        let listen = OsStr::new("127.0.0.1:0");
        let arguments = [
            "serve".as_ref(),
            "--data-dir".as_ref(),
            data_dir.as_os_str(),
            "--listen".as_ref(),
            listen,
        ];
        let started = Instant::now();
        let mut child = start(&arguments, environment)?;
        let mut ready = String::new();
        let stdout = child.stdout.take().expect("piped");
        let _ = BufReader::new(stdout).read_line(&mut ready);
        let seconds = started.elapsed().as_secs_f64();
        let address =
            ready.split("http://").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
        match address {
            Some(address) => Ok(Served { child, address, seconds }),
            None => {
                let _ = child.kill();
                Err(failed(&arguments, &mut child))
            }
        }
    }

    /// Returns its peak memory so far, in bytes.
    pub fn peak(&self) -> u64 {
        peak_memory(self.child.id())
    }

    /// Returns its current memory, in bytes.
    pub fn memory(&self) -> u64 {
        memory(self.child.id())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
