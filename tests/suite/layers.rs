//! The structure of the source, as data: who may import whom. A module may use those below it,
//! never one above or beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of some folders, from the ground up: modules on one floor do not know each other.
const FLOORS: &[(&str, &[&[&str]])] = &[
    (
        "",
        &[
            &["event", "limit", "metrics", "text", "threads"],
            &["hour", "rollup"],
            &["storage"],
            &["error"],
            &["console"],
            &["decode", "query"],
            &["encode", "generate", "rows"],
            &["server", "export"],
            &["client", "config"],
            &["shell", "bench"],
            &["cli"],
        ],
    ),
    (
        "storage",
        &[
            &["error", "vfs", "metrics", "options", "pace", "recurring"],
            &["store", "wal"],
            &["directory", "file_names", "idempotency"],
            &["memory"],
            &["lake"],
            &["sets"],
            &["snapshot"],
            &["requests"],
            &["commit_queue"],
            &["owned_table", "sets_builder"],
            &["flusher", "maintenance"],
            &["committer"],
            &["writer"],
            &["engine"],
            &["scrape", "verify"],
        ],
    ),
    (
        "server",
        &[
            &["connection", "process", "rates", "times", "tls", "tokens"],
            &["access"],
            &["service"],
            &["listener"],
            &["http", "postgres"],
        ],
    ),
    (
        "query",
        &[
            &["identifiers", "memory", "opaque", "options", "pool", "schema", "settings", "walk"],
            &["functions", "session", "slots", "stats"],
            &["time_ranges"],
            &["exec", "limits"],
            &["syntax"],
            &["params", "parse"],
            &["command"],
            &["catalog"],
            &["optimizer", "result_stream"],
            &["engine"],
            &["describe", "scrape", "statement"],
        ],
    ),
];

/// A module's path below the crate, such as `["storage", "wal"]`.
type Module = Vec<String>;

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { paths.extend(sources(&path)) } else { paths.push(path) }
    }
    paths
}

/// Whether a file holds nothing but tests.
fn is_tests(path: &Path) -> bool {
    path.ends_with("tests.rs") || path.parent().is_some_and(|folder| folder.ends_with("tests"))
}

/// The code of a file: without comments, tests, and what it only hands on with `pub use`.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code: String = lines.collect::<Vec<_>>().join("\n");
    let mut parts = code.split("pub use ");
    let first = parts.next().unwrap().to_string();
    parts.fold(first, |code, part| code + part.split_once(';').map_or("", |(_, rest)| rest))
}

/// Every module of the crate, with its code.
fn modules() -> BTreeMap<Module, String> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut modules = BTreeMap::new();
    for path in sources(&src).into_iter().filter(|path| !is_tests(path)) {
        let relative = path.strip_prefix(&src).unwrap().with_extension("");
        let mut module: Module =
            relative.iter().map(|part| part.to_str().unwrap().to_string()).collect();
        module.pop_if(|last| ["lib", "main", "mod"].contains(&last.as_str()));
        modules.insert(module, code(&path));
    }
    modules
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The paths that a module names, as far as they can be told from the text: those behind `crate::`,
/// `super::` and `self::`, the names of a group in braces one by one, and those of its own
/// children.
fn named(module: &Module, code: &str, modules: &BTreeMap<Module, String>) -> BTreeSet<Module> {
    let mut paths = BTreeSet::new();
    let mut rest = code;
    while let Some(at) = rest.find("::") {
        let start = rest[..at]
            .rfind(|c| !is_name(c))
            .map_or(0, |i| i + rest[i..].chars().next().unwrap().len_utf8());
        let first = rest[start..at].to_string();
        let is_head = !rest[..start].ends_with("::");
        rest = &rest[at + 2..];
        let mut base = match first.as_str() {
            "crate" => Module::new(),
            "self" => module.clone(),
            "super" => module[..module.len().saturating_sub(1)].to_vec(),
            child
                if is_head
                    && modules.contains_key(&[module.clone(), vec![child.into()]].concat()) =>
            {
                [module.clone(), vec![first]].concat()
            }
            _ => continue,
        };
        while let Some(up) = rest.strip_prefix("super::") {
            base.pop();
            rest = up;
        }
        let tail: String = rest.chars().take_while(|c| is_name(*c) || *c == ':').collect();
        let path = || {
            base.iter()
                .cloned()
                .chain(tail.split("::").filter(|part| !part.is_empty()).map(String::from))
        };
        match rest[tail.len()..].strip_prefix('{') {
            Some(group) => {
                let group = group.split('}').next().unwrap();
                paths.extend(
                    group.split(',').map(|name| path().chain([name.trim().to_string()]).collect()),
                );
            }
            None => _ = paths.insert(path().collect()),
        }
    }
    paths
}

/// For each folder, which of its rooms names which other: the folder's own file is the room `mod`.
fn arrows() -> BTreeMap<Module, BTreeMap<String, BTreeSet<String>>> {
    let modules = modules();
    let mut arrows: BTreeMap<Module, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (module, code) in &modules {
        for mut path in named(module, code, &modules) {
            while !modules.contains_key(&path) {
                path.pop();
            }
            let shared = module.iter().zip(&path).take_while(|(a, b)| a == b).count();
            for depth in 0..=shared {
                let room = |module: &Module| {
                    module.get(depth).map_or("mod", |name| name.as_str()).to_string()
                };
                let (from, to) = (room(module), room(&path));
                if from != to {
                    arrows
                        .entry(module[..depth].to_vec())
                        .or_default()
                        .entry(from)
                        .or_default()
                        .insert(to);
                }
            }
        }
    }
    arrows
}

#[test]
fn no_folder_has_a_circle() {
    for (folder, arrows) in arrows() {
        // Rooms whose every arrow leads to a room that is done are done; a circle is what remains.
        let mut open = arrows.clone();
        while let Some(done) =
            open.iter().find(|(_, to)| to.iter().all(|to| !open.contains_key(to)))
        {
            let done = done.0.clone();
            open.remove(&done);
        }
        assert!(
            open.is_empty(),
            "rooms of {:?} import each other in a circle: {open:#?}",
            folder.join("::")
        );
    }
}

#[test]
fn imports_go_down_only() {
    let arrows = arrows();
    for (folder, floors) in FLOORS {
        let folder: Module =
            folder.split("::").filter(|part| !part.is_empty()).map(String::from).collect();
        let floor = |room: &str| floors.iter().position(|floor| floor.contains(&room));
        for (from, all) in &arrows[&folder] {
            for to in all {
                if let (Some(own), Some(other)) = (floor(from), floor(to)) {
                    assert!(other < own, "{}: {from} imports {to}", folder.join("::"));
                }
            }
        }
        let rooms = modules()
            .into_keys()
            .filter(|module| module.len() == folder.len() + 1 && module.starts_with(&folder));
        for room in rooms.map(|module| module[folder.len()].clone()) {
            assert!(floor(&room).is_some(), "{}: {room} has no floor", folder.join("::"));
        }
    }
}

/// Standard output on a full disk ended `println!` with a panic, and standard error ended threads
/// of the server.
#[test]
fn only_the_console_prints() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for path in sources(&src) {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for (number, line) in code.lines().enumerate() {
            let line = line.split("//").next().unwrap();
            // Answers of the shell go to standard output as they come, and end with whoever read
            // them.
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
        for call in ["std::fs", "fs::File", "SystemTime", "Instant::now", "Utc::now", "rustix"] {
            assert!(is_disk || !code.contains(call), "{} calls {call}", path.display());
        }
    }
}
