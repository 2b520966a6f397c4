//! Time travel: the sealed hours as they were, by version and by time, through every door; and the
//! table of commits by which versions are found.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hourglass::event::{EventBatch, EventKind};
use hourglass::hour::{Clock, HOUR_US, SystemClock};
use hourglass::query::{Params, QueryEngine, Session};
use hourglass::rows::{RowFormat, RowWriter, SharedBuffer};
use hourglass::storage::vfs::{Disk, Vfs};
use hourglass::storage::{AsOf, Engine, EngineOptions, ReadOnly, Snapshot};

use crate::server::{Server, hourglass};
use crate::support::{ManualClock, Model, assert_answers, block_on, open, query_engine, random};

/// Events in the hours 0 to 5: some new, some late, of few users.
fn batch(seed: &mut u64, events: usize) -> EventBatch {
    let mut batch = EventBatch::new();
    for _ in 0..events {
        let us = random(seed, 6) as i64 * HOUR_US + random(seed, HOUR_US as u64) as i64;
        let kind = EventKind::CONTRACT[random(seed, 2) as usize];
        batch.push(us, &format!("user {}", random(seed, 40)), kind);
    }
    batch
}

/// A store of `versions` flushes, with what was true after each, and an instant after each of them
/// and before the next.
struct Grown {
    dir: tempfile::TempDir,
    engine: Engine,
    models: Vec<Model>,
    instants_us: Vec<i64>,
}

async fn grown(versions: usize) -> Grown {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), ManualClock::at(10 * HOUR_US));
    let mut grown =
        Grown { dir, engine, models: vec![Model::default()], instants_us: vec![between()] };
    let mut seed = 7;
    for _ in 0..versions {
        let (batch, mut model) = (batch(&mut seed, 30), grown.models.last().unwrap().clone());
        model.add(&batch);
        grown.engine.append(batch).await.unwrap();
        grown.engine.flush().await.unwrap();
        grown.models.push(model);
        grown.instants_us.push(between());
    }
    // What is in memory is in no version.
    grown.engine.append(batch(&mut seed, 30)).await.unwrap();
    grown
}

/// Returns the present instant, with no commit in the milliseconds around it.
fn between() -> i64 {
    thread::sleep(Duration::from_millis(4));
    let now_us = SystemClock.now_us();
    thread::sleep(Duration::from_millis(4));
    now_us
}

impl Grown {
    fn log(&self) -> PathBuf {
        self.dir.path().join("events/_delta_log")
    }

    async fn refusal(&self, as_of: AsOf) -> String {
        self.engine.snapshot().as_of(as_of).await.unwrap_err().to_string()
    }
}

async fn csv(
    query: &Arc<QueryEngine>,
    session: &mut Session,
    snapshot: &Arc<Snapshot>,
    sql: &str,
) -> Result<String, String> {
    let text = |error: hourglass::error::Error| error.to_string();
    let answer = query.run_text(session, snapshot, sql, Params::None).await.map_err(text)?;
    let buffer = SharedBuffer::default();
    let mut writer =
        RowWriter::new(RowFormat::Csv, &answer.schema, buffer.clone()).map_err(text)?;
    for batch in answer.collect().await.map_err(text)? {
        writer.write(&batch).map_err(text)?;
    }
    writer.finish().map_err(text)?;
    Ok(String::from_utf8(buffer.take()).unwrap())
}

#[test]
fn every_version_answers_as_it_was_by_its_number_and_by_the_time_after_it() {
    block_on(async {
        let grown = grown(6).await;
        let present = grown.engine.snapshot();
        // Backwards and forwards, so that the cached version is never the one asked for.
        let numbers = 0..grown.models.len();
        for version in numbers.clone().rev().chain(numbers) {
            let (model, us) = (&grown.models[version], grown.instants_us[version]);
            let then = present.as_of(AsOf::Version(version as u64)).await.unwrap();
            assert_answers(&then, model).await;
            let then = present.as_of(AsOf::Time(us)).await.unwrap();
            assert_answers(&then, model).await;
            assert_eq!(then.memtables().map(|memtable| memtable.hours.len()).sum::<usize>(), 0);
            let again = then.as_of(AsOf::Version(version as u64)).await.unwrap();
            assert_eq!(again.file_count, then.file_count);
        }
        let store: Arc<dyn Vfs> = Arc::new(Disk);
        let beside =
            ReadOnly::open(grown.dir.path(), &EngineOptions::default(), &store).unwrap().snapshot;
        assert_answers(&beside.as_of(AsOf::Version(2)).await.unwrap(), &grown.models[2]).await;
        let much_later = present.as_of(AsOf::Time(i64::MAX)).await.unwrap();
        assert_answers(&much_later, grown.models.last().unwrap()).await;
    });
}

