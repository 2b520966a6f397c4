//! `/metrics` and the log, as whoever runs the server meets them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::server::{Client, Server};

/// The samples of a scrape by name and labels, as they are written.
struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    /// Asserts on the way that the text is OpenMetrics: samples only below the declaration of their
    /// family, with the suffixes of its type.
    fn of(client: &mut Client) -> Scrape {
        let answer = client.get("/metrics");
        let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(media_type)));
        let text = answer.body.strip_suffix("# EOF\n").expect("the salt of the end");
        let (mut samples, mut declared, mut names) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        for line in text.lines() {
            match line.strip_prefix("# TYPE ") {
                Some(declaration) => {
                    let (family, kind) = declaration.split_once(' ').unwrap();
                    assert!(declared.insert(family), "{family} is declared twice");
                    names =
                        suffixes(kind).iter().map(|suffix| format!("{family}{suffix}")).collect();
                }
                None if line.starts_with("# HELP ") => names.clear(),
                None => {
                    let (series, value) = line.rsplit_once(' ').unwrap();
                    assert!(names.contains(&name(series)), "{line} stands below another family");
                    assert!(
                        samples.insert(series.to_string(), value.parse().unwrap()).is_none(),
                        "{series} twice"
                    );
                }
            }
        }
        Scrape(samples)
    }

    fn value(&self, series: &str) -> f64 {
        *self
            .0
            .get(series)
            .unwrap_or_else(|| panic!("there is no {series} among {:#?}", self.0.keys()))
    }

    fn names(&self) -> BTreeSet<String> {
        self.0.keys().map(|series| name(series)).collect()
    }
}

fn suffixes(kind: &str) -> &'static [&'static str] {
    match kind {
        "counter" => &["_total"],
        "gauge" => &[""],
        "histogram" => &["_bucket", "_sum", "_count"],
        "info" => &["_info"],
        other => panic!("nothing here is of type {other}"),
    }
}

fn name(series: &str) -> String {
    series.split('{').next().unwrap().to_string()
}

fn post(client: &mut Client, target: &str) -> u16 {
    client.post(target).unwrap().status
}

fn sql(client: &mut Client, statement: &str) -> u16 {
    client.request("POST", "/sql", "", statement.as_bytes()).unwrap().status
}

/// Three events one by one, two in a batch, questions, and what is refused.
fn work(client: &mut Client) {
    for user in ["a", "b", "c"] {
        assert_eq!(post(client, &format!("/analytics?timestamp=1&user={user}&event=click")), 204);
    }
    let rows = b"timestamp,user,event\n1,d,click\n3600000,e,impression\n";
    assert_eq!(
        client.request("POST", "/events", "content-type: text/csv\r\n", rows).unwrap().status,
        200
    );
    for _ in 0..4 {
        assert_eq!(client.get("/analytics?timestamp=1").status, 200);
    }
    assert_eq!(post(client, "/analytics?timestamp=1&event=click"), 400);
    assert_eq!(client.get("/favicon.ico").status, 404);
}

