//! Functions over the names of objects: `quote_ident`, `format_type`, and what casts to `regclass`
//! and the like are rewritten to.

use datafusion::common::{Result, exec_err};

use super::super::facts::{Facts, ROLE_OID, SCHEMAS, schema_oid, split};
use super::super::types;
use super::super::values::Value;
use super::definition::{Function, function};
use crate::query::identifiers::quoted;

/// `regclass(x)` is the OID of what `x` names, or of which it is the OID; `regclass_name(x)` is its
/// name. The same holds for types, functions, schemas and roles.
pub const FUNCTIONS: &[Function] = &[
    function("format_type", "oid int4", 0, "text", |_, args| {
        let oid = args[0].number().unwrap_or_default();
        Ok(types::formatted(oid as u32, args[1].number()).into())
    }),
    function("format", "text text text text text text text text text", 8, "text", |_, args| {
        formatted(&args[0].written().unwrap_or_default(), &args[1..])
    }),
    function("json_build_object", MANY, 20, "json", |_, args| json_object(args)),
    function("quote_ident", "text", 0, "text", |_, args| {
        Ok(args[0].written().map(|name| quoted(&name)).into())
    }),
    function("quote_literal", "text", 0, "text", |_, args| {
        Ok(args[0].written().map(|text| literal(&text)).into())
    }),
    function("quote_nullable", "text", 0, "text", |_, args| {
        Ok(args[0].written().map_or_else(|| "NULL".into(), |text| literal(&text)).into())
    }),
    function("regclass", "text", 0, "regclass", |facts, args| found(facts, &RELATION, &args[0])),
    function("regclass_name", "text", 0, "text", |facts, args| named(facts, &RELATION, &args[0])),
    function("regtype", "text", 0, "regtype", |facts, args| found(facts, &TYPE, &args[0])),
    function("regtype_name", "text", 0, "text", |facts, args| named(facts, &TYPE, &args[0])),
    function("regnamespace", "text", 0, "oid", |facts, args| found(facts, &SCHEMA, &args[0])),
    function("regnamespace_name", "text", 0, "text", |facts, args| named(facts, &SCHEMA, &args[0])),
    function("regrole", "text", 0, "oid", |facts, args| found(facts, &ROLE, &args[0])),
    function("regrole_name", "text", 0, "text", |facts, args| named(facts, &ROLE, &args[0])),
    function("regobject", "text", 0, "oid", |facts, args| found(facts, &OBJECT, &args[0])),
    function("regobject_name", "text", 0, "text", |facts, args| named(facts, &OBJECT, &args[0])),
    function("to_regclass", "text", 0, "regclass", |facts, args| {
        sought(facts, &RELATION, &args[0])
    }),
    function("to_regtype", "text", 0, "regtype", |facts, args| sought(facts, &TYPE, &args[0])),
    function("to_regnamespace", "text", 0, "oid", |facts, args| sought(facts, &SCHEMA, &args[0])),
    function("to_regrole", "text", 0, "oid", |facts, args| sought(facts, &ROLE, &args[0])),
];

/// Operators, collations and others, of which there are none to refer to.
const OBJECT: Kind = Kind { noun: "object", oid: |_, _| None, name: |_, _| None };

/// A kind of object that has a name and an OID.
pub struct Kind {
    /// What it is called in errors.
    pub noun: &'static str,
    pub oid: fn(&Facts, &str) -> Option<u32>,
    pub name: fn(&Facts, u32) -> Option<String>,
}

const RELATION: Kind = Kind {
    noun: "relation",
    oid: |facts, name| facts.named(name).map(|of| of.oid),
    name: |facts, oid| facts.relation(oid).map(|of| of.written(facts.is_visible(of))),
};

const TYPE: Kind = Kind {
    noun: "type",
    oid: |_, name| types::by_name(name).map(|of| of.oid),
    name: |_, oid| types::by_oid(oid).map(|of| types::formatted(of.oid, None)),
};

const SCHEMA: Kind = Kind {
    noun: "schema",
    oid: |_, name| Some(schema_oid(&split(name).1)).filter(|oid| *oid > 0),
    name: |_, oid| SCHEMAS.iter().find(|(of, _)| *of == oid).map(|(_, name)| quoted(name)),
};

