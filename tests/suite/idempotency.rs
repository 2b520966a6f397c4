//! Requests sent again under their idempotency key count once, wherever the first of them is by
//! then.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use hourglass::event::{Event, EventBatch, EventKind, Key, Values};
use hourglass::hour::{HOUR_US, Hour, SystemClock};
use hourglass::storage::verify;
use hourglass::storage::vfs::{Disk, Vfs};
use hourglass::storage::{Engine, EngineOptions, Error};

use crate::server::{Answer, Client, Server, hourglass};
use crate::support::{ManualClock, block_on, small_options};

const HOUR: &str = "/analytics?timestamp=10032342000";

fn post(client: &mut Client, target: &str, headers: &str) -> u16 {
    client.request("POST", target, headers, b"").unwrap().status
}

fn check(dir: &Path) -> verify::Report {
    verify::verify(dir, &(Arc::new(Disk) as Arc<dyn Vfs>), &SystemClock, &|_, _| {}).unwrap()
}

#[test]
fn a_retry_counts_once_across_flush_crash_and_restart() {
    let dir = tempfile::tempdir().unwrap();
    let event = format!("{HOUR}&user=ana&event=click");
    let ndjson =
        "{\"timestamp\":10032342000,\"user\":\"ben\",\"event\":\"impression\"}\n".repeat(5);
    let batch = "content-type: application/x-ndjson\r\nidempotency-key: \"batch-1\"\r\n";
    let again = |client: &mut Client| {
        assert_eq!(post(client, &format!("{event}&id=one"), ""), 204);
        assert_eq!(post(client, &event, "idempotency-key: \"one\"\r\n"), 204);
        assert_eq!(post(client, &event, "idempotency-key: two\r\n"), 204);
        let answer = client.request("POST", "/events", batch, ndjson.as_bytes()).unwrap();
        assert_eq!((answer.status, &*answer.body), (200, r#"{"accepted":5}"#));
        assert_eq!(client.get(HOUR).body, "unique_users,2\nclicks,2\nimpressions,5\n");
    };
    let server = Server::start(dir.path(), &[]);
    let mut client = server.connect();
    again(&mut client);
    again(&mut client);
    assert!(client.get("/metrics").body.contains("\nhourglass_repeated_events_total 9\n"));
    server.kill();
    // From the log; then from the file that a flush leaves.
    let server = Server::start(dir.path(), &[]);
    let mut client = server.connect();
    again(&mut client);
    assert_eq!(post(&mut client, "/admin/flush", ""), 204);
    again(&mut client);
    server.kill();
    let server = Server::start(dir.path(), &[]);
    again(&mut server.connect());
    server.kill();
    // Keys that cannot be read are no reason to count twice in silence.
    let file = std::fs::read_dir(dir.path().join("keys")).unwrap().next().unwrap().unwrap().path();
    let verify = || check(dir.path());
    assert!(verify().is_sound() && verify().keys == 3);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[30] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let damage = &verify().damage[..];
    assert!(damage.len() == 1 && damage[0].path.starts_with("keys/"), "{damage:?}");
    assert!(matches!(Engine::open(dir.path(), small_options()), Err(Error::Damaged { .. })));
}

#[test]
fn events_without_keys_always_count() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut client = server.connect();
    (0..2).for_each(|_| {
        assert_eq!(post(&mut client, &format!("{HOUR}&user=ana&event=click"), ""), 204)
    });
    assert_eq!(client.get(HOUR).body, "unique_users,1\nclicks,2\nimpressions,0\n");
}

#[test]
fn past_the_bound_of_keys_requests_with_one_are_told_to_wait() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[("HOURGLASS_IDEMPOTENCY_MAX_KEYS", "2")]);
    let mut client = server.connect();
    let event = format!("{HOUR}&user=ana&event=click");
    assert_eq!([1, 2].map(|id| post(&mut client, &format!("{event}&id={id}"), "")), [204, 204]);
    let answer = client.post(&format!("{event}&id=3")).unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert!(answer.body.contains("idempotency_max_keys"), "{}", answer.body);
    assert_eq!(post(&mut client, &event, ""), 204);
    assert_eq!(client.get(HOUR).body, "unique_users,1\nclicks,3\nimpressions,0\n");
}

