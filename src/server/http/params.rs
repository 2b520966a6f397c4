//! Query strings: parsed strictly, and without allocation unless a value must be decoded.
//!
//! A query string is form-encoded (WHATWG URL, section 5.1): `&` between pairs, `=` between name
//! and value, `+` for a space, `%XX` for a byte; the bytes are UTF-8. It is stricter than the
//! standard in one point: a percent sign that begins no escape is an error, because the sender must
//! have meant something else. Unknown parameters are ignored, because pages append cache-busters.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::IntErrorKind;

use axum::http::HeaderMap;

use super::paths::Route;
use crate::event::{
    Event, EventKind, EventSchema, Key, Rejection, ValueColumn, Values, check_timestamp_ms,
    check_user, check_value,
};

/// Validated parameters of a POST.
#[derive(Debug, PartialEq, Eq)]
pub struct EventParams<'q> {
    pub timestamp_us: i64,
    pub user: Cow<'q, str>,
    pub kind: EventKind,
    /// The idempotency key, if given.
    pub key: Option<Key>,
    /// The values of dimensions, each in the first row of a column.
    pub values: Vec<ValueColumn>,
    /// Number of parameters that mean nothing here.
    pub ignored: usize,
}

impl EventParams<'_> {
    pub fn event(&self) -> Event<'_> {
        let values = Values::of(&self.values, 0);
        Event { timestamp_us: self.timestamp_us, user: &self.user, kind: self.kind, values }
    }
}

/// Parses the event in a POST's query string.
pub fn event<'q>(schema: &EventSchema, query: &'q str) -> Result<EventParams<'q>, Rejection> {
    let ([timestamp, user, event, id, _], mut ignored) = find(query, EVENT)?;
    let (timestamp, user, event) =
        (required(timestamp, "timestamp")?, required(user, "user")?, required(event, "event")?);
    let user = decode(user, "user")?;
    check_user(&user)?;
    let kind = schema.check_event(&decode(event, "event")?)?;
    let timestamp_us = timestamp_us(timestamp)?;
    let key = id.map(|id| Key::new(&decode(id, "id")?)).transpose()?;
    // Without dimensions, or where every parameter is known, nothing more is looked for.
    let values = if schema.dimensions().is_empty() || ignored == 0 {
        Vec::new()
    } else {
        values(schema, query, &mut ignored)?
    };
    Ok(EventParams { timestamp_us, user, kind, key, values, ignored })
}

/// Returns the token in the query string of who sends events.
pub fn token(query: &str) -> Option<String> {
    text(query, TOKEN).ok().flatten()
}

/// Parses the values of dimensions, and takes their number off `ignored`. An empty value is an
/// absent one.
fn values(
    schema: &EventSchema,
    query: &str,
    ignored: &mut usize,
) -> Result<Vec<ValueColumn>, Rejection> {
    let mut columns: Vec<ValueColumn> = Vec::new();
    for (name, value) in parameters(query) {
        let name = decode(name, "the query string").unwrap_or_default();
        let Some(dimension) = schema.dimension(&name) else { continue };
        *ignored -= 1;
        let refused = |reason| Rejection::new(name.clone().into_owned(), reason);
        let value = decode(value, "the query string").map_err(|fault| refused(fault.reason))?;
        check_value(&value).map_err(refused)?;
        let at = columns.binary_search_by_key(&(dimension as u8), |column| column.dimension);
        let Err(at) = at else { return Err(refused("is given more than once".into())) };
        let mut column = ValueColumn::new(dimension as u8);
        column.set(0, &value);
        columns.insert(at, column);
    }
    Ok(columns)
}

/// Parses the timestamp in a GET's query string, and returns microseconds.
pub fn timestamp(query: &str) -> Result<i64, Rejection> {
    let ([timestamp], _) = find(query, HOUR)?;
    timestamp_us(required(timestamp, "timestamp")?)
}

/// Returns the idempotency key of a request: from its `Idempotency-Key` header
/// (draft-ietf-httpapi-idempotency-key-header, section 2.1: a quoted string; without quotes it is
/// taken verbatim), or from its `id` parameter.
pub fn key(headers: &HeaderMap, id: Option<Key>) -> Result<Option<Key>, Rejection> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(id) };
    let text = value
        .to_str()
        .map_err(|_| Rejection::new("id", "must be plain text in the Idempotency-Key header"))?;
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let key = Key::new(quoted.unwrap_or(text))?;
    if values.next().is_some() || id.is_some_and(|id| id != key) {
        Err(Rejection::new("id", "is given twice, with different values"))
    } else {
        Ok(Some(key))
    }
}

