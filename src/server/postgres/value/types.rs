//! Which PostgreSQL type stands for which Arrow type, and the reverse.
//!
//! | Arrow | PostgreSQL |
//! | --- | --- |
//! | integers | the smallest of int2, int4 and int8 that holds them; UInt32 is oid, UInt64 numeric(20,0) |
//! | decimals | numeric with precision and scale |
//! | texts, dictionaries and runs of them, nulls | text |
//! | instants with a zone | timestamptz |
//! | durations and intervals | interval |
//! | lists of up to six levels | arrays |
//! | structs, maps, deeper lists | json |
//!
//! A column of a catalog says in its metadata which type it has where that is another: oid, name, "char",
//! regproc and the like, and vectors.
//!
//! A list of lists has the array type of its innermost element: in PostgreSQL the number of
//! dimensions belongs to the value.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

use crate::query::POSTGRES_OID;

/// OIDs of the types that the columns of events have.
pub const TEXT: u32 = Base::Text.oid();
pub const TIMESTAMPTZ: u32 = Base::Timestamptz.oid();

/// Returns the OID of a type by its name in a statement, such as `timestamp with time zone` or
/// `int[]`; what stands in parentheses says nothing about it.
pub fn oid_of_name(name: &str) -> Option<u32> {
    let (name, is_array) = match name.strip_suffix("[]") {
        Some(element) => (element, true),
        None => (name, false),
    };
    let plain: String = match (name.find('('), name.rfind(')')) {
        (Some(open), Some(close)) if open < close => {
            format!("{}{}", &name[..open], &name[close + 1..])
        }
        _ => name.into(),
    };
    let name = match plain.trim() {
        "boolean" => "bool",
        "smallint" => "int2",
        "int" | "integer" => "int4",
        "bigint" => "int8",
        "real" => "float4",
        "float" | "double precision" => "float8",
        "decimal" => "numeric",
        "character varying" => "varchar",
        "character" | "char" => "bpchar",
        "timestamp with time zone" => "timestamptz",
        "timestamp without time zone" => "timestamp",
        "time without time zone" => "time",
        name => name,
    };
    let base = Base::ALL.iter().find(|base| base.name() == name)?;
    Some(if is_array { base.array_oid() } else { base.oid() })
}

/// Maximum number of dimensions of an array.
pub const MAX_DIMENSIONS: usize = 6;

/// What a RowDescription says about a column's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PgType {
    pub oid: u32,
    /// Bytes of a value, or -1 if they vary.
    pub size: i16,
    /// Precision and scale of a numeric; otherwise -1.
    pub modifier: i32,
}

macro_rules! base_types {
    ($($name:ident $text:literal $oid:literal $array:literal $size:literal;)*) => {
        /// A type that is no array.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Base { $($name,)* }

        impl Base {
            pub const ALL: &'static [Base] = &[$(Base::$name,)*];

            pub const fn name(self) -> &'static str {
                match self { $(Base::$name => $text,)* }
            }

            pub const fn oid(self) -> u32 {
                match self { $(Base::$name => $oid,)* }
            }

            /// OID of the type of its arrays; 0 if there is none.
            pub const fn array_oid(self) -> u32 {
                match self { $(Base::$name => $array,)* }
            }

            /// Bytes of a value, or -1 if they vary.
            pub const fn size(self) -> i16 {
                match self { $(Base::$name => $size,)* }
            }
        }
    };
}

base_types! {
    Bool        "bool"          16 1000  1;
    Bytea       "bytea"         17 1001 -1;
    Char        "\"char\""      18 1002  1;
    Name        "name"          19 1003 64;
    Int8        "int8"          20 1016  8;
    Int2        "int2"          21 1005  2;
    Int4        "int4"          23 1007  4;
    Text        "text"          25 1009 -1;
    Regproc     "regproc"       24 1008  4;
    Oid         "oid"           26 1028  4;
    Xid         "xid"           28 1011  4;
    Json        "json"         114  199 -1;
    Float4      "float4"       700 1021  4;
    Float8      "float8"       701 1022  8;
    Bpchar      "bpchar"      1042 1014 -1;
    Varchar     "varchar"     1043 1015 -1;
    Date        "date"        1082 1182  4;
    Time        "time"        1083 1183  8;
    Timestamp   "timestamp"   1114 1115  8;
    Timestamptz "timestamptz" 1184 1185  8;
    Interval    "interval"    1186 1187 16;
    Numeric     "numeric"     1700 1231 -1;
    Regtype     "regtype"     2206 2211  4;
    Uuid        "uuid"        2950 2951 16;
    Jsonb       "jsonb"       3802 3807 -1;
}

