//! Who may do what: tokens, pages of other origins, names of the host, TLS.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::server::{Answer, Client, Server, hourglass};

const EVENT: &str = "/analytics?timestamp=10032342000&user=u&event=click";
const HOUR: &str = "/analytics?timestamp=10032342000";

/// Runs `hourglass token` on a directory.
fn token(dir: &Path, args: &[&str]) -> Output {
    let mut command = hourglass();
    command.arg("token").args(args).arg("--data-dir").arg(dir).output().unwrap()
}

fn create(dir: &Path, args: &[&str]) -> String {
    let output = token(dir, &[&["create"], args].concat());
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "the token alone: {text}");
    text.trim_end().to_string()
}

fn with(client: &mut Client, method: &str, target: &str, headers: &str) -> Answer {
    client.request(method, target, headers, b"").unwrap()
}

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

#[test]
fn a_token_holds_and_ends_from_the_next_request_on_beside_a_running_server() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut client = server.connect();
    assert_eq!(client.get(HOUR).status, 200, "all is allowed while there is no token");
    let read = create(dir.path(), &["--role", "read", "--name", "desk"]);
    let answer = client.get(HOUR);
    assert_eq!(answer.status, 401);
    assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer realm="));
    assert_eq!(client.post(EVENT).unwrap().status, 204, "events need none");
    assert_eq!(with(&mut client, "GET", HOUR, &bearer(&read)).status, 200);
    for wrong in ["authorization: Bearer hg_1\r\n", "authorization: Digest x\r\n"] {
        assert_eq!(with(&mut client, "GET", HOUR, wrong).status, 401);
        assert_eq!(with(&mut client, "POST", EVENT, wrong).status, 401, "a wrong one is told so");
    }
    for (method, target) in [("POST", "/admin/flush"), ("GET", "/admin/tokens")] {
        let answer = with(&mut client, method, target, &bearer(&read));
        assert_eq!(answer.status, 403, "{target}");
        assert!(answer.body.contains("admin"), "{}", answer.body);
    }
    for open in ["/healthz", "/readyz"] {
        assert_eq!(client.get(open).status, 200);
    }
    for closed in ["/metrics", "/sql?query=SELECT+1", "/queries", "/none"] {
        assert_eq!(client.get(closed).status, 401, "{closed}");
    }
    assert!(token(dir.path(), &["revoke", "desk"]).status.success());
    assert_eq!(with(&mut client, "GET", HOUR, &bearer(&read)).status, 401);
    assert_eq!(client.get(HOUR).status, 401, "and nothing is open again");
    let output = token(dir.path(), &["revoke", "desk"]);
    assert_eq!(output.status.code(), Some(65), "{output:?}");
}

#[test]
fn a_token_comes_as_bearer_as_a_password_or_with_an_event() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[("HOURGLASS_ANONYMOUS", "none")]);
    let mut client = server.connect();
    let (write, admin) =
        (create(dir.path(), &["--role", "write"]), create(dir.path(), &["--role", "admin"]));
    assert_eq!(client.post(EVENT).unwrap().status, 401);
    assert_eq!(client.post(&format!("{EVENT}&token={write}")).unwrap().status, 204);
    assert_eq!(with(&mut client, "POST", EVENT, &bearer(&write)).status, 204);
    let events = client
        .request(
            "POST",
            &format!("/events?token={write}"),
            "content-type: text/csv\r\n",
            b"timestamp,user,event\n10032342000,v,click\n",
        )
        .unwrap();
    assert_eq!(events.status, 200, "{}", events.body);
    assert_eq!(
        client.get(&format!("{HOUR}&token={admin}")).status,
        401,
        "not in the URL of a question"
    );
    // "someone:TOKEN" in base64, by a program that is not ours.
    let basic = |token: &str| {
        let python =
            "import base64,sys;print(base64.b64encode(('x:'+sys.argv[1]).encode()).decode())";
        let output = std::process::Command::new("python3").args(["-c", python, token]).output();
        format!(
            "authorization: Basic {}\r\n",
            String::from_utf8(output.unwrap().stdout).unwrap().trim()
        )
    };
    let answer = with(&mut client, "GET", HOUR, &basic(&admin));
    assert_eq!((answer.status, &*answer.body), (200, "unique_users,2\nclicks,3\nimpressions,0\n"));
    assert_eq!(with(&mut client, "GET", HOUR, &basic(&write)).status, 403);
}

