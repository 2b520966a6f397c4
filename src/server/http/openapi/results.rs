//! Rows in the document: their formats, and the headers that report the cost of a statement.

use serde_json::{Map, Value, json};

use crate::rows::RowFormat;

/// Returns a reference to the response with the rows of a statement.
pub fn shared_rows() -> Value {
    json!({ "$ref": "#/components/responses/Rows" })
}

/// Returns the response with the rows of a statement.
pub fn rows() -> Value {
    let content: Map<String, Value> = RowFormat::ALL
        .into_iter()
        .map(|format| (format.media_type().to_owned(), content(format)))
        .collect();
    json!({
        "description": "The rows. The cost is in headers, or in trailers of the same names if the result is long",
        "headers": cost(),
        "content": content,
    })
}

fn content(format: RowFormat) -> Value {
    match format {
        RowFormat::Json => json!({
            "schema": { "type": "array", "items": { "type": "object" } },
            "example": [{ "hour": "2020-01-01T00:00:00Z", "events": 3 }],
        }),
        RowFormat::Ndjson => {
            text("{\"hour\":\"2020-01-01T00:00:00Z\",\"events\":3}\n", "One object a line")
        }
        RowFormat::Csv => text("hour,events\n2020-01-01T00:00:00Z,3\n", "RFC 4180, with a header"),
        RowFormat::Tsv => {
            text("hour\tevents\n2020-01-01T00:00:00Z\t3\n", "The same as CSV, with tabs")
        }
        RowFormat::ArrowStream => binary("The Arrow IPC streaming format"),
        RowFormat::Parquet => binary("Parquet"),
    }
}

/// Returns a body that is text, with an example.
pub fn text(example: &str, description: &str) -> Value {
    json!({ "schema": { "type": "string", "description": description }, "example": example })
}

/// Returns a body that is no text.
pub fn binary(description: &str) -> Value {
    json!({ "schema": { "description": description, "contentMediaType": "application/octet-stream" } })
}

fn cost() -> Value {
    let header = |description: &str, example: &str| json!({ "description": description, "schema": { "type": "string", "examples": [example] } });
    json!({
        "hourglass-partitions": header("Hours that were considered, pruned and read", "considered=3, pruned=2, read=1"),
        "hourglass-files": header("Data files likewise", "considered=3, pruned=2, read=1"),
        "hourglass-bytes-read": header("Bytes read from files", "2048"),
        "hourglass-rollup": header("`?1` if counters answered, and no event was read", "?0"),
        "server-timing": header("Milliseconds of planning and running", "plan;dur=1.250, run;dur=3.500"),
    })
}