impl Base {
    /// The type with this OID, and whether the OID is that of its arrays.
    pub fn of_oid(oid: u32) -> Option<(Base, bool)> {
        let base = |base: &&Base| base.oid() == oid || (base.array_oid() == oid && oid != 0);
        Base::ALL.iter().find(base).map(|base| (*base, base.oid() != oid))
    }

    /// The Arrow type of a parameter of this type.
    pub fn arrow_type(self) -> DataType {
        match self {
            Base::Bool => DataType::Boolean,
            Base::Bytea => DataType::Binary,
            Base::Int2 => DataType::Int16,
            Base::Int4 => DataType::Int32,
            Base::Int8 | Base::Oid | Base::Xid => DataType::Int64,
            Base::Float4 => DataType::Float32,
            Base::Float8 => DataType::Float64,
            Base::Date => DataType::Date32,
            Base::Time => DataType::Time64(TimeUnit::Nanosecond),
            Base::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Base::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Base::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            // As DECIMAL without precision; a value brings its own precision and scale.
            Base::Numeric => DataType::Decimal128(38, 10),
            Base::Char
            | Base::Name
            | Base::Text
            | Base::Json
            | Base::Jsonb
            | Base::Bpchar
            | Base::Varchar
            | Base::Regproc
            | Base::Regtype
            | Base::Uuid => DataType::Utf8,
        }
    }
}

/// Returns the type that a client is told for a column.
pub fn pg_type(of: &Field) -> PgType {
    if let Some(vector) = Vector::of(of) {
        return PgType { oid: vector.oid(), size: -1, modifier: -1 };
    }
    let (base, modifier, is_array) = match own(of) {
        Some((base, is_array)) => (base, -1, is_array),
        None => described(of.data_type()),
    };
    match is_array {
        false => PgType { oid: base.oid(), size: base.size(), modifier },
        true => PgType { oid: base.array_oid(), size: -1, modifier },
    }
}

/// Returns the type that a column's metadata says it has, and whether it is an array of it; `None` if
/// it says none, or one that its values cannot be shown as: a cast may have changed them.
pub fn own(of: &Field) -> Option<(Base, bool)> {
    let (element, depth) = element(of.data_type(), 0);
    let inner = match of.data_type() {
        DataType::List(item) => told(item).and_then(Base::of_oid).filter(|(_, is_array)| !is_array),
        _ => None,
    };
    let (base, is_array) = match inner {
        Some((base, _)) => (base, true),
        None => Base::of_oid(told(of)?)?,
    };
    let fits = match base {
        Base::Oid | Base::Xid | Base::Regproc | Base::Regtype => *element == DataType::UInt32,
        Base::Char | Base::Name | Base::Varchar => element.is_string(),
        _ => false,
    };
    (fits && is_array == (depth == 1) && depth < 2).then_some((base, is_array))
}

fn told(of: &Field) -> Option<u32> {
    of.metadata().get(POSTGRES_OID)?.parse().ok()
}

/// An array that is written as its elements with spaces between them, and counts from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vector {
    Int2,
    Oid,
}

impl Vector {
    /// The vector that a column's metadata says it is.
    pub fn of(of: &Field) -> Option<Vector> {
        let DataType::List(item) = of.data_type() else { return None };
        match (told(of)?, item.data_type()) {
            (22, DataType::Int16) => Some(Vector::Int2),
            (30, DataType::UInt32) => Some(Vector::Oid),
            _ => None,
        }
    }

    fn oid(self) -> u32 {
        match self {
            Vector::Int2 => 22,
            Vector::Oid => 30,
        }
    }

