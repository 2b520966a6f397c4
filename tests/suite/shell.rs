//! `hourglass sql` as scripts meet it: statements from everywhere, in every format, on a directory
//! and through a server.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use crate::server::{Server, hourglass};

/// Ten hours of sixty events.
fn store() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut generate = hourglass();
    generate.args(["generate", "--end", "2020-01-01T09:59:00Z", "--data-dir"]).arg(dir.path());
    assert!(generate.output().unwrap().status.success());
    dir
}

fn sql(dir: &Path, args: &[&str]) -> Output {
    hourglass().args(["sql", "--data-dir"]).arg(dir).args(args).output().unwrap()
}

fn piped(dir: &Path, text: &str) -> Output {
    let mut command = hourglass();
    command.args(["sql", "--format", "csv", "--data-dir"]).arg(dir);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What an answer says; it has succeeded and said nothing else.
fn answer(output: &Output) -> String {
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    text(&output.stdout)
}

const HOURS: &str = "SELECT hour, clicks + impressions AS events FROM hours ORDER BY hour LIMIT 2";

#[test]
fn one_answer_has_every_format() {
    let store = store();
    let shown = |format| answer(&sql(store.path(), &["-c", HOURS, "--format", format]));
    let csv = "hour,events\n2020-01-01T00:00:00Z,60\n2020-01-01T01:00:00Z,60\n";
    assert_eq!(shown("csv"), csv);
    assert_eq!(shown("tsv"), csv.replace(',', "\t"));
    let rows = [
        "{\"hour\":\"2020-01-01T00:00:00Z\",\"events\":60}",
        "{\"hour\":\"2020-01-01T01:00:00Z\",\"events\":60}",
    ];
    assert_eq!(shown("ndjson"), format!("{}\n{}\n", rows[0], rows[1]));
    assert_eq!(shown("json"), format!("[{},{}]\n", rows[0], rows[1]));
    insta::assert_snapshot!([shown("table"), shown("expanded"), shown("markdown")].join("\n"), @r"
    ╭──────────────────────┬────────╮
    │ hour                 │ events │
    ╞══════════════════════╪════════╡
    │ 2020-01-01T00:00:00Z │     60 │
    │ 2020-01-01T01:00:00Z │     60 │
    ╰──────────────────────┴────────╯

    ─[ row 1 ]────────────────────
    hour   │ 2020-01-01T00:00:00Z
    events │ 60
    ─[ row 2 ]────────────────────
    hour   │ 2020-01-01T01:00:00Z
    events │ 60

    | hour | events |
    | --- | ---: |
    | 2020-01-01T00:00:00Z | 60 |
    | 2020-01-01T01:00:00Z | 60 |
    ");
    let parquet = sql(store.path(), &["-c", HOURS, "--format", "parquet"]);
    assert_eq!(
        (&parquet.stdout[..4], &parquet.stdout[parquet.stdout.len() - 4..]),
        (&b"PAR1"[..], &b"PAR1"[..])
    );
}

#[test]
fn statements_come_from_arguments_files_and_standard_input() {
    let store = store();
    let file = store.path().join("a.sql");
    fs::write(
        &file,
        "-- two\nSELECT ';' AS a;\nSELECT\n  2 AS b;\n\\pset format json\nSELECT 3 AS c",
    )
    .unwrap();
    let file = file.to_str().unwrap();
    let expected = "a\n;\nb\n2\n[{\"c\":3}]\n";
    assert_eq!(answer(&sql(store.path(), &["--format", "csv", "-f", file])), expected);
    assert_eq!(
        answer(&sql(store.path(), &["--format", "csv", "-c", &format!("\\i {file}")])),
        expected
    );
    let both =
        sql(store.path(), &["--format", "csv", "-c", "SELECT 0 AS z; SELECT 1 AS y", "-f", file]);
    assert_eq!(answer(&both), format!("z\n0\ny\n1\n{expected}"));
    assert_eq!(answer(&piped(store.path(), "SELECT 1 AS a;\n\\q\nSELECT 2 AS b;\n")), "a\n1\n");
    assert_eq!(answer(&piped(store.path(), "SELECT 1 AS a")), "a\n1\n");
    assert_eq!(answer(&piped(store.path(), "")), "");
}

#[test]
fn a_script_ends_at_its_first_fault_and_points_at_it() {
    let store = store();
    let file = store.path().join("a.sql");
    fs::write(&file, "SELECT 1 AS a;\n\nSELECT hour,\n  klicks FROM hours;\nSELECT 2;\n").unwrap();
    let failed = sql(store.path(), &["--format", "csv", "-f", file.to_str().unwrap()]);
    assert_eq!((failed.status.code(), text(&failed.stdout).as_str()), (Some(65), "a\n1\n"));
    let said = text(&failed.stderr);
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("error: ") && lines[0].contains("klicks"), "{said}");
    let place = lines
        .iter()
        .position(|line| line.contains("a.sql:4:3"))
        .unwrap_or_else(|| panic!("{said}"));
    assert_eq!(lines[place + 1..], ["  4 |   klicks FROM hours", "        ^"], "{said}");
    // Of two statements on a line, the second is shown as it stands, and its column is its own.
    let failed = sql(store.path(), &["-c", "SELECT 1; SELECT 'é', ) FROM hours"]);
    assert_eq!(failed.status.code(), Some(65));
    let said = text(&failed.stderr);
    assert!(said.ends_with("  1 | SELECT 'é', ) FROM hours\n                  ^\n"), "{said}");
}

#[test]
fn exit_codes_tell_faults_apart() {
    let store = store();
    let code = |args: &[&str]| sql(store.path(), args).status.code();
    assert_eq!(code(&["-c", "DELETE FROM events"]), Some(65));
    assert_eq!(code(&["-c", "\\nonsense"]), Some(65));
    assert_eq!(code(&["-f", "no/such/file.sql"]), Some(66));
    let nowhere = sql(&store.path().join("nowhere"), &["-c", "SELECT 1"]);
    assert_eq!(nowhere.status.code(), Some(66));
    assert!(text(&nowhere.stderr).contains("no hourglass store here"), "{}", text(&nowhere.stderr));
    let unreachable = hourglass()
        .args(["sql", "--url", "http://127.0.0.1:1", "-c", "SELECT 1"])
        .output()
        .unwrap();
    assert_eq!(unreachable.status.code(), Some(74), "{}", text(&unreachable.stderr));
}

#[test]
fn what_is_acknowledged_is_in_the_next_answer_beside_a_running_server() {
    let store = store();
    let server = Server::start(store.path(), &[]);
    let mut client = server.connect();
    let mut command = hourglass();
    command.args(["sql", "--format", "csv", "--data-dir"]).arg(store.path());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    for n in 0..5 {
        writeln!(stdin, "SELECT count(*) AS n FROM events;").unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), "n");
        assert_eq!(lines.next().unwrap().unwrap(), (600 + n).to_string());
        assert_eq!(
            client.post("/analytics?timestamp=10032342000&user=ana&event=click").unwrap().status,
            204
        );
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_copy_comes_back_through_its_reader() {
    let store = store();
    let copied = |name: &str| store.path().join(name).display().to_string();
    let script = format!(
        "\\copy (SELECT timestamp, user_id, event FROM events) to '{}'",
        copied("e.parquet")
    );
    answer(&sql(store.path(), &["-c", &script]));
    let again = store.path().join("again");
    let imported = hourglass()
        .args(["import", &copied("e.parquet"), "--data-dir"])
        .arg(&again)
        .output()
        .unwrap();
    assert!(imported.status.success(), "{}", text(&imported.stderr));
    let all = "SELECT * FROM hours ORDER BY hour";
    assert_eq!(answer(&sql(&again, &["-c", all])), answer(&sql(store.path(), &["-c", all])));
    answer(&sql(store.path(), &["-c", &format!("\\copy hours to {}", copied("h.csv"))]));
    let csv = answer(&sql(store.path(), &["-c", "SELECT * FROM hours", "--format", "csv"]));
    assert_eq!(fs::read_to_string(copied("h.csv")).unwrap().lines().count(), csv.lines().count());
    let failed = sql(
        store.path(),
        &["-c", &format!("\\copy (SELECT nope FROM hours) to '{}'", copied("n.csv"))],
    );
    assert_eq!(failed.status.code(), Some(65));
    assert!(!Path::new(&copied("n.csv")).exists() && !Path::new(&copied("n.csv.part")).exists());
}

/// Bug: the same error ended the shell in one way on a directory and in another through a server,
/// and a data file that is missing looked like a statement at fault. Consequence: a script could
/// not tell whom to call. Cure: one table of exit codes by the kind of error, and each kind has a
/// problem of its own.
#[test]
fn an_error_ends_the_shell_alike_on_a_directory_and_through_a_server() {
    let store = store();
    let memory = ("HOURGLASS_QUERY_MEMORY_BYTES", "8MiB");
    let server = Server::start(store.path(), &[memory]);
    let url = format!("http://{}", server.address);
    let missing = store.path().join("missing.sql").display().to_string();
    let partition = fs::read_dir(store.path().join("events/date=2020-01-01/hour=00")).unwrap();
    let files: Vec<_> = partition
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some())
        .collect();
    for (statement, code) in [
        ("SELECT nothing FROM events", 65),
        ("SELEC 1", 65),
        ("DELETE FROM events", 65),
        ("SELECT 1; SELECT 'open", 65),
        ("SELECT * FROM nowhere", 65),
        ("SELECT $1", 65),
        ("SELECT CAST('x' AS INT)", 65),
        ("SET datafusion.runtime.memory_limit = '1G'", 65),
        ("SELECT arrow_cast(9000000000000000, 'Timestamp(Second, None)') AS t", 65),
        ("\\run nothing", 65),
        ("\\run top_users start=0", 65),
        ("\\run top_users start=yesterday end=0", 65),
        ("\\nonsense", 65),
        ("\\d nothing", 65),
        (&format!("\\i {missing}"), 66),
        ("SELECT array_agg(value) FROM generate_series(1, 3000000)", 75),
        ("files gone", 66),
    ] {
        let mut statement = statement.to_string();
        if statement == "files gone" {
            files.iter().for_each(|file| fs::remove_file(file).unwrap());
            statement = "SELECT max(user_id || 'x') FROM events WHERE hour = 0".to_string();
        }
        let store = store.path().to_str().unwrap();
        let ask = |target: [&str; 2]| {
            let mut command = hourglass();
            command
                .arg("sql")
                .args(target)
                .args(["--format", "csv", "-c", &statement])
                .env(memory.0, memory.1);
            command.output().unwrap()
        };
        let (here, there) = (ask(["--data-dir", store]), ask(["--url", &url]));
        let said = format!("{statement}\n{}\n{}", text(&here.stderr), text(&there.stderr));
        assert_eq!((here.status.code(), there.status.code()), (Some(code), Some(code)), "{said}");
    }
}

