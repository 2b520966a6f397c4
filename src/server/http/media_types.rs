//! Media types of bodies, and names of headers, which the handlers and the OpenAPI document share.

/// Content types of `POST /events`, as the value of `Accept-Post`.
pub const EVENTS: &str = "application/x-ndjson, application/json, text/plain, text/csv, \
    text/tab-separated-values, application/vnd.apache.arrow.stream, \
    application/vnd.apache.arrow.file, application/vnd.apache.parquet";

/// Content encodings of `POST /events`.
pub const ENCODINGS: &str = "gzip, zstd, identity";

/// Content types of `POST /sql`.
pub const STATEMENTS: &str = "application/sql, text/plain, application/json";

/// Names of the headers, or trailers, that report a statement's cost.
pub const COST: [&str; 5] = [
    "hourglass-partitions",
    "hourglass-files",
    "hourglass-bytes-read",
    "hourglass-rollup",
    "server-timing",
];
