"""psycopg2: execute_values, copy_expert, named cursors, transactions, values, cancel."""

import datetime
import io
import threading
from decimal import Decimal

import psycopg2
import psycopg2.extras
import psycopg2.pool

import check
from check import COLUMNS, LOGIN, Checks, equal, events, holds, refused, select

checks = Checks()
INSERT = f"INSERT INTO events ({COLUMNS}) VALUES (%s, %s, %s, %s, %s)"


def connect(**options):
    return psycopg2.connect("", **options)


def fetch(connection, sql, parameters=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


@checks
def login(hour):
    connection = connect()
    equal(connection.server_version // 10000, 15)
    equal((connection.encoding, connection.info.used_password), ("UTF8", LOGIN != "open"))
    connection.close()


@checks
def a_transaction(hour):
    connection = connect()
    with connection, connection.cursor() as cursor:
        for row in events(hour):
            cursor.execute(INSERT, row)
        holds(hour, [])
    holds(hour, events(hour))
    equal(fetch(connection, select(hour)), [tuple(row) for row in events(hour)])
    connection.close()


@checks
def execute_values_and_batches(hour):
    rows = events(hour, 600)
    connection = connect()
    with connection, connection.cursor() as cursor:
        psycopg2.extras.execute_values(cursor, f"INSERT INTO events ({COLUMNS}) VALUES %s", rows[:400], page_size=150)
        psycopg2.extras.execute_batch(cursor, INSERT, rows[400:500], page_size=30)
        cursor.executemany(INSERT, rows[500:])
    holds(hour, rows)
    connection.close()


@checks
def copy_in_and_out(hour):
    rows = events(hour, 100)
    connection = connect()
    with connection, connection.cursor() as cursor:
        lines = "".join("\t".join("\\N" if value is None else escaped(value) for value in row) + "\n" for row in rows)
        cursor.copy_expert(f"COPY events ({COLUMNS}) FROM STDIN", io.StringIO(lines))
        equal(cursor.rowcount, 100)
    with connection, connection.cursor() as cursor:
        out = io.StringIO()
        cursor.copy_expert(f"COPY ({select(hour, 'user_id, event, page, referrer', 'timestamp')}) TO STDOUT", out)
        equal(out.getvalue(), "".join("\t".join("\\N" if value is None else escaped(value) for value in row[1:]) + "\n" for row in rows))
    holds(hour, rows)
    connection.close()


def escaped(value):
    text = value.isoformat() if hasattr(value, "isoformat") else value
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


@checks
def copy_from_and_copy_to(hour):
    rows = [row._replace(page=f"/{i}", referrer=None) for i, row in enumerate(events(hour))]
    connection = connect()
    with connection, connection.cursor() as cursor:
        lines = "".join(f"{row.timestamp.isoformat()}|{row.user_id}|{row.event}|{row.page}\n" for row in rows)
        cursor.copy_from(io.StringIO(lines), "events", sep="|", columns=["timestamp", "user_id", "event", "page"])
    with connection, connection.cursor() as cursor:
        out = io.StringIO()
        cursor.copy_to(out, "events", columns=["user_id", "event"])
        equal(len(out.getvalue()) > 0, True)
    holds(hour, rows)
    connection.close()


@checks
def named_cursors(hour):
    rows = [tuple(row) for row in events(hour, 300)]
    connection = connect()
    with connection, connection.cursor() as cursor:
        psycopg2.extras.execute_values(cursor, f"INSERT INTO events ({COLUMNS}) VALUES %s", rows)
    with connection, connection.cursor("rows") as cursor:
        cursor.itersize = 50
        cursor.execute(select(hour))
        equal(cursor.fetchmany(7), rows[:7])
        equal(list(cursor), rows[7:])
    with connection, connection.cursor("held", withhold=True) as cursor:
        cursor.execute("SELECT * FROM generate_series(1, 5)")
        connection.commit()
        equal(cursor.fetchall(), [(i,) for i in range(1, 6)])
    connection.close()


@checks
def values(hour):
    connection = connect()
    values = [
        ("1::int2", 1),
        ("9007199254740993", 9007199254740993),
        ("1.50::numeric(5, 2)", Decimal("1.50")),
        ("0.1::float8", 0.1),
        ("true", True),
        ("'ž'", "ž"),
        ("NULL", None),
        ("'2024-02-29'::date", datetime.date(2024, 2, 29)),
        ("'2024-02-29 01:02:03.000004'::timestamp", datetime.datetime(2024, 2, 29, 1, 2, 3, 4)),
        ("'2024-02-29 01:02:03.000004Z'::timestamptz", datetime.datetime(2024, 2, 29, 1, 2, 3, 4, check.UTC)),
        ("ARRAY[1, 2, NULL]", [1, 2, None]),
        ("ARRAY['a', 'b c', NULL]", ["a", "b c", None]),
        ("INTERVAL '1 day'", datetime.timedelta(days=1)),
    ]
    for sql, expected in values:
        equal(fetch(connection, f"SELECT {sql}"), [(expected,)], sql)
    odd = [*check.ODD_TEXTS, Decimal("1.5"), datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 1, 2, 3, 4, check.UTC), ["a", "b"], True]
    for value in odd:
        [(found,)] = fetch(connection, "SELECT %s", [value])
        equal(found, value, f"literal {value!r}")
    [(found,)] = fetch(connection, "SELECT %s", [b"\x00\xff"])
    equal(bytes(found), b"\x00\xff", "bytea")
    connection.close()


@checks
def rows_as_dictionaries(hour):
    connection = connect(cursor_factory=psycopg2.extras.RealDictCursor)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), max(i) AS most FROM generate_series(1, 9) t (i)")
        equal(dict(cursor.fetchone()), {"count": 9, "most": 9})
    connection.close()


