"""asyncpg: fetch, its pool, prepared statements, cursors, COPY, executemany, types of columns, cancel."""

import asyncio
import datetime
import io
from decimal import Decimal

import asyncpg

import check
from check import COLUMNS, LOGIN, Checks, Skip, coroutine, equal, events, holds, select

checks = Checks()
INSERT = f"INSERT INTO events ({COLUMNS}) VALUES ($1, $2, $3, $4, $5)"
NAMES = COLUMNS.split(", ")


def connect(**options):
    return asyncpg.connect(timeout=20, **options)


@checks
@coroutine
async def login(hour):
    connection = await connect()
    equal(connection.get_server_version().major, 15)
    equal(await connection.fetchval("SELECT 1"), 1)
    equal(connection.get_settings().server_encoding, "UTF8")
    await connection.close()
    if LOGIN != "open":
        try:
            await connect(password="wrong")
        except asyncpg.InvalidPasswordError:
            return
        raise AssertionError("a wrong password was taken")


@checks
@coroutine
async def fetch(hour):
    connection = await connect()
    for row in events(hour):
        equal(await connection.execute(INSERT, *row), "INSERT 0 1")
    found = await connection.fetch(select(hour))
    equal([tuple(row) for row in found], [tuple(row) for row in events(hour)])
    equal(list(found[0].keys()), NAMES)
    row = await connection.fetchrow("SELECT count(*), min(timestamp) FROM events WHERE timestamp >= $1 AND timestamp < $2", hour, hour + datetime.timedelta(hours=1))
    equal(dict(row), {"count": 8, "min": hour})
    equal(await connection.fetchval("SELECT count(*) FROM events WHERE event = ANY($1) AND date = $2 AND hour = $3", ["click", "signup"], hour.date(), hour.hour), 5)
    equal([row[0] for row in await connection.fetch("SELECT * FROM generate_series(1, 10) ORDER BY 1 LIMIT $1 OFFSET $2", 2, 3)], [4, 5])
    await connection.close()
    holds(hour, events(hour))


@checks
@coroutine
async def transactions_and_savepoints(hour):
    rows = events(hour)
    connection = await connect()
    async with connection.transaction(isolation="repeatable_read"):
        await connection.execute(INSERT, *rows[0])
        try:
            async with connection.transaction():
                await connection.execute(INSERT, *rows[1])
                await connection.fetch("SELECT nothing")
        except asyncpg.UndefinedColumnError:
            pass
        await connection.execute(INSERT, *rows[2])
        holds(hour, [])
    holds(hour, [rows[0], rows[2]])
    async with connection.transaction(readonly=True):
        equal(await connection.fetchval("SELECT 1"), 1)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(INSERT, *rows[3])
    await transaction.rollback()
    holds(hour, [rows[0], rows[2]])
    await connection.close()


@checks
@coroutine
async def prepared_statements(hour):
    connection = await connect()
    statement = await connection.prepare("SELECT $1::int8 * 2 AS twice, $2::text AS name")
    equal([(kind.name, kind.kind) for kind in statement.get_parameters()], [("int8", "scalar"), ("text", "scalar")])
    equal([(column.name, column.type.name) for column in statement.get_attributes()], [("twice", "int8"), ("name", "text")])
    for i in range(8):
        equal(tuple(await statement.fetchrow(i, "ž")), (i * 2, "ž"))
    statement = await connection.prepare(INSERT)
    equal([kind.name for kind in statement.get_parameters()], ["timestamptz", "text", "text", "text", "text"])
    await statement.executemany(events(hour))
    statement = await connection.prepare("SELECT user_id FROM events WHERE timestamp >= $1 AND event = $2 AND hour = $3 AND date = $4")
    equal([kind.name for kind in statement.get_parameters()], ["timestamptz", "text", "int4", "date"])
    await connection.close()
    holds(hour, events(hour))