    /// The type of its elements.
    pub fn element(self) -> Base {
        match self {
            Vector::Int2 => Base::Int2,
            Vector::Oid => Base::Oid,
        }
    }
}

/// Returns the Arrow type of a parameter that a client declares; `None` if the type is not known,
/// or is left to the server (0, unknown).
pub fn arrow_type(oid: u32) -> Option<DataType> {
    Base::of_oid(oid).map(|(base, is_array)| match is_array {
        false => base.arrow_type(),
        true => list_of(base.arrow_type()),
    })
}

/// A list whose elements may be null.
pub fn list_of(of: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(of, true)))
}

/// Returns the base type of a column, its modifier, and whether the column is an array of them.
pub fn described(of: &DataType) -> (Base, i32, bool) {
    let (element, depth) = element(of, 0);
    if depth > MAX_DIMENSIONS {
        return (Base::Json, -1, false);
    }
    let (base, modifier) = base(element);
    (base, modifier, depth > 0)
}

/// Returns the innermost element of a list of lists, and how many lists are around it.
fn element(of: &DataType, depth: usize) -> (&DataType, usize) {
    match of {
        DataType::Dictionary(_, values) => element(values, depth),
        DataType::RunEndEncoded(_, values) => element(values.data_type(), depth),
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _) => element(field.data_type(), depth + 1),
        _ => (of, depth),
    }
}

fn base(of: &DataType) -> (Base, i32) {
    use DataType::*;
    let base = match of {
        Boolean => Base::Bool,
        Int8 | UInt8 | Int16 => Base::Int2,
        UInt16 | Int32 => Base::Int4,
        // Only catalogs have it.
        UInt32 => Base::Oid,
        Int64 => Base::Int8,
        UInt64 => return (Base::Numeric, numeric_modifier(20, 0)),
        Float16 | Float32 => Base::Float4,
        Float64 => Base::Float8,
        Decimal32(precision, scale)
        | Decimal64(precision, scale)
        | Decimal128(precision, scale)
        | Decimal256(precision, scale) => {
            return (Base::Numeric, numeric_modifier(*precision, *scale));
        }
        Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => Base::Bytea,
        Date32 | Date64 => Base::Date,
        Time32(_) | Time64(_) => Base::Time,
        Timestamp(_, None) => Base::Timestamp,
        Timestamp(_, Some(_)) => Base::Timestamptz,
        Interval(_) | Duration(_) => Base::Interval,
        Struct(_) | Map(..) => Base::Json,
        _ => Base::Text,
    };
    (base, -1)
}

/// A negative scale has no modifier that all clients read.
fn numeric_modifier(precision: u8, scale: i8) -> i32 {
    if scale < 0 { -1 } else { ((i32::from(precision) << 16) | i32::from(scale)) + 4 }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Fields;

    use super::*;

    #[test]
    fn a_type_has_the_oid_size_and_modifier_of_postgresql() {
        let told = |of: &DataType| {
            let PgType { oid, size, modifier } = pg_type(&Field::new("", of.clone(), true));
            (oid, size, modifier)
        };
        assert_eq!(told(&DataType::UInt32), (26, 4, -1));
        assert_eq!(told(&DataType::Decimal128(10, 2)), (1700, -1, 655_366));
        assert_eq!(told(&DataType::Null), (25, -1, -1));
        let texts = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8View));
        assert_eq!(told(&texts), (25, -1, -1));
        assert_eq!(told(&list_of(list_of(texts))), (1009, -1, -1));
        assert_eq!(told(&list_of(DataType::Struct(Fields::empty()))), (199, -1, -1));
        let deep = (0..7).fold(DataType::Int64, |of, _| list_of(of));
        assert_eq!(told(&deep), (114, -1, -1));
    }

    #[test]
    fn a_declared_type_is_known_by_its_oid_and_that_of_its_arrays() {
        for base in Base::ALL {
            assert_eq!(arrow_type(base.oid()), Some(base.arrow_type()));
            assert_eq!(arrow_type(base.array_oid()), Some(list_of(base.arrow_type())));
        }
        for unknown in [0, 705, 2278] {
            assert_eq!(arrow_type(unknown), None);
        }
    }
}
