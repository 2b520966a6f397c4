//! The table of catalogs: their names, OIDs and columns.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{Schema, SchemaRef};

use super::values::field;

/// A catalog, in `pg_catalog` or `information_schema`.
#[derive(Debug)]
pub struct Table {
    pub schema: &'static str,
    pub name: &'static str,
    /// `r` for a table, `v` for a view.
    pub kind: &'static str,
    pub oid: u32,
    pub columns: Vec<Column>,
    /// The columns as statements see them.
    pub arrow: SchemaRef,
}

/// A column of a catalog.
#[derive(Debug)]
pub struct Column {
    pub name: &'static str,
    /// The name of the type, with `[]` for an array.
    pub of: &'static str,
    pub is_nullable: bool,
}

static TABLES: LazyLock<Vec<Table>> = LazyLock::new(|| parse(include_str!("tables.txt")));

/// Returns all catalogs.
pub fn all() -> &'static [Table] {
    &TABLES
}

/// Finds a catalog.
pub fn find(schema: &str, name: &str) -> Option<&'static Table> {
    all().iter().find(|table| table.name == name && table.schema == schema)
}

/// Returns the OID of an object without a fixed one: the same in every process, and above those of
/// PostgreSQL's own objects. The names are few, and a test shows that no two share one.
pub fn oid_of(schema: &str, name: &str) -> u32 {
    // FNV-1a, whose values never change between versions.
    let hash = schema
        .bytes()
        .chain([b'.'])
        .chain(name.bytes())
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    16_384 + hash % 1_000_000_000
}

/// Returns the OID of a function by its name; 0 for `-`.
pub fn procedure_oid(name: &str) -> u32 {
    if name == "-" { 0 } else { oid_of("procedure", name) }
}

fn parse(text: &'static str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        if line.starts_with(' ') {
            let Some(table) = tables.last_mut() else { continue };
            // A line may end between the name and the type of a column.
            for word in words {
                match table.columns.last_mut() {
                    Some(column) if column.of.is_empty() => {
                        let of = word.trim_end_matches(',');
                        column.is_nullable = !of.ends_with('!');
                        column.of = of.trim_end_matches('!');
                    }
                    _ => table.columns.push(Column { name: word, of: "", is_nullable: true }),
                }
            }
        } else if let (Some(name), Some(kind), Some(oid)) =
            (words.next(), words.next(), words.next())
        {
            let (schema, name) = name.split_once('.').unwrap_or_default();
            let oid =
                oid.parse().ok().filter(|oid| *oid > 0).unwrap_or_else(|| oid_of(schema, name));
            let (columns, arrow) = (Vec::new(), Arc::new(Schema::empty()));
            tables.push(Table { schema, name, kind, oid, columns, arrow });
        }
    }
    for table in &mut tables {
        let columns = table.columns.iter();
        let fields = columns.map(|column| field(column.name, column.of, column.is_nullable));
        table.arrow = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::catalog::postgres::types;

    #[test]
    fn every_column_has_a_type_that_there_is() {
        for table in all() {
            assert!(!table.columns.is_empty(), "{}", table.name);
            for column in &table.columns {
                assert!(
                    types::by_name(column.of).is_some(),
                    "{}.{} {}",
                    table.name,
                    column.name,
                    column.of
                );
            }
        }
    }

    #[test]
    fn no_two_catalogs_share_an_oid() {
        let mut oids: Vec<u32> = all().iter().map(|table| table.oid).collect();
        oids.sort_unstable();
        oids.dedup();
        assert_eq!(oids.len(), all().len());
    }
}
