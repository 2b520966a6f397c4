//! Every limit, path and interval, declared once.
//!
//! The table in `settings!` below is the one place a setting is declared. From it come the fields of [`Config`], the
//! flags (`--max-body-bytes`), the environment variables (`HOURGLASS_MAX_BODY_BYTES`), the keys of the configuration
//! file (`max_body_bytes`), the help and the listing of `hourglass config`. A flag outranks the environment, the
//! environment outranks the file, the file outranks the default.
//!
//! This module reads neither the environment nor a file: both come in as arguments ([`resolve()`]), and nothing here is
//! global. It knows the options of the layers below; none of them knows it.

mod flags;
mod resolve;
mod settings;
mod source;
mod value;

pub use self::flags::{Flags, unknown_variables};
pub use self::resolve::{Resolved, resolve};
pub use self::settings::{Config, ENV_PREFIX, SETTINGS, Setting};
pub use self::source::Source;
pub use self::value::{ByteSize, CorsOrigin, Count, FileSize, Folder, LogFilter, LogFormat, Reach, Threads, Value};
