#![no_main]

#[path = "../targets.rs"]
mod targets;

use std::sync::LazyLock;

static LOG: LazyLock<targets::Log> = LazyLock::new(targets::Log::new);

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    LOG.read(bytes);
});
