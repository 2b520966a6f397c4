//! PostgreSQL's settings, as clients read and set them: `SET`, `SHOW`, `set_config`, `pg_settings`.
//!
//! One table names each setting, its default, and the values that it takes. A value that changes
//! nothing here is accepted and kept; one that would change answers, in a way that this engine does
//! not implement, is refused with the reason. Two have an effect: `search_path` decides what a name
//! without a schema means, `statement_timeout` limits statements.
//!
//! The options of this engine, `hourglass.*` and `datafusion.*`, are not among them.

use std::time::Duration;

use crate::error::{Error, Result};

/// Version of PostgreSQL whose catalogs and settings this engine has.
pub const SERVER_VERSION: &str = "15.0";

/// A setting of PostgreSQL.
#[derive(Debug)]
pub struct SessionSetting {
    /// As PostgreSQL spells it; names are compared without regard to case.
    pub name: &'static str,
    /// In the form in which values are kept: numbers without units.
    pub default: &'static str,
    takes: Takes,
    pub about: &'static str,
}

/// The values that a setting takes.
#[derive(Clone, Copy, Debug)]
enum Takes {
    /// None: it tells what the server is.
    Fixed,
    Bool,
    /// Numbers from the first to the second.
    Integer(i64, i64),
    Real,
    /// A time, kept in milliseconds.
    Time,
    /// A size, kept in kilobytes.
    Size,
    Text,
    /// One of some words.
    OneOf(&'static [&'static str]),
    /// Only values that mean what is done anyway, written in one of these ways; others are refused
    /// for the reason.
    Only(&'static [&'static str], &'static str),
    /// Numbers from the first on; less is refused for the reason.
    AtLeast(i64, &'static str),
    /// A list of schemas.
    Path,
}

use Takes::{AtLeast, Bool, Fixed, Integer, OneOf, Only, Path, Real, Size, Text, Time};

const UTC: &str = "times are answered in UTC: write timestamp AT TIME ZONE 'Europe/Berlin' where another zone's clock counts";
const UTC_NAMES: &[&str] = &[
    "UTC",
    "Etc/UTC",
    "GMT",
    "Etc/GMT",
    "UCT",
    "Etc/UCT",
    "Zulu",
    "Etc/Zulu",
    "Universal",
    "Etc/Universal",
    "Z",
    "+00:00",
    "+00",
    "00:00",
    "0",
    "GMT+0",
    "GMT-0",
    "GMT0",
    "Greenwich",
];
const ISO: &str = "dates are written as in 2024-02-29, and read in this form";
const ISO_NAMES: &[&str] =
    &["ISO, MDY", "ISO", "ISO,MDY", "ISO, DMY", "ISO, YMD", "ISO, US", "ISO, European", "MDY"];
const LOCALE: &str = "texts are compared byte by byte, and numbers, names and messages are English";
const LOCALES: &[&str] =
    &["C", "POSIX", "C.UTF-8", "C.utf8", "en_US.UTF-8", "en_US.utf8", "en_US", ""];
const LEVELS: &[&str] = &["read committed", "read uncommitted", "repeatable read", "serializable"];
const MESSAGES: &[&str] = &[
    "notice", "debug5", "debug4", "debug3", "debug2", "debug1", "debug", "log", "info", "warning",
    "error",
];

const fn setting(
    name: &'static str,
    default: &'static str,
    takes: Takes,
    about: &'static str,
) -> SessionSetting {
    SessionSetting { name, default, takes, about }
}

const fn planner(name: &'static str) -> SessionSetting {
    setting(name, "on", Bool, "Of PostgreSQL's planner; without effect here.")
}