#[test]
fn a_key_is_remembered_for_the_window_and_its_file_goes_after() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(100 * HOUR_US);
        let options = EngineOptions { idempotency_window_ms: 2 * 3_600_000, ..small_options() };
        let open = || {
            Engine::open_with(dir.path(), options.clone(), Arc::new(Disk), clock.clone()).unwrap()
        };
        let clicks = |engine: &Engine| engine.snapshot().rollup(Hour(0)).count(EventKind::CLICK);
        let mut batch = EventBatch::new();
        batch.push(1, "ana", EventKind::CLICK);
        batch.key_from(0, Key::new("k").unwrap());
        let keys = || std::fs::read_dir(dir.path().join("keys")).unwrap().count();

        let mut engine = open();
        engine.append(batch.clone()).await.unwrap();
        engine.flush().await.unwrap();
        assert_eq!(keys(), 1);
        for (hours, expected) in [(101, 1), (102, 1), (105, 2)] {
            clock.set(hours * HOUR_US);
            tokio::task::block_in_place(|| engine.close()).unwrap();
            drop(engine);
            engine = open();
            engine.append(batch.clone()).await.unwrap();
            assert_eq!(clicks(&engine), expected, "{hours}");
        }
        assert_eq!(keys(), 0);
    });
}

fn assert_reused(answer: &Answer) {
    assert_eq!(answer.status, 422, "{}", answer.body);
    let urn = r#""type":"urn:hourglass:problem:idempotency-key-reused""#;
    assert!(
        answer.body.contains(urn) && answer.body.contains("nothing was stored"),
        "{}",
        answer.body
    );
}

/// The bug: a key that came again for something else was answered 204, and the event was dropped. A
/// client that makes its keys badly lost events without a word; it is told now, as
/// draft-ietf-httpapi-idempotency-key-header has it.
#[test]
fn a_key_that_comes_again_with_other_content_is_refused_wherever_the_first_is() {
    let dir = tempfile::tempdir().unwrap();
    let event = format!("{HOUR}&user=ana&event=click&id=one");
    let headers = "content-type: text/csv\r\nidempotency-key: body\r\n";
    let body = |rows: &str| format!("timestamp,user,event\n{rows}");
    let rows = "10032342000,ben,click\n10032342001,cem,impression\n";
    let again = |client: &mut Client| {
        assert_eq!(post(client, &event, ""), 204);
        assert_eq!(
            client.request("POST", "/events", headers, body(rows).as_bytes()).unwrap().status,
            200
        );
        // The same rows in another format are the same content.
        let ndjson = r#"{"timestamp":10032342000,"user":"ben","event":"click"}
{"timestamp":10032342001,"user":"cem","event":"impression"}"#;
        let other_format = headers.replace("text/csv", "application/x-ndjson");
        assert_eq!(
            client.request("POST", "/events", &other_format, ndjson.as_bytes()).unwrap().status,
            200
        );
        let others = [
            "timestamp=10032342001&user=ana",
            "timestamp=10032342000&user=anb",
            "timestamp=9&user=ana",
        ];
        for other in others {
            assert_reused(&client.post(&format!("/analytics?{other}&event=click&id=one")).unwrap());
        }
        assert_reused(&client.post(&format!("{HOUR}&user=ana&event=impression&id=one")).unwrap());
        assert_reused(&client.post(&format!("{HOUR}&user=ana&event=click&id=body")).unwrap());
        let swapped = "10032342001,cem,impression\n10032342000,ben,click\n";
        for other in ["10032342000,ben,click\n", swapped, &format!("{rows}10032342000,ben,click\n")]
        {
            assert_reused(
                &client.request("POST", "/events", headers, body(other).as_bytes()).unwrap(),
            );
        }
        assert_eq!(client.get(HOUR).body, "unique_users,3\nclicks,2\nimpressions,1\n");
    };
    let server = Server::start(dir.path(), &[]);
    again(&mut server.connect());
    assert!(server.connect().get("/metrics").body.contains("\nhourglass_reused_keys_total 8\n"));
    server.kill();
    // From the log; then from the file that a flush leaves.
    let server = Server::start(dir.path(), &[]);
    let mut client = server.connect();
    again(&mut client);
    assert_eq!(post(&mut client, "/admin/flush", ""), 204);
    again(&mut client);
    server.kill();
    again(&mut Server::start(dir.path(), &[]).connect());
}

