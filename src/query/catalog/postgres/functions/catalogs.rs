//! Functions that look into catalogs: definitions, descriptions, visibility, privileges, sizes.

use datafusion::common::{Result, exec_err};

use super::super::facts::{DATABASE_OID, Facts, ROLE_OID, Relation};
use super::super::types;
use super::super::values::Value;
use super::definition::{Function, function};

pub const FUNCTIONS: &[Function] = &[
    // There are no defaults, rules, triggers, indexes, constraints and partitions to tell of.
    function("pg_get_constraintdef", "oid bool", 1, "text", |_, _| Ok(Value::Null)),
    function("pg_get_expr", "text oid bool", 1, "text", |_, args| Ok(args[0].written().into())),
    function("pg_get_indexdef", "oid int4 bool", 2, "text", |_, _| Ok(Value::Null)),
    function("pg_get_partition_constraintdef", "oid", 0, "text", |_, _| Ok(Value::Null)),
    function("pg_get_partkeydef", "oid", 0, "text", |_, _| Ok(Value::Null)),
    function("pg_get_ruledef", "oid bool", 1, "text", |_, _| Ok(Value::Null)),
    function("pg_get_serial_sequence", "text text", 0, "text", |_, _| Ok(Value::Null)),
    function("pg_get_statisticsobjdef", "oid", 0, "text", |_, _| Ok(Value::Null)),
    function("pg_get_statisticsobjdef_columns", "oid", 0, "text", |_, _| Ok(Value::Null)),
    function("pg_get_triggerdef", "oid bool", 1, "text", |_, _| Ok(Value::Null)),
    function("pg_get_function_sqlbody", "oid", 0, "text", |_, _| Ok(Value::Null)),
    function("pg_get_functiondef", "oid", 0, "text", |_, _| Ok(Value::Null)),
    function("pg_get_userbyid", "oid", 0, "name", |facts, args| {
        Ok(match args[0].number() {
            Some(oid) if oid == i64::from(ROLE_OID) => facts.sources.session.user().into(),
            oid => format!("unknown (OID={})", oid.unwrap_or_default()).into(),
        })
    }),
    function("pg_get_viewdef", "text bool", 1, "text", |facts, args| {
        Ok(relation(facts, &args[0])
            .and_then(|of| of.definition.as_ref())
            .map(|text| format!(" {text};"))
            .into())
    }),
    function("obj_description", "oid name", 1, "text", |facts, args| {
        let is_relation = args.get(1).and_then(Value::text).is_none_or(|of| of == "pg_class");
        let about = relation(facts, &args[0]).filter(|_| is_relation).and_then(|of| of.about);
        Ok(about.into())
    }),
    function("col_description", "oid int4", 0, "text", |facts, args| {
        let at = args[1].number().and_then(|number| usize::try_from(number - 1).ok());
        let column = relation(facts, &args[0]).zip(at).and_then(|(of, at)| of.attributes.get(at));
        Ok(column.and_then(|column| column.about).into())
    }),
    function("shobj_description", "oid name", 0, "text", |_, args| {
        let is_database = args[1].text() == Some("pg_database")
            && args[0].number() == Some(i64::from(DATABASE_OID));
        Ok(is_database.then_some("The events of visitors.").into())
    }),
    function("pg_table_is_visible", "oid", 0, "bool", |facts, args| {
        Ok(relation(facts, &args[0]).map(|of| facts.is_visible(of)).into())
    }),
    function("pg_type_is_visible", "oid", 0, "bool", |_, args| {
        let of = args[0].number().and_then(|oid| types::by_oid(oid as u32));
        Ok(of.is_none_or(|of| of.schema == "pg_catalog").into())
    }),
    function("pg_function_is_visible", "oid", 0, "bool", |_, _| Ok(true.into())),
    function("pg_operator_is_visible", "oid", 0, "bool", |_, _| Ok(true.into())),
    function("pg_opclass_is_visible", "oid", 0, "bool", |_, _| Ok(true.into())),
    function("pg_opfamily_is_visible", "oid", 0, "bool", |_, _| Ok(true.into())),
    function("pg_collation_is_visible", "oid", 0, "bool", |_, _| Ok(true.into())),
    function("pg_conversion_is_visible", "oid", 0, "bool", |_, _| Ok(true.into())),
    function("pg_statistics_obj_is_visible", "oid", 0, "bool", |_, _| Ok(true.into())),
    function("pg_ts_config_is_visible", "oid", 0, "bool", |_, _| Ok(true.into())),
    function("pg_ts_dict_is_visible", "oid", 0, "bool", |_, _| Ok(true.into())),
    function("pg_ts_parser_is_visible", "oid", 0, "bool", |_, _| Ok(true.into())),
    function("pg_ts_template_is_visible", "oid", 0, "bool", |_, _| Ok(true.into())),
    function("has_any_column_privilege", "name text text", 1, "bool", |_, args| may(args)),
    function("has_column_privilege", "name text text text", 1, "bool", |_, args| may(args)),
    function("has_database_privilege", "name text text", 1, "bool", |_, args| may(args)),
    function("has_foreign_data_wrapper_privilege", "name text text", 1, "bool", |_, args| {
        may(args)
    }),
    function("has_function_privilege", "name text text", 1, "bool", |_, args| may(args)),
    function("has_language_privilege", "name text text", 1, "bool", |_, args| may(args)),
    function("has_schema_privilege", "name text text", 1, "bool", |_, args| may(args)),
    function("has_sequence_privilege", "name text text", 1, "bool", |_, args| may(args)),
    function("has_server_privilege", "name text text", 1, "bool", |_, args| may(args)),
    function("has_table_privilege", "name text text", 1, "bool", |_, args| may(args)),
    function("has_tablespace_privilege", "name text text", 1, "bool", |_, args| may(args)),
    function("has_type_privilege", "name text text", 1, "bool", |_, args| may(args)),
    function("pg_has_role", "name text text", 1, "bool", |_, _| Ok(true.into())),
    function("row_security_active", "text", 0, "bool", |_, _| Ok(false.into())),
    function("pg_column_is_updatable", "oid int2 bool", 0, "bool", |_, _| Ok(false.into())),
    function("pg_relation_is_updatable", "oid bool", 0, "int4", |_, _| Ok(0.into())),
    function("pg_relation_is_publishable", "oid", 0, "bool", |_, _| Ok(false.into())),
    function("pg_relation_filenode", "oid", 0, "oid", |_, args| Ok(args[0].clone())),
    function("pg_relation_size", "text text", 1, "int8", |facts, args| size(facts, &args[0])),
    function("pg_table_size", "text", 0, "int8", |facts, args| size(facts, &args[0])),
    function("pg_total_relation_size", "text", 0, "int8", |facts, args| size(facts, &args[0])),
    function("pg_indexes_size", "text", 0, "int8", |_, _| Ok(0.into())),
    function("pg_database_size", "text", 0, "int8", |facts, _| {
        Ok((facts.stored_size().1 as i64).into())
    }),
    function("pg_tablespace_size", "text", 0, "int8", |facts, _| {
        Ok((facts.stored_size().1 as i64).into())
    }),
    function("pg_tablespace_location", "oid", 0, "text", |_, _| Ok("".into())),
    function("pg_size_pretty", "int8", 0, "text", |_, args| {
        Ok(args[0].number().map(pretty).into())
    }),
    function("pg_stat_get_numscans", "oid", 0, "int8", |_, _| Ok(0.into())),
    function("pg_sequence_last_value", "oid", 0, "int8", |_, _| Ok(Value::Null)),
];