/// Returns the format that a URL names.
pub fn format(query: &str) -> Result<Option<Cow<'_, str>>, Rejection> {
    let ([format], _) = find(query, [FORMAT])?;
    format.map(|format| decode(format, FORMAT)).transpose()
}

/// Returns the version of the table, or the time, that a URL names.
pub fn as_of(query: &str) -> Result<Option<Cow<'_, str>>, Rejection> {
    let ([as_of], _) = find(query, [AS_OF])?;
    as_of.map(|as_of| decode(as_of, AS_OF)).transpose()
}

/// Parameters of an event, beside the dimensions of the store.
pub const EVENT: [&str; 5] = ["timestamp", "user", "event", "id", TOKEN];

/// Parameters of the question about an hour.
pub const HOUR: [&str; 1] = ["timestamp"];

/// URL parameter with the statement to run.
pub const STATEMENT: &str = "q";

/// Returns the parameters of a request of an administrator.
pub fn of_admin(route: Route) -> &'static [&'static str] {
    match route {
        Route::Compact | Route::Retain => &["dry_run"],
        Route::Forget => &["user", "now"],
        _ => &[],
    }
}

/// URL parameter that names the result's format.
pub const FORMAT: &str = "format";

/// URL parameter with the token of who sends events. No dimension can have this name.
pub const TOKEN: &str = "token";

/// URL parameter that names the version of the table to read.
pub const AS_OF: &str = "as_of";

/// URL parameters that are not parameters of the statement.
pub const RESERVED: [&str; 2] = [FORMAT, AS_OF];

/// Returns all parameters by name, decoded.
pub fn pairs(query: &str) -> Result<BTreeMap<String, String>, Rejection> {
    let mut pairs = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name, "the query string")?.into_owned();
        let value = decode(value, "the query string")?.into_owned();
        if pairs.insert(name, value).is_some() {
            return Err(Rejection::new("the query string", "gives a parameter more than once"));
        }
    }
    Ok(pairs)
}

