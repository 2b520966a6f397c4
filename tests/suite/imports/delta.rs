//! Delta tables as arguments of `import`: their live files only, with their partition columns.

use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use deltalake_core::kernel::transaction::CommitBuilder;
use deltalake_core::kernel::{Action, Add, DataType, PrimitiveType, Remove, StructField};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::{DeltaTable, DeltaTableBuilder};
use serde_json::{Value, json};
use url::Url;

use super::paths::parquet;
use super::stores::{Place, rows};
use crate::server::{Server, hourglass};

const COLUMNS: [&str; 4] = ["timestamp", "user", "event", "page"];

/// A Delta table in the folder `name` of a place, with the columns of events and `page`.
struct Table<'p> {
    place: &'p Place,
    name: &'static str,
    table: DeltaTable,
}

impl Table<'_> {
    async fn create<'p>(place: &'p Place, name: &'static str, partition: &[&str]) -> Table<'p> {
        Table::create_by(place, name, partition, PrimitiveType::Long).await
    }

    /// With a type for the timestamps.
    async fn create_by<'p>(
        place: &'p Place,
        name: &'static str,
        partition: &[&str],
        time: PrimitiveType,
    ) -> Table<'p> {
        let folder = place.path(name);
        fs::create_dir_all(&folder).unwrap();
        let url = Url::from_directory_path(&folder).unwrap();
        let log = DeltaTableBuilder::from_url(url).unwrap().build().unwrap().log_store();
        let columns = COLUMNS.map(|name| {
            let of = if name == "timestamp" { time.clone() } else { PrimitiveType::String };
            StructField::new(name, DataType::Primitive(of), true)
        });
        let create = CreateBuilder::new().with_log_store(log).with_columns(columns);
        let table = create.with_partition_columns(partition.iter().copied()).await.unwrap();
        Table { place, name, table }
    }

    async fn commit(&mut self, actions: Vec<Action>) {
        let operation =
            DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
        let state = self.table.snapshot().unwrap();
        CommitBuilder::default()
            .with_actions(actions)
            .build(Some(state), self.table.log_store(), operation)
            .await
            .unwrap();
        self.table.update_state().await.unwrap();
    }

    /// Adds a file of one event with the given columns, in a partition.
    async fn add(&mut self, file: &str, row: &[(&str, &str)], partition: &[(&str, Option<&str>)]) {
        let column = |(name, value): &(&'static str, &str)| -> (&'static str, ArrayRef) {
            match *name {
                "timestamp" => {
                    (name, Arc::new(Int64Array::from(vec![value.parse::<i64>().unwrap()])))
                }
                _ => (name, Arc::new(StringArray::from(vec![*value]))),
            }
        };
        let row = COLUMNS.into_iter().filter_map(|name| {
            row.iter().find(|(own, _)| *own == name).map(|(_, value)| column(&(name, *value)))
        });
        let bytes = parquet(&RecordBatch::try_from_iter(row).unwrap());
        let add = Add {
            path: file.to_owned(),
            size: bytes.len() as i64,
            data_change: true,
            partition_values: partition
                .iter()
                .map(|(name, value)| (name.to_string(), value.map(str::to_owned)))
                .collect(),
            ..Add::default()
        };
        self.place.write(&format!("{}/{file}", self.name), bytes);
        self.commit(vec![Action::Add(add)]).await;
    }

    async fn add_user(&mut self, user: &str) {
        let row = [("timestamp", "1"), ("user", user), ("event", "click")];
        self.add(&format!("{user}.parquet"), &row, &[]).await;
    }

    /// Removes a file from the table; it stays in the folder.
    async fn remove(&mut self, file: &str) {
        let remove = Remove { path: file.to_owned(), data_change: true, ..Remove::default() };
        self.commit(vec![Action::Remove(remove)]).await;
    }
}

fn block_on(work: impl Future<Output = ()>) {
    tokio::runtime::Runtime::new().unwrap().block_on(work);
}

#[test]
fn the_live_files_of_a_table_are_loaded_and_no_others() {
    let place = Place::new();
    block_on(async {
        let mut table = Table::create(&place, "table", &[]).await;
        for user in ["a", "b", "c"] {
            table.add_user(user).await;
        }
        table.remove("b.parquet").await;
        deltalake_core::checkpoints::create_checkpoint(&table.table, None).await.unwrap();
        table.add_user("d").await;
        table.remove("c.parquet").await;
        table.add_user("e").await;
    });
    // What the checkpoint holds is read from there alone.
    for version in 0..=4 {
        fs::remove_file(place.path(&format!("table/_delta_log/{version:020}.json"))).unwrap();
    }
    place.csv("table/never_added.csv");
    place.csv("before.csv");
    let printed = place.import(&["table", "before.csv"]);
    assert!(printed.starts_with("4 events in "), "{printed}");
    assert_eq!(place.users(), ["a", "before.csv", "d", "e"]);
}

