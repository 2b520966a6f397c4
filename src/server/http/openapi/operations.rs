//! Operations of the document: what each path and method takes and returns.

use axum::http::Method;
use serde_json::{Value, json};

use super::parameters::{self, in_query, switch};
use super::results::{binary, shared_rows, text};
use super::{problems, schemas};
use crate::event::EventSchema;
use crate::query::{SavedQueries, SavedQuery};
use crate::server::access::Need;
use crate::server::http::docs;
use crate::server::http::media_types::{ENCODINGS, EVENTS, STATEMENTS};
use crate::server::http::paths::{Route, need};

/// Statuses of errors that every request may get.
const ANY: [u16; 3] = [414, 500, 503];

/// Statuses of errors of requests that are not open to all.
const ADMITTED: [u16; 5] = [400, 401, 403, 421, 429];

/// One method of a path.
pub struct Operation {
    pub path: String,
    pub method: Method,
    id: String,
    tag: &'static str,
    summary: String,
    description: Option<String>,
    parameters: Vec<Value>,
    body: Option<Value>,
    /// Responses that are no errors, by status.
    answers: Value,
    /// Statuses of errors.
    pub problems: Vec<u16>,
}

impl Operation {
    fn new(route: Route, method: Method, id: &str, tag: &'static str, summary: &str) -> Operation {
        let path = route.path().to_owned();
        let is_admitted = need(&method, &path).is_some();
        let own = if is_admitted { &ADMITTED[..] } else { &[] };
        Operation {
            path,
            method,
            id: id.to_owned(),
            tag,
            summary: summary.to_owned(),
            description: None,
            parameters: vec![parameters::shared("request_id")],
            body: None,
            answers: json!({}),
            problems: [own, &ANY].concat(),
        }
    }

    fn get(route: Route, id: &str, tag: &'static str, summary: &str) -> Operation {
        Operation::new(route, Method::GET, id, tag, summary)
    }

    fn post(route: Route, id: &str, tag: &'static str, summary: &str) -> Operation {
        Operation::new(route, Method::POST, id, tag, summary)
    }

    fn described(self, description: &str) -> Operation {
        Operation { description: Some(description.to_owned()), ..self }
    }

    fn with(mut self, parameters: impl IntoIterator<Item = Value>) -> Operation {
        self.parameters.splice(0..0, parameters);
        self
    }

    fn with_body(self, required: bool, content: Value) -> Operation {
        Operation { body: Some(json!({ "required": required, "content": content })), ..self }
    }

    fn answers(mut self, status: u16, answer: Value) -> Operation {
        self.answers[status.to_string()] = answer;
        self
    }

    fn answers_json(self, description: &str, schema: Value) -> Operation {
        self.answers(200, in_json(description, schema))
    }

    fn fails(mut self, statuses: &[u16]) -> Operation {
        self.problems.extend(statuses);
        self
    }

    pub fn into_json(self) -> Value {
        let mut responses = self.answers;
        for status in self.problems {
            responses[status.to_string()] = problems::shared(status);
        }
        let mut operation = json!({
            "operationId": self.id,
            "tags": [self.tag],
            "summary": self.summary,
            "security": security(need(&self.method, &self.path)),
            "parameters": self.parameters,
            "responses": responses,
        });
        if let Some(description) = self.description {
            operation["description"] = description.into();
        }
        if let Some(body) = self.body {
            operation["requestBody"] = body;
        }
        operation
    }
}

/// Returns what lets a request in: nothing, where the server says so, or a token.
fn security(need: Option<Need>) -> Value {
    match need {
        None => json!([]),
        Some(Need::Write) => json!([{}, { "bearer": [] }, { "basic": [] }, { "token": [] }]),
        Some(_) => json!([{}, { "bearer": [] }, { "basic": [] }]),
    }
}

fn in_json(description: &str, schema: Value) -> Value {
    json!({ "description": description, "content": { "application/json": { "schema": schema } } })
}

fn array_of(name: &str) -> Value {
    json!({ "type": "array", "items": schemas::shared(name) })
}

/// Returns every operation.
pub fn operations(schema: &EventSchema, queries: &SavedQueries) -> Vec<Operation> {
    let saved = queries.all().iter().map(|query| of_query(schema, query));
    [of_events(schema), of_numbers(), saved.collect(), of_sql(), of_administration(), of_server()]
        .into_iter()
        .flatten()
        .collect()
}