/// Bug: a script that began with a byte order salt, as Windows writes it, was refused, or its first
/// command was taken for a statement. Cure: the salt is no part of the text.
#[test]
fn a_script_may_begin_with_a_byte_order_mark() {
    let store = store();
    let file = store.path().join("a.sql");
    for script in [
        "\u{feff}SELECT 1 AS a;\r\n",
        "\u{feff}\\pset format csv\r\nSELECT 1 AS a",
        "\u{feff}-- x\nSELECT 1 AS a;\n",
    ] {
        fs::write(&file, script).unwrap();
        let file = file.to_str().unwrap();
        assert_eq!(answer(&sql(store.path(), &["--format", "csv", "-f", file])), "a\n1\n");
        assert_eq!(
            answer(&sql(store.path(), &["--format", "csv", "-c", &format!(".read {file}")])),
            "a\n1\n"
        );
        assert_eq!(answer(&piped(store.path(), script)), "a\n1\n");
        assert_eq!(answer(&sql(store.path(), &["--format", "csv", "-c", script])), "a\n1\n");
    }
    fs::write(&file, b"SELECT 1;\nSELECT '\xff';\n").unwrap();
    let refused = sql(store.path(), &["-f", file.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(65));
    assert!(
        text(&refused.stderr).contains("a.sql: line 2 is not UTF-8"),
        "{}",
        text(&refused.stderr)
    );
}

/// Bug: what cannot be seen in a user's name, a text's direction and a terminal's orders among it,
/// reached the terminal as it was. Cure: what people read has it escaped, and what programs read is
/// data.
#[test]
fn what_cannot_be_seen_is_escaped_for_people_and_stays_data_for_programs() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"), &[]);
    let mut client = server.connect();
    let user = "a\u{202e}b\u{200b}c\u{1b}[31m\u{feff}d\u{9b}\u{e0041}";
    let encoded: String = user.bytes().map(|byte| format!("%{byte:02x}")).collect();
    assert_eq!(
        client.post(&format!("/analytics?timestamp=0&user={encoded}&event=click")).unwrap().status,
        204
    );
    let shown = |format: &str, statement: &str| {
        let output = sql(&dir.path().join("store"), &["--format", format, "-c", statement]);
        text(&output.stdout) + &text(&output.stderr)
    };
    let escaped = r"a\u{202e}b\u{200b}c\u{1b}[31m\u{feff}d\u{9b}\u{e0041}";
    for format in ["table", "expanded", "markdown"] {
        let text = shown(format, "SELECT user_id FROM events");
        assert!(
            text.contains(escaped)
                && !text.contains(|c: char| user.contains(c) && !c.is_ascii_graphic()),
            "{text}"
        );
    }
    let error = shown("table", &format!("SELECT \"{user}\" FROM events"));
    assert!(
        error.contains(escaped) && !error.contains('\u{202e}') && !error.contains('\u{1b}'),
        "{error}"
    );
    assert_eq!(shown("csv", "SELECT user_id FROM events"), format!("user_id\n{user}\n"));
    assert_eq!(
        shown("json", "SELECT user_id FROM events"),
        format!("{}\n", serde_json::json!([{ "user_id": user }]))
    );
}

