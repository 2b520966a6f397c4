//! Declared kinds and dimensions: from every door to every answer, across flushes, crashes and
//! later declarations.

use std::path::Path;
use std::process::Output;

use crate::server::{Client, Server, hourglass};

const HOUR_MS: i64 = 3_600_000;

fn run(args: &[&str], dir: &Path) -> Output {
    hourglass().args(args).arg("--data-dir").arg(dir).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Returns the rows of a statement as CSV, without the header.
fn rows(client: &mut Client, sql: &str) -> Vec<String> {
    let answer = client.request("POST", "/sql", "accept: text/csv\r\n", sql.as_bytes()).unwrap();
    assert_eq!(answer.status, 200, "{sql}: {}", answer.body);
    answer.body.lines().skip(1).map(str::to_owned).collect()
}

fn declared() -> [(&'static str, &'static str); 2] {
    [("HOURGLASS_KINDS", "sign-up,click"), ("HOURGLASS_DIMENSIONS", "page,source")]
}

fn post(client: &mut Client, tail: &str) {
    let answer = client.post(&format!("/analytics?timestamp={HOUR_MS}&{tail}")).unwrap();
    assert_eq!(answer.status, 204, "{tail}: {}", answer.body);
}

#[test]
fn what_is_declared_comes_in_by_every_door_and_is_there_before_and_after_a_flush_and_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &declared());
    let mut client = server.connect();
    post(&mut client, "user=ana&event=sign-up&page=%2Fhome&source=&utm=1");
    post(&mut client, "user=bob&event=click");
    let mut send = |content_type: &str, body: &str| {
        let header = format!("content-type: {content_type}\r\n");
        let answer = client.request("POST", "/events", &header, body.as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{content_type}: {}", answer.body);
    };
    send(
        "application/x-ndjson",
        r#"{"timestamp":3600001,"user":"cyd","event":"sign-up","page":null,"source":7,"x":1}"#,
    );
    send(
        "text/csv",
        "Page,user,timestamp,event\n\"/a,b\",dan,3600002,sign-up\n,eve,3600003,click\n",
    );
    send(
        "text/tab-separated-values; escape=backslash; columns=\"source=s\"",
        "timestamp\tuser\tevent\ts\n3600004\tfay\tclick\tads\n3600005\tgus\tclick\t\\N\n",
    );
    let all = "SELECT user_id, event, page, source FROM events ORDER BY 1";
    let expected = [
        "ana,sign-up,/home,",
        "bob,click,,",
        "cyd,sign-up,,7",
        "dan,sign-up,\"/a,b\",",
        "eve,click,,",
        "fay,click,,ads",
        "gus,click,,",
    ];
    let check = |client: &mut Client, when: &str| {
        assert_eq!(rows(client, all), expected, "{when}");
        let counts = "SELECT count(*), count(page), count(source), count(DISTINCT page), \
            count(*) FILTER (WHERE event = 'sign-up') FROM events";
        assert_eq!(rows(client, counts), ["7,2,2,2,3"], "{when}");
        assert_eq!(rows(client, "SELECT * FROM hours"), ["1970-01-01T01:00:00Z,7,4,0,3"], "{when}");
        let one = "SELECT user_id FROM events WHERE page = '/home'";
        assert_eq!(rows(client, one), ["ana"], "{when}");
        let none = "SELECT count(*) FROM events WHERE page IS NULL AND source IS NULL";
        assert_eq!(rows(client, none), ["3"], "{when}");
        let numbers = client.get(&format!("/analytics?timestamp={HOUR_MS}")).body;
        assert_eq!(numbers, "unique_users,7\nclicks,4\nimpressions,0\n", "{when}");
        let path = format!("/analytics?timestamp={HOUR_MS}");
        let json = client.request("GET", &path, "accept: application/json\r\n", b"").unwrap().body;
        assert!(json.ends_with(r#""clicks":4,"impressions":0,"sign-up":3}"#), "{when}: {json}");
    };
    check(&mut client, "in memory");
    let metrics = client.get("/metrics").body;
    assert!(metrics.contains("hourglass_ignored_fields_total 2\n"), "{metrics}");
    assert!(metrics.contains("hourglass_stored_events{kind=\"sign-up\"} 3\n"), "{metrics}");
    drop(client);
    server.kill();
    let server = Server::start(dir.path(), &[]);
    let mut client = server.connect();
    check(&mut client, "recovered from the log");
    assert_eq!(client.post("/admin/flush").unwrap().status, 204);
    check(&mut client, "in files");
    post(&mut client, "user=hal&event=click&page=%2Fhome");
    let both = rows(&mut client, "SELECT page, count(*) FROM events GROUP BY 1 ORDER BY 2 DESC, 1");
    assert_eq!(both[..2], [",5", "/home,2"]);
    assert_eq!(
        client.get("/schema").body,
        r#"{"dimensions":["page","source"],"kinds":["click","impression","sign-up"]}"#
    );
    assert_eq!(server.stop(), Some(0));
    let verified = run(&["verify"], dir.path());
    assert!(verified.status.success(), "{}", text(&verified.stdout));
}

#[test]
fn what_is_declared_later_is_null_in_older_files() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut client = server.connect();
    post(&mut client, "user=ana&event=click&page=ignored");
    assert_eq!(client.post("/admin/flush").unwrap().status, 204);
    post(&mut client, "user=bob&event=click");
    let refused = run(&["schema", "add", "kind", "order"], dir.path());
    assert_eq!(refused.status.code(), Some(75), "a server runs: {}", text(&refused.stderr));
    drop(client);
    server.kill();
    for (what, name) in [("kind", "order"), ("dimension", "page"), ("dimension", "source")] {
        assert!(run(&["schema", "add", what, name], dir.path()).status.success(), "{name}");
    }
    for (what, name) in [("kind", "order"), ("dimension", "user_id"), ("kind", "é")] {
        assert_eq!(run(&["schema", "add", what, name], dir.path()).status.code(), Some(78));
    }
    let shown = text(&run(&["schema", "show"], dir.path()).stdout);
    assert!(shown.ends_with("kind       order\ndimension  page\ndimension  source\n"), "{shown}");
    let server = Server::start(dir.path(), &[]);
    let mut client = server.connect();
    post(&mut client, "user=cyd&event=order&page=%2Fshop");
    let all = "SELECT user_id, event, page FROM events ORDER BY 1";
    let expected = ["ana,click,", "bob,click,", "cyd,order,/shop"];
    assert_eq!(rows(&mut client, all), expected);
    assert_eq!(client.post("/admin/flush").unwrap().status, 204);
    assert_eq!(rows(&mut client, all), expected);
    let found = rows(&mut client, "SELECT count(*), count(page) FROM events WHERE user_id < 'c'");
    assert_eq!(found, ["2,0"]);
    let commits = std::fs::read_dir(dir.path().join("events/_delta_log")).unwrap();
    let changes = commits.filter(|commit| {
        let text = std::fs::read_to_string(commit.as_ref().unwrap().path()).unwrap_or_default();
        text.contains("ADD COLUMN")
    });
    assert_eq!(changes.count(), 1, "both columns in one change of the table's schema");
    assert_eq!(server.stop(), Some(0));
    let verified = run(&["verify"], dir.path());
    assert!(verified.status.success(), "{}", text(&verified.stdout));
}

#[test]
fn a_setting_that_disagrees_with_the_directory_is_refused_with_both_named() {
    let dir = tempfile::tempdir().unwrap();
    let made = run(
        &["generate", "--end", "2020-01-01T01:00:00Z", "--dimension", "page=9:zipf"],
        dir.path(),
    );
    assert!(made.status.success(), "{}", text(&made.stderr));
    let refused = |args: &[&str]| {
        let output = run(args, dir.path());
        assert_eq!(output.status.code(), Some(78), "{args:?}: {}", text(&output.stderr));
        text(&output.stderr)
    };
    let told = refused(&["serve", "--listen", "127.0.0.1:0", "--dimensions", "page,source"]);
    assert!(told.contains("names page,source, and ") && told.contains(" has page;"), "{told}");
    let told = refused(&["serve", "--listen", "127.0.0.1:0", "--kinds", "order"]);
    assert!(told.contains("click,impression,order") && told.contains("schema add kind"), "{told}");
    let told = refused(&["generate", "--dimension", "source=9"]);
    assert!(told.contains("has no dimension source"), "{told}");
    let agreed = Server::start(dir.path(), &[("HOURGLASS_DIMENSIONS", "page")]);
    assert_eq!(agreed.stop(), Some(0));
}

#[test]
fn exports_imports_and_loads_over_http_keep_kinds_and_dimensions() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let server = Server::start(&path("a"), &declared());
    let mut client = server.connect();
    for (i, source) in ["ads", "\"mail\"", "a,b", "\\N", "née\t1"].iter().enumerate() {
        let value: String = source.bytes().map(|byte| format!("%{byte:02x}")).collect();
        post(&mut client, &format!("user=u{i}&event=sign-up&source={value}"));
    }
    post(&mut client, "user=none&event=click");
    let all = "SELECT user_id, event, page, source FROM events ORDER BY 1";
    let expected = rows(&mut client, all);
    assert_eq!(expected.len(), 6);
    for format in ["parquet", "csv", "ndjson", "delta"] {
        let out = path(format);
        let exported = hourglass()
            .args(["export", "--format", format, "--data-dir"])
            .args([&path("a"), &out])
            .output()
            .unwrap();
        assert!(exported.status.success(), "{format}: {}", text(&exported.stderr));
        let copy = if format == "delta" {
            out
        } else {
            // By the directory, then over HTTP.
            let file = out.join(format!("date=1970-01-01/hour=01/events.{format}"));
            let copy = path(&format!("{format}-copy"));
            let declared = Server::start(&copy, &declared());
            let loaded = hourglass()
                .args(["import", "--url", &format!("http://{}", declared.address)])
                .arg(&file)
                .output()
                .unwrap();
            assert!(loaded.status.success(), "{format}: {}", text(&loaded.stderr));
            assert_eq!(declared.stop(), Some(0));
            copy
        };
        let server = Server::start(&copy, &declared());
        assert_eq!(rows(&mut server.connect(), all), expected, "{format}");
        assert_eq!(server.stop(), Some(0));
    }
}

