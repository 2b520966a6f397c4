"""psycopg 3: transactions, cursors of the server, binary values, pipelines, COPY, prepared statements, its pool, async, cancel."""

import datetime
import os
import threading
import time
from decimal import Decimal

import psycopg
import psycopg_pool
from psycopg.rows import dict_row

import check
from check import COLUMNS, LOGIN, Checks, Skip, coroutine, equal, events, holds, refused, select

checks = Checks()
INSERT = f"INSERT INTO events ({COLUMNS}) VALUES (%s, %s, %s, %s, %s)"
LONG = "SELECT count(*) FROM generate_series(1, 10000000000)"


def connect(**options):
    return psycopg.connect(**options)


@checks
def login(hour):
    with connect() as connection:
        info = connection.info
        equal(info.server_version >= 150000, True, f"server_version {info.server_version}")
        equal((info.encoding, str(info.timezone)), ("utf-8", "UTC"))
        equal(connection.pgconn.ssl_in_use, LOGIN == "tls", "TLS in use")
        equal(connection.pgconn.used_password, LOGIN != "open", "a password was used")
        equal(info.parameter_status("integer_datetimes"), "on")
        equal(info.parameter_status("standard_conforming_strings"), "on")
        equal(info.parameter_status("server_encoding"), "UTF8")


@checks
def wrong_password(hour):
    if LOGIN == "open":
        raise Skip("no password is asked for")
    for password in ("wrong", check.PASSWORD + "x", "ů", ""):
        error = refused(lambda: connect(password=password or "-"), sqlstate=None, call=lambda call: call())
        check.contains(str(error), "FATAL")


@checks
def roles_of_tokens(hour):
    if LOGIN == "open":
        raise Skip("there are no tokens")
    with connect(password=os.environ["CHECK_READ_TOKEN"], autocommit=True) as connection:
        equal(connection.execute("SELECT 1").fetchone(), (1,))
        refused(INSERT, events(hour, 1)[0], sqlstate="42501", call=connection.execute)
        equal(connection.execute("SELECT 2").fetchone(), (2,))
    with connect(password=os.environ["CHECK_WRITE_TOKEN"], autocommit=True) as connection:
        connection.execute(INSERT, events(hour, 1)[0])
        refused("SELECT * FROM events", sqlstate="42501", call=connection.execute)
    holds(hour, events(hour, 1))


@checks
def autocommit(hour):
    with connect(autocommit=True) as connection:
        for event in events(hour):
            equal(connection.execute(INSERT, event).statusmessage, "INSERT 0 1")
        equal(connection.execute(select(hour)).fetchall(), events(hour))
    holds(hour, events(hour))


@checks
def a_transaction_is_stored_by_its_commit(hour):
    with connect() as connection:
        for event in events(hour):
            connection.execute(INSERT, event)
        equal(connection.info.transaction_status.name, "INTRANS")
        holds(hour, [])
        connection.commit()
        holds(hour, events(hour))
        connection.execute(INSERT, events(hour)[0])
        connection.rollback()
    holds(hour, events(hour))


@checks
def an_error_fails_the_transaction(hour):
    with connect() as connection:
        connection.execute(INSERT, events(hour)[0])
        refused("SELECT nothing FROM events", sqlstate="42703", call=connection.execute)
        equal(connection.info.transaction_status.name, "INERROR")
        refused("SELECT 1", sqlstate="25P02", call=connection.execute)
        connection.rollback()
        equal(connection.execute("SELECT 1").fetchone(), (1,))
    holds(hour, [])


@checks
def savepoints(hour):
    rows = events(hour)
    with connect() as connection:
        with connection.transaction():
            connection.execute(INSERT, rows[0])
            try:
                with connection.transaction():
                    connection.execute(INSERT, rows[1])
                    connection.execute("SELECT 1 / 0")
            except psycopg.errors.DivisionByZero:
                pass
            with connection.transaction():
                connection.execute(INSERT, rows[2])
    holds(hour, [rows[0], rows[2]])


