//! Statements made to take the process down: each is answered or refused, and events are taken all the while.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::server::Server;

/// Statements that once ended the process, or never ended: by stack, by memory, by a plan without end.
fn heavy() -> Vec<(&'static str, String)> {
    let join = |item: &str, between: &str, n: usize| vec![item; n].join(between);
    let doubled = (1..30).map(|i| format!(", t{i} AS (SELECT x.a FROM t{0} x, t{0} y)", i - 1)).collect::<String>();
    let nested = |first: String, next: &str, levels| {
        (0..levels).fold(first, |inner, _| format!("SELECT {next} AS a FROM ({inner})"))
    };
    let growing = |next: &str| {
        nested("SELECT repeat('a', 1000 + value) AS a FROM generate_series(1, 8192) t(value)".into(), next, 8)
    };
    // Ten subqueries in each of two CTEs: more in either is refused for its depth.
    let doubling = |first: &str, next: &str| {
        let (t0, t1) = (nested(first.into(), next, 10), nested("SELECT a FROM t0".into(), next, 10));
        format!("WITH t0 AS ({t0}), t1 AS ({t1}) SELECT a FROM t1")
    };
    vec![
        ("parentheses", format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000))),
        ("subqueries", format!("SELECT * FROM {}SELECT 1{}", "(".repeat(10_000), ")".repeat(10_000))),
        ("a sum", format!("SELECT {}", join("1", " + ", 50_000))),
        ("a disjunction", format!("SELECT 1 FROM events WHERE {}", join("user_id = 'a'", " OR ", 10_000))),
        ("a concatenation", format!("SELECT {}", join("'a'", " || ", 20_000))),
        ("casts", format!("SELECT 1{}", "::int".repeat(30_000))),
        ("a union", join("SELECT 1", " UNION ALL ", 10_000)),
        ("an intersection", join("SELECT 1", " INTERSECT ", 10_000)),
        ("a join", format!("SELECT 1 FROM {}", join("events", ", ", 5_000))),
        ("explanations", format!("{}SELECT 1", "EXPLAIN ".repeat(20_000))),
        ("doubled CTEs", format!("WITH t0 AS (SELECT 1 AS a){doubled} SELECT count(*) FROM t29")),
        ("a long string", "SELECT length(repeat('a', 2000000000))".into()),
        ("a padded string", "SELECT length(lpad('a', 2147483647))".into()),
        ("a string in a string", "SELECT length(replace(repeat('a', 500000), 'a', repeat('b', 500000)))".into()),
        ("long strings", "SELECT max(length(repeat('a', 900000 + value))) FROM generate_series(1, 100000) t(value)".into()),
        ("strings that double", growing("a || a")),
        ("strings that triple", growing("concat(a, a, a)")),
        ("expressions that double", doubling("SELECT user_id AS a FROM events", "greatest(a, a)")),
        ("types that double", doubling("SELECT user_id AS a FROM events", "struct(a, a)")),
        ("encodings that double", growing("encode(encode(a, 'hex'), 'hex')")),
        ("a window over all", "SELECT count(*) OVER () FROM generate_series(1, 10000000000)".into()),
        ("a window over peers", "SELECT count(*) OVER (ORDER BY value > 0) FROM generate_series(1, 10000000000) t(value)".into()),
        ("a window far back", "SELECT max(total) FROM (SELECT sum(value) OVER (ORDER BY value ROWS BETWEEN 4000000000 PRECEDING AND CURRENT ROW) AS total FROM generate_series(1, 10000000000) t(value))".into()),
        ("a lag far back", "SELECT max(before) FROM (SELECT lag(value, 4000000000) OVER (ORDER BY value) AS before FROM generate_series(1, 10000000000) t(value))".into()),
        ("strings laid over themselves", growing("overlay(a PLACING a FROM 1 FOR 0)")),
        ("many columns", format!("SELECT {} FROM generate_series(1, 8192) t(value)", (0..300).map(|n| format!("length(repeat('a', {} + value))", 3_000 + n)).collect::<Vec<_>>().join(", "))),
        ("a constant for each row", "SELECT max(length(repeat(repeat('a', 250000), value))) FROM generate_series(1, 8192) t(value)".into()),
        ("wide characters", "SELECT max(length(rpad('a', 250000 + value, '𐍈'))) FROM generate_series(1, 8192) t(value)".into()),
        ("a long delimiter", "SELECT length(string_agg('a', repeat('x', 1000000))) FROM generate_series(1, 8192)".into()),
        ("a delimiter written out", format!("SELECT length(string_agg('a', '{}')) FROM generate_series(1, 8192)", "x".repeat(250_000))),
        ("lists so far", "SELECT array_agg(value) OVER (ORDER BY value) FROM generate_series(1, 1000000) t(value)".into()),
        ("strings so far", "SELECT string_agg('aaaaaaaaaa', ',') OVER (ORDER BY value) FROM generate_series(1, 1000000) t(value)".into()),
        ("a type of a fixed size", "SELECT arrow_cast(NULL, 'FixedSizeBinary(2147483647)') FROM generate_series(1, 8192)".into()),
        ("a list of a fixed size", "SELECT arrow_cast(NULL, 'FixedSizeList(2000000000, Int64)') FROM generate_series(1, 8192)".into()),
        ("groups of a pattern", format!("SELECT regexp_match(repeat('a', 15000 + value), '{}.*{}') FROM generate_series(1, 8192) t(value)", "(".repeat(50), ")".repeat(50))),
        ("patterns of a column", "SELECT count(*) FROM generate_series(1, 8192) t(value) WHERE regexp_like('a', concat('(a{100}){', value, '}'))".into()),
        ("patterns by an operator", "SELECT count(*) FROM generate_series(1, 8192) t(value) WHERE 'a' ~ concat('(a{100}){', value, '}')".into()),
        ("a long format", format!("SELECT to_char(TIMESTAMP '2020-01-01' + value * INTERVAL '1' SECOND, '{}') FROM generate_series(1, 8192) t(value)", "%+".repeat(100_000))),
        ("a long comparison", "SELECT levenshtein(repeat('a', 1000000), repeat('b', 1000000))".into()),
        ("a quoted function", "SELECT \"string_agg\"('a', repeat('x', 1000000)) FROM generate_series(1, 8192)".into()),
        ("a quoted type", "SELECT \"arrow_cast\"(NULL, 'FixedSizeBinary(2147483647)') FROM generate_series(1, 8192)".into()),
        ("values so far", "SELECT max(n) FROM (SELECT count(DISTINCT value) OVER (ORDER BY value) AS n FROM generate_series(1, 10000000000) t(value))".into()),
        ("a value far ahead", "SELECT max(n) FROM (SELECT nth_value(value, 4000000000) OVER (ORDER BY value) AS n FROM generate_series(1, 10000000000) t(value))".into()),
        ("the last value of none", "SELECT max(n) FROM (SELECT last_value(nullif(value, value)) IGNORE NULLS OVER (ORDER BY value) AS n FROM generate_series(1, 10000000000) t(value))".into()),
        ("groups that double", format!("SELECT a FROM ({} GROUP BY 1) WHERE a = 'x'", nested("SELECT user_id AS a FROM events".into(), "greatest(a, a)", 10))),
        ("one list of all", "SELECT array_agg(value) FROM generate_series(1, 100000000)".into()),
        ("one group a row", "SELECT value, count(*) FROM generate_series(1, 50000000) GROUP BY value ORDER BY 2, 1".into()),
        ("a product", "SELECT count(*) FROM generate_series(1, 10000000) a, generate_series(1, 10000000) b WHERE a.value <> b.value".into()),
        ("recursion without end", "WITH RECURSIVE t AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM t) SELECT count(*) FROM t".into()),
        ("every grouping", "SELECT count(*) FROM events GROUP BY CUBE(1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20)".into()),
    ]
}

