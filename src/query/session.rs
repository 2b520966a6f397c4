//! Session: who it belongs to, and the options and settings that `SET` changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datafusion::config::ConfigOptions;
use datafusion::prelude::SessionConfig;

use super::options::HourglassOptions;
use super::settings::{self, SessionSetting};
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

/// Name of the user and of the database of a session that says none.
const DEFAULT_NAME: &str = "hourglass";

/// Settings of PostgreSQL by name, in the form in which they are kept.
type Kept = BTreeMap<&'static str, String>;

/// State that outlives a statement: the options and settings that `SET` changed. Clones in constant
/// time but for the options.
#[derive(Clone, Debug)]
pub struct Session {
    config: SessionConfig,
    /// The options of this engine as they are without a change.
    defaults: SessionConfig,
    /// The changed options of this engine, by name.
    changed: BTreeMap<String, String>,
    /// Version of the table that statements read; `None` for the present.
    as_of: Option<AsOf>,
    user: Arc<str>,
    database: Arc<str>,
    process: i32,
    /// The changed settings of PostgreSQL.
    settings: Arc<Kept>,
    /// The settings as they were before `SET LOCAL`; `None` if nothing is local.
    outside: Option<Arc<Kept>>,
}

/// A change of a session's settings that a statement asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Set {
        name: String,
        /// `None` for the default.
        value: Option<String>,
        /// Whether the change ends with the transaction.
        is_local: bool,
    },
    ResetAll,
}

impl Session {
    pub(super) fn new(config: SessionConfig) -> Session {
        let (user, database) = (DEFAULT_NAME.into(), DEFAULT_NAME.into());
        let (changed, as_of, settings, outside) = Default::default();
        let defaults = config.clone();
        Session { config, defaults, changed, as_of, user, database, process: 1, settings, outside }
    }

    /// Returns the session of a user that is connected to a database, under the number that
    /// `pg_backend_pid()` returns.
    pub fn connected(mut self, user: &str, database: &str, process: i32) -> Session {
        (self.user, self.database, self.process) = (user.into(), database.into(), process);
        self
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    pub fn database(&self) -> &str {
        &self.database
    }

    pub fn process(&self) -> i32 {
        self.process
    }

    pub(super) fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// Returns the version of the table that statements read; `None` for the present.
    pub fn as_of(&self) -> Option<AsOf> {
        self.as_of
    }

    /// Returns the options of this engine that were changed so far, by name.
    pub fn changed(&self) -> &BTreeMap<String, String> {
        &self.changed
    }

    /// Reports whether a COPY FROM may be stored in parts.
    pub fn copy_chunks(&self) -> bool {
        let options = self.config.options().extensions.get::<HourglassOptions>();
        options.is_some_and(|options| options.copy_chunks)
    }

    /// Returns a setting or an option as `SHOW` shows it; `None` if there is none of this name.
    pub fn get(&self, name: &str) -> Option<String> {
        if let Some(setting) = settings::find(name) {
            return Some(setting.shown(&self.kept(setting)));
        }
        let entries = self.config.options().entries();
        let entry = entries.into_iter().find(|entry| entry.key.eq_ignore_ascii_case(name))?;
        Some(entry.value.unwrap_or_default())
    }

    /// Returns a setting of PostgreSQL in the form in which it is kept.
    pub(super) fn kept(&self, setting: &SessionSetting) -> String {
        // A transaction is as the session's default says, if it says nothing else.
        let default = match setting.name {
            "transaction_isolation" => "default_transaction_isolation",
            "transaction_read_only" => "default_transaction_read_only",
            "transaction_deferrable" => "default_transaction_deferrable",
            "session_authorization" => return self.user.to_string(),
            name => name,
        };
        let kept = self.settings.get(setting.name).or_else(|| self.settings.get(default));
        kept.map_or(setting.default, String::as_str).to_string()
    }

    /// Returns the time limit of statements that the session set, if any.
    pub fn statement_timeout(&self) -> Option<Duration> {
        self.settings.get("statement_timeout").and_then(|kept| settings::duration(kept))
    }

    /// Returns the schemas in which a table without one is looked for, in order; with `implicit`,
    /// also that of the catalogs, which comes first unless the path has it.
    pub(super) fn schemas(&self, implicit: bool) -> Vec<String> {
        let path = self.settings.get("search_path").map(String::as_str);
        let mut schemas = path.and_then(settings::schemas).unwrap_or_else(|| vec!["public".into()]);
        let known = ["public", "system", "pg_catalog", "information_schema"];
        schemas.retain(|schema| known.contains(&schema.as_str()));
        if implicit && !schemas.iter().any(|schema| schema == "pg_catalog") {
            schemas.insert(0, "pg_catalog".into());
        }
        schemas
    }

    /// Changes settings as a statement asks for.
    pub(super) fn change(&mut self, change: Change) -> Result<()> {
        match change {
            Change::ResetAll => self.reset_all(),
            Change::Set { name, value, is_local } => {
                let before = is_local.then(|| self.settings.clone());
                match value {
                    Some(value) => self.set(&name, &value)?,
                    None => {
                        if let Some(setting) = settings::find(&name) {
                            Arc::make_mut(&mut self.settings).remove(setting.name);
                        }
                    }
                }
                if let (Some(before), None) = (before, &self.outside) {
                    self.outside = Some(before);
                }
            }
        }
        Ok(())
    }

    /// Reports whether the settings of PostgreSQL are those of a copy made before.
    pub fn has_settings_of(&self, copy: &Session) -> bool {
        Arc::ptr_eq(&self.settings, &copy.settings)
    }

    /// Sets a setting of PostgreSQL until the transaction ends.
    pub fn set_local(&mut self, name: &str, value: &str) -> Result<()> {
        let (name, value) = (name.into(), Some(value.into()));
        self.change(Change::Set { name, value, is_local: true })
    }

    /// Ends a transaction: what `SET LOCAL` changed is as it was before it.
    pub fn end_transaction(&mut self) {
        if let Some(outside) = self.outside.take() {
            self.settings = outside;
        }
    }

    /// Sets all settings and options to their defaults, as `RESET ALL` does.
    pub fn reset_all(&mut self) {
        (self.config, self.as_of) = (self.defaults.clone(), None);
        self.changed.clear();
        (self.settings, self.outside) = (Arc::default(), None);
    }

    /// Sets an option, as the statement `SET` does.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        if let Some(setting) = settings::find(name) {
            let kept = setting.accept(value)?;
            Arc::make_mut(&mut self.settings).insert(setting.name, kept);
            return Ok(());
        }
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
        // PostgreSQL's other spellings of a boolean; no option takes them as a text.
        let value = match value.to_ascii_lowercase().as_str() {
            "on" | "yes" => "true",
            "off" | "no" => "false",
            _ => value,
        };
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
