//! Command-line flags of the settings, generated from the table.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, FromArgMatches, value_parser};

use super::resolve::{self, Resolved, resolve};
use super::settings::{ENV_PREFIX, SETTINGS, env_name};
use crate::error::{Error, Result};

/// Parsed flags: `--config FILE`, and the text of each setting given as a flag.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    pub config: Option<PathBuf>,
    pub settings: BTreeMap<&'static str, String>,
}

/// Returns warnings about environment variables of this process that have our prefix but are not
/// settings.
pub fn unknown_variables() -> Vec<String> {
    let set = std::env::vars_os().filter(|(_, text)| !text.is_empty());
    resolve::unknown(&set.filter_map(|(name, _)| name.into_string().ok()).collect())
}

impl Flags {
    /// Resolves the settings from these flags, the environment of this process, and the
    /// configuration file that one of the two names.
    pub fn load(&self) -> Result<Resolved> {
        let env: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, text)| {
                Some((name.into_string().ok()?, text.to_string_lossy().into_owned()))
            })
            .filter(|(name, _)| name.starts_with(ENV_PREFIX))
            .collect();
        let named = env.get(&env_name("config")).filter(|path| !path.is_empty());
        let path = self.config.clone().or(named.map(PathBuf::from));
        let text = match &path {
            Some(path) => Some(std::fs::read_to_string(path).map_err(|cause| {
                Error::Config(format!(
                    "{}: the configuration file cannot be read: {cause}",
                    path.display()
                ))
            })?),
            None => None,
        };
        resolve(&self.settings, &env, path.as_deref().zip(text.as_deref()))
    }
}

impl clap::Args for Flags {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help("TOML file of settings, as `hourglass config --format toml` prints it [env: HOURGLASS_CONFIG]");
        let settings = SETTINGS.iter().map(|setting| {
            let help = setting.help.trim().trim_end_matches('.');
            let arg = Arg::new(setting.key)
                .long(setting.flag)
                .value_name(setting.placeholder)
                .help_heading("Settings")
                .help(format!(
                    "{help} [default: {}] [env: {}]",
                    (setting.default)(),
                    setting.env()
                ));
            if setting.switch { arg.num_args(0..=1).default_missing_value("true") } else { arg }
        });
        command.arg(config).args(settings)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Flags::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Flags, clap::Error> {
        let mut flags = Flags::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        if let Some(path) = matches.get_one::<PathBuf>("config") {
            self.config = Some(path.clone());
        }
        for setting in SETTINGS {
            if let Some(text) = matches.get_one::<String>(setting.key) {
                self.settings.insert(setting.key, text.clone());
            }
        }
        Ok(())
    }
}
