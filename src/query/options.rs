//! Session options of this engine, `SET hourglass.…`.

use std::any::Any;

use datafusion::common::config::{ConfigEntry, ConfigExtension, ConfigField, ExtensionOptions};
use datafusion::common::{Result, config_err};

/// Values of the options.
#[derive(Clone, Debug)]
pub struct HourglassOptions {
    /// Whether to compute aggregates over whole hours from exact per-hour counters (rollups).
    pub rollups: bool,
    /// Whether to select hours by a predicate on time, from the index; if false, every file is a
    /// candidate and is inspected.
    pub pruning: bool,
    /// Maximum number of users that a statement's distinct count keeps in memory; above it, users
    /// are counted with temporary files.
    pub distinct_users_in_memory: usize,
    /// Version of the table, or time, whose sealed hours are read, as it was written; empty for the
    /// present.
    pub as_of: String,
    /// Whether a COPY FROM may be stored in parts.
    pub copy_chunks: bool,
}

impl Default for HourglassOptions {
    fn default() -> HourglassOptions {
        HourglassOptions {
            rollups: true,
            pruning: true,
            distinct_users_in_memory: 4_000_000,
            as_of: String::new(),
            copy_chunks: false,
        }
    }
}

impl ConfigExtension for HourglassOptions {
    const PREFIX: &'static str = "hourglass";
}

impl ExtensionOptions for HourglassOptions {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "rollups" => self.rollups.set("", value),
            "pruning" => self.pruning.set("", value),
            "distinct_users_in_memory" => self.distinct_users_in_memory.set("", value),
            "as_of" => self.as_of.set("", value),
            "copy_chunks" => self.copy_chunks.set("", value),
            _ => config_err!("Config value \"{key}\" not found on hourglass"),
        }
    }

    /// Returns the options by their full names, as `SET` takes them: DataFusion lists the entries
    /// of an extension as they are, and `SHOW` looks for them there.
    fn entries(&self) -> Vec<ConfigEntry> {
        let entry = |key: &str, value: String, description| ConfigEntry {
            key: format!("{}.{key}", HourglassOptions::PREFIX),
            value: Some(value),
            description,
        };
        vec![
            entry(
                "rollups",
                self.rollups.to_string(),
                "Whether to compute aggregates over whole hours from exact per-hour counters \
                 (rollups); the results are the same",
            ),
            entry(
                "pruning",
                self.pruning.to_string(),
                "Whether to select hours by a predicate on time, from the index; if false, every \
                 file is a candidate and is inspected",
            ),
            entry(
                "distinct_users_in_memory",
                self.distinct_users_in_memory.to_string(),
                "Maximum number of users, or of other values, that a statement's distinct count \
                 keeps in memory; above it, they are counted with temporary files",
            ),
            entry(
                "as_of",
                self.as_of.clone(),
                "Version of the table (system.commits lists them), or time, whose sealed hours are \
                 read; empty for the present",
            ),
            entry(
                "copy_chunks",
                self.copy_chunks.to_string(),
                "Whether a COPY FROM that is larger than a body may be is stored in parts, each \
                 whole or not at all",
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_that_is_listed_can_be_set_by_its_name() {
        let mut options = HourglassOptions::default();
        for entry in HourglassOptions::default().entries() {
            let key = entry.key.strip_prefix("hourglass.").unwrap();
            options.set(key, &entry.value.unwrap()).unwrap();
        }
        assert!(options.set("rollup", "true").unwrap_err().to_string().contains("not found on"));
    }
}
