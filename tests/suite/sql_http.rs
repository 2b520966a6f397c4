//! `/sql` and `/queries` against the real process.

use std::io::Read;

use crate::server::{Client, Server};

/// A server with three hours, two of them in files.
fn start() -> (tempfile::TempDir, Server, Client) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[("HOURGLASS_QUERY_TIMEOUT", "3s")]);
    let mut client = server.connect();
    for hour in 0..3_u64 {
        for user in 0..=hour {
            let target =
                format!("/analytics?timestamp={}&user=u{user}&event=click", hour * 3_600_000);
            assert_eq!(client.post(&target).unwrap().status, 204);
        }
        if hour == 1 {
            assert_eq!(client.post("/admin/flush").unwrap().status, 204);
        }
    }
    (dir, server, client)
}

fn sql(client: &mut Client, accept: &str, body: &str) -> crate::server::Answer {
    client.request("POST", "/sql", &format!("accept: {accept}\r\n"), body.as_bytes()).unwrap()
}

#[test]
fn a_statement_is_answered_in_the_format_asked_for_with_its_receipt() {
    let (_dir, _server, mut client) = start();
    let statement = "SELECT date_trunc('hour', timestamp) AS hour, count(*) AS n FROM events GROUP BY 1 ORDER BY 1";
    let json = sql(&mut client, "*/*", statement);
    assert_eq!(json.status, 200, "{}", json.body);
    assert_eq!(json.header("content-type"), Some("application/json"));
    let first = r#"[{"hour":"1970-01-01T00:00:00Z","n":1},{"hour":"1970-01-01T01:00:00Z","n":2}"#;
    assert!(json.body.starts_with(first), "{}", json.body);
    assert_eq!(json.header("hourglass-partitions"), Some("considered=3, pruned=0, read=3"));
    assert_eq!(
        (json.header("hourglass-rollup"), json.header("hourglass-bytes-read")),
        (Some("?1"), Some("0"))
    );
    assert!(json.header("server-timing").unwrap().starts_with("plan;dur="));

    let csv = sql(
        &mut client,
        "text/csv",
        "SELECT user_id, event FROM events WHERE timestamp < '1970-01-01T01:00:00Z'",
    );
    assert_eq!(csv.body, "user_id,event\nu0,click\n");
    assert_eq!(csv.header("hourglass-partitions"), Some("considered=3, pruned=2, read=1"));
    assert_eq!(csv.header("hourglass-files"), Some("considered=2, pruned=1, read=1"));
    assert_ne!(csv.header("hourglass-bytes-read"), Some("0"));

    let ndjson =
        sql(&mut client, "application/x-ndjson", "SELECT 1 AS a UNION ALL SELECT 2 ORDER BY a");
    assert_eq!(ndjson.body, "{\"a\":1}\n{\"a\":2}\n");
    assert_eq!(sql(&mut client, "image/png", "SELECT 1").status, 406);
}

