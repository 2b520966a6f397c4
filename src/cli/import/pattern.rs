//! Patterns of paths: `june/**/*.csv`.
//!
//! In the name of a file or folder `*` stands for any characters, `?` for one, and `[ab]`, `[a-z]`
//! and `[!a]` for one of a set. A name `**` stands for any number of folders. A name that begins
//! with a dot or an underscore is matched only by a name of the pattern that begins with it.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use glob::Pattern;

use crate::error::{Error, Result};

/// Returns what is the same for every path of one file. The path itself where the system cannot
/// tell, as for a pipe of the shell.
pub fn identity(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
}

/// Returns the path as a pattern if it has a wildcard.
pub fn pattern_of(path: &Path) -> Option<&str> {
    path.to_str().filter(|text| has_wildcard(text))
}

fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Returns the files and folders that match, in sorted order. One that links lead to by several
/// paths may be returned with any of them.
///
/// # Errors
/// [`Error::Invalid`] if the text is no pattern.
pub fn matches(pattern: &str) -> Result<BTreeSet<PathBuf>> {
    let invalid = |error| Error::Invalid(format!("{pattern}: is no pattern: {error}"));
    let names = pattern.split('/').filter(|name| !name.is_empty());
    let names: Vec<Pattern> =
        names.map(Pattern::new).collect::<std::result::Result<_, _>>().map_err(invalid)?;
    let root = if pattern.starts_with('/') { "/" } else { "" };
    let mut search = Search::default();
    search.folder(Path::new(root), &names)?;
    Ok(search.found)
}

#[derive(Default)]
struct Search {
    found: BTreeSet<PathBuf>,
    /// Folders searched, each with the number of names that were left of the pattern: a link may
    /// lead back to a folder above it.
    searched: HashSet<(PathBuf, usize)>,
}

impl Search {
    /// Searches a folder for the rest of the pattern.
    fn folder(&mut self, folder: &Path, names: &[Pattern]) -> Result<()> {
        if !self.searched.insert((identity(folder), names.len())) {
            return Ok(());
        }
        let Some((name, rest)) = names.split_first() else { return Ok(()) };
        if name.as_str() == "**" {
            self.path(folder.to_path_buf(), rest)?;
            let inner =
                list(folder)?.into_iter().filter(|path| is_visible(path, "") && path.is_dir());
            return inner.into_iter().try_for_each(|path| self.folder(&path, names));
        }
        if !has_wildcard(name.as_str()) {
            let path = folder.join(name.as_str());
            return if path.exists() { self.path(path, rest) } else { Ok(()) };
        }
        for path in list(folder)?.into_iter().filter(|path| is_visible(path, name.as_str())) {
            if path.file_name().and_then(|own| own.to_str()).is_some_and(|own| name.matches(own)) {
                self.path(path, rest)?;
            }
        }
        Ok(())
    }

    /// Takes a path that matches so far.
    fn path(&mut self, path: PathBuf, rest: &[Pattern]) -> Result<()> {
        if rest.is_empty() {
            let is_here = path.as_os_str().is_empty();
            self.found.insert(if is_here { PathBuf::from(".") } else { path });
        } else if path.is_dir() || path.as_os_str().is_empty() {
            self.folder(&path, rest)?;
        }
        Ok(())
    }
}

/// Returns the paths in a folder; the empty path is the current one.
fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = fs::read_dir(here).map_err(Error::io(here, "list"))?;
    let paths = entries.map(|entry| Ok(folder.join(entry?.file_name())));
    paths.collect::<std::io::Result<_>>().map_err(Error::io(here, "list"))
}

/// Reports whether a name of the pattern may match a path's name by a wildcard.
fn is_visible(path: &Path, name: &str) -> bool {
    let own = path.file_name().unwrap_or_default().as_encoded_bytes();
    ['.', '_'].iter().all(|&first| !own.starts_with(&[first as u8]) || name.starts_with(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_texts_with_wildcards_are_patterns() {
        let is_pattern = |text: &str| pattern_of(Path::new(text)).is_some();
        assert!(is_pattern("june/*.csv") && is_pattern("a?") && is_pattern("[ab]"));
        assert!(!is_pattern("june/a.csv") && !is_pattern("a]b"));
    }

    #[test]
    fn a_link_back_ends_the_search() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir_all(path("a/b")).unwrap();
        fs::write(path("a/b/1.csv"), "").unwrap();
        for name in ["a/up", "a/b/up", "a/b/again"] {
            std::os::unix::fs::symlink(dir.path(), path(name)).unwrap();
        }
        let found = matches(path("**/*.csv").to_str().unwrap()).unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [path("a/b/1.csv")]);
    }
}
