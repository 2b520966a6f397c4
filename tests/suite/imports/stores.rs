//! A store in a folder of its own, which commands of the real binary load and query.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::server::{Server, hourglass};

/// A folder with files to import, and a store beside them in `store`.
pub struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Place {
        Place { dir: tempfile::tempdir().unwrap() }
    }

    /// With a dimension `page`.
    pub fn with_page() -> Place {
        let place = Place::new();
        let declared = [("HOURGLASS_DIMENSIONS", "page")];
        let server = Server::start(&place.path("store"), &declared);
        assert_eq!(server.stop(), Some(0));
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Writes a CSV file with one event, whose user is the file's name.
    pub fn csv(&self, name: &str) {
        self.write(name, format!("timestamp,user,event\n1,{name},click\n"));
    }

    /// Runs `import` in the folder, into the store.
    pub fn run(&self, args: &[&str]) -> Output {
        let store = self.path("store");
        let mut command = hourglass();
        command.current_dir(self.dir.path()).arg("import").args(args);
        command.arg("--data-dir").arg(store).output().unwrap()
    }

    /// Imports, and returns what was printed.
    pub fn import(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Imports what must be refused as invalid, and returns the error.
    pub fn refusal(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(65), "{args:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Returns the users of the store in order, one for each event.
    pub fn users(&self) -> Vec<String> {
        self.rows("SELECT user_id FROM events ORDER BY 1")
    }

    /// Returns the rows of a statement as CSV, without the header.
    pub fn rows(&self, sql: &str) -> Vec<String> {
        rows(&self.path("store"), sql)
    }
}

pub fn rows(store: &Path, sql: &str) -> Vec<String> {
    let mut command = hourglass();
    command.args(["sql", "--format", "csv", "-c", sql, "--data-dir"]).arg(store);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{sql}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().skip(1).map(str::to_owned).collect()
}
