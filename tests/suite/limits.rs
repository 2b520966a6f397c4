//! Clients that are slow, silent, many or greedy: each bound of the HTTP door, met.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::server::{Client, Server};

const EVENT: &str = "/analytics?timestamp=0&user=a&event=click";

/// A server that loses patience soon.
fn impatient() -> (tempfile::TempDir, Server) {
    let dir = tempfile::tempdir().unwrap();
    let env = [("HOURGLASS_HEADER_TIMEOUT", "200ms"), ("HOURGLASS_BODY_TIMEOUT", "400ms")];
    let server = Server::start(dir.path(), &env);
    (dir, server)
}

fn raw(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(&server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// Everything that comes until the server closes; a reset is a close.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "never closed");
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_head_that_comes_a_byte_at_a_time_is_not_waited_for() {
    let (_dir, server) = impatient();
    let mut slow = raw(&server);
    let head = format!("GET {EVENT} HTTP/1.1\r\nhost: {}", "t".repeat(10_000));
    let refused = head.bytes().any(|byte| {
        thread::sleep(Duration::from_millis(5));
        slow.write_all(&[byte]).is_err()
    });
    assert!(refused, "closed long before the last byte");
    assert_eq!(rest(&mut slow), "");
}

#[test]
fn a_body_that_does_not_come_is_answered_408() {
    let (_dir, server) = impatient();
    for (path, kind) in [("/events", "text/csv"), ("/sql", "text/plain"), (EVENT, "text/plain")] {
        let mut slow = raw(&server);
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: t\r\ncontent-type: {kind}\r\ncontent-length: 100\r\n\r\ntimest"
        );
        slow.write_all(head.as_bytes()).unwrap();
        let answer = rest(&mut slow);
        assert!(
            answer.starts_with("HTTP/1.1 408 ") && answer.contains("connection: close"),
            "{path}: {answer}"
        );
    }
    assert_eq!(
        server.connect().get("/analytics?timestamp=0").body,
        "unique_users,0\nclicks,0\nimpressions,0\n"
    );
}

#[test]
fn a_client_that_only_listens_after_its_request_is_answered() {
    let (_dir, server) = impatient();
    let mut half = raw(&server);
    half.write_all(
        format!("POST {EVENT} HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\n\r\n").as_bytes(),
    )
    .unwrap();
    half.shutdown(Shutdown::Write).unwrap();
    assert!(rest(&mut half).starts_with("HTTP/1.1 204 "));
}

#[test]
fn answers_that_nobody_reads_do_not_pile_up() {
    let (_dir, server) = impatient();
    let before = server.memory();
    let mut deaf = raw(&server);
    let requests = "OPTIONS /analytics HTTP/1.1\r\nhost: t\r\n\r\n".repeat(1_000);
    let mut sent = 0;
    while sent < 64 << 20 && deaf.write_all(requests.as_bytes()).is_ok() {
        sent += requests.len();
    }
    assert!(sent < 64 << 20, "requests are not taken without end");
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes for {sent} bytes of requests");
    assert_eq!(server.connect().get("/healthz").status, 200);
}

#[test]
fn an_endless_answer_that_nobody_reads_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let env = [
        ("HOURGLASS_HEADER_TIMEOUT", "200ms"),
        ("HOURGLASS_BODY_TIMEOUT", "400ms"),
        ("HOURGLASS_QUERY_CONCURRENCY", "1"),
    ];
    let server = Server::start(dir.path(), &env);
    let mut client = server.connect();
    assert_eq!(client.request("POST", "/sql", "", b"SELECT 1").unwrap().status, 200);
    let before = server.memory();
    let endless = "SELECT value FROM generate_series(1, 100000000000)";
    let head = format!(
        "POST /sql HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\n\r\n{endless}",
        endless.len()
    );
    let mut deaf = raw(&server);
    deaf.write_all(head.as_bytes()).unwrap();
    deaf.read_exact(&mut [0; 1 << 20]).unwrap();
    // The one slot is free again, and the connection is closed, though its client never was.
    let ask = |_: u32| {
        thread::sleep(Duration::from_millis(20));
        client = server.connect();
        client.request("POST", "/sql", "", b"SELECT 1").unwrap().status == 200
    };
    assert!((0..500).any(ask), "the statement still runs");
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes for an answer of which a megabyte was read");
    let tail = rest(&mut deaf);
    assert!(
        !tail.ends_with("\r\n0\r\n\r\n") && !tail.contains("server-timing"),
        "a part does not pass for the whole"
    );
}

