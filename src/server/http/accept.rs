//! Content negotiation by the `Accept` header (RFC 9110, section 12.5.1).
//!
//! Each format has the weight of the most specific range that matches it, so `text/csv;q=0, text/*`
//! is TSV. Invalid ranges and weights are ignored. Parameters of a range are not compared: each
//! format has one form.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

/// A client's preference for a format; greater is preferred.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Preference {
    /// Weight from 0 to 1; 0 refuses the format.
    weight: f32,
    /// Specificity of the range that matches the format.
    pub closeness: Closeness,
    /// Breaks ties by order: the negative position of the range, so that the first is the greatest.
    place: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Closeness {
    /// `*/*`
    Any,
    /// `text/*`
    Type,
    /// `text/csv`
    Exact,
}

/// Returns the preference for a format, which may have several media types; `None` if it is not
/// accepted.
pub fn preference(headers: &HeaderMap, names: &[&str]) -> Option<Preference> {
    let mut closest: Option<Preference> = None;
    for (place, range) in (0..).zip(ranges(headers)) {
        let Some((closeness, weight)) = closeness(range, names).zip(weight(range)) else {
            continue;
        };
        // The first of repeated ranges counts.
        if closest.is_none_or(|closest| closest.closeness < closeness) {
            closest = Some(Preference { weight, closeness, place: -place });
        }
    }
    closest.filter(|preference| preference.weight > 0.0)
}

/// Reports whether there is an `Accept` header with any range.
pub fn is_given(headers: &HeaderMap) -> bool {
    ranges(headers).next().is_some()
}

fn ranges(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|range| !range.is_empty())
}

fn closeness(range: &str, names: &[&str]) -> Option<Closeness> {
    let essence = range.split(';').next().unwrap_or_default().trim();
    let (kind, subtype) = match essence {
        // Java's HTTP client sends this for `*/*`.
        "*" => ("*", "*"),
        _ => essence.split_once('/')?,
    };
    match (kind, subtype) {
        ("*", "*") => Some(Closeness::Any),
        (kind, "*") => {
            let is_of = |name: &&str| {
                name.split('/').next().is_some_and(|of| of.eq_ignore_ascii_case(kind))
            };
            names.iter().any(is_of).then_some(Closeness::Type)
        }
        _ => {
            names.iter().any(|name| name.eq_ignore_ascii_case(essence)).then_some(Closeness::Exact)
        }
    }
}

/// Returns the weight of a range, 1 by default; `None` if it is not a number from 0 to 1.
fn weight(range: &str) -> Option<f32> {
    let parameters = range.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    match parameters
        .map(|(name, value)| (name.trim(), value.trim()))
        .find(|(name, _)| name.eq_ignore_ascii_case("q"))
    {
        None => Some(1.0),
        Some((_, value)) => {
            let is_decimal = value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            value.parse().ok().filter(|weight| is_decimal && (0.0..=1.0).contains(weight))
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    /// Returns the preferred one of JSON, CSV and TSV, by its first letter.
    fn best(accept: &'static str) -> Option<&'static str> {
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
        let answers: [&[&str]; 3] = [
            &["application/json"],
            &["text/csv", "application/csv"],
            &["text/tab-separated-values"],
        ];
        let mut best: Option<(Preference, &'static str)> = None;
        for (answer, name) in answers.into_iter().zip(["json", "csv", "tsv"]) {
            let preference = preference(&headers, answer);
            if preference > best.map(|(preference, _)| preference) {
                best = preference.map(|preference| (preference, name));
            }
        }
        best.map(|(_, name)| name)
    }

    #[test]
    fn the_greatest_weight_is_answered_and_zero_is_not() {
        assert_eq!(best("application/json;q=0.5, text/csv"), Some("csv"));
        assert_eq!(best("application/json;q=0, */*"), Some("csv"));
        assert_eq!(
            best("text/csv;q=0.2,application/json;q=0.3;x=1 , text/tab-separated-values; Q=0.9"),
            Some("tsv")
        );
        assert_eq!(best("*/*;q=0"), None);
        assert_eq!(best("application/json;q=0"), None);
        assert_eq!(best("text/csv;q=0.000, text/csv"), None);
    }

    #[test]
    fn the_closest_range_tells_the_weight() {
        assert_eq!(best("text/*, text/csv;q=0"), Some("tsv"));
        assert_eq!(best("*/*;q=0.1, text/*;q=0.9, text/csv;q=0.5"), Some("tsv"));
        assert_eq!(best("*/*, application/json;q=0.1"), Some("csv"));
        assert_eq!(best("Application/*"), Some("json"));
        assert_eq!(best("application/csv"), Some("csv"));
    }

    #[test]
    fn of_two_that_are_wanted_alike_the_one_that_is_named_comes_first() {
        assert_eq!(best("*/*, text/csv"), Some("csv"));
        assert_eq!(best("text/csv, application/json"), Some("csv"));
        assert_eq!(best("application/json, text/plain, */*"), Some("json"), "what axios sends");
        assert_eq!(best("*/*"), Some("json"));
        assert_eq!(
            best("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
            Some("json"),
            "a browser"
        );
        assert_eq!(
            best("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"),
            Some("json"),
            "Java"
        );
    }

    #[test]
    fn what_is_no_range_or_no_weight_is_passed_over() {
        for accept in [
            "text/csv;q=2",
            "text/csv;q=-1",
            "text/csv;q=high",
            "text/csv;q=",
            "text/csv;q=nan",
            "csv",
            "*/csv",
        ] {
            assert_eq!(best(accept), None, "{accept}");
        }
        assert_eq!(best("text/csv;q=2, application/json;q=0.1"), Some("json"));
        assert_eq!(best(", ,text/csv;charset=utf-8;q=1.000,"), Some("csv"));
    }
}
