"""What BI tools, dashboards and drivers send: the statements of the corpus, and dashboards whose numbers are compared.

The corpus is tests/suite/sql/postgres.sql, which the golden test of the query layer shares: here its texts come by the protocol.
"""

import datetime
import pathlib
import re

import psycopg

import check
from check import COLUMNS, IS_POSTGRESQL, Checks, Skip, equal, events, holds

checks = Checks()
CORPUS = pathlib.Path(__file__).resolve().parents[2] / "suite/sql/postgres.sql"
INSERT = f"INSERT INTO events ({COLUMNS}) VALUES (%s, %s, %s, %s, %s)"
# Texts of the corpus that are there for their errors, or are about what PostgreSQL itself does not have.
ERRORS = ("nope", "LATIN1", "relkind = k", "statement_timeout = '1ms'", "search_path = system", r"'\x0'::bytea", "'2026-13'", "'(4,0)'::tid", "'(0,1)'::tid")
NOT_OF_POSTGRESQL = ("system.", "pg_is_wal_replay_paused")


def connect():
    return psycopg.connect(autocommit=True)


def statements():
    """The texts of the corpus; a line that begins with two dashes says whose the next one is."""
    if not CORPUS.exists():
        raise Skip("this version has no corpus, tests/suite/sql/postgres.sql")
    texts = re.split(r"^-- .*$", CORPUS.read_text(), flags=re.MULTILINE)
    return [text.strip().rstrip(";") for text in texts if text.strip()]


def replay(run):
    """Runs the statements by one connection, none of which may be refused."""
    problems = []
    passed_over = ERRORS + (NOT_OF_POSTGRESQL if IS_POSTGRESQL else ())
    with connect() as connection:
        for text in statements():
            if any(part in text for part in passed_over):
                continue
            try:
                run(connection, text)
                if text.upper().startswith("SET"):
                    connection.execute("RESET ALL")
            except psycopg.Error as error:
                problems.append(f"{' '.join(text.split())[:160]}: {error.sqlstate} {str(error).splitlines()[0]}")
                if connection.closed:
                    raise AssertionError(f"the connection ended at {problems[-1]}")
    equal(len(problems), 0, f"refused, of {len(statements())}: {problems}")


@checks
def the_corpus_by_the_simple_protocol(hour):
    replay(lambda connection, text: psycopg.ClientCursor(connection).execute(text))


@checks
def the_corpus_by_the_extended_protocol(hour):
    replay(extended)


def extended(connection, text):
    """Parse, describe, bind and execute, with binary results where PostgreSQL has them for every type."""
    result = connection.pgconn.exec_params(text.encode(), [], result_format=0 if IS_POSTGRESQL else 1)
    if result.status == psycopg.pq.ExecStatus.FATAL_ERROR:
        kind = psycopg.errors.lookup(result.error_field(psycopg.pq.DiagnosticField.SQLSTATE).decode())
        raise kind(result.get_error_message())


def store(connection, hour, count=60):
    rows = events(hour, count)
    connection.cursor().executemany(INSERT, rows)
    return rows


@checks
def grafana_a_time_series(hour):
    """$__timeFilter, $__timeGroup and $__unixEpochFilter as Grafana expands them, by the simple protocol."""
    with connect() as connection:
        rows = store(connection, hour)
        low, high = f"{hour:%Y-%m-%dT%H:%M:%SZ}", f"{hour + datetime.timedelta(minutes=59, seconds=59):%Y-%m-%dT%H:%M:%SZ}"
        first, last = int(hour.timestamp()), int(hour.timestamp()) + 3599
        groups = "floor(extract(epoch from timestamp)/600)*600"
        filters = [f"timestamp BETWEEN '{low}' AND '{high}'", f"extract(epoch from timestamp) >= {first} AND extract(epoch from timestamp) <= {last}"]
        expected = {}
        for row in rows:
            if row.timestamp.timestamp() <= last:
                start = row.timestamp.timestamp() // 600 * 600
                expected[start, row.event] = expected.get((start, row.event), 0) + 1
        for where in filters:
            sql = f'SELECT {groups} AS "time", event AS metric, count(*) AS "events" FROM events WHERE {where} GROUP BY 1, 2 ORDER BY 1, 2'
            found = {(float(at), kind): count for at, kind, count in psycopg.ClientCursor(connection).execute(sql)}
            equal(found, expected, sql)


@checks
def grafana_tables_and_columns(hour):
    with connect() as connection:
        sql = "SELECT quote_ident(table_name) AS \"table\" FROM information_schema.tables WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog', 'system')"
        equal(sorted(connection.execute(sql).fetchall()), [("events",), ("hours",), ("visitors",)])
        sql = "SELECT quote_ident(column_name) AS \"column\", data_type AS \"type\" FROM information_schema.columns WHERE quote_ident(table_name) = 'events'"
        found = dict(connection.execute(sql).fetchall())
        kinds = {"timestamp": "timestamp with time zone", "user_id": "text", "event": "text", "page": "text", "referrer": "text", "date": "date", "hour": "integer"}
        # An identifier that is a keyword is quoted by PostgreSQL.
        equal({name.strip('"'): kind for name, kind in found.items()}, kinds)