#[test]
fn what_is_too_large_is_refused_by_its_own_status_and_the_answer_arrives() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[("HOURGLASS_MAX_BODY_BYTES", "1MiB")]);
    let ask = |request: &[u8]| {
        let mut stream = raw(&server);
        // Written whole before anything is read: the answer must survive what nobody reads of the
        // request.
        let _ = stream.write_all(request);
        rest(&mut stream).split(' ').nth(1).map(str::to_string)
    };
    let head = |target: &str, headers: &str| {
        format!("GET {target} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n{headers}\r\n")
    };
    let post = |path: &str, headers: &str, bytes: usize| {
        let head = format!("POST {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n{headers}\r\n");
        [head.into_bytes(), vec![b'x'; bytes]].concat()
    };
    let status = |status: u16| Some(status.to_string());
    assert_eq!(ask(head(&format!("{EVENT}&x={}", "x".repeat(20_000)), "").as_bytes()), status(414));
    assert_eq!(
        ask(head(&format!("{EVENT}&x={}", "x".repeat(1 << 20)), "").as_bytes()),
        status(431)
    );
    assert_eq!(
        ask(head(EVENT, &format!("x: {}\r\n", "x".repeat(100_000))).as_bytes()),
        status(431)
    );
    assert_eq!(ask(head(EVENT, &"x: x\r\n".repeat(1_000)).as_bytes()), status(431));
    let sized = |bytes: usize| format!("content-type: text/csv\r\ncontent-length: {bytes}\r\n");
    assert_eq!(ask(&post("/events", &sized(2 << 20), 2 << 20)), status(413));
    assert_eq!(ask(&post("/sql", &sized(300 << 10), 300 << 10)), status(413));
    let chunked = format!("{:x}\r\n{}\r\n0\r\n\r\n", 2 << 20, "x".repeat(2 << 20));
    let unsized_post = [
        post("/events", "content-type: text/csv\r\ntransfer-encoding: chunked\r\n", 0),
        chunked.into_bytes(),
    ];
    assert_eq!(ask(&unsized_post.concat()), status(413));
}

#[test]
fn past_what_may_wait_for_the_log_an_event_is_told_when_to_come_back_and_is_not_stored() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[("HOURGLASS_QUEUE_MAX_EVENTS", "2")]);
    let ask = || {
        let mut client = server.connect();
        let (mut stored, mut refused) = (0, 0);
        for _ in 0..300 {
            let answer = client.post(EVENT).unwrap();
            match (answer.status, answer.header("retry-after")) {
                (204, None) => stored += 1,
                (503, Some("1")) if answer.body.contains("the queue") => refused += 1,
                _ => panic!("{} {}", answer.head, answer.body),
            }
        }
        (stored, refused)
    };
    let outcomes: Vec<(u64, u64)> = thread::scope(|scope| {
        let clients: Vec<_> = (0..32).map(|_| scope.spawn(ask)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let (stored, refused) =
        outcomes.into_iter().fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    assert!(stored > 0 && refused > 0, "{stored} stored, {refused} refused");
    let mut client = server.connect();
    let answer = client.get("/analytics?timestamp=0").body;
    assert_eq!(answer, format!("unique_users,1\nclicks,{stored}\nimpressions,0\n"));
    let metrics = client.get("/metrics").body;
    assert!(
        metrics
            .contains(&format!("hourglass_rejections_total{{reason=\"queue-full\"}} {refused}\n")),
        "{metrics}"
    );
}

#[test]
fn past_the_connections_that_may_be_open_a_new_one_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[("HOURGLASS_MAX_CONNECTIONS", "5")]);
    let mut kept: Vec<Client> = (0..5).map(|_| server.connect()).collect();
    kept.iter_mut().for_each(|client| assert_eq!(client.get("/healthz").status, 200));
    let mut refused = server.connect().post(EVENT).unwrap();
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert!(refused.body.contains("connections"), "{}", refused.body);
    assert_eq!(kept[4].post(EVENT).unwrap().status, 204, "those that are open go on");
    kept.pop();
    let taken = (0..500).any(|_| {
        thread::sleep(Duration::from_millis(10));
        refused = server.connect().post(EVENT).unwrap();
        refused.status == 204
    });
    assert!(taken, "a connection that closed makes room");
}

