//! Functions over the session and the server.

use std::sync::atomic::{AtomicI64, Ordering};

use datafusion::common::{Result, exec_err};

use super::super::facts::Facts;
use super::super::values::Value;
use super::definition::{Function, function};
use crate::query::settings::{self, SERVER_VERSION};

pub const FUNCTIONS: &[Function] = &[
    function("version", "", 0, "text", |_, _| {
        let engine = env!("CARGO_PKG_VERSION");
        Ok(format!("PostgreSQL {SERVER_VERSION} (hourglass {engine}), read-only, 64-bit").into())
    }),
    function("current_database", "", 0, "name", |facts, _| {
        Ok(facts.sources.session.database().into())
    }),
    function("current_catalog", "", 0, "name", |facts, _| {
        Ok(facts.sources.session.database().into())
    }),
    function("current_user", "", 0, "name", |facts, _| Ok(facts.sources.session.user().into())),
    function("current_role", "", 0, "name", |facts, _| Ok(facts.sources.session.user().into())),
    function("session_user", "", 0, "name", |facts, _| Ok(facts.sources.session.user().into())),
    function("user", "", 0, "name", |facts, _| Ok(facts.sources.session.user().into())),
    function("current_schema", "", 0, "name", |facts, _| {
        Ok(facts.sources.session.schemas(false).into_iter().next().into())
    }),
    function("current_schemas", "bool", 0, "name[]", |facts, args| {
        Ok(facts.sources.session.schemas(args[0].truth().unwrap_or_default()).into())
    }),
    function("current_setting", "text bool", 1, "text", current_setting),
    function("set_config", "text text bool", 0, "text", set_config),
    function("pg_encoding_to_char", "int4", 0, "name", |_, args| {
        Ok(if args[0].number() == Some(6) { "UTF8" } else { "" }.into())
    }),
    function("pg_char_to_encoding", "name", 0, "int4", |_, args| {
        Ok(if args[0].text().is_some_and(is_utf8) { 6 } else { -1 }.into())
    }),
    function("pg_client_encoding", "", 0, "name", |_, _| Ok("UTF8".into())),
    function("getdatabaseencoding", "", 0, "name", |_, _| Ok("UTF8".into())),
    function("pg_is_in_recovery", "", 0, "bool", |_, _| Ok(false.into())),
    function("pg_is_wal_replay_paused", "", 0, "bool", |_, _| Ok(false.into())),
    function("pg_backend_pid", "", 0, "int4", |facts, _| {
        Ok(facts.sources.session.process().into())
    }),
    function("pg_blocking_pids", "int4", 0, "int4[]", |_, _| Ok(Value::List(Vec::new()))),
    function("pg_my_temp_schema", "", 0, "oid", |_, _| Ok(0.into())),
    function("pg_is_other_temp_schema", "oid", 0, "bool", |_, _| Ok(false.into())),
    function("pg_postmaster_start_time", "", 0, "timestamptz", |facts, _| {
        Ok(facts.sources.started_us.into())
    }),
    function("pg_conf_load_time", "", 0, "timestamptz", |facts, _| {
        Ok(facts.sources.started_us.into())
    }),
    function("inet_server_addr", "", 0, "text", |_, _| Ok(Value::Null)),
    function("inet_server_port", "", 0, "int4", |_, _| Ok(Value::Null)),
    function("inet_client_addr", "", 0, "text", |_, _| Ok(Value::Null)),
    function("inet_client_port", "", 0, "int4", |_, _| Ok(Value::Null)),
    function("pg_advisory_lock", "int8 int8", 1, "text", |_, _| no_locks()),
    function("pg_advisory_xact_lock", "int8 int8", 1, "text", |_, _| no_locks()),
    function("pg_try_advisory_lock", "int8 int8", 1, "bool", |_, _| no_locks()),
    // No session holds a lock.
    function("pg_advisory_unlock", "int8 int8", 1, "bool", |_, _| Ok(false.into())),
    function("pg_advisory_unlock_all", "", 0, "text", |_, _| Ok("".into())),
    function("txid_current", "", 0, "int8", |_, _| Ok(next_transaction().into())),
    function("txid_current_if_assigned", "", 0, "int8", |_, _| Ok(Value::Null)),
];

/// Returns a number that no other call in this process returned.
fn next_transaction() -> i64 {
    static LAST: AtomicI64 = AtomicI64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

fn no_locks() -> Result<Value> {
    exec_err!(
        "advisory locks are not held here: nothing is written through SQL that they would order"
    )
}

fn is_utf8(name: &str) -> bool {
    ["utf8", "utf-8", "unicode"].contains(&&*name.to_lowercase())
}

fn current_setting(facts: &Facts, args: &[Value]) -> Result<Value> {
    let name = args[0].text().unwrap_or_default();
    match facts.sources.session.get(name) {
        Some(value) => Ok(value.into()),
        None if args.get(1).and_then(Value::truth) == Some(true) => Ok(Value::Null),
        None => exec_err!("unrecognized configuration parameter \"{name}\""),
    }
}

/// Returns the new value as it will be shown; the statement changes the session once it is planned.
fn set_config(_: &Facts, args: &[Value]) -> Result<Value> {
    let name = args[0].text().unwrap_or_default();
    let Some(setting) = settings::find(name) else {
        return exec_err!("unrecognized configuration parameter \"{name}\"");
    };
    match setting.accept(&args[1].written().unwrap_or_default()) {
        Ok(kept) => Ok(setting.shown(&kept).into()),
        Err(error) => exec_err!("{error}"),
    }
}