#[test]
fn a_table_below_a_folder_is_read_as_a_table() {
    for argument in ["lake", "lake/*", "lake/**", "la*/tab*"] {
        let place = Place::new();
        block_on(async {
            let mut table = Table::create(&place, "lake/table", &[]).await;
            table.add_user("a").await;
            table.add_user("b").await;
            table.remove("a.parquet").await;
        });
        place.import(&[argument]);
        assert_eq!(place.users(), ["b"], "{argument}");
    }
}

#[test]
fn partition_columns_are_taken_from_the_log() {
    let place = Place::with_page();
    block_on(async {
        let mut table = Table::create(&place, "events", &["event", "page"]).await;
        for (i, page) in
            [Some("/a b"), Some("50%"), Some("é=ü?#"), Some(""), None].iter().enumerate()
        {
            let row = [("timestamp", "1"), ("user", &*format!("u{i}"))];
            let partition = [("event", Some("impression")), ("page", *page)];
            // The folder says nothing: only the log counts.
            table.add(&format!("event=click/page=x{i}%20/0.parquet"), &row, &partition).await;
        }
        let columns = ["timestamp", "user"];
        let mut table = Table::create_by(&place, "times", &columns, PrimitiveType::Timestamp).await;
        let partition = [("timestamp", Some("2020-01-01 00:00:16.384000")), ("user", Some("v"))];
        table.add("0.parquet", &[("event", "click"), ("page", "/")], &partition).await;
        let mut table = Table::create(&place, "numbers", &columns).await;
        let partition = [("timestamp", Some("1577836817000")), ("user", Some("w"))];
        table.add("1.parquet", &[("event", "click")], &partition).await;
    });
    place.import(&["events", "times", "numbers", "--columns", "page=page"]);
    assert_eq!(
        place.rows("SELECT user_id, event, page FROM events ORDER BY 1"),
        [
            "u0,impression,/a b",
            "u1,impression,50%",
            "u2,impression,é=ü?#",
            "u3,impression,",
            "u4,impression,",
            "v,click,/",
            "w,click,"
        ]
    );
    assert_eq!(
        place.rows("SELECT timestamp FROM events WHERE user_id >= 'v' ORDER BY 1"),
        ["2020-01-01T00:00:16.384Z", "2020-01-01T00:00:17Z"]
    );
}

#[test]
fn a_partition_value_that_is_no_event_is_refused_as_a_row_is() {
    let place = Place::new();
    block_on(async {
        let mut table = Table::create(&place, "table", &["event"]).await;
        let row = [("timestamp", "1"), ("user", "a")];
        table.add("0.parquet", &row, &[("event", Some("buy"))]).await;
        let mut table = Table::create(&place, "null", &["event"]).await;
        table.add("0.parquet", &row, &[("event", None)]).await;
    });
    let error = place.refusal(&["table"]);
    let told = "table/0.parquet: row 1: event: must be click or impression; found \"buy\"; nothing of this file was loaded";
    assert!(error.contains(told), "{error}");
    let error = place.refusal(&["null"]);
    assert!(error.contains("null/0.parquet: row 1: event: must not be null"), "{error}");
}

/// Writes the log of a table with one commit.
fn commit(place: &Place, name: &str, configuration: Value, add: Value) {
    let columns = COLUMNS.iter().enumerate().map(|(i, name)| {
        json!({"name": name, "type": "string", "nullable": true, "metadata": {
            "delta.columnMapping.id": i + 1, "delta.columnMapping.physicalName": name}})
    });
    let schema = json!({"type": "struct", "fields": columns.collect::<Vec<_>>()}).to_string();
    let actions = [
        json!({"protocol": {"minReaderVersion": 3, "minWriterVersion": 7,
            "readerFeatures": ["deletionVectors", "columnMapping"],
            "writerFeatures": ["deletionVectors", "columnMapping"]}}),
        json!({"metaData": {"id": "t", "format": {"provider": "parquet", "options": {}},
            "schemaString": schema, "partitionColumns": [], "createdTime": 1,
            "configuration": configuration}}),
        json!({ "add": add }),
    ];
    let lines = actions.map(|action| format!("{action}\n")).concat();
    place.write(&format!("{name}/_delta_log/00000000000000000000.json"), lines);
}