#[test]
fn parameters_and_options_come_with_the_statement() {
    let (_dir, _server, mut client) = start();
    let mut ask = |body: &str| {
        let answer = client
            .request("POST", "/sql", "content-type: application/json\r\n", body.as_bytes())
            .unwrap();
        (answer.status, answer.body.clone(), answer.header("hourglass-rollup").map(String::from))
    };
    let named = r#"{"query": "SELECT count(*) AS n FROM events WHERE user_id = $user", "params": {"user": "u0"}}"#;
    assert_eq!(ask(named).1, r#"[{"n":3}]"#);
    // Regression: beside an interval, a parameter was taken for another interval.
    let scaled = r#"{"query": "SELECT $1 * INTERVAL '1 minute' AS a, INTERVAL '1 hour' / $1 AS b", "params": [5]}"#;
    assert_eq!(ask(scaled).1, r#"[{"a":"5 mins","b":"12 mins"}]"#);
    let positional = r#"{"query": "SELECT count(*) AS n FROM events WHERE timestamp >= $1", "params": ["1970-01-01T02:00:00Z"]}"#;
    assert_eq!(ask(positional), (200, r#"[{"n":3}]"#.into(), Some("?1".into())));
    let off = r#"{"query": "SELECT count(*) AS n FROM events", "settings": {"hourglass.rollups": "false"}}"#;
    assert_eq!(ask(off), (200, r#"[{"n":6}]"#.into(), Some("?0".into())));
    let (status, body, _) = ask(r#"{"query": "SELECT $missing"}"#);
    assert!(status == 400 && body.contains("$missing"), "{body}");
    assert_eq!(
        ask(r#"{"query": "SELECT 1", "settings": {"datafusion.runtime.memory_limit": "1G"}}"#).0,
        400
    );
    let get = client.get("/sql?q=SELECT+$user+AS+user&user=ana");
    assert_eq!(get.body, r#"[{"user":"ana"}]"#);
}

/// Bug: the weights of `Accept` were ignored, and `q=0` too. Consequence: a client that refused a
/// format got it. Cure: the weights count (RFC 9110, section 12.5.1), and 406 names the formats
/// where all of them are refused.
#[test]
fn the_answer_has_the_format_that_is_wanted_most() {
    let (_dir, _server, mut client) = start();
    let mut kind = |target: &str, accept: &str| {
        let answer = client.request("GET", target, &format!("accept: {accept}\r\n"), b"").unwrap();
        (answer.status, answer.header("content-type").unwrap_or_default().to_string(), answer.body)
    };
    for target in ["/sql?q=SELECT+1+AS+a", "/queries/partition_sizes?limit=1"] {
        for (accept, expected) in [
            ("*/*", "application/json"),
            ("application/json;q=0.5, text/csv", "text/csv"),
            ("application/json;q=0, */*;q=0.1", "application/x-ndjson"),
            ("text/csv;q=0, text/*", "text/tab-separated-values"),
            ("image/png, text/csv;q=0.001", "text/csv"),
        ] {
            let (status, kind, _) = kind(target, accept);
            assert_eq!((status, kind.as_str()), (200, expected), "{target} {accept}");
        }
        for accept in ["*/*;q=0", "text/csv;q=0", "image/png", "text/csv;q=1.5"] {
            let (status, _, body) = kind(target, accept);
            assert!(
                status == 406 && body.contains("application/vnd.apache.parquet"),
                "{target} {accept}: {body}"
            );
        }
    }
    // The three lines are for everybody who does not want JSON more.
    let hour = "/analytics?timestamp=0";
    for accept in [
        "*/*",
        "*/*;q=0",
        "application/*",
        "application/json;q=0",
        "application/json;q=0.5, */*",
        "image/png",
    ] {
        let (status, kind, body) = kind(hour, accept);
        assert_eq!((status, kind.as_str()), (200, "text/plain; charset=utf-8"), "{accept}");
        assert_eq!(body, "unique_users,1\nclicks,1\nimpressions,0\n");
    }
    for accept in [
        "application/json",
        "application/json, text/plain, */*",
        "text/plain;q=0.5,application/json;q=0.6",
    ] {
        assert_eq!(kind(hour, accept).1, "application/json", "{accept}");
    }
}

#[test]
fn a_url_alone_names_the_format() {
    let (_dir, _server, mut client) = start();
    let csv = "a\n1\n";
    let mut ask = |method: &str, target: &str, headers: &str, body: &str| {
        let answer = client.request(method, target, headers, body.as_bytes()).unwrap();
        (answer.status, answer.body)
    };
    let json = "accept: application/json\r\n";
    assert_eq!(ask("GET", "/sql?q=SELECT+1+AS+a&format=csv", json, ""), (200, csv.into()));
    assert_eq!(
        ask("GET", "/sql?format=ndjson&q=SELECT+$a+AS+a&a=1", "", ""),
        (200, "{\"a\":\"1\"}\n".into())
    );
    assert_eq!(ask("POST", "/sql?format=csv", json, "SELECT 1 AS a"), (200, csv.into()));
    let body = r#"{"query": "SELECT 1 AS a", "format": "csv"}"#;
    assert_eq!(ask("POST", "/sql", "content-type: application/json\r\n", body), (200, csv.into()));
    let tsv = ask(
        "POST",
        "/sql?format=tsv",
        "content-type: application/json\r\n",
        &body.replace("1 AS a", "1 AS a, 2 AS b"),
    );
    assert_eq!(tsv, (200, "a\tb\n1\t2\n".into()));
    let named =
        ask("GET", "/queries/top_users?start=0&end=1970-01-02&limit=1&format=csv", json, "");
    assert!(named.1.starts_with("user_id,events,"), "{}", named.1);
    for (method, target, body) in [
        ("GET", "/sql?q=SELECT+1&format=xls", ""),
        ("GET", "/sql?q=SELECT+1&format=", ""),
        ("GET", "/queries/partition_sizes?format=CSVs", ""),
        ("POST", "/sql?format=xls", "SELECT 1"),
    ] {
        let (status, problem) = ask(method, target, "", body);
        assert!(
            status == 400
                && problem.contains("the formats are json, ndjson, csv, tsv, arrow, parquet"),
            "{problem}"
        );
    }
}

/// A byte order salt, as Windows writes it, before a statement and before a body of JSON.
#[test]
fn a_byte_order_mark_is_no_part_of_a_statement() {
    let (_dir, _server, mut client) = start();
    for (kind, body) in [
        ("application/sql", "\u{feff}SELECT 1 AS a"),
        ("application/json", "\u{feff}{\"query\": \"SELECT 1 AS a\"}"),
    ] {
        let answer = client
            .request("POST", "/sql", &format!("content-type: {kind}\r\n"), body.as_bytes())
            .unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, r#"[{"a":1}]"#), "{kind}");
    }
}

#[test]
fn a_folder_of_ones_own_is_served_beside_the_library() {
    let dir = tempfile::tempdir().unwrap();
    let queries = dir.path().join("queries");
    std::fs::create_dir(&queries).unwrap();
    let text = "-- Events of a user.\n-- $user text: who\nSELECT count(*) AS n FROM events WHERE user_id = $user;\n";
    std::fs::write(queries.join("of-user.sql"), text).unwrap();
    let server = Server::start(
        &dir.path().join("store"),
        &[("HOURGLASS_QUERIES", queries.to_str().unwrap())],
    );
    let mut client = server.connect();
    client.post("/analytics?timestamp=0&user=ana&event=click").unwrap();
    assert_eq!(client.get("/queries/of-user?user=ana&format=csv").body, "n\n1\n");
    let list: serde_json::Value = serde_json::from_str(&client.get("/queries").body).unwrap();
    assert!(list.as_array().unwrap().iter().any(|named| named["name"] == "of-user"), "{list}");
    assert!(list.as_array().unwrap().iter().any(|named| named["name"] == "top_users"), "{list}");
    // The shell of that server knows it, too.
    let url = format!("http://{}", server.address);
    let run = |args: &[&str]| {
        crate::server::hourglass().args(["sql", "--format", "csv"]).args(args).output().unwrap()
    };
    let listed = run(&["--url", &url, "-c", "\\l"]);
    assert!(
        String::from_utf8_lossy(&listed.stdout).contains("of-user,user=…,Events of a user."),
        "{listed:?}"
    );
    let store = dir.path().join("store");
    let (store, queries) = (store.to_str().unwrap(), queries.to_str().unwrap());
    let here = run(&["--data-dir", store, "--queries", queries, "-c", "\\run of-user user=ana"]);
    let there = run(&["--url", &url, "-c", "\\run of-user user=ana"]);
    assert_eq!(
        (&here.stdout, &there.stdout),
        (&b"n\n1\n".to_vec(), &b"n\n1\n".to_vec()),
        "{here:?} {there:?}"
    );
    std::fs::write(std::path::Path::new(queries).join("bad.sql"), "SELECT 1 )").unwrap();
    let refused = run(&["--data-dir", store, "--queries", queries, "-c", "SELECT 1"]);
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("bad.sql: line 1, column "),
        "{refused:?}"
    );
    assert_eq!(refused.status.code(), Some(78));
}

#[test]
fn a_fault_in_a_statement_is_a_problem_with_its_place() {
    let (_dir, _server, mut client) = start();
    let answer = sql(&mut client, "*/*", "SELECT\n  nothing FROM events");
    let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(
        (answer.status, &problem["line"], &problem["column"]),
        (400, &2.into(), &3.into()),
        "{problem}"
    );
    for refused in [
        "DROP TABLE events",
        "INSERT INTO events VALUES (1)",
        "COPY events TO 'x.csv'",
        "SELECT * FROM 'a.csv'",
        "",
    ] {
        assert_eq!(sql(&mut client, "*/*", refused).status, 400, "{refused}");
    }
    assert_eq!(
        client.get("/analytics?timestamp=0").body,
        "unique_users,1\nclicks,1\nimpressions,0\n"
    );
}

#[test]
fn a_statement_without_end_is_stopped_and_the_next_is_answered() {
    let (_dir, _server, mut client) = start();
    let endless = "SELECT count(*) FROM generate_series(1, 100000000) a JOIN generate_series(1, 100000000) b ON a.value < b.value";
    let answer = sql(&mut client, "*/*", endless);
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert!(answer.body.contains("query_timeout"), "{}", answer.body);
    assert_eq!(sql(&mut client, "text/csv", "SELECT 1 AS a").body, "a\n1\n");
    let failed = "SELECT count(*) AS n FROM system.queries WHERE state = 'failed' AND error LIKE '%query_timeout%'";
    assert_eq!(sql(&mut client, "text/csv", failed).body, "n\n1\n");
}

#[test]
fn a_long_answer_streams_and_ends() {
    let (_dir, server, _client) = start();
    let url = format!("http://{}/sql", server.address);
    let statement = "SELECT value FROM generate_series(1, 400000) ORDER BY value";
    let mut answer = ureq::post(&url).header("accept", "text/csv").send(statement).unwrap();
    let mut text = String::new();
    answer.body_mut().as_reader().read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count(), 400_001);
    assert_eq!(text.lines().last(), Some("400000"));
}

#[test]
fn the_library_lists_and_runs() {
    let (_dir, _server, mut client) = start();
    let list: serde_json::Value = serde_json::from_str(&client.get("/queries").body).unwrap();
    assert!(list.as_array().unwrap().iter().any(|named| named["name"] == "top_users"), "{list}");
    let top = client.get("/queries/top_users?start=0&end=1970-01-02&limit=1");
    assert!(top.body.starts_with(r#"[{"user_id":"u0","events":3"#), "{}", top.body);
    let missing = client.get("/queries/top_users?start=0");
    assert!(missing.status == 400 && missing.body.contains("end: is missing"), "{}", missing.body);
    assert_eq!(client.get("/queries/nothing").status, 404);
    let range = "start=0&end=1970-01-02";
    for named in list.as_array().unwrap() {
        let given = match named["name"].as_str().unwrap() {
            "day_by_hour" => "day=0".to_string(),
            "new_and_returning" | "lapsed_and_revived" => {
                "earlier=0&start=1970-01-01T01:00:00Z&end=1970-01-02".to_string()
            }
            "late_events" | "partition_sizes" => String::new(),
            _ => range.to_string(),
        };
        let path = format!("/queries/{}?{given}", named["name"].as_str().unwrap());
        if named["parameters"].to_string().contains(r#""dimension""#) {
            let answer = client.get(&format!("{path}&dimension=page"));
            let is_told = answer.body.contains("dimension: the store has no dimensions");
            assert!(answer.status == 400 && is_told, "{named} {}", answer.body);
            continue;
        }
        let answer = client.get(&path);
        assert_eq!(answer.status, 200, "{named} {}", answer.body);
    }
    let users = client
        .get("/queries/new_and_returning?earlier=0&start=1970-01-01T01:00:00Z&end=1970-01-02")
        .body;
    assert_eq!(users, r#"[{"new_users":2,"returning_users":1}]"#);
    client.post("/analytics?timestamp=1&user=late&event=click").unwrap();
    let late = client.get("/queries/late_events").body;
    let first = r#"[{"hour":"1970-01-01T00:00:00Z","late_events":1,"events":2,"files":1,"state":"files and memory"}]"#;
    assert_eq!(late, first);
}

#[test]
fn a_statement_that_needs_too_much_memory_is_refused_and_the_server_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let env = [("HOURGLASS_QUERY_MEMORY_BYTES", "4MiB"), ("HOURGLASS_QUERY_SPILL_BYTES", "1MiB")];
    let server = Server::start(dir.path(), &env);
    let mut client = server.connect();
    let heavy = "SELECT value * 7919 % 3000017 AS v, count(*) FROM generate_series(1, 3000000) GROUP BY v ORDER BY 2, 1 LIMIT 1";
    let answer = sql(&mut client, "*/*", heavy);
    // Whichever is reached first.
    let is_told =
        ["query_spill_bytes", "query_memory_bytes"].iter().any(|name| answer.body.contains(name));
    assert!(answer.status == 422 && is_told, "{} {}", answer.status, answer.body);
    // What cannot be put aside in files.
    let held = "SELECT array_agg(value) FROM generate_series(1, 3000000)";
    let answer = sql(&mut client, "*/*", held);
    assert!(
        answer.status == 422 && answer.body.contains("query_memory"),
        "{} {}",
        answer.status,
        answer.body
    );
    assert_eq!(sql(&mut client, "text/csv", "SELECT 1 AS a").body, "a\n1\n");
}

/// Bug: a statement gave up its slot a moment after its last row had been told. Consequence: who
/// asked one statement after another met a 503 of their own making. Cure: the slot is free before
/// the end is told.
#[test]
fn one_statement_after_another_needs_one_slot() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[("HOURGLASS_QUERY_CONCURRENCY", "1")]);
    let mut client = server.connect();
    for statement in
        ["SELECT 1", "SET hourglass.rollups = true", "SELECT nothing FROM events"].repeat(200)
    {
        let answer = sql(&mut client, "*/*", statement);
        assert_ne!(answer.status, 503, "{statement}: {}", answer.body);
    }
}

#[test]
fn past_the_statements_that_may_run_the_answer_is_503_and_events_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let env = [("HOURGLASS_QUERY_CONCURRENCY", "1"), ("HOURGLASS_QUERY_TIMEOUT", "60s")];
    let server = Server::start(dir.path(), &env);
    let endless = "SELECT count(*) FROM generate_series(1, 100000000) a JOIN generate_series(1, 100000000) b ON a.value < b.value";
    let asked = format!(
        "POST /sql HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\n\r\n{endless}",
        endless.len()
    );
    let (mut busy, mut client) = (Vec::new(), server.connect());
    let refused = (0..100).find_map(|_| {
        // Asked again and again: one that comes while the client's own statement runs is itself
        // refused.
        busy.push(server.connect());
        busy.last_mut().unwrap().write(asked.as_bytes()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        Some(sql(&mut client, "*/*", "SELECT 1")).filter(|answer| answer.status != 200)
    });
    let refused = refused.expect("the one slot is taken");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(client.post("/analytics?timestamp=0&user=a&event=click").unwrap().status, 204);
    assert_eq!(
        client.get("/analytics?timestamp=0").body,
        "unique_users,1\nclicks,1\nimpressions,0\n"
    );
    // Who asked goes away, and the slot is free again.
    drop(busy);
    let freed = (0..250).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        sql(&mut client, "*/*", "SELECT 1").status == 200
    });
    assert!(freed, "a statement goes on after who asked for it has gone");
}
