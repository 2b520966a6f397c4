//! Log lines on standard error: for people on a terminal, as JSON for machines.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};

/// Libraries that tell every step of theirs at `info`. Directives of the setting come after and override these.
const QUIET: &str = "deltalake=warn,deltalake_core=warn,delta_kernel=warn,buoyant_kernel=warn,datafusion=warn,object_store=warn,\
                     parquet=warn,hyper=warn,hyper_util=warn,h2=warn";

/// Starts logging for the rest of the process; a second start is ignored.
pub fn start(config: &Config) {
    let terminal = std::io::stderr().is_terminal();
    let json = match config.log_format {
        LogFormat::Auto => !terminal,
        LogFormat::Human => false,
        LogFormat::Json => true,
    };
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let filter = EnvFilter::new(format!("{QUIET},{}", config.log.0));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = match json {
        true => lines.json().flatten_event(true).with_span_list(false).try_init(),
        false => lines.with_ansi(colour).try_init(),
    };
}
