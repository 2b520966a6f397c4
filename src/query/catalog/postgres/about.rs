//! What the tables and columns of the store are, in words: `pg_description`, `\d+`.

use crate::query::schema::{EVENTS, HOURS, VISITORS};

/// Describes a table or view.
pub fn relation(schema: &str, name: &str) -> Option<&'static str> {
    Some(match (schema, name) {
        ("public", EVENTS) => "All events, in files and in memory.",
        ("public", HOURS) => "The number of visitors and of events of each kind, of every hour.",
        ("public", VISITORS) => "The visitors of every hour, for each kind of event, as sets.",
        ("system", "partitions") => "The hours that have events, and where they are.",
        ("system", "files") => "The data files.",
        ("system", "commits") => "What each commit of the table's log changed.",
        ("system", "wal") => "The segments of the write-ahead log.",
        ("system", "settings") => "The settings of the server, and where each comes from.",
        ("system", "queries") => "The statements that run, and the last ones that ended.",
        _ => return None,
    })
}

/// Describes a column.
pub fn column(schema: &str, table: &str, name: &str) -> Option<&'static str> {
    Some(match (schema, table, name) {
        ("public", EVENTS, "timestamp") => "When it happened, in UTC.",
        ("public", EVENTS, "user_id") => "The visitor.",
        ("public", EVENTS, "event") => "The kind of the event.",
        ("public", EVENTS, "date") => "The day of the timestamp.",
        ("public", EVENTS, "hour") => "The hour of the timestamp, from 0 to 23.",
        ("public", EVENTS, _) => "A dimension that is declared.",
        ("public", HOURS, "hour") => "When the hour begins, in UTC.",
        ("public", VISITORS, "hour") => "When the hour begins, in UTC.",
        ("public", VISITORS, "event") => "The kind of the events.",
        ("public", VISITORS, "users") => "The visitors, as a set that the functions rb_… take.",
        (_, _, "unique_users") => "How many visitors there were.",
        ("public", HOURS, _) => "How many events of this kind there were.",
        _ => return None,
    })
}
