//! Text formatting for people: numbers, sizes, durations, terminal-safe text, and spelling
//! suggestions.

use std::borrow::Cow;
use std::time::Duration;

use strsim::levenshtein;

/// Formats a number with thousands separators: 218,881.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a count of things: 1 hour, 2,000 hours.
pub fn count(n: u64, thing: &str) -> String {
    format!("{} {thing}{}", thousands(n), if n == 1 { "" } else { "s" })
}

/// Formats bytes in decimal units with about three digits: 512 B, 41 KB, 1.2 GB.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["KB", "MB", "GB", "TB", "PB"];
    if n < 1_000 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1e3;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1e3;
        unit += 1;
    }
    if value < 9.95 {
        format!("{value:.1} {}", UNITS[unit])
    } else {
        format!("{value:.0} {}", UNITS[unit])
    }
}

/// Formats a duration: 0.4 ms, 12.3 ms, 1.52 s, 3 min 20 s.
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    match seconds {
        ..0.9995 => format!("{:.1} ms", seconds * 1e3),
        ..59.995 => format!("{seconds:.2} s"),
        _ => format!("{} min {} s", span.as_secs() / 60, span.as_secs() % 60),
    }
}

/// Strips the backtraces that libraries add to error texts when `RUST_BACKTRACE` is set.
pub fn without_backtrace(text: &str) -> String {
    let is_frame = |line: &&str| {
        let line = line.trim_start();
        let number = line.bytes().take_while(u8::is_ascii_digit).count();
        line.starts_with("at ") || (number > 0 && line[number..].starts_with(": "))
    };
    let kept = text.lines().filter(|line| !line.starts_with(' ') || !is_frame(line));
    kept.collect::<Vec<_>>().join("\n").trim_end().to_string()
}

/// Makes text safe to print on a terminal: invisible characters (control characters, zero widths,
/// direction overrides, unassigned code points) are escaped as Rust writes them, `\u{202e}`. Line
/// ends and tabs are kept.
pub fn visible(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| matches!(c, ' '..='~' | '\n' | '\t') || !is_invisible(c);
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_plain(c) { shown.push(c) } else { shown.extend(c.escape_unicode()) }
    }
    Cow::Owned(shown)
}

/// Reports whether a character is invisible. The standard library covers the categories Cc, Cf, Cn,
/// Co, Zl and Zp; the table adds the rest of Unicode's `Default_Ignorable_Code_Point`.
fn is_invisible(c: char) -> bool {
    const IGNORABLE: [(char, char); 9] = [
        ('\u{34f}', '\u{34f}'),
        ('\u{115f}', '\u{1160}'),
        ('\u{17b4}', '\u{17b5}'),
        ('\u{180b}', '\u{180f}'),
        ('\u{2800}', '\u{2800}'), // Braille blank: printable, but drawn as nothing.
        ('\u{3164}', '\u{3164}'),
        ('\u{fe00}', '\u{fe0f}'),
        ('\u{ffa0}', '\u{ffa0}'),
        ('\u{e0000}', '\u{e0fff}'),
    ];
    // `escape_debug` escapes a combining mark only as the first character, so one is put before it.
    // Spaces of any width count as visible.
    let mut bytes = [b'a'; 5];
    let length = 1 + c.encode_utf8(&mut bytes[1..]).len();
    let pair = std::str::from_utf8(&bytes[..length]).expect("two characters");
    let is_space =
        c.is_whitespace() && !matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | ..='\u{1f}');
    let is_unprintable = !matches!(c, '\'' | '"' | '\\') && pair.escape_debug().nth(1) != Some(c);
    (is_unprintable && !is_space)
        || IGNORABLE.iter().any(|(first, last)| (*first..=*last).contains(&c))
}

/// Returns the names closest to `name` by edit distance, in the order given; empty if all are far.
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let distances: Vec<_> =
        names.into_iter().map(|known| (levenshtein(name, known), known)).collect();
    let least = distances.iter().map(|(distance, _)| *distance).min().unwrap_or(0);
    let near = least <= name.len().div_ceil(2);
    distances
        .into_iter()
        .filter(|(distance, _)| near && *distance == least)
        .map(|(_, known)| known)
        .collect()
}

/// Returns the users that a text names, one a line. It may begin with a byte order mark.
pub fn user_lines(text: &str) -> Vec<String> {
    let lines = text.trim_start_matches('\u{feff}').lines();
    lines.filter(|line| !line.is_empty()).map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_have_units() {
        assert_eq!([0, 999, 1_000, 218_881].map(thousands), ["0", "999", "1,000", "218,881"]);
        assert_eq!(
            [999, 1_000, 41_234, 999_499, 1_249_999].map(bytes),
            ["999 B", "1.0 KB", "41 KB", "999 KB", "1.2 MB"]
        );
        let spans = [400, 12_340, 1_520_000, 200_000_000].map(|us| span(Duration::from_micros(us)));
        assert_eq!(spans, ["0.4 ms", "12.3 ms", "1.52 s", "3 min 20 s"]);
    }

    #[test]
    fn an_error_loses_its_backtrace_and_nothing_else() {
        let text = "no commit 3\n   0: std::backtrace::capture\n             at /rustc/x/lib.rs:331:13\n  10: main\nlook at it";
        assert_eq!(without_backtrace(text), "no commit 3\nlook at it");
        let text = "at 10: it is\n  - at noon\n1: one";
        assert_eq!(without_backtrace(text), text);
    }

    #[test]
    fn what_cannot_be_seen_is_escaped_and_the_rest_stays() {
        for text in [
            "plain\ttext\n",
            "Zoë's \"\\\"",
            "e\u{301}",
            "日本　東京",
            "שלום",
            "👍🏽",
            "a\u{a0}b",
            "ｱ",
        ] {
            assert!(matches!(visible(text), Cow::Borrowed(_)), "{text:?} is {}", visible(text));
        }
        for invisible in "\0\r\u{1b}\u{7f}\u{85}\u{9b}\u{ad}\u{34f}\u{61c}\u{115f}\u{180e}\u{200b}\u{200d}\u{200e}\u{202e}\u{2028}\u{2029}\
                          \u{2060}\u{2066}\u{2069}\u{2800}\u{3164}\u{fe0f}\u{feff}\u{fff9}\u{ffa0}\u{fffe}\u{e000}\u{1d173}\u{e0001}\u{e0041}\u{e01ef}\u{10ffff}"
            .chars()
        {
            let expected = format!("a\\u{{{:x}}}b", u32::from(invisible));
            assert_eq!(visible(&format!("a{invisible}b")), expected);
        }
    }

    #[test]
    fn a_name_with_a_slip_is_known_and_a_strange_one_is_not() {
        let names = ["timing", "watch", "run"];
        assert_eq!(nearest("timng", names), ["timing"]);
        assert!(nearest("zzzzzzzz", names).is_empty());
    }
}