@checks
def a_transaction_reads_one_snapshot(hour):
    with connect() as reader, connect(autocommit=True) as writer:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        equal(reader.execute(select(hour)).fetchall(), [])
        writer.execute(INSERT, events(hour)[0])
        equal(reader.execute(select(hour)).fetchall(), [])
        reader.commit()
        equal(reader.execute(select(hour)).fetchall(), events(hour)[:1])


@checks
def read_only_transactions_refuse_events(hour):
    with connect() as connection:
        connection.read_only = True
        refused(INSERT, events(hour)[0], sqlstate="25006", call=connection.execute)
    holds(hour, [])


@checks
def cursors_of_the_server(hour):
    rows = events(hour, 500)
    with connect() as connection:
        connection.cursor().executemany(INSERT, rows)
        connection.commit()
        with connection.cursor("rows of events") as cursor:
            cursor.itersize = 70
            cursor.execute(select(hour))
            equal(cursor.fetchone(), rows[0])
            equal(cursor.fetchmany(9), rows[1:10])
            equal(list(cursor), rows[10:])
        with connection.cursor("binary", binary=True) as cursor:
            cursor.execute(select(hour))
            equal(cursor.fetchall(), rows)
    holds(hour, rows)


@checks
def scrolling_and_held_cursors_and_their_parameters(hour):
    with connect() as connection:
        with connection.cursor("held", withhold=True) as cursor:
            cursor.execute("SELECT * FROM generate_series(1, 10)")
            connection.commit()
            equal(cursor.fetchmany(3), [(1,), (2,), (3,)])
        with connection.cursor("with parameters") as cursor:
            cursor.execute("SELECT i FROM generate_series(1, 10) t (i) WHERE i > %s AND i <> %s", [7, 9])
            equal(cursor.fetchall(), [(8,), (10,)])
        with connection.cursor("forward", scrollable=False) as cursor:
            cursor.execute("SELECT * FROM generate_series(1, 10)")
            cursor.scroll(4)
            equal(cursor.fetchone(), (5,))


VALUES = [
    ("true", True),
    ("7::int2", 7),
    ("7::int4", 7),
    ("9007199254740993::int8", 9007199254740993),
    ("0.1::float4", 0.1),
    ("0.1::float8", 0.1),
    ("'text'", "text"),
    ("'2024-02-29'::date", datetime.date(2024, 2, 29)),
    ("'2024-02-29 12:34:56.789012'::timestamp", datetime.datetime(2024, 2, 29, 12, 34, 56, 789012)),
    ("'2024-02-29 12:34:56.789012+00'::timestamptz", datetime.datetime(2024, 2, 29, 12, 34, 56, 789012, check.UTC)),
    ("'12:34:56.789'::time", datetime.time(12, 34, 56, 789000)),
    ("'1 day 02:03:04'::interval", datetime.timedelta(days=1, hours=2, minutes=3, seconds=4)),
    ("'-1 day'::interval", datetime.timedelta(days=-1)),
    ("ARRAY[1, 2, NULL]", [1, 2, None]),
    ("ARRAY['a b', NULL, 'c\"d']", ["a b", None, 'c"d']),
    ("NULL", None),
    ("NULL::int4", None),
    ("'\\x00ff'::bytea", b"\x00\xff"),
]


@checks
def values_in_text_and_binary(hour):
    values = [*VALUES, ("12345.6700::numeric(12, 4)", Decimal("12345.6700")), ("-0.001::numeric(10, 3)", Decimal("-0.001"))]
    problems = []
    with connect(autocommit=True) as connection:
        for binary in (False, True):
            for sql, expected in values:
                try:
                    [found] = connection.execute(f"SELECT {sql}", binary=binary).fetchone()
                    found = round(found, 6) if isinstance(found, float) else found
                    if (found, type(found)) != (expected, type(expected)):
                        problems.append(f"{sql}, binary={binary}: {found!r}, expected {expected!r}")
                except psycopg.Error as error:
                    problems.append(f"{sql}, binary={binary}: {error}")
    equal(problems, [])


