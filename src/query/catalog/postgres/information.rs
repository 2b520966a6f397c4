//! The rows of `information_schema`, in PostgreSQL's words.
//!
//! `df_settings`, `routines` and `parameters` are DataFusion's: they list the functions and options
//! of this engine.

use super::facts::{Attribute, Facts, Relation, SCHEMAS};
use super::types;
use super::values::{Row, Value, row};

/// The tables of `information_schema` that are listed in it: those without rows are left out.
const LISTED: [&str; 7] =
    ["columns", "df_settings", "parameters", "routines", "schemata", "tables", "views"];

/// Returns the rows of a table; none if it is empty.
pub fn rows(name: &str, facts: &Facts) -> Vec<Row> {
    let database = facts.sources.session.database();
    match name {
        "columns" => {
            let columns = |of| columns(database, of);
            stored(facts).flat_map(columns).collect()
        }
        "enabled_roles" => vec![row! { role_name: facts.sources.session.user() }],
        "information_schema_catalog_name" => vec![row! { catalog_name: database }],
        "schemata" => SCHEMAS
            .iter()
            .map(|(_, name)| {
                row! { catalog_name: database, schema_name: *name, schema_owner: "hourglass" }
            })
            .collect(),
        "table_privileges" | "role_table_grants" => {
            stored(facts).map(|of| privilege(database, facts.sources.session.user(), of)).collect()
        }
        "tables" => {
            let own = LISTED.map(|name| table(database, "information_schema", name, "VIEW"));
            let stored = stored(facts).map(|of| {
                let kind = if of.kind == "r" { "BASE TABLE" } else { "VIEW" };
                table(database, of.schema, &of.name, kind)
            });
            stored.chain(own).collect()
        }
        "views" => {
            let views = stored(facts).filter(|of| of.definition.is_some());
            views.map(|of| view(database, of)).collect()
        }
        _ => Vec::new(),
    }
}

/// The tables and views of the store.
fn stored(facts: &Facts) -> impl Iterator<Item = &Relation> {
    facts.relations().iter().filter(|of| ["public", "system"].contains(&of.schema))
}

fn table(database: &str, schema: &str, name: &str, kind: &str) -> Row {
    row! {
        table_catalog: database, table_schema: schema, table_name: name, table_type: kind,
        is_insertable_into: "NO", is_typed: "NO",
    }
}

fn view(database: &str, of: &Relation) -> Row {
    row! {
        table_catalog: database, table_schema: of.schema, table_name: of.name.clone(),
        view_definition: of.definition.clone(), definition: of.definition.clone(),
        check_option: "NONE", is_updatable: "NO", is_insertable_into: "NO",
        is_trigger_updatable: "NO", is_trigger_deletable: "NO",
        is_trigger_insertable_into: "NO",
    }
}

fn privilege(database: &str, user: &str, of: &Relation) -> Row {
    row! {
        grantor: "hourglass", grantee: user, table_catalog: database, table_schema: of.schema,
        table_name: of.name.clone(), privilege_type: "SELECT", is_grantable: "NO",
        with_hierarchy: "YES",
    }
}

fn columns(database: &str, of: &Relation) -> Vec<Row> {
    let numbered = (1_i64..).zip(&of.attributes);
    numbered.map(|(number, attribute)| column(database, of, number, attribute)).collect()
}

fn column(database: &str, of: &Relation, number: i64, attribute: &Attribute) -> Row {
    let kind = types::by_oid(attribute.of);
    let is_array = kind.is_some_and(|kind| kind.category == "A");
    let data_type = if is_array { "ARRAY".into() } else { types::formatted(attribute.of, None) };
    // Bits of integers and floats; digits of a fraction of a second.
    let bits = match kind.map(|kind| kind.name.as_str()) {
        Some("int2") => Some((16, Some(0))),
        Some("int4") => Some((32, Some(0))),
        Some("int8") => Some((64, Some(0))),
        Some("float4") => Some((24, None)),
        Some("float8") => Some((53, None)),
        _ => None,
    };
    let is_time = kind.is_some_and(|kind| kind.name.starts_with("timestamp"));
    row! {
        table_catalog: database, table_schema: of.schema, table_name: of.name.clone(),
        column_name: attribute.name.clone(), ordinal_position: number,
        is_nullable: if attribute.is_nullable { "YES" } else { "NO" }, data_type: data_type,
        character_octet_length: kind.filter(|kind| kind.category == "S").map(|_| 1_073_741_824_i64),
        numeric_precision: bits.map(|(bits, _)| bits), numeric_precision_radix: bits.map(|_| 2),
        numeric_scale: bits.and_then(|(_, scale)| scale),
        datetime_precision: if is_time { Value::Int(6) } else { Value::Null },
        udt_catalog: database, udt_schema: "pg_catalog",
        udt_name: kind.map(|kind| kind.name.clone()), dtd_identifier: number.to_string(),
        is_self_referencing: "NO", is_identity: "NO", is_generated: attribute.generated.map_or("NEVER", |_| "ALWAYS"),
        generation_expression: attribute.generated, is_updatable: "NO",
    }
}
