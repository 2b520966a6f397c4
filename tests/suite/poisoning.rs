//! What can go wrong with a data directory while a server lives on it: each is met, told apart, and
//! survived. The operator's guide, docs/operating.md, has a line for each.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use hourglass::event::{EventBatch, EventKind};
use hourglass::hour::HOUR_US;
use hourglass::storage::vfs::{Disk, Vfs};
use hourglass::storage::{Engine, EngineOptions, verify};

use crate::server::{Client, Server, hourglass};
use crate::support::{ManualClock, Model, assert_answers, block_on, random, small_options};

/// A file system of its own, gone with the value.
struct Mount(tempfile::TempDir);

impl Mount {
    /// Nothing where mounting takes rights that this process lacks.
    fn new(args: &[&str], source: &Path) -> Option<Mount> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(args).arg(source).arg(dir.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Mount(dir)),
            refused => {
                println!("skipped, as nothing can be mounted here: {refused:?}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

fn run(dir: &Path, args: &[&str]) -> Output {
    hourglass().args(args).arg("--data-dir").arg(dir).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn target(n: u64) -> String {
    format!("/analytics?timestamp={}&user=u{n}&event=click", n % 3 * 3_600_000)
}

/// The clicks of the three hours.
fn clicks(client: &mut Client) -> u64 {
    let hour = |hour| client.get(&format!("/analytics?timestamp={}", hour * 3_600_000)).body;
    let bodies = (0..3).map(hour).collect::<Vec<_>>();
    let clicks = |body: &String| {
        body.lines().nth(1).unwrap().strip_prefix("clicks,").unwrap().parse::<u64>().unwrap()
    };
    bodies.iter().map(clicks).sum()
}

/// The names of all files below `dir`.
fn files(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let below = |entry: fs::DirEntry| {
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path())
        } else {
            vec![entry.path().display().to_string()]
        }
    };
    entries.flat_map(below).collect()
}

#[test]
fn a_full_disk_refuses_posts_until_there_is_space_and_loses_nothing() {
    let Some(mount) = Mount::new(&["-t", "tmpfs", "-o", "size=2m"], Path::new("none")) else {
        return;
    };
    let dir = mount.path().join("store");
    let env = [("HOURGLASS_WAL_SEGMENT_BYTES", "64KiB"), ("HOURGLASS_MEMTABLE_MAX_ROWS", "2000")];
    let server = Server::start(&dir, &env);
    let mut client = server.connect();
    let (mut sent, mut acknowledged) = (0, 0);
    let mut post = |client: &mut Client, acknowledged: &mut u64| {
        sent += 1;
        let answer = client.post(&target(sent)).unwrap();
        *acknowledged += u64::from(answer.status == 204);
        answer
    };
    for _ in 0..100 {
        assert_eq!(post(&mut client, &mut acknowledged).status, 204);
    }
    let ballast = mount.path().join("ballast");
    let zeros = vec![0; 4096];
    let mut file = fs::File::create(&ballast).unwrap();
    while std::io::Write::write_all(&mut file, &zeros).is_ok() {}
    drop(file);

    let refused = loop {
        let answer = post(&mut client, &mut acknowledged);
        if answer.status != 204 {
            break answer;
        }
    };
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (503, Some("1")),
        "{}",
        refused.body
    );
    assert!(refused.body.contains("the disk is full"), "{}", refused.body);
    assert_eq!(clicks(&mut client), acknowledged, "reads go on");

    // Who balances load, or runs the container, is told as well, and so is who asks for a flush.
    let ready = client.get("/readyz");
    assert_eq!((ready.status, ready.header("retry-after")), (503, Some("1")), "{}", ready.body);
    assert!(ready.body.contains("the disk is full"), "{}", ready.body);
    let health = hourglass()
        .args(["healthcheck", "--url", &format!("http://{}", server.address)])
        .output()
        .unwrap();
    assert!(
        health.status.code() == Some(1) && text(&health.stderr).contains("the disk is full"),
        "{health:?}"
    );
    for _ in 0..3 {
        let flush = client.post("/admin/flush").unwrap();
        assert_eq!((flush.status, flush.header("retry-after")), (503, Some("1")), "{}", flush.body);
        assert!(flush.body.contains("the disk is full"), "{}", flush.body);
    }
    let metrics = client.get("/metrics").body;
    assert!(
        metrics.contains("\nhourglass_accepting_events 0\n")
            && metrics.contains("\nhourglass_disk_free_bytes ")
    );
    let left = files(&dir);
    assert!(left.iter().all(|name| !name.ends_with(".tmp")), "{left:?}");
    assert!(left.iter().filter(|name| name.ends_with(".spare")).count() <= 3, "{left:?}");

    fs::remove_file(&ballast).unwrap();
    // Neither restart nor repair, nor a POST to try: the same process finds out by itself that
    // there is room again.
    while client.get("/readyz").status != 200 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(post(&mut client, &mut acknowledged).status, 204);
    for _ in 0..100 {
        assert_eq!(post(&mut client, &mut acknowledged).status, 204);
    }
    assert_eq!(clicks(&mut client), acknowledged);
    assert_eq!(client.post("/admin/flush").unwrap().status, 204);
    assert_eq!(server.stop(), Some(0));
    let server = Server::start(&dir, &env);
    assert_eq!(clicks(&mut server.connect()), acknowledged);
    drop(server);
    assert!(run(&dir, &["verify"]).status.success());
}

#[test]
fn a_read_only_directory_is_refused_by_name_and_can_still_be_read() {
    let dir = tempfile::tempdir().unwrap();
    assert!(run(dir.path(), &["generate", "--end", "2020-01-01T01:59:00Z"]).status.success());
    let Some(mount) = Mount::new(&["--bind", "-o", "ro"], dir.path()) else { return };
    if fs::write(mount.path().join("probe"), "").is_ok() {
        println!("skipped, as the mount is writable");
        return;
    }
    let refused = run(mount.path(), &["serve", "--listen", "127.0.0.1:0"]);
    let message = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(74), "{message}");
    let name = mount.path().display().to_string();
    assert!(message.contains(&name) && message.contains("Read-only file system"), "{message}");
    for args in [&["status"][..], &["verify"], &["sql", "-c", "SELECT count(*) FROM events"]] {
        let read = run(mount.path(), args);
        assert!(
            read.status.success() && text(&read.stdout).contains("120"),
            "{args:?}: {}",
            text(&read.stderr)
        );
    }
}