/// Finds a relation by its OID or its name.
fn relation<'f>(facts: &'f Facts, of: &Value) -> Option<&'f Relation> {
    match of.number() {
        Some(oid) => facts.relation(u32::try_from(oid).ok()?),
        None => facts.named(of.text()?),
    }
}

/// Reports whether the last argument names a privilege that everyone has: those that read.
fn may(args: &[Value]) -> Result<Value> {
    let Some(named) = args.last().and_then(Value::text) else { return Ok(Value::Null) };
    let mut all = named.split(',').map(|one| one.trim().to_uppercase());
    let known = [
        "SELECT",
        "USAGE",
        "CONNECT",
        "EXECUTE",
        "INSERT",
        "UPDATE",
        "DELETE",
        "TRUNCATE",
        "REFERENCES",
        "TRIGGER",
        "CREATE",
        "TEMP",
        "TEMPORARY",
        "SET",
        "ALTER SYSTEM",
        "MEMBER",
        "MAINTAIN",
    ];
    let plain = |one: &str| one.trim_end_matches(" WITH GRANT OPTION").to_string();
    if let Some(unknown) = all.clone().find(|one| !known.contains(&&*plain(one))) {
        return exec_err!("unrecognized privilege type: \"{}\"", unknown.to_lowercase());
    }
    Ok(all.any(|one| ["SELECT", "USAGE", "CONNECT", "EXECUTE"].contains(&&*one)).into())
}

/// Returns the bytes of a relation: those of the data files for the table of events.
fn size(facts: &Facts, of: &Value) -> Result<Value> {
    let Some(relation) = relation(facts, of) else {
        return match of.text() {
            Some(name) => exec_err!("relation \"{name}\" does not exist"),
            None => Ok(Value::Null),
        };
    };
    let is_stored = relation.schema == "public" && relation.kind == "r";
    Ok(if is_stored { facts.stored_size().1 as i64 } else { 0 }.into())
}

/// Writes a size as PostgreSQL does: below 10 of a unit in the unit before.
fn pretty(bytes: i64) -> String {
    let mut size = bytes as f64;
    for unit in ["bytes", "kB", "MB", "GB", "TB"] {
        if size.abs() < 10_240.0 {
            return format!("{size:.0} {unit}");
        }
        size /= 1_024.0;
    }
    format!("{size:.0} PB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_in_postgresql() {
        let written = [0, 10_239, 10_240, 1_500_000_000].map(pretty);
        assert_eq!(written, ["0 bytes", "10239 bytes", "10 kB", "1431 MB"]);
    }

    #[test]
    fn what_reads_may_be_done_and_what_writes_may_not() {
        let may = |what: &str| may(&["events".into(), what.into()]).unwrap();
        assert_eq!(may("select"), Value::Bool(true));
        assert_eq!(may("SELECT, INSERT"), Value::Bool(true));
        assert_eq!(may("INSERT"), Value::Bool(false));
        assert!(super::may(&["events".into(), "FLY".into()]).is_err());
    }
}
