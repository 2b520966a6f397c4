//! Schema of a store's events: the kinds of event and the dimensions that were declared for it.
//!
//! An [`EventSchema`] only grows: kinds and dimensions are added, never removed, renamed or
//! reordered, so the code of a kind and the index of a dimension mean the same for ever. They are
//! what the log, the memory and the idempotency checksums hold instead of names.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use super::{EventKind, Rejection, shown, timestamp_type};

/// Maximum number of kinds of event.
pub const MAX_KINDS: usize = 64;

/// Maximum number of dimensions.
pub const MAX_DIMENSIONS: usize = 32;

/// Maximum length of a dimension's value, in bytes.
pub const MAX_VALUE_BYTES: usize = 1024;

/// Maximum length of the name of a kind or dimension, in bytes; PostgreSQL's limit.
const MAX_NAME_BYTES: usize = 63;

/// The kinds of the contract, which every store has, and the names of their counters.
const CONTRACT: [(&str, &str); 2] = [("click", "clicks"), ("impression", "impressions")];

/// Names that a dimension cannot have: columns of the table and parameters of a request.
const TAKEN_BY_COLUMNS: &str = "timestamp user user_id event date hour id token columns format \
    events unique_users min_timestamp max_timestamp";

/// Names that a kind cannot have, as its counter would be mistaken for another column of an hour.
const TAKEN_BY_NUMBERS: &str = "clicks impressions hour date events unique_users users first last \
    path state files bytes rows timestamp min_timestamp max_timestamp from to total";

/// Reports whether a name is on a list, in any case.
fn is_taken(list: &str, name: &str) -> bool {
    list.split(' ').any(|taken| taken.eq_ignore_ascii_case(name))
}

/// Kinds and dimensions of a store. Clones are cheap.
#[derive(Clone, Debug)]
pub struct EventSchema(Arc<Declared>);

#[derive(Debug)]
struct Declared {
    /// Indexed by code.
    kinds: Vec<String>,
    dimensions: Vec<String>,
    file: SchemaRef,
    table: SchemaRef,
}

impl Default for EventSchema {
    /// Returns the schema of the contract: clicks and impressions, no dimensions.
    fn default() -> EventSchema {
        static CONTRACT_ONLY: LazyLock<EventSchema> =
            LazyLock::new(|| EventSchema::build(Vec::new(), Vec::new()));
        CONTRACT_ONLY.clone()
    }
}

impl PartialEq for EventSchema {
    fn eq(&self, other: &EventSchema) -> bool {
        self.0.kinds == other.0.kinds && self.0.dimensions == other.0.dimensions
    }
}

impl EventSchema {
    /// Returns the schema with these kinds, besides those of the contract, and dimensions.
    ///
    /// # Errors
    /// Names the invalid or repeated name.
    pub fn new(kinds: &[String], dimensions: &[String]) -> Result<EventSchema, String> {
        let mut schema = EventSchema::default();
        for kind in kinds.iter().filter(|kind| CONTRACT.iter().all(|(name, _)| name != kind)) {
            schema = schema.with_kind(kind)?;
        }
        for dimension in dimensions {
            schema = schema.with_dimension(dimension)?;
        }
        Ok(schema)
    }

    fn build(kinds: Vec<String>, dimensions: Vec<String>) -> EventSchema {
        let kinds = CONTRACT.iter().map(|(name, _)| (*name).to_owned()).chain(kinds).collect();
        let own = [
            Field::new("timestamp", timestamp_type(), false),
            Field::new("user_id", DataType::Utf8View, false),
            Field::new("event", DataType::Utf8View, false),
        ];
        let declared = dimensions.iter().map(|name| Field::new(name, DataType::Utf8View, true));
        let in_files: Vec<FieldRef> = own.into_iter().chain(declared).map(Arc::new).collect();
        let in_table = in_files.iter().cloned().chain(partition_columns()).collect::<Vec<_>>();
        EventSchema(Arc::new(Declared {
            kinds,
            dimensions,
            file: Arc::new(Schema::new(in_files)),
            table: Arc::new(Schema::new(in_table)),
        }))
    }

    /// Returns the schema with one more kind.
    pub fn with_kind(&self, name: &str) -> Result<EventSchema, String> {
        check_kind_name(name)?;
        // SQL does not tell capitals from small letters in a column's name.
        let is_it = |kind: &&String| kind.eq_ignore_ascii_case(name);
        if let Some(kind) = self.0.kinds.iter().find(is_it) {
            return Err(format!("the kind {kind} is declared already"));
        }
        if self.0.kinds.len() == MAX_KINDS {
            return Err(format!("{MAX_KINDS} kinds are declared, and no more can be"));
        }
        let declared = self.0.kinds[CONTRACT.len()..].iter().cloned();
        let kinds = declared.chain([name.to_owned()]).collect();
        Ok(EventSchema::build(kinds, self.0.dimensions.clone()))
    }

