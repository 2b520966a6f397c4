//! Requests made to hurt, byte by byte, against the real process: whatever comes is answered or
//! closed in time, and what is stored is what was acknowledged.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::server::Server;
use crate::support::{number_from, random};

/// Requests; `HOURGLASS_TEST_REQUESTS` asks for more.
fn requests() -> u64 {
    number_from("HOURGLASS_TEST_REQUESTS", 4_000)
}

const THREADS: u64 = 8;

/// Much longer than any time-out of the server under test.
const DEADLINE: Duration = Duration::from_secs(20);

/// One answer.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

/// Splits what came on a connection into answers; the last may be cut.
fn answers(mut bytes: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
        let head = String::from_utf8(bytes[..end].to_vec()).expect("a head is text");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line in {head:?}"));
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let rest = &bytes[end + 4..];
        let (body, rest) = rest.split_at(length.unwrap_or(0).min(rest.len()));
        answers.push(Answer { status, head, body: body.to_vec() });
        bytes = rest;
    }
    answers
}

impl Answer {
    /// Events that this answer acknowledges. A preflight is a 204, too.
    fn events(&self) -> u64 {
        let accepted =
            || serde_json::from_slice::<serde_json::Value>(&self.body).ok()?["accepted"].as_u64();
        match self.status {
            204 if !self.head.contains("\r\nallow: ") => 1,
            200 => accepted().unwrap_or(0),
            _ => 0,
        }
    }
}

/// Sends bytes in a few pieces, and reads until the server closes.
fn send(address: &str, bytes: &[u8], seed: &mut u64) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    let cut = random(seed, bytes.len() as u64 + 1) as usize;
    // The server may have closed already: its answer is there to be read all the same.
    let _ = stream.write_all(&bytes[..cut]).and_then(|()| stream.write_all(&bytes[cut..]));
    if random(seed, 20) > 0 {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let (mut answer, started) = (Vec::new(), Instant::now());
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => {
            assert!(
                started.elapsed() < DEADLINE,
                "a hang after {}: {error}",
                String::from_utf8_lossy(bytes)
            );
        }
    }
    answer
}

