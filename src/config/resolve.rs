//! Resolves flags, environment variables and the configuration file into one [`Config`], as a pure
//! function.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use strsim::levenshtein;

use super::settings::{Config, ENV_PREFIX, SETTINGS, Setting, env_name};
use super::source::Source;
use crate::error::{Error, Result};
use crate::query::{self, QueryOptions};

/// Resolved settings, and the source of each.
#[derive(Clone, Debug)]
pub struct Resolved {
    pub config: Config,
    /// One source per setting, in the order of [`SETTINGS`].
    pub sources: Vec<Source>,
}

impl Resolved {
    /// Returns each setting with its value and source, in the order of [`SETTINGS`].
    pub fn rows(&self) -> impl Iterator<Item = (&'static Setting, String, &Source)> {
        SETTINGS
            .iter()
            .zip(self.config.show())
            .zip(&self.sources)
            .map(|((setting, value), source)| (setting, value, source))
    }

    /// Returns the options of the query layer, including all settings for the table
    /// `system.settings`.
    pub fn query_options(&self) -> QueryOptions {
        let shown = |(setting, value, source): (&Setting, String, &Source)| query::Setting {
            name: setting.key.to_owned(),
            value,
            source: source.to_string(),
            help: setting.help.trim().to_owned(),
        };
        QueryOptions { settings: self.rows().map(shown).collect(), ..self.config.query_options() }
    }
}

/// Resolves every setting from the first source that has it: `flags` (by key), `env` (by variable),
/// the `file` (its path and text), or the default. An empty variable counts as absent, because
/// compose files leave variables out that way.
///
/// # Errors
/// [`Error::Config`] for a file that is not TOML, an unknown key, or an invalid value.
pub fn resolve(
    flags: &BTreeMap<&'static str, String>,
    env: &BTreeMap<String, String>,
    file: Option<(&Path, &str)>,
) -> Result<Resolved> {
    let file = match file {
        Some((path, text)) => Some((path, read_keys(path, text)?)),
        None => None,
    };
    let mut sources = Vec::with_capacity(SETTINGS.len());
    let config = Config::build(|key| {
        let name = env_name(key);
        let found = if let Some(text) = flags.get(key) {
            Some((text.clone(), Source::Flag(format!("--{}", key.replace('_', "-")))))
        } else if let Some(text) = env.get(&name).filter(|text| !text.is_empty()) {
            Some((text.clone(), Source::Env(name)))
        } else if let Some((path, keys)) = &file {
            keys.get(key).map(|text| (text.clone(), Source::File(path.to_path_buf())))
        } else {
            None
        };
        sources.push(found.as_ref().map_or(Source::Default, |(_, source)| source.clone()));
        found
    })?;
    Ok(Resolved { config, sources })
}

/// Returns a warning for each variable with our prefix that is not a setting; it is most likely
/// misspelt. These are warnings and not errors, because platforms set such variables: Kubernetes
/// sets `HOURGLASS_PORT` and the like in every pod beside a service of this name. Those are
/// skipped.
pub(super) fn unknown(variables: &BTreeSet<String>) -> Vec<String> {
    let known: Vec<String> =
        SETTINGS.iter().map(Setting::env).chain(["config", "token"].map(env_name)).collect();
    let services: Vec<&str> =
        variables.iter().filter_map(|name| name.strip_suffix("_SERVICE_HOST")).collect();
    let is_platforms = |name: &str| {
        let of_service = |rest: &str| {
            rest.starts_with("_SERVICE_") || rest == "_PORT" || rest.starts_with("_PORT_")
        };
        services.iter().any(|service| name.strip_prefix(service).is_some_and(of_service))
    };
    // Variables of our own tests (docs/guarantees.md).
    let is_tests =
        |name: &str| TESTS.iter().any(|prefix| name[ENV_PREFIX.len()..].starts_with(prefix));
    let ours = variables.iter().filter(|name| name.starts_with(ENV_PREFIX) && !is_tests(name));
    ours.filter(|name| !known.contains(*name) && !is_platforms(name))
        .map(|name| {
            let meant = nearest_name(
                &name[ENV_PREFIX.len()..],
                known.iter().map(|known| &known[ENV_PREFIX.len()..]),
            );
            let hint = meant.map_or("`hourglass config` lists the settings".into(), |meant| {
                format!("did you mean {ENV_PREFIX}{meant}?")
            });
            format!("{name} is the variable of no setting; {hint}")
        })
        .collect()
}

/// Prefixes, after [`ENV_PREFIX`], of variables that tests use.
const TESTS: [&str; 3] = ["TEST_", "SIM_", "ORACLE_"];

/// Returns the closest name by edit distance, if it is only a few edits away.
fn nearest_name<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_ascii_uppercase();
    let near = names.map(|known| (levenshtein(&name, known), known)).min()?;
    (near.0 <= near.1.len().div_ceil(3)).then_some(near.1)
}

/// Parses the file into values by key, as text in the form that flags take.
fn read_keys(path: &Path, text: &str) -> Result<BTreeMap<&'static str, String>> {
    let fault = |reason: String| Error::Config(format!("{}: {reason}", path.display()));
    let table: toml::Table =
        text.parse().map_err(|error: toml::de::Error| fault(error.to_string()))?;
    let mut keys = BTreeMap::new();
    for (key, value) in table {
        let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) else {
            return Err(fault(format!(
                "there is no setting {key:?}; the nearest is {:?}",
                nearest(&key)
            )));
        };
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(truth) => truth.to_string(),
            other => {
                return Err(fault(format!(
                    "{key}: expected a string, a number or a boolean, found {}",
                    other.type_str()
                )));
            }
        };
        keys.insert(setting.key, text);
    }
    Ok(keys)
}

