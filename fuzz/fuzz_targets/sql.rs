#![no_main]

#[path = "../targets.rs"]
mod targets;

use std::sync::LazyLock;

static STORE: LazyLock<targets::Store> = LazyLock::new(targets::Store::new);

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    STORE.ask(bytes);
});
