//! Parameters of the document.

use serde_json::{Value, json};

use crate::event::{EventSchema, MAX_KEY_BYTES, MAX_TIMESTAMP_US, MAX_USER_BYTES, MAX_VALUE_BYTES};
use crate::query::{Parameter, ParameterType};
use crate::rows::RowFormat;
use crate::server::http::params::{AS_OF, FORMAT, STATEMENT};

/// Returns a parameter of the URL's query string.
pub fn in_query(name: &str, required: bool, description: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "query", "required": required, "description": description, "schema": schema })
}

/// Returns a reference to one of [`components`].
pub fn shared(name: &str) -> Value {
    json!({ "$ref": format!("#/components/parameters/{name}") })
}

/// Returns the parameters that several operations have.
pub fn components() -> Value {
    let formats = RowFormat::ALL.map(RowFormat::name);
    json!({
        "timestamp": in_query(
            "timestamp",
            true,
            "Milliseconds since 1970, as `Date.now()` returns them",
            json!({ "type": "integer", "format": "int64", "minimum": 0, "maximum": MAX_TIMESTAMP_US / 1_000, "examples": [10_032_342_000_i64] }),
        ),
        "format": in_query(FORMAT, false, "The format of the rows; goes before `Accept`", json!({ "type": "string", "enum": formats })),
        "as_of": in_query(
            AS_OF,
            false,
            "An earlier version of the table, as a number or a time: the rows are those of its sealed hours",
            json!({ "type": "string" }),
        ),
        "dry_run": switch("dry_run", "Only counts what would be done"),
        "idempotency_key": {
            "name": "Idempotency-Key",
            "in": "header",
            "required": false,
            "description": "A request repeated with the same key within the window (24 hours, if not set otherwise) gets the same response, and is stored once",
            "schema": { "type": "string", "minLength": 1, "maxLength": MAX_KEY_BYTES + 2 },
        },
        "request_id": {
            "name": "X-Request-Id",
            "in": "header",
            "required": false,
            "description": "The id of the request in errors and in the log. Another value is passed over",
            "schema": { "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" },
        },
    })
}

/// Returns a parameter that is on if it is given without a value, too.
pub fn switch(name: &str, description: &str) -> Value {
    let mut parameter = in_query(
        name,
        false,
        description,
        json!({ "type": "string", "enum": ["true", "false", "1", "0", ""] }),
    );
    parameter["allowEmptyValue"] = json!(true);
    parameter
}

/// Returns the parameters of an event.
pub fn of_event(schema: &EventSchema) -> Vec<Value> {
    let mut parameters = vec![
        shared("timestamp"),
        in_query("user", true, "Who it was: up to 1,024 bytes of UTF-8", user()),
        in_query(
            "event",
            true,
            "What they did",
            json!({ "type": "string", "enum": schema.kind_names() }),
        ),
        in_query(
            "id",
            false,
            "An idempotency key, as in the header `Idempotency-Key`",
            json!({ "type": "string", "minLength": 1, "maxLength": MAX_KEY_BYTES }),
        ),
    ];
    parameters.extend(schema.dimensions().iter().map(|dimension| {
        let value = json!({ "type": "string", "maxLength": MAX_VALUE_BYTES });
        in_query(dimension, false, "A dimension of this store: up to 1,024 bytes of UTF-8", value)
    }));
    parameters
}

pub fn user() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": MAX_USER_BYTES, "examples": ["ana"] })
}

/// Returns the parameters of `GET /sql`.
pub fn of_statement() -> Vec<Value> {
    vec![
        in_query(
            STATEMENT,
            true,
            "The statement",
            json!({ "type": "string", "minLength": 1, "examples": ["SELECT * FROM hours LIMIT 10"] }),
        ),
        shared("format"),
        shared("as_of"),
        json!({
            "name": "params",
            "in": "query",
            "required": false,
            "description": "Every other parameter is the value of a placeholder: `&start=2020-01-01` is `$start`, as a text",
            "style": "form",
            "explode": true,
            "schema": { "type": "object", "additionalProperties": { "type": "string" } },
        }),
    ]
}

/// Returns a parameter of a saved query.
pub fn of_query(schema: &EventSchema, parameter: &Parameter) -> Value {
    let mut value = match parameter.kind {
        ParameterType::Timestamp => {
            json!({ "type": "string", "examples": ["2020-02-01", "2020-02-01T03:00:00Z", "1580515200000"] })
        }
        ParameterType::Integer => json!({ "type": "integer", "format": "int64" }),
        ParameterType::Text => json!({ "type": "string" }),
        ParameterType::Dimension if schema.dimensions().is_empty() => {
            json!({ "type": "string", "description": "This store has no dimensions" })
        }
        ParameterType::Dimension => json!({ "type": "string", "enum": schema.dimensions() }),
    };
    if let Some(default) = &parameter.default {
        let number =
            default.parse::<i64>().ok().filter(|_| parameter.kind == ParameterType::Integer);
        value["default"] = number.map_or_else(|| json!(default), Value::from);
    }
    in_query(&parameter.name, parameter.default.is_none(), &parameter.meaning, value)
}
