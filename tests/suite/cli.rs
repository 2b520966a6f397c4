//! The commands as a person or a script meets them: output, exit codes, files.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Output, Stdio};

use crate::server::{Server, hourglass};

fn run(data_dir: &Path, args: &[&str]) -> Output {
    hourglass().args(args).env("HOURGLASS_DATA_DIR", data_dir).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_152_days_are_218881_events_in_3649_hours() {
    let dir = tempfile::tempdir().unwrap();
    let generated = run(dir.path(), &["generate"]);
    assert!(
        text(&generated.stdout).starts_with("218,881 events in "),
        "{}",
        text(&generated.stderr)
    );
    let status = run(dir.path(), &["status", "--format", "json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(
        (&status["hours"], &status["rows"], &status["files"]["files"]),
        (&3_649.into(), &218_881.into(), &3_649.into())
    );

    // Each hour's GET equals a count over the same series written as a file.
    let csv = dir.path().join("events.csv");
    run(dir.path(), &["generate", "--output", csv.to_str().unwrap()]);
    let mut expected =
        std::collections::BTreeMap::<i64, (std::collections::HashSet<String>, u64, u64)>::new();
    for line in fs::read_to_string(&csv).unwrap().lines().skip(1) {
        let mut fields = line.split(',');
        let at = fields.next().unwrap();
        let at = at.parse().unwrap_or_else(|_| {
            chrono::DateTime::parse_from_rfc3339(at).unwrap().timestamp_millis()
        });
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
        let answer =
            client.get(&format!("/analytics?timestamp={}", hour * 3_600_000 + 59_999)).body;
        assert_eq!(
            answer,
            format!("unique_users,{}\nclicks,{clicks}\nimpressions,{impressions}\n", users.len())
        );
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
        assert!(
            text(&imported.stdout).starts_with("600 events in "),
            "{name}: {}",
            text(&imported.stderr)
        );
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
    (0..3).for_each(|n| {
        drop(client.post(&format!("/analytics?timestamp=1&user=u{n}&event=click")).unwrap())
    });
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
        message.contains(
            ".wal: damaged at byte 64: intact frames follow a damaged one. `hourglass verify`"
        ),
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
    for (key, value) in
        [("rollups", "false"), ("listen", "127.0.0.1:2"), ("memtable_max_rows", "5")]
    {
        assert!(
            shown.lines().any(|line| line.contains(key) && line.contains(value)),
            "{key}: {shown}"
        );
    }
    fs::write(&file, "rolups = false\n").unwrap();
    let refused =
        hourglass().args(["config", "--config", file.to_str().unwrap()]).output().unwrap();
    assert_eq!(refused.status.code(), Some(78));
    assert!(text(&refused.stderr).contains("rolups") && text(&refused.stderr).contains("rollups"));
}

/// The first line on standard output of a server started with these arguments.
fn ready_line(data_dir: &Path, args: &[&str]) -> String {
    let mut command = hourglass();
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data_dir).args(args);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    line
}

/// The line was a sentence beside a log in JSON, and whoever reads both streams of a container
/// could not parse it.
#[test]
fn the_ready_line_is_json_where_the_log_is_and_a_sentence_for_people() {
    let dir = tempfile::tempdir().unwrap();
    for args in [&["--log-format", "json"][..], &[]] {
        let line: serde_json::Value = serde_json::from_str(&ready_line(dir.path(), args)).unwrap();
        let address = line["address"].as_str().unwrap();
        let sentence =
            format!("hourglass is ready on http://{address} (data in {})", dir.path().display());
        assert_eq!((&line["message"], &line["level"]), (&sentence.into(), &"INFO".into()));
    }
    let line = ready_line(dir.path(), &["--log-format", "human"]);
    assert!(line.starts_with("hourglass is ready on http://127.0.0.1:"), "{line}");
}

#[test]
fn an_address_that_cannot_be_listened_on_tells_why_and_ends_by_who_must_act() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("first"), &[]);
    let store = dir.path().join("second");
    let taken = run(&store, &["serve", "--listen", &server.address]);
    let message = text(&taken.stderr);
    assert_eq!(taken.status.code(), Some(75), "{message}");
    assert!(
        message.contains("another process listens there") && message.contains("--listen"),
        "{message}"
    );
    // An address for documentation (RFC 5737), which no machine has.
    let strange = run(&store, &["serve", "--listen", "192.0.2.1:0"]);
    let message = text(&strange.stderr);
    assert_eq!(strange.status.code(), Some(78), "{message}");
    assert!(message.contains("no network interface of this machine has the address"), "{message}");
}

