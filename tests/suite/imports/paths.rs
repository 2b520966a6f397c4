//! Folders, patterns and extensions as arguments of `import`.

use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::ipc::writer::{FileWriter, StreamWriter};
use parquet::arrow::ArrowWriter;

use super::stores::Place;

/// One event, its user and its kind, as far as they are given.
fn batch(user: Option<&str>, event: Option<&str>) -> RecordBatch {
    let mut columns: Vec<(&str, ArrayRef)> =
        vec![("timestamp", Arc::new(Int64Array::from(vec![1])))];
    for (name, value) in [("user", user), ("event", event)] {
        if let Some(value) = value {
            columns.push((name, Arc::new(StringArray::from(vec![value]))));
        }
    }
    RecordBatch::try_from_iter(columns).unwrap()
}

pub fn parquet(batch: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn a_folder_stands_for_the_files_below_it_and_counts_the_others() {
    let place = Place::new();
    for name in ["june/b.csv", "june/a/z.csv", "june/A.CSV", "june/.hidden.csv", "june/_part.csv"] {
        place.csv(name);
    }
    place.csv("june/_temporary/0.csv");
    place.csv("june/.git/0.csv");
    place.write("june/README.md", "about");
    place.write("june/a/notes.txt", "about");
    place.write("june/c.parq", parquet(&batch(Some("parq"), Some("click"))));
    place.write("june/c.parquet.gz", "compressed twice");
    let printed = place.import(&["june"]);
    assert!(printed.starts_with("4 events in "), "{printed}");
    let skipped = "3 files skipped, as their names end in no known extension: june/README.md, \
                   june/a/notes.txt, june/c.parquet.gz\n";
    assert!(printed.ends_with(skipped), "{printed}");
    assert_eq!(place.users(), ["june/A.CSV", "june/a/z.csv", "june/b.csv", "parq"]);
}

#[test]
fn files_of_a_folder_are_loaded_in_sorted_order_each_whole_or_not_at_all() {
    let place = Place::new();
    place.csv("june/1.csv");
    place.csv("june/2/2.csv");
    place.write("june/3.csv", "timestamp,user,event\n1,three,click\n2,three,clack\n");
    place.csv("june/4.csv");
    let error = place.refusal(&["june"]);
    let told = "june/3.csv: line 3: event: must be click or impression; found \"clack\"; nothing of this file was loaded";
    assert!(error.contains(told), "{error}");
    assert_eq!(place.users(), ["june/1.csv", "june/2/2.csv"]);
}

#[test]
fn a_pattern_stands_for_the_paths_that_match() {
    for (pattern, users) in [
        ("june/*.csv", &["june/a.csv", "june/b.csv"][..]),
        ("june/?.csv", &["june/a.csv", "june/b.csv"]),
        ("june/[!a].csv", &["june/b.csv"]),
        ("**/*.csv", &["july/[1].csv", "june/a.csv", "june/b.csv", "june/deep/er/c.csv"]),
        ("**", &["july/[1].csv", "june/a.csv", "june/b.csv", "june/deep/er/c.csv"]),
        ("june/**", &["june/a.csv", "june/b.csv", "june/deep/er/c.csv"]),
        ("jun*", &["june/a.csv", "june/b.csv", "june/deep/er/c.csv"]),
        ("june/_*.csv", &["june/_d.csv"]),
        ("june/**/.e.csv", &["june/.e.csv"]),
        ("july/[1].csv", &["july/[1].csv"]),
        ("july/[[]1].csv", &["july/[1].csv"]),
    ] {
        let place = Place::new();
        for name in ["a.csv", "b.csv", "deep/er/c.csv", "_d.csv", ".e.csv", "_tmp/f.csv"] {
            place.csv(&format!("june/{name}"));
        }
        place.csv("july/[1].csv");
        place.write("june/notes.txt", "about");
        place.import(&[pattern]);
        assert_eq!(place.users(), users, "{pattern}");
    }
}

#[test]
fn a_file_is_loaded_once_whatever_leads_to_it() {
    let place = Place::new();
    place.csv("june/a.csv");
    place.csv("june/deep/b.csv");
    std::os::unix::fs::symlink(place.path("june"), place.path("june/deep/back")).unwrap();
    std::os::unix::fs::symlink("a.csv", place.path("june/same.csv")).unwrap();
    place.import(&["june/a.csv", "june", "june/deep", "june/**/*.csv", "./june/a.csv"]);
    assert_eq!(place.users(), ["june/a.csv", "june/deep/b.csv"]);
}

#[test]
fn what_leads_to_no_file_is_refused_before_anything_is_loaded() {
    let place = Place::new();
    place.csv("a.csv");
    place.write("docs/README.md", "about");
    place.write("docs/.hidden.csv", "");
    fs::create_dir(place.path("empty")).unwrap();
    for (path, told) in [
        ("june/*.csv", "june/*.csv: matches no file"),
        ("**.csv", "**.csv: is no pattern: "),
        ("empty", "empty: has no files"),
        (
            "docs",
            "docs: has no file to import, only docs/README.md; their names must end in .csv, ",
        ),
        ("docs/*", "docs/*: matches no file to import, only docs/README.md; "),
        ("docs/README.md", "docs/README.md: the name must end in .csv, "),
    ] {
        let error = place.refusal(&["a.csv", path]);
        assert!(error.contains(told), "{path}: {error}");
    }
    let missing = place.run(&["a.csv", "b.csv"]);
    assert_eq!(missing.status.code(), Some(66), "{missing:?}");
    assert!(String::from_utf8_lossy(&missing.stderr).contains("b.csv: open: "), "{missing:?}");
    // Only the file without a known extension is not found out before the first file is loaded.
    assert_eq!(place.users(), ["a.csv"]);
}

#[test]
fn a_told_format_is_that_of_every_file_in_a_folder() {
    let place = Place::new();
    for name in ["a", "b.copy", "c.txt"] {
        place.write(&format!("copies/{name}"), format!("1\t{name}\tclick\n"));
    }
    place.import(&["--format=text", "--no-header", "copies"]);
    assert_eq!(place.users(), ["a", "b.copy", "c.txt"]);
}

#[test]
fn an_arrow_file_and_an_arrow_stream_are_both_told_by_arrow() {
    let place = Place::new();
    let (one, two) = (batch(Some("file"), Some("click")), batch(Some("stream"), Some("click")));
    let mut file = FileWriter::try_new(Vec::new(), &one.schema()).unwrap();
    file.write(&one).unwrap();
    let mut stream = StreamWriter::try_new(Vec::new(), &two.schema()).unwrap();
    stream.write(&two).unwrap();
    place.write("arrow/file.arrow", file.into_inner().unwrap());
    place.write("arrow/stream.arrow", stream.into_inner().unwrap());
    place.import(&["arrow"]);
    assert_eq!(place.users(), ["file", "stream"]);
}

#[test]
fn folders_name_the_columns_that_parquet_files_lack() {
    let place = Place::with_page();
    let lacking = |user| parquet(&batch(Some(user), None));
    place.write("lake/event=click/page=%2Fa%20b/0.parquet", lacking("a"));
    place.write("lake/event=impression/page=__HIVE_DEFAULT_PARTITION__/0.parquet", lacking("b"));
    place.write("lake/event=click/0.parquet", parquet(&batch(Some("c"), Some("impression"))));
    place.import(&["lake"]);
    assert_eq!(
        place.rows("SELECT user_id, event, page FROM events ORDER BY 1"),
        ["a,click,/a b", "b,impression,", "c,impression,"]
    );
    place.write(
        "lake2/user_id=x/page=y/event=buy/0.parquet",
        parquet(&batch(Some("d"), Some("click"))),
    );
    place.import(&["lake2"]);
    assert_eq!(place.rows("SELECT event, page FROM events WHERE user_id = 'd'"), ["click,y"]);
    place.write("bad/event=buy/0.parquet", lacking("d"));
    let error = place.refusal(&["bad"]);
    let told = "bad/event=buy/0.parquet: row 1: event: must be click or impression; found \"buy\"";
    assert!(error.contains(told), "{error}");
}
