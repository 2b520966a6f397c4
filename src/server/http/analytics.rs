//! `/analytics`: POST stores one event, GET returns the numbers of one hour.
//!
//! This is the hot path: constant values are static headers, and the query string is parsed in
//! place.

use std::fmt::Write;

use axum::body::{Body, HttpBody};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use axum::response::Response;

use super::accept::{Closeness, preference};
use super::app::App;
use super::problem::Problem;
use super::responses::empty;
use super::{body, params};
use crate::event::{EventKind, EventSchema};
use crate::hour::Hour;
use crate::rollup::HourNumbers;

/// Handles GET, HEAD and POST; hyper omits the body of a response to HEAD.
pub async fn respond(app: &App, request: Request<Body>) -> Result<Response, Problem> {
    if *request.method() == Method::POST {
        post(app, request).await
    } else {
        get(app, &request.into_parts().0).await
    }
}

/// Fast path of GET: responds without awaiting if the hour's numbers are in memory. `None` for
/// every other request, including invalid ones, which take the general path.
pub fn get_now(app: &App, request: &Request<Body>) -> Option<Response> {
    let query = hot_query(app, request, &Method::GET)?;
    let hour = Hour::of_us(params::timestamp(query).ok()?);
    let numbers = app.query.hour_numbers_now(&app.engine.snapshot(), hour)?;
    Some(numbers_response(&app.schema, request.headers(), hour, &numbers))
}

/// Fast path of POST: queues the event of a valid request without a body, and returns a future of
/// its response. `None` for other requests, which take the general path.
pub fn post_now(
    app: &App,
    request: &Request<Body>,
) -> Option<impl Future<Output = Result<Response, Problem>> + Send + use<>> {
    let query =
        hot_query(app, request, &Method::POST).filter(|_| request.body().is_end_stream())?;
    let params = params::event(&app.schema, query).ok()?;
    let key = params::key(request.headers(), params.key).ok()?;
    app.times.bounds().check(params.timestamp_us).ok()?;
    app.times.observe(&[params.timestamp_us]);
    app.ignored(params.ignored);
    let appended = app.engine.append_event(params.event(), key);
    Some(async move { Ok(appended.await.map(|_| empty(StatusCode::NO_CONTENT))?) })
}

fn hot_query<'r>(app: &App, request: &'r Request<Body>, method: &Method) -> Option<&'r str> {
    let uri = request.uri();
    let hot = request.method() == method && uri.path() == "/analytics";
    uri.query().filter(|query| hot && "/analytics?".len() + query.len() <= app.http.max_uri_bytes)
}

/// Responds 204 once the event is durable and visible to every later query, or was stored before
/// under the same key.
async fn post(app: &App, request: Request<Body>) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let params = params::event(&app.schema, head.uri.query().unwrap_or_default())?;
    let key = params::key(&head.headers, params.key)?;
    app.times.bounds().check(params.timestamp_us)?;
    body::discard(body, &app.options).await?;
    app.times.observe(&[params.timestamp_us]);
    app.ignored(params.ignored);
    app.engine.append_event(params.event(), key).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

async fn get(app: &App, head: &Parts) -> Result<Response, Problem> {
    let hour = Hour::of_us(params::timestamp(head.uri.query().unwrap_or_default())?);
    let numbers = app.query.hour_numbers(&app.engine.snapshot(), hour).await?;
    Ok(numbers_response(&app.schema, &head.headers, hour, &numbers))
}

fn numbers_response(
    schema: &EventSchema,
    headers: &HeaderMap,
    hour: Hour,
    numbers: &HourNumbers,
) -> Response {
    let (content_type, text) = if wants_json(headers) {
        ("application/json", json(schema, hour, numbers))
    } else {
        ("text/plain; charset=utf-8", lines(numbers))
    };
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Reports whether the client names JSON and prefers it to plain text. Plain text is the default
/// for `*/*` and for clients that accept neither.
fn wants_json(headers: &HeaderMap) -> bool {
    let json = preference(headers, &["application/json"])
        .filter(|preference| preference.closeness == Closeness::Exact);
    json.is_some() && json > preference(headers, &["text/plain"])
}

/// Returns the three lines of the contract.
fn lines(numbers: &HourNumbers) -> String {
    let (unique_users, clicks, impressions) = (
        numbers.unique_users,
        numbers.count(EventKind::CLICK),
        numbers.count(EventKind::IMPRESSION),
    );
    format!("unique_users,{unique_users}\nclicks,{clicks}\nimpressions,{impressions}\n")
}

fn json(schema: &EventSchema, hour: Hour, numbers: &HourNumbers) -> String {
    let mut text = format!(r#"{{"hour":"{hour}","unique_users":{}"#, numbers.unique_users);
    for kind in schema.kinds() {
        // The names of kinds have no characters that JSON escapes.
        let _ = write!(text, r#","{}":{}"#, schema.counter(kind), numbers.count(kind));
    }
    text + "}"
}

#[cfg(test)]
mod tests {
    use axum::http::header::ACCEPT;

    use super::*;

    fn numbers() -> HourNumbers {
        let mut numbers = HourNumbers { unique_users: 2, ..HourNumbers::default() };
        numbers.counts.add(EventKind::CLICK, 30);
        numbers
    }

    #[test]
    fn the_answer_is_three_lines_and_nothing_else() {
        assert_eq!(lines(&numbers()), "unique_users,2\nclicks,30\nimpressions,0\n");
    }

    #[test]
    fn json_names_the_hour() {
        let hour = Hour::of_us(1_577_836_800_000_000);
        let text = json(&EventSchema::default(), hour, &numbers());
        assert_eq!(
            text,
            r#"{"hour":"2020-01-01T00:00:00Z","unique_users":2,"clicks":30,"impressions":0}"#
        );
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
        let schema = EventSchema::new(&["sign-up".into()], &[]).unwrap();
        let mut numbers = numbers();
        numbers.counts.add(schema.kind("sign-up").unwrap(), 4);
        assert!(json(&schema, hour, &numbers).ends_with(r#","impressions":0,"sign-up":4}"#));
    }

    #[test]
    fn json_is_answered_only_to_who_names_it() {
        let wants = |accept: &'static str| {
            wants_json(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]))
        };
        assert!(wants("application/json"));
        assert!(wants("text/html, Application/JSON;q=0.9"));
        assert!(wants("application/json, text/plain, */*"));
        assert!(wants("text/plain;q=0.5, application/json;q=0.6"));
        for accept in [
            "*/*",
            "application/*",
            "application/json;q=0",
            "application/json;q=0, */*;q=0",
            "application/json;q=0.5, */*",
            "application/json;q=0.5, text/plain",
            "text/plain, application/json",
            "application/json;q=5",
            "text/plain;q=0",
            "",
        ] {
            assert!(!wants(accept), "{accept}");
        }
        assert!(!wants("application/json-seq"));
        assert!(!wants_json(&HeaderMap::new()));
    }
}
