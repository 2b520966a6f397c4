//! The house's layers, as data: who may import whom. A module may use those below it, never one above or beside it.

use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up. Modules on one floor do not know each other.
const FLOORS: &[&[&str]] = &[
    &["event", "metrics", "text", "threads"],
    &["error", "hour"],
    &["console"],
    &["storage"],
    &["decode", "query"],
    &["encode", "generate", "rows"],
    &["http", "export"],
    &["client", "config"],
    &["shell", "bench"],
    &["cli"],
];

/// The same within `storage`.
const STORAGE_FLOORS: &[&[&str]] = &[
    &["vfs", "users", "instruments", "keys", "recurring"],
    &["object", "wal", "memtable", "directory", "key_files"],
    &["data_file"],
    &["lake"],
    &["sources", "leftovers"],
    &["distinct"],
    &["snapshot"],
    &["intake"],
    &["flusher"],
    &["writer"],
    &["engine"],
    &["scrape", "verify"],
];

fn floor(floors: &[&[&str]], module: &str) -> Option<usize> {
    floors.iter().position(|floor| floor.contains(&module))
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => paths.extend(sources(&path)),
            false => paths.push(path),
        }
    }
    paths
}

/// The modules that a file names behind `prefix`.
fn imports(text: &str, prefix: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code: String = lines.collect::<Vec<_>>().join("\n");
    let name = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    code.split(prefix).skip(1).map(name).collect()
}

/// Whether a file holds nothing but tests.
fn is_tests(path: &Path) -> bool {
    path.ends_with("tests.rs") || path.parent().is_some_and(|folder| folder.ends_with("tests"))
}

#[test]
fn imports_go_down_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for path in sources(&src).into_iter().filter(|path| !is_tests(path)) {
        let text = fs::read_to_string(&path).unwrap();
        let relative = path.strip_prefix(&src).unwrap().with_extension("");
        let parts: Vec<&str> = relative.iter().map(|part| part.to_str().unwrap()).collect();
        let mut check = |floors: &[&[&str]], module: &str, imported: Vec<String>| {
            let Some(own) = floor(floors, module) else { return };
            for import in imported.iter().filter(|import| *import != module) {
                if floor(floors, import).is_some_and(|other| other >= own) {
                    wrong.push(format!("{} imports {import}", relative.display()));
                }
            }
        };
        check(FLOORS, parts[0], imports(&text, "crate::"));
        if parts[0] == "storage" && parts.len() > 1 {
            let prefix = if parts.len() == 2 { "super::" } else { "crate::storage::" };
            check(STORAGE_FLOORS, parts[1], imports(&text, prefix));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_module_has_its_floor() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (dir, floors) in [(src.clone(), FLOORS), (src.join("storage"), STORAGE_FLOORS)] {
        for entry in fs::read_dir(dir).unwrap() {
            let name = entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_string();
            let is_root = ["lib", "main", "mod"].contains(&&*name);
            assert!(is_root || floor(floors, &name).is_some(), "{name} has no floor");
        }
    }
}

/// Standard output on a full disk ended `println!` with a panic, and standard error ended threads of the server.
#[test]
fn only_the_console_prints() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for path in sources(&src) {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for (number, line) in code.lines().enumerate() {
            let line = line.split("//").next().unwrap();
            // Answers of the shell go to standard output as they come, and end with whoever read them.
            let may_write = path.ends_with("console.rs") || path.ends_with("shell/session.rs");
            let asks = line.contains("is_terminal()");
            let prints = ["print!(", "println!(", "dbg!("].iter().any(|name| line.contains(name));
            let writes = ["::stdout()", "::stderr()"].iter().any(|name| line.contains(name));
            if prints || (writes && !asks && !may_write) {
                wrong.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn storage_reaches_the_system_through_its_interfaces_alone() {
    let storage = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/storage");
    for path in sources(&storage) {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let is_disk = path.ends_with("vfs.rs") || path.ends_with("tests.rs");
        for call in ["std::fs", "File::", "SystemTime", "Instant::now", "Utc::now", "rustix"] {
            assert!(is_disk || !code.contains(call), "{} calls {call}", path.display());
        }
    }
}
