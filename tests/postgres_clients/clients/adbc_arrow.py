"""ADBC's PostgreSQL driver: fetch, parameters, objects, ingest."""

import importlib.metadata

import adbc_driver_postgresql.dbapi
import pyarrow

import check
from check import COLUMNS, Checks, Event, contains, equal, events, holds, raises, select

checks = Checks()
SCHEMA = pyarrow.schema([("timestamp", pyarrow.timestamp("us", "UTC"))] + [(name, pyarrow.string()) for name in COLUMNS.split(", ")[1:]])


def connect(**options):
    return adbc_driver_postgresql.dbapi.connect(check.URL, **options)


def table(rows):
    return pyarrow.Table.from_pylist([row._asdict() for row in rows], SCHEMA)


@checks
def ingest_and_fetch(hour):
    rows = events(hour, 500)
    with connect() as connection, connection.cursor() as cursor:
        equal(cursor.adbc_ingest("events", table(rows[:300]), mode="append") in (300, -1), True)
        cursor.adbc_ingest("events", table(rows[300:]).to_reader(), mode="append", db_schema_name="public")
        holds(hour, [])
        connection.commit()
        holds(hour, rows)
        cursor.execute(select(hour))
        found = cursor.fetch_arrow_table()
        equal(found.schema.field("timestamp").type, pyarrow.timestamp("us", "UTC"))
        equal([Event(*row.values()) for row in found.to_pylist()], rows)


@checks
def types(hour):
    sql = """SELECT 1::int2 AS a, 2::int4 AS b, 3::int8 AS c, 0.5::float4 AS d, 0.25::float8 AS e, true AS f, 'ž'::text AS g, '\\x00ff'::bytea AS h,
        DATE '2024-02-29' AS i, TIMESTAMP '2024-02-29 01:02:03' AS j, ARRAY[1, NULL, 3] AS k, NULL::int8 AS l"""
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        found = cursor.fetch_arrow_table()
        kinds = [str(kind) for kind in found.schema.types]
        equal(kinds[:9] + kinds[11:], ["int16", "int32", "int64", "float", "double", "bool", "string", "binary", "date32[day]", "int64"])
        [row] = found.to_pylist()
        equal([row[name] for name in "abcdefghkl"], [1, 2, 3, 0.5, 0.25, True, "ž", b"\x00\xff", [1, None, 3], None])
        cursor.execute("SELECT 1.50::numeric(5, 2) AS n")
        equal(cursor.fetchone()[0], "1.50")


@checks
def types_of_the_tables(hour):
    with connect() as connection:
        found = connection.adbc_get_table_schema("events", db_schema_filter="public")
        expected = {"timestamp": "timestamp[us, tz=UTC]", "user_id": "string", "event": "string", "page": "string", "referrer": "string", "date": "date32[day]", "hour": "int32"}
        equal({field.name: str(field.type) for field in found}, expected)


@checks
def parameters(hour):
    rows = events(hour)
    with connect() as connection, connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO events ({COLUMNS}) VALUES ($1, $2, $3, $4, $5)", table(rows))
        connection.commit()
        holds(hour, rows)
        cursor.execute("SELECT user_id FROM events WHERE timestamp >= $1 AND event = $2 ORDER BY timestamp LIMIT 3", (hour, "click"))
        equal([row[0] for row in cursor.fetchall()], [row.user_id for row in rows if row.event == "click"][:3])
        connection.rollback()


@checks
def objects(hour):
    with connect() as connection:
        [catalog] = [one for one in connection.adbc_get_objects(depth="all").read_all().to_pylist() if one["catalog_name"] == check.DATABASE]
        [public] = [schema for schema in catalog["catalog_db_schemas"] if schema["db_schema_name"] == "public"]
        tables = {one["table_name"]: one for one in public["db_schema_tables"]}
        equal({name: one["table_type"] for name, one in tables.items()}, {"events": "table", "hours": "view", "visitors": "view"})
        equal({column["column_name"] for column in tables["events"]["table_columns"]}, {"timestamp", "user_id", "event", "page", "referrer", "date", "hour"})
        equal("table" in connection.adbc_get_table_types(), True)
        equal(connection.adbc_get_info()["vendor_name"], "PostgreSQL")


@checks
def errors_and_autocommit(hour):
    with connect(autocommit=True) as connection, connection.cursor() as cursor:
        error = raises(Exception, cursor.execute, "SELECT nothing")
        contains(str(error), "nothing")
        equal(getattr(error, "sqlstate", None), "42703")
        cursor.execute("SELECT 1 AS one")
        equal(cursor.fetchall(), [(1,)])


@checks
def many_rows(hour):
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT i FROM generate_series(1, 300000) t (i)")
        equal(sum(batch.column(0).to_pylist()[0] >= 1 and batch.num_rows for batch in cursor.fetch_record_batch()), 300000)


@checks
def an_ingest_that_is_refused(hour):
    bad = table(events(hour)[:1]).set_column(2, "event", [["no such kind"]])
    with connect(autocommit=True) as connection, connection.cursor() as cursor:
        raises(Exception, cursor.adbc_ingest, "events", bad, mode="append")
        raises(Exception, cursor.adbc_ingest, "nothing", bad, mode="append")
        cursor.execute("SELECT 1 AS one")
        equal(cursor.fetchall(), [(1,)])
    holds(hour, [])


if __name__ == "__main__":
    checks.run(importlib.metadata.version("adbc-driver-postgresql"))
