//! Columns in the names of folders: `event=click/page=%2Fhome/part-0.parquet`, as Hive, Spark,
//! DuckDB and pyarrow partition files.

use std::path::Path;

use crate::decode::Constant;

/// Folder name that stands for a null.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// Returns the columns named by a file's folders, outermost first. Of folders that name the same
/// column the innermost counts.
pub fn columns(file: &Path) -> Vec<Constant> {
    let mut columns: Vec<Constant> = Vec::new();
    let folders = file.parent().into_iter().flat_map(Path::iter).filter_map(|name| name.to_str());
    for (name, value) in folders.filter_map(|folder| folder.split_once('=')) {
        let name = decoded(name);
        columns.retain(|column| column.name != name);
        let value = (value != NULL).then(|| decoded(value));
        columns.push(Constant { name, value });
    }
    columns
}

/// Decodes percent signs followed by two hexadecimal digits; other percent signs stay, and so does
/// a text that would not be UTF-8.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> Vec<(String, Option<String>)> {
        columns(Path::new(path)).into_iter().map(|column| (column.name, column.value)).collect()
    }

    #[test]
    fn folders_name_columns_and_files_do_not() {
        let pair = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        assert_eq!(found("lake/part=0.parquet"), []);
        assert_eq!(
            found("lake/event=click/page=%2Fa%20b=c/part-0.parquet"),
            [pair("event", "click"), pair("page", "/a b=c")]
        );
        assert_eq!(found("page=a/page=b/x.parquet"), [pair("page", "b")]);
        assert_eq!(found("page=50%/x.parquet"), [pair("page", "50%")]);
        assert_eq!(found("page=%FF/x.parquet"), [pair("page", "%FF")]);
        assert_eq!(found(&format!("page={NULL}/x")), [("page".to_owned(), None)]);
    }
}
