//! The PostgreSQL door, byte by byte: its protocol, its transactions, its logins, and what strangers
//! send to it. Real clients are in `tests/postgres_clients.py`.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::{digest, hmac, pbkdf2};

use crate::server::{Server, hourglass};
use crate::support::{number_from, random};

/// Much longer than any time-out of the server under test.
const DEADLINE: Duration = Duration::from_secs(30);

/// A server with a PostgreSQL door.
struct Postgres {
    server: Server,
    address: String,
}

impl Postgres {
    fn start(dir: &Path, env: &[(&str, &str)]) -> Postgres {
        let env = [env, &[("HOURGLASS_POSTGRES_LISTEN", "127.0.0.1:0")]].concat();
        let server = Server::start(dir, &env);
        let address = server.postgres.clone().expect("it listens");
        Postgres { server, address }
    }

    fn connect(&self) -> Client {
        let mut client = Client::open(&self.address);
        client.start();
        client.until_ready();
        client
    }

    fn clicks(&self) -> String {
        let answer = self.server.connect().get("/analytics?timestamp=1");
        answer.body.lines().nth(1).unwrap_or_default().to_string()
    }
}

/// A client of the protocol.
struct Client(TcpStream);

/// A message of the server.
#[derive(Debug)]
struct Message {
    kind: u8,
    body: Vec<u8>,
}

