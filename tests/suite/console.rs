//! Output that nobody can read: standard output and standard error on a full disk, on a pipe whose
//! reader has gone, and on one whose reader sleeps.
//!
//! Bug: `println!`, `eprintln!` and the log panicked when they could not write. Consequence: the
//! first warning ended the thread that told it, a server answered 503 for ever while it called
//! itself ready, and commands ended with 101. Cure: everything is written by `hourglass::console`,
//! which never panics, and for a service by a thread of its own.

use std::fs::File;
use std::io::{PipeReader, pipe};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::server::{Client, Server, hourglass};

/// Where output goes that is lost.
#[derive(Clone, Copy, Debug)]
enum Lost {
    FullDisk,
    ReaderGone,
    ReaderAsleep,
}

impl Lost {
    /// The end to write to; with the other one as long as it must live.
    fn open(self) -> (Stdio, Option<PipeReader>) {
        if let Lost::FullDisk = self {
            return (Stdio::from(File::options().write(true).open("/dev/full").unwrap()), None);
        }
        let (reader, writer) = pipe().unwrap();
        let reader = matches!(self, Lost::ReaderAsleep).then_some(reader);
        (Stdio::from(writer), reader)
    }
}

fn serves(client: &mut Client, n: u64) {
    let post = client.post(&format!("/analytics?timestamp=1&user=u{n}&event=click")).unwrap();
    assert_eq!((post.status, post.body.as_str()), (204, ""));
    let users = format!("unique_users,{n}\nclicks,{n}\nimpressions,0\n");
    assert_eq!(client.get("/analytics?timestamp=1").body, users);
    assert_eq!(client.get("/readyz").status, 200);
}

#[test]
fn a_server_whose_log_cannot_be_written_serves_and_stops_as_always() {
    for lost in [Lost::FullDisk, Lost::ReaderGone, Lost::ReaderAsleep] {
        let dir = tempfile::tempdir().unwrap();
        let (log, _reader) = lost.open();
        let server = Server::start_with_log(dir.path(), &[], "debug", log);
        let mut client = server.connect();
        serves(&mut client, 1);
        // Each is a line of the log, and all of them more than a pipe and the queue before it hold.
        for n in 0..3_000 {
            assert_eq!(
                client.get(&format!("/analytics?timestamp=never{n}")).status,
                400,
                "{lost:?}"
            );
        }
        serves(&mut client, 2);
        assert_eq!(client.post("/admin/flush").unwrap().status, 204, "{lost:?}");
        serves(&mut client, 3);
        assert_eq!(server.stop(), Some(0), "{lost:?}");
    }
}

#[test]
fn a_server_that_cannot_say_that_it_is_ready_serves() {
    for lost in [Lost::FullDisk, Lost::ReaderGone] {
        let dir = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut command = hourglass();
        command.args(["serve", "--listen", &address, "--data-dir"]).arg(dir.path());
        let mut child = command.stdout(lost.open().0).stderr(lost.open().0).spawn().unwrap();
        let mut client = loop {
            match Client::connect(&address) {
                Ok(client) => break client,
                Err(_) => assert_eq!(child.try_wait().unwrap(), None, "{lost:?}: it lives"),
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        serves(&mut client, 1);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

fn code(dir: &Path, args: &[&str], out: Stdio, err: Stdio) -> Option<i32> {
    let mut command = hourglass();
    command.args(args).current_dir(dir).env("HOURGLASS_DATA_DIR", "store").stdout(out).stderr(err);
    command.status().unwrap().code()
}

#[test]
fn a_command_whose_answer_is_lost_says_so_and_one_that_was_read_enough_ends_quietly() {
    let dir = tempfile::tempdir().unwrap();
    let csv = ["generate", "--end", "2020-01-01T01:59:00Z", "--output", "a.csv"];
    assert_eq!(code(dir.path(), &csv, Stdio::null(), Stdio::null()), Some(0));
    // The answer is what these are run for.
    let answers: &[&[&str]] = &[
        &["status"],
        &["status", "--format", "json"],
        &["verify"],
        &["verify", "--format", "json"],
        &["config"],
        &["config", "--format", "toml"],
        &["sql", "-c", "SELECT * FROM events"],
        &["sql", "-c", "\\d", "--format", "csv"],
        &["--help"],
        &["serve", "--help"],
        &["--version"],
    ];
    // These are run for what they do.
    let deeds: &[&[&str]] = &[
        &["import", "a.csv"],
        &["generate", "--end", "2020-01-01T01:59:00Z"],
        &["generate", "--end", "2020-01-01T01:59:00Z", "--output", "b.csv"],
        &["export", "out"],
    ];
    for (commands, at_full_disk) in [(deeds, 0), (answers, 74)] {
        for args in commands {
            let full = code(dir.path(), args, Lost::FullDisk.open().0, Stdio::piped());
            assert_eq!(full, Some(at_full_disk), "{args:?} on a full disk");
            let gone = code(dir.path(), args, Lost::ReaderGone.open().0, Stdio::piped());
            assert_eq!(gone, Some(0), "{args:?} whose reader has gone");
            for lost in [Lost::FullDisk, Lost::ReaderGone] {
                let untold = code(dir.path(), args, Stdio::null(), lost.open().0);
                assert_eq!(untold, Some(0), "{args:?} with the errors lost: {lost:?}");
            }
        }
    }
}

#[test]
fn a_failure_that_cannot_be_told_keeps_its_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(
        code(
            dir.path(),
            &["generate", "--end", "2020-01-01T00:00:00Z"],
            Stdio::null(),
            Stdio::inherit()
        ),
        Some(0)
    );
    let failures: &[(&[&str], i32)] = &[
        (&["status", "--data-dir", "nowhere"], 66),
        (&["import", "nothing.csv"], 66),
        (&["sql", "-c", "SELEC 1"], 65),
        (&["healthcheck", "--url", "http://127.0.0.1:9"], 1),
        (&["serve", "--listen", "nowhere"], 78),
        (&["serve", "--no-such-flag"], 2),
    ];
    for (args, expected) in failures {
        for lost in [Lost::FullDisk, Lost::ReaderGone] {
            let told = code(dir.path(), args, lost.open().0, lost.open().0);
            assert_eq!(told, Some(*expected), "{args:?}: {lost:?}");
        }
    }
}