#[test]
fn a_scrape_counts_what_was_asked_and_what_was_done() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut client = server.connect();
    work(&mut client);

    let before = Scrape::of(&mut client);
    for (labels, requests) in [
        (r#"route="/analytics",method="POST",status="204""#, 3.0),
        (r#"route="/analytics",method="POST",status="400""#, 1.0),
        (r#"route="/analytics",method="GET",status="200""#, 4.0),
        (r#"route="/events",method="POST",status="200""#, 1.0),
        (r#"route="other",method="GET",status="404""#, 1.0),
    ] {
        assert_eq!(
            before.value(&format!("hourglass_http_requests_total{{{labels}}}")),
            requests,
            "{labels}"
        );
    }
    let get = r#"route="/analytics",method="GET""#;
    assert_eq!(
        before.value(&format!("hourglass_http_request_duration_seconds_count{{{get}}}")),
        4.0
    );
    assert_eq!(
        before
            .value(&format!("hourglass_http_request_duration_seconds_bucket{{le=\"+Inf\",{get}}}")),
        4.0
    );
    assert_eq!(before.value(r#"hourglass_rejections_total{reason="invalid-parameter"}"#), 1.0);
    assert_eq!(before.value(r#"hourglass_rejections_total{reason="not-found"}"#), 1.0);
    assert_eq!(before.value("hourglass_group_commit_events_count"), 4.0);
    assert_eq!(before.value("hourglass_group_commit_events_sum"), 5.0);
    assert_eq!(before.value("hourglass_group_commit_duration_seconds_count"), 4.0);
    assert!(before.value("hourglass_group_commit_duration_seconds_sum") > 0.0);
    assert_eq!(before.value(r#"hourglass_memtable_rows{state="active"}"#), 5.0);
    assert!(before.value("hourglass_wal_age_seconds") > 0.0);
    assert!(before.value("hourglass_wal_bytes") > 0.0);
    assert_eq!(
        (before.value("hourglass_queue_events"), before.value("hourglass_poisoned")),
        (0.0, 0.0)
    );
    assert_eq!((before.value("hourglass_files"), before.value("hourglass_hours")), (0.0, 2.0));

    assert_eq!(post(&mut client, "/admin/flush"), 204);
    let statements = [
        ("SELECT count(*) FROM events", 200),
        ("SELECT count(*) FROM events WHERE user_id = 'a'", 200),
        ("SELECT CAST(user_id AS BIGINT) FROM events", 400),
        ("SELEKT", 400),
    ];
    for (statement, status) in statements {
        assert_eq!(sql(&mut client, statement), status, "{statement}");
    }
    let after = Scrape::of(&mut client);
    assert_eq!(after.value(r#"hourglass_memtable_rows{state="active"}"#), 0.0);
    assert_eq!(after.value("hourglass_wal_age_seconds"), 0.0);
    assert_eq!((after.value("hourglass_files"), after.value("hourglass_hours")), (2.0, 2.0));
    assert_eq!(
        (after.value("hourglass_flushed_rows_total"), after.value("hourglass_flushed_files_total")),
        (5.0, 2.0)
    );
    assert_eq!(after.value("hourglass_flush_duration_seconds_count"), 1.0);
    assert_eq!(after.value("hourglass_flush_failures_total"), 0.0);
    assert_eq!(after.value(r#"hourglass_queries_total{outcome="done"}"#), 2.0);
    assert_eq!(after.value(r#"hourglass_queries_total{outcome="failed"}"#), 1.0);
    assert_eq!(after.value(r#"hourglass_rejections_total{reason="invalid-query"}"#), 2.0);
    assert_eq!(after.value("hourglass_query_running_duration_seconds_count"), 3.0);
    assert_eq!(after.value("hourglass_query_rollups_total"), 1.0);
    assert_eq!(after.value("hourglass_query_partitions_considered_total"), 6.0);
    assert!(after.value("hourglass_query_bytes_read_total") > 0.0);
    assert_eq!(after.value("hourglass_queries_running"), 0.0);
    assert!(after.value("process_resident_memory_bytes") > 1e6);
    assert_eq!(
        client.request("DELETE", "/metrics", "", b"").unwrap().header("allow"),
        Some("GET, HEAD, OPTIONS")
    );
}

#[test]
fn a_caller_who_leaves_is_not_counted_as_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let endless = "SELECT count(*) FROM generate_series(1, 100000000) a JOIN generate_series(1, 100000000) b ON a.value < b.value";
    let (mut leaving, mut client) = (server.connect(), server.connect());
    let asked = format!(
        "POST /sql HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\n\r\n{endless}",
        endless.len()
    );
    leaving.write(asked.as_bytes()).unwrap();
    // Scrapes until a figure is there.
    let mut shows = |series: &str, value: f64| {
        let shown = (0..500).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            Scrape::of(&mut client).0.get(series) == Some(&value)
        });
        assert!(shown, "{series} does not become {value}");
    };
    shows("hourglass_queries_running", 1.0);
    drop(leaving);
    shows(r#"hourglass_queries_total{outcome="cancelled"}"#, 1.0);
    shows(r#"hourglass_http_requests_total{route="/sql",method="POST",status="499"}"#, 1.0);
    shows("hourglass_queries_running", 0.0);
}

/// The metrics that a file names. Label names and the rest of a query begin otherwise.
fn named_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| ["hourglass_", "process_"].iter().any(|own| word.starts_with(own)))
        .map(Into::into)
        .collect()
}

#[test]
fn the_dashboard_and_the_alerts_ask_for_nothing_that_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut client = server.connect();
    work(&mut client);
    assert_eq!(sql(&mut client, "SELECT 1"), 200);
    let there = Scrape::of(&mut client).names();
    for file in ["docker/grafana-dashboard.json", "docker/alerts.yml"] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let named = named_in(&text);
        assert!(named.len() > 5, "{file} names {named:?}");
        let missing: Vec<_> = named.difference(&there).collect();
        assert!(missing.is_empty(), "{file} asks for {missing:?}");
    }
}

/// The lines of a log that belong to a request.
fn lines(log: &Path, request_id: &str) -> Vec<Value> {
    let text = fs::read_to_string(log).unwrap();
    // The last line may be half written yet.
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| line["request_id"] == request_id || line["span"]["request_id"] == request_id)
        .collect()
}

/// The line about a request that is looked for: a thread of its own writes the log, a little after
/// the answer.
fn line(log: &Path, id: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..500 {
        if let Some(line) = lines(log, id).into_iter().find(|line| is_it(line)) {
            return line;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("the log has no such line about {id}");
}

#[test]
fn a_problem_leads_to_its_cause_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let data = dir.path().join("data");
    let server =
        Server::start_with_log(&data, &[], "debug", Stdio::from(File::create(&log).unwrap()));
    let mut client = server.connect();
    assert_eq!(post(&mut client, "/analytics?timestamp=1&user=u&event=click"), 204);
    // Where the table was there is a file, so that no flush succeeds.
    fs::rename(data.join("events"), data.join("moved")).unwrap();
    File::create(data.join("events")).unwrap();

    let ids = |answer: &crate::server::Answer| {
        let problem: Value = serde_json::from_str(&answer.body).unwrap();
        (
            answer.header("x-request-id").unwrap().to_string(),
            problem["request_id"].as_str().unwrap().to_string(),
        )
    };
    let failed = client.request("POST", "/admin/flush", "x-request-id: edge-7\r\n", b"").unwrap();
    assert_eq!(
        (failed.status, ids(&failed)),
        (500, ("edge-7".into(), "edge-7".into())),
        "{}",
        failed.body
    );
    let cause = line(&log, "edge-7", |line| line["message"] == "a request failed");
    assert!(
        cause["level"] == "ERROR" && cause["cause"].as_str().unwrap().contains("change the table"),
        "{cause}"
    );
    assert!(Scrape::of(&mut client).value("hourglass_flush_failures_total") >= 1.0);

    let statement = "SELECT CAST(user_id AS BIGINT) FROM events";
    let failed =
        client.request("POST", "/sql", "x-request-id: edge-8\r\n", statement.as_bytes()).unwrap();
    assert_eq!((failed.status, ids(&failed).0), (400, "edge-8".into()));
    let told = line(&log, "edge-8", |line| line["outcome"] == "failed");
    assert_eq!(
        (&told["statement"], &told["partitions_read"]),
        (&statement.into(), &1.into()),
        "{told}"
    );
    assert!(told["error"].as_str().unwrap().contains("Cannot cast"), "{told}");

    // One that is not plain is not taken, and what is refused is found by the one that was made.
    let refused = client.request("GET", "/analytics", "x-request-id: a b\r\n", b"").unwrap();
    let (header, member) = ids(&refused);
    assert_eq!((refused.status, header.len(), &header), (400, 32, &member));
    line(&log, &member, |line| line["reason"] == "invalid-parameter");
}

/// The bug: a flush that failed warned every second, for days where nobody looked, and its end was
/// not told.
#[test]
fn a_flush_that_fails_is_told_once_a_minute_and_so_is_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let (log, data) = (dir.path().join("log"), dir.path().join("data"));
    let server =
        Server::start_with_log(&data, &[], "info", Stdio::from(File::create(&log).unwrap()));
    let mut client = server.connect();
    assert_eq!(post(&mut client, "/analytics?timestamp=1&user=u&event=click"), 204);
    fs::rename(data.join("events"), data.join("moved")).unwrap();
    File::create(data.join("events")).unwrap();
    let failures = |client: &mut Client| Scrape::of(client).value("hourglass_flush_failures_total");
    while failures(&mut client) < 5.0 {
        assert_eq!(post(&mut client, "/admin/flush"), 500);
    }
    fs::remove_file(data.join("events")).unwrap();
    fs::rename(data.join("moved"), data.join("events")).unwrap();
    while post(&mut client, "/admin/flush") != 204 {}
    assert_eq!(server.stop(), Some(0));
    let text = fs::read_to_string(log).unwrap();
    let told = |what: &str| text.lines().filter(|line| line.contains(what)).count();
    assert_eq!((told("the flush failed"), told("the flush goes through again")), (1, 1), "{text}");
}

/// The bug: the age began anew with each start, so that a server that ends again and again before
/// it can flush never looked bad.
#[test]
fn the_age_of_the_log_goes_on_across_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    assert_eq!(post(&mut server.connect(), "/analytics?timestamp=1&user=u&event=click"), 204);
    server.kill();
    // As if the server had been away for three hours.
    for entry in fs::read_dir(dir.path().join("wal")).unwrap() {
        let file = File::options().write(true).open(entry.unwrap().path()).unwrap();
        file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(3 * 3_600))
            .unwrap();
    }
    for _ in 0..2 {
        let server = Server::start(dir.path(), &[]);
        let age = Scrape::of(&mut server.connect()).value("hourglass_wal_age_seconds");
        server.kill();
        assert!(age >= 3.0 * 3_600.0, "{age}");
        // The first start wrote the end of the log again.
        let wal = fs::read_dir(dir.path().join("wal")).unwrap().map(|entry| entry.unwrap().path());
        let oldest =
            wal.filter(|path| path.extension().is_some_and(|end| end == "wal")).min().unwrap();
        let file = File::options().write(true).open(oldest).unwrap();
        file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(3 * 3_600))
            .unwrap();
    }
    let server = Server::start(dir.path(), &[]);
    let mut client = server.connect();
    assert_eq!(post(&mut client, "/admin/flush"), 204);
    let after = Scrape::of(&mut client);
    assert_eq!(after.value("hourglass_wal_age_seconds"), 0.0);
    assert!(
        after.value("hourglass_table_bytes") > 0.0
            && after.value("hourglass_disk_free_bytes") > 0.0
    );
    assert!(after.value("hourglass_disk_bytes") > after.value("hourglass_disk_free_bytes"));
    assert_eq!(after.value("hourglass_accepting_events"), 1.0);
}

/// The bug: `last flush never`, for one flush in fifty, when a checkpoint stood for the newest
/// commit.
#[test]
fn status_knows_the_last_flush_when_a_checkpoint_is_the_newest_of_the_table() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut client = server.connect();
    for n in 0..50 {
        assert_eq!(post(&mut client, &format!("/analytics?timestamp={n}&user=u&event=click")), 204);
        assert_eq!(post(&mut client, "/admin/flush"), 204);
    }
    let log = dir.path().join("events/_delta_log");
    assert!(
        log.join(format!("{:020}.checkpoint.parquet", 50)).exists()
            && !log.join(format!("{:020}.json", 51)).exists()
    );
    let output = crate::server::hourglass()
        .args(["status", "--format", "json", "--data-dir"])
        .arg(dir.path())
        .output();
    let status: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let at = status["last_flush"].as_str().unwrap_or_else(|| panic!("{status}"));
    let age = chrono::Utc::now() - chrono::DateTime::parse_from_rfc3339(at).unwrap().to_utc();
    assert!((0..3_600).contains(&age.num_seconds()), "{status}");
}