#[test]
fn a_session_travels_by_set_and_returns_by_reset() {
    block_on(async {
        let grown = grown(3).await;
        let (query, snapshot) = (Arc::new(query_engine(true)), grown.engine.snapshot());
        let mut session = query.new_session();
        let mut ask = async |sql: &str| csv(&query, &mut session, &snapshot, sql).await;
        let count = "SELECT count(*) AS n FROM events";
        assert_eq!(ask(count).await.unwrap(), "n\n120\n");
        assert_eq!(
            ask("SHOW hourglass.as_of").await.unwrap(),
            "name,value\nhourglass.as_of,\"\"\n"
        );
        ask("SET hourglass.as_of = 2").await.unwrap();
        assert_eq!(ask(count).await.unwrap(), "n\n60\n");
        assert_eq!(ask("SHOW hourglass.as_of").await.unwrap(), "name,value\nhourglass.as_of,2\n");
        for sum in [
            "SELECT sum(clicks + impressions) AS n FROM hours",
            "SELECT sum(rows) AS n FROM system.partitions",
            "SELECT sum(rows) AS n FROM system.files",
            "SELECT count(*) AS n FROM events WHERE user_id <> ''",
        ] {
            assert_eq!(ask(sum).await.unwrap(), "n\n60\n", "{sum}");
        }
        let states = "SELECT DISTINCT state FROM system.partitions";
        assert_eq!(ask(states).await.unwrap(), "state\nfiles\n");
        let rows = "SELECT count(*) AS n, count(DISTINCT user_id) AS users FROM events";
        let at_once = ask(rows).await.unwrap();
        assert_eq!(ask(&format!("SET hourglass.rollups = false; {rows}")).await.unwrap(), at_once);
        // A version that is refused changes nothing.
        let refused = ask("SET hourglass.as_of = 4").await.unwrap_err();
        assert!(refused.contains("version 4 is newer than the newest, 3 of 20"), "{refused}");
        assert!(ask("SET hourglass.as_of = 'tomorrow'").await.unwrap_err().contains("neither"));
        assert_eq!(ask(count).await.unwrap(), "n\n60\n");
        ask("RESET hourglass.as_of").await.unwrap();
        assert_eq!(ask(count).await.unwrap(), "n\n120\n");
        assert_eq!(ask("SET hourglass.as_of = ''; SELECT 1 AS a").await.unwrap(), "a\n1\n");
        assert_eq!(ask(count).await.unwrap(), "n\n120\n");
    });
}

#[test]
fn a_version_that_cannot_be_read_is_refused_with_one_that_can() {
    block_on(async {
        let grown = grown(52).await;
        let first = grown.instants_us[0] - 60_000_000_000;
        let refused = grown.refusal(AsOf::Time(first)).await;
        assert!(refused.starts_with("as_of: no commit of the log is as old as 20"), "{refused}");
        assert!(refused.contains("the oldest version that can be read is 0 of 20"), "{refused}");
        let refused = grown.refusal(AsOf::Version(u64::MAX)).await;
        assert!(refused.contains("is newer than the newest, 52 of 20"), "{refused}");
        // Log clean-up: a checkpoint at 50 stands for the commits before it.
        for version in 0..50 {
            fs::remove_file(grown.log().join(format!("{version:020}.json"))).unwrap();
        }
        for as_of in [AsOf::Version(49), AsOf::Time(grown.instants_us[49]), AsOf::Version(0)] {
            let refused = grown.refusal(as_of).await;
            assert!(
                refused.contains("the oldest version that can be read is 50 of 20"),
                "{refused}"
            );
        }
        let present = grown.engine.snapshot();
        for version in [50, 51, 52] {
            let then = present.as_of(AsOf::Version(version as u64)).await.unwrap();
            assert_answers(&then, &grown.models[version]).await;
            let then = present.as_of(AsOf::Time(grown.instants_us[version])).await.unwrap();
            assert_answers(&then, &grown.models[version]).await;
        }
        let commits = present.commits().await.unwrap();
        assert_eq!(commits.iter().map(|commit| commit.version).collect::<Vec<_>>(), [50, 51, 52]);
    });
}