/// The one data file of an hour of 2020-01-01.
fn data_file(dir: &Path, hour: u32) -> PathBuf {
    let folder = dir.join(format!("events/date=2020-01-01/hour={hour:02}"));
    fs::read_dir(folder).unwrap().next().unwrap().unwrap().path()
}

fn of_hour(hour: u32) -> String {
    let (from, to) =
        (format!("2020-01-01T{hour:02}:00:00Z"), format!("2020-01-01T{:02}:00:00Z", hour + 1));
    format!(
        "SELECT count(*), max(user_id) FROM events WHERE timestamp >= '{from}' AND timestamp < '{to}'"
    )
}

#[test]
fn a_deleted_or_truncated_file_fails_its_hours_statements_by_name_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    assert!(run(dir.path(), &["generate", "--end", "2020-01-01T03:59:00Z"]).status.success());
    let server = Server::start(dir.path(), &[]);
    let mut client = server.connect();
    let numbers = client.get("/analytics?timestamp=1577840400000").body;
    let (deleted, truncated) = (data_file(dir.path(), 1), data_file(dir.path(), 2));
    fs::remove_file(&deleted).unwrap();
    fs::OpenOptions::new().write(true).open(&truncated).unwrap().set_len(200).unwrap();
    let sql = |client: &mut Client, hour| {
        client.request("POST", "/sql", "", of_hour(hour).as_bytes()).unwrap().status
    };
    assert_eq!([0, 1, 2, 3].map(|hour| sql(&mut client, hour)), [200, 500, 500, 200]);
    assert_eq!(
        client.get("/analytics?timestamp=1577840400000").body,
        numbers,
        "counters are in the Delta log"
    );
    assert_eq!(
        client.post("/analytics?timestamp=1577840400000&user=u&event=click").unwrap().status,
        204
    );
    for (hour, file) in [(1, &deleted), (2, &truncated)] {
        let refused = run(dir.path(), &["sql", "-c", &of_hour(hour)]);
        let name = file.file_name().unwrap().to_str().unwrap();
        let message = text(&refused.stderr);
        assert!(
            !refused.status.success() && message.contains(&format!("hour={hour:02}/{name}")),
            "{message}"
        );
    }
    assert!(run(dir.path(), &["sql", "-c", &of_hour(3)]).status.success());
}

