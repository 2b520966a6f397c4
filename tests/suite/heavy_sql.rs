//! Statements made to take the process down: each is answered or refused, what the process holds
//! stays within its budget, and events are taken all the while.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::server::Server;

/// Statements that once ended the process, or never ended: by stack, by memory, by a plan without
/// end.
fn heavy() -> Vec<(&'static str, String)> {
    let join = |item: &str, between: &str, n: usize| vec![item; n].join(between);
    let doubled = (1..30)
        .map(|i| format!(", t{i} AS (SELECT x.a FROM t{0} x, t{0} y)", i - 1))
        .collect::<String>();
    let nested = |first: String, next: &str, levels| {
        (0..levels).fold(first, |inner, _| format!("SELECT {next} AS a FROM ({inner})"))
    };
    let growing = |next: &str| {
        nested(
            "SELECT repeat('a', 1000 + value) AS a FROM generate_series(1, 8192) t(value)".into(),
            next,
            8,
        )
    };
    // Ten subqueries in each of two CTEs: more in either is refused for its depth.
    let doubling = |first: &str, next: &str| {
        let (t0, t1) =
            (nested(first.into(), next, 10), nested("SELECT a FROM t0".into(), next, 10));
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

/// More of them, thought of by what they ask and not by how the engine answers.
fn greedy() -> Vec<(&'static str, String)> {
    let numbers = |n: u64| format!("generate_series(1, {n}) t(value)");
    let billion = numbers(1_000_000_000);
    let long = "WITH t AS (SELECT repeat('x', 1000000) AS s FROM generate_series(1, 2000))";
    vec![
        ("a count over all rows", "SELECT count(*) OVER () FROM generate_series(1, 300000000)".into()),
        ("long rows, tripled", format!("{long} SELECT s || s || s FROM t")),
        ("long rows, joined", format!("{long} SELECT max(length(a.s || b.s)) FROM t a, t b")),
        ("long rows, sorted", format!("{long} SELECT s FROM t ORDER BY s || random()")),
        ("long rows, listed", format!("{long} SELECT array_agg(s) FROM t")),
        ("long rows, chained", format!("{long} SELECT length(string_agg(s, ',')) FROM t")),
        ("long keys", format!("SELECT repeat('k', 1000) || value AS k, count(*) FROM {billion} GROUP BY 1")),
        ("distinct values", format!("SELECT count(DISTINCT repeat('k', 100) || value) FROM {billion}")),
        ("a median of all", format!("SELECT median(value) FROM {billion}")),
        ("medians so far", format!("SELECT max(m) FROM (SELECT median(value) OVER (ORDER BY value) AS m FROM {billion})")),
        ("ranks", format!("SELECT max(r) FROM (SELECT rank() OVER (ORDER BY value % 7) AS r FROM {billion})")),
        ("shares", format!("SELECT max(p) FROM (SELECT value * 1.0 / sum(value) OVER () AS p FROM {billion})")),
        ("the middle of each group", format!("SELECT value % 10, percentile_cont(0.5) WITHIN GROUP (ORDER BY value) FROM {billion} GROUP BY 1")),
        ("a join of all with all", format!("SELECT count(*) FROM {billion} JOIN generate_series(1, 1000000000) u(other) ON t.value = u.other")),
        ("a join by nearness", "SELECT count(*) FROM generate_series(1, 3000000) a(x) JOIN generate_series(1, 3000000) b(y) ON abs(x - y) < 2".into()),
        ("rows that are not in others", format!("SELECT count(*) FROM {billion} WHERE value NOT IN (SELECT value + 1 FROM {billion})")),
        ("what both have", "SELECT count(*) FROM (SELECT * FROM generate_series(1, 500000000) INTERSECT SELECT * FROM generate_series(1, 500000000))".into()),
        ("no row twice", format!("SELECT count(*) FROM (SELECT DISTINCT value, value * 2, value * 3 FROM {billion})")),
        ("the last known of none", format!("SELECT max(v) FROM (SELECT last_value(CASE WHEN value < 0 THEN 1 END) IGNORE NULLS OVER (ORDER BY value) AS v FROM {billion})")),
        ("growing lists", "WITH RECURSIVE t(s) AS (SELECT 'a' UNION ALL SELECT s || s FROM t) SELECT max(length(s)) FROM t".into()),
        ("recursion that doubles", "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t, generate_series(1, 2)) SELECT count(*) FROM t".into()),
        ("columns of text", format!("SELECT {} FROM {billion}", (0..64).map(|n| format!("repeat('c', 500) || value AS c{n}")).collect::<Vec<_>>().join(", "))),
        ("rows that nobody reads", format!("SELECT value, repeat('r', 10000) FROM {}", numbers(20_000))),
        ("replaced by patterns", format!("SELECT max(length(regexp_replace(repeat('a', 1000), 'a', repeat('b', 1000), 'g'))) FROM {billion}")),
        ("a pattern a row", "SELECT count(*) FROM generate_series(1, 100000) t(value) WHERE 'aaaa' SIMILAR TO 'a{' || (value % 1000) || '}%'".into()),
    ]
}

/// What arrays can be made to hold.
fn arrays() -> Vec<(&'static str, String)> {
    let numbers = |n: u64| format!("generate_series(1, {n}) t(value)");
    let billion = numbers(1_000_000_000);
    let long =
        format!("WITH a AS (SELECT 1 AS k, array_agg(value) AS s FROM {})", numbers(500_000));
    let ones = format!("(SELECT 1 AS k, value FROM {billion})");
    vec![
        (
            "an array a row",
            format!("SELECT max(cardinality(array_repeat(value, 1000000))) FROM {billion}"),
        ),
        ("a constant array a row", format!("SELECT range(0, 4000000), value FROM {billion}")),
        (
            "an array of arrays",
            format!("SELECT cardinality(array_agg(range(0, 100000 + value % 2))) FROM {billion}"),
        ),
        ("an array of all", format!("SELECT cardinality(array_agg(value)) FROM {billion}")),
        (
            "arrays so far",
            format!(
                "SELECT max(cardinality(s)) FROM (SELECT array_agg(value) OVER (ORDER BY value) AS s FROM {billion})"
            ),
        ),
        (
            "arrays joined together",
            format!("{long} SELECT cardinality(array_concat(s, s, s, s, s, s, s, s)) FROM a"),
        ),
        (
            "each of one with each of another",
            format!("{long} SELECT array_has_all(s, array_reverse(s)) FROM a"),
        ),
        (
            "an array unnested a row",
            format!("SELECT count(*) FROM (SELECT unnest(range(0, 4000000)) FROM {billion})"),
        ),
        (
            "an array to every row",
            format!("{long} SELECT max(cardinality(s)) FROM a JOIN {ones} b ON a.k = b.k"),
        ),
        (
            "every row to an array",
            format!("{long} SELECT max(cardinality(s)) FROM {ones} b LEFT JOIN a ON a.k = b.k"),
        ),
        (
            "an array to rows near it",
            format!("{long} SELECT max(cardinality(s)) FROM a JOIN {ones} b ON a.k <= b.k"),
        ),
        ("an array beside all rows", format!("{long} SELECT max(cardinality(s)) FROM a, {ones} b")),
        (
            "an array to some rows",
            format!(
                "{long} SELECT max(cardinality(s)) FROM a JOIN (SELECT 1 AS k FROM {}) b ON a.k = b.k",
                numbers(100_000)
            ),
        ),
        (
            "texts cut to pieces",
            format!(
                "SELECT max(cardinality(string_to_array(repeat('a,', 400000 + value % 2), ','))) FROM {billion}"
            ),
        ),
        (
            "arrays sorted",
            format!("SELECT max(array_sort(range(0, 400000 + value % 2))[1]) FROM {billion}"),
        ),
        (
            "distinct arrays",
            format!(
                "SELECT count(*) FROM (SELECT DISTINCT range(0, value % 100000) FROM {billion})"
            ),
        ),
        (
            "an array of times",
            format!(
                "SELECT max(cardinality(range(TIMESTAMP '1970-01-01', TIMESTAMP '2030-01-01', value * INTERVAL '1 second'))) FROM {billion}"
            ),
        ),
        ("a long text between elements", "SELECT length(array_to_string(array_repeat('a', 2000000), repeat('x', 1000)))".into()),
        ("a text between numbers", "SELECT length(array_to_string(range(900000), repeat('x', 1000)))".into()),
        ("elements replaced by long texts", "SELECT cardinality(array_replace_all(array_repeat('a', 200000), 'a', repeat('x', 1000)))".into()),
        ("what both arrays have", "SELECT cardinality(array_intersect(range(1000000), range(1000000)))".into()),
        ("what one array has", "SELECT cardinality(array_except(range(500000), range(500000)))".into()),
        ("elements of either", "SELECT cardinality(array_union(range(500000), range(250000, 750000)))".into()),
        ("each element once", "SELECT cardinality(array_distinct(range(1000000)))".into()),
        ("all of them", "SELECT array_has_all(range(1000000), range(1000000))".into()),
        ("any of them", "SELECT array_has_any(range(1000000), range(1000000, 2000000))".into()),
        ("digests", format!("SELECT count(DISTINCT md5(CAST(value AS VARCHAR))) FROM {billion}")),
    ]
}

/// Ends the visitor, also where an assertion fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

const BUDGET: u64 = 64 << 20;

/// What the process may hold beside what it held before and what statements may hold.
const BESIDE: u64 = 256 << 20;

#[test]
fn no_statement_takes_the_process_down_and_events_are_taken_all_the_while() {
    let dir = tempfile::tempdir().unwrap();
    let env = [
        ("HOURGLASS_QUERY_TIMEOUT", "1s"),
        ("HOURGLASS_QUERY_MEMORY_BYTES", "64MiB"),
        ("HOURGLASS_QUERY_SPILL_BYTES", "64MiB"),
    ];
    let server = Server::start(dir.path(), &env);
    // Each on a connection of its own: an answer of many rows is left unread.
    let ask = |statement: &str| {
        server.connect().request("POST", "/sql", "accept: text/csv\r\n", statement.as_bytes())
    };
    assert_eq!(ask("SELECT count(*) FROM events").unwrap().status, 200);
    let idle = server.memory();
    let ended = AtomicBool::new(false);
    let acknowledged = thread::scope(|scope| {
        let visitor = scope.spawn(|| {
            let (mut client, mut n) = (server.connect(), 0_u64);
            while !ended.load(Ordering::Relaxed) {
                let answer =
                    client.post(&format!("/analytics?timestamp=0&user=u{n}&event=click")).unwrap();
                assert_eq!(answer.status, 204, "{}", answer.body);
                n += 1;
            }
            n
        });
        let ends = Ends(&ended);
        for (name, statement) in heavy().into_iter().chain(greedy()).chain(arrays()) {
            let answer = ask(&statement).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(
                matches!(answer.status, 200 | 400 | 422),
                "{name}: {} {}",
                answer.status,
                answer.body
            );
            let most = server.peak_memory();
            assert!(
                most < idle + BUDGET + BESIDE,
                "{name}: {} MB were held, {} before",
                most >> 20,
                idle >> 20
            );
        }
        drop(ends);
        visitor.join().unwrap()
    });
    println!("{} MB at most", server.peak_memory() >> 20);
    let counted = server.connect().get("/analytics?timestamp=0").body;
    assert_eq!(
        counted,
        format!("unique_users,{acknowledged}\nclicks,{acknowledged}\nimpressions,0\n")
    );
}

/// Bug: memory was bounded function by function, so that what analysts write was refused for what
/// it might hold. Cure: what statements hold is measured.
#[test]
fn what_might_hold_much_and_does_not_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut client = server.connect();
    let rows = "(VALUES (1, 5, 'a', 'a+', '-'), (2, NULL, 'b', 'x', '+'), (3, 7, 'aa', 'a_', '/'), (4, 5, 'c', 'C', '.')) t(i, x, s, p, d)";
    let mut ask = |select: &str| {
        let body =
            format!(r#"{{"query": "SELECT {select} FROM {rows} ORDER BY i", "params": [2]}}"#);
        let headers = "content-type: application/json\r\naccept: text/csv\r\n";
        let answer = client.request("POST", "/sql", headers, body.as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{select}: {}", answer.body);
        answer.body.lines().skip(1).map(String::from).collect::<Vec<_>>().join(" ")
    };
    for (select, expected) in [
        ("median(x) OVER (ORDER BY i) AS a", "5.0 5.0 6.0 5.0"),
        ("median(x) OVER () AS a", "5.0 5.0 5.0 5.0"),
        ("count(DISTINCT x) OVER (ORDER BY i) AS a", "1 1 2 2"),
        ("last_value(x) IGNORE NULLS OVER (ORDER BY i) AS a", "5 5 7 5"),
        ("lag(i, $1) OVER (ORDER BY i) AS a", "\"\" \"\" 1 2"),
        ("lag(i, 20000) OVER (ORDER BY i) AS a", "\"\" \"\" \"\" \"\""),
        ("string_agg(s, ';') OVER (ORDER BY i) AS a", "a a;b a;b;aa a;b;aa;c"),
        ("regexp_like(s, p) AS a", "true false false false"),
        ("regexp_like(s, p, 'i') AS a", "true false false true"),
        ("regexp_replace(s, p, 'z') AS a", "z b aa c"),
        ("regexp_count(s, p) AS a", "1 0 0 0"),
        ("s ~ p AS a", "true false false false"),
        ("s ~* p AS a", "true false false true"),
        ("s !~ p AS a", "false true true true"),
        ("s SIMILAR TO p AS a", "true false true false"),
        ("s NOT SIMILAR TO p AS a", "false true false true"),
    ] {
        assert_eq!(ask(select), expected, "{select}");
    }
    let mut one = |sql: &str| {
        client.request("POST", "/sql", "accept: text/csv\r\n", sql.as_bytes()).unwrap().body
    };
    assert_eq!(
        one(&format!("SELECT string_agg(s, d ORDER BY i) AS a FROM {rows}")),
        "a\na+b/aa.c\n"
    );
    assert_eq!(
        one(&format!("SELECT string_agg(s, d ORDER BY i DESC) AS a FROM {rows}")),
        "a\nc/aa+b-a\n"
    );
    assert_eq!(
        one(&format!("SELECT string_agg(s, d ORDER BY i) AS a FROM {rows} WHERE i > 9")),
        "a\n\"\"\n"
    );
    let by_parity = format!(
        "SELECT i % 2 AS g, string_agg(s, d ORDER BY i) AS a FROM {rows} GROUP BY 1 ORDER BY 1"
    );
    assert_eq!(one(&by_parity), "g,a\n0,b.c\n1,a/aa\n");
}