/// Returns the key closest by edit distance.
fn nearest(key: &str) -> &'static str {
    let distances = SETTINGS
        .iter()
        .map(|setting| (levenshtein(&key.replace('-', "_"), setting.key), setting.key));
    distances.min().map_or("", |(_, key)| key)
}

#[cfg(test)]
mod tests {
    use super::super::ByteSize;
    use super::*;

    /// Resolves `key=value` flags and variables, and a file's text.
    fn given(flags: &[(&'static str, &str)], env: &[(&str, &str)], file: &str) -> Result<Resolved> {
        let flags = flags.iter().map(|(key, text)| (*key, text.to_string())).collect();
        let env = env.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
        resolve(&flags, &env, Some((Path::new("h.toml"), file)))
    }

    fn source(resolved: &Resolved, key: &str) -> Source {
        resolved.rows().find(|(setting, ..)| setting.key == key).unwrap().2.clone()
    }

    fn message(resolved: Result<Resolved>) -> String {
        resolved.unwrap_err().to_string()
    }

    #[test]
    fn a_flag_outranks_the_environment_which_outranks_the_file_which_outranks_the_default() {
        let file = "max_uri_bytes = 1\nmax_body_bytes = \"3MiB\"\nquery_memory_bytes = 4";
        let env = [("HOURGLASS_MAX_URI_BYTES", "2"), ("HOURGLASS_MAX_BODY_BYTES", "5KiB")];
        let resolved = given(&[("max_uri_bytes", "9")], &env, file).unwrap();
        assert_eq!(resolved.config.max_uri_bytes, ByteSize(9));
        assert_eq!(resolved.config.max_body_bytes, ByteSize(5 << 10));
        assert_eq!(resolved.config.query_memory_bytes, ByteSize(4));
        assert!(resolved.config.rollups);
        assert_eq!(source(&resolved, "max_uri_bytes"), Source::Flag("--max-uri-bytes".into()));
        assert_eq!(
            source(&resolved, "max_body_bytes"),
            Source::Env("HOURGLASS_MAX_BODY_BYTES".into())
        );
        assert_eq!(source(&resolved, "query_memory_bytes"), Source::File("h.toml".into()));
        assert_eq!(source(&resolved, "rollups"), Source::Default);
    }

    #[test]
    fn an_empty_variable_counts_as_absent() {
        let resolved = given(&[], &[("HOURGLASS_LISTEN", "")], "").unwrap();
        assert_eq!(source(&resolved, "listen"), Source::Default);
    }

    /// Bug: a misspelt variable was ignored silently. Consequence: the default applied, unnoticed.
    /// Cure: commands warn at the start.
    #[test]
    fn an_unknown_variable_is_told_with_the_nearest_one() {
        let told = |names: &[&str]| unknown(&names.iter().map(|name| name.to_string()).collect());
        let known =
            ["HOURGLASS_LISTEN", "HOURGLASS_CONFIG", "HOURGLASS_DATA_DIR", "HOME", "HOURGLASSES"];
        assert_eq!(told(&known), Vec::<String>::new());
        let misspelt =
            told(&["HOURGLASS_DATADIR", "HOURGLASS_listen", "HOURGLASS_FAVOURITE_COLOUR"]);
        let expected = [
            "HOURGLASS_DATADIR is the variable of no setting; did you mean HOURGLASS_DATA_DIR?",
            "HOURGLASS_FAVOURITE_COLOUR is the variable of no setting; `hourglass config` lists the settings",
            "HOURGLASS_listen is the variable of no setting; did you mean HOURGLASS_LISTEN?",
        ];
        assert_eq!(misspelt, expected);
        let kubernetes = [
            "HOURGLASS_SERVICE_HOST",
            "HOURGLASS_SERVICE_PORT",
            "HOURGLASS_PORT",
            "HOURGLASS_PORT_8080_TCP_ADDR",
        ];
        assert_eq!(told(&kubernetes), Vec::<String>::new());
        assert_eq!(told(&["HOURGLASS_PORT"]).len(), 1);
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest_one() {
        let message = message(given(&[], &[], "max-body-byte = 5"));
        assert_eq!(
            message,
            r#"h.toml: there is no setting "max-body-byte"; the nearest is "max_body_bytes""#
        );
    }

    #[test]
    fn a_bad_value_is_answered_with_its_option_source_and_what_is_accepted() {
        let env = message(given(&[], &[("HOURGLASS_HEADER_TIMEOUT", "10")], ""));
        let expected = r#"header_timeout: "10" (from HOURGLASS_HEADER_TIMEOUT) is not accepted; expected a duration such as 500ms, 30s, 1h30m or 7d"#;
        assert_eq!(env, expected);
        assert!(message(given(&[("listen", "8080")], &[], "")).contains("(from --listen)"));
        assert!(message(given(&[], &[], "listen = 8080")).contains("(from h.toml)"));
        assert!(message(given(&[], &[], "listen = [1]")).contains("found array"));
    }

    #[test]
    fn what_is_shown_resolves_to_the_same_settings() {
        let shown =
            given(&[("max_body_bytes", "1000"), ("flush_retry", "1500ms")], &[], "").unwrap();
        let flags = shown.rows().map(|(setting, value, _)| (setting.key, value)).collect();
        assert_eq!(resolve(&flags, &BTreeMap::new(), None).unwrap().config, shown.config);
    }
}
