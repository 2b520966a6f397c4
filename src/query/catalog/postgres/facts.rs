//! What catalogs tell: the relations of the store and of the catalogs themselves.

use std::sync::OnceLock;

use datafusion::catalog::TableProvider;

use super::super::sources::Sources;
use super::super::system::SystemTable;
use super::{about, tables, types};
use crate::query::identifiers::quoted;
use crate::query::schema::{EVENTS, HOURS, VISITORS};

/// The schemas, with their OIDs.
pub const SCHEMAS: [(u32, &str); 4] = [
    (11, "pg_catalog"),
    (2200, "public"),
    (SYSTEM_OID, "system"),
    (INFORMATION_OID, "information_schema"),
];
const SYSTEM_OID: u32 = 16_384;
const INFORMATION_OID: u32 = 13_294;

/// OID of the one role: that of PostgreSQL's first user.
pub const ROLE_OID: u32 = 10;
/// OID of the one database.
pub const DATABASE_OID: u32 = 16_385;

/// A table or view, of the store or of the catalogs.
#[derive(Debug)]
pub struct Relation {
    pub oid: u32,
    pub schema: &'static str,
    pub name: String,
    /// `r` for a table, `v` for a view.
    pub kind: &'static str,
    pub attributes: Vec<Attribute>,
    pub about: Option<&'static str>,
    /// The text of a view.
    pub definition: Option<String>,
}

/// A column of a relation.
#[derive(Debug)]
pub struct Attribute {
    pub name: String,
    /// OID of its type.
    pub of: u32,
    pub is_nullable: bool,
    pub about: Option<&'static str>,
    /// The expression of a column that is computed from another one, which an INSERT leaves out.
    pub generated: Option<&'static str>,
}

/// What the catalogs of one statement tell; made when it is first asked for.
#[derive(Debug)]
pub struct Facts {
    pub sources: Sources,
    relations: OnceLock<Vec<Relation>>,
}

impl Facts {
    pub fn new(sources: Sources) -> Facts {
        Facts { sources, relations: OnceLock::new() }
    }

    /// Returns the tables and views of the store, then the catalogs.
    pub fn relations(&self) -> &[Relation] {
        self.relations.get_or_init(|| {
            let catalogs = tables::all().iter().map(catalog);
            self.stored().into_iter().chain(catalogs).collect()
        })
    }

    fn stored(&self) -> Vec<Relation> {
        let mut stored = vec![relation("public", EVENTS, "r", &*self.sources.events())];
        // Their plans are made of the table's columns, and do not fail.
        for (name, view) in [(HOURS, self.sources.hours()), (VISITORS, self.sources.visitors())] {
            stored.extend(view.map(|view| relation("public", name, "v", &*view)));
        }
        for (name, kind) in SystemTable::ALL {
            let schema = kind.schema(&self.sources.snapshot.schema);
            stored.push(Relation {
                attributes: attributes("system", name, &schema),
                ..empty("system", name, "v")
            });
        }
        stored
    }

    /// Finds a relation by its OID.
    pub fn relation(&self, oid: u32) -> Option<&Relation> {
        self.relations().iter().find(|relation| relation.oid == oid)
    }

    /// Finds a relation by its name, in the schema before it or in those of the search path.
    pub fn named(&self, name: &str) -> Option<&Relation> {
        let (schema, name) = split(name);
        let find = |schema: &str| {
            let is_meant = |of: &&Relation| of.name == name && of.schema == schema;
            self.relations().iter().find(is_meant)
        };
        match schema {
            Some(schema) => find(&schema),
            None => self.sources.session.schemas(true).iter().find_map(|schema| find(schema)),
        }
    }

    /// Reports whether the name of a relation alone means it.
    pub fn is_visible(&self, relation: &Relation) -> bool {
        self.named(&quoted(&relation.name)).is_some_and(|named| named.oid == relation.oid)
    }

    /// Returns the rows and the bytes of the table of events.
    pub fn stored_size(&self) -> (u64, u64) {
        let snapshot = &self.sources.snapshot;
        let files = snapshot.files.iter().flat_map(|(_, files)| &files.files);
        let (rows, bytes) = files
            .fold((0, 0), |(rows, bytes), file| (rows + file.rollup.rows(), bytes + file.bytes));
        let memory = snapshot.memtables().flat_map(|table| table.hours.iter());
        (rows + memory.map(|(_, table)| table.rollup.rows()).sum::<u64>(), bytes)
    }
}

impl Relation {
    /// Returns the name as a statement has to write it.
    pub fn written(&self, is_visible: bool) -> String {
        match is_visible {
            true => quoted(&self.name),
            false => format!("{}.{}", quoted(self.schema), quoted(&self.name)),
        }
    }
}

/// Returns the OID of a schema.
pub fn schema_oid(name: &str) -> u32 {
    SCHEMAS.iter().find(|(_, schema)| *schema == name).map_or(0, |(oid, _)| *oid)
}

fn empty(schema: &'static str, name: &str, kind: &'static str) -> Relation {
    let (attributes, definition) = (Vec::new(), None);
    let oid = tables::oid_of(schema, name);
    let about = about::relation(schema, name);
    Relation { oid, schema, name: name.into(), kind, attributes, about, definition }
}

fn relation(
    schema: &'static str,
    name: &str,
    kind: &'static str,
    table: &dyn TableProvider,
) -> Relation {
    let definition = table.get_table_definition().map(str::to_string);
    let attributes = attributes(schema, name, &table.schema());
    Relation { attributes, definition, ..empty(schema, name, kind) }
}

fn attributes(schema: &str, table: &str, columns: &arrow::datatypes::Schema) -> Vec<Attribute> {
    let attribute = |field: &arrow::datatypes::FieldRef| {
        let name = field.name().clone();
        let about = about::column(schema, table, &name);
        let of = types::by_name(types::of_arrow(field.data_type())).map_or(0, |of| of.oid);
        let generated = generated(schema, table, &name);
        Attribute { name, of, is_nullable: field.is_nullable(), about, generated }
    };
    columns.fields().iter().map(attribute).collect()
}

fn generated(schema: &str, table: &str, column: &str) -> Option<&'static str> {
    match (schema, table, column) {
        ("public", EVENTS, "date") => Some(r#"("timestamp" AT TIME ZONE 'UTC')::date"#),
        ("public", EVENTS, "hour") => Some(r#"EXTRACT(hour FROM "timestamp" AT TIME ZONE 'UTC')"#),
        _ => None,
    }
}

fn catalog(table: &tables::Table) -> Relation {
    let attribute = |column: &tables::Column| Attribute {
        name: column.name.into(),
        of: types::by_name(column.of).map_or(0, |of| of.oid),
        is_nullable: column.is_nullable,
        about: None,
        generated: None,
    };
    let attributes = table.columns.iter().map(attribute).collect();
    Relation { oid: table.oid, attributes, ..empty(table.schema, table.name, table.kind) }
}

/// Splits a name into its schema and its last part; names are in lower case unless quoted.
pub fn split(name: &str) -> (Option<String>, String) {
    let mut parts = vec![String::new()];
    let mut is_quoted = false;
    for c in name.trim().chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            '.' if !is_quoted => parts.push(String::new()),
            c if c.is_whitespace() && !is_quoted => {}
            c => {
                let last = parts.last_mut().expect("never empty");
                if is_quoted { last.push(c) } else { last.extend(c.to_lowercase()) }
            }
        }
    }
    let name = parts.pop().unwrap_or_default();
    (parts.pop(), name)
}
