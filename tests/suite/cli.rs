//! The commands as a person or a script meets them: output, exit codes, files.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::server::{Server, hourglass};

fn run(data_dir: &Path, args: &[&str]) -> Output {
    hourglass().args(args).env("HOURGLASS_DATA_DIR", data_dir).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_six_months_are_218881_events_in_3649_hours() {
    let dir = tempfile::tempdir().unwrap();
    let generated = run(dir.path(), &["generate"]);
    assert!(text(&generated.stdout).starts_with("218,881 events in "), "{}", text(&generated.stderr));
    let status = run(dir.path(), &["status", "--format", "json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(
        (&status["hours"], &status["rows"], &status["files"]["files"]),
        (&3_649.into(), &218_881.into(), &3_649.into())
    );

    // Each hour's GET equals a count over the same series written as a file.
    let csv = dir.path().join("events.csv");
    run(dir.path(), &["generate", "--output", csv.to_str().unwrap()]);
    let mut expected = std::collections::BTreeMap::<i64, (std::collections::HashSet<String>, u64, u64)>::new();
    for line in fs::read_to_string(&csv).unwrap().lines().skip(1) {
        let mut fields = line.split(',');
        let at = fields.next().unwrap();
        let at = at.parse().unwrap_or_else(|_| chrono::DateTime::parse_from_rfc3339(at).unwrap().timestamp_millis());
        let hour = expected.entry(at / 3_600_000).or_default();
        hour.0.insert(fields.next().unwrap().to_string());
        match fields.next().unwrap() {
            "click" => hour.1 += 1,
            _ => hour.2 += 1,
        }
    }
    assert_eq!(expected.len(), 3_649);
    let server = Server::start(dir.path(), &[]);
    let mut client = server.connect();
    for (hour, (users, clicks, impressions)) in expected {
        let answer = client.get(&format!("/analytics?timestamp={}", hour * 3_600_000 + 59_999)).body;
        assert_eq!(answer, format!("unique_users,{}\nclicks,{clicks}\nimpressions,{impressions}\n", users.len()));
    }
}

#[test]
fn what_one_format_exports_every_format_imports() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a.csv", "a.ndjson", "a.parquet"] {
        let (file, store) = (dir.path().join(name), dir.path().join(format!("{name}.store")));
        let end = ["--end", "2020-01-01T09:59:00Z"];
        let args = ["generate", "--output", file.to_str().unwrap(), end[0], end[1]];
        assert!(run(&store, &args).status.success());
        let imported = run(&store, &["import", file.to_str().unwrap()]);
        assert!(text(&imported.stdout).starts_with("600 events in "), "{name}: {}", text(&imported.stderr));
        let status = run(&store, &["status", "--format", "json"]);
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        assert_eq!((&status["hours"], &status["rows"]), (&10.into(), &600.into()), "{name}");
    }
}

#[test]
fn a_bad_row_names_file_and_line_and_loads_nothing_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.csv");
    fs::write(&file, "timestamp,user,event\n1,a,click\n2,b,clack\n").unwrap();
    let imported = run(&dir.path().join("store"), &["import", file.to_str().unwrap()]);
    let message = text(&imported.stderr);
    assert_eq!(imported.status.code(), Some(65));
    assert!(message.contains("bad.csv: line 3: event: must be click or impression"), "{message}");
    let status = run(&dir.path().join("store"), &["status", "--format", "json"]);
    assert!(text(&status.stdout).contains("\"rows\": 0"));
}

#[test]
fn a_server_takes_what_generate_and_import_send() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let url = format!("http://{}", server.address);
    let sent = run(dir.path(), &["generate", "--url", &url, "--end", "2020-01-01T01:59:00Z"]);
    assert!(text(&sent.stdout).starts_with("120 events"), "{}", text(&sent.stderr));
    let mut client = server.connect();
    let hour = client.get("/analytics?timestamp=1577836800000").body;
    assert!(hour.contains("clicks,") && !hour.contains("unique_users,0"), "{hour}");
    let healthy = run(dir.path(), &["healthcheck", "--url", &url]);
    assert_eq!(healthy.status.code(), Some(0));
    server.kill();
    assert_eq!(run(dir.path(), &["healthcheck", "--url", &url]).status.code(), Some(1));
}

#[test]
fn a_second_process_on_a_directory_is_turned_away() {
    let dir = tempfile::tempdir().unwrap();
    let _server = Server::start(dir.path(), &[]);
    let second = run(dir.path(), &["generate"]);
    assert_eq!(second.status.code(), Some(75));
    assert!(text(&second.stderr).contains("another hourglass process owns this data directory"));
    assert!(run(dir.path(), &["status"]).status.success(), "who only looks needs no lock");
}

#[test]
fn a_damaged_log_refuses_to_start_and_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut client = server.connect();
    (0..3).for_each(|n| drop(client.post(&format!("/analytics?timestamp=1&user=u{n}&event=click")).unwrap()));
    server.kill();
    let mut segments: Vec<_> =
        fs::read_dir(dir.path().join("wal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "wal"));
    segments.sort();
    let mut bytes = fs::read(&segments[0]).unwrap();
    bytes[100] ^= 1;
    fs::write(&segments[0], bytes).unwrap();
    let refused = run(dir.path(), &["serve", "--listen", "127.0.0.1:0"]);
    let message = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(66), "{message}");
    assert!(
        message.contains(".wal: damaged at byte 64: intact frames follow a damaged one. `hourglass verify`"),
        "{message}"
    );
}

#[test]
fn every_setting_tells_where_it_comes_from() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hourglass.toml");
    fs::write(&file, "rollups = false\nlisten = \"127.0.0.1:1\"\n").unwrap();
    let shown = hourglass()
        .args(["config", "--config", file.to_str().unwrap()])
        .args(["--listen", "127.0.0.1:2"])
        .env("HOURGLASS_MEMTABLE_MAX_ROWS", "5")
        .output()
        .unwrap();
    let shown = text(&shown.stdout);
    for (key, value) in [("rollups", "false"), ("listen", "127.0.0.1:2"), ("memtable_max_rows", "5")] {
        assert!(shown.lines().any(|line| line.contains(key) && line.contains(value)), "{key}: {shown}");
    }
    fs::write(&file, "rolups = false\n").unwrap();
    let refused = hourglass().args(["config", "--config", file.to_str().unwrap()]).output().unwrap();
    assert_eq!(refused.status.code(), Some(78));
    assert!(text(&refused.stderr).contains("rolups") && text(&refused.stderr).contains("rollups"));
}