/// Ends the visitor, also where an assertion fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn no_statement_takes_the_process_down_and_events_are_taken_all_the_while() {
    let dir = tempfile::tempdir().unwrap();
    let env = [
        ("HOURGLASS_QUERY_TIMEOUT", "1s"),
        ("HOURGLASS_QUERY_MEMORY_BYTES", "64MiB"),
        ("HOURGLASS_QUERY_SPILL_BYTES", "64MiB"),
    ];
    let server = Server::start(dir.path(), &env);
    let ended = AtomicBool::new(false);
    let acknowledged = thread::scope(|scope| {
        let visitor = scope.spawn(|| {
            let (mut client, mut n) = (server.connect(), 0_u64);
            while !ended.load(Ordering::Relaxed) {
                let answer = client.post(&format!("/analytics?timestamp=0&user=u{n}&event=click")).unwrap();
                assert_eq!(answer.status, 204, "{}", answer.body);
                n += 1;
            }
            n
        });
        let ends = Ends(&ended);
        let mut client = server.connect();
        for (name, statement) in heavy() {
            let answer = client.request("POST", "/sql", "accept: text/csv\r\n", statement.as_bytes());
            let answer = answer.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(matches!(answer.status, 200 | 400 | 422), "{name}: {} {}", answer.status, answer.body);
        }
        drop(ends);
        visitor.join().unwrap()
    });
    let most = server.peak_memory() >> 20;
    println!("{most} MB at most");
    assert!(most < 1_024, "{most} MB were held");
    let counted = server.connect().get("/analytics?timestamp=0").body;
    assert_eq!(counted, format!("unique_users,{acknowledged}\nclicks,{acknowledged}\nimpressions,0\n"));
}