impl Message {
    /// A field of an error.
    fn field(&self, code: u8) -> String {
        let fields = self.body.split(|byte| *byte == 0);
        let field = fields.into_iter().find(|field| field.first() == Some(&code));
        field.map(|field| String::from_utf8_lossy(&field[1..]).into()).unwrap_or_default()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim_end_matches('\0').to_string()
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend((body.len() as u32 + 4).to_be_bytes());
    bytes.extend(body);
    bytes
}

fn startup() -> Vec<u8> {
    let body = b"\0\x03\0\0user\0me\0database\0x\0\0";
    [&(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
}

fn query(sql: &str) -> Vec<u8> {
    message(b'Q', &[sql.as_bytes(), b"\0"].concat())
}

fn parse(name: &str, sql: &str) -> Vec<u8> {
    message(b'P', format!("{name}\0{sql}\0\0\0").as_bytes())
}

/// Bind of texts to the portal without a name.
fn bind(name: &str, values: &[&str]) -> Vec<u8> {
    let mut body = format!("\0{name}\0\0\0").into_bytes();
    body.extend((values.len() as u16).to_be_bytes());
    for value in values {
        body.extend((value.len() as u32).to_be_bytes());
        body.extend(value.as_bytes());
    }
    body.extend([0, 0]);
    message(b'B', &body)
}

fn execute(most: u32) -> Vec<u8> {
    message(b'E', &[&[0][..], &most.to_be_bytes()].concat())
}

fn sync() -> Vec<u8> {
    message(b'S', b"")
}

impl Client {
    fn open(address: &str) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Client(stream)
    }

    fn start(&mut self) {
        self.send(&startup());
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    fn read(&mut self) -> io::Result<Message> {
        let mut head = [0; 5];
        self.0.read_exact(&mut head)?;
        let length = u32::from_be_bytes(head[1..].try_into().unwrap());
        let mut body = vec![0; length as usize - 4];
        self.0.read_exact(&mut body)?;
        Ok(Message { kind: head[0], body })
    }

    /// Reads up to ReadyForQuery, whose state is the last.
    fn until_ready(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            let message = self.read().unwrap();
            let is_last = message.kind == b'Z';
            messages.push(message);
            if is_last {
                return messages;
            }
        }
    }

    /// Asks by the simple protocol; returns what came, in short.
    fn ask(&mut self, sql: &str) -> String {
        self.send(&query(sql));
        shown(&self.until_ready())
    }
}

/// Messages in short: values of rows with commas, tags, SQLSTATEs, and the state at the end.
fn shown(messages: &[Message]) -> String {
    let mut shown = Vec::new();
    for message in messages {
        match message.kind {
            b'D' => shown.push(format!("({})", values(&message.body).join(","))),
            b'C' => shown.push(message.text()),
            b'E' => shown.push(format!("!{}", message.field(b'C'))),
            b'N' => shown.push(format!("?{}", message.field(b'C'))),
            b'Z' => shown.push(message.text()),
            b's' => shown.push("suspended".into()),
            b'I' => shown.push("empty".into()),
            _ => {}
        }
    }
    shown.join(" ")
}

fn values(mut row: &[u8]) -> Vec<String> {
    let count = u16::from_be_bytes([row[0], row[1]]);
    row = &row[2..];
    let mut values = Vec::new();
    for _ in 0..count {
        let length = i32::from_be_bytes(row[..4].try_into().unwrap());
        row = &row[4..];
        let Ok(length) = usize::try_from(length) else {
            values.push("NULL".into());
            continue;
        };
        values.push(String::from_utf8_lossy(&row[..length]).into());
        row = &row[length..];
    }
    values
}

const INSERT: &str = "INSERT INTO events VALUES ('1970-01-01', 'u', 'click')";

#[test]
fn a_transaction_stores_its_rows_at_its_end_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let postgres = Postgres::start(dir.path(), &[]);
    let (mut one, mut other) = (postgres.connect(), postgres.connect());
    let count = "SELECT count(*) FROM events";
    assert_eq!(one.ask(INSERT), "INSERT 0 1 I");
    assert_eq!(one.ask("BEGIN; SELECT count(*) FROM events"), "BEGIN (1) SELECT 1 T");
    assert_eq!(one.ask(INSERT), "INSERT 0 1 T");
    assert_eq!(one.ask(count), "(1) SELECT 1 T", "its own rows wait for the end");
    assert_eq!(other.ask(INSERT), "INSERT 0 1 I");
    assert_eq!(other.ask(count), "(2) SELECT 1 I");
    assert_eq!(one.ask(count), "(1) SELECT 1 T", "one snapshot");
    assert_eq!(one.ask("COMMIT"), "COMMIT I");
    assert_eq!(one.ask(count), "(3) SELECT 1 I");
    assert_eq!(
        one.ask(&format!("BEGIN; {INSERT}; ROLLBACK; {count}")),
        "BEGIN INSERT 0 1 ROLLBACK (3) SELECT 1 I"
    );
    let saved = format!(
        "BEGIN; {INSERT}; SAVEPOINT a; {INSERT}; ROLLBACK TO a; RELEASE a; COMMIT; {count}"
    );
    assert!(one.ask(&saved).ends_with("(4) SELECT 1 I"));
    // An error drops what the same text has inserted, and fails a block until its end.
    assert_eq!(one.ask(&format!("{INSERT}; SELECT 1/0; {INSERT}")), "INSERT 0 1 !22012 I");
    assert_eq!(one.ask(&format!("BEGIN; {INSERT}; SELECT 1/0")), "BEGIN INSERT 0 1 !22012 E");
    assert_eq!(one.ask("SELECT 1"), "!25P02 E");
    assert_eq!(one.ask("COMMIT"), "ROLLBACK I");
    assert_eq!(one.ask(&format!("BEGIN READ ONLY; {INSERT}")), "BEGIN !25006 E");
    assert_eq!(one.ask("ROLLBACK"), "ROLLBACK I");
    let reading = "SET default_transaction_read_only = on";
    assert_eq!(one.ask(&format!("{reading}; {INSERT}")), "SET !25006 I");
    assert_eq!(one.ask("RESET ALL"), "RESET I");
    assert_eq!(
        one.ask("COMMIT; BEGIN; BEGIN; ROLLBACK"),
        "?25P01 COMMIT BEGIN ?25001 BEGIN ROLLBACK I"
    );
    assert_eq!(one.ask(" ;; "), "empty I");
    assert_eq!(postgres.clicks(), "clicks,4", "HTTP sees the same");
    // A client that goes within a transaction has stored nothing.
    one.ask(&format!("BEGIN; {INSERT}"));
    drop(one);
    assert_eq!(postgres.server.stop(), Some(0));
    let again = Postgres::start(dir.path(), &[]);
    assert_eq!(again.clicks(), "clicks,4");
}

#[test]
fn a_transaction_does_not_see_who_was_erased_and_does_not_delay_it() {
    let dir = tempfile::tempdir().unwrap();
    let postgres = Postgres::start(dir.path(), &[]);
    let mut client = postgres.connect();
    assert_eq!(client.ask(INSERT), "INSERT 0 1 I");
    let mut http = postgres.server.connect();
    assert_eq!(http.post("/admin/flush").unwrap().status, 204);
    assert_eq!(client.ask("BEGIN; SELECT count(*) FROM events"), "BEGIN (1) SELECT 1 T");
    let started = Instant::now();
    let erased = http.post("/admin/forget?user=u&now=true").unwrap();
    assert!(erased.status == 200 && erased.body.contains("\"rows_removed\":1"), "{}", erased.body);
    assert!(started.elapsed() < Duration::from_secs(30), "a statement would be waited for");
    assert_eq!(client.ask("SELECT count(*) FROM events"), "!40001 E");
    assert_eq!(client.ask("ROLLBACK; SELECT count(*) FROM events"), "ROLLBACK (0) SELECT 1 I");
}

#[test]
fn what_comes_between_two_syncs_is_one_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let postgres = Postgres::start(dir.path(), &[]);
    let mut client = postgres.connect();
    let insert = parse("i", "INSERT INTO events VALUES ($1, $2, $3)");
    let row = |user| [bind("i", &["1970-01-01 00:00:01Z", user, "click"]), execute(0)].concat();
    client.send(&[insert, row("a"), row("b"), sync()].concat());
    assert_eq!(shown(&client.until_ready()), "INSERT 0 1 INSERT 0 1 I");
    // An error in the third drops all three, and what follows it is passed over.
    let wrong = [bind("i", &["1970-01-01", "c", "klick"]), execute(0)].concat();
    client.send(&[row("a"), row("b"), wrong, row("d"), sync()].concat());
    assert_eq!(shown(&client.until_ready()), "INSERT 0 1 INSERT 0 1 !23514 I");
    assert_eq!(postgres.clicks(), "clicks,2");
    // Rows in parts.
    let series = parse("s", "SELECT value FROM generate_series(1, 5) ORDER BY 1");
    client.send(&[series, bind("s", &[]), execute(2), execute(2), execute(2), sync()].concat());
    assert_eq!(shown(&client.until_ready()), "(1) (2) suspended (3) (4) suspended (5) SELECT 1 I");
    client.send(&[bind("nope", &[]), sync()].concat());
    assert_eq!(shown(&client.until_ready()), "!26000 I");
    client.send(&[bind("i", &["x"]), sync()].concat());
    assert_eq!(shown(&client.until_ready()), "!08P01 I");
    client.send(&[parse("", "SELECT 1; SELECT 2"), sync()].concat());
    assert_eq!(shown(&client.until_ready()), "!42601 I");
    // A client that ends with Flush hears of an error at once, and of nothing more until its Sync.
    let wrong = parse("", "SELECT nothing");
    client.send(&[wrong, message(b'D', b"S\0"), message(b'H', b"")].concat());
    assert_eq!(client.read().unwrap().kind, b'1');
    let heard = client.read().unwrap();
    assert_eq!((heard.kind, heard.field(b'C').as_str()), (b'E', "42703"));
    client.send(&[execute(0), message(b'H', b""), sync()].concat());
    assert_eq!(shown(&client.until_ready()), "I");
    // A cursor with a parameter, as psycopg declares it.
    let declare = parse(
        "",
        "DECLARE c CURSOR FOR SELECT value FROM generate_series(1, 9) WHERE value > $1 ORDER BY 1",
    );
    client.send(
        &[
            query("BEGIN"),
            declare,
            bind("", &["7"]),
            execute(0),
            sync(),
            query("FETCH ALL c; COMMIT"),
        ]
        .concat(),
    );
    assert_eq!(shown(&client.until_ready()), "BEGIN T");
    assert_eq!(shown(&client.until_ready()), "DECLARE CURSOR T");
    assert_eq!(shown(&client.until_ready()), "(8) (9) FETCH 2 COMMIT I");
    // What a transaction that is rolled back has declared is gone.
    let held = "DECLARE h CURSOR WITH HOLD FOR SELECT 1";
    assert_eq!(
        client.ask(&format!("BEGIN; {held}; ROLLBACK; FETCH h")),
        "BEGIN DECLARE CURSOR ROLLBACK !34000 I"
    );
    let kept = format!("BEGIN; {held}; COMMIT; FETCH h; CLOSE h");
    assert_eq!(client.ask(&kept), "BEGIN DECLARE CURSOR COMMIT (1) FETCH 1 CLOSE CURSOR I");
    // So is what was declared after the savepoint that is rolled back to.
    let after = "SAVEPOINT s; SAVEPOINT t; DECLARE b CURSOR FOR SELECT 2; RELEASE t";
    let back = "ROLLBACK TO s; FETCH a; FETCH b";
    assert_eq!(
        client.ask(&format!("BEGIN; DECLARE a CURSOR FOR SELECT 1; {after}; {back}")),
        "BEGIN DECLARE CURSOR SAVEPOINT SAVEPOINT DECLARE CURSOR RELEASE ROLLBACK (1) FETCH 1 !34000 E"
    );
    assert_eq!(client.ask("ROLLBACK"), "ROLLBACK I");
    // Cursors with rows left are statements that run: a session holds half of them at most.
    let cursors: String = (0..5)
        .map(|n| format!("DECLARE c{n} CURSOR FOR SELECT value FROM generate_series(1, 100000);"))
        .collect();
    assert!(client.ask(&format!("BEGIN; {cursors}")).ends_with("DECLARE CURSOR !53400 E"));
    assert_eq!(client.ask("ROLLBACK; SELECT 1"), "ROLLBACK (1) SELECT 1 I");
    // Types of parameters are found: LIMIT takes a number.
    client.send(
        &[
            parse(
                "l",
                "SELECT value FROM generate_series(1, 5) WHERE value > $1 ORDER BY 1 LIMIT $2",
            ),
            message(b'D', b"Sl\0"),
            bind("l", &["1", "2"]),
            execute(0),
            sync(),
        ]
        .concat(),
    );
    let answered = client.until_ready();
    let types = answered.iter().find(|message| message.kind == b't').unwrap();
    assert_eq!(types.body, [0, 2, 0, 0, 0, 20, 0, 0, 0, 20], "two of int8");
    assert_eq!(shown(&answered), "(2) (3) SELECT 2 I");
}