#[test]
fn connections_leave_open_files_for_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 200; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_hourglass")]);
    let server = Server::start_by(
        limited,
        dir.path(),
        &[("HOURGLASS_WAL_SEGMENT_BYTES", "4KiB")],
        "error",
        Stdio::inherit(),
    );
    let mut client = server.connect();
    assert_eq!(client.get("/healthz").status, 200);
    let crowd: Vec<TcpStream> = (0..400).map(|_| raw(&server)).collect();
    // Segments of the log and data files are opened all the time.
    for n in 0..300 {
        let target = format!("/analytics?timestamp={}&user=u{n}&event=click", n * 3_600_000);
        assert_eq!(client.post(&target).unwrap().status, 204);
    }
    assert_eq!(client.post("/admin/flush").unwrap().status, 204);
    let answer =
        client.request("POST", "/sql", "", b"SELECT user_id FROM events ORDER BY 1").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    drop(crowd);
    let taken = (0..500).any(|_| {
        thread::sleep(Duration::from_millis(10));
        server.connect().post(EVENT).is_ok_and(|answer| answer.status == 204)
    });
    assert!(taken, "a crowd that has left makes room");
}

#[test]
fn ten_thousand_idle_connections_are_held_beside_requests() {
    const CONNECTIONS: usize = 10_000;
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if files < 16_000 {
        println!("skipped: this process may open {files} files, and 16,000 are needed (ulimit -n)");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[("HOURGLASS_HEADER_TIMEOUT", "10m")]);
    assert_eq!(server.connect().get("/healthz").status, 200);
    let before = server.memory();
    let mut idle: Vec<TcpStream> = (0..CONNECTIONS).map(|_| raw(&server)).collect();
    // Behind all others, so that they have been accepted when it is answered.
    let mut client = server.connect();
    for _ in 0..100 {
        assert_eq!(client.post(EVENT).unwrap().status, 204);
    }
    assert_eq!(
        client.get("/analytics?timestamp=0").body,
        "unique_users,1\nclicks,100\nimpressions,0\n"
    );
    let each = server.memory().saturating_sub(before) / CONNECTIONS as u64;
    println!("{CONNECTIONS} idle connections take {each} bytes each");
    assert!(each < 16 << 10, "{each} bytes for a connection that said nothing");
    // They were not forgotten.
    for stream in idle.iter_mut().step_by(999) {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n").unwrap();
        assert!(rest(stream).starts_with("HTTP/1.1 200 "));
    }
}

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = &(payload.len() as u32).to_be_bytes()[1..];
    [length, &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// HEADERS of `METHOD /healthz`: indexed fields of the static table, and two literals (RFC 7541).
fn headers(stream: u32, method: u8, flags: u8) -> Vec<u8> {
    let path = b"/healthz";
    let block = [&[method, 0x86, 0x04, path.len() as u8], &path[..], &[0x01, 1, b't']].concat();
    frame(0x01, flags, stream, &block)
}

#[test]
fn http_2_streams_opened_and_reset_without_end_end_their_connection_alone() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    const GET: u8 = 0x82;
    const POST: u8 = 0x83;
    const END_HEADERS: u8 = 0x04;
    const END_STREAM: u8 = 0x01;
    let (_dir, server) = impatient();
    let before = server.memory();
    // Rapid reset (CVE-2023-44487), and streams that are opened and never ended.
    let reset = |stream: u32| {
        [
            headers(stream, GET, END_HEADERS | END_STREAM),
            frame(0x03, 0, stream, &8_u32.to_be_bytes()),
        ]
        .concat()
    };
    let open = |stream: u32| headers(stream, POST, END_HEADERS);
    let floods: [&dyn Fn(u32) -> Vec<u8>; 2] = [&reset, &open];
    for flood in floods {
        let mut stream = raw(&server);
        stream.write_all(PREFACE).unwrap();
        let frames: Vec<u8> = (0..20_000).flat_map(|n| flood(2 * n + 1)).collect();
        let _ = stream.write_all(&frames);
        rest(&mut stream);
        assert_eq!(server.connect().get("/healthz").status, 200);
    }
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes");
}
