//! Where a setting's value came from, and how its text is parsed.

use std::fmt;
use std::path::PathBuf;

use super::value::Value;
use crate::error::{Error, Result};

/// Source of a setting's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Command-line flag, such as `--listen`.
    Flag(String),
    /// Environment variable, such as `HOURGLASS_LISTEN`.
    Env(String),
    File(PathBuf),
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag(flag) => f.write_str(flag),
            Source::Env(name) => f.write_str(name),
            Source::File(path) => path.display().fmt(f),
            Source::Default => f.write_str("default"),
        }
    }
}

pub(super) fn parse<T: Value>(key: &str, text: &str, source: &Source) -> Result<T> {
    T::parse(text).ok_or_else(|| {
        Error::Config(format!(
            "{key}: {text:?} (from {source}) is not accepted; expected {}",
            T::ACCEPTS
        ))
    })
}