/// Of requests that wait for one sync together, the first under a key counts; each of the others is
/// told what became of it.
#[test]
fn requests_under_one_key_in_one_group_commit_are_told_apart() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(dir.path(), small_options()).unwrap();
        let append = |user: &str, key: Option<&str>| {
            let key = key.map(|key| Key::new(key).unwrap());
            let (kind, values) = (EventKind::CLICK, Values::NONE);
            engine.append_event(Event { timestamp_us: 1, user, kind, values }, key)
        };
        for round in 0..200 {
            let key = round.to_string();
            let appends = [
                append("none", None),
                append("a", Some(&key)),
                append("b", Some(&key)),
                append("none", None),
                append("a", Some(&key)),
                append("other", Some(&format!("{key} too"))),
                append("b", Some(&key)),
            ];
            let outcomes = futures::future::join_all(appends).await;
            let told: Vec<&str> = outcomes
                .iter()
                .map(|outcome| match outcome {
                    Ok(_) => "stored",
                    Err(Error::KeyReused) => "reused",
                    Err(error) => panic!("{error}"),
                })
                .collect();
            assert_eq!(
                told,
                ["stored", "stored", "reused", "stored", "stored", "stored", "reused"]
            );
        }
        assert_eq!(engine.snapshot().rollup(Hour(0)).count(EventKind::CLICK), 200 * 4);
    });
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()))
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// The bug: the backup that was documented left `keys/` out, so that a request sent again after the
/// restore counted twice, and `verify` called the copy sound. The table knows its key files now;
/// and a copy of a later one, whose events are not in the copied table, does not make the store
/// take for stored what is not.
#[test]
fn a_backup_made_while_it_runs_keeps_its_promise_and_one_without_keys_is_told_apart() {
    let (dir, backup) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(dir.path(), &[]);
    let mut client = server.connect();
    let event = |user: &str| format!("{HOUR}&user={user}&event=click&id={user}");
    assert_eq!(post(&mut client, &event("before"), ""), 204);
    assert_eq!(post(&mut client, "/admin/flush", ""), 204);
    // As docs/operating.md has it, in this order, and a flush comes in between.
    fs::copy(dir.path().join("hourglass.json"), backup.path().join("hourglass.json")).unwrap();
    copy(&dir.path().join("events/_delta_log"), &backup.path().join("events/_delta_log"));
    assert_eq!(post(&mut client, &event("after"), ""), 204);
    assert_eq!(post(&mut client, "/admin/flush", ""), 204);
    copy(&dir.path().join("events"), &backup.path().join("all"));
    for date in
        fs::read_dir(backup.path().join("all")).unwrap().map(|entry| entry.unwrap().file_name())
    {
        if date != "_delta_log" {
            copy(&dir.path().join("events").join(&date), &backup.path().join("events").join(&date));
        }
    }
    fs::remove_dir_all(backup.path().join("all")).unwrap();
    copy(&dir.path().join("keys"), &backup.path().join("keys"));
    drop(server);
    assert!(check(backup.path()).is_sound(), "{:#?}", check(backup.path()));

    let without = tempfile::tempdir().unwrap();
    copy(backup.path(), without.path());
    let server = Server::start(backup.path(), &[]);
    let mut client = server.connect();
    assert_eq!(client.get(HOUR).body, "unique_users,1\nclicks,1\nimpressions,0\n");
    for _ in 0..2 {
        assert_eq!(
            [event("before"), event("after")].map(|event| post(&mut client, &event, "")),
            [204, 204]
        );
        assert_eq!(
            client.get(HOUR).body,
            "unique_users,2\nclicks,2\nimpressions,0\n",
            "the retry of what is there"
        );
    }
    assert_eq!(post(&mut client, "/admin/flush", ""), 204);
    server.kill();
    assert!(check(backup.path()).is_sound());
    assert_eq!(
        Server::start(backup.path(), &[]).connect().get(HOUR).body,
        "unique_users,2\nclicks,2\nimpressions,0\n"
    );

    fs::remove_dir_all(without.path().join("keys")).unwrap();
    let verified = hourglass().args(["verify", "--data-dir"]).arg(without.path()).output().unwrap();
    let said = String::from_utf8(verified.stdout).unwrap();
    assert_eq!(verified.status.code(), Some(1), "{said}");
    assert!(
        said.contains("keys/00000000000000000001.keys") && said.contains("is missing"),
        "{said}"
    );
    let log = without.path().join("log");
    let log_file = Stdio::from(fs::File::create(&log).unwrap());
    let server = Server::start_with_log(without.path(), &[], "error", log_file);
    assert_eq!(post(&mut server.connect(), &event("new"), ""), 204, "it starts all the same");
    drop(server);
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("the file of idempotency keys is missing"), "{log}");
}
