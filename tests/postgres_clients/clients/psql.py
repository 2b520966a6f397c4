"""psql: meta-commands, scripts and their errors, \\copy, variables, cancel."""

import csv
import io
import os
import pathlib
import re
import signal
import subprocess
import time

import check
from check import COLUMNS, LOGIN, Checks, Skip, contains, equal, events, holds, select

checks = Checks()
LONG = "SELECT count(*) FROM generate_series(1, 10000000000)"


def psql(*arguments, script=None, code=0, **variables):
    """Standard output and error of psql with these arguments; `script` is its input."""
    command = ["psql", "-X", *arguments]
    done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=50, env=os.environ | {"PAGER": "cat"} | variables)
    equal(done.returncode, code, f"exit code of {arguments}, which says {done.stderr.strip()!r}")
    return done.stdout, done.stderr


def answer(*arguments, script=None):
    """Standard output; nothing may be on standard error."""
    out, complaint = psql(*arguments, script=script)
    equal(complaint, "", f"standard error of {arguments} {script or ''}")
    return out


def insert(*rows):
    values = ", ".join("(" + ", ".join("NULL" if value is None else literal(value) for value in row) + ")" for row in rows)
    return f"INSERT INTO events ({COLUMNS}) VALUES {values};\n"


def literal(value):
    text = value.isoformat() if hasattr(value, "isoformat") else value
    return "'" + text.replace("'", "''") + "'"


@checks
def rows_and_their_table(hour):
    answer("-c", insert(*events(hour)))
    out = answer("-c", f"SELECT event, count(*) FROM events WHERE {check.span(hour)} GROUP BY event ORDER BY event")
    expected = "   event    | count \n------------+-------\n click      |     3\n impression |     3\n signup     |     2\n(3 rows)\n\n"
    equal(out, expected)
    holds(hour, events(hour))


@checks
def output_formats(hour):
    answer("-c", insert(*events(hour)))
    found = list(csv.reader(io.StringIO(answer("--csv", "-c", select(hour)))))
    equal(found[0], COLUMNS.split(", "))
    equal([row[1:4] for row in found[1:]], [[row.user_id, row.event, row.page] for row in events(hour)])
    equal(answer("-Atc", "SELECT 1, NULL, 'x'"), "1||x\n")
    contains(answer("-xc", "SELECT 1 AS one"), "-[ RECORD 1 ]", "one | 1")
    contains(answer("-Hc", "SELECT 1 AS one"), "<table", "one")


@checks
def names_of_columns(hour):
    out = answer("-Ac", "SELECT 1, 'x', count(*), 1::int8, lower('A'), 1 + 1, true, max(2) FROM (SELECT 1) t")
    equal(out.splitlines()[0], "?column?|?column?|count|int8|lower|?column?|?column?|max")


@checks
def describe_the_table(hour):
    out = answer("-c", "\\d events")
    contains(out, 'Table "public.events"')
    for column, kind in (("timestamp", "timestamp with time zone"), ("user_id", "text"), ("event", "text"), ("page", "text"), ("date", "date"), ("hour", "integer")):
        equal(bool(re.search(rf"^ {column} +\| {kind} +\|", out, re.MULTILINE)), True, f"{column} as {kind} in {out}")
    for column in ("timestamp", "user_id", "event"):
        equal(bool(re.search(rf"^ {column} .*not null", out, re.MULTILINE)), True, f"{column} is not null in {out}")
    contains(answer("-c", "\\d+ events"), "Storage")


@checks
def lists_of_relations(hour):
    contains(answer("-c", "\\d"), "events", "hours", "public")
    contains(answer("-c", "\\dt"), "events")
    contains(answer("-c", "\\dt+"), "events")
    contains(answer("-c", "\\dv"), "hours")
    contains(answer("-c", "\\d hours"), 'View "public.hours"', "unique_users")
    contains(answer("-c", "\\dt public.ev*"), "events")
    contains(psql("-c", "\\d no_such_table", code=1)[1], 'Did not find any relation named "no_such_table"')