@checks
@coroutine
async def cursors(hour):
    connection = await connect()
    async with connection.transaction():
        equal([row[0] async for row in connection.cursor("SELECT * FROM generate_series(1, 1000)", prefetch=77)], list(range(1, 1001)))
        cursor = await connection.cursor("SELECT * FROM generate_series(1, 100) t (i) WHERE i > $1", 10)
        equal((await cursor.fetchrow())[0], 11)
        equal([row[0] for row in await cursor.fetch(5)], [12, 13, 14, 15, 16])
        equal(await cursor.forward(3), 3)
        equal([row[0] for row in await cursor.fetch(2)], [20, 21])
    await connection.close()


@checks
@coroutine
async def copy_records_to_table(hour):
    rows = events(hour, 500)
    connection = await connect()
    equal(await connection.copy_records_to_table("events", records=rows, columns=NAMES, timeout=20), "COPY 500")
    await connection.close()
    holds(hour, rows)


@checks
@coroutine
async def copy_to_and_from(hour):
    rows = events(hour, 100)
    connection = await connect()
    await connection.executemany(INSERT, rows)
    moved = io.BytesIO()
    status = await connection.copy_from_query(
        f"SELECT {COLUMNS} FROM events WHERE timestamp >= $1 AND timestamp < $2 ORDER BY timestamp", hour, hour + datetime.timedelta(hours=1), output=moved, format="csv", header=True
    )
    equal(status, "COPY 100")
    moved.seek(0)
    equal(await connection.copy_to_table("events", source=moved, columns=NAMES, format="csv", header=True), "COPY 100")
    out = io.BytesIO()
    equal((await connection.copy_from_table("events", columns=["user_id"], output=out, format="binary"))[:5], "COPY ")
    equal(out.getvalue()[:11], b"PGCOPY\n\xff\r\n\0")
    await connection.close()
    equal(check.counts(hour), check.counts_of(rows + rows))


@checks
@coroutine
async def executemany(hour):
    rows = events(hour, 1000)
    connection = await connect()
    await connection.executemany(INSERT, rows)
    holds(hour, rows)
    bad = [rows[0], (rows[1].timestamp, None, "click", None, None)]
    try:
        await connection.executemany(INSERT, bad)
        raise AssertionError("a NULL user was taken")
    except asyncpg.NotNullViolationError:
        pass
    found = await connection.fetchmany("SELECT $1::int4 + 1", [(1,), (2,)])
    equal([tuple(row) for row in found], [(2,), (3,)])
    await connection.close()
    # They are one transaction, of which nothing is left.
    holds(hour, rows)


@checks
@coroutine
async def types(hour):
    connection = await connect()
    values = [
        ("bool", True),
        ("int2", -5),
        ("int4", 2**31 - 1),
        ("int8", -(2**62)),
        ("float4", 0.5),
        ("float8", 0.1),
        ("numeric", Decimal("-12345.678900")),
        ("text", "ž\n"),
        ("varchar", "v"),
        ("bytea", b"\x00\xff"),
        ("date", datetime.date(1969, 2, 28)),
        ("time", datetime.time(1, 2, 3, 456)),
        ("timestamp", datetime.datetime(1969, 12, 31, 23, 59, 59, 999999)),
        ("timestamptz", datetime.datetime(2026, 11, 26, 1, 2, 3, 4, check.UTC)),
        ("interval", datetime.timedelta(days=3, seconds=4, microseconds=5)),
        ("int4[]", [1, None, 3]),
        ("text[]", ["a", None, "c d", ""]),
        ("float8[]", [0.5, None]),
        ("timestamptz[]", [datetime.datetime(2026, 11, 26, tzinfo=check.UTC)]),
    ]
    problems = []
    for kind, value in values:
        for given in (value, None):
            try:
                found = await connection.fetchval(f"SELECT $1::{kind}", given)
                if found != given:
                    problems.append(f"{kind} {given!r}: {found!r}")
            except Exception as error:
                problems.append(f"{kind} {given!r}: {type(error).__name__}: {error}")
    await connection.close()
    equal(problems, [])


