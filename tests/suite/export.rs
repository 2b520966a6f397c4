//! `hourglass export`, by the binary: what comes out is what is in, and what is there is not
//! written again.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::server::{Server, hourglass};

/// Two hours of ten events in files and one hour in memory, which a running server holds.
fn store() -> (tempfile::TempDir, Server) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"), &[]);
    let mut client = server.connect();
    for hour in 0..3_u64 {
        for i in 0..10 {
            let ms = hour * 3_600_000 + i;
            client.post(&format!("/analytics?timestamp={ms}&user=u{i}&event=click")).unwrap();
        }
        if hour == 1 {
            client.post("/admin/flush").unwrap();
        }
    }
    (dir, server)
}

fn export(dir: &Path, args: &[&str]) -> Output {
    let mut command = hourglass();
    command.args(["export", "--data-dir"]).arg(dir.join("store")).arg(dir.join("out")).args(args);
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    text.split(" in /").next().unwrap().to_string()
        + if text.contains("already") { ", some there" } else { "" }
}

#[test]
fn hours_come_out_as_they_went_in_and_once() {
    let (dir, _store) = store();
    let first = export(dir.path(), &[]);
    assert!(said(&first).starts_with("3 files, 30 rows, "), "{first:?}");
    let out = dir.path().join("out");
    let receipt = fs::read_to_string(out.join("_receipt.ndjson")).unwrap();
    let lines: Vec<serde_json::Value> = receipt
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["path"], "date=1970-01-01/hour=00/events.parquet");

    // What comes out goes in again, to the same numbers.
    let again = dir.path().join("again");
    let files = lines.iter().map(|line| out.join(line["path"].as_str().unwrap()));
    let imported =
        hourglass().args(["import", "--data-dir"]).arg(&again).args(files).output().unwrap();
    assert!(imported.status.success(), "{imported:?}");
    let server = Server::start(&again, &[]);
    let mut copy = server.connect();
    assert_eq!(
        copy.get("/analytics?timestamp=3600000").body,
        "unique_users,10\nclicks,10\nimpressions,0\n"
    );

    // One file lost, one torn: those two are written again, to the same bytes.
    let lost = out.join(lines[1]["path"].as_str().unwrap());
    let bytes = fs::read(&lost).unwrap();
    fs::remove_file(&lost).unwrap();
    fs::write(out.join(lines[2]["path"].as_str().unwrap()), b"PAR1").unwrap();
    assert!(said(&export(dir.path(), &[])).starts_with("2 files, 20 rows"), "{lost:?}");
    assert_eq!(fs::read(&lost).unwrap(), bytes);
}

#[test]
fn a_late_event_brings_its_hour_again_and_no_other() {
    let (dir, server) = store();
    export(dir.path(), &["--format", "csv"]);
    server.connect().post("/analytics?timestamp=0&user=late&event=impression").unwrap();
    assert!(said(&export(dir.path(), &["--format", "csv"])).starts_with("1 files, 11 rows"));
    let text =
        fs::read_to_string(dir.path().join("out/date=1970-01-01/hour=00/events.csv")).unwrap();
    assert_eq!(text.lines().next(), Some("timestamp,user_id,event"));
    assert!(text.contains("1970-01-01T00:00:00Z,late,impression"), "{text}");
}

#[test]
fn a_range_may_be_of_dates() {
    let (dir, _store) = store();
    assert!(
        said(&export(dir.path(), &["--from", "1970-01-01", "--to", "1970-01-01T02:00:00Z"]))
            .starts_with("2 files, 20")
    );
    assert!(said(&export(dir.path(), &["--from", "1970-01-02"])).starts_with("0 files, 0 rows"));
    assert!(
        said(&export(dir.path(), &["--to", "1970-01-02"])).starts_with("1 files, 10 rows"),
        "the rest is there"
    );
    let refused = export(dir.path(), &["--from", "1970-02-30"]);
    assert!(
        !refused.status.success()
            && String::from_utf8_lossy(&refused.stderr).contains("a date such as"),
        "{refused:?}"
    );
}