/// All settings, by name.
pub const SETTINGS: &[SessionSetting] = &[
    setting("application_name", "", Text, "Name of the program that the session belongs to."),
    setting(
        "array_nulls",
        "on",
        Only(&["on"], "NULL in an array is a null"),
        "Whether NULL in the text of an array is a null.",
    ),
    setting(
        "backslash_quote",
        "safe_encoding",
        OneOf(&["safe_encoding", "on", "off"]),
        "Without effect: a backslash is an ordinary character.",
    ),
    setting(
        "block_size",
        "8192",
        Fixed,
        "Size of a block in PostgreSQL's files; there are none here.",
    ),
    setting(
        "bytea_output",
        "hex",
        Only(&["hex"], "bytes are written in hexadecimal digits"),
        "How bytes are written.",
    ),
    setting(
        "check_function_bodies",
        "on",
        Bool,
        "Without effect: there are no functions to create.",
    ),
    setting(
        "client_encoding",
        "UTF8",
        Only(&["UTF8", "UTF-8", "unicode", "utf8mb4"], "texts are sent and read as UTF-8"),
        "Encoding of texts.",
    ),
    setting(
        "client_min_messages",
        "notice",
        OneOf(MESSAGES),
        "Least severe message to send; none are.",
    ),
    setting(
        "constraint_exclusion",
        "partition",
        OneOf(&["partition", "on", "off"]),
        "Of PostgreSQL's planner; without effect here.",
    ),
    setting("cpu_tuple_cost", "0.01", Real, "Of PostgreSQL's planner; without effect here."),
    setting("cursor_tuple_fraction", "0.1", Real, "Of PostgreSQL's planner; without effect here."),
    setting("DateStyle", "ISO, MDY", Only(ISO_NAMES, ISO), "How dates are written and read."),
    setting("default_statistics_target", "100", Integer(1, 10_000), "Without effect here."),
    setting(
        "default_table_access_method",
        "heap",
        Text,
        "Without effect: there are no tables to create.",
    ),
    setting("default_tablespace", "", Text, "Without effect: there are no tables to create."),
    setting("default_toast_compression", "pglz", OneOf(&["pglz", "lz4"]), "Without effect here."),
    setting("default_transaction_deferrable", "off", Bool, "Without effect: nothing is locked."),
    setting(
        "default_transaction_isolation",
        "read committed",
        OneOf(LEVELS),
        "Isolation of transactions that say none.",
    ),
    setting(
        "default_transaction_read_only",
        "off",
        Bool,
        "Whether transactions store nothing: INSERT and COPY FROM are refused.",
    ),
    setting(
        "effective_cache_size",
        "4194304",
        Size,
        "Of PostgreSQL's planner; without effect here.",
    ),
    planner("enable_async_append"),
    planner("enable_bitmapscan"),
    planner("enable_gathermerge"),
    planner("enable_hashagg"),
    planner("enable_hashjoin"),
    planner("enable_incremental_sort"),
    planner("enable_indexonlyscan"),
    planner("enable_indexscan"),
    planner("enable_material"),
    planner("enable_memoize"),
    planner("enable_mergejoin"),
    planner("enable_nestloop"),
    planner("enable_parallel_append"),
    planner("enable_parallel_hash"),
    planner("enable_partition_pruning"),
    planner("enable_partitionwise_aggregate"),
    planner("enable_partitionwise_join"),
    planner("enable_seqscan"),
    planner("enable_sort"),
    planner("enable_tidscan"),
    setting("escape_string_warning", "on", Bool, "Without effect: there are no warnings."),
    setting(
        "extra_float_digits",
        "1",
        AtLeast(1, "floats are written with all the digits that they need, as with 1 to 3"),
        "How many digits floats are written with.",
    ),
    setting("from_collapse_limit", "8", Integer(1, i32::MAX as i64), "Without effect here."),
    planner("geqo"),
    setting("gin_fuzzy_search_limit", "0", Integer(0, i32::MAX as i64), "Without effect here."),
    setting(
        "idle_in_transaction_session_timeout",
        "0",
        Time,
        "How long a transaction may be idle.",
    ),
    setting("idle_session_timeout", "0", Time, "How long a session may be idle."),
    setting("in_hot_standby", "off", Fixed, "Whether this is a standby."),
    setting("integer_datetimes", "on", Fixed, "Whether times are integers."),
    setting(
        "IntervalStyle",
        "postgres",
        Only(&["postgres"], "intervals are written as in 1 day 02:00:00"),
        "How intervals are written.",
    ),
    setting("is_superuser", "off", Fixed, "Whether the user is one who may do everything."),
    setting("jit", "off", Bool, "Of PostgreSQL's executor; without effect here."),
    setting("join_collapse_limit", "8", Integer(1, i32::MAX as i64), "Without effect here."),
    setting("lc_collate", "C", Fixed, "How texts are compared: byte by byte."),
    setting("lc_ctype", "C", Fixed, "How characters are classified."),
    setting("lc_messages", "C", Only(LOCALES, LOCALE), "Language of messages."),
    setting("lc_monetary", "C", Only(LOCALES, LOCALE), "Form of amounts of money."),
    setting("lc_numeric", "C", Only(LOCALES, LOCALE), "Form of numbers."),
    setting("lc_time", "C", Only(LOCALES, LOCALE), "Language of days and months."),
    setting("lo_compat_privileges", "off", Bool, "Without effect: there are no large objects."),
    setting("lock_timeout", "0", Time, "How long to wait for a lock; there are none."),
    setting("maintenance_work_mem", "65536", Size, "Without effect here."),
    setting("max_connections", "100", Fixed, "How many clients may be connected."),
    setting("max_function_args", "100", Fixed, "How many arguments a function may have."),
    setting("max_identifier_length", "63", Fixed, "Bytes of a name that PostgreSQL regards."),
    setting(
        "max_index_keys",
        "32",
        Fixed,
        "How many columns an index may have; there are none here.",
    ),
    setting("max_parallel_workers", "8", Integer(0, 1_024), "Without effect here."),
    setting("max_parallel_workers_per_gather", "2", Integer(0, 1_024), "Without effect here."),
    setting(
        "plan_cache_mode",
        "auto",
        OneOf(&["auto", "force_custom_plan", "force_generic_plan"]),
        "Without effect here.",
    ),
    setting(
        "quote_all_identifiers",
        "off",
        Only(&["off"], "names are quoted where they need to be"),
        "Whether all names in the text of a view are quoted.",
    ),
    setting("random_page_cost", "4", Real, "Of PostgreSQL's planner; without effect here."),
    setting("row_security", "on", Bool, "Without effect: no table has policies."),
    setting(
        "search_path",
        "\"$user\", public",
        Path,
        "Schemas in which a table without one is looked for.",
    ),
    setting("seq_page_cost", "1", Real, "Of PostgreSQL's planner; without effect here."),
    setting("server_encoding", "UTF8", Fixed, "Encoding of what is stored."),
    setting(
        "server_version",
        SERVER_VERSION,
        Fixed,
        "Version of PostgreSQL that the catalogs are of.",
    ),
    setting("server_version_num", "150000", Fixed, "The same as a number."),
    setting("session_authorization", "hourglass", Fixed, "The user of the session."),
    setting(
        "session_replication_role",
        "origin",
        OneOf(&["origin", "replica", "local"]),
        "Without effect: there are no triggers.",
    ),
    setting(
        "standard_conforming_strings",
        "on",
        Only(&["on"], "a backslash in a string is an ordinary character"),
        "Whether a backslash in a string is an ordinary character.",
    ),
    setting(
        "statement_timeout",
        "0",
        Time,
        "How long a statement may run, if it is less than the server's query_timeout; 0 for that.",
    ),
    setting("synchronize_seqscans", "on", Bool, "Without effect here."),
    setting(
        "synchronous_commit",
        "on",
        OneOf(&["on", "off", "local", "remote_write", "remote_apply"]),
        "Without effect: what is acknowledged is durable.",
    ),
    setting("tcp_keepalives_idle", "0", Integer(0, i32::MAX as i64), "Without effect here."),
    setting("temp_buffers", "8192", Size, "Without effect here."),
    setting("temp_tablespaces", "", Text, "Without effect here."),
    setting(
        "TimeZone",
        "UTC",
        Only(UTC_NAMES, UTC),
        "The zone of times that are written without one.",
    ),
    setting("transaction_deferrable", "off", Bool, "Without effect: nothing is locked."),
    setting(
        "transaction_isolation",
        "read committed",
        OneOf(LEVELS),
        "Isolation of the transaction.",
    ),
    setting(
        "transaction_read_only",
        "off",
        Bool,
        "Whether the transaction stores nothing: INSERT and COPY FROM are refused.",
    ),
    setting(
        "transform_null_equals",
        "off",
        Only(&["off"], "x = NULL is unknown, write x IS NULL"),
        "Whether x = NULL means x IS NULL.",
    ),
    setting("wal_block_size", "8192", Fixed, "Size of a block in PostgreSQL's log."),
    setting("work_mem", "4096", Size, "Without effect: the memory of statements is measured."),
    setting("xmlbinary", "base64", OneOf(&["base64", "hex"]), "Without effect: there is no XML."),
    setting(
        "xmloption",
        "content",
        OneOf(&["content", "document"]),
        "Without effect: there is no XML.",
    ),
];