/// Returns the names and values of a query string, not decoded.
fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Finds the raw values of `names`; each may be given at most once. Returns them with the number of
/// other parameters.
fn find<'q, const N: usize>(
    query: &'q str,
    names: [&'static str; N],
) -> Result<([Option<&'q str>; N], usize), Rejection> {
    let (mut values, mut others) = ([None; N], 0);
    for (name, value) in parameters(query) {
        let Some(i) = names.iter().position(|wanted| is_named(name, wanted)) else {
            others += 1;
            continue;
        };
        if values[i].replace(value).is_some() {
            return Err(Rejection::new(names[i], "is given more than once"));
        }
    }
    Ok((values, others))
}

/// Rejects a query string with other parameters than `names`: what changes the store must not pass
/// over one that was meant to prevent it.
pub fn only(query: &str, names: &[&'static str]) -> Result<(), Rejection> {
    let is_known = |name: &str| names.iter().any(|known| is_named(name, known));
    match parameters(query).find(|(name, _)| !name.is_empty() && !is_known(name)) {
        None => Ok(()),
        Some(_) if names.is_empty() => {
            Err(Rejection::new("the query string", "must be empty: nothing can be set here"))
        }
        Some(_) => {
            let known = names.join(" and ");
            Err(Rejection::new("the query string", format!("may have {known}, and nothing else")))
        }
    }
}

/// Returns the value of an optional parameter.
pub fn text(query: &str, name: &'static str) -> Result<Option<String>, Rejection> {
    let ([value], _) = find(query, [name])?;
    value.map(|value| decode(value, name).map(Cow::into_owned)).transpose()
}

/// Returns whether the switch `name` is on: it is given without a value, or with `true` or `1`.
pub fn switch(query: &str, name: &'static str) -> Result<bool, Rejection> {
    let ([value], _) = find(query, [name])?;
    match value {
        None | Some("false" | "0") => Ok(false),
        Some("" | "true" | "1") => Ok(true),
        Some(_) => Err(Rejection::new(name, "must be true or false")),
    }
}

fn required<'q>(value: Option<&'q str>, name: &'static str) -> Result<&'q str, Rejection> {
    match value {
        None => Err(Rejection::new(name, "is missing")),
        Some("") => Err(Rejection::new(name, "must not be empty")),
        Some(value) => Ok(value),
    }
}

/// Reports whether an encoded name equals `wanted`. Names may be escaped like values, but rarely
/// are.
fn is_named(name: &str, wanted: &'static str) -> bool {
    name == wanted || (name.contains('%') && decode(name, wanted).is_ok_and(|name| name == wanted))
}

fn timestamp_us(value: &str) -> Result<i64, Rejection> {
    let value = decode(value, "timestamp")?;
    // `i64::from_str` would also accept a plus sign.
    let ms = if value.starts_with('+') {
        None
    } else {
        value.parse().map_or_else(|error: std::num::ParseIntError| saturated(error.kind()), Some)
    };
    check_timestamp_ms(ms.ok_or_else(|| {
        Rejection::new("timestamp", "must be an integer of milliseconds since the epoch")
    })?)
}

/// Saturates numbers that overflow, so that they are rejected as out of range instead of as no
/// integers.
fn saturated(kind: &IntErrorKind) -> Option<i64> {
    match kind {
        IntErrorKind::PosOverflow => Some(i64::MAX),
        IntErrorKind::NegOverflow => Some(i64::MIN),
        _ => None,
    }
}

/// Reports whether a query string has a plus sign where the offset of a time would have one: it was
/// read as a space.
pub fn has_plain_offset(query: &str) -> bool {
    let mut parts = query.split('+');
    let mut before = parts.next().unwrap_or_default();
    parts.any(|after| {
        let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
        let ends_in_digit = is_digit(before.as_bytes().last());
        before = after;
        ends_in_digit && (0..2).all(|at| is_digit(after.as_bytes().get(at)))
    })
}

/// Decodes a value; a value without escapes is borrowed.
fn decode<'q>(value: &'q str, parameter: &'static str) -> Result<Cow<'q, str>, Rejection> {
    if !value.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(Cow::Borrowed(value));
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, tail @ ..] = rest {
        let (byte, tail) = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => (escaped(*high, *low), tail),
            (b'%', _) => (None, tail),
            (b'+', _) => (Some(b' '), tail),
            (other, _) => (Some(*other), tail),
        };
        bytes.push(byte.ok_or_else(|| {
            Rejection::new(parameter, "holds a percent sign that begins no escape such as %25")
        })?);
        rest = tail;
    }
    String::from_utf8(bytes)
        .map(Cow::Owned)
        .map_err(|_| Rejection::new(parameter, "is not UTF-8 when decoded"))
}