#[test]
fn tables_whose_files_are_not_their_rows_are_refused_with_the_reason() {
    let place = Place::new();
    let mapped =
        json!({"delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "4"});
    let add = |path: &str| {
        json!({"path": path, "partitionValues": {}, "size": 1, "modificationTime": 1,
            "dataChange": true})
    };
    let mut deleting = add("0.parquet");
    deleting["deletionVector"] = json!({"storageType": "u", "offset": 1, "sizeInBytes": 36,
        "cardinality": 2, "pathOrInlineDv": "vBn[lx{q8@P<9BNH/isA"});
    commit(&place, "deleting", json!({}), deleting);
    commit(&place, "mapped", mapped, add("0.parquet"));
    commit(&place, "clone", json!({}), add("file:///elsewhere/0.parquet"));
    place.write("damaged/_delta_log/00000000000000000000.json", "{");
    place.write("cut/_delta_log/00000000000000000000.json", "");
    for (table, told) in [
        ("deleting", "deleting: 1 of the 1 files of this Delta table have deletion vectors"),
        ("mapped", "mapped: this Delta table maps its columns by name (delta.columnMapping.mode)"),
        ("clone", "clone: this Delta table refers to the file file:///elsewhere/0.parquet outside"),
        ("damaged", "damaged: this Delta table cannot be read: "),
        ("cut", "cut/_delta_log/00000000000000000000.json: the commit is empty"),
    ] {
        let error = place.refusal(&[table]);
        assert!(error.contains(told), "{error}");
        assert!(error.ends_with("nothing of it was loaded\n"), "{error}");
    }
    // The features alone, unused, are no reason.
    place.csv("a.csv");
    commit(&place, "able", json!({}), add("0.parquet"));
    let missing = place.run(&["a.csv", "able"]);
    let error = String::from_utf8_lossy(&missing.stderr);
    assert!(error.contains("able/0.parquet: open: "), "{error}");
    assert!(!place.path("store").exists());
}

#[test]
fn parts_of_a_table_and_other_formats_are_refused() {
    let place = Place::new();
    block_on(async {
        let mut table = Table::create(&place, "table", &[]).await;
        let row = [("timestamp", "1"), ("user", "a"), ("event", "click")];
        table.add("part/0.parquet", &row, &[]).await;
    });
    for argument in ["table/part", "table/*", "table/**/*.parquet"] {
        let error = place.refusal(&[argument]);
        assert!(error.contains(": lies in the Delta table /"), "{error}");
    }
    let error = place.refusal(&["--format=csv", "table"]);
    assert!(error.contains("table: is a Delta table, whose files are Parquet"), "{error}");
    place.import(&["table/part/0.parquet"]);
    assert_eq!(place.users(), ["a"]);
}

#[test]
fn a_store_is_refused_and_its_table_is_loaded() {
    let place = Place::new();
    let source = Server::start(&place.path("source"), &[]);
    let mut client = source.connect();
    for user in ["a", "b"] {
        client.post(&format!("/analytics?timestamp=1&user={user}&event=click")).unwrap();
        client.post("/admin/flush").unwrap();
    }
    client.post("/analytics?timestamp=1&user=c&event=click").unwrap();
    for argument in ["source", "sour*"] {
        let error = place.refusal(&[argument]);
        assert!(error.contains("source: is a hourglass store, whose newest events"), "{error}");
        assert!(error.contains("hourglass export DIR --data-dir source"), "{error}");
        assert!(error.contains("import source/events"), "{error}");
    }
    place.import(&["source/events"]);
    assert_eq!(place.users(), ["a", "b"]);
    let error = place.refusal(&["store/events"]);
    assert!(error.contains("store/events: is the table of the store to load into"), "{error}");

    // The export holds what the log has, and is a store itself.
    let mut export = hourglass();
    export.args(["export", "--format", "delta", "--data-dir"]);
    export.args([place.path("source"), place.path("copy")]);
    assert!(export.output().unwrap().status.success());
    let second = ["import", "--data-dir"];
    let mut import = hourglass();
    import.args(second).args([place.path("second"), place.path("copy/events")]);
    let imported = import.output().unwrap();
    assert!(imported.status.success(), "{imported:?}");
    let users = rows(&place.path("second"), "SELECT user_id FROM events ORDER BY 1");
    assert_eq!(users, ["a", "b", "c"]);
}