/// Finds a setting by its name in any case.
pub fn find(name: &str) -> Option<&'static SessionSetting> {
    SETTINGS.iter().find(|setting| setting.name.eq_ignore_ascii_case(name))
}

impl SessionSetting {
    /// Returns the value in the form in which it is kept.
    ///
    /// # Errors
    /// [`Error::Invalid`] says which values are taken, or why this one is not.
    pub fn accept(&self, value: &str) -> Result<String> {
        let name = self.name;
        let taken = value.trim();
        let of = |kept: Option<String>, takes: &str| {
            kept.ok_or_else(|| {
                Error::Invalid(format!("{name} cannot be '{taken}': it takes {takes}"))
            })
        };
        match self.takes {
            Fixed if taken.eq_ignore_ascii_case(self.default) => Ok(self.default.into()),
            Fixed => Err(Error::Invalid(format!(
                "{name} cannot be changed: it tells what this server is"
            ))),
            Bool => of(switch(taken).map(Into::into), "on or off"),
            Integer(least, most) => {
                let number =
                    taken.parse().ok().filter(|number: &i64| (least..=most).contains(number));
                of(
                    number.map(|number| number.to_string()),
                    &format!("a number from {least} to {most}"),
                )
            }
            Real => of(
                taken.parse().ok().filter(|real: &f64| real.is_finite()).map(|_| taken.into()),
                "a number",
            ),
            Time => of(
                scaled(taken, TIMES).map(|ms| ms.to_string()),
                "a time, as in 500, 30s or 5min; a number is milliseconds",
            ),
            Size => of(
                scaled(taken, SIZES).map(|kb| kb.to_string()),
                "a size, as in 64MB; a number is kilobytes",
            ),
            Text => Ok(value.into()),
            OneOf(words) => {
                let word = words.iter().find(|word| word.eq_ignore_ascii_case(taken));
                of(word.map(|word| (*word).into()), &words.join(", "))
            }
            Only(ways, reason) => {
                let taken = if ways == ["on"] || ways == ["off"] {
                    switch(taken).unwrap_or(taken)
                } else {
                    taken
                };
                match ways.iter().any(|way| way.eq_ignore_ascii_case(taken)) {
                    true => Ok(ways[0].into()),
                    false => Err(Error::Invalid(format!("{name} cannot be '{taken}': {reason}"))),
                }
            }
            AtLeast(least, reason) => match taken.parse::<i64>() {
                Ok(number) if number < least => {
                    Err(Error::Invalid(format!("{name} cannot be {number}: {reason}")))
                }
                number => of(number.ok().map(|number| number.to_string()), "a number"),
            },
            Path => of(
                schemas(taken).map(|_| taken.into()),
                "names of schemas, with commas between them",
            ),
        }
    }

