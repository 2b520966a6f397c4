//! Commits of the Delta table: what each one in the log changed.
//!
//! Rows are those that the log records, in statistics or in our tag. For a removed file many
//! engines record neither; its rows are known if the commit that added it is still in the log.

use std::collections::HashMap;

use deltalake_core::kernel::{Action, Add, CommitInfo};
use object_store::ObjectMeta;
use serde_json::Value;

use super::actions::read_actions;
use super::history::{TableHistory, committed_ms};
use super::tag::{self, ROLLUP_TAG};
use crate::event::EventSchema;
use crate::rollup::SourceSet;
use crate::storage::error::Result;
use crate::storage::store::is_missing;

/// One commit. Numbers that the log does not tell are `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub version: u64,
    /// Microseconds since the epoch.
    pub committed_us: i64,
    /// Operation as its engine calls it, such as `WRITE` or `OPTIMIZE`.
    pub operation: Option<String>,
    /// Engine that wrote the commit, and its version.
    pub engine: Option<String>,
    pub added: Change,
    pub removed: Change,
}

/// The files that a commit added or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub files: u64,
    pub rows: Option<u64>,
    pub bytes: Option<u64>,
}

impl Change {
    const NONE: Change = Change { files: 0, rows: Some(0), bytes: Some(0) };

    fn count(&mut self, file: FileSize) {
        let sum = |all: Option<u64>, more: Option<u64>| Some(all?.saturating_add(more?));
        self.files += 1;
        self.rows = sum(self.rows, file.rows);
        self.bytes = sum(self.bytes, file.bytes);
    }
}

/// Rows and bytes of one file.
#[derive(Clone, Copy, Debug, Default)]
struct FileSize {
    rows: Option<u64>,
    bytes: Option<u64>,
}

/// Sizes of the files that were added so far, by the digest of their paths.
type Sizes = HashMap<u64, FileSize>;

impl TableHistory {
    /// Reads the commits in the log one by one, oldest first. A commit that log clean-up removes
    /// meanwhile is left out.
    pub async fn commits(&self) -> Result<Vec<Commit>> {
        let (mut commits, mut sizes) = (Vec::new(), Sizes::new());
        for (version, object) in self.versions().await?.commits {
            match read_actions(&*self.store, &object.location).await {
                Ok(actions) => {
                    commits.push(commit(&self.schema, version, &object, &actions, &mut sizes));
                }
                Err(error) if is_missing(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(commits)
    }
}

fn commit(
    schema: &EventSchema,
    version: u64,
    object: &ObjectMeta,
    actions: &[Action],
    sizes: &mut Sizes,
) -> Commit {
    let mut commit = Commit {
        version,
        committed_us: committed_ms(actions, object).saturating_mul(1_000),
        operation: None,
        engine: None,
        added: Change::NONE,
        removed: Change::NONE,
    };
    for action in actions {
        match action {
            Action::Add(add) => {
                let size = added(schema, add);
                commit.added.count(size);
                sizes.insert(SourceSet::of(&add.path).digest, size);
            }
            Action::Remove(remove) => {
                let known = sizes.remove(&SourceSet::of(&remove.path).digest).unwrap_or_default();
                let tag = remove.tags.as_ref().and_then(|tags| tags.get(ROLLUP_TAG)?.as_deref());
                let rows = tag.and_then(|tag| rows_of_tag(schema, tag));
                let bytes = remove.size.and_then(|size| u64::try_from(size).ok());
                let (rows, bytes) = (rows.or(known.rows), bytes.or(known.bytes));
                commit.removed.count(FileSize { rows, bytes });
            }
            Action::CommitInfo(info) => {
                commit.operation = info.operation.clone();
                commit.engine = engine(info);
            }
            _ => {}
        }
    }
    commit
}

fn engine(info: &CommitInfo) -> Option<String> {
    let client = || info.info.get("clientVersion")?.as_str().map(String::from);
    info.engine_info.clone().or_else(client)
}

fn added(schema: &EventSchema, add: &Add) -> FileSize {
    let stats: Option<Value> =
        add.stats.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let in_stats = stats.and_then(|stats| stats.get("numRecords")?.as_u64());
    let rows = in_stats.or_else(|| rows_of_tag(schema, super::actions::tag(add, ROLLUP_TAG)?));
    FileSize { rows, bytes: u64::try_from(add.size).ok() }
}

fn rows_of_tag(schema: &EventSchema, text: &str) -> Option<u64> {
    let (rollup, _) = tag::read(schema, text, SourceSet::default())?;
    Some(rollup.rows())
}

#[cfg(test)]
mod tests {
    use object_store::path::Path as Location;

    use super::*;

    fn of(lines: &[&str], sizes: &mut Sizes) -> Commit {
        let actions: Vec<Action> =
            lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let object = ObjectMeta {
            location: Location::from("x"),
            last_modified: chrono::DateTime::from_timestamp_millis(77).unwrap(),
            size: 1,
            e_tag: None,
            version: None,
        };
        commit(&EventSchema::default(), 3, &object, &actions, sizes)
    }

    const ADD: &str = r#"{"add":{"path":"a","partitionValues":{},"size":10,"modificationTime":1,"dataChange":true,"stats":"{\"numRecords\":4}"}}"#;
    const UNCOUNTED: &str = r#"{"add":{"path":"b","partitionValues":{},"size":20,"modificationTime":1,"dataChange":true}}"#;

    #[test]
    fn rows_that_the_log_tells_are_counted_and_others_are_unknown() {
        let info = r#"{"commitInfo":{"timestamp":5,"operation":"WRITE","engineInfo":"e:1","clientVersion":"c.1"}}"#;
        let mut sizes = Sizes::new();
        let one = of(&[info, ADD], &mut sizes);
        assert_eq!((one.version, one.committed_us), (3, 5_000));
        assert_eq!((one.operation.as_deref(), one.engine.as_deref()), (Some("WRITE"), Some("e:1")));
        assert_eq!(one.added, Change { files: 1, rows: Some(4), bytes: Some(10) });
        assert_eq!(one.removed, Change::NONE);
        let two = of(&[ADD, UNCOUNTED], &mut sizes);
        assert_eq!(two.added, Change { files: 2, rows: None, bytes: Some(30) });
        assert_eq!((two.committed_us, two.operation, two.engine), (77_000, None, None));
    }

    #[test]
    fn a_removed_file_is_as_large_as_it_was_when_it_was_added() {
        let removed = |path: &str| {
            format!(r#"{{"remove":{{"path":"{path}","dataChange":false,"deletionTimestamp":1}}}}"#)
        };
        let mut sizes = Sizes::new();
        of(&[ADD], &mut sizes);
        let known = of(&[&removed("a")], &mut sizes);
        assert_eq!(known.removed, Change { files: 1, rows: Some(4), bytes: Some(10) });
        let unknown = of(&[&removed("a")], &mut sizes);
        assert_eq!(unknown.removed, Change { files: 1, rows: None, bytes: None });
        let tagged = r#"{"remove":{"path":"c","dataChange":true,"size":7,"tags":{"hourglass.rollup":"{\"clicks\":2,\"impressions\":1,\"unique_users\":2,\"min_us\":5,\"max_us\":7}"}}}"#;
        assert_eq!(of(&[tagged], &mut sizes).removed.rows, Some(3));
    }
}