/// Rewrites the file of version 1 under another name, in a commit as another engine writes it, and
/// returns the path of the replaced file.
fn replace_a_file(log: &Path) -> PathBuf {
    let commit = fs::read_to_string(log.join(format!("{:020}.json", 1))).unwrap();
    let add = commit.lines().find(|line| line.starts_with("{\"add\"")).unwrap();
    let mut add: serde_json::Value = serde_json::from_str(add).unwrap();
    let path = add["add"]["path"].as_str().unwrap().to_string();
    let copy = path.replace("part-", "part-copy-");
    add["add"]["path"] = copy.as_str().into();
    add["add"]["dataChange"] = false.into();
    let table = log.parent().unwrap();
    fs::copy(table.join(&path), table.join(&copy)).unwrap();
    let info = serde_json::json!({ "commitInfo": { "timestamp": SystemClock.now_us() / 1_000,
        "operation": "OPTIMIZE", "engineInfo": "other/1.0" } });
    let remove = serde_json::json!({ "remove": { "path": path, "dataChange": false,
        "deletionTimestamp": 1, "extendedFileMetadata": false } });
    fs::write(log.join(format!("{:020}.json", 3)), format!("{info}\n{add}\n{remove}\n")).unwrap();
    table.join(path)
}

#[test]
fn a_version_whose_files_were_replaced_answers_until_they_are_removed() {
    block_on(async {
        let grown = grown(2).await;
        let replaced = replace_a_file(&grown.log());
        let (vfs, options): (Arc<dyn Vfs>, _) = (Arc::new(Disk), EngineOptions::default());
        let present = ReadOnly::open(grown.dir.path(), &options, &vfs).unwrap().snapshot;
        for (version, model) in [(1, 1), (2, 2), (3, 2)] {
            let then = present.as_of(AsOf::Version(version)).await.unwrap();
            assert_answers(&then, &grown.models[model]).await;
        }
        let query = Arc::new(query_engine(true));
        let mut session = query.new_session();
        let mut ask = async |sql: &str| csv(&query, &mut session, &present, sql).await;
        let commits =
            ask("SELECT version, operation, engine, files_added AS fa, files_removed AS fr, \
             rows_added > 0 AS ra, rows_added = rows_removed AS same, bytes_removed > 0 AS br \
             FROM system.commits WHERE version > 1 ORDER BY version");
        let commits = commits.await.unwrap();
        assert!(commits.ends_with("\n3,OPTIMIZE,other/1.0,1,1,true,true,true\n"), "{commits}");
        // The version is cached, and its files are looked for all the same.
        ask("SET hourglass.as_of = 1").await.unwrap();
        fs::remove_file(&replaced).unwrap();
        for statement in ["SELECT count(*) FROM events", "SET hourglass.as_of = 2"] {
            let refused = ask(statement).await.unwrap_err();
            assert!(
                refused.contains("can no longer be read: its data file events/date="),
                "{refused}"
            );
        }
        ask("RESET hourglass.as_of").await.unwrap();
        assert_eq!(ask("SELECT count(*) AS n FROM events").await.unwrap(), "n\n90\n");
        let last = present.as_of(AsOf::Version(3)).await.unwrap();
        assert_answers(&last, &grown.models[2]).await;
    });
}

#[test]
fn commits_say_what_each_one_changed() {
    block_on(async {
        let grown = grown(3).await;
        let (query, snapshot) = (Arc::new(query_engine(true)), grown.engine.snapshot());
        let mut session = query.new_session();
        let mut ask = async |sql: &str| csv(&query, &mut session, &snapshot, sql).await.unwrap();
        let rows = ask(
            "SELECT version, operation, engine LIKE 'delta-rs%' AS ours, files_added > 0 AS files, \
             files_removed AS fr, rows_added, rows_removed AS rr, bytes_removed AS br \
             FROM system.commits ORDER BY version",
        );
        assert_eq!(
            rows.await,
            "version,operation,ours,files,fr,rows_added,rr,br\n\
             0,CREATE TABLE,true,false,0,0,0,0\n\
             1,WRITE,true,true,0,30,0,0\n\
             2,WRITE,true,true,0,30,0,0\n\
             3,WRITE,true,true,0,30,0,0\n"
        );
        let totals = "SELECT (SELECT sum(bytes_added) FROM system.commits) = \
            (SELECT sum(bytes) FROM system.files) AS bytes, (SELECT sum(files_added) FROM \
            system.commits) = (SELECT count(*) FROM system.files) AS files";
        assert_eq!(ask(totals).await, "bytes,files\ntrue,true\n");
        // The time of a commit names its version.
        let at = ask("SELECT committed_at FROM system.commits WHERE version = 2").await;
        let at = at.lines().nth(1).unwrap();
        let count = format!("SET hourglass.as_of = '{at}'; SELECT count(*) AS n FROM events");
        assert_eq!(ask(&count).await, "n\n60\n");
        // The log is that of the present.
        assert_eq!(ask("SELECT max(version) AS v FROM system.commits").await, "v\n3\n");
    });
}