@checks
def other_lists(hour):
    problems = []
    for command in ("\\l", "\\l+", "\\dn", "\\dn+", "\\du", "\\df", "\\di", "\\ds", "\\dT", "\\dx", "\\dp", "\\db", "\\da", "\\do", "\\dC", "\\dD",
                    "\\dO", "\\dF", "\\dL", "\\dm", "\\dE", "\\det", "\\dew", "\\dRp", "\\dRs", "\\ddp", "\\dconfig", "\\dA", "\\dX", "\\dy", "\\des"):
        try:
            psql("-v", "ON_ERROR_STOP=1", "-c", command)
        except AssertionError as error:
            problems.append(f"{command}: {error}")
    equal(problems, [])
    contains(answer("-c", "\\l"), check.DATABASE)
    contains(answer("-c", "\\dn"), "public")
    contains(answer("-c", "\\du"), "hourglass")


@checks
def conninfo(hour):
    out = answer("-c", "\\conninfo")
    contains(out, f'You are connected to database "{check.DATABASE}" as user "{check.USER}"', str(check.PORT))
    if LOGIN == "tls":
        contains(out, "SSL connection (protocol: TLSv1.3")
    equal(answer("-Atc", "\\echo :SERVER_VERSION_NUM")[:2], "15")


@checks
def no_warning_of_another_version(hour):
    out, complaint = psql(script="SELECT 1;\n\\c\nSELECT 2;\n")
    equal(complaint, "")
    contains(out, "You are now connected to database")