    /// Returns a kept value as `SHOW` shows it: times and sizes with their unit.
    pub fn shown(&self, kept: &str) -> String {
        let units = match self.takes {
            Time => TIMES,
            Size => SIZES,
            _ => return kept.into(),
        };
        let number = kept.parse::<u64>().unwrap_or_default();
        let fits = |(_, scale): &&(&str, u64)| *scale > 0 && number.is_multiple_of(*scale);
        match units.iter().rev().find(fits) {
            Some((unit, scale)) if number > 0 => format!("{}{unit}", number / scale),
            _ => number.to_string(),
        }
    }

    /// Returns when the setting may be changed, as `pg_settings.context` says it.
    pub fn context(&self) -> &'static str {
        if matches!(self.takes, Fixed) { "internal" } else { "user" }
    }

    /// Returns the type of the values, as `pg_settings.vartype` says it.
    pub fn kind(&self) -> &'static str {
        match self.takes {
            Bool => "bool",
            Integer(..) | AtLeast(..) | Time | Size => "integer",
            Real => "real",
            OneOf(_) => "enum",
            Only(ways, _) if ways == ["on"] || ways == ["off"] => "bool",
            Fixed | Text | Only(..) | Path => "string",
        }
    }

    /// Returns the unit of a kept number.
    pub fn unit(&self) -> Option<&'static str> {
        match self.takes {
            Time => Some("ms"),
            Size => Some("kB"),
            _ => None,
        }
    }

    /// Returns the words of which the value is one.
    pub fn words(&self) -> Option<&'static [&'static str]> {
        if let OneOf(words) = self.takes { Some(words) } else { None }
    }
}