/// A server on a store with a click an hour of version 1, one more of version 2, and one in memory.
fn serve() -> (tempfile::TempDir, Server) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut client = server.connect();
    for user in ["ana", "ben", "cleo"] {
        let target = format!("/analytics?timestamp=0&user={user}&event=click");
        assert_eq!(client.post(&target).unwrap().status, 204);
        if user != "cleo" {
            assert_eq!(client.post("/admin/flush").unwrap().status, 204);
        }
    }
    (dir, server)
}

#[test]
fn a_request_names_the_version_in_its_url_or_its_body() {
    let (_dir, server) = serve();
    let mut client = server.connect();
    let count = "SELECT+count(*)+AS+n+FROM+events&format=csv";
    let mut get = |target: &str| {
        let answer = client.get(target);
        (answer.status, answer.body)
    };
    let rows = |n: u64| (200, format!("n\n{n}\n"));
    assert_eq!(get(&format!("/sql?q={count}")), rows(3));
    assert_eq!(get(&format!("/sql?q={count}&as_of=")), rows(3));
    for (version, n) in [("0", 0), ("1", 1), ("2", 2), ("9999-01-01", 2), ("9998-12-31+10:00", 2)] {
        assert_eq!(get(&format!("/sql?q={count}&as_of={version}")), rows(n), "{version}");
    }
    for (version, reason) in [
        ("3", "newer than the newest, 2 of"),
        ("then", "neither a version nor a time"),
        ("2001-01-01", "the oldest version that can be read is 0 of"),
        ("1&as_of=2", "more than once"),
    ] {
        let (status, body) = get(&format!("/sql?q={count}&as_of={version}"));
        assert!(status == 400 && body.contains(reason), "{version}: {body}");
        let names = body.contains("\"parameter\":\"as_of\"");
        assert!(names || version.contains('&'), "{version}: {body}");
    }
    let hour = "/queries/range_totals?start=1970-01-01&end=1970-01-02&format=csv";
    let totals = |answer: (u16, String)| {
        let last = answer.1.lines().last().unwrap_or_default().to_string();
        (answer.0, last)
    };
    let (now, then) = (totals(get(hour)), totals(get(&format!("{hour}&as_of=1"))));
    assert!(now.0 == 200 && then.0 == 200 && now != then, "{now:?} {then:?}");
    assert_eq!(
        get("/analytics?timestamp=0&as_of=1").1,
        "unique_users,3\nclicks,3\nimpressions,0\n"
    );
}

