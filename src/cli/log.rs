//! Logging to standard error: text on a terminal, JSON elsewhere.
//!
//! Logging never blocks or stops the process: a separate thread writes the lines (see
//! [`crate::console`]), and lines that cannot be written are dropped and counted.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;

use chrono::{SecondsFormat, Utc};
use serde_json::{Value, json};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};
use crate::console;
use crate::error::Error;
use crate::text::visible;
use crate::threads;

/// Whether lines are JSON; set when logging starts.
static JSON: OnceLock<bool> = OnceLock::new();

/// Starts logging; later calls are ignored.
pub fn start(config: &Config) {
    let terminal = std::io::stderr().is_terminal();
    let json = is_json(config.log_format, terminal);
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let _ = JSON.set(json);
    console::in_background(lines_lost);
    std::panic::set_hook(Box::new(panicked));
    let filter = EnvFilter::new(directives(&config.log.0));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| console::Stderr);
    // The library reports lines that it cannot write with `eprintln!`, which panics.
    let lines = lines.log_internal_errors(false);
    let _ = if json {
        lines.json().flatten_event(true).with_span_list(false).try_init()
    } else {
        lines.with_ansi(colour).try_init()
    };
}

fn is_json(format: LogFormat, terminal: bool) -> bool {
    match format {
        LogFormat::Auto => !terminal,
        LogFormat::Human => false,
        LogFormat::Json => true,
    }
}

/// Directives that silence the library that reads the Delta log: it logs an error again in every
/// function that passes it on, with a backtrace if `RUST_BACKTRACE` is set. We log the returned
/// error instead.
const SILENCED: &str = "buoyant_kernel=off,delta_kernel=off";

/// Converts the setting to filter directives: a level applies to this program, and libraries log at
/// most warnings and errors unless a directive names them.
fn directives(setting: &str) -> String {
    let ours = |directive: &str| match directive.trim().parse::<LevelFilter>() {
        Ok(level) => {
            format!("{},{}={level}", level.min(LevelFilter::WARN), env!("CARGO_CRATE_NAME"))
        }
        Err(_) => directive.to_string(),
    };
    let directives: Vec<String> = setting.split(',').map(ours).collect();
    format!("{SILENCED},{}", directives.join(","))
}

/// Announces on standard output that the server is ready, as a sentence for people or as a JSON
/// line for machines.
pub fn ready(format: LogFormat, sentence: &str, fields: Value) {
    if is_json(format, std::io::stdout().is_terminal()) {
        console::announce(&json_line("INFO", sentence, fields))
    } else {
        console::announce(sentence)
    }
}

/// Reports why the command failed: as a JSON line if the log is JSON, otherwise as a sentence.
pub fn fatal(error: &Error) {
    match JSON.get() {
        Some(true) => {
            console::tell(&json_line(
                "ERROR",
                &error.to_string(),
                json!({ "exit_code": error.exit_code() }),
            ));
        }
        _ => console::tell(&format!("hourglass: {}", visible(&error.to_string()))),
    }
}

/// Panic hook: logs one line, through the writing thread. It must not panic itself, so it uses only
/// functions that cannot.
fn panicked(info: &PanicHookInfo<'_>) {
    if threads::expects_panic() {
        return;
    }
    let thread = std::thread::current().name().unwrap_or("unnamed").to_string();
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let message = info.payload_as_str().unwrap_or("no message");
    let backtrace = Backtrace::capture();
    let backtrace =
        matches!(backtrace.status(), BacktraceStatus::Captured).then(|| backtrace.to_string());
    let line = match JSON.get() {
        Some(true) => {
            let fields = json!({ "thread": thread, "place": place, "panic": message, "backtrace": backtrace });
            json_line("ERROR", "a thread panicked: this is a bug in hourglass", fields)
        }
        _ => {
            let backtrace = backtrace.map(|trace| format!("\n{trace}")).unwrap_or_default();
            format!("hourglass: the thread {thread} panicked at {place}: {message}{backtrace}")
        }
    };
    console::tell(&line);
}

fn lines_lost(lines: u64) -> String {
    let sentence = "log lines were lost: standard error could not be written to, or was not read";
    match JSON.get() {
        Some(true) => json_line("WARN", sentence, json!({ "lines": lines })),
        _ => format!("hourglass: {lines} {sentence}"),
    }
}

/// Formats a line of the JSON log.
fn json_line(level: &str, message: &str, fields: Value) -> String {
    let timestamp = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
    let mut line = json!({ "timestamp": timestamp, "level": level, "message": message });
    if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields) {
        line.extend(fields.into_iter().filter(|(_, value)| !value.is_null()));
        line.insert("target".into(), env!("CARGO_CRATE_NAME").into());
    }
    line.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_for_our_own_lines_and_libraries_are_heard_from_warn_on() {
        for (setting, meant) in [
            ("info", "warn,hourglass=info"),
            ("debug", "warn,hourglass=debug"),
            ("error", "error,hourglass=error"),
            ("off", "off,hourglass=off"),
            ("info,sqlparser=debug", "warn,hourglass=info,sqlparser=debug"),
            ("hourglass=trace", "hourglass=trace"),
        ] {
            assert_eq!(directives(setting), format!("{SILENCED},{meant}"));
        }
    }

    #[test]
    fn a_line_of_ours_looks_like_one_of_the_log() {
        let line = json_line(
            "INFO",
            "ready \"here\"",
            json!({ "address": "127.0.0.1:1", "backtrace": null }),
        );
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["message"], "ready \"here\"");
        assert_eq!(
            (&line["address"], &line["target"]),
            (&"127.0.0.1:1".into(), &"hourglass".into())
        );
        assert!(
            line["timestamp"].as_str().unwrap().ends_with('Z') && line.get("backtrace").is_none()
        );
    }
}