/// Types of a statement's parameters and columns, and its rows.
fn described(client: &mut Client, sql: &str, values: &[&str]) -> (Vec<u32>, Vec<u32>, String) {
    let describe = message(b'D', b"Sd\0");
    client.send(
        &[parse("d", sql), describe, bind("d", values), execute(0), message(b'C', b"Sd\0"), sync()]
            .concat(),
    );
    let answered = client.until_ready();
    let body = |kind| answered.iter().find(|message| message.kind == kind).map(|of| &of.body[2..]);
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes[..4].try_into().unwrap());
    let takes = body(b't').unwrap_or_default().chunks(4).map(number).collect();
    let (mut returns, mut rest) = (Vec::new(), body(b'T').unwrap_or_default());
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        // After the name: table, column, type, size, modifier, format.
        returns.push(number(&rest[end + 7..]));
        rest = &rest[end + 19..];
    }
    (takes, returns, shown(&answered))
}

#[test]
fn parameters_and_columns_have_the_types_that_they_have_in_postgresql() {
    let dir = tempfile::tempdir().unwrap();
    let postgres = Postgres::start(dir.path(), &[]);
    let mut client = postgres.connect();
    for (sql, values, takes, returns, rows) in [
        (
            "SELECT relname FROM pg_class WHERE relname = 'events' AND relkind = ANY($1)",
            &["{r,v}"][..],
            &[1002][..],
            &[19][..],
            "(events)",
        ),
        ("SELECT 'click' WHERE 'click' = ANY($1::text[])", &["{click}"], &[1009], &[25], "(click)"),
        ("SELECT typname FROM pg_type WHERE oid = ANY($1)", &["{23}"], &[1028], &[19], "(int4)"),
        ("SELECT 1::int8 WHERE 5 <> ALL($1)", &["{1,2}"], &[1016], &[20], "(1)"),
        (
            "SELECT i FROM generate_series($1, $2::int8) t(i)",
            &["1", "2"],
            &[20, 20],
            &[20],
            "(1) (2)",
        ),
        (
            "SELECT oid, typtype, typreceive, typelem FROM pg_type WHERE typname = $1",
            &["_int4"],
            &[19],
            &[26, 18, 24, 26],
            "(1007,b,array_recv,23)",
        ),
        (
            "SELECT proargtypes, proname FROM pg_proc WHERE proname = 'format_type'",
            &[],
            &[],
            &[30, 19],
            "(26 23,format_type)",
        ),
        (
            "SELECT 7::oid, 'a'::name, $1::numeric",
            &["1.50"],
            &[1700],
            &[26, 19, 1700],
            "(7,a,1.50)",
        ),
    ] {
        let (took, returned, answer) = described(&mut client, sql, values);
        assert_eq!((&took[..], &returned[..]), (takes, returns), "{sql}: {answer}");
        assert!(answer.starts_with(rows), "{sql}: {answer}");
    }
}

