use super::*;

fn one(sql: &str) -> Command {
    parse_commands(sql).unwrap().pop().unwrap()
}

fn fault(sql: &str) -> String {
    parse_commands(sql).unwrap_err().to_string()
}

#[test]
fn transactions_are_read_by_all_their_names() {
    let of = |sql| match one(sql) {
        Command::Transaction(command) => command,
        other => panic!("{sql}: {other:?}"),
    };
    let begin = |is_read_only, isolation| Transaction::Begin { is_read_only, isolation };
    assert_eq!(of("BEGIN"), begin(false, None));
    assert_eq!(
        of("begin work isolation level repeatable read, read only"),
        begin(true, Some("repeatable read"))
    );
    assert_eq!(of("START TRANSACTION READ WRITE NOT DEFERRABLE"), begin(false, None));
    assert_eq!(of("END"), Transaction::Commit { chain: false });
    assert_eq!(of("COMMIT TRANSACTION AND CHAIN"), Transaction::Commit { chain: true });
    assert_eq!(of("ABORT"), Transaction::Rollback { chain: false });
    assert_eq!(of("ROLLBACK TO SAVEPOINT \"A\""), Transaction::RollbackTo("A".into()));
    assert_eq!(of("RELEASE a"), Transaction::Release("a".into()));
    assert!(fault("COMMIT PREPARED 'x'").contains("the end of the statement"));
}

#[test]
fn cursors_go_forward() {
    let Command::Declare(Declare { name, is_held, query }) =
        one("DECLARE c NO SCROLL CURSOR WITH HOLD FOR SELECT 1")
    else {
        panic!()
    };
    assert_eq!((name.as_str(), is_held), ("c", true));
    assert!(query.text.starts_with("DECLARE"), "the history has it as it was written");
    let of = |sql| match one(sql) {
        Command::Fetch(fetch) => (fetch.cursor, fetch.count, fetch.is_move),
        other => panic!("{sql}: {other:?}"),
    };
    assert_eq!(of("FETCH c"), ("c".into(), Count::Rows(1), false));
    assert_eq!(of("FETCH FORWARD 100 FROM \"C 1\""), ("C 1".into(), Count::Rows(100), false));
    assert_eq!(of("MOVE ALL IN c"), ("c".into(), Count::All, true));
    assert_eq!(of("FETCH 0 c"), ("c".into(), Count::Rows(0), false));
    for sql in ["FETCH BACKWARD 1 FROM c", "FETCH -1 FROM c", "FETCH LAST FROM c"] {
        assert!(fault(sql).contains("forward only"), "{sql}");
    }
}

#[test]
fn rows_of_an_insert_are_literals_parameters_or_a_query() {
    let of = |sql| match one(sql) {
        Command::Insert(insert) => insert,
        other => panic!("{sql}: {other:?}"),
    };
    let insert = of(
        "INSERT INTO public.events (timestamp, \"user_id\", event) VALUES ('2025-01-01'::timestamptz, $1, E'click'), ($2, 7, NULL)",
    );
    assert_eq!(insert.columns, ["timestamp", "user_id", "event"]);
    let Source::Rows(rows) = insert.source else { panic!() };
    let text = |text: &str| Cell::Text(text.into());
    assert_eq!(rows[0], [text("2025-01-01"), Cell::Parameter(0), text("click")]);
    assert_eq!(rows[1], [Cell::Parameter(1), Cell::Number("7".into()), Cell::Null]);
    assert!(matches!(
        of("INSERT INTO events VALUES (now() - interval '1 hour', 'u', 'click')").source,
        Source::Query(_)
    ));
    let Source::Rows(rows) = of("INSERT INTO events VALUES (now(), 'u', CURRENT_TIMESTAMP)").source
    else {
        panic!()
    };
    assert_eq!(rows[0], [Cell::Now, text("u"), Cell::Now]);
    assert!(matches!(of("INSERT INTO events SELECT * FROM events").source, Source::Query(_)));
}

#[test]
fn what_would_not_be_obeyed_is_refused() {
    for (sql, reason) in [
        ("INSERT INTO events VALUES ('x') ON CONFLICT DO NOTHING", "ON CONFLICT"),
        ("INSERT INTO events VALUES ('x') RETURNING *", "RETURNING"),
        ("INSERT INTO events DEFAULT VALUES", "DEFAULT VALUES"),
        ("INSERT INTO hours VALUES ('x')", "cannot write to hours"),
        ("INSERT INTO \"Events\" VALUES ('x')", "cannot write to"),
        ("DELETE FROM events", "cannot execute DELETE"),
        ("COPY hours FROM STDIN", "cannot write to hours"),
        ("COPY events FROM '/etc/passwd'", "a file of the server"),
        ("COPY events TO PROGRAM 'sh'", "expected STDOUT"),
        ("COPY events FROM STDIN (FORMAT xml)", "unknown"),
        ("COPY events FROM STDIN (FREEZE)", "FREEZE"),
        ("COPY events FROM STDIN (QUOTE 'x')", "of the format csv"),
        ("PREPARE p AS BEGIN", "PREPARE takes"),
    ] {
        assert!(fault(sql).contains(reason), "{sql}: {}", fault(sql));
    }
}

#[test]
fn options_of_copy_are_read_in_both_forms() {
    let of = |sql| match one(sql) {
        Command::Copy(Copy::In(copy)) => (copy.columns, copy.options),
        Command::Copy(Copy::Out(copy)) => (Vec::new(), copy.options),
        other => panic!("{sql}: {other:?}"),
    };
    let csv = CopyOptions { header: Header::Line, ..CopyOptions::new(CopyFormat::Csv) };
    assert_eq!(
        of("COPY events (user_id, event) FROM STDIN WITH (FORMAT csv, HEADER)"),
        (vec!["user_id".into(), "event".into()], csv.clone())
    );
    assert_eq!(of("copy events from stdin csv header").1, csv);
    let options = of("COPY (SELECT (1)) TO STDOUT (FORMAT 'csv', HEADER true, DELIMITER ';', NULL 'n', FORCE_QUOTE *)").1;
    let (delimiter, null, force_quote) = (b';', "n".into(), Columns::All);
    assert_eq!(options, CopyOptions { delimiter, null, force_quote, ..csv });
    assert_eq!(of("COPY events TO STDOUT (FORMAT BINARY)").1.format, CopyFormat::Binary);
}

#[test]
fn a_prepared_statement_has_types() {
    let Command::Prepare { name, types, command } =
        one("PREPARE p (timestamp with time zone, int) AS SELECT $1, $2")
    else {
        panic!()
    };
    assert_eq!(
        (name.as_str(), &types[..]),
        ("p", &["timestamp with time zone".into(), "int".into()][..])
    );
    assert!(matches!(*command, Command::Query(_)));
    let Command::Execute { values, .. } = one("EXECUTE p ('a', -1, NULL)") else { panic!() };
    assert_eq!(values, [Cell::Text("a".into()), Cell::Number("-1".into()), Cell::Null]);
}
