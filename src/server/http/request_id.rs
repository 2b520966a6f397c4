//! Request ids, which connect a client's error to lines of the log.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Maximum length of an id taken from a request.
const MAX_CHARS: usize = 64;

/// A request id of letters, digits, `.`, `_` and `-`: safe in a header, in JSON and in a log line.
#[derive(Clone, Debug)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// Returns the id that a proxy or the client sent, if it is short and plain.
    pub fn sent(headers: &HeaderMap) -> Option<RequestId> {
        let value = headers.get(X_REQUEST_ID)?;
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let taken = (1..=MAX_CHARS).contains(&value.len()) && value.as_bytes().iter().all(plain);
        taken.then(|| RequestId(value.clone()))
    }

    /// Generates a unique id.
    pub fn new() -> RequestId {
        let text = uuid::Uuid::new_v4().simple().to_string();
        RequestId(HeaderValue::from_str(&text).expect("hexadecimal digits"))
    }

    pub fn as_str(&self) -> &str {
        self.0.to_str().expect("plain characters")
    }

    pub fn into_header(self) -> HeaderValue {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(value: &str) -> Option<String> {
        let headers = HeaderMap::from_iter([(
            X_REQUEST_ID,
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        )]);
        RequestId::sent(&headers).map(|id| id.as_str().to_string())
    }

    #[test]
    fn an_id_is_taken_when_it_is_short_and_plain() {
        assert_eq!(sent("edge-7.A_1").as_deref(), Some("edge-7.A_1"));
        assert_eq!(sent(&"x".repeat(64)).map(|id| id.len()), Some(64));
        for value in ["", "a b", "a\"b", "a=b", "é", &"x".repeat(65)] {
            assert_eq!(sent(value), None, "{value:?}");
        }
        assert_eq!(RequestId::new().as_str().len(), 32);
    }
}