#[test]
fn a_copy_is_stored_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let postgres = Postgres::start(dir.path(), &[("HOURGLASS_MAX_BODY_BYTES", "20kB")]);
    let mut client = postgres.connect();
    let copy = |client: &mut Client, sql: &str, rows: &[u8], end: &[u8]| {
        client.send(&query(sql));
        let begun = client.read().unwrap();
        assert_eq!(begun.kind, b'G', "{}", begun.field(b'M'));
        // In pieces that end within rows.
        let pieces: Vec<u8> = rows.chunks(1_000).flat_map(|piece| message(b'd', piece)).collect();
        client.send(&[&pieces, end].concat());
        shown(&client.until_ready())
    };
    let done = message(b'c', b"");
    let text = b"1970-01-01 00:00:00Z\tu\tclick\n1970-01-01 00:00:00Z\tv\\tw\tclick\n\\.\n";
    assert_eq!(copy(&mut client, "COPY events FROM STDIN", text, &done), "COPY 2 I");
    let csv = b"event,user_id,timestamp\nclick,\"x\"\"y\",1970-01-01\nclick,,1970-01-01\n";
    let sql = "COPY events (event, user_id, timestamp) FROM STDIN (FORMAT csv, HEADER match)";
    assert_eq!(copy(&mut client, sql, csv, &done), "!23502 I", "the second has no user");
    let failed = message(b'f', b"no more\0");
    assert_eq!(copy(&mut client, "COPY events FROM STDIN", text, &failed), "!57014 I");
    let many = b"1970-01-01\tuser\tclick\n".repeat(5_000);
    assert_eq!(copy(&mut client, "COPY events FROM STDIN", &many, &done), "!54000 I");
    assert_eq!(postgres.clicks(), "clicks,2");
    assert_eq!(client.ask("SET hourglass.copy_chunks = on"), "SET I");
    assert_eq!(client.ask("COPY (SELECT user_id FROM events ORDER BY 1) TO STDOUT"), "COPY 2 I");
    client.send(&query("COPY events TO STDOUT"));
    let rows: Vec<String> =
        client.until_ready().iter().filter(|m| m.kind == b'd').map(Message::text).collect();
    assert!(rows.contains(&"1970-01-01 00:00:00+00\tv\\tw\tclick\n".to_string()), "{rows:?}");
}