#[test]
fn tokens_are_made_and_ended_through_a_server_by_an_admin() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let admin = create(dir.path(), &["--role", "admin"]);
    let url = format!("http://{}", server.address);
    let run = |token: &str, args: &[&str]| {
        let mut command = hourglass();
        command.args(args).args(["--url", &url]).env("HOURGLASS_TOKEN", token).output().unwrap()
    };
    let made =
        run(&admin, &["token", "create", "--role", "read", "--expires", "1h", "--name", "r"]);
    assert!(made.status.success(), "{made:?}");
    let read = String::from_utf8(made.stdout).unwrap().trim().to_string();
    let asked = run(&read, &["sql", "-c", "SELECT count(*) FROM events"]);
    assert!(asked.status.success(), "{asked:?}");
    let refused = run(&read, &["token", "list"]);
    assert_eq!(refused.status.code(), Some(77));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("needs a token of the role admin"));
    let list = run(&admin, &["token", "list", "--format", "json"]);
    let list: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!((&list[1]["name"], &list[1]["role"]), (&"r".into(), &"read".into()));
    assert!(!list.to_string().contains(&read[3..]) && list[1]["expires"].is_string());
    for command in [["schema", "show"], ["compact", "--dry-run"]] {
        let output = run(&admin, &command);
        assert!(output.status.success(), "{output:?}");
    }
    let write = run(&admin, &["token", "create", "--role", "write"]);
    let write = String::from_utf8(write.stdout).unwrap().trim().to_string();
    let generate = ["generate", "--end", "2020-01-02"];
    let sent = run(&write, &generate);
    assert!(sent.status.success(), "{sent:?}");
    assert_eq!(run("hg_wrong", &generate).status.code(), Some(77));
    assert!(run(&admin, &["token", "revoke", "r"]).status.success());
    assert!(!run(&read, &["sql", "-c", "SELECT 1"]).status.success());
}

#[test]
fn a_page_of_another_origin_may_send_events_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let env = [("HOURGLASS_CORS_ORIGIN", "https://good.example")];
    let server = Server::start(dir.path(), &env);
    let mut client = server.connect();
    let (bad, good) = ("origin: https://bad.example\r\n", "origin: https://good.example\r\n");
    let origin = |answer: &Answer| answer.header("access-control-allow-origin").map(str::to_string);
    let sent = with(&mut client, "POST", EVENT, bad);
    assert_eq!((sent.status, origin(&sent)), (204, Some("*".into())));
    for (method, target) in
        [("GET", HOUR), ("GET", "/queries"), ("POST", "/sql"), ("POST", "/admin/flush")]
    {
        let refused = with(&mut client, method, target, bad);
        assert_eq!((refused.status, origin(&refused)), (403, None), "{target}");
        let inside = with(&mut client, method, target, "origin: http://test\r\n");
        assert_ne!(inside.status, 403, "{target}, of this server's own page");
    }
    let read = with(&mut client, "GET", HOUR, good);
    assert_eq!((read.status, origin(&read)), (200, Some("https://good.example".into())));
    assert_eq!(read.header("vary"), Some("origin"));
    let preflight = |client: &mut Client, method: &str, path: &str, origin: &str| {
        let asked = format!("{origin}access-control-request-method: {method}\r\n");
        with(client, "OPTIONS", path, &asked)
    };
    assert_eq!(origin(&preflight(&mut client, "POST", "/events", bad)), Some("*".into()));
    assert_eq!(origin(&preflight(&mut client, "GET", "/analytics", bad)), None);
    assert_eq!(origin(&preflight(&mut client, "POST", "/sql", bad)), None);
    assert!(origin(&preflight(&mut client, "POST", "/sql", good)).is_some());
    // A browser may not say where an image or a script is loaded from, and must not run it.
    let policy = |answer: &Answer| answer.header("cross-origin-resource-policy").is_some();
    assert!(policy(&read) && policy(&client.get("/sql?q=SELECT+1")) && !policy(&sent));
    for site in ["cross-site", "same-site"] {
        let image = format!("sec-fetch-site: {site}\r\nsec-fetch-mode: no-cors\r\n");
        assert_eq!(with(&mut client, "GET", "/queries/hour_stats?hour=x", &image).status, 403);
    }
    let same_site = "sec-fetch-site: same-site\r\nsec-fetch-mode: navigate\r\n";
    let with_password = format!("{same_site}authorization: Basic eDp5\r\n");
    assert_eq!(with(&mut client, "GET", "/queries", &with_password).status, 200);
    let link = "sec-fetch-site: cross-site\r\nsec-fetch-mode: navigate\r\n";
    assert_eq!(with(&mut client, "GET", "/queries", link).status, 200);
    assert_eq!(
        with(&mut client, "GET", "/queries", &format!("{link}authorization: Basic eDp5\r\n"))
            .status,
        403
    );
}

