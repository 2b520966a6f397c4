//! PostgreSQL's types: the table of them, and which one a column's type is to a client.

use std::sync::LazyLock;

use arrow::datatypes::DataType;

/// A type of PostgreSQL. Functions are given by name, `-` for none.
#[derive(Clone, Debug)]
pub struct Type {
    pub oid: u32,
    pub name: String,
    pub length: i32,
    pub by_value: bool,
    /// `b` for base types, `d` for domains, `p` for pseudo-types, `r` and `m` for ranges.
    pub kind: &'static str,
    pub category: &'static str,
    pub is_preferred: bool,
    pub element: u32,
    pub array: u32,
    /// Input, output, receive, send, modifiers in and out.
    pub functions: [&'static str; 6],
    pub align: &'static str,
    pub storage: &'static str,
    pub collation: u32,
    pub base: u32,
    pub schema: &'static str,
}

static TYPES: LazyLock<Vec<Type>> = LazyLock::new(|| parse(include_str!("types.txt")));

/// Returns all types, with those of their arrays.
pub fn all() -> &'static [Type] {
    &TYPES
}

fn parse(text: &'static str) -> Vec<Type> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut types: Vec<Type> = lines.filter_map(parse_line).collect();
    let arrays: Vec<Type> = types
        .iter()
        .filter(|of| of.array > 0)
        .filter_map(|of| {
            let is_there = types.iter().any(|other| other.oid == of.array);
            (!is_there).then(|| array_of(of))
        })
        .collect();
    types.extend(arrays);
    types.sort_by_key(|of| of.oid);
    types
}

fn parse_line(line: &'static str) -> Option<Type> {
    let words: Vec<&'static str> = line.split_whitespace().collect();
    let number = |at: usize| words.get(at)?.parse::<u32>().ok();
    Some(Type {
        oid: number(0)?,
        name: words.get(1)?.to_string(),
        length: words.get(2)?.parse().ok()?,
        by_value: *words.get(3)? == "t",
        kind: words.get(4)?,
        category: words.get(5)?,
        is_preferred: *words.get(6)? == "t",
        element: number(7)?,
        array: number(8)?,
        functions: words.get(9..15)?.try_into().ok()?,
        align: words.get(15)?,
        storage: words.get(16)?,
        collation: number(17)?,
        base: number(18)?,
        schema: words.get(19)?,
    })
}

fn array_of(of: &Type) -> Type {
    Type {
        oid: of.array,
        name: format!("_{}", of.name),
        length: -1,
        by_value: false,
        kind: "b",
        category: "A",
        is_preferred: false,
        element: of.oid,
        array: 0,
        functions: [
            "array_in",
            "array_out",
            "array_recv",
            "array_send",
            of.functions[4],
            of.functions[5],
        ],
        align: if of.align == "d" { "d" } else { "i" },
        storage: "x",
        collation: of.collation,
        base: 0,
        schema: of.schema,
    }
}

/// Finds a type by its OID.
pub fn by_oid(oid: u32) -> Option<&'static Type> {
    all().binary_search_by_key(&oid, |of| of.oid).ok().map(|at| &all()[at])
}

/// Names of types in standard SQL, and PostgreSQL's own.
const STANDARD: &[(&str, &str)] = &[
    ("bigint", "int8"),
    ("integer", "int4"),
    ("int", "int4"),
    ("smallint", "int2"),
    ("boolean", "bool"),
    ("real", "float4"),
    ("double precision", "float8"),
    ("character varying", "varchar"),
    ("character", "bpchar"),
    ("timestamp with time zone", "timestamptz"),
    ("timestamp without time zone", "timestamp"),
    ("time with time zone", "timetz"),
    ("time without time zone", "time"),
    ("bit varying", "varbit"),
    ("decimal", "numeric"),
    ("\"char\"", "char"),
    ("\"any\"", "any"),
];

