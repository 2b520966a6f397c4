//! Text for people: numbers with their thousands apart, bytes and times with their unit, the name that was meant.

use std::time::Duration;

/// A number with its thousands apart: 218,881.
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

/// Bytes in decimal units, three digits or so: 512 B, 41 KB, 1.2 GB.
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
    match value < 9.95 {
        true => format!("{value:.1} {}", UNITS[unit]),
        false => format!("{value:.0} {}", UNITS[unit]),
    }
}

/// A time span: 0.4 ms, 12.3 ms, 1.52 s, 3 min 20 s.
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    match seconds {
        ..0.9995 => format!("{:.1} ms", seconds * 1e3),
        ..59.995 => format!("{seconds:.2} s"),
        _ => format!("{} min {} s", span.as_secs() / 60, span.as_secs() % 60),
    }
}

/// An error's text without the backtraces that libraries write into it where `RUST_BACKTRACE` is set.
pub fn without_backtrace(text: &str) -> String {
    let is_frame = |line: &&str| {
        let line = line.trim_start();
        let number = line.bytes().take_while(u8::is_ascii_digit).count();
        line.starts_with("at ") || (number > 0 && line[number..].starts_with(": "))
    };
    let kept = text.lines().filter(|line| !line.starts_with(' ') || !is_frame(line));
    kept.collect::<Vec<_>>().join("\n").trim_end().to_string()
}

/// The names that are the fewest edits from `name`, in the order given; none when all are far.
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let distances: Vec<_> = names.into_iter().map(|known| (edits(name, known), known)).collect();
    let least = distances.iter().map(|(distance, _)| *distance).min().unwrap_or(0);
    let near = least <= name.len().div_ceil(2);
    distances.into_iter().filter(|(distance, _)| near && *distance == least).map(|(_, known)| known).collect()
}

/// The Levenshtein distance in bytes, by Wagner and Fischer's dynamic programme over one row.
pub fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.bytes().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
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
    fn a_name_with_a_slip_is_known_and_a_strange_one_is_not() {
        let names = ["timing", "watch", "run"];
        assert_eq!(nearest("timng", names), ["timing"]);
        assert!(nearest("zzzzzzzz", names).is_empty());
        assert_eq!([edits("kitten", "sitting"), edits("", "abc")], [3, 3]);
    }
}