#[test]
fn a_token_of_an_origin_is_refused_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[("HOURGLASS_ANONYMOUS", "none")]);
    let mut client = server.connect();
    let write = create(dir.path(), &["--role", "write", "--origin", "https://example.com"]);
    let target = format!("{EVENT}&token={write}");
    for (origin, status) in [
        ("origin: https://example.com\r\n", 204),
        ("origin: https://example.org\r\n", 403),
        ("", 403),
    ] {
        assert_eq!(with(&mut client, "POST", &target, origin).status, status, "{origin}");
    }
}

#[test]
fn an_unknown_host_is_refused_where_all_is_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[("HOURGLASS_HOSTS", "stats.example.com")]);
    let mut client = server.connect();
    let mut get =
        |host: &str| client.send(format!("GET {HOUR} HTTP/1.1\r\n{host}\r\n").as_bytes()).unwrap();
    for (host, status) in [
        ("host: stats.example.com:8080\r\n", 200),
        ("host: Stats.Example.com\r\n", 200),
        ("host: evil.example.com\r\n", 421),
        ("host: 127.0.0.1.evil.com\r\n", 421),
        ("host: 10.1.2.3:80\r\n", 200),
        ("host: [::1]:8080\r\n", 200),
        ("host: hourglass\r\n", 200),
        ("host: app.localhost\r\n", 200),
        ("", 400),
        ("host: a\r\nhost: b\r\n", 400),
    ] {
        assert_eq!(get(host).status, status, "{host}");
    }
    create(dir.path(), &["--role", "admin"]);
    assert_eq!(get("host: evil.example.com\r\n").status, 401, "a token is needed by then");
}

/// A certificate of `tests/tls`.
fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name)
}

/// Asks for the hour over TLS, as a client that trusts only this certificate.
fn ask(
    address: &str,
    trusted: &str,
    protocols: &[&[u8]],
) -> std::io::Result<(String, Option<Vec<u8>>)> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file(trusted)).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(address)?);
    let request = format!("GET {HOUR} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok((answer, stream.conn.alpn_protocol().map(<[u8]>::to_vec)))
}

