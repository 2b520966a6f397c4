//! `/docs`: a page that shows the OpenAPI document and sends requests (Swagger UI). It needs nothing
//! from elsewhere, and its policy lets it reach this server alone.

use std::io::Read;

use axum::body::Bytes;
use axum::http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, HeaderMap, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use flate2::read::GzDecoder;

use super::problem::Problem;
use super::responses::{etag, revalidated};

/// Scripts, styles and requests of this server; images also from within the style sheet.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// A file of the page.
struct File {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    /// Whether the bytes are compressed.
    is_gzip: bool,
}

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

const PAGE: File = File {
    name: "",
    content_type: "text/html; charset=utf-8",
    bytes: include_bytes!("../../../assets/docs/index.html"),
    is_gzip: false,
};

const FILES: [File; 4] = [
    File {
        name: "page.js",
        content_type: JAVASCRIPT,
        bytes: include_bytes!("../../../assets/docs/page.js"),
        is_gzip: false,
    },
    File {
        name: "page.css",
        content_type: CSS,
        bytes: include_bytes!("../../../assets/docs/page.css"),
        is_gzip: false,
    },
    File {
        name: "swagger-ui-bundle.js",
        content_type: JAVASCRIPT,
        bytes: include_bytes!("../../../assets/swagger-ui/swagger-ui-bundle.js.gz"),
        is_gzip: true,
    },
    File {
        name: "swagger-ui.css",
        content_type: CSS,
        bytes: include_bytes!("../../../assets/swagger-ui/swagger-ui.css.gz"),
        is_gzip: true,
    },
];

/// Responds with the page.
pub fn page(headers: &HeaderMap) -> Response {
    PAGE.respond(headers)
}

/// Responds with a file that the page loads.
pub fn file(name: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    let file = FILES.iter().find(|file| file.name == name).ok_or_else(Problem::not_found)?;
    Ok(file.respond(headers))
}

/// Returns the names of the files that the page loads.
pub fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|file| file.name)
}

impl File {
    fn respond(&self, headers: &HeaderMap) -> Response {
        let compressed = self.is_gzip && accepts_gzip(headers);
        let body = || match self.is_gzip && !compressed {
            true => decompressed(self.bytes),
            false => Bytes::from_static(self.bytes),
        };
        let mut response = revalidated(headers, &etag(self.bytes), self.content_type, body);
        let is_sent = response.status() == StatusCode::OK;
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        if self.is_gzip {
            headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        }
        if compressed && is_sent {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

/// Reports whether a client names gzip and does not refuse it (RFC 9110, section 12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let is_refused = weight
            .trim()
            .strip_prefix("q=")
            .is_some_and(|weight| weight.parse::<f32>().is_ok_and(|weight| weight == 0.0));
        name.trim().eq_ignore_ascii_case("gzip") && !is_refused
    })
}

fn decompressed(gzip: &[u8]) -> Bytes {
    let mut plain = Vec::new();
    GzDecoder::new(gzip).read_to_end(&mut plain).expect("a file of this program is whole");
    plain.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_whole_and_a_client_without_gzip_reads_them() {
        for file in FILES.iter().filter(|file| file.is_gzip) {
            assert!(decompressed(file.bytes).len() > file.bytes.len(), "{}", file.name);
        }
        let accepts = |value: &'static str| {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, value.parse().unwrap())]);
            accepts_gzip(&headers)
        };
        assert!(accepts("gzip") && accepts("br, GZIP;q=0.5") && accepts("deflate,gzip;q=1"));
        assert!(!accepts("identity") && !accepts("gzip;q=0") && !accepts("br, gzip; q=0.0"));
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn the_page_loads_only_what_is_here() {
        let page = std::str::from_utf8(PAGE.bytes).unwrap();
        for name in names() {
            assert!(page.contains(&format!("\"docs/{name}\"")), "{name}");
        }
        assert!(!page.contains("://") && !page.contains("<script>") && !page.contains("style="));
    }
}