/// Finds a type by a name of either kind, with or without `pg_catalog.`, and `[]` for an array.
pub fn by_name(name: &str) -> Option<&'static Type> {
    let name =
        name.trim().trim_start_matches("pg_catalog.").trim_start_matches("information_schema.");
    if let Some(element) = name.strip_suffix("[]") {
        return by_oid(by_name(element)?.array);
    }
    let lower = name.split('(').next().unwrap_or_default().trim().to_lowercase();
    let own = STANDARD.iter().find(|(standard, _)| *standard == lower).map(|(_, own)| *own);
    let own = own.unwrap_or(&lower);
    all().iter().find(|of| of.name == own)
}

/// Returns a type's name as `format_type` writes it.
pub fn formatted(oid: u32, modifier: Option<i64>) -> String {
    let Some(of) = by_oid(oid) else {
        return if oid == 0 { "-".into() } else { "???".into() };
    };
    if of.category == "A" && of.element > 0 && of.name.starts_with('_') {
        return format!("{}[]", formatted(of.element, modifier));
    }
    // `int` and `decimal` are other spellings of the same names.
    let spelt =
        STANDARD.iter().find(|(name, own)| *own == of.name && !["int", "decimal"].contains(name));
    let name = match spelt {
        Some((name, _)) => (*name).to_string(),
        None if of.schema != "pg_catalog" => format!("{}.{}", of.schema, of.name),
        None => of.name.clone(),
    };
    let Some(modifier) = modifier.filter(|modifier| *modifier >= 0) else { return name };
    let precise = |precision: i64| match name.split_once(' ') {
        Some((first, rest)) => format!("{first}({precision}) {rest}"),
        None => format!("{name}({precision})"),
    };
    match of.name.as_str() {
        "varchar" | "bpchar" if modifier >= 4 => format!("{name}({})", modifier - 4),
        "numeric" if modifier >= 4 => {
            let packed = modifier - 4;
            format!("numeric({},{})", (packed >> 16) & 0xffff, packed & 0x7ff)
        }
        "timestamp" | "timestamptz" | "time" | "timetz" => precise(modifier),
        "bit" | "varbit" => format!("{name}({modifier})"),
        _ => name,
    }
}

/// Returns the type that a column of an Arrow type is to a client.
pub fn of_arrow(of: &DataType) -> &'static str {
    match of {
        DataType::Boolean => "bool",
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => "int2",
        DataType::UInt16 | DataType::Int32 => "int4",
        DataType::UInt32 => "oid",
        DataType::Int64 | DataType::UInt64 => "int8",
        DataType::Float16 | DataType::Float32 => "float4",
        DataType::Float64 => "float8",
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => "numeric",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time",
        DataType::Timestamp(_, Some(_)) => "timestamptz",
        DataType::Timestamp(_, None) => "timestamp",
        DataType::Interval(_) | DataType::Duration(_) => "interval",
        of if of.is_binary() => "bytea",
        DataType::Dictionary(_, of) => of_arrow(of),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            match of_arrow(item.data_type()) {
                "bool" => "bool[]",
                "int2" => "int2[]",
                "int4" => "int4[]",
                "int8" => "int8[]",
                "oid" => "oid[]",
                "float4" => "float4[]",
                "float8" => "float8[]",
                "numeric" => "numeric[]",
                "date" => "date[]",
                "timestamp" => "timestamp[]",
                "timestamptz" => "timestamptz[]",
                _ => "text[]",
            }
        }
        _ => "text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_known_by_both_names() {
        assert_eq!(by_name("timestamp with time zone").map(|of| of.oid), Some(1184));
        assert_eq!(by_name("pg_catalog.int4").map(|of| of.oid), Some(23));
        assert_eq!(by_name("text[]").map(|of| of.oid), Some(1009));
        assert_eq!(by_name("_int4").map(|of| of.oid), Some(1007));
        assert_eq!(by_name("nothing").map(|of| of.oid), None);
    }

    #[test]
    fn types_are_written_as_standard_sql_calls_them() {
        for (oid, modifier, text) in [
            (1184, -1, "timestamp with time zone"),
            (1184, 3, "timestamp(3) with time zone"),
            (1043, 44, "character varying(40)"),
            (1700, 655_366, "numeric(10,2)"),
            (1009, -1, "text[]"),
            (18, -1, "\"char\""),
            (23, -1, "integer"),
            (0, -1, "-"),
        ] {
            assert_eq!(formatted(oid, Some(modifier)), text);
        }
    }
}
