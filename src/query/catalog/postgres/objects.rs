//! The rows of `pg_catalog`: those of the catalogs that are not empty.

use super::facts::{DATABASE_OID, Facts, ROLE_OID, Relation, SCHEMAS, schema_oid};
use super::functions::procedures;
use super::values::{Row, row};
use super::{tables, types};
use crate::query::settings::SETTINGS;

/// OIDs of catalogs that other catalogs refer to.
const PG_CLASS: u32 = 1259;
const PG_DATABASE: u32 = 1262;

/// Returns the rows of a catalog of `pg_catalog`; none if it is empty.
pub fn rows(name: &str, facts: &Facts) -> Vec<Row> {
    match name {
        "pg_am" => access_methods(),
        "pg_attrdef" => facts.relations().iter().flat_map(expressions).collect(),
        "pg_attribute" => facts.relations().iter().flat_map(attributes).collect(),
        "pg_authid" | "pg_roles" | "pg_shadow" | "pg_user" => users(facts),
        "pg_class" => facts.relations().iter().map(|of| class(of, facts)).collect(),
        "pg_collation" => collations(),
        "pg_database" => vec![database(facts)],
        "pg_description" => facts.relations().iter().flat_map(descriptions).collect(),
        "pg_extension" => vec![row! {
            oid: tables::oid_of("extension", "plpgsql"), extname: "plpgsql", extowner: ROLE_OID,
            extnamespace: 11, extversion: "1.0",
        }],
        "pg_language" => languages(),
        "pg_namespace" => SCHEMAS.iter().map(|(oid, name)| namespace(*oid, name)).collect(),
        "pg_opclass" => Vec::new(),
        "pg_proc" => procedures::rows(),
        "pg_range" => ranges(),
        "pg_settings" => settings(facts),
        "pg_shdescription" => vec![row! {
            objoid: DATABASE_OID, classoid: PG_DATABASE, description: "The events of visitors.",
        }],
        "pg_stat_activity" => vec![activity(facts)],
        "pg_stat_user_tables" | "pg_stat_all_tables" => statistics(facts),
        "pg_tables" => of_kind(facts, "r").map(table).collect(),
        "pg_tablespace" => vec![
            row! { oid: 1663, spcname: "pg_default", spcowner: ROLE_OID },
            row! { oid: 1664, spcname: "pg_global", spcowner: ROLE_OID },
        ],
        "pg_timezone_abbrevs" => vec![row! { abbrev: "UTC", is_dst: false }],
        "pg_timezone_names" => vec![row! { name: "UTC", abbrev: "UTC", is_dst: false }],
        "pg_type" => kinds(facts),
        "pg_views" => of_kind(facts, "v").map(view).collect(),
        _ => Vec::new(),
    }
}

fn of_kind<'f>(facts: &'f Facts, kind: &'f str) -> impl Iterator<Item = &'f Relation> {
    facts.relations().iter().filter(move |relation| relation.kind == kind)
}

fn namespace(oid: u32, name: &'static str) -> Row {
    row! { oid: oid, nspname: name, nspowner: ROLE_OID }
}

fn class(of: &Relation, facts: &Facts) -> Row {
    let is_stored = of.schema == "public" && of.kind == "r";
    let rows = if is_stored { facts.stored_size().0 as f64 } else { -1.0 };
    row! {
        oid: of.oid, relname: of.name.clone(), relnamespace: schema_oid(of.schema),
        reltype: row_type(of), relowner: ROLE_OID, relam: if of.kind == "r" { 2 } else { 0 },
        relfilenode: if is_stored { of.oid } else { 0 },
        relpersistence: "p", relkind: of.kind, relnatts: of.attributes.len() as i64,
        reltuples: rows, relispopulated: true, relreplident: "n",
        relhasrules: of.kind == "v",
        relacl: vec![format!("{user}=r/{user}", user = facts.sources.session.user())],
    }
}

/// Returns the OID of the type of a relation's rows.
fn row_type(of: &Relation) -> u32 {
    tables::oid_of("row", &format!("{}.{}", of.schema, of.name))
}

