#![no_main]

#[path = "../targets.rs"]
mod targets;

use std::sync::LazyLock;

use hourglass::storage::vfs::Disk;

static FOLDER: LazyLock<tempfile::TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a folder"));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    targets::log(&Disk, FOLDER.path(), bytes);
});