/// Bug: a CR at the end of the last field of a line of CSV was lost by `import`. Consequence: a
/// copy was not what it was copied from. Cure: a field in quotes is what stands between them.
#[test]
fn a_copy_to_csv_is_imported_as_what_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let users = [
        "plain",
        " led",
        "trailed ",
        "\ttab\t",
        "com,ma",
        "semi;colon",
        "quo\"te",
        "\"",
        "\"\"",
        "'",
        "line\nend",
        "cr\rlf\r\n",
        "\n",
        "\r",
        "back\\slash",
        "\\N",
        "NULL",
        "null",
        "nul\0",
        "Zoë 日本",
        "\u{feff}salt",
        "=1+1",
        "#",
        "1",
        "-",
        "a\tb",
        " ",
    ];
    let server = Server::start(&store, &[]);
    let mut client = server.connect();
    let lines: String = users
        .iter()
        .zip(0..)
        .map(|(user, i)| {
            format!("{}\n", serde_json::json!({ "timestamp": i, "user": user, "event": "click" }))
        })
        .collect();
    let headers = "content-type: application/x-ndjson\r\n";
    assert_eq!(client.request("POST", "/events", headers, lines.as_bytes()).unwrap().status, 200);
    for (columns, file) in [
        ("timestamp, event, user_id", "last.csv"),
        ("user_id, timestamp, event", "first.csv"),
        ("timestamp, user_id, event", "x.ndjson"),
        ("event, user_id, timestamp", "x.tsv"),
    ] {
        let copied = dir.path().join(file).display().to_string();
        answer(&sql(
            &store,
            &["-c", &format!("\\copy (SELECT {columns} FROM events) to '{copied}'")],
        ));
        let again = dir.path().join(format!("{file}.store"));
        let imported = hourglass()
            .args(["import", &copied, "--data-dir"])
            .arg(&again)
            .args(if file.ends_with("tsv") {
                &["--format", "csv", "--delimiter", "tab"][..]
            } else {
                &[]
            })
            .output()
            .unwrap();
        assert!(imported.status.success(), "{}", text(&imported.stderr));
        let all = sql(
            &again,
            &["--format", "json", "-c", "SELECT user_id FROM events ORDER BY timestamp"],
        );
        let read: Vec<serde_json::Value> = serde_json::from_str(&answer(&all)).unwrap();
        let read: Vec<&str> = read.iter().map(|row| row["user_id"].as_str().unwrap()).collect();
        assert_eq!(read, users, "{file}");
    }
}

