//! Requests sent again under their idempotency key count once, wherever the first of them is by then.

use std::sync::Arc;

use hourglass::error::Error;
use hourglass::event::{EventBatch, EventKind, Key};
use hourglass::hour::{HOUR_US, Hour};
use hourglass::storage::verify;
use hourglass::storage::vfs::{Disk, Vfs};
use hourglass::storage::{Engine, EngineOptions};

use crate::server::{Client, Server};
use crate::support::{ManualClock, block_on, small_options};

const HOUR: &str = "/analytics?timestamp=10032342000";

fn post(client: &mut Client, target: &str, headers: &str) -> u16 {
    client.request("POST", target, headers, b"").unwrap().status
}

#[test]
fn a_retry_counts_once_across_flush_crash_and_restart() {
    let dir = tempfile::tempdir().unwrap();
    let event = format!("{HOUR}&user=ana&event=click");
    let ndjson = "{\"timestamp\":10032342000,\"user\":\"ben\",\"event\":\"impression\"}\n".repeat(5);
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
    let verify = || verify::verify(dir.path(), &(Arc::new(Disk) as Arc<dyn Vfs>), &|_, _| {}).unwrap();
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
    (0..2).for_each(|_| assert_eq!(post(&mut client, &format!("{HOUR}&user=ana&event=click"), ""), 204));
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
        let open = || Engine::open_with(dir.path(), options.clone(), Arc::new(Disk), clock.clone()).unwrap();
        let clicks = |engine: &Engine| engine.snapshot().counts(Hour(0), Hour(0)).clicks;
        let mut batch = EventBatch::new();
        batch.push(1, "ana", EventKind::Click);
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