#[test]
fn tls_serves_a_certificate_and_takes_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let [cert, key] = ["server.pem", "server.key"].map(|name| dir.path().join(name));
    let place = |name: &str| {
        fs::copy(file(&format!("{name}.pem")), &cert).unwrap();
        fs::copy(file(&format!("{name}.key")), &key).unwrap();
    };
    place("one");
    let env = [
        ("HOURGLASS_TLS_CERT", cert.to_str().unwrap()),
        ("HOURGLASS_TLS_KEY", key.to_str().unwrap()),
    ];
    let server = Server::start(&dir.path().join("store"), &env);
    let (answer, protocol) = ask(&server.address, "one.pem", &[b"http/1.1"]).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("impressions,0\n"), "{answer}");
    assert_eq!(protocol.as_deref(), Some(&b"http/1.1"[..]));
    assert!(ask(&server.address, "two.pem", &[]).is_err(), "another certificate is not trusted");
    // Plain text is not answered.
    let mut plain = server.connect();
    assert!(plain.send(format!("GET {HOUR} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).is_err());
    // Half of a change is not taken.
    fs::write(&cert, "-----BEGIN CERTIFICATE-----\n").unwrap();
    std::thread::sleep(Duration::from_millis(1_100));
    assert!(ask(&server.address, "one.pem", &[]).is_ok());
    place("two");
    std::thread::sleep(Duration::from_millis(1_100));
    let (answer, _) = ask(&server.address, "two.pem", &[]).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let run = |args: &[&str]| hourglass().args(args).envs(env).output().unwrap();
    let url = format!("https://localhost:{}", server.address.rsplit_once(':').unwrap().1);
    let asked = ["sql", "-c", "SELECT count(*) FROM events", "--url", &url];
    let refused = run(&asked);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("certificate"), "{refused:?}");
    let mut trusting = hourglass();
    let trusting = trusting.args(asked).env("SSL_CERT_FILE", file("two.pem")).output().unwrap();
    assert!(trusting.status.success(), "{trusting:?}");
    let healthy = run(&["healthcheck", "--listen", &server.address]);
    assert!(healthy.status.success(), "{healthy:?}");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_certificate_that_cannot_be_used_refuses_to_start() {
    let dir = tempfile::tempdir().unwrap();
    let start = |args: &[&str]| {
        let mut command = hourglass();
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir.path().join("store"));
        command.args(args).stdout(Stdio::piped()).output().unwrap()
    };
    let (one, other, none) = (file("one.pem"), file("two.key"), dir.path().join("none"));
    let (one, other, none) =
        (one.to_str().unwrap(), other.to_str().unwrap(), none.to_str().unwrap());
    for (args, reason) in [
        (&["--tls-cert", one, "--tls-key", other][..], "is not the key of the certificate"),
        (&["--tls-cert", one, "--tls-key", none], "no private key in PEM"),
        (&["--tls-cert", none, "--tls-key", other], "no certificate in PEM"),
        (&["--tls-cert", one], "tls_cert and tls_key go together"),
    ] {
        let output = start(args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{text}");
        assert!(text.contains(reason) && output.stdout.is_empty(), "{text}");
    }
}

#[test]
fn who_sends_too_much_is_told_to_wait() {
    let dir = tempfile::tempdir().unwrap();
    let env = [("HOURGLASS_RATE_BY_TOKEN", "5"), ("HOURGLASS_RATE_BY_ADDRESS", "40")];
    let server = Server::start(dir.path(), &env);
    let mut client = server.connect();
    let read = create(dir.path(), &["--role", "read"]);
    let statuses: Vec<u16> =
        (0..8).map(|_| with(&mut client, "GET", HOUR, &bearer(&read)).status).collect();
    assert_eq!(statuses[..5], [200; 5]);
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(client.post(EVENT).unwrap().status, 204, "without the token the address counts");
    let refused = (0..80).map(|_| client.post(EVENT).unwrap()).find(|answer| answer.status != 204);
    let refused = refused.expect("one is refused");
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    assert_eq!(client.get("/healthz").status, 200);
}

#[test]
fn an_address_for_events_takes_nothing_else_whatever_the_token() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[("HOURGLASS_LISTEN_INGEST", "127.0.0.1:0")]);
    let mut ingest = Client::connect(&server.ingest.clone().unwrap()).unwrap();
    assert_eq!(ingest.post(EVENT).unwrap().status, 204);
    assert_eq!(ingest.get("/readyz").status, 200);
    let admin = create(dir.path(), &["--role", "admin"]);
    for (method, target) in [("GET", HOUR), ("GET", "/sql?q=SELECT+1"), ("POST", "/admin/flush")] {
        let answer = with(&mut ingest, method, target, &bearer(&admin));
        assert_eq!(answer.status, 403, "{target}");
        assert!(answer.body.contains("--listen-ingest"), "{}", answer.body);
    }
    let mut all = server.connect();
    let numbers = with(&mut all, "GET", HOUR, &bearer(&admin));
    assert!(numbers.body.starts_with("unique_users,1\nclicks,1\n"), "{}", numbers.body);
}