#[test]
fn commands_answer_in_scripts_too() {
    let store = store();
    let csv = |command: &str| answer(&sql(store.path(), &["--format", "csv", "-c", command]));
    assert!(csv("\\d").contains("public,events,base table\npublic,hours,view\n"), "{}", csv("\\d"));
    assert_eq!(csv(".tables wal"), "schema,name,type\nsystem,wal,view\n");
    assert!(
        csv("\\d system.wal").starts_with("column,type,nullable\nsegment,text,no\n"),
        "{}",
        csv("\\d system.wal")
    );
    assert!(csv("\\df date_tr").contains("date_trunc,scalar,"), "{}", csv("\\df date_tr"));
    assert!(csv("\\l").contains("hour_stats,start=… end=…,"), "{}", csv("\\l"));
    assert_eq!(
        csv("\\run hour_stats start=2020-01-01 end=2020-01-01T01:00:00Z").lines().count(),
        2
    );
    assert!(csv("\\?").contains("\\watch [SECONDS] [c=TIMES]"));
    assert_eq!(csv("SELECT 1 AS a;\n\\watch 0.01 c=2"), "a\n1\na\n1\na\n1\n");
    let file = store.path().join("o.csv");
    assert_eq!(
        csv(&format!("\\o {}\nSELECT 1 AS a;\n\\o\nSELECT 2 AS b;", file.display())),
        "b\n2\n"
    );
    assert_eq!(fs::read_to_string(file).unwrap(), "a\n1\n");
    let unknown = sql(store.path(), &["-c", "\\d system.wall"]);
    assert!(
        text(&unknown.stderr).contains("there is no table system.wall; did you mean system.wal?")
    );
    let timed = sql(
        store.path(),
        &["--format", "csv", "-c", "\\timing on", "-c", "SELECT count(*) AS n FROM events"],
    );
    assert!(
        text(&timed.stderr).starts_with("1 row · 10 of 10 partitions by rollup, "),
        "{}",
        text(&timed.stderr)
    );
}