    /// Returns the schema with one more dimension.
    pub fn with_dimension(&self, name: &str) -> Result<EventSchema, String> {
        check_dimension_name(name)?;
        if self.dimension(name).is_some() {
            return Err(format!("the dimension {name} is declared already"));
        }
        if self.0.dimensions.len() == MAX_DIMENSIONS {
            return Err(format!("{MAX_DIMENSIONS} dimensions are declared, and no more can be"));
        }
        let dimensions = self.0.dimensions.iter().cloned().chain([name.to_owned()]).collect();
        Ok(EventSchema::build(self.0.kinds[CONTRACT.len()..].to_vec(), dimensions))
    }

    /// Reports whether nothing is declared beyond the contract.
    pub fn is_contract(&self) -> bool {
        self.0.kinds.len() == CONTRACT.len() && self.0.dimensions.is_empty()
    }

    /// Returns the names of all kinds, by code.
    pub fn kind_names(&self) -> &[String] {
        &self.0.kinds
    }

    /// Returns all kinds, by code.
    pub fn kinds(&self) -> impl Iterator<Item = EventKind> + use<> {
        (0..self.0.kinds.len() as u8).map(EventKind)
    }

    /// Returns the kind with this name.
    pub fn kind(&self, name: &str) -> Option<EventKind> {
        let code = self.0.kinds.iter().position(|kind| kind == name)?;
        Some(EventKind(code as u8))
    }

    /// Returns the kind with this code.
    pub fn kind_of_code(&self, code: u8) -> Option<EventKind> {
        (usize::from(code) < self.0.kinds.len()).then_some(EventKind(code))
    }

    /// Returns the name of a kind of this schema.
    pub fn name(&self, kind: EventKind) -> &str {
        &self.0.kinds[kind.index()]
    }

    /// Returns the name of the counter of a kind: an SQL column, a JSON key. Those of the contract
    /// are plurals; others are the name of the kind.
    pub fn counter(&self, kind: EventKind) -> &str {
        CONTRACT.get(kind.index()).map_or_else(|| self.name(kind), |(_, counter)| counter)
    }

    /// Validates the name of an event.
    pub fn check_event(&self, event: &str) -> Result<EventKind, Rejection> {
        self.kind(event).ok_or_else(|| {
            let [first @ .., last] = self.kind_names() else {
                unreachable!("the contract has two")
            };
            let kinds = format!("{} or {last}", first.join(", "));
            Rejection::new("event", format!("must be {kinds}; found {}", shown(event)))
        })
    }

    pub fn dimensions(&self) -> &[String] {
        &self.0.dimensions
    }

    /// Returns the index of the dimension with this name.
    pub fn dimension(&self, name: &str) -> Option<usize> {
        self.0.dimensions.iter().position(|dimension| dimension == name)
    }

    /// Returns the columns of a data file: `timestamp`, `user_id`, `event`, then the dimensions.
    pub fn file(&self) -> &SchemaRef {
        &self.0.file
    }

    /// Returns the columns of the table: those of a data file, then `date` and `hour`, which are
    /// part of its path.
    pub fn table(&self) -> &SchemaRef {
        &self.0.table
    }
}

/// Columns that every event has, before the dimensions.
pub const OWN_COLUMNS: usize = 3;

/// Returns the columns that a data file's path tells: `date` and `hour`.
pub fn partition_columns() -> [FieldRef; 2] {
    [
        Field::new("date", DataType::Date32, false).into(),
        Field::new("hour", DataType::Int32, false).into(),
    ]
}

/// Checks a dimension's value; an empty one counts as absent.
pub fn check_value(value: &str) -> Result<&str, String> {
    if value.len() > MAX_VALUE_BYTES {
        return Err(format!("is {} bytes long; at most {MAX_VALUE_BYTES} are stored", value.len()));
    }
    Ok(value)
}

fn check_length(what: &str, name: &str) -> Result<(), String> {
    match name.len() {
        0 => Err(format!("a {what} needs a name")),
        1..=MAX_NAME_BYTES => Ok(()),
        n => Err(format!("the name of a {what} has at most {MAX_NAME_BYTES} bytes; found {n}")),
    }
}

/// Checks the name of a kind: letters, digits, `_` and `-`.
fn check_kind_name(name: &str) -> Result<(), String> {
    check_length("kind", name)?;
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !name.bytes().all(is_allowed) {
        return Err(format!(
            "the name of a kind has letters, digits, _ and -; found {}",
            shown(name)
        ));
    }
    if is_taken(TAKEN_BY_NUMBERS, name) {
        return Err(format!("{name} is the name of another number of an hour; choose another"));
    }
    Ok(())
}