#[test]
fn a_request_to_cancel_stops_the_statement_of_its_session_alone() {
    let dir = tempfile::tempdir().unwrap();
    let postgres = Postgres::start(dir.path(), &[]);
    let mut client = Client::open(&postgres.address);
    client.start();
    let started = client.until_ready();
    let key = &started.iter().find(|message| message.kind == b'K').unwrap().body;
    client.send(&query("SELECT count(*) FROM generate_series(1, 100000000000)"));
    std::thread::sleep(Duration::from_millis(300));
    let request =
        |key: &[u8]| [&16_u32.to_be_bytes()[..], &80_877_102_u32.to_be_bytes(), key].concat();
    let mut wrong = key.clone();
    wrong[7] ^= 1;
    Client::open(&postgres.address).send(&request(&wrong));
    let mut canceller = Client::open(&postgres.address);
    canceller.send(&request(key));
    assert_eq!(canceller.0.read(&mut [0]).unwrap(), 0, "the connection is closed without a word");
    assert_eq!(shown(&client.until_ready()), "!57014 I");
    assert_eq!(client.ask("SELECT 1"), "(1) SELECT 1 I");
}

fn token(dir: &Path, role: &str) -> String {
    let mut command = hourglass();
    command.args(["token", "create", "--role", role, "--data-dir"]).arg(dir);
    String::from_utf8(command.output().unwrap().stdout).unwrap().trim().to_string()
}