#[test]
fn a_damaged_delta_commit_refuses_to_start_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    assert!(run(dir.path(), &["generate", "--end", "2020-01-01T00:59:00Z"]).status.success());
    let commit = dir.path().join(format!("events/_delta_log/{:020}.json", 1));
    let whole = fs::read(&commit).unwrap();
    fs::write(&commit, &whole[..whole.len() / 2]).unwrap();
    let refused = run(dir.path(), &["serve", "--listen", "127.0.0.1:0"]);
    let message = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(66), "{message}");
    assert!(message.contains("00000000000000000001.json: damaged at byte "), "{message}");
    fs::write(&commit, whole).unwrap();
    assert!(run(dir.path(), &["verify"]).status.success());
}

#[test]
fn a_second_process_is_turned_away_and_the_first_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let first = Server::start(dir.path(), &[]);
    let second = run(dir.path(), &["serve", "--listen", "127.0.0.1:0"]);
    let message = text(&second.stderr);
    assert_eq!(second.status.code(), Some(75), "{message}");
    assert!(
        message.contains(&format!("{}: another hourglass process owns", dir.path().display())),
        "{message}"
    );
    assert_eq!(first.connect().post(&target(1)).unwrap().status, 204);
}

#[test]
fn a_clock_that_steps_back_and_forth_across_hours_loses_and_doubles_nothing() {
    block_on(async {
        for mut seed in 0..6_u64 {
            let dir = tempfile::tempdir().unwrap();
            let start = 500_000 * HOUR_US;
            let clock = ManualClock::at(start);
            let open = || {
                let options = EngineOptions { memtable_max_rows: 300, ..small_options() };
                Engine::open_with(dir.path(), options, Arc::new(Disk), clock.clone()).unwrap()
            };
            let (mut engine, mut model) = (open(), Model::default());
            for _ in 0..60 {
                // From three hours before the start to three after, to the first and last
                // microsecond among others.
                let edge = [0, 1, HOUR_US - 1, HOUR_US / 2][random(&mut seed, 4) as usize];
                let now = start + (random(&mut seed, 7) as i64 - 3) * HOUR_US + edge;
                clock.set(now);
                let mut batch = EventBatch::new();
                for n in 0..=random(&mut seed, 60) {
                    let us = now - now % HOUR_US + (n as i64 * 7_919_777) % HOUR_US;
                    batch.push(
                        us,
                        &format!("u{}", random(&mut seed, 40)),
                        EventKind::CONTRACT[random(&mut seed, 2) as usize],
                    );
                }
                model.add(&batch);
                while engine.append(batch.clone()).await.is_err() {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
                if random(&mut seed, 15) == 0 {
                    tokio::task::block_in_place(|| engine.close()).unwrap();
                    drop(engine);
                    engine = open();
                }
            }
            assert_answers(&engine.snapshot(), &model).await;
            engine.flush().await.unwrap();
            assert!(
                engine.snapshot().active.is_empty() && engine.snapshot().sealed.is_empty(),
                "sealing goes on"
            );
            assert_answers(&engine.snapshot(), &model).await;
            tokio::task::block_in_place(|| engine.close()).unwrap();
            let vfs: Arc<dyn Vfs> = Arc::new(Disk);
            let report = verify::verify(dir.path(), &vfs, &*clock, &|_, _| ()).unwrap();
            assert!(report.is_sound(), "{report:#?}");
        }
    });
}