/// Checks the name of a dimension: small letters, digits and `_`, so that it needs no quotes in
/// SQL.
fn check_dimension_name(name: &str) -> Result<(), String> {
    check_length("dimension", name)?;
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if !name.bytes().all(is_allowed) || name.as_bytes()[0].is_ascii_digit() {
        return Err(format!(
            "the name of a dimension has small letters, digits and _, and begins with no digit; \
            found {}",
            shown(name)
        ));
    }
    if is_taken(TAKEN_BY_COLUMNS, name) {
        return Err(format!("{name} is the name of another column or parameter; choose another"));
    }
    Ok(())
}

/// Kinds and dimensions that a setting names; `None` where there is no such setting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declaration {
    pub kinds: Option<Vec<String>>,
    pub dimensions: Option<Vec<String>>,
}

impl Declaration {
    /// Returns the declaration of just what a schema has.
    pub fn of(schema: &EventSchema) -> Declaration {
        Declaration {
            kinds: Some(schema.kind_names().to_vec()),
            dimensions: Some(schema.dimensions().to_vec()),
        }
    }

    /// Returns the schema of a new store.
    pub fn schema(&self) -> Result<EventSchema, String> {
        let names = |names: &Option<Vec<String>>| names.clone().unwrap_or_default();
        EventSchema::new(&names(&self.kinds), &names(&self.dimensions))
    }

    /// Checks that the settings agree with the schema of an existing store, in any order of the
    /// names.
    pub fn check(&self, schema: &EventSchema, data_dir: &Path) -> Result<(), String> {
        let told = self.schema()?;
        let both = [
            ("kinds", "kind", &self.kinds, told.kind_names(), schema.kind_names()),
            ("dimensions", "dimension", &self.dimensions, told.dimensions(), schema.dimensions()),
        ];
        for (setting, one, given, told, declared) in both {
            let (told, declared) = (sorted(told), sorted(declared));
            if given.is_some() && told != declared {
                return Err(format!(
                    "{setting}: the setting names {told}, and {} has {declared}; leave the setting \
                    out, or add what it lacks with `hourglass schema add {one} NAME`",
                    data_dir.display(),
                ));
            }
        }
        Ok(())
    }
}

/// Formats names in order.
fn sorted(names: &[String]) -> String {
    let mut names = names.to_vec();
    names.sort();
    if names.is_empty() { "none".into() } else { names.join(",") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_is_declared_comes_after_the_contract_and_keeps_its_place() {
        let schema =
            EventSchema::new(&strings(&["impression", "signup"]), &strings(&["page"])).unwrap();
        assert_eq!(schema.kind_names(), ["click", "impression", "signup"]);
        assert_eq!(schema.kind("click"), Some(EventKind::CLICK));
        let signup = schema.kind("signup").unwrap();
        assert_eq!((signup.code(), schema.counter(signup)), (2, "signup"));
        assert_eq!(schema.counter(EventKind::IMPRESSION), "impressions");
        let more = schema.with_kind("order").unwrap().with_dimension("referrer").unwrap();
        assert_eq!((more.kind("signup"), more.dimension("page")), (Some(signup), Some(0)));
        assert_eq!(more.dimension("referrer"), Some(1));
        let columns: Vec<&String> =
            more.table().fields().iter().map(|field| field.name()).collect();
        assert_eq!(columns, ["timestamp", "user_id", "event", "page", "referrer", "date", "hour"]);
        assert!(EventSchema::default().is_contract() && !schema.is_contract());
    }

    #[test]
    fn a_name_that_would_be_mistaken_is_refused() {
        for kind in ["", "sign up", "é", "clicks", "events", "Hour", "Click", &"k".repeat(64)] {
            assert!(EventSchema::default().with_kind(kind).is_err(), "{kind}");
        }
        for dimension in ["", "Page", "a-b", "1a", "user_id", "hour", "é", &"d".repeat(64)] {
            assert!(EventSchema::default().with_dimension(dimension).is_err(), "{dimension}");
        }
        assert!(EventSchema::new(&strings(&["a", "a"]), &[]).unwrap_err().contains("already"));
    }

    #[test]
    fn there_is_room_for_64_kinds_and_32_dimensions() {
        let names = |count: usize| (0..count).map(|n| format!("n{n}")).collect::<Vec<_>>();
        assert!(EventSchema::new(&names(62), &names(32)).is_ok());
        assert!(EventSchema::new(&names(63), &[]).unwrap_err().contains("64 kinds"));
        assert!(EventSchema::new(&[], &names(33)).unwrap_err().contains("32 dimensions"));
    }

    #[test]
    fn an_unknown_event_is_told_what_there_is() {
        let schema = EventSchema::new(&strings(&["signup"]), &[]).unwrap();
        let rejection = schema.check_event("buy").unwrap_err();
        assert_eq!(rejection.reason, "must be click, impression or signup; found \"buy\"");
    }
}
