//! Configuration: every limit, path and interval, declared once.
//!
//! The table in `settings!` is the only place where a setting is declared. It generates the fields
//! of [`Config`], the flags (`--max-body-bytes`), the environment variables
//! (`HOURGLASS_MAX_BODY_BYTES`), the keys of the configuration file (`max_body_bytes`), the help,
//! and the output of `hourglass config`. Precedence: flag, environment, file, default.
//!
//! [`resolve()`] reads neither the environment nor files: both are passed to it. Nothing here is
//! global. The module depends on the options of the layers below; none of them depends on it.

mod flags;
mod resolve;
mod settings;
mod source;
mod value;

pub use self::flags::{Flags, unknown_variables};
pub use self::resolve::{Resolved, resolve};
pub use self::settings::{Config, ENV_PREFIX, SETTINGS, Setting};
pub use self::source::Source;
pub use self::value::{
    ByteSize, Count, FileSize, Folder, Hosts, LogFilter, LogFormat, Names, OptionalAddress,
    OptionalFile, Rate, Reach, Threads, Value, WithoutToken,
};

pub use self::value::parse_origin;

/// Parses a duration of the command line, such as `400d`.
pub fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    let accepts = <std::time::Duration as Value>::ACCEPTS;
    Value::parse(text).ok_or_else(|| format!("expected {accepts}"))
}
