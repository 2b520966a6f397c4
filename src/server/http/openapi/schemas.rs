//! Shapes of JSON in the document. A test compares them with what the types of the program are
//! written as.

use serde_json::{Map, Value, json};

use super::{parameters, problems};
use crate::event::{EventSchema, MAX_VALUE_BYTES};

/// Returns a reference to one of [`components`].
pub fn shared(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

pub fn components(schema: &EventSchema) -> Value {
    json!({
        "Problem": problem(),
        "Event": event(schema),
        "Accepted": counts(&["accepted"]),
        "HourNumbers": hour_numbers(schema),
        "Statement": statement(),
        "SavedQuery": saved_query(),
        "Schema": object(&["kinds", "dimensions"], json!({ "kinds": texts(), "dimensions": texts() })),
        "CompactionReport": counts(&[
            "hours", "files_before", "files_after", "rows", "bytes_before", "bytes_after", "skipped",
        ]),
        "RetentionReport": with(counts(&["hours", "files", "rows", "bytes"]), "before", text("The first hour that is kept")),
        "ErasureReceipt": erasure_receipt(),
        "NewToken": new_token(),
        "Token": token(),
        "CreatedToken": with(token(), "token", text("The token itself; it is not shown again")),
        "RevokeToken": object(&["token"], json!({ "token": text("The id or the name of the tokens") })),
    })
}

/// Returns an object with all of `required` and maybe other members.
fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties })
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn optional_text(description: &str) -> Value {
    json!({ "type": ["string", "null"], "description": description })
}

fn texts() -> Value {
    json!({ "type": "array", "items": { "type": "string" } })
}

fn count() -> Value {
    json!({ "type": "integer", "format": "int64", "minimum": 0 })
}

/// Returns an object of counts, all of them there.
fn counts(names: &[&str]) -> Value {
    let properties: Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), count())).collect();
    object(names, properties.into())
}

/// Returns an object with one more member, which is required.
fn with(mut object: Value, name: &str, schema: Value) -> Value {
    object["properties"][name] = schema;
    object["required"].as_array_mut().expect("an object of this file").push(json!(name));
    object
}

fn problem() -> Value {
    let place =
        |description: &str| json!({ "type": "integer", "minimum": 1, "description": description });
    let properties = json!({
        "type": { "type": "string", "enum": problems::types(), "description": "What went wrong, for programs to compare" },
        "title": text("The same for people"),
        "status": { "type": "integer", "description": "The status of the response" },
        "detail": text("What went wrong here, and what to do"),
        "parameter": text("The parameter at fault"),
        "line": place("The line of the body or of the statement at fault"),
        "column": place("The column of the statement at fault"),
        "request_id": text("The id of the request, which is also in the server's log"),
    });
    let mut problem = object(&["type", "title", "status", "detail", "request_id"], properties);
    problem["description"] = json!("An error (RFC 9457)");
    problem
}

fn event(schema: &EventSchema) -> Value {
    let mut properties = json!({
        "timestamp": {
            "oneOf": [{ "type": "integer", "format": "int64", "minimum": 0 }, { "type": "string" }],
            "description": "Milliseconds since 1970, or a date and time such as 2020-01-01T00:00:16.384Z",
        },
        "user": parameters::user(),
        "event": { "type": "string", "enum": schema.kind_names() },
    });
    for dimension in schema.dimensions() {
        properties[dimension] = json!({ "type": ["string", "number", "boolean", "null"], "maxLength": MAX_VALUE_BYTES });
    }
    let mut event = object(&["timestamp", "user", "event"], properties);
    event["description"] = json!("`user_id` also names the user. Other members are passed over");
    event["examples"] =
        json!([{ "timestamp": 10_032_342_000_i64, "user": "ana", "event": "click" }]);
    event
}

fn hour_numbers(schema: &EventSchema) -> Value {
    let counters: Vec<&str> = schema.kinds().map(|kind| schema.counter(kind)).collect();
    let names: Vec<&str> = ["unique_users"].into_iter().chain(counters).collect();
    with(counts(&names), "hour", json!({ "type": "string", "format": "date-time" }))
}

fn statement() -> Value {
    let mut statement = object(
        &["query"],
        json!({
            "query": text("The statement"),
            "params": {
                "type": ["object", "array", "null"],
                "description": "The values of `$name`, or of `$1`, `$2`, …: texts, numbers, booleans and nulls",
            },
            "settings": {
                "type": "object",
                "additionalProperties": { "type": "string" },
                "description": "Options for this statement, as `SET` would set them; `SHOW ALL` lists them",
            },
            "format": text("The format of the rows, unless the URL names one"),
            "as_of": {
                "type": ["string", "number", "null"],
                "description": "The version of the table or the time to read, unless the URL names one",
            },
        }),
    );
    statement["additionalProperties"] = json!(false);
    statement["examples"] = json!([{
        "query": "SELECT count(*) AS events FROM events WHERE user_id = $user",
        "params": { "user": "ana" },
    }]);
    statement
}

fn saved_query() -> Value {
    let parameter = object(
        &["name", "type", "meaning"],
        json!({
            "name": text("Its name in the URL"),
            "type": { "type": "string", "enum": ["timestamp", "integer", "text", "dimension"] },
            "default": text("What it is if it is not given"),
            "meaning": text("What it says"),
        }),
    );
    object(
        &["name", "answers", "parameters", "sql"],
        json!({
            "name": text("The end of its path"),
            "answers": text("What it answers"),
            "parameters": { "type": "array", "items": parameter },
            "sql": text("The statement"),
        }),
    )
}

fn erasure_receipt() -> Value {
    let names = ["users", "files_examined", "files_rewritten", "hours", "rows_removed", "version"];
    let receipt = with(
        counts(&names),
        "purged",
        json!({ "type": "boolean", "description": "Whether the bytes are gone, too" }),
    );
    with(receipt, "purged_after", optional_text("When they will be gone otherwise"))
}

fn new_token() -> Value {
    let mut token = object(
        &["role"],
        json!({
            "role": role(),
            "name": optional_text("A name to list and revoke it by"),
            "expires_seconds": { "type": ["integer", "null"], "minimum": 0, "description": "Seconds after which it ends" },
            "origin": optional_text("The origin of the pages that may use it, such as https://example.com"),
        }),
    );
    token["additionalProperties"] = json!(false);
    token["examples"] = json!([{ "role": "read", "name": "desk", "expires_seconds": 86_400 }]);
    token
}

fn token() -> Value {
    object(
        &["id", "name", "role", "created", "expires", "origin"],
        json!({
            "id": text("A short name, which is no secret"),
            "name": optional_text("The name that it was given"),
            "role": role(),
            "created": text("When it was made"),
            "expires": optional_text("When it ends"),
            "origin": optional_text("The origin of the pages that may use it"),
        }),
    )
}

fn role() -> Value {
    json!({ "type": "string", "enum": ["write", "read", "admin"], "description": "Send events; ask; everything" })
}