/// Logs in by SCRAM-SHA-256; the first message after it.
fn log_in(client: &mut Client, password: &str) -> Message {
    client.start();
    let offered = client.read().unwrap();
    assert_eq!((offered.kind, &offered.body[..4]), (b'R', &10_u32.to_be_bytes()[..]));
    let first = "n,,n=,r=client";
    let initial =
        [b"SCRAM-SHA-256\0", &(first.len() as u32).to_be_bytes()[..], first.as_bytes()].concat();
    client.send(&message(b'p', &initial));
    let challenge = client.read().unwrap();
    if challenge.kind != b'R' {
        return challenge;
    }
    let server_first = String::from_utf8(challenge.body[4..].to_vec()).unwrap();
    let part =
        |name: &str| server_first.split(',').find_map(|part| part.strip_prefix(name)).unwrap();
    let (nonce, salt) = (part("r="), BASE64_STANDARD.decode(part("s=")).unwrap());
    let mut salted = [0; 32];
    let iterations = part("i=").parse().unwrap();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, password.as_bytes(), &mut salted);
    let sign = |key: &[u8], text: &[u8]| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
    };
    let client_key = sign(&salted, b"Client Key");
    let stored = digest::digest(&digest::SHA256, &client_key);
    let without_proof = format!("c=biws,r={nonce}");
    let signed = format!("n=,r=client,{server_first},{without_proof}");
    let signature = sign(stored.as_ref(), signed.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(key, sign)| key ^ sign).collect();
    let last = format!("{without_proof},p={}", BASE64_STANDARD.encode(proof));
    client.send(&message(b'p', last.as_bytes()));
    let end = client.read().unwrap();
    if end.kind == b'R' {
        let expected = sign(&sign(&salted, b"Server Key"), signed.as_bytes());
        let expected = format!("v={}", BASE64_STANDARD.encode(expected));
        assert_eq!(
            String::from_utf8_lossy(&end.body[4..]),
            expected,
            "the server has the key, too"
        );
        return client.read().unwrap();
    }
    end
}