@checks
@coroutine
async def types_of_all_columns(hour):
    connection = await connect()
    expected = {"timestamp": "timestamptz", "user_id": "text", "event": "text", "page": "text", "referrer": "text", "date": "date", "hour": "int4"}
    statement = await connection.prepare("SELECT * FROM events")
    equal({column.name: column.type.name for column in statement.get_attributes()}, expected)
    statement = await connection.prepare("SELECT * FROM hours")
    expected = {"hour": "timestamptz", "unique_users": "int8", "clicks": "int8", "impressions": "int8", "signup": "int8"}
    equal({column.name: column.type.name for column in statement.get_attributes()}, expected)
    problems = []
    for table in ("partitions", "files", "commits", "wal", "settings", "queries") if not check.IS_POSTGRESQL else ():
        try:
            await connection.fetch(f"SELECT * FROM system.{table}")
        except Exception as error:
            problems.append(f"system.{table}: {type(error).__name__}: {error}")
    await connection.close()
    equal(problems, [])


@checks
@coroutine
async def a_type_is_looked_up(hour):
    connection = await connect()
    equal(await connection.fetchval("SELECT ARRAY[DATE '2024-02-29']"), [datetime.date(2024, 2, 29)])
    found = await connection.fetchval("SELECT ARRAY['a'::name]" if check.IS_POSTGRESQL else "SELECT ARRAY['a']")
    equal(found, ["a"])
    await connection.set_type_codec("json", encoder=str, decoder=lambda text: ("decoded", text), schema="pg_catalog")
    await connection.reset_type_codec("json", schema="pg_catalog")
    await connection.reload_schema_state()
    await connection.close()


@checks
@coroutine
async def a_pool(hour):
    rows = events(hour, 40)
    async with asyncpg.create_pool(min_size=2, max_size=4, timeout=20) as pool:
        await asyncio.gather(*(pool.execute(INSERT, *row) for row in rows))
        async with pool.acquire() as connection:
            async with connection.transaction():
                await connection.execute("SET application_name = 'changed'")
        found = await asyncio.gather(*(pool.fetchval("SELECT $1::int4", i) for i in range(30)))
        equal(found, list(range(30)))
        async with pool.acquire() as connection:
            equal(await connection.fetchval("SHOW application_name") != "changed", True, "RESET ALL")
    holds(hour, rows)


@checks
@coroutine
async def cancel_and_timeouts(hour):
    connection = await connect()
    try:
        await connection.fetch("SELECT count(*) FROM generate_series(1, 10000000000)", timeout=1)
        raise AssertionError("no time-out")
    except asyncio.TimeoutError:
        pass
    equal(await connection.fetchval("SELECT 1"), 1)
    task = asyncio.create_task(connection.fetch("SELECT count(*) FROM generate_series(1, 10000000000)"))
    await asyncio.sleep(1)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
    equal(await connection.fetchval("SELECT 2"), 2)
    await connection.close()


@checks
@coroutine
async def errors(hour):
    connection = await connect()
    for kind, sql in [
        (asyncpg.UndefinedColumnError, "SELECT nothing FROM events"),
        (asyncpg.UndefinedTableError, "SELECT * FROM nothing"),
        (asyncpg.PostgresSyntaxError, "SELEC 1"),
        (asyncpg.DivisionByZeroError, "SELECT 1 / 0"),
        (asyncpg.InvalidTextRepresentationError, "SELECT 'x'::int4"),
    ]:
        try:
            await connection.fetch(sql)
            raise AssertionError(f"no error of {sql}")
        except kind as error:
            equal(bool(error.position) or kind in (asyncpg.DivisionByZeroError, asyncpg.InvalidTextRepresentationError), True, f"position of {sql}")
    equal(await connection.fetchval("SELECT 1"), 1)
    await connection.close()


@checks
@coroutine
async def tls(hour):
    if LOGIN != "tls":
        raise Skip("this server has no certificate")
    connection = await connect(ssl="verify-full")
    equal(bool(connection._transport.get_extra_info("ssl_object")), True, "TLS")
    await connection.close()
    connection = await connect(ssl="require", direct_tls=True)
    equal(await connection.fetchval("SELECT 1"), 1)
    await connection.close()


@checks
@coroutine
async def scripts(hour):
    connection = await connect()
    equal(await connection.execute("SELECT 1; SELECT 2"), "SELECT 1")
    await connection.reset()
    await connection.close()


if __name__ == "__main__":
    checks.run(asyncpg.__version__)
