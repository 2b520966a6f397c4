//! The HTTP contract, byte for byte, against the real process.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::server::{Client, Server};

fn start() -> (tempfile::TempDir, Server, Client) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let client = server.connect();
    (dir, server, client)
}

const HOUR: &str = "/analytics?timestamp=10032342000";

#[test]
fn a_get_after_a_204_counts_the_event() {
    let (_dir, _server, mut client) = start();
    let empty = client.get(HOUR);
    assert_eq!((empty.status, &*empty.body), (200, "unique_users,0\nclicks,0\nimpressions,0\n"));
    for (user, event) in [("user2", "click"), ("user2", "impression"), ("Zo%C3%AB+1", "click")] {
        let answer = client.post(&format!("{HOUR}&user={user}&event={event}")).unwrap();
        assert_eq!((answer.status, &*answer.body), (204, ""));
    }
    let answer = client.get(HOUR);
    assert_eq!(answer.body, "unique_users,2\nclicks,2\nimpressions,1\n");
    assert!(answer.header("content-type").unwrap().starts_with("text/plain"));
    assert_eq!(answer.header("access-control-allow-origin"), None, "for pages of this origin");
}

#[test]
fn an_hours_last_millisecond_is_its_own_and_the_next_is_not() {
    let (_dir, _server, mut client) = start();
    for ms in [3_600_000_u64, 7_199_999, 7_200_000] {
        client.post(&format!("/analytics?timestamp={ms}&user=u&event=click")).unwrap();
    }
    assert_eq!(
        client.get("/analytics?timestamp=3600000").body,
        "unique_users,1\nclicks,2\nimpressions,0\n"
    );
    assert_eq!(
        client.get("/analytics?timestamp=7200000").body,
        "unique_users,1\nclicks,1\nimpressions,0\n"
    );
}

#[test]
fn json_is_there_for_who_asks() {
    let (_dir, _server, mut client) = start();
    let answer = client.request("GET", HOUR, "accept: application/json\r\n", b"").unwrap();
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(
        answer.body,
        r#"{"hour":"1970-04-27T02:00:00Z","unique_users":0,"clicks":0,"impressions":0}"#
    );
}

#[test]
fn bad_input_names_its_parameter_and_stores_nothing() {
    let (_dir, _server, mut client) = start();
    let long = "u".repeat(1_025);
    let cases = [
        ("timestamp=1&event=click", "user"),
        ("timestamp=1&user=a", "event"),
        ("user=a&event=click", "timestamp"),
        ("timestamp=1&user=a&user=b&event=click", "user"),
        ("timestamp=1&user=&event=click", "user"),
        ("timestamp=1&user=a&event=view", "event"),
        ("timestamp=soon&user=a&event=click", "timestamp"),
        ("timestamp=-1&user=a&event=click", "timestamp"),
        ("timestamp=253402300800000&user=a&event=click", "timestamp"),
        ("timestamp=1&user=%FF&event=click", "user"),
        ("timestamp=1&event=click&user=LONG", "user"),
    ];
    for (query, parameter) in cases {
        let answer = client.post(&format!("/analytics?{}", query.replace("LONG", &long))).unwrap();
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (400, Some("application/problem+json")),
            "{query}"
        );
        let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(
            (&problem["parameter"], &problem["status"]),
            (&parameter.into(), &400.into()),
            "{query}"
        );
    }
    let too_long = client.get(&format!("{HOUR}&x={}", "x".repeat(10_000)));
    assert_eq!(too_long.status, 414);
    assert_eq!(
        client.get("/analytics?timestamp=1").body,
        "unique_users,0\nclicks,0\nimpressions,0\n"
    );
}

#[test]
fn unknown_paths_and_methods_are_told_apart() {
    let (_dir, _server, mut client) = start();
    assert_eq!(client.get("/nothing").status, 404);
    let answer = client.request("DELETE", HOUR, "", b"").unwrap();
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD, POST, OPTIONS")));
    assert_eq!((client.get("/healthz").status, client.get("/readyz").status), (200, 200));
}

