//! All functions by their names and OIDs: the rows of `pg_proc`, and the functions over these.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::super::facts::{ROLE_OID, split};
use super::super::tables::procedure_oid;
use super::super::types;
use super::super::values::{Row, Value, row};
use super::definition::{Function, function};
use super::names::{Kind, found, named, sought};
use super::{catalogs, names, sessions};

/// The functions over functions.
const FUNCTIONS: &[Function] = &[
    function("pg_get_function_arguments", "oid", 0, "text", |_, args| Ok(arguments(&args[0]))),
    function("pg_get_function_identity_arguments", "oid", 0, "text", |_, args| {
        Ok(arguments(&args[0]))
    }),
    function("pg_get_function_result", "oid", 0, "text", |_, args| {
        let function = args[0].number().and_then(of_oid);
        Ok(function
            .and_then(|of| types::by_name(of.returns))
            .map(|of| types::formatted(of.oid, None))
            .into())
    }),
    function("regproc", "text", 0, "regproc", |facts, args| found(facts, &FUNCTION, &args[0])),
    function("regproc_name", "text", 0, "text", |facts, args| named(facts, &FUNCTION, &args[0])),
    function("to_regproc", "text", 0, "regproc", |facts, args| sought(facts, &FUNCTION, &args[0])),
];

/// Returns all functions.
pub fn all() -> impl Iterator<Item = &'static Function> {
    [catalogs::FUNCTIONS, names::FUNCTIONS, sessions::FUNCTIONS, FUNCTIONS].into_iter().flatten()
}

const FUNCTION: Kind = Kind {
    noun: "function",
    oid: |_, name| {
        let (_, name) = split(name.split('(').next().unwrap_or_default());
        known().find(|known| *known == name).map(procedure_oid)
    },
    name: |_, oid| NAMES.get(&oid).map(|name| (*name).to_string()),
};

/// Returns the name of the function or the type that a value of `regproc` or `regtype`, by its own OID,
/// refers to; the number if nothing has it.
pub fn reference_name(of: u32, oid: u32) -> String {
    let name = match (of, oid) {
        (_, 0) => Some("-".into()),
        (REGPROC, oid) => NAMES.get(&oid).map(|name| (*name).to_string()),
        (_, oid) => types::by_oid(oid).map(|_| types::formatted(oid, None)),
    };
    name.unwrap_or_else(|| oid.to_string())
}

/// OID of the type `regproc`.
const REGPROC: u32 = 24;

/// The names of functions by their OIDs.
static NAMES: LazyLock<HashMap<u32, &'static str>> =
    LazyLock::new(|| known().map(|name| (procedure_oid(name), name)).collect());

/// The names of functions: those of types, then those over catalogs.
fn known() -> impl Iterator<Item = &'static str> {
    let of_types = types::all().iter().flat_map(|of| of.functions).filter(|name| *name != "-");
    of_types.chain(all().map(|function| function.name))
}

/// The rows of `pg_proc`: the functions of types, and those of this module.
pub fn rows() -> Vec<Row> {
    let of_types = types::all().iter().flat_map(|of| of.functions);
    let mut of_types: Vec<&str> = of_types.filter(|name| *name != "-").collect();
    of_types.sort_unstable();
    of_types.dedup();
    let of_types = of_types.into_iter().map(|name| procedure(name, "internal", "internal"));
    of_types.chain(all().map(|of| procedure(of.name, of.takes, of.returns))).collect()
}

fn procedure(name: &str, takes: &str, returns: &str) -> Row {
    let oid = |name: &str| types::by_name(name).map_or(0, |of| of.oid);
    let takes: Vec<u32> = takes.split_whitespace().map(oid).collect();
    row! {
        oid: procedure_oid(name), proname: name, pronamespace: 11, proowner: ROLE_OID,
        prolang: 12, procost: 1.0, prokind: "f", proisstrict: true, provolatile: "s",
        proparallel: "s", pronargs: takes.len() as i64, prorettype: oid(returns),
        proargtypes: takes, prosrc: name,
    }
}

/// Finds a function of this module by its OID.
fn of_oid(oid: i64) -> Option<&'static Function> {
    all().find(|function| i64::from(procedure_oid(function.name)) == oid)
}

fn arguments(of: &Value) -> Value {
    let function = of.number().and_then(of_oid);
    let name =
        |name| types::by_name(name).map_or_else(String::new, |of| types::formatted(of.oid, None));
    let takes =
        |of: &Function| of.takes.split_whitespace().map(name).collect::<Vec<_>>().join(", ");
    function.map(takes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_have_types_that_there_are_and_one_name_each() {
        let mut names: Vec<&str> = all().map(|function| function.name).collect();
        for function in all() {
            for of in function.takes.split_whitespace().chain([function.returns]) {
                assert!(types::by_name(of).is_some(), "{}: {of}", function.name);
            }
            assert!(function.optional <= function.takes.split_whitespace().count());
        }
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