@checks
def errors(hour):
    connection = connect()
    with connection.cursor() as cursor:
        refused("SELECT nothing", sqlstate="42703", call=cursor.execute)
        refused("SELECT 1", sqlstate="25P02", call=cursor.execute)
        connection.rollback()
        error = refused("INSERT INTO events (timestamp, user_id, event) VALUES ('2026-01-01Z', 'a', 'no such kind')", sqlstate=check_violation(), call=cursor.execute)
        check.contains(str(error), "event")
        connection.rollback()
        cursor.execute("SELECT 1")
        equal(cursor.fetchall(), [(1,)])
    connection.close()


def check_violation():
    """That of a kind that is not declared."""
    return "23514"


@checks
def sessions(hour):
    connection = connect()
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True, autocommit=False)
    equal(fetch(connection, "SHOW transaction_isolation"), [("repeatable read",)])
    with connection.cursor() as cursor:
        refused(INSERT, events(hour)[0], sqlstate="25006", call=cursor.execute)
    connection.rollback()
    connection.set_session(readonly=False, autocommit=True)
    connection.reset()
    connection.set_client_encoding("UTF8")
    connection.close()


@checks
def cancel(hour):
    connection = connect()
    timer = threading.Timer(1, connection.cancel)
    timer.start()
    with connection.cursor() as cursor:
        refused("SELECT count(*) FROM generate_series(1, 10000000000)", sqlstate="57014", call=cursor.execute)
    connection.rollback()
    equal(fetch(connection, "SELECT 1"), [(1,)])
    connection.close()


@checks
def its_pool(hour):
    pool = psycopg2.pool.ThreadedConnectionPool(1, 4, "")
    for _ in range(8):
        connection = pool.getconn()
        equal(fetch(connection, "SELECT 1"), [(1,)])
        pool.putconn(connection)
    pool.closeall()


@checks
def two_phases_are_refused(hour):
    connection = connect()
    connection.tpc_begin(connection.xid(1, "global", "branch"))
    refused(sqlstate="55000" if check.IS_POSTGRESQL else "0A000", call=connection.tpc_prepare)
    connection.close()


if __name__ == "__main__":
    checks.run(psycopg2.__version__.split()[0])
