"""pg8000, a driver in Python alone: parameters, transactions, values, COPY."""

import datetime
import io
import ssl
from decimal import Decimal

import pg8000.dbapi
import pg8000.native

import check
from check import COLUMNS, LOGIN, Checks, contains, equal, events, holds, raises, select

checks = Checks()
INSERT = f"INSERT INTO events ({COLUMNS}) VALUES (%s, %s, %s, %s, %s)"


def options():
    context = ssl.create_default_context(cafile=check.os.environ["PGSSLROOTCERT"]) if LOGIN == "tls" else None
    return {"user": check.USER, "host": check.HOST, "port": check.PORT, "database": check.DATABASE, "password": check.PASSWORD, "ssl_context": context, "timeout": 40}


def connect():
    return pg8000.dbapi.connect(**options())


@checks
def a_transaction(hour):
    connection = connect()
    cursor = connection.cursor()
    for row in events(hour):
        cursor.execute(INSERT, row)
    holds(hour, [])
    connection.commit()
    cursor.execute(INSERT, events(hour)[0])
    connection.rollback()
    holds(hour, events(hour))
    cursor.execute(select(hour).replace("%", "%%"))
    equal([tuple(row) for row in cursor.fetchall()], [tuple(row) for row in events(hour)])
    equal([column[0] for column in cursor.description], COLUMNS.split(", "))
    connection.close()


@checks
def executemany(hour):
    connection = connect()
    connection.cursor().executemany(INSERT, events(hour, 100))
    connection.commit()
    connection.close()
    holds(hour, events(hour, 100))


@checks
def named_parameters(hour):
    connection = pg8000.native.Connection(**options())
    equal(connection.run("SELECT :a::int8 + 1 AS more, :b AS text", a=41, b="ž"), [[42, "ž"]])
    equal([column["name"] for column in connection.columns], ["more", "text"])
    found = connection.run("SELECT * FROM generate_series(1, 9) LIMIT :most::int8", most=2)
    equal(found, [[1], [2]])
    prepared = connection.prepare("SELECT :a::int8 * 2")
    equal([prepared.run(a=i) for i in range(3)], [[[0]], [[2]], [[4]]])
    prepared.close()
    connection.close()


@checks
def values(hour):
    connection = pg8000.native.Connection(**options())
    for kind, value in [
        ("int4", 7),
        ("int8", -(2**62)),
        ("float8", 0.1),
        ("numeric", Decimal("1.50")),
        ("bool", True),
        ("text", "quote ' and \\ ž"),
        ("date", datetime.date(2024, 2, 29)),
        ("time", datetime.time(1, 2, 3)),
        ("timestamp", datetime.datetime(2024, 2, 29, 1, 2, 3, 4)),
        ("timestamptz", datetime.datetime(2024, 2, 29, 1, 2, 3, 4, check.UTC)),
        ("interval", datetime.timedelta(days=1, seconds=2)),
        ("bytea", b"\x00\xff"),
        ("int4[]", [1, None, 3]),
        ("text[]", ["a b", 'c"d']),
        ("text", None),
    ]:
        equal(connection.run(f"SELECT :value::{kind}", value=value), [[value]], kind)
    connection.close()


@checks
def copy_in_and_out(hour):
    rows = events(hour)
    connection = connect()
    cursor = connection.cursor()
    lines = "".join("\t".join("\\N" if value is None else escaped(value) for value in row) + "\n" for row in rows)
    cursor.execute(f"COPY events ({COLUMNS}) FROM STDIN", stream=io.BytesIO(lines.encode()))
    connection.commit()
    out = io.BytesIO()
    cursor.execute(f"COPY ({select(hour, 'user_id', 'timestamp')}) TO STDOUT WITH (FORMAT csv)", stream=out)
    equal(out.getvalue().decode().split("\n")[:-1], [row.user_id for row in rows])
    connection.close()
    holds(hour, rows)


def escaped(value):
    text = value.isoformat() if hasattr(value, "isoformat") else value
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


@checks
def errors(hour):
    connection = pg8000.native.Connection(**options())
    error = raises(pg8000.native.DatabaseError, connection.run, "SELECT nothing")
    equal(error.args[0]["C"], "42703")
    equal(connection.run("SELECT 1"), [[1]])
    connection.close()
    if LOGIN != "open":
        error = raises(pg8000.native.DatabaseError, pg8000.native.Connection, **options() | {"password": "wrong"})
        contains(str(error), "28P01")


if __name__ == "__main__":
    checks.run(pg8000.__version__)