#[test]
fn a_misspelt_variable_is_warned_of_by_every_command() {
    let dir = tempfile::tempdir().unwrap();
    assert!(run(dir.path(), &["generate", "--end", "2020-01-01T00:00:00Z"]).status.success());
    let warning = "HOURGLASS_LISTN is the variable of no setting; did you mean HOURGLASS_LISTEN?";
    for args in [&["status"][..], &["verify"], &["config"], &["sql", "-c", "SELECT 1"]] {
        let mut command = hourglass();
        command
            .args(args)
            .env("HOURGLASS_DATA_DIR", dir.path())
            .env("HOURGLASS_LISTN", "127.0.0.1:1");
        let warned = command.output().unwrap();
        assert_eq!(text(&warned.stderr), format!("warning: {warning}\n"), "{args:?}");
        assert!(warned.status.success(), "{args:?}");
    }
    let log = dir.path().join("log");
    let stderr = Stdio::from(fs::File::create(&log).unwrap());
    let env = [("HOURGLASS_LISTN", "127.0.0.1:1")];
    assert_eq!(Server::start_with_log(dir.path(), &env, "warn", stderr).stop(), Some(0));
    let lines = fs::read_to_string(&log).unwrap();
    let line = lines.lines().find(|line| line.contains("HOURGLASS_LISTN")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!((&line["level"], &line["message"]), (&"WARN".into(), &warning.into()));
}

/// At `debug` the lines of the parser and of other libraries drowned ours.
#[test]
fn debug_is_for_our_own_lines() {
    let dir = tempfile::tempdir().unwrap();
    let logged = |level: &str| {
        let log = dir.path().join("log");
        let stderr = Stdio::from(fs::File::create(&log).unwrap());
        let server = Server::start_with_log(dir.path(), &[], level, stderr);
        let mut client = server.connect();
        assert_eq!(client.post("/analytics?timestamp=1&user=u&event=click").unwrap().status, 204);
        assert_eq!(client.get("/sql?q=SELECT+count(*)+FROM+events").status, 200);
        assert_eq!(client.get("/sql?q=nonsense").status, 400);
        assert_eq!(client.post("/admin/flush").unwrap().status, 204);
        assert_eq!(server.stop(), Some(0));
        let lines = fs::read_to_string(&log).unwrap();
        let target =
            |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["target"].clone();
        lines.lines().map(|line| target(line).as_str().unwrap().to_string()).collect::<Vec<_>>()
    };
    let ours = logged("debug");
    assert!(
        !ours.is_empty() && ours.iter().all(|target| target.starts_with("hourglass")),
        "{ours:?}"
    );
    let named = logged("info,sqlparser=debug");
    assert!(named.iter().any(|target| target.starts_with("sqlparser")), "{named:?}");
}

/// With `RUST_BACKTRACE` the Delta library writes a backtrace into its error, and the sentence came
/// after a screen of frames.
#[test]
fn an_error_has_no_backtrace_whatever_the_environment_says() {
    let dir = tempfile::tempdir().unwrap();
    assert!(run(dir.path(), &["generate", "--end", "2020-01-01T03:00:00Z"]).status.success());
    let log = dir.path().join("events/_delta_log");
    let commit = fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().path());
    let commit = commit
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .max()
        .unwrap();
    fs::write(&commit, "{\"add\": nonsense\n").unwrap();
    for args in [
        &["serve", "--listen", "127.0.0.1:0"][..],
        &["status"],
        &["sql", "-c", "SELECT 1"],
        &["verify"],
    ] {
        let mut command = hourglass();
        command.args(args).arg("--data-dir").arg(dir.path()).env("RUST_BACKTRACE", "full");
        let refused = command.output().unwrap();
        let said = text(&refused.stderr) + &text(&refused.stdout);
        assert!(
            !refused.status.success() && !said.contains("backtrace") && !said.contains("rustc"),
            "{args:?}: {said}"
        );
        assert!(said.lines().count() < 12, "{args:?}: {said}");
    }
}

/// Every command that reads a store tells alike that there is none: exit code 66 (EX_NOINPUT).
#[test]
fn where_there_is_no_store_every_command_says_so_alike() {
    let dir = tempfile::tempdir().unwrap();
    let (nowhere, empty, file) =
        (dir.path().join("nowhere"), dir.path().join("empty"), dir.path().join("file"));
    fs::create_dir(&empty).unwrap();
    fs::write(&file, "no store").unwrap();
    for place in [&nowhere, &empty, &file, &file.join("below")] {
        for args in [
            &["status"][..],
            &["verify"],
            &["verify", "--repair"],
            &["sql", "-c", "SELECT 1"],
            &["export", "out"],
        ] {
            let refused = hourglass()
                .args(args)
                .arg("--data-dir")
                .arg(place)
                .current_dir(dir.path())
                .output()
                .unwrap();
            let message = text(&refused.stderr);
            assert_eq!(
                refused.status.code(),
                Some(66),
                "{args:?} on {}: {message}",
                place.display()
            );
            assert!(
                message.contains("no hourglass store here"),
                "{args:?} on {}: {message}",
                place.display()
            );
            assert!(message.contains(&place.display().to_string()), "{message}");
        }
    }
    assert!(
        !nowhere.exists() && fs::read_dir(&empty).unwrap().next().is_none(),
        "nothing was made"
    );
    for place in [&file, &file.join("below")] {
        let refused = run(place, &["serve", "--listen", "127.0.0.1:0"]);
        let message = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(78), "{message}");
        assert!(message.contains("is no directory"), "{message}");
    }
}

#[test]
fn the_version_is_that_of_the_manifest() {
    let version = text(&hourglass().arg("--version").output().unwrap().stdout);
    assert!(version.starts_with(concat!("hourglass ", env!("CARGO_PKG_VERSION"))), "{version}");
}