@checks
def parameters_in_text_and_binary(hour):
    values = [1, -(2**40), 2**62, 1.5, True, False, "text", "", None, b"\x00\x01", Decimal("1.50"), datetime.date(2024, 2, 29)]
    values += [datetime.datetime(2024, 2, 29, 1, 2, 3, 456789, check.UTC), datetime.datetime(2024, 2, 29, 1, 2, 3), datetime.time(1, 2, 3)]
    values += [datetime.timedelta(days=1, seconds=2), [1, 2, 3], ["a", "b c"], check.ODD_TEXTS]
    problems = []
    with connect(autocommit=True) as connection:
        for mark in ("%s", "%t", "%b"):
            for value in values:
                try:
                    array = "::text[]" if isinstance(value, list) and isinstance(value[0], str) else ""
                    [found] = connection.execute(f"SELECT {mark}{array}", [value]).fetchone()
                    if found != value:
                        problems.append(f"{mark} of {value!r}: {found!r}")
                except psycopg.Error as error:
                    problems.append(f"{mark} of {value!r}: {error}")
    equal(problems, [])


@checks
def parameters_in_conditions(hour):
    rows = events(hour)
    with connect(autocommit=True) as connection:
        connection.cursor().executemany(INSERT, rows)
        sql = "SELECT user_id FROM events WHERE timestamp BETWEEN %s AND %s AND event = ANY(%s) ORDER BY timestamp LIMIT %s"
        found = connection.execute(sql, [hour, hour + datetime.timedelta(minutes=30), ["click", "signup"], 2]).fetchall()
        equal(found, [(row.user_id,) for row in rows if row.event != "impression"][:2])
        found = connection.execute("SELECT count(*) FROM events WHERE date = %s AND hour = %s", [hour.date(), hour.hour]).fetchone()
        equal(found, (8,))
        found = connection.execute("SELECT event FROM events WHERE page = %s AND timestamp >= %s", [rows[5].page, hour]).fetchall()
        equal(found, [(rows[5].event,)])


@checks
def pipelines(hour):
    rows = events(hour, 40)
    with connect(autocommit=True) as connection, connection.pipeline() as pipeline:
        cursors = [connection.execute("SELECT %s + 1", [i]) for i in range(50)]
        for row in rows:
            connection.execute(INSERT, row)
        pipeline.sync()
        equal([cursor.fetchone()[0] for cursor in cursors], [i + 1 for i in range(50)])
    holds(hour, rows)


@checks
def an_error_in_a_pipeline(hour):
    rows = events(hour, 3)
    with connect(autocommit=True) as connection:
        try:
            with connection.pipeline():
                connection.execute(INSERT, rows[0])
                connection.execute("SELECT nothing")
                connection.execute(INSERT, rows[1])
        except psycopg.errors.UndefinedColumn:
            pass
        connection.execute(INSERT, rows[2])
    # The statements before the error are one transaction with it, and those after it are passed over.
    holds(hour, rows[2:])


@checks
def executemany_in_a_transaction(hour):
    rows = events(hour, 1000)
    with connect() as connection:
        with connection.cursor() as cursor:
            cursor.executemany(INSERT, rows)
            equal(cursor.rowcount, 1000)
        with connection.cursor() as cursor:
            cursor.executemany("SELECT %s::int4", [[1], [2]], returning=True)
            found = [cursor.fetchone()]
            while cursor.nextset():
                found.append(cursor.fetchone())
            equal(found, [(1,), (2,)])
    holds(hour, rows)