#[test]
fn http_1_0_without_keep_alive_is_answered_and_closed() {
    let (_dir, server, _client) = start();
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.write_all(format!("GET {HOUR} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(
        text.starts_with("HTTP/1.0 200 OK\r\n")
            && text.ends_with("\r\n\r\nunique_users,0\nclicks,0\nimpressions,0\n")
    );
}

#[test]
fn http_2_is_spoken_with_prior_knowledge() {
    let (_dir, server, _client) = start();
    let mut stream = TcpStream::connect(&server.address).unwrap();
    // RFC 9113, section 3.4: the preface and an empty SETTINGS frame.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).unwrap();
    assert_eq!(frame[3], 0x04, "the server's SETTINGS");
}

#[test]
fn a_batch_is_stored_whole_or_not_at_all() {
    let (_dir, _server, mut client) = start();
    let ndjson = concat!(
        "{\"timestamp\":10032342000,\"user\":\"a\",\"event\":\"click\"}\n",
        "{\"timestamp\":\"1970-04-27T02:45:42Z\",\"user_id\":\"b\",\"event\":\"impression\"}\n",
    );
    let header = "content-type: application/x-ndjson\r\n";
    let answer = client.request("POST", "/events", header, ndjson.as_bytes()).unwrap();
    assert_eq!((answer.status, &*answer.body), (200, r#"{"accepted":2}"#));
    let csv = "timestamp,user,event\n10032342000,c,click\n10032342000,d,click\n10032342000,e,tap\n";
    let answer =
        client.request("POST", "/events", "content-type: text/csv\r\n", csv.as_bytes()).unwrap();
    let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((answer.status, &problem["line"]), (400, &4.into()), "{problem}");
    assert_eq!(client.get(HOUR).body, "unique_users,2\nclicks,1\nimpressions,1\n");
    assert_eq!(
        client.request("POST", "/events", "content-type: image/png\r\n", b"x").unwrap().status,
        415
    );
}

#[test]
fn compressed_batches_are_read_up_to_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[("HOURGLASS_MAX_BODY_BYTES", "100KiB")]);
    let mut client = server.connect();
    let row = "10032342000,user,click\n";
    let csv = |rows: usize| format!("timestamp,user,event\n{}", row.repeat(rows)).into_bytes();
    let zstd = |bytes: Vec<u8>| zstd::encode_all(&*bytes, 3).unwrap();
    let headers = "content-type: text/csv\r\ncontent-encoding: zstd\r\n";
    assert_eq!(
        client.request("POST", "/events", headers, &zstd(csv(1_000))).unwrap().body,
        r#"{"accepted":1000}"#
    );
    assert_eq!(
        client.request("POST", "/events", headers, &zstd(csv(100_000))).unwrap().status,
        413
    );
    let mut plain = server.connect();
    assert_eq!(
        plain
            .request("POST", "/events", "content-type: text/csv\r\n", &csv(10_000))
            .unwrap()
            .status,
        413
    );
    assert_eq!(server.connect().get(HOUR).body, "unique_users,1\nclicks,1000\nimpressions,0\n");
}

#[test]
fn a_flush_on_request_leaves_the_numbers_and_empties_memory() {
    let (dir, server, mut client) = start();
    client.post(&format!("{HOUR}&user=a&event=click")).unwrap();
    assert_eq!(client.post("/admin/flush").unwrap().status, 204);
    client.post(&format!("{HOUR}&user=a&event=click")).unwrap();
    assert_eq!(client.get(HOUR).body, "unique_users,1\nclicks,2\nimpressions,0\n");
    assert!(dir.path().join("events/date=1970-04-27/hour=02").is_dir());
    assert_eq!(server.stop(), Some(0));
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.connect().get(HOUR).body, "unique_users,1\nclicks,2\nimpressions,0\n");
}

#[test]
fn a_client_that_never_finishes_its_head_is_let_go_and_an_answer_that_takes_long_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[("HOURGLASS_HEADER_TIMEOUT", "200ms")]);
    let mut slow = TcpStream::connect(&server.address).unwrap();
    let mut busy = TcpStream::connect(&server.address).unwrap();
    slow.write_all(b"GET /analytics?timestamp=1 HTTP/1.1\r\nhost:").unwrap();
    busy.write_all(
        b"POST /events HTTP/1.1\r\nhost: t\r\ncontent-type: text/csv\r\ncontent-length: 37\r\n\r\n",
    )
    .unwrap();
    assert_eq!(slow.read(&mut [0; 64]).unwrap(), 0, "closed without an answer");
    busy.write_all(b"timestamp,user,event\n10032342000,a,cli").unwrap();
    busy.write_all(b"ck\n").unwrap();
    let mut answer = [0; 12];
    busy.read_exact(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 "), "still answered");
}

#[test]
fn events_come_as_json_and_as_the_plain_text_of_a_beacon() {
    let (_dir, _server, mut client) = start();
    let row =
        |user: &str| format!(r#"{{"timestamp":10032342000,"user":"{user}","event":"click"}}"#);
    for (content_type, body, accepted) in [
        ("application/json", format!("[{},{}]", row("a"), row("b")), 2),
        ("application/json; charset=utf-8", row("c"), 1),
        ("text/plain;charset=UTF-8", format!("{}\n{}\n", row("a"), row("d")), 2),
    ] {
        let header = format!("content-type: {content_type}\r\n");
        let answer = client.request("POST", "/events", &header, body.as_bytes()).unwrap();
        assert_eq!((answer.status, answer.body), (200, format!("{{\"accepted\":{accepted}}}")));
    }
    assert_eq!(client.get(HOUR).body, "unique_users,4\nclicks,5\nimpressions,0\n");
    let bad = format!("[{},{}]", row("a"), row(""));
    let answer =
        client.request("POST", "/events", "content-type: application/json\r\n", bad.as_bytes());
    let answer = answer.unwrap();
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains(r#""line":2"#), "{}", answer.body);
    assert_eq!(client.get(HOUR).body, "unique_users,4\nclicks,5\nimpressions,0\n");
}

#[test]
fn a_head_is_answered_like_a_get_without_a_body() {
    let (_dir, server, mut client) = start();
    for target in
        [HOUR, "/sql?q=SELECT+1", "/queries", "/schema", "/metrics", "/admin/tokens", "/healthz"]
    {
        let get = client.get(target).status;
        let mut alone = server.connect();
        let head = format!("HEAD {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        alone.write(head.as_bytes()).unwrap();
        let mut answer = String::new();
        alone.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {get} ")), "{target}: {answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{target} has a body: {answer}");
    }
}

#[test]
fn a_plus_that_was_not_escaped_is_named() {
    let (_dir, _server, mut client) = start();
    let answer = client.get("/sql?q=SELECT+1&as_of=2026-11-25T10:00:00+01:00");
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("%2B"), "{}", answer.body);
    let answer = client.get("/sql?q=SELECT+1&as_of=x");
    assert!(answer.status == 400 && !answer.body.contains("%2B"), "{}", answer.body);
}