fn attributes(of: &Relation) -> Vec<Row> {
    let numbered = (1_i64..).zip(&of.attributes);
    let attribute = |(number, attribute): (i64, &super::facts::Attribute)| {
        let kind = types::by_oid(attribute.of);
        row! {
            attrelid: of.oid, attname: attribute.name.clone(), atttypid: attribute.of,
            attstattarget: -1, attlen: kind.map_or(-1, |kind| kind.length), attnum: number,
            attcacheoff: -1, atttypmod: -1,
            attndims: i64::from(kind.is_some_and(|kind| kind.category == "A")),
            attbyval: kind.is_some_and(|kind| kind.by_value),
            attalign: kind.map_or("i", |kind| kind.align),
            attstorage: kind.map_or("p", |kind| kind.storage),
            attnotnull: !attribute.is_nullable, attislocal: true,
            atthasdef: attribute.generated.is_some(),
            attgenerated: attribute.generated.map_or("", |_| "s"),
            attcollation: kind.map_or(0, |kind| kind.collation),
        }
    };
    numbered.map(attribute).collect()
}

/// The expressions of the columns that are computed from others.
fn expressions(of: &Relation) -> Vec<Row> {
    let expression = |(number, attribute): (i64, &super::facts::Attribute)| {
        let oid = tables::oid_of("expression", &format!("{}.{}", of.name, attribute.name));
        Some(row! { oid: oid, adrelid: of.oid, adnum: number, adbin: attribute.generated? })
    };
    (1_i64..).zip(&of.attributes).filter_map(expression).collect()
}

fn descriptions(of: &Relation) -> Vec<Row> {
    let text = |number: i64, text: &'static str| {
        row! { objoid: of.oid, classoid: PG_CLASS, objsubid: number, description: text }
    };
    let whole = of.about.map(|about| text(0, about));
    let columns =
        (1_i64..).zip(&of.attributes).filter_map(|(n, column)| Some(text(n, column.about?)));
    whole.into_iter().chain(columns).collect()
}

fn kinds(facts: &Facts) -> Vec<Row> {
    let mut rows: Vec<Row> = types::all().iter().map(kind).collect();
    rows.extend(facts.relations().iter().map(|of| {
        let procedure = tables::procedure_oid;
        row! {
            oid: row_type(of), typname: of.name.clone(), typnamespace: schema_oid(of.schema),
            typowner: ROLE_OID, typlen: -1, typtype: "c", typcategory: "C", typisdefined: true,
            typdelim: ",", typrelid: of.oid, typinput: procedure("record_in"),
            typoutput: procedure("record_out"), typreceive: procedure("record_recv"),
            typsend: procedure("record_send"), typalign: "d", typstorage: "x", typtypmod: -1,
        }
    }));
    rows
}

fn kind(of: &'static types::Type) -> Row {
    let [input, output, receive, send, modifiers_in, modifiers_out] =
        of.functions.map(tables::procedure_oid);
    row! {
        oid: of.oid, typname: of.name.clone(), typnamespace: schema_oid(of.schema),
        typowner: ROLE_OID, typlen: of.length, typbyval: of.by_value, typtype: of.kind,
        typcategory: of.category, typispreferred: of.is_preferred, typisdefined: true,
        typdelim: if of.oid == 603 { ";" } else { "," }, typelem: of.element, typarray: of.array,
        typinput: input, typoutput: output, typreceive: receive, typsend: send,
        typmodin: modifiers_in, typmodout: modifiers_out, typalign: of.align,
        typstorage: of.storage, typbasetype: of.base, typtypmod: -1, typcollation: of.collation,
    }
}

/// The ranges of types: OID, type of the ends, and the multirange.
fn ranges() -> Vec<Row> {
    [
        (3904, 23, 4451),
        (3906, 1700, 4532),
        (3908, 1114, 4533),
        (3910, 1184, 4534),
        (3912, 1082, 4535),
        (3926, 20, 4536),
    ]
    .map(|(of, ends, several)| row! { rngtypid: of, rngsubtype: ends, rngmultitypid: several })
    .into()
}

