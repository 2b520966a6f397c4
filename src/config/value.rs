//! Types of settings: parsing, formatting, and a description for error messages.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use axum::http::HeaderValue;
use tracing_subscriber::EnvFilter;

use crate::server::access::Anonymous;
use crate::server::http::Origins;

/// Type of a setting's value. `parse(show(v)) == v` holds for every value.
pub trait Value: Sized {
    /// Description of the accepted values, completing "expected …" in error messages.
    const ACCEPTS: &'static str;
    /// Placeholder for the value in the help.
    const PLACEHOLDER: &'static str;

    fn parse(text: &str) -> Option<Self>;

    fn show(&self) -> String;
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub u64);

/// Units for showing a size, the largest first.
const BYTE_UNITS: [(&str, u64); 4] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl Value for ByteSize {
    const ACCEPTS: &'static str = "a size such as 64MiB, 1.5GB or 65536";
    const PLACEHOLDER: &'static str = "SIZE";

    fn parse(text: &str) -> Option<ByteSize> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
        let has_unit = text.ends_with(|c: char| c.is_ascii_alphabetic());
        let size: bytesize::ByteSize = text.parse().ok()?;
        // The library reads a size that is too large as the largest number.
        (is_plain || has_unit && size.0 < u64::MAX).then_some(ByteSize(size.0))
    }

    fn show(&self) -> String {
        match BYTE_UNITS.iter().find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => format!("{}{unit}", self.0 / factor),
            None => self.0.to_string(),
        }
    }
}

/// Units for showing a duration, the smallest first.
const TIME_UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// No clock counts on beyond it.
const LONGEST: Duration = Duration::from_hours(24 * 366 * 10_000);

impl Value for Duration {
    const ACCEPTS: &'static str = "a duration such as 500ms, 30s, 1h30m or 7d";
    const PLACEHOLDER: &'static str = "DURATION";

    fn parse(text: &str) -> Option<Duration> {
        // Parts of a millisecond are rejected, because `show` could not write them.
        humantime::parse_duration(text)
            .ok()
            .filter(|duration| duration.subsec_nanos().is_multiple_of(1_000_000))
            .filter(|duration| *duration <= LONGEST)
    }

    fn show(&self) -> String {
        let ms = self.as_millis();
        let fits = |(_, factor): &&(&str, u64)| ms > 0 && ms.is_multiple_of(u128::from(*factor));
        let (unit, factor) = TIME_UNITS.iter().rev().find(fits).unwrap_or(&("s", 1_000));
        format!("{}{unit}", ms / u128::from(*factor))
    }
}

/// Maximum distance of a timestamp from the clock; `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach(pub Option<Duration>);

impl Value for Reach {
    const ACCEPTS: &'static str = "none or a duration such as 1h or 400d";
    const PLACEHOLDER: &'static str = "DURATION";

    fn parse(text: &str) -> Option<Reach> {
        match text {
            "none" => Some(Reach(None)),
            _ => Duration::parse(text).map(|duration| Reach(Some(duration))),
        }
    }

    fn show(&self) -> String {
        self.0.map_or_else(|| "none".to_owned(), |duration| duration.show())
    }
}

/// Age at which something ends, of an hour at least; `None` is never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age(pub Option<Duration>);

impl Value for Age {
    const ACCEPTS: &'static str = "none or a duration of at least 1h, such as 400d";
    const PLACEHOLDER: &'static str = "DURATION";

    fn parse(text: &str) -> Option<Age> {
        let Reach(age) = Reach::parse(text)?;
        age.is_none_or(|age| age >= Duration::from_secs(3_600)).then_some(Age(age))
    }

    fn show(&self) -> String {
        Reach(self.0).show()
    }
}

/// Parses a number of digits only; `u64::from_str` would also accept a plus sign.
fn parse_digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A count of at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub u64);

impl Value for Count {
    const ACCEPTS: &'static str = "a whole number of at least 1";
    const PLACEHOLDER: &'static str = "N";

