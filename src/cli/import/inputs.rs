//! Files that the arguments of `import` stand for.
//!
//! An argument is a file, a folder or a pattern. A folder stands for the files below it whose names
//! end in a known extension, in sorted order; names that begin with a dot or an underscore are left
//! out, as engines keep their own files under these. A folder with a Delta log stands for the live
//! files of that table. A pattern stands for the files and folders whose paths match it. A file is
//! taken once, even if several arguments or links lead to it.
//!
//! All files are found before the first is read.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::pattern::{self, identity, pattern_of};
use super::{delta, hive};
use crate::decode::{Constant, InputFormat, KNOWN_EXTENSIONS};
use crate::error::{Error, Result};
use crate::storage::META_FILE;

/// Maximum number of file names listed in a message.
const MAX_LISTED: usize = 3;

/// One file to load.
pub struct Input {
    pub path: PathBuf,
    /// Format, if it is not the extension that decides.
    pub format: Option<InputFormat>,
    /// Columns that the file may lack.
    pub columns: Vec<Constant>,
}

/// Files to load, in order, and files of folders and patterns that were skipped because their names
/// end in no known extension.
pub struct Inputs {
    pub files: Vec<Input>,
    pub skipped: Vec<PathBuf>,
}

/// Finds the files of all arguments. With a `format`, every file of a folder is taken as that
/// format. Delta tables below `destination`, the data directory to load into, are refused.
///
/// # Errors
/// [`Error::Invalid`] for an argument without a file to load, and for a hourglass store.
pub async fn find(
    arguments: &[PathBuf],
    format: Option<InputFormat>,
    destination: Option<&Path>,
) -> Result<Inputs> {
    let mut search = Search { format, ..Search::default() };
    arguments.iter().try_for_each(|argument| search.argument(argument))?;
    let Search { found, skipped, mut seen, .. } = search;
    let mut files = Vec::new();
    for found in found {
        match found {
            Found::File(path) => {
                let columns = hive::columns(&path);
                files.push(Input { path, format, columns });
            }
            Found::Table(folder) => {
                check_table(&folder, format, destination)?;
                let mut live = delta::live_files(&folder).await?;
                live.retain(|file| seen.insert(identity(&file.path)));
                files.extend(live.into_iter().map(|file| Input {
                    path: file.path,
                    format: Some(InputFormat::Parquet),
                    columns: file.columns,
                }));
            }
        }
    }
    Ok(Inputs { files, skipped })
}

fn check_table(
    folder: &Path,
    format: Option<InputFormat>,
    destination: Option<&Path>,
) -> Result<()> {
    let place = folder.display();
    if format.is_some_and(|format| format != InputFormat::Parquet) {
        return Err(Error::Invalid(format!(
            "{place}: is a Delta table, whose files are Parquet; leave out --format"
        )));
    }
    if destination.is_some_and(|destination| identity(folder).starts_with(identity(destination))) {
        return Err(Error::Invalid(format!(
            "{place}: is the table of the store to load into, which would have all of its events \
             twice"
        )));
    }
    Ok(())
}

enum Found {
    File(PathBuf),
    /// Folder of a Delta table.
    Table(PathBuf),
}

#[derive(Default)]
struct Search {
    format: Option<InputFormat>,
    found: Vec<Found>,
    skipped: Vec<PathBuf>,
    /// Number of files and tables that the arguments led to, those met again included.
    met: usize,
    /// Files, folders and tables taken, by [`identity`].
    seen: HashSet<PathBuf>,
}