fn of_events(schema: &EventSchema) -> Vec<Operation> {
    let encodings: Vec<&str> = ENCODINGS.split(", ").collect();
    let encoding = json!({
        "name": "Content-Encoding",
        "in": "header",
        "required": false,
        "description": "The compression of the body",
        "schema": { "type": "string", "enum": encodings },
    });
    vec![
        Operation::post(Route::Analytics, "sendEvent", "Events", "Stores one event")
            .described("Parameters that are not declared are ignored. A body is read and ignored.")
            .with(parameters::of_event(schema).into_iter().chain([parameters::shared("idempotency_key")]))
            .answers(204, json!({ "description": "The event is durable, and every later query sees it" }))
            .fails(&[408, 413, 422]),
        Operation::post(Route::Events, "sendEvents", "Events", "Stores the events of the body, all or nothing")
            .described(
                "Fields that are not declared are ignored. The content type may have parameters for columns \
                 of other names and the like, such as `; columns=\"timestamp=time\"`.",
            )
            .with([parameters::shared("idempotency_key"), encoding])
            .with_body(true, EVENTS.split(", ").map(|format| (format.to_owned(), events_as(format))).collect())
            .answers_json("The events are durable, and every later query sees them", schemas::shared("Accepted"))
            .fails(&[408, 413, 415, 422]),
    ]
}

fn events_as(media_type: &str) -> Value {
    let line = "{\"timestamp\":10032342000,\"user\":\"ana\",\"event\":\"click\"}\n";
    match media_type {
        "application/json" => json!({ "schema": array_of("Event") }),
        "application/x-ndjson" | "text/plain" => text(line, "One JSON object a line"),
        "text/csv" => {
            text("timestamp,user,event\n10032342000,ana,click\n", "RFC 4180, with a header")
        }
        "text/tab-separated-values" => {
            text("timestamp\tuser\tevent\n10032342000\tana\tclick\n", "The same with tabs")
        }
        _ => binary("The columns `timestamp`, `user` or `user_id`, `event`, and dimensions"),
    }
}

fn of_numbers() -> Vec<Operation> {
    let numbers = json!({
        "description": "The numbers of the hour",
        "content": {
            "text/plain": text("unique_users,1\nclicks,1\nimpressions,0\n", "Three lines"),
            "application/json": { "schema": schemas::shared("HourNumbers") },
        },
    });
    vec![
        Operation::get(
            Route::Analytics,
            "hourNumbers",
            "Numbers",
            "The visitors and events of an hour (GMT)",
        )
        .described("Three lines of text, or, for `Accept: application/json`, JSON with every kind.")
        .with([parameters::shared("timestamp")])
        .answers(200, numbers),
        Operation::get(Route::Queries, "listQueries", "Numbers", "The saved queries")
            .answers_json("The saved queries", array_of("SavedQuery")),
    ]
}

fn of_query(schema: &EventSchema, query: &SavedQuery) -> Operation {
    let own = query.parameters.iter().map(|parameter| parameters::of_query(schema, parameter));
    let operation = Operation::get(
        Route::SavedQuery,
        &format!("query_{}", query.name),
        "Numbers",
        &query.answers,
    )
    .with(own.chain(["format", "as_of"].map(parameters::shared)))
    .answers(200, shared_rows())
    .fails(&[406, 422]);
    Operation { path: format!("/queries/{}", query.name), ..operation }
}

fn of_sql() -> Vec<Operation> {
    let statement = || text("SELECT * FROM hours LIMIT 10", "The statement");
    let bodies = STATEMENTS.split(", ").map(|body| {
        let content = match body {
            "application/json" => json!({ "schema": schemas::shared("Statement") }),
            _ => statement(),
        };
        (body.to_owned(), content)
    });
    vec![
        Operation::post(Route::Sql, "runStatement", "SQL", "Runs a statement, which can only read")
            .with(["format", "as_of"].map(parameters::shared))
            .with_body(true, bodies.collect())
            .answers(200, shared_rows())
            .fails(&[406, 408, 413, 415, 422]),
        Operation::get(Route::Sql, "runStatementOfUrl", "SQL", "Runs the statement of the URL")
            .with(parameters::of_statement())
            .answers(200, shared_rows())
            .fails(&[406, 422]),
    ]
}