/// Two columns of one name in a Delta table, which compares names without their case.
#[test]
fn an_answer_with_a_name_twice_is_a_table_with_two_names() {
    let (dir, _store) = store();
    let sql =
        "SELECT a.event, b.event, 1 AS \"EVENT\" FROM events a JOIN events b USING (timestamp)";
    for format in ["delta", "parquet"] {
        let out = dir.path().join(format);
        let mut command = hourglass();
        command.args(["export", "--data-dir"]).arg(dir.path().join("store")).arg(&out);
        let output = command.args(["--format", format, "--query", sql]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn a_range_is_of_whole_hours() {
    let (dir, _server) = store();
    let range =
        ["--from", "1970-01-01T01:00:00Z", "--to", "1970-01-01T02:00:00Z", "--format", "ndjson"];
    assert!(said(&export(dir.path(), &range)).starts_with("1 files, 10 rows"));
    let cut = export(dir.path(), &["--from", "1970-01-01T01:30:00Z"]);
    assert_eq!(cut.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&cut.stderr).contains("1970-01-01T01:00:00Z"), "{cut:?}");
}

#[test]
fn a_delta_export_is_a_store_that_goes_on_where_it_was_cut_off() {
    let (dir, _server) = store();
    assert!(
        said(&export(dir.path(), &["--format", "delta", "--to", "3600000"]))
            .starts_with("1 files, 10 rows")
    );
    let rest = said(&export(dir.path(), &["--format", "delta"]));
    assert!(rest.starts_with("3 files, 20 rows") && rest.ends_with("some there"), "{rest}");
    let server = Server::start(&dir.path().join("out"), &[]);
    let mut copy = server.connect();
    assert_eq!(
        copy.get("/analytics?timestamp=7200000").body,
        "unique_users,10\nclicks,10\nimpressions,0\n"
    );
}

#[test]
fn an_answer_is_one_file() {
    let (dir, _server) = store();
    let query = ["--query", "SELECT hour, clicks FROM hours ORDER BY hour", "--format", "csv"];
    assert!(said(&export(dir.path(), &query)).starts_with("1 files, 3 rows"));
    let text = fs::read_to_string(dir.path().join("out/rows.csv")).unwrap();
    assert_eq!(text.lines().nth(3), Some("1970-01-01T02:00:00Z,10"));
    assert!(said(&export(dir.path(), &query)).starts_with("0 files"));
    let faulty = export(dir.path(), &["--query", "SELECT nothing FROM events"]);
    assert_eq!(faulty.status.code(), Some(65), "{faulty:?}");
}

#[test]
fn an_answer_is_a_delta_table_that_holds_the_newest() {
    let (dir, server) = store();
    let query = ["--query", "SELECT hour, clicks FROM hours ORDER BY hour", "--format", "delta"];
    assert!(said(&export(dir.path(), &query)).starts_with("1 files, 3 rows"));
    assert!(said(&export(dir.path(), &query)).starts_with("0 files"));
    server.connect().post("/analytics?timestamp=36000000&user=late&event=click").unwrap();
    assert!(said(&export(dir.path(), &query)).starts_with("1 files, 4 rows"));
    let commit = |version: u32| {
        fs::read_to_string(dir.path().join(format!("out/_delta_log/{version:020}.json"))).unwrap()
    };
    assert!(
        commit(0).contains("hour") && commit(1).contains("\"numRecords\\\":3"),
        "{}",
        commit(1)
    );
    assert!(
        commit(2).contains("\"remove\"") && commit(2).contains("\"numRecords\\\":4"),
        "{}",
        commit(2)
    );
    let other = export(dir.path(), &["--query", "SELECT 1 AS one", "--format", "delta"]);
    assert!(String::from_utf8_lossy(&other.stderr).contains("has other columns"), "{other:?}");
}