#[test]
fn saved_queries_take_a_dimension() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &declared());
    let mut client = server.connect();
    let mut at = |minute: i64, user: &str, event: &str, page: &str| {
        let ms = HOUR_MS + minute * 60_000;
        let target = format!("/analytics?timestamp={ms}&user={user}&event={event}&page={page}");
        assert_eq!(client.post(&target).unwrap().status, 204);
    };
    at(0, "ana", "impression", "/a");
    at(5, "ana", "click", "/b");
    at(40, "ana", "click", "/b");
    at(0, "bob", "impression", "/a");
    at(50, "bob", "click", "/a");
    at(1, "cyd", "impression", "/b");
    let mut ask = |query: &str| {
        let range = "dimension=page&start=1970-01-01&end=1970-01-02";
        let path = format!(
            "/queries/{query}{}{range}&format=csv",
            if query.contains('?') { "&" } else { "?" }
        );
        let answer = client.get(&path);
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        answer.body.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(ask("top_values"), ["/a,3,2", "/b,3,2"]);
    assert_eq!(ask("top_values_by_users?limit=1"), ["/a,2,3"]);
    assert_eq!(
        ask("values_by_hour"),
        ["1970-01-01T01:00:00Z,/a,3,2", "1970-01-01T01:00:00Z,/b,3,2"]
    );
    assert_eq!(ask("entries"), ["/a,3,2", "/b,2,2"]);
    assert_eq!(ask("conversion"), ["/a,2,1,50.0", "/b,1,0,0.0"]);
    let refused = client.get("/queries/top_values?dimension=nothing&start=0&end=1");
    assert!(refused.status == 400 && refused.body.contains("page, source"), "{}", refused.body);
}