fn escaped(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(value: &str) -> Result<String, String> {
        let query = format!("timestamp=1&user={value}&event=click");
        event(&EventSchema::default(), &query)
            .map(|params| params.user.into_owned())
            .map_err(|rejection| rejection.to_string())
    }

    /// Returns the parameter at fault and the reason.
    fn refused(query: &str) -> (String, String) {
        let Rejection { parameter, reason } = event(&EventSchema::default(), query).unwrap_err();
        (parameter.into_owned(), reason)
    }

    #[test]
    fn parameters_come_in_any_order_with_others_between_them() {
        let params = event(
            &EventSchema::default(),
            "_=17&event=impression&&user=ana&x&timestamp=10032342000&x",
        )
        .unwrap();
        let (timestamp_us, kind) = (10_032_342_000_000, EventKind::IMPRESSION);
        let expected = EventParams {
            timestamp_us,
            user: "ana".into(),
            kind,
            key: None,
            values: Vec::new(),
            ignored: 3,
        };
        assert_eq!(params, expected);
        assert!(matches!(params.user, Cow::Borrowed(_)));
    }

    #[test]
    fn values_and_names_are_form_decoded() {
        assert_eq!(user("Zo%C3%AB+B%2b%20c").as_deref(), Ok("Zoë B+ c"));
        assert_eq!(user("Zoë").as_deref(), Ok("Zoë"));
        assert_eq!(user("a=b").as_deref(), Ok("a=b"));
        assert!(event(&EventSchema::default(), "t%69mestamp=%31&user=u&event=clic%6B").is_ok());
    }

    #[test]
    fn a_bad_escape_is_an_error() {
        for value in ["%", "a%2", "%zz", "%+1", "100%"] {
            assert!(user(value).unwrap_err().contains("percent sign"), "{value}");
        }
        assert_eq!(user("%ff").unwrap_err(), "user: is not UTF-8 when decoded");
    }

    #[test]
    fn a_parameter_missing_or_repeated_or_empty_is_named() {
        assert_eq!(refused(""), ("timestamp".into(), "is missing".into()));
        assert_eq!(refused("timestamp=1&event=click"), ("user".into(), "is missing".into()));
        assert_eq!(refused("timestamp=1&user=u"), ("event".into(), "is missing".into()));
        assert_eq!(
            refused("timestamp=1&user=a&user=a&event=click"),
            ("user".into(), "is given more than once".into())
        );
        assert_eq!(
            refused("timestamp=1&user=a&%75ser=a&event=click"),
            ("user".into(), "is given more than once".into())
        );
        assert_eq!(
            refused("timestamp&user=u&event=click"),
            ("timestamp".into(), "must not be empty".into())
        );
        assert_eq!(
            refused("timestamp=1&user=&event=click"),
            ("user".into(), "must not be empty".into())
        );
        let reason = "must be click or impression; found \"Click\"";
        assert_eq!(refused("timestamp=1&user=u&event=Click"), ("event".into(), reason.into()));
    }

    #[test]
    fn declared_kinds_and_dimensions_are_read_and_others_counted() {
        let schema =
            EventSchema::new(&["sign-up".into()], &["page".into(), "source".into()]).unwrap();
        let query = "timestamp=1&user=u&event=sign-up&source=a%20b&_=1&page=";
        let params = event(&schema, query).unwrap();
        assert_eq!(params.kind, schema.kind("sign-up").unwrap());
        assert_eq!(params.event().values.iter().collect::<Vec<_>>(), [(1, "a b")]);
        assert_eq!(params.ignored, 1);
        let refused = |tail: &str| {
            let query = format!("timestamp=1&user=u&event=click&{tail}");
            event(&schema, &query).unwrap_err().to_string()
        };
        assert_eq!(refused("page=a&page=b"), "page: is given more than once");
        assert!(refused("source=%ff").starts_with("source: is not UTF-8"));
        let long = format!("page={}", "x".repeat(1025));
        assert_eq!(refused(&long), "page: is 1025 bytes long; at most 1024 are stored");
    }

    #[test]
    fn an_id_is_an_idempotency_key_of_1_to_255_bytes() {
        let key = |id: &str| {
            let query = format!("timestamp=1&user=u&event=click&id={id}");
            event(&EventSchema::default(), &query).map(|params| params.key)
        };
        assert_eq!(key("a%20b"), Ok(Some(Key::new("a b").unwrap())));
        assert_ne!(key("a"), key("b"));
        for id in ["", &"x".repeat(256), "1&id=2", "%zz"] {
            assert_eq!(key(id).unwrap_err().parameter, "id", "{id}");
        }
    }

    #[test]
    fn the_header_names_the_key_too() {
        let with = |values: &[&'static str], id: Option<&str>| {
            let headers = values
                .iter()
                .map(|value| ("idempotency-key".parse().unwrap(), value.parse().unwrap()));
            key(&headers.collect(), id.map(|id| Key::new(id).unwrap()))
        };
        let named = Ok(Some(Key::new("a-1").unwrap()));
        assert_eq!(with(&[], None), Ok(None));
        for (values, id) in [
            (&["\"a-1\""][..], None),
            (&["a-1"], None),
            (&[], Some("a-1")),
            (&["\"a-1\""], Some("a-1")),
        ] {
            assert_eq!(with(values, id), named);
        }
        assert!(with(&["a-1"], Some("a-2")).is_err() && with(&["a-1", "a-1"], None).is_err());
        assert!(with(&["\"\""], None).is_err());
    }

    #[test]
    fn a_user_is_measured_after_decoding() {
        assert_eq!(user(&"%41".repeat(1024)).map(|user| user.len()), Ok(1024));
        assert!(user(&"%41".repeat(1025)).unwrap_err().contains("1025 bytes"));
    }

    #[test]
    fn a_timestamp_is_an_integer_within_range() {
        assert_eq!(timestamp("timestamp=253402300799999"), Ok(253_402_300_799_999_000));
        for value in ["253402300800000", "9223372036854775808", "-1", "-99999999999999999999"] {
            assert!(
                timestamp(&format!("timestamp={value}"))
                    .unwrap_err()
                    .reason
                    .contains("must not lie"),
                "{value}"
            );
        }
        for value in ["1.5", "1e3", "0x1", "%2B5", "+5", "5+", "now", "1_000", "-", "٣"] {
            assert!(
                timestamp(&format!("timestamp={value}")).unwrap_err().reason.contains("integer"),
                "{value}"
            );
        }
    }
}