const ROLE: Kind = Kind {
    noun: "role",
    oid: |facts, name| (split(name).1 == facts.sources.session.user()).then_some(ROLE_OID),
    name: |facts, oid| (oid == ROLE_OID).then(|| quoted(facts.sources.session.user())),
};

/// Returns the OID of an object, whose name must be known; any OID is taken as it is.
pub fn found(facts: &Facts, kind: &Kind, of: &Value) -> Result<Value> {
    match sought(facts, kind, of)? {
        Value::Null => {
            let noun = kind.noun;
            exec_err!("{noun} \"{}\" does not exist", of.written().unwrap_or_default())
        }
        oid => Ok(oid),
    }
}

/// Returns the OID of an object; null if there is none of this name.
pub fn sought(facts: &Facts, kind: &Kind, of: &Value) -> Result<Value> {
    Ok(match of.text() {
        Some("-") => Value::Int(0),
        Some(name) => match name.parse::<u32>() {
            Ok(oid) => oid.into(),
            Err(_) => (kind.oid)(facts, name).into(),
        },
        None => of.number().into(),
    })
}

/// Returns the name of an object; the OID as a text if nothing has it, and `-` for 0.
pub fn named(facts: &Facts, kind: &Kind, of: &Value) -> Result<Value> {
    let oid = found(facts, kind, of)?.number().unwrap_or_default();
    if oid == 0 {
        return Ok("-".into());
    }
    Ok((kind.name)(facts, oid as u32).unwrap_or_else(|| oid.to_string()).into())
}

/// The arguments of a function that takes up to twenty of any type.
const MANY: &str = "text text text text text text text text text text text text text text text text text text text text";

/// Returns an object of names and values in turn, as a text.
fn json_object(args: &[Value]) -> Result<Value> {
    fn json(value: &Value) -> serde_json::Value {
        match value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(truth) => (*truth).into(),
            Value::Int(number) => (*number).into(),
            Value::Float(number) => (*number).into(),
            Value::Text(text) => text.as_str().into(),
            Value::List(values) => values.iter().map(json).collect(),
        }
    }
    if !args.len().is_multiple_of(2) {
        return exec_err!("argument list must have even number of elements");
    }
    let pairs = args.chunks(2).map(|pair| (pair[0].written().unwrap_or_default(), json(&pair[1])));
    let object: serde_json::Map<String, serde_json::Value> = pairs.collect();
    Ok(serde_json::Value::Object(object).to_string().into())
}

/// Writes values in the places that a template has for them: `%s` as they are, `%I` as names, `%L` as
/// literals.
fn formatted(template: &str, values: &[Value]) -> Result<Value> {
    let mut values = values.iter();
    let mut text = String::new();
    let mut chars = template.chars();
    while let Some(c) = chars.next() {
        let kind = if c == '%' { chars.next() } else { None };
        match (c, kind) {
            ('%', Some('%')) => text.push('%'),
            ('%', Some(kind @ ('s' | 'I' | 'L'))) => {
                let Some(value) = values.next() else {
                    return exec_err!("too few arguments for format()");
                };
                match (kind, value.written()) {
                    ('s', value) => text += &value.unwrap_or_default(),
                    ('L', Some(value)) => text += &literal(&value),
                    ('L', None) => text += "NULL",
                    (_, Some(value)) => text += &quoted(&value),
                    (_, None) => {
                        return exec_err!("null values cannot be formatted as an SQL identifier");
                    }
                }
            }
            ('%', kind) => {
                let kind = kind.map_or_else(String::new, String::from);
                return exec_err!("format() takes %s, %I, %L and %%, not %{kind}");
            }
            (c, _) => text.push(c),
        }
    }
    Ok(text.into())
}

/// Returns a text as a string literal.
fn literal(text: &str) -> String {
    let text = text.replace('\'', "''");
    match text.contains('\\') {
        true => format!("E'{}'", text.replace('\\', "\\\\")),
        false => format!("'{text}'"),
    }
}
