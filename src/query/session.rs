//! Session options: those that `SET` changed, and those that it may change.

use std::collections::BTreeMap;

use datafusion::config::ConfigOptions;
use datafusion::prelude::SessionConfig;

use super::options::HourglassOptions;
use crate::error::{Error, Result};
use crate::storage::AsOf;

/// Options that `SET` may change; the others would change the process or weaken its security.
const SETTABLE: [&str; 5] = [
    "hourglass.",
    "datafusion.execution.",
    "datafusion.explain.",
    "datafusion.optimizer.",
    "datafusion.sql_parser.",
];

/// Maximum values of options on which memory use depends.
const BOUNDED: [(&str, u64); 2] =
    [("datafusion.execution.target_partitions", 64), ("datafusion.execution.batch_size", 65_536)];

/// Options that cannot be set, as statements are parsed before they would apply.
const FIXED: [&str; 2] = ["datafusion.sql_parser.recursion_limit", "datafusion.sql_parser.dialect"];

/// Option for the zone of times without one, which is always UTC, the zone of the results.
const TIME_ZONE: &str = "datafusion.execution.time_zone";

/// Option for the version of the table that statements read.
pub const AS_OF: &str = "hourglass.as_of";

/// State that outlives a statement: the options that `SET` changed.
#[derive(Clone, Debug)]
pub struct Session {
    config: SessionConfig,
    /// The changed options, by name.
    changed: BTreeMap<String, String>,
    /// Version of the table that statements read; `None` for the present.
    as_of: Option<AsOf>,
}

impl Session {
    pub(super) fn new(config: SessionConfig) -> Session {
        Session { config, changed: BTreeMap::new(), as_of: None }
    }

    pub(super) fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// Returns the version of the table that statements read; `None` for the present.
    pub fn as_of(&self) -> Option<AsOf> {
        self.as_of
    }

    /// Returns the options changed so far, by name.
    pub fn changed(&self) -> &BTreeMap<String, String> {
        &self.changed
    }

    /// Reports whether a COPY FROM may be stored in parts.
    pub fn copy_chunks(&self) -> bool {
        let options = self.config.options().extensions.get::<HourglassOptions>();
        options.is_some_and(|options| options.copy_chunks)
    }

    /// Notes who has logged in. (STUB until the catalog lands.)
    pub fn log_in(&mut self, _user: &str, _database: &str, _number: i32) {}

    pub fn get(&self, _name: &str) -> Option<String> {
        None
    }

    pub fn reset_all(&mut self) {}

    pub fn end_local(&mut self) {}

    /// Sets an option, as the statement `SET` does.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        if !SETTABLE.iter().any(|prefix| name.starts_with(prefix)) || FIXED.contains(&name) {
            let families = SETTABLE.map(|prefix| format!("{prefix}*")).join(", ");
            return Err(Error::Invalid(format!(
                "{name} cannot be set here; what can be set is {families}"
            )));
        }
        if name == TIME_ZONE
            && !["UTC", "+00:00", "Z", "ETC/UTC"].contains(&value.to_ascii_uppercase().as_str())
        {
            let reason = "times are answered in UTC: write timestamp AT TIME ZONE 'Europe/Berlin' where another zone's clock counts";
            return Err(Error::Invalid(reason.into()));
        }
        let value = if name == TIME_ZONE { "UTC" } else { value };
        let limit = BOUNDED.iter().find(|(bounded, _)| *bounded == name);
        if let Some((_, limit)) = limit
            && !value.parse::<u64>().is_ok_and(|value| (1..=*limit).contains(&value))
        {
            return Err(Error::Invalid(format!("{name} must be between 1 and {limit}")));
        }
        if name == AS_OF {
            let text = value.trim();
            self.as_of = if text.is_empty() { None } else { Some(AsOf::parse(text)?) };
        }
        if let Err(error) = self.config.options_mut().set(name, value) {
            let reason = Error::from(error).to_string();
            return Err(Error::Invalid(if reason.contains("not found on") {
                format!("there is no option {name}; SHOW ALL lists them")
            } else {
                format!("{name} cannot be {value:?}: {reason}")
            }));
        }
        self.changed.insert(name.to_string(), value.to_string());
        Ok(())
    }

    pub(super) fn reset(&mut self, name: &str, defaults: &ConfigOptions) -> Result<()> {
        let entry = defaults.entries().into_iter().find(|entry| entry.key == name);
        let entry = entry.ok_or_else(|| Error::Invalid(format!("there is no option {name}")))?;
        self.set(name, &entry.value.unwrap_or_default())?;
        self.changed.remove(name);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_zone_of_a_session_stays_utc() {
        let mut session = Session::new(SessionConfig::new());
        session.set(TIME_ZONE, "utc").unwrap();
        let refusal = session.set(TIME_ZONE, "Europe/Berlin").unwrap_err().to_string();
        assert!(refusal.contains("AT TIME ZONE"), "{refusal}");
    }

    #[test]
    fn options_that_reach_beyond_the_session_stay() {
        let mut session = Session::new(SessionConfig::new());
        assert!(session.set("datafusion.runtime.memory_limit", "1G").is_err());
        assert!(session.set("datafusion.execution.target_partitions", "100000").is_err());
        session.set("datafusion.execution.target_partitions", "3").unwrap();
        assert_eq!(session.config().options().execution.target_partitions, 3);
    }
}