@checks
def copy_in_and_out(hour):
    rows = events(hour, 100)
    names = ", ".join(["timestamp", "user_id", "event", "page", "referrer"])
    with open("in.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS.split(", "))
        writer.writerows([row.timestamp.isoformat(), *(row[1:])] for row in rows)
    equal(answer("-c", f"\\copy events ({names}) from in.csv csv header"), "COPY 100\n")
    holds(hour, rows)
    query = select(hour)
    equal(answer("-c", f"\\copy ({query}) to out.csv with (format csv, header)"), "COPY 100\n")
    with open("out.csv", newline="") as file:
        found = list(csv.reader(file))
    equal([row[1:] for row in found[1:]], [["" if value is None else value for value in row[1:]] for row in rows])
    equal(answer("-c", f"\\copy ({query}) to out.txt"), "COPY 100\n")
    equal(answer("-c", f"\\copy ({query}) to out.bin binary"), "COPY 100\n")
    equal(pathlib.Path("out.bin").read_bytes()[:11], b"PGCOPY\n\xff\r\n\0")


@checks
def what_was_copied_out_comes_back(hour):
    answer("-c", insert(*events(hour, 50)))
    formats = ("", "csv", "binary")
    for options in formats:
        answer("-c", f"\\copy ({select(hour)}) to moved{options} {options}")
    for copied, options in enumerate(formats, 2):
        answer("-c", f"\\copy events ({COLUMNS}) from moved{options} {options}")
        holds(hour, events(hour, 50) * copied)


@checks
def copy_by_standard_input(hour):
    rows = [row._replace(page="p", referrer=None) for row in events(hour)]
    lines = "".join(f"{row.timestamp.isoformat()}\t{row.user_id}\t{row.event}\tp\t\\N\n" for row in rows)
    out = answer(script=f"COPY events ({COLUMNS}) FROM STDIN;\n{lines}\\.\nSELECT 1 AS one;\n")
    contains(out, "COPY 8", "one")
    holds(hour, rows)
    out = answer("-c", f"COPY ({select(hour, 'user_id')}) TO STDOUT")
    equal(out.splitlines(), [row.user_id for row in rows])


@checks
def an_error_of_copy_names_its_line(hour):
    lines = f"{hour.isoformat()}\tana\tclick\n{hour.isoformat()}\tana\n\\.\n"
    _, complaint = psql(script=f"COPY events (timestamp, user_id, event) FROM STDIN;\n{lines}")
    contains(complaint, 'missing data for column "event"', "COPY events, line 2")
    holds(hour, [])


@checks
def variables(hour):
    answer("-c", insert(*events(hour)))
    script = f"\\set kind click\nSELECT count(*) AS clicks FROM events WHERE event = :'kind' AND {check.span(hour)} \\gset\n\\echo :clicks\n"
    equal(answer("-At", script=script), "3\n")
    equal(answer("-At", "-v", "column=user_id", script="SELECT max(:\"column\") FROM (VALUES ('a'), ('b')) t (user_id);\n"), "b\n")
    equal(answer("-At", script="SELECT 1 UNION SELECT 2;\n\\echo :ROW_COUNT :SQLSTATE :ERROR\n").splitlines()[-1], "2 00000 false")
    out, _ = psql("-At", script="SELECT nothing;\n\\echo :SQLSTATE :LAST_ERROR_MESSAGE\n")
    contains(out, "42703")


@checks
def statements_that_are_made_by_statements(hour):
    equal(answer("-At", script="SELECT 'SELECT ' || i FROM generate_series(1, 3) t (i) ORDER BY 1 \\gexec\n"), "1\n2\n3\n")


@checks
def timing_and_describing(hour):
    contains(answer(script="\\timing on\nSELECT 1;\n"), "Time: ")
    out = answer("-At", script=f"{select(hour, 'timestamp, user_id, date, hour', 'timestamp')} \\gdesc\n")
    equal(out, "timestamp|timestamp with time zone\nuser_id|text\ndate|date\nhour|integer\n")
    contains(answer(script="INSERT INTO events (timestamp, user_id, event) VALUES ('2020-01-01Z', 'a', 'click') \\gdesc\n"), "has no result")


@checks
def crosstab(hour):
    answer("-c", insert(*events(hour)))
    out = answer("-A", script=f"SELECT user_id, event, count(*) FROM events WHERE {check.span(hour)} GROUP BY 1, 2 ORDER BY 1, 2 \\crosstabview\n")
    equal(out.splitlines()[:3], ["user_id|click|signup|impression", "user 0|1|1|", "user 1|1||1"])


@checks
def rows_by_a_cursor(hour):
    script = "\\set FETCH_COUNT 100\nSELECT * FROM generate_series(1, 1005);\nSELECT count(*) FROM generate_series(1, 7);\n"
    equal(answer("-At", script=script).split(), [str(i) for i in range(1, 1006)] + ["7"])


@checks
def watch(hour):
    process = subprocess.Popen(["psql", "-XAt"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdin.write("SELECT 'seen' \\watch 0.1\n")
    process.stdin.flush()
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    out, complaint = process.communicate(timeout=20)
    equal(out.count("seen") >= 3, True, f"results {out!r}")
    # Where the signal comes in the middle of a statement, it is cancelled.
    cancelled = ("Cancel request sent", "ERROR:  canceling statement due to user request")
    equal([line for line in complaint.splitlines() if line not in cancelled], [])


@checks
def several_commands(hour):
    first, second = events(hour, 2)
    equal(answer("-At", "-c", insert(first), "-c", "SELECT 1; SELECT 2", "-c", insert(second)).split("\n"), ["INSERT 0 1", "1", "2", "INSERT 0 1", ""])
    holds(hour, [first, second])


@checks
def a_text_of_several_statements_is_one_transaction(hour):
    _, complaint = psql("-c", f"{insert(events(hour)[0])} SELECT nothing", code=1)
    contains(complaint, "ERROR")
    holds(hour, [])


@checks
def an_error_in_a_transaction_of_a_file(hour):
    first, second, third = events(hour, 3)
    pathlib.Path("script.sql").write_text(f"BEGIN;\n{insert(first)}SELECT nothing;\n{insert(second)}COMMIT;\n{insert(third)}")
    out, complaint = psql("-f", "script.sql")
    equal(out, "BEGIN\nINSERT 0 1\nROLLBACK\nINSERT 0 1\n")
    contains(complaint, "psql:script.sql:3: ERROR:", "LINE 1: SELECT nothing;", "\n               ^", "psql:script.sql:4: ERROR:  current transaction is aborted")
    holds(hour, [third])


@checks
def on_error_stop(hour):
    first, second = events(hour, 2)
    pathlib.Path("stop.sql").write_text(f"{insert(first)}SELECT nothing;\n{insert(second)}")
    out, _ = psql("-v", "ON_ERROR_STOP=1", "-f", "stop.sql", code=3)
    equal(out, "INSERT 0 1\n")
    holds(hour, [first])


@checks
def a_file_as_one_transaction(hour):
    first, second = events(hour, 2)
    pathlib.Path("one.sql").write_text(insert(first) + insert(second))
    equal(answer("-1", "-f", "one.sql"), "INSERT 0 1\nINSERT 0 1\n")
    pathlib.Path("bad.sql").write_text(insert(first) + "SELECT nothing;")
    psql("-v", "ON_ERROR_STOP=1", "-1", "-f", "bad.sql", code=3)
    holds(hour, [first, second])


@checks
def rollback_of_single_statements(hour):
    script = "\\set AUTOCOMMIT off\n\\set ON_ERROR_ROLLBACK on\n" + insert(events(hour)[0]) + "SELECT nothing;\n" + insert(events(hour)[1]) + "COMMIT;\n"
    psql(script=script)
    holds(hour, events(hour)[:2])


@checks
def warnings(hour):
    contains(psql("-c", "COMMIT")[1], "WARNING:  there is no transaction in progress")
    contains(psql(script="BEGIN;\nBEGIN;\n")[1], "WARNING:  there is already a transaction in progress")


@checks
def details_of_an_error(hour):
    _, complaint = psql(script="SELECT nothing;\n\\errverbose\n")
    contains(complaint, "ERROR:  42703:", "LINE 1: SELECT nothing;")


@checks
def cancel_by_the_keyboard(hour):
    process = subprocess.Popen(["psql", "-XAt"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdin.write(f"{LONG};\n")
    process.stdin.flush()
    time.sleep(2)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    complaint = process.communicate(timeout=30)[1]
    contains(complaint, "ERROR:  canceling statement due to user request")
    equal(time.monotonic() - started < 5, True, "it was cancelled soon")


@checks
def a_client_that_is_killed_stores_nothing(hour):
    process = subprocess.Popen(["psql", "-XAt"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdin.write("BEGIN;\n" + insert(*events(hour)) + "SELECT 'inserted';\n")
    process.stdin.flush()
    equal([process.stdout.readline() for _ in range(3)], ["BEGIN\n", "INSERT 0 8\n", "inserted\n"])
    process.kill()
    process.communicate()
    holds(hour, [])


@checks
def urls_and_parameters(hour):
    equal(answer("-At", check.URL + "?application_name=by%20url", "-c", "SHOW application_name"), "by url\n")
    out, _ = psql("-Atc", "SHOW statement_timeout", PGOPTIONS="-c statement_timeout=5s")
    equal(out, "5s\n")
    equal(answer("-Atc", "SHOW client_encoding"), "UTF8\n")
    equal(answer("-Atc", "SELECT current_user"), f"{check.USER}\n")
    equal(subprocess.run(["pg_isready"], capture_output=True).returncode, 0, "pg_isready")


@checks
def logins_that_are_refused(hour):
    if LOGIN == "open":
        raise Skip("no password is asked for")
    _, complaint = psql("-w", "-c", "SELECT 1", code=2, PGPASSWORD="wrong")
    contains(complaint, "FATAL")
    command = ["psql", "-Xwc", "SELECT 1"]
    without = {name: value for name, value in os.environ.items() if name != "PGPASSWORD"}
    contains(subprocess.run(command, env=without, capture_output=True, text=True).stderr, "no password supplied")


@checks
def tls_is_required(hour):
    if LOGIN != "tls":
        raise Skip("this server has no certificate")
    _, complaint = psql("-wc", "SELECT 1", code=2, PGSSLMODE="disable")
    contains(complaint, "FATAL")
    equal(psql("-Atc", "SELECT 1", PGSSLMODE="require")[0], "1\n")
    equal(psql("-Atc", "SELECT 1", PGSSLMODE="prefer")[0], "1\n")


@checks
def tls_is_not_offered(hour):
    if LOGIN == "tls":
        raise Skip("this server has a certificate")
    equal(psql("-Atc", "SELECT 1", PGSSLMODE="prefer")[0], "1\n")
    contains(psql("-Atc", "SELECT 1", PGSSLMODE="require", code=2)[1], "server does not support SSL")


@checks
def help_of_settings(hour):
    contains(answer("-c", "SHOW ALL"), "server_version")
    contains(answer("-At", script="SET statement_timeout = '3s';\nSHOW statement_timeout;\nRESET statement_timeout;\nSET TIME ZONE 'UTC';\nSHOW timezone;\n"), "3s", "UTC")
    equal(answer("-Atc", "SELECT version()")[:13], "PostgreSQL 15")


if __name__ == "__main__":
    checks.run(subprocess.run(["psql", "--version"], capture_output=True, text=True).stdout.split()[2])