fn access_methods() -> Vec<Row> {
    [(2, "heap", "t"), (403, "btree", "i"), (405, "hash", "i")]
        .map(|(oid, name, kind)| row! { oid: oid, amname: name, amtype: kind })
        .into()
}

fn collations() -> Vec<Row> {
    [(100, "default", "d"), (950, "C", "c"), (951, "POSIX", "c"), (962, "ucs_basic", "c")]
        .map(|(oid, name, provider)| {
            row! {
                oid: oid, collname: name, collnamespace: 11, collowner: ROLE_OID,
                collprovider: provider, collisdeterministic: true, collencoding: -1,
                collcollate: "C", collctype: "C",
            }
        })
        .into()
}

fn languages() -> Vec<Row> {
    [(12, "internal"), (13, "c"), (14, "sql")]
        .map(|(oid, name)| {
            row! { oid: oid, lanname: name, lanowner: ROLE_OID, lanpltrusted: name == "sql" }
        })
        .into()
}

fn database(facts: &Facts) -> Row {
    row! {
        oid: DATABASE_OID, datname: facts.sources.session.database(), datdba: ROLE_OID,
        encoding: 6, datlocprovider: "c", datallowconn: true, datconnlimit: -1,
        dattablespace: 1663, datcollate: "C", datctype: "C",
    }
}

/// The one role. It is in several catalogs, under names that begin differently.
fn users(facts: &Facts) -> Vec<Row> {
    let user = facts.sources.session.user();
    vec![row! {
        oid: ROLE_OID, rolname: user, rolsuper: false, rolinherit: true, rolcanlogin: true,
        rolcreaterole: false, rolcreatedb: false, rolreplication: false, rolbypassrls: false,
        usecreatedb: false, userepl: false, usebypassrls: false,
        rolconnlimit: -1, usename: user, usesysid: ROLE_OID, usesuper: false,
    }]
}

fn settings(facts: &Facts) -> Vec<Row> {
    let session = &facts.sources.session;
    let own = SETTINGS.iter().map(|setting| {
        let kept = session.kept(setting);
        let is_default = kept == setting.default;
        row! {
            name: setting.name, setting: kept, unit: setting.unit(), category: "Client",
            short_desc: setting.about, context: setting.context(), vartype: setting.kind(),
            source: if is_default { "default" } else { "session" },
            enumvals: setting.words().map(|words| words.to_vec()),
            boot_val: setting.default, reset_val: setting.default, pending_restart: false,
        }
    });
    let options = session.config().options().entries().into_iter().map(|entry| {
        row! {
            name: entry.key, setting: entry.value.unwrap_or_default(), category: "Engine",
            short_desc: entry.description, context: "user", vartype: "string",
            source: "default", pending_restart: false,
        }
    });
    own.chain(options).collect()
}

fn activity(facts: &Facts) -> Row {
    let session = &facts.sources.session;
    row! {
        datid: DATABASE_OID, datname: session.database(), pid: session.process(),
        usesysid: ROLE_OID, usename: session.user(),
        application_name: session.get("application_name"), state: "active",
        backend_type: "client backend",
    }
}

fn statistics(facts: &Facts) -> Vec<Row> {
    let (rows, _) = facts.stored_size();
    let stored = facts.relations().iter().filter(|of| of.kind == "r" && of.schema == "public");
    stored
        .map(|of| {
            row! {
                relid: of.oid, schemaname: of.schema, relname: of.name.clone(),
                n_live_tup: rows as i64, n_tup_ins: rows as i64, n_dead_tup: 0,
            }
        })
        .collect()
}

fn table(of: &Relation) -> Row {
    row! {
        schemaname: of.schema, tablename: of.name.clone(), tableowner: "hourglass",
        hasindexes: false, hasrules: false, hastriggers: false, rowsecurity: false,
    }
}

fn view(of: &Relation) -> Row {
    row! {
        schemaname: of.schema, viewname: of.name.clone(), viewowner: "hourglass",
        definition: of.definition.clone(),
    }
}