fn of_administration() -> Vec<Operation> {
    const TAG: &str = "Administration";
    let dry_run = || [parameters::shared("dry_run")];
    let user = in_query("user", false, "A user; the body may name more", parameters::user());
    let now = switch(
        "now",
        "Removes every byte at once, and not when the grace period of replaced files ends",
    );
    let users = json!({
        "text/plain": text("ana\nbob\n", "One user a line"),
        "application/json": { "schema": { "type": "array", "items": parameters::user() } },
    });
    let body = |name: &str| json!({ "application/json": { "schema": schemas::shared(name) } });
    vec![
        Operation::post(Route::Flush, "flush", TAG, "Writes all events to data files")
            .answers(204, json!({ "description": "All earlier events are in data files" })),
        Operation::post(Route::Compact, "compact", TAG, "Merges the files of each hour")
            .with(dry_run())
            .answers_json("Nothing is left to merge", schemas::shared("CompactionReport")),
        Operation::post(Route::Retain, "retain", TAG, "Removes hours older than the retention")
            .described("A 400 if the server has no `--retention`.")
            .with(dry_run())
            .answers_json("The hours are removed", schemas::shared("RetentionReport")),
        Operation::post(Route::Forget, "forget", TAG, "Removes every row of some users")
            .described("From another machine it always needs a token of the role admin.")
            .with([user, now])
            .with_body(false, users)
            .answers_json("The users are in no answer", schemas::shared("ErasureReceipt")),
        Operation::get(Route::Tokens, "listTokens", TAG, "The tokens")
            .answers_json("The tokens, without themselves", array_of("Token")),
        Operation::post(Route::Tokens, "createToken", TAG, "Makes a token")
            .described("The first one closes the server to those without.")
            .with_body(true, body("NewToken"))
            .answers_json("The token", schemas::shared("CreatedToken")),
        Operation::post(Route::RevokeTokens, "revokeTokens", TAG, "Ends tokens")
            .with_body(true, body("RevokeToken"))
            .answers_json("The tokens that were ended", array_of("Token")),
    ]
}

fn of_server() -> Vec<Operation> {
    const TAG: &str = "Operation";
    let plain = |example: &str, description: &str| json!({ "description": description, "content": { "text/plain": text(example, description) } });
    let metrics = text("# EOF\n", "OpenMetrics 1.0");
    let unchanged = || json!({ "description": "It is what `If-None-Match` names" });
    let file = |media_types: &[&str], description: &str| {
        let contents: serde_json::Map<String, Value> = media_types
            .iter()
            .map(|media_type| ((*media_type).to_owned(), json!({ "schema": { "type": "string" } })))
            .collect();
        json!({ "description": description, "content": contents })
    };
    let names: Vec<&str> = docs::names().collect();
    let name = json!({
        "name": "name",
        "in": "path",
        "required": true,
        "description": "The file",
        "schema": { "type": "string", "enum": names },
    });
    vec![
        Operation::get(Route::Schema, "schema", TAG, "The kinds and dimensions of this store")
            .answers_json("The kinds and dimensions", schemas::shared("Schema")),
        Operation::get(Route::Metrics, "metrics", TAG, "The metrics of this process")
            .answers(200, json!({ "description": "Metrics", "content": { "application/openmetrics-text": metrics } })),
        Operation::get(Route::OpenApi, "document", TAG, "This document")
            .answers_json("The document", json!({ "type": "object" }))
            .answers(304, unchanged()),
        Operation::get(Route::Docs, "docs", TAG, "A page that shows this document")
            .answers(200, file(&["text/html"], "The page"))
            .answers(304, unchanged()),
        Operation {
            path: "/docs/{name}".into(),
            ..Operation::get(Route::DocsFile, "docsFile", TAG, "A file of the page")
        }
        .with([name])
        .answers(200, file(&["text/javascript", "text/css"], "The file"))
        .answers(304, unchanged())
        .fails(&[404]),
        Operation::get(Route::Healthz, "alive", TAG, "Whether the process answers")
            .answers(200, plain("ok\n", "It does")),
        Operation::get(Route::Readyz, "ready", TAG, "Whether events are accepted")
            .described("If not, the 503 has the reason.")
            .answers(200, plain("ok\n", "They are")),
    ]
}