impl Search {
    fn argument(&mut self, path: &Path) -> Result<()> {
        let (met, skipped) = (self.met, self.skipped.len());
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => {
                check_outside_tables(path)?;
                self.folder(path)?;
            }
            Ok(_) => self.take(path, Found::File),
            Err(error) => match pattern_of(path) {
                Some(pattern) => self.pattern(pattern)?,
                None => return Err(Error::io(path, "open")(error)),
            },
        }
        if self.met > met { Ok(()) } else { Err(nothing_found(path, &self.skipped[skipped..])) }
    }

    /// Adds what `path` leads to, unless it was added before.
    fn take(&mut self, path: &Path, found: fn(PathBuf) -> Found) {
        self.met += 1;
        if self.seen.insert(identity(path)) {
            self.found.push(found(path.to_path_buf()));
        }
    }

    /// Adds a file of a folder or a pattern if it can be imported.
    fn file(&mut self, path: &Path, is_file: bool) {
        if is_file && (self.format.is_some() || InputFormat::from_path(path).is_some()) {
            self.take(path, Found::File);
        } else {
            self.skipped.push(path.to_path_buf());
        }
    }

    fn folder(&mut self, folder: &Path) -> Result<()> {
        if folder.join(META_FILE).exists() {
            return Err(is_store(folder));
        }
        if delta::is_table(folder) {
            self.take(folder, Found::Table);
            return Ok(());
        }
        // A link may lead back to a folder above it.
        if !self.seen.insert(identity(folder)) {
            self.met += 1;
            return Ok(());
        }
        let entries = fs::read_dir(folder).map_err(Error::io(folder, "list"))?;
        let paths = entries.map(|entry| entry.map(|entry| entry.path()));
        let mut paths: Vec<PathBuf> =
            paths.collect::<std::io::Result<_>>().map_err(Error::io(folder, "list"))?;
        paths.sort();
        for path in paths.iter().filter(|path| !is_left_out(path)) {
            let meta = fs::metadata(path).map_err(Error::io(path, "open"))?;
            if meta.is_dir() { self.folder(path)? } else { self.file(path, meta.is_file()) }
        }
        Ok(())
    }

    fn pattern(&mut self, pattern: &str) -> Result<()> {
        let mut folders: Vec<PathBuf> = Vec::new();
        for path in pattern::matches(pattern)? {
            if folders.iter().any(|folder| path.starts_with(folder)) {
                continue;
            }
            let meta = fs::metadata(&path).map_err(Error::io(&path, "open"))?;
            check_outside_tables(&path)?;
            if meta.is_dir() {
                self.folder(&path)?;
                folders.push(path);
            } else {
                self.file(&path, meta.is_file());
            }
        }
        Ok(())
    }
}

/// Reports whether an entry of a folder is left out.
fn is_left_out(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.starts_with(b".") || name.starts_with(b"_")
}

/// Rejects a path inside a Delta table: beside its live files there may be others, whose events
/// were deleted or are in newer files too.
fn check_outside_tables(path: &Path) -> Result<()> {
    let real = identity(path);
    match real.ancestors().skip(1).find(|folder| delta::is_table(folder)) {
        Some(table) => Err(Error::Invalid(format!(
            "{}: lies in the Delta table {}, where removed files may still be; import the table's \
             folder, or its files one by one",
            path.display(),
            table.display()
        ))),
        None => Ok(()),
    }
}

fn is_store(folder: &Path) -> Error {
    let place = folder.display();
    Error::Invalid(format!(
        "{place}: is a hourglass store, whose newest events are in its log and not yet in files; \
         run `hourglass export DIR --data-dir {place}` and import DIR, or flush the store (POST \
         /admin/flush of its server) and import {place}/events"
    ))
}

fn nothing_found(argument: &Path, skipped: &[PathBuf]) -> Error {
    let place = argument.display();
    let is_pattern = !argument.is_dir();
    Error::Invalid(match (skipped, is_pattern) {
        ([], true) => format!("{place}: matches no file"),
        ([], false) => format!("{place}: has no files"),
        (skipped, _) => {
            let files = listed(skipped);
            let verb = if is_pattern { "matches" } else { "has" };
            format!(
                "{place}: {verb} no file to import, only {files}; their names must end in \
                 {KNOWN_EXTENSIONS}, or --format must say what they are"
            )
        }
    })
}

/// Lists the first of the files: `a.txt, b.txt, c.txt and 2 more`.
pub fn listed(files: &[PathBuf]) -> String {
    let first: Vec<String> =
        files.iter().take(MAX_LISTED).map(|path| path.display().to_string()).collect();
    let first = first.join(", ");
    match files.len().saturating_sub(MAX_LISTED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