    fn parse(text: &str) -> Option<Count> {
        parse_digits(text).filter(|n| *n > 0).map(Count)
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

/// A number of threads. It has a maximum because more would take minutes to start and use up the
/// memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads(pub u64);

impl Value for Threads {
    const ACCEPTS: &'static str = "a whole number from 1 to 1024";
    const PLACEHOLDER: &'static str = "N";

    fn parse(text: &str) -> Option<Threads> {
        Count::parse(text).filter(|n| n.0 <= 1_024).map(|n| Threads(n.0))
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

/// Size of a file that is allocated in full before it is used. It has a maximum so that a mistaken
/// unit cannot fill the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSize(pub u64);

impl Value for FileSize {
    const ACCEPTS: &'static str = "a size of at most 4GiB, such as 32MiB";
    const PLACEHOLDER: &'static str = "SIZE";

    fn parse(text: &str) -> Option<FileSize> {
        ByteSize::parse(text).filter(|size| size.0 <= 4 << 30).map(|size| FileSize(size.0))
    }

    fn show(&self) -> String {
        ByteSize(self.0).show()
    }
}

impl Value for bool {
    const ACCEPTS: &'static str = "true or false";
    const PLACEHOLDER: &'static str = "BOOL";

    fn parse(text: &str) -> Option<bool> {
        match text {
            "true" | "on" | "yes" | "1" => Some(true),
            "false" | "off" | "no" | "0" => Some(false),
            _ => None,
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for PathBuf {
    const ACCEPTS: &'static str = "a path";
    const PLACEHOLDER: &'static str = "PATH";

    fn parse(text: &str) -> Option<PathBuf> {
        (!text.is_empty()).then(|| PathBuf::from(text))
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

/// An optional folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder(pub Option<PathBuf>);

impl Value for Folder {
    const ACCEPTS: &'static str = "a path, or none";
    const PLACEHOLDER: &'static str = "DIR";

    fn parse(text: &str) -> Option<Folder> {
        match text {
            "none" => Some(Folder(None)),
            text => PathBuf::parse(text).map(|path| Folder(Some(path))),
        }
    }

    fn show(&self) -> String {
        self.0.as_ref().map_or("none".to_owned(), PathBuf::show)
    }
}

/// Requests a second; `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub Option<u64>);

impl Value for Rate {
    const ACCEPTS: &'static str = "none or a number of requests a second, at least 1";
    const PLACEHOLDER: &'static str = "N";

    fn parse(text: &str) -> Option<Rate> {
        match text {
            "none" => Some(Rate(None)),
            text => Count::parse(text).map(|count| Rate(Some(count.0))),
        }
    }

    fn show(&self) -> String {
        self.0.map_or_else(|| "none".to_owned(), |requests| requests.to_string())
    }
}

/// An optional file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionalFile(pub Option<PathBuf>);

impl Value for OptionalFile {
    const ACCEPTS: &'static str = Folder::ACCEPTS;
    const PLACEHOLDER: &'static str = "FILE";

    fn parse(text: &str) -> Option<OptionalFile> {
        Folder::parse(text).map(|file| OptionalFile(file.0))
    }

    fn show(&self) -> String {
        Folder(self.0.clone()).show()
    }
}

/// An optional list of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names(pub Option<Vec<String>>);

impl Value for Names {
    const ACCEPTS: &'static str = "names with commas between them, or as-stored";
    const PLACEHOLDER: &'static str = "NAMES";

    fn parse(text: &str) -> Option<Names> {
        match text {
            "as-stored" => Some(Names(None)),
            text => {
                let names: Vec<String> =
                    text.split(',').map(|name| name.trim().to_owned()).collect();
                names.iter().all(|name| !name.is_empty()).then_some(Names(Some(names)))
            }
        }
    }

    fn show(&self) -> String {
        self.0.as_ref().map_or("as-stored".to_owned(), |names| names.join(","))
    }
}

impl Value for SocketAddr {
    const ACCEPTS: &'static str =
        "an address and a port such as 127.0.0.1:8080, localhost:8080, [::]:8080 or :8080";
    const PLACEHOLDER: &'static str = "ADDR:PORT";

    fn parse(text: &str) -> Option<SocketAddr> {
        if let Some(port) = text.strip_prefix(':') {
            return port.parse().ok().map(|port| SocketAddr::from(([0, 0, 0, 0], port)));
        }
        let resolved = || {
            let addresses: Vec<SocketAddr> = text.to_socket_addrs().ok()?.collect();
            addresses.iter().find(|address| address.is_ipv4()).or(addresses.first()).copied()
        };
        text.parse().ok().or_else(resolved)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// An optional address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionalAddress(pub Option<SocketAddr>);

impl Value for OptionalAddress {
    const ACCEPTS: &'static str =
        "an address and a port such as 127.0.0.1:5432, localhost:5432, [::]:5432 or :5432, or none";
    const PLACEHOLDER: &'static str = SocketAddr::PLACEHOLDER;

    fn parse(text: &str) -> Option<OptionalAddress> {
        match text {
            "none" => Some(OptionalAddress(None)),
            text => SocketAddr::parse(text).map(|address| OptionalAddress(Some(address))),
        }
    }

    fn show(&self) -> String {
        self.0.map_or_else(|| "none".into(), |address| address.to_string())
    }
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `Human` on a terminal, `Json` elsewhere.
    Auto,
    Human,
    Json,
}

impl Value for LogFormat {
    const ACCEPTS: &'static str = "auto, human or json";
    const PLACEHOLDER: &'static str = "FORMAT";

    fn parse(text: &str) -> Option<LogFormat> {
        [LogFormat::Auto, LogFormat::Human, LogFormat::Json]
            .into_iter()
            .find(|format| format.show() == text)
    }

    fn show(&self) -> String {
        match self {
            LogFormat::Auto => "auto",
            LogFormat::Human => "human",
            LogFormat::Json => "json",
        }
        .to_owned()
    }
}

/// Log filter: a level or directives, checked to be valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(pub String);

impl Value for LogFilter {
    const ACCEPTS: &'static str = "a level (error, warn, info, debug, trace, off) or directives such as info,datafusion=debug";
    const PLACEHOLDER: &'static str = "FILTER";

    /// Rejects a single word that is not a level: it is most likely a misspelt level, but the
    /// library would take it as a module's name and silence everything.
    fn parse(text: &str) -> Option<LogFilter> {
        let level = |word: &str| word.parse::<tracing::level_filters::LevelFilter>().is_ok();
        let known = text
            .split(',')
            .all(|directive| directive.contains(['=', ':', '[']) || level(directive.trim()));
        (known && EnvFilter::try_new(text).is_ok()).then(|| LogFilter(text.to_owned()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

impl Value for Origins {
    const ACCEPTS: &'static str =
        "origins such as https://example.com with commas between them, * for any, or none";
    const PLACEHOLDER: &'static str = "ORIGINS";

    fn parse(text: &str) -> Option<Origins> {
        match text {
            "none" => Some(Origins::None),
            "*" => Some(Origins::Any),
            _ => {
                let origins = text.split(',').map(|origin| parse_origin(origin.trim()));
                origins.collect::<Option<Vec<HeaderValue>>>().map(Origins::Only)
            }
        }
    }

    fn show(&self) -> String {
        match self {
            Origins::None => "none".to_owned(),
            Origins::Any => "*".to_owned(),
            Origins::Only(origins) => {
                let origins = origins.iter().map(|origin| origin.to_str().unwrap_or_default());
                origins.collect::<Vec<_>>().join(",")
            }
        }
    }
}

/// Parses an origin as browsers send it: a scheme and a host, and no path.
pub fn parse_origin(text: &str) -> Option<HeaderValue> {
    let (scheme, host) = text.split_once("://")?;
    let is_plain = !host.is_empty()
        && !host.contains(['/', ',', ' '])
        && matches!(scheme, "http" | "https")
        && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    is_plain.then(|| HeaderValue::from_str(text).ok())?
}

/// Names of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts(pub Vec<String>);

impl Value for Hosts {
    const ACCEPTS: &'static str = "names of hosts with commas between them, or none";
    const PLACEHOLDER: &'static str = "NAMES";

    fn parse(text: &str) -> Option<Hosts> {
        if text == "none" {
            return Some(Hosts(Vec::new()));
        }
        let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
        let is_name = |name: &String| !name.is_empty() && !name.contains(['/', ':', ' ']);
        names.iter().all(is_name).then_some(Hosts(names))
    }

    fn show(&self) -> String {
        if self.0.is_empty() { "none".to_owned() } else { self.0.join(",") }
    }
}

/// What those without a token may do; `None` depends on whether there are tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WithoutToken(pub Option<Anonymous>);

impl Value for WithoutToken {
    const ACCEPTS: &'static str = "auto, all, write or none";
    const PLACEHOLDER: &'static str = "WHAT";

    fn parse(text: &str) -> Option<WithoutToken> {
        Some(WithoutToken(match text {
            "auto" => None,
            "all" => Some(Anonymous::All),
            "write" => Some(Anonymous::Write),
            "none" => Some(Anonymous::None),
            _ => return None,
        }))
    }

    fn show(&self) -> String {
        let text = match self.0 {
            None => "auto",
            Some(Anonymous::All) => "all",
            Some(Anonymous::Write) => "write",
            Some(Anonymous::None) => "none",
        };
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_binary_decimal_and_plain_units() {
        for (text, bytes) in [
            ("64MiB", 64 << 20),
            ("512MB", 512_000_000),
            ("8 kib", 8192),
            ("7B", 7),
            ("1.5GiB", 3 << 29),
            ("0", 0),
        ] {
            assert_eq!(ByteSize::parse(text), Some(ByteSize(bytes)), "{text}");
        }
        for text in ["", "MiB", "-1", "+1", "1.5", "1.5.2MB", "16777216TiB", "1XB"] {
            assert_eq!(ByteSize::parse(text), None, "{text}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(Duration::parse("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(Duration::parse("5m"), Some(Duration::from_secs(300)));
        assert_eq!(Duration::parse("2d"), Some(Duration::from_secs(172_800)));
        assert_eq!(Duration::parse("1h 30m"), Some(Duration::from_secs(5_400)));
        for text in ["10", "s", "-1s", "18446744073709551615h", "18446744073709551615s", "20000y"] {
            assert_eq!(Duration::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for bytes in [0, 1, 1000, 1 << 10, 3 << 20, 1 << 40, u64::MAX] {
            assert_eq!(ByteSize::parse(&ByteSize(bytes).show()), Some(ByteSize(bytes)));
        }
        for (ms, shown) in [
            (0, "0s"),
            (1, "1ms"),
            (1500, "1500ms"),
            (90_000, "90s"),
            (60_000, "1m"),
            (86_400_000, "1d"),
        ] {
            let duration = Duration::from_millis(ms);
            assert_eq!(duration.show(), shown);
            assert_eq!(Duration::parse(&duration.show()), Some(duration));
        }
        for text in ["none", "1h"] {
            assert_eq!(Reach::parse(text).unwrap().show(), text);
        }
        assert_eq!(<SocketAddr as Value>::parse(":80"), "0.0.0.0:80".parse().ok());
        assert_eq!(<SocketAddr as Value>::parse("localhost:80"), "127.0.0.1:80".parse().ok());
        assert_eq!(<SocketAddr as Value>::parse("80"), None);
        for text in ["*", "https://example.com,http://localhost:3000", "none"] {
            assert_eq!(Origins::parse(text).unwrap().show(), text);
        }
    }

    /// Bug: segments of 16 EiB filled the disk before the server was ready, and 100,000 threads
    /// took minutes to start. Cure: both settings have a maximum.
    #[test]
    fn threads_and_files_made_in_advance_have_a_bound() {
        assert_eq!(
            [Threads::parse("1024"), Threads::parse("1025"), Threads::parse("0")],
            [Some(Threads(1024)), None, None]
        );
        assert_eq!(FileSize::parse("4GiB").map(|size| size.show()), Some("4GiB".to_owned()));
        assert_eq!([FileSize::parse("5GiB"), FileSize::parse("32TiB")], [None, None]);
    }

    #[test]
    fn a_misspelt_log_level_is_no_filter() {
        assert!(LogFilter::parse("info,hourglass=debug").is_some());
        assert!(LogFilter::parse("infoo").is_none());
        assert!(LogFilter::parse("hourglass=loud").is_none());
    }
}