#[test]
fn a_server_answers_as_its_directory_does() {
    let store = store();
    let server = Server::start(store.path(), &[]);
    let url = format!("http://{}", server.address);
    let ask = |args: &[&str]| hourglass().args(["sql", "--url", &url]).args(args).output().unwrap();
    for args in [
        ["-c", HOURS],
        ["-c", "\\d events"],
        ["-c", "\\run hour_of_day start=2020-01-01 end=2020-01-02"],
    ] {
        assert_eq!(answer(&ask(&args)), answer(&sql(store.path(), &args)), "{args:?}");
    }
    // What SET changes stays, and the server judges it at once.
    let set = ask(&[
        "--format",
        "csv",
        "-c",
        "\\timing on",
        "-c",
        "SET hourglass.rollups = false; SELECT count(*) AS n FROM events",
    ]);
    assert_eq!(text(&set.stdout), "n\n600\n");
    assert!(
        !text(&set.stderr).contains("rollup") && text(&set.stderr).contains("10 files"),
        "{}",
        text(&set.stderr)
    );
    let refused = ask(&["-c", "SET datafusion.runtime.memory_limit = '1G'"]);
    assert_eq!(refused.status.code(), Some(65));
    assert!(text(&refused.stderr).contains("cannot be set here"), "{}", text(&refused.stderr));
    // Faults have their place, and long answers all their rows.
    let fault = ask(&["-c", "SELECT 1,\n  klicks FROM hours"]);
    assert_eq!(fault.status.code(), Some(65));
    assert!(
        text(&fault.stderr).contains("  2 |   klicks FROM hours\n        ^\n"),
        "{}",
        text(&fault.stderr)
    );
    let long = ask(&[
        "--format",
        "csv",
        "-c",
        "\\timing",
        "-c",
        "SELECT a.user_id FROM events a, events b",
    ]);
    assert_eq!(text(&long.stdout).lines().count(), 360_001);
    assert!(text(&long.stderr).starts_with("360,000 rows · "), "{}", text(&long.stderr));
    let missing = ask(&["-c", "\\run nothing"]);
    assert!(
        text(&missing.stderr).contains("there is no query nothing"),
        "{}",
        text(&missing.stderr)
    );
}
