//! The OpenAPI document and the page that shows it, of the real process.

use std::io::Read;

use serde_json::Value;

use crate::server::{Client, Server, hourglass};

fn start() -> (tempfile::TempDir, Server, Client) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[("HOURGLASS_DIMENSIONS", "page")]);
    let client = server.connect();
    (dir, server, client)
}

fn document(client: &mut Client) -> Value {
    let answer = client.get("/openapi.json");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    serde_json::from_str(&answer.body).unwrap()
}

/// Every method of the document is answered, and no other is allowed.
#[test]
fn what_the_document_names_is_there() {
    let (_dir, server, mut client) = start();
    let document = document(&mut client);
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = path.replace("{name}", "page.css");
        let allowed = client.request("OPTIONS", &path, "", b"").unwrap();
        assert_eq!(allowed.status, 204, "{path}");
        let allowed = allowed.header("allow").unwrap().to_ascii_lowercase();
        for method in ["get", "post", "put", "patch", "delete"] {
            let documented = item.get(method).is_some();
            assert_eq!(allowed.split(", ").any(|one| one == method), documented, "{method} {path}");
            // A body that is not read would be the start of the next request.
            let mut client = server.connect();
            let answer = client.request(&method.to_ascii_uppercase(), &path, "", b"").unwrap();
            assert_eq!(answer.status == 405, !documented, "{method} {path}");
            assert!(answer.status != 404, "{method} {path}");
            let of_document = &item[method]["responses"][answer.status.to_string()];
            assert!(!documented || of_document.is_object(), "{method} {path}: {}", answer.status);
        }
    }
}

#[test]
fn the_document_is_kept_until_it_changes() {
    let (_dir, _server, mut client) = start();
    let answer = client.get("/openapi.json");
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    let tag = answer.header("etag").unwrap().to_string();
    for (named, status) in [(&*tag, 304), ("W/\"other\"", 200), ("W/\"other\", *", 304)] {
        let headers = format!("if-none-match: {named}\r\n");
        let again = client.request("GET", "/openapi.json", &headers, b"").unwrap();
        assert_eq!((again.status, again.body.is_empty()), (status, status == 304), "{named}");
        assert_eq!(again.header("etag"), Some(&*tag));
    }
    assert!(answer.body.contains("\"name\":\"page\""), "the dimension of this store");
}

#[test]
fn the_page_is_all_here_and_may_reach_nothing_else() {
    let (_dir, server, mut client) = start();
    let page = client.get("/docs");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    for link in page.body.split("=\"docs/").skip(1) {
        let path = format!("/docs/{}", link.split('"').next().unwrap());
        let plain = client.get(&path);
        assert_eq!((plain.status, plain.header("content-encoding")), (200, None), "{path}");
        let policy = plain.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        assert_eq!(plain.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(plain.header("referrer-policy"), Some("no-referrer"));
        if path.contains("swagger") {
            assert_eq!(plain.header("vary"), Some("accept-encoding"));
            assert_eq!(unpacked(&server, &path), plain.body, "{path}");
        }
    }
    assert_eq!(client.get("/docs/none").status, 404);
}

/// Asks for a compressed file, and decompresses it.
fn unpacked(server: &Server, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(&server.address).unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: x\r\naccept-encoding: gzip\r\nconnection: close\r\n\r\n"
    );
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    assert!(std::str::from_utf8(&answer[..end]).unwrap().contains("content-encoding: gzip"));
    let mut plain = String::new();
    flate2::read::GzDecoder::new(&answer[end + 4..]).read_to_string(&mut plain).unwrap();
    plain
}

#[test]
fn a_browser_is_asked_for_a_password_where_one_is_needed() {
    let (dir, _server, mut client) = start();
    let mut create = hourglass();
    create.args(["token", "create", "--role", "read", "--data-dir"]).arg(dir.path());
    assert!(create.output().unwrap().status.success());
    for path in ["/docs", "/docs/page.js"] {
        let answer = client.get(path);
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.header("www-authenticate").unwrap().starts_with("Basic realm="), "{path}");
    }
    assert_eq!(client.get("/openapi.json").status, 200, "as who sends events needs it");
    let readable = client.get("/analytics?timestamp=1");
    assert!(readable.header("www-authenticate").unwrap().starts_with("Bearer realm="));
}