#[test]
fn a_token_is_the_password_and_its_role_holds() {
    let dir = tempfile::tempdir().unwrap();
    let postgres = Postgres::start(dir.path(), &[]);
    let mut before = postgres.connect();
    let (read, write) = (token(dir.path(), "read"), token(dir.path(), "write"));
    assert_eq!(before.ask("SELECT 1"), "!42501 I", "who came without one may not ask any more");
    assert_eq!(before.ask(INSERT), "INSERT 0 1 I", "and may send events");
    let open = |password: &str| {
        let mut client = Client::open(&postgres.address);
        let end = log_in(&mut client, password);
        (client, end)
    };
    let (mut reader, end) = open(&read);
    assert_eq!((end.kind, &end.body[..]), (b'R', &[0; 4][..]));
    reader.until_ready();
    assert_eq!(reader.ask("SELECT count(*) FROM events"), "(1) SELECT 1 I");
    let (mut writer, _) = open(&write);
    writer.until_ready();
    assert_eq!(writer.ask(INSERT), "INSERT 0 1 I");
    assert_eq!(writer.ask("SELECT 1"), "!42501 I");
    for wrong in ["", "hg_", &read[..read.len() - 1]] {
        let started = Instant::now();
        let (mut client, end) = open(wrong);
        assert_eq!(
            (end.kind, end.field(b'S').as_str(), end.field(b'C').as_str()),
            (b'E', "FATAL", "28P01")
        );
        assert!(started.elapsed() >= Duration::from_millis(200), "guessing is slow");
        assert_eq!(client.0.read(&mut [0]).unwrap(), 0, "and the connection is closed");
    }
    let (mut other, _) = open(&read);
    other.until_ready();
    let declared = "BEGIN; DECLARE c CURSOR FOR SELECT value FROM generate_series(1, 10)";
    assert_eq!(reader.ask(declared), "BEGIN DECLARE CURSOR T");
    let revoke =
        hourglass().args(["token", "list", "--data-dir"]).arg(dir.path()).output().unwrap();
    let list = String::from_utf8(revoke.stdout).unwrap();
    let id = list
        .lines()
        .find(|line| line.contains("read"))
        .unwrap()
        .split_whitespace()
        .find(|word| word.len() == 8)
        .unwrap();
    let revoked =
        hourglass().args(["token", "revoke", id, "--data-dir"]).arg(dir.path()).status().unwrap();
    assert!(revoked.success());
    assert_eq!(other.ask("SELECT 1"), "!28P01 I", "from the next statement on");
    assert_eq!(reader.ask("FETCH c"), "!28P01 E", "and what was begun goes no further");
}

/// Bytes that a client may send after its first message, as seeds.
fn seeds() -> Vec<Vec<u8>> {
    vec![
        startup(),
        query("SELECT count(*) FROM events; SHOW server_version"),
        [
            parse("a", "SELECT $1::text, $2::int"),
            message(b'D', b"Sa\0"),
            bind("a", &["x", "1"]),
            message(b'D', b"P\0"),
            execute(1),
            sync(),
        ]
        .concat(),
        [
            query("COPY events FROM STDIN"),
            message(b'd', b"1970-01-01\tu\tclick\n"),
            message(b'c', b""),
        ]
        .concat(),
        [query("BEGIN"), query("DECLARE c CURSOR FOR SELECT 1"), query("FETCH c"), query("COMMIT")]
            .concat(),
        message(b'p', b"SCRAM-SHA-256\0\0\0\0\x0en,,n=,r=client"),
        [8_u32.to_be_bytes(), 80_877_103_u32.to_be_bytes()].concat(),
        [16_u32.to_be_bytes(), 80_877_102_u32.to_be_bytes(), [0; 4], [0; 4]].concat(),
        message(b'F', b"\0\0\0\x01\0\0\0\0\0\0"),
        [&b"Q"[..], &u32::MAX.to_be_bytes()].concat(),
        [&b"P"[..], &0x3fff_ffff_u32.to_be_bytes(), b"\0select 1\0"].concat(),
    ]
}