/// A good request, about a user of its own.
fn good(n: u64, seed: &mut u64) -> Vec<u8> {
    let target =
        format!("/analytics?timestamp={}&user=u{n}&event=click", random(seed, 100) * 3_600_000);
    let csv = format!("timestamp,user,event\n{n},b{n},click\n{n},c{n},impression\n");
    let line = format!("{{\"timestamp\":{n},\"user\":\"j{n}\",\"event\":\"click\"}}\n");
    let sized = |target: &str, kind: &str, body: &str| {
        let length = body.len();
        format!(
            "POST {target} HTTP/1.1\r\nHost: t\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    };
    let text = match random(seed, 11) {
        0..=2 => format!("POST {target} HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n"),
        3 => format!(
            "POST {target} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        ),
        4 => format!("POST {target} HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"),
        5 => format!("GET {target} HTTP/1.1\r\nHost: t\r\nAccept: application/json\r\n\r\n"),
        6 => sized("/events", "text/csv", &csv),
        7 => format!(
            "POST /events HTTP/1.1\r\nHost: t\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n\
             {:x}\r\n{line}\r\n0\r\n\r\n",
            line.len()
        ),
        8 => sized(
            "/sql",
            "application/sql",
            "SELECT event, count(*) AS n FROM events GROUP BY event ORDER BY n",
        ),
        9 => sized(
            "/sql",
            "application/json",
            r#"{"query": "SELECT $a + 1 AS b", "params": {"a": 1}}"#,
        ),
        _ => "GET /queries/top_users?start=0&end=1970-01-02&limit=3 HTTP/1.1\r\nHost: t\r\n\r\n"
            .to_string(),
    };
    text.into_bytes()
}

fn replace(bytes: &mut Vec<u8>, from: &str, to: &str) {
    let found = bytes.windows(from.len()).position(|window| window == from.as_bytes());
    if let Some(at) = found {
        bytes.splice(at..at + from.len(), to.bytes());
    }
}

const METHODS: [&str; 9] =
    ["GET", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "post", "P\u{d6}ST"];
const VERSIONS: [&str; 8] = [
    "HTTP/0.9",
    "HTTP/1.0",
    "HTTP/1.2",
    "HTTP/2.0",
    "HTTP/3.0",
    "HTTP/1.1 ",
    "http/1.1",
    "ICY/1.1",
];
const ODD: [&str; 12] =
    ["\0", "\r", "\n", " ", "\t", "%", "%zz", "%00", "%ff", "\u{fffd}", "#", "\r\n\r\n"];
/// Lines that contradict others, or that few have seen.
const HEADERS: [&str; 20] = [
    "Content-Length: 0",
    "Content-Length: 7",
    "Content-Length: -1",
    "Content-Length: 18446744073709551616",
    "Content-Length: 1, 1",
    "Content-Length: 99999999999",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: chunked, gzip",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding: \u{b}chunked",
    "Expect: 100-continue",
    "Connection: close",
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
    "Host: other",
    "Content-Encoding: gzip",
    "Content-Type: application/vnd.apache.parquet",
    " folded: line",
    "No colon",
    ": no name",
];

/// One thing wrong with a request.
fn spoil(bytes: &mut Vec<u8>, n: u64, seed: &mut u64) {
    let place = |bytes: &[u8], seed: &mut u64| random(seed, bytes.len() as u64 + 1) as usize;
    let of = |list: &[&'static str], seed: &mut u64| list[random(seed, list.len() as u64) as usize];
    match random(seed, 20) {
        0 | 1 => bytes.truncate(place(bytes, seed)),
        2 => bytes.extend_from_within(..),
        3 | 4 => {
            for _ in 0..=random(seed, 4) {
                let at = place(bytes, seed).min(bytes.len().saturating_sub(1));
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random(seed, 8);
                }
            }
        }
        5 | 6 => {
            let at = place(bytes, seed);
            bytes.splice(at..at, of(&ODD, seed).bytes());
        }
        7 => {
            let (a, b) = (place(bytes, seed), place(bytes, seed));
            bytes.drain(a.min(b)..a.max(b));
        }
        8 => replace(bytes, "\r\n", of(&["\n", "\r", "", "\r\r\n", "\n\r"], seed)),
        9 => replace(bytes, "POST", of(&METHODS, seed)),
        10 => replace(bytes, "HTTP/1.1", of(&VERSIONS, seed)),
        11 => replace(
            bytes,
            " /",
            of(
                &[" http://t/", " https://u:p@t:1/", " //", " *", " t:80", "  /", " /../", " "],
                seed,
            ),
        ),
        12..=14 => replace(bytes, "\r\n", &format!("\r\n{}\r\n", of(&HEADERS, seed))),
        15 => replace(
            bytes,
            "\r\n\r\n",
            of(
                &[
                    "\r\n\r\n-1\r\n",
                    "\r\n\r\n0\r\n",
                    "\r\n\r\nfffffffffffffffff\r\n",
                    "\r\n\r\n5;x=y\r\n",
                ],
                seed,
            ),
        ),
        16 => replace(
            bytes,
            "\r\n",
            &format!("\r\n{}", "X-Bomb: boom\r\n".repeat(random(seed, 400) as usize)),
        ),
        17 => replace(bytes, "?", &format!("?x={}&", "%41".repeat(1 << random(seed, 19)))),
        18 => {
            let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
            let cut = place(preface, seed);
            bytes.splice(..0, preface[..cut].iter().copied());
        }
        _ => {
            let after = good(n + (1 << 40), seed);
            bytes.extend(after);
        }
    }
}

#[test]
fn whatever_is_sent_is_answered_or_closed_and_only_what_was_acknowledged_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let env = [("HOURGLASS_HEADER_TIMEOUT", "300ms"), ("HOURGLASS_BODY_TIMEOUT", "500ms")];
    let server = Server::start(dir.path(), &env);
    let senders: Vec<_> = (0..THREADS)
        .map(|sender| {
            let address = server.address.clone();
            thread::spawn(move || {
                let (mut acknowledged, mut statuses, mut seed) =
                    (0, std::collections::BTreeMap::new(), sender + 1);
                for n in (sender..requests()).step_by(THREADS as usize) {
                    let mut bytes = good(n, &mut seed);
                    for _ in 0..random(&mut seed, 4) {
                        spoil(&mut bytes, n, &mut seed);
                    }
                    let answer = send(&address, &bytes, &mut seed);
                    if !answer.is_empty() && !answer.starts_with(b"HTTP/1.") {
                        assert!(
                            bytes.starts_with(b"PRI "),
                            "{:?} for {:?}",
                            answer,
                            String::from_utf8_lossy(&bytes)
                        );
                        continue;
                    }
                    for answer in answers(&answer) {
                        let (status, head) = (answer.status, &answer.head);
                        let body = String::from_utf8_lossy(&answer.body);
                        let fine =
                            status < 500 || status == 503 && head.contains("\r\nretry-after: ");
                        assert!(fine, "{head}\n{body}\nfor {:?}", String::from_utf8_lossy(&bytes));
                        acknowledged += answer.events();
                        *statuses.entry(status).or_insert(0) += 1;
                    }
                }
                (acknowledged, statuses)
            })
        })
        .collect();
    let mut acknowledged = 0;
    let mut statuses = std::collections::BTreeMap::new();
    for sender in senders {
        let (events, seen) = sender.join().unwrap();
        acknowledged += events;
        seen.into_iter().for_each(|(status, n)| *statuses.entry(status).or_insert(0) += n);
    }
    println!(
        "{} requests, {acknowledged} events acknowledged, answers by status: {statuses:?}",
        requests()
    );
    for status in [200, 204, 400, 405, 414, 415, 431] {
        assert!(
            statuses.contains_key(&status),
            "no {status} among {statuses:?}: the requests are not what they should be"
        );
    }
    let mut client = server.connect();
    let body = b"SELECT count(*) AS n FROM events";
    let stored = client.request("POST", "/sql", "accept: text/csv\r\n", body).unwrap().body;
    assert_eq!(stored, format!("n\n{acknowledged}\n"));
}

#[test]
fn a_body_that_one_reader_ends_elsewhere_than_another_is_no_second_request() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let hidden = "POST /analytics?timestamp=0&user=hidden&event=click HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n";
    let smuggle = |headers: &str, body: &str| {
        let target = "/analytics?timestamp=0&user=seen&event=click";
        let request = format!("POST {target} HTTP/1.1\r\nHost: t\r\n{headers}\r\n\r\n{body}");
        answers(&send(&server.address, request.as_bytes(), &mut 1))
            .iter()
            .map(|answer| answer.status)
            .collect::<Vec<_>>()
    };
    let length = hidden.len();
    let twice = format!("Content-Length: {length}\r\nContent-Length: 0");
    assert_eq!(smuggle(&twice, hidden), [400]);
    assert_eq!(smuggle("Transfer-Encoding: identity", hidden), [400]);
    assert_eq!(smuggle("Transfer-Encoding: chunked, identity", hidden), [400]);
    assert_eq!(smuggle("Transfer-Encoding : chunked", hidden), [400]);
    assert_eq!(smuggle(&format!("Content-Length: +{length}"), hidden), [400]);
    assert_eq!(smuggle(&format!("Content-Length: {length}, {length}"), hidden), [400]);
    // With both, the chunks say where the body ends, and the hidden request lies in a chunk.
    let chunked = format!("{length:x}\r\n{hidden}\r\n0\r\n\r\n");
    assert_eq!(smuggle("Content-Length: 0\r\nTransfer-Encoding: chunked", &chunked), [204]);
    assert_eq!(smuggle("Transfer-Encoding: chunked\r\nContent-Length: 0", &chunked), [204]);
    assert_eq!(
        server.connect().get("/analytics?timestamp=0").body,
        "unique_users,1\nclicks,2\nimpressions,0\n"
    );
}