@checks
def metabase_a_question(hour):
    """Its names are qualified and quoted, its time zone is set, its rows come by a cursor."""
    with psycopg.connect() as connection:
        rows = store(connection, hour)
        connection.commit()
        connection.execute("SET SESSION TIMEZONE TO 'UTC'")
        sql = """-- Metabase:: userID: 1 queryType: MBQL queryHash: abc
            SELECT DATE_TRUNC('hour', "public"."events"."timestamp") AS "timestamp", "public"."events"."event" AS "event", COUNT(*) AS "count",
                COUNT(DISTINCT "public"."events"."user_id") AS "users" FROM "public"."events"
            WHERE ("public"."events"."timestamp" >= %s) AND ("public"."events"."timestamp" < %s)
            GROUP BY DATE_TRUNC('hour', "public"."events"."timestamp"), "public"."events"."event"
            ORDER BY DATE_TRUNC('hour', "public"."events"."timestamp") ASC, "public"."events"."event" ASC LIMIT 2000"""
        found = connection.execute(sql, [hour, hour + datetime.timedelta(hours=1)]).fetchall()
        users = {kind: len({row.user_id for row in rows if row.event == kind}) for kind in ("click", "impression", "signup")}
        equal(found, [(hour, kind, 20, users[kind]) for kind in ("click", "impression", "signup")])
    holds(hour, rows)


@checks
def metabase_fields_of_a_table(hour):
    with connect() as connection:
        sql = """SELECT n.nspname AS schema, c.relname AS name, a.attname AS field, t.typname AS kind FROM pg_catalog.pg_class c
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
            JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
            WHERE c.relkind IN ('r', 'p', 'v', 'f', 'm') AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname !~ '^pg_' AND n.nspname = 'public' ORDER BY 2, 3"""
        found = [row[1:] for row in connection.execute(sql).fetchall()]
        expected = [("date", "date"), ("event", "text"), ("hour", "int4"), ("page", "text"), ("referrer", "text"), ("timestamp", "timestamptz"), ("user_id", "text")]
        equal([row[1:] for row in found if row[0] == "events"], expected)
        kinds = [("clicks", "int8"), ("hour", "timestamptz"), ("impressions", "int8"), ("signup", "int8"), ("unique_users", "int8")]
        equal([row[1:] for row in found if row[0] == "hours"], kinds)


@checks
def superset_a_chart(hour):
    """It wraps a statement, and asks for the type of each column by LIMIT 0."""
    with connect() as connection:
        rows = store(connection, hour)
        inner = f"SELECT * FROM events WHERE {check.span(hour)}"
        cursor = connection.execute(f"SELECT * FROM ({inner}) AS virtual_table LIMIT 0")
        equal("timestamp" in [column.name for column in cursor.description], True)
        sql = f"""SELECT DATE_TRUNC('hour', timestamp) AS timestamp, event AS event, COUNT(*) AS count FROM ({inner}) AS virtual_table
            WHERE timestamp >= TO_TIMESTAMP('{hour:%Y-%m-%d %H:%M:%S}.000000', 'YYYY-MM-DD HH24:MI:SS.US') AND timestamp < TO_TIMESTAMP('{hour + datetime.timedelta(hours=1):%Y-%m-%d %H:%M:%S}.000000', 'YYYY-MM-DD HH24:MI:SS.US')
            GROUP BY DATE_TRUNC('hour', timestamp), event ORDER BY count DESC, event LIMIT 10000"""
        equal(connection.execute(sql).fetchall(), [(hour, kind, 20) for kind in ("click", "impression", "signup")])
    holds(hour, rows)


@checks
def tableau_rows_by_a_cursor(hour):
    """As psqlODBC does it: several statements in a text, a cursor that is held, and FETCH by number."""
    with connect() as connection:
        rows = store(connection, hour)
        run = lambda text: psycopg.ClientCursor(connection).execute(text)
        run("SET DateStyle = 'ISO';SET extra_float_digits = 2;show transaction_isolation")
        run(f'BEGIN;declare "SQL_CUR0x1" cursor with hold for SELECT "events"."event" AS "event", COUNT(1) AS "n" FROM "public"."events" "events" '
            f'WHERE {check.span(hour).replace("timestamp", chr(34) + "events" + chr(34) + "." + chr(34) + "timestamp" + chr(34))} GROUP BY 1 ORDER BY 1')
        cursor = run('fetch 2 in "SQL_CUR0x1"')
        equal(cursor.fetchall(), [("click", 20), ("impression", 20)])
        run("COMMIT")
        equal(run('fetch 2048 in "SQL_CUR0x1"').fetchall(), [("signup", 20)])
        run('close "SQL_CUR0x1"')
    holds(hour, rows)


@checks
def dbeaver_the_first_rows(hour):
    with connect() as connection:
        rows = store(connection, hour)
        connection.execute("SET application_name = 'DBeaver 24 - Main <hourglass>'")
        equal(connection.execute("SELECT current_schema(), session_user").fetchone(), ("public", check.USER))
        found = connection.execute(f"SELECT e.timestamp, e.user_id FROM public.events e WHERE {check.span(hour)} ORDER BY 1 LIMIT 200").fetchall()
        equal(found, [row[:2] for row in rows])
        [count] = connection.execute(f"SELECT count(*) FROM (SELECT * FROM public.events WHERE {check.span(hour)}) dbvrcnt").fetchone()
        equal(count, 60)


if __name__ == "__main__":
    checks.run(f"{len(statements())} statements" if CORPUS.exists() else "no corpus")