fn mutated(seeds: &[Vec<u8>], seed: &mut u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..=random(seed, 4) {
        bytes.extend(&seeds[random(seed, seeds.len() as u64) as usize]);
    }
    for _ in 0..random(seed, 6) {
        let at = random(seed, bytes.len() as u64) as usize;
        match random(seed, 4) {
            0 => bytes[at] ^= 1 << random(seed, 8),
            1 => bytes[at] = random(seed, 256) as u8,
            2 => bytes.truncate(at.max(1)),
            _ => bytes.insert(at, [0, 0xff, b'S', b'Q'][random(seed, 4) as usize]),
        }
    }
    bytes
}

/// Sends bytes, and returns what came until the server closed.
fn throw(address: &str, bytes: &[u8], half_closes: bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    // The server may have closed already: its answer is there to be read all the same.
    let _ = stream.write_all(bytes);
    if half_closes {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let (mut answer, started) = (Vec::new(), Instant::now());
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert!(started.elapsed() < DEADLINE, "a hang after {}: {error}", bytes.escape_ascii());
    }
    answer
}

/// `HOURGLASS_TEST_REQUESTS` asks for another number of inputs.
#[test]
fn whatever_strangers_send_is_answered_or_closed_and_lets_nobody_in() {
    let dir = tempfile::tempdir().unwrap();
    let quick = [("HOURGLASS_HEADER_TIMEOUT", "1s"), ("HOURGLASS_BODY_TIMEOUT", "1s")];
    token(dir.path(), "admin");
    let locked =
        Postgres::start(dir.path(), &[&quick[..], &[("HOURGLASS_ANONYMOUS", "none")]].concat());
    let open_dir = tempfile::tempdir().unwrap();
    let open = Postgres::start(open_dir.path(), &quick);
    let (seeds, inputs) = (seeds(), number_from("HOURGLASS_TEST_REQUESTS", 10_000));
    let before = (locked.server.memory(), open.server.memory());
    let work = |from: u64| {
        let (seeds, locked, open) = (&seeds, &locked.address, &open.address);
        move || {
            for n in (from..inputs).step_by(8) {
                let mut seed = 0x9e37_79b9_7f4a_7c15 ^ (n << 20);
                let bytes = [startup(), mutated(seeds, &mut seed)].concat();
                let bytes =
                    if random(&mut seed, 4) == 0 { mutated(seeds, &mut seed) } else { bytes };
                // Most say that no more comes; the others are closed for their silence.
                let half_closes = random(&mut seed, 50) > 0;
                if n % 2 == 0 {
                    let answer = throw(locked, &bytes, half_closes);
                    // AuthenticationOk: nobody gets there without a token.
                    let ok = b"R\0\0\0\x08\0\0\0\0";
                    assert!(!answer.windows(9).any(|nine| nine == ok), "{}", bytes.escape_ascii());
                } else {
                    // A session that is idle stays: the client ends it.
                    throw(open, &bytes, true);
                }
            }
        }
    };
    std::thread::scope(|scope| (0..8).for_each(|from| drop(scope.spawn(work(from)))));
    let mut client = open.connect();
    assert_eq!(client.ask("SELECT 1"), "(1) SELECT 1 I");
    let mut refused = Client::open(&locked.address);
    assert_eq!(log_in(&mut refused, "wrong").field(b'C'), "28P01");
    for (postgres, before) in [(&locked, before.0), (&open, before.1)] {
        let grown = postgres.server.peak_memory().saturating_sub(before) >> 20;
        assert!(grown < 256, "{grown} MB more");
    }
    let stored = client.ask("SELECT count(*) >= 0 FROM events");
    assert_eq!(stored, "(t) SELECT 1 I");
}