#[test]
fn a_posted_statement_names_the_version_in_every_way() {
    let (_dir, server) = serve();
    let mut client = server.connect();
    let mut post = |target: &str, kind: &str, body: &str| {
        let headers = format!("content-type: {kind}\r\naccept: text/csv\r\n");
        let answer = client.request("POST", target, &headers, body.as_bytes()).unwrap();
        (answer.status, answer.body)
    };
    let rows = |n: u64| (200, format!("n\n{n}\n"));
    let (count, json, sql) =
        ("SELECT count(*) AS n FROM events", "application/json", "application/sql");
    assert_eq!(post("/sql?as_of=1", sql, count), rows(1));
    assert_eq!(post("/sql", sql, &format!("SET hourglass.as_of = 1; {count}")), rows(1));
    let set = format!("SET hourglass.as_of = 1; RESET hourglass.as_of; {count}");
    assert_eq!(post("/sql", sql, &set), rows(3));
    for (member, n) in [
        (r#""as_of": 1"#, 1),
        (r#""as_of": "2""#, 2),
        (r#""as_of": null"#, 3),
        (r#""settings": {"hourglass.as_of": "1"}"#, 1),
        (r#""settings": {"hourglass.as_of": "1"}, "as_of": 2"#, 2),
    ] {
        let body = format!(r#"{{"query": "{count}", {member}}}"#);
        assert_eq!(post("/sql", json, &body), rows(n), "{member}");
    }
    let body = format!(r#"{{"query": "{count}", "as_of": 2}}"#);
    assert_eq!(post("/sql?as_of=1", json, &body), rows(1));
    for member in [r#""as_of": 1.5"#, r#""as_of": true"#, r#""as_of": [1]"#, r#""as_of": -1"#] {
        let (status, text) = post("/sql", json, &format!(r#"{{"query": "{count}", {member}}}"#));
        assert!(status == 400 && text.contains("neither a version nor a time"), "{text}");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_shell_travels_in_a_directory_and_through_a_server() {
    let (dir, server) = serve();
    let url = format!("http://{}", server.address);
    let dir = dir.path().to_str().unwrap();
    let count = "SELECT count(*) AS n FROM events";
    let saved = "\\run range_totals start=1970-01-01 end=1970-01-02";
    for place in [["--data-dir", dir], ["--url", &url]] {
        let run = |args: &[&str]| -> Output {
            let mut command = hourglass();
            command.args(["sql", "--format", "csv"]).args(place).args(args).output().unwrap()
        };
        let says = |args: &[&str]| {
            let output = run(args);
            assert_eq!(text(&output.stderr), "", "{place:?} {args:?}");
            text(&output.stdout)
        };
        assert_eq!(says(&["-c", count]), "n\n3\n");
        assert_eq!(says(&["--as-of", "1", "-c", count]), "n\n1\n");
        assert_eq!(says(&["--as-of", "9999-12-31", "-c", count]), "n\n2\n");
        let script = format!(
            "SET hourglass.as_of = '9999-12-31 10:00'; {count}; SET hourglass.as_of TO 1; {count}; \
             SHOW hourglass.as_of; RESET hourglass.as_of; {count}"
        );
        let expected = "n\n2\nn\n1\nname,value\nhourglass.as_of,1\nn\n3\n";
        assert_eq!(says(&["-c", &script]), expected);
        assert_eq!(says(&["--as-of", "2", "-c", "RESET hourglass.as_of", "-c", count]), "n\n3\n");
        let (now, then) = (says(&["-c", saved]), says(&["--as-of", "1", "-c", saved]));
        assert_ne!(now, then, "{place:?}");
        for (as_of, reason) in [("3", "newer than the newest"), ("soon", "neither a version nor")] {
            let refused = run(&["--as-of", as_of, "-c", count]);
            assert_eq!(refused.status.code(), Some(65), "{place:?}");
            assert!(text(&refused.stderr).contains(reason), "{}", text(&refused.stderr));
        }
    }
}

#[test]
fn a_column_that_was_declared_later_is_null_in_an_earlier_version() {
    let (dir, server) = serve();
    assert_eq!(server.stop(), Some(0));
    let run = |args: &[&str]| {
        let output = hourglass().args(args).arg("--data-dir").arg(dir.path()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    run(&["schema", "add", "dimension", "page"]);
    let server = Server::start(dir.path(), &[]);
    let mut client = server.connect();
    let target = "/analytics?timestamp=0&user=dora&event=click&page=/a";
    assert_eq!(client.post(target).unwrap().status, 204);
    assert_eq!(client.post("/admin/flush").unwrap().status, 204);
    assert_eq!(server.stop(), Some(0));
    let pages = "SELECT user_id, page FROM events ORDER BY user_id";
    let shown = run(&["sql", "--format", "csv", "--as-of", "2", "-c", pages]);
    assert_eq!(shown, "user_id,page\nana,\nben,\n");
    let operations =
        "SELECT operation FROM system.commits WHERE operation <> 'WRITE' ORDER BY version";
    let shown = run(&["sql", "--format", "csv", "-c", operations]);
    assert_eq!(shown, "operation\nCREATE TABLE\nADD COLUMN\n");
    let all = run(&["sql", "--format", "csv", "--as-of", "9999-12-31", "-c", pages]);
    assert!(all.contains("dora,/a\n"), "{all}");
}