/// Units of times, and how many milliseconds each has.
const TIMES: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
/// Units of sizes, and how many kilobytes each has.
const SIZES: &[(&str, u64)] = &[("kB", 1), ("MB", 1 << 10), ("GB", 1 << 20), ("TB", 1 << 30)];

fn switch(value: &str) -> Option<&'static str> {
    match value.to_ascii_lowercase().as_str() {
        "on" | "true" | "t" | "yes" | "y" | "1" => Some("on"),
        "off" | "false" | "f" | "no" | "n" | "0" => Some("off"),
        _ => None,
    }
}

/// Reads a number with or without a unit; without one it counts the first unit.
fn scaled(value: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    let (number, unit) = (value[..digits].parse::<f64>().ok()?, value[digits..].trim());
    let scale = match unit {
        "" => 1,
        unit => units.iter().find(|(name, _)| *name == unit)?.1,
    };
    let scaled = (number * scale as f64).round();
    (0.0..=f64::from(i32::MAX)).contains(&scaled).then_some(scaled as u64)
}

/// Returns a time that is kept in milliseconds; `None` for 0, which means no limit.
pub fn duration(kept: &str) -> Option<Duration> {
    kept.parse().ok().filter(|ms| *ms > 0).map(Duration::from_millis)
}

/// Splits a list of schemas; `None` if it is none.
pub fn schemas(path: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = path.trim();
    while !rest.is_empty() {
        let (name, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (name, after) = quoted.split_once('"')?;
                (name.to_string(), after)
            }
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let name = rest[..end].trim().trim_matches('\'').to_lowercase();
                if name.contains(['"', ' ']) {
                    return None;
                }
                (name, &rest[end..])
            }
        };
        names.push(name);
        rest = after.trim_start();
        if !rest.is_empty() {
            rest = rest.strip_prefix(',')?.trim_start();
        }
    }
    names.retain(|name| !name.is_empty());
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(name: &str, value: &str) -> std::result::Result<String, String> {
        find(name).unwrap().accept(value).map_err(|error| error.to_string())
    }

    #[test]
    fn every_default_is_a_value_that_its_setting_takes() {
        for setting in SETTINGS {
            assert_eq!(
                setting.accept(setting.default).as_deref().ok(),
                Some(setting.default),
                "{}",
                setting.name
            );
        }
        let names: Vec<String> =
            SETTINGS.iter().map(|setting| setting.name.to_lowercase()).collect();
        assert!(names.is_sorted(), "by name");
    }

    #[test]
    fn values_are_kept_in_one_form_and_shown_with_units() {
        assert_eq!(kept("timezone", "utc").unwrap(), "UTC");
        assert_eq!(kept("JIT", "FALSE").unwrap(), "off");
        assert_eq!(kept("statement_timeout", "1.5s").unwrap(), "1500");
        let shown =
            |name: &str, value: &str| find(name).unwrap().shown(&kept(name, value).unwrap());
        assert_eq!(shown("statement_timeout", "90000"), "90s");
        assert_eq!(shown("statement_timeout", "0"), "0");
        assert_eq!(shown("work_mem", "65536"), "64MB");
    }

    #[test]
    fn what_would_change_answers_is_refused_with_the_reason() {
        for (name, value, reason) in [
            ("timezone", "Europe/Berlin", "AT TIME ZONE"),
            ("datestyle", "German", "2024-02-29"),
            ("extra_float_digits", "0", "all the digits"),
            ("server_version", "16", "cannot be changed"),
            ("statement_timeout", "soon", "30s"),
        ] {
            let refusal = kept(name, value).unwrap_err();
            assert!(refusal.contains(reason), "{name}: {refusal}");
        }
    }

    #[test]
    fn a_path_is_a_list_of_names() {
        assert_eq!(schemas("\"$user\", Public").unwrap(), ["$user", "public"]);
        assert_eq!(schemas("").unwrap(), Vec::<String>::new());
        assert!(schemas("a b").is_none());
    }
}