@checks
def copy_in_and_out_as_text(hour):
    rows = events(hour, 300)
    with connect(autocommit=True) as connection, connection.cursor() as cursor:
        with cursor.copy(f"COPY events ({COLUMNS}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        equal(cursor.rowcount, 300)
        with cursor.copy(f"COPY ({select(hour)}) TO STDOUT") as copy:
            copy.set_types(["timestamptz", "text", "text", "text", "text"])
            equal(list(copy.rows()), rows)
    holds(hour, rows)


@checks
def copy_in_and_out_as_binary(hour):
    rows = events(hour, 300)
    types = ["timestamptz", "text", "text", "text", "text"]
    with connect(autocommit=True) as connection, connection.cursor() as cursor:
        with cursor.copy(f"COPY events ({COLUMNS}) FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)
        with cursor.copy(f"COPY ({select(hour)}) TO STDOUT (FORMAT binary)") as copy:
            copy.set_types(types)
            equal(list(copy.rows()), rows)
    holds(hour, rows)


@checks
def a_copy_that_fails_stores_nothing(hour):
    with connect(autocommit=True) as connection:

        def copy_then_fail():
            with connection.cursor().copy(f"COPY events ({COLUMNS}) FROM STDIN") as copy:
                copy.write_row(events(hour)[0])
                raise ValueError("the caller gives up")

        check.raises(ValueError, copy_then_fail)
        bad = f"{hour:%Y-%m-%d %H:%M:%S}+00\tana\tclick\t\\N\t\\N\nnot a time\tana\tclick\t\\N\t\\N\n"

        def copy_bad():
            with connection.cursor().copy(f"COPY events ({COLUMNS}) FROM STDIN") as copy:
                copy.write(bad)

        error = refused(sqlstate="22007", call=copy_bad)
        check.contains(error.diag.context or "", "line 2")
        equal(connection.execute("SELECT 1").fetchone(), (1,))
    holds(hour, [])


@checks
def statements_are_prepared_after_five_executions(hour):
    with connect(autocommit=True) as connection:
        for i in range(12):
            equal(connection.execute("SELECT %s::int8 * 2", [i]).fetchone(), (i * 2,))
        found = connection.execute("SELECT %s::text", ["x"], prepare=True).fetchone()
        equal(found, ("x",))
        connection.execute("DEALLOCATE ALL")
        connection.prepare_threshold = None
        equal(connection.execute("SELECT %s::int8", [1]).fetchone(), (1,))


@checks
def columns_of_a_result(hour):
    with connect(autocommit=True) as connection:
        sql = "SELECT timestamp, user_id, event, page, date, hour, count(*) AS count FROM events GROUP BY 1, 2, 3, 4, 5, 6 LIMIT 0"
        cursor = connection.execute(sql)
        equal([column.name for column in cursor.description], ["timestamp", "user_id", "event", "page", "date", "hour", "count"])
        equal([column.type_display for column in cursor.description], ["timestamptz", "text", "text", "text", "date", "int4", "int8"])
        found = connection.cursor(row_factory=dict_row).execute("SELECT count(*) AS count, 1 AS one FROM (SELECT 1) t").fetchone()
        equal(found, {"count": 1, "one": 1})


@checks
def cancel(hour):
    with connect(autocommit=True) as connection:
        started = time.monotonic()
        timer = threading.Timer(1, connection.cancel_safe)
        timer.start()
        refused(LONG, sqlstate="57014", call=connection.execute)
        timer.join()
        equal(time.monotonic() - started < 10, True, "cancelled soon")
        equal(connection.execute("SELECT 1").fetchone(), (1,))


@checks
def statement_timeout(hour):
    with connect(autocommit=True) as connection:
        connection.execute("SET statement_timeout = '500ms'")
        refused(LONG, sqlstate="57014", call=connection.execute)
        connection.execute("RESET statement_timeout")
        equal(connection.execute("SELECT 1").fetchone(), (1,))


@checks
def a_pool(hour):
    with psycopg_pool.ConnectionPool(min_size=2, max_size=4, timeout=20, check=psycopg_pool.ConnectionPool.check_connection) as pool:
        pool.wait()

        def store(row):
            with pool.connection() as connection:
                connection.execute(INSERT, row)

        threads = [threading.Thread(target=store, args=[row]) for row in events(hour, 20)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        with pool.connection() as connection:
            equal(connection.execute(select(hour)).fetchall(), events(hour, 20))
    holds(hour, events(hour, 20))


@checks
@coroutine
async def async_connections_and_their_pool(hour):
    rows = events(hour)
    async with await psycopg.AsyncConnection.connect() as connection:
        await connection.execute("SELECT 1")
        async with connection.cursor() as cursor:
            await cursor.executemany(INSERT, rows)
    async with psycopg_pool.AsyncConnectionPool(min_size=1, max_size=3, open=False) as pool:
        async with pool.connection() as connection:
            async with connection.cursor("server side") as cursor:
                await cursor.execute(select(hour))
                equal([row async for row in cursor], rows)
    holds(hour, rows)


@checks
def several_statements_in_one_text(hour):
    with connect(autocommit=True) as connection:
        cursor = connection.execute("SELECT 1; SELECT 'two' AS b; SELECT 3 LIMIT 0")
        found = [cursor.fetchall()]
        while cursor.nextset():
            found.append(cursor.fetchall())
        equal(found, [[(1,)], [("two",)], []])


@checks
def settings(hour):
    with connect(autocommit=True, application_name="checks", options="-c statement_timeout=12345") as connection:
        equal(connection.execute("SHOW application_name").fetchone(), ("checks",))
        equal(connection.execute("SHOW statement_timeout").fetchone(), ("12345ms",))
        connection.execute("SELECT set_config('application_name', 'other', false)")
        equal(connection.info.parameter_status("application_name"), "other")
        equal(connection.execute("SELECT current_setting('application_name')").fetchone(), ("other",))
        equal(connection.execute("SELECT current_database(), current_user, current_schema()").fetchone(), (check.DATABASE, check.USER, "public"))


@checks
def types_by_name(hour):
    with connect(autocommit=True) as connection:
        info = psycopg.types.TypeInfo.fetch(connection, "text")
        equal((info.oid, info.array_oid), (25, 1009))
        equal(psycopg.types.TypeInfo.fetch(connection, "no_such_type"), None)


@checks
def errors_have_a_position(hour):
    with connect(autocommit=True) as connection:
        error = refused("SELECT user_id, nothing FROM events", sqlstate="42703", call=connection.execute)
        equal(error.diag.statement_position, "17")
        equal(error.diag.severity_nonlocalized, "ERROR")
        refused("SELEC 1", sqlstate="42601", call=connection.execute)
        refused("SELECT * FROM no_such_table", sqlstate="42P01", call=connection.execute)
        refused("SELECT no_such_function(1)", sqlstate="42883", call=connection.execute)
        refused("SELECT 'x'::int4", sqlstate="22P02", call=connection.execute)
        refused(f"INSERT INTO events ({COLUMNS}) VALUES (NULL, 'a', 'click', 'p', 'r')", sqlstate="23502", call=connection.execute)
        refused("INSERT INTO events (user_id, nothing) VALUES ('a', 'b')", sqlstate="42703", call=connection.execute)


@checks
def a_large_result(hour):
    with connect(autocommit=True) as connection:
        for binary in (False, True):
            cursor = connection.execute("SELECT * FROM generate_series(1, 300000)", binary=binary)
            equal(sum(row[0] for row in cursor), 300000 * 300001 // 2)
        total = 0
        for [value] in connection.cursor().stream("SELECT * FROM generate_series(1, 10000)"):
            total += value
        equal(total, 10000 * 10001 // 2)


if __name__ == "__main__":
    checks.run(psycopg.__version__)
