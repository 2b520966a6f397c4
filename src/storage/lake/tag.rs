//! Tag `hourglass.rollup` of a data file's `add` action: a summary of the file's rows in the Delta
//! log, so that the file need not be opened for it.
//!
//! The value is a JSON object:
//!
//! | key | value |
//! | --- | --- |
//! | `clicks`, `impressions` | events of the contract's kinds; a missing kind has none |
//! | `kinds` | optional: events of declared kinds, by the kind's name |
//! | `unique_users` | distinct users of the file |
//! | `min_us`, `max_us` | first and last timestamp, microseconds since the epoch |
//! | `hour_users` | optional: a claim about the whole hour, made when the file was committed |
//! | `hour_users.n` | distinct users of the hour |
//! | `hour_users.files` | the number of files that they were counted over, this one included |
//! | `hour_users.digest` | digest of those files, as in [`SourceSet`], in 16 hexadecimal digits |
//!
//! Tags written before `hour_users` existed have `hour`, with `unique_users` of the hour and the
//! number of its `files`. It is not read: if the number is one, it repeats what the tag says of the
//! file itself; if it is larger, the tag does not say which files were meant, so their users have
//! to be united.

use serde_json::{Map, Value, json};

use crate::event::EventSchema;
use crate::rollup::{Counts, Rollup, SourceSet, Users};

/// Key of the tag in an `add` action.
pub const ROLLUP_TAG: &str = "hourglass.rollup";

/// Returns the tag's value. `rollup` is the rollup of the file alone.
pub fn write(schema: &EventSchema, rollup: &Rollup, hour: Users) -> String {
    let mut tag = Map::new();
    let mut declared = Map::new();
    for kind in schema.kinds() {
        let count = rollup.count(kind);
        if kind.is_of_contract() {
            tag.insert(schema.counter(kind).into(), count.into());
        } else if count > 0 {
            declared.insert(schema.name(kind).into(), count.into());
        }
    }
    if !declared.is_empty() {
        tag.insert("kinds".into(), declared.into());
    }
    tag.insert("unique_users".into(), rollup.users.n.into());
    tag.insert("min_us".into(), rollup.first_us.into());
    tag.insert("max_us".into(), rollup.last_us.into());
    if hour != Users::NONE {
        let digest = format!("{:016x}", hour.of.digest);
        tag.insert(
            "hour_users".into(),
            json!({ "n": hour.n, "files": hour.of.files, "digest": digest }),
        );
    }
    Value::Object(tag).to_string()
}

/// Parses the tag of the file identified by `source`: its rollup, and the claim about its hour.
pub fn read(schema: &EventSchema, text: &str, source: SourceSet) -> Option<(Rollup, Users)> {
    let tag: Map<String, Value> = serde_json::from_str(text).ok()?;
    let mut counts = Counts::NONE;
    for kind in schema.kinds().filter(|kind| kind.is_of_contract()) {
        if let Some(count) = tag.get(schema.counter(kind)) {
            counts.add(kind, count.as_u64()?);
        }
    }
    if let Some(declared) = tag.get("kinds") {
        for (name, count) in declared.as_object()? {
            counts.add(schema.kind(name)?, count.as_u64()?);
        }
    }
    let (first_us, last_us) = (tag.get("min_us")?.as_i64()?, tag.get("max_us")?.as_i64()?);
    let rollup = Rollup { counts, first_us, last_us, sources: source, users: Users::NONE };
    let hour = tag.get("hour_users").and_then(claim).unwrap_or_default();
    Some((rollup.with_users(tag.get("unique_users")?.as_u64()?), hour))
}

fn claim(value: &Value) -> Option<Users> {
    let number = |key: &str| value.get(key)?.as_u64();
    let digest = u64::from_str_radix(value.get("digest")?.as_str()?, 16).ok()?;
    Some(Users { of: SourceSet { files: number("files")?, digest }, n: number("n")? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventKind;

    fn schema() -> EventSchema {
        EventSchema::new(&["signup".into(), "order".into()], &[]).unwrap()
    }

    #[test]
    fn declared_kinds_are_named_and_those_unknown_make_the_tag_none() {
        let mut rollup = rollup();
        rollup.add(schema().kind("order").unwrap(), 6);
        let tag = write(&schema(), &rollup, Users::NONE);
        assert!(tag.contains(r#""kinds":{"order":1}"#), "{tag}");
        assert_eq!(read(&schema(), &tag, SourceSet::of("a")), Some((rollup, Users::NONE)));
        assert_eq!(read(&EventSchema::default(), &tag, SourceSet::of("a")), None);
    }

    fn rollup() -> Rollup {
        let mut rollup = Rollup { sources: SourceSet::of("a"), ..Rollup::EMPTY };
        rollup.add(EventKind::CLICK, 7);
        rollup.add(EventKind::IMPRESSION, 5);
        rollup.add(EventKind::CLICK, 6);
        rollup.with_users(2)
    }

    #[test]
    fn a_tag_is_read_as_it_was_written() {
        let mut of = SourceSet::of("a");
        of += SourceSet::of("b");
        for hour in [Users::NONE, Users { of, n: 9 }] {
            assert_eq!(
                read(&schema(), &write(&schema(), &rollup(), hour), SourceSet::of("a")),
                Some((rollup(), hour))
            );
        }
    }

    #[test]
    fn the_shape_of_a_tag_is_kept() {
        let hour = Users { of: SourceSet { files: 2, digest: 0xab }, n: 9 };
        let shape = json!({
            "clicks": 2, "impressions": 1, "unique_users": 2, "min_us": 5, "max_us": 7,
            "hour_users": { "n": 9, "files": 2, "digest": "00000000000000ab" },
        });
        assert_eq!(
            serde_json::from_str::<Value>(&write(&EventSchema::default(), &rollup(), hour))
                .unwrap(),
            shape
        );
    }

    /// The number of files does not say which files: their users are united.
    #[test]
    fn a_tag_with_a_number_of_files_gives_its_counts_and_no_claim() {
        let tag = r#"{"clicks":2,"impressions":1,"unique_users":2,"min_us":5,"max_us":7,"hour":{"files":2,"unique_users":9}}"#;
        assert_eq!(read(&schema(), tag, SourceSet::of("a")), Some((rollup(), Users::NONE)));
    }

    #[test]
    fn a_tag_that_is_not_whole_is_none() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"clicks":-1,"unique_users":2,"min_us":5,"max_us":7}"#,
            r#"{"min_us":5,"max_us":7}"#,
        ] {
            assert_eq!(read(&schema(), text, SourceSet::of("a")), None, "{text}");
        }
    }
}
