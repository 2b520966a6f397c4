"""connectorx: Arrow by its protocols, a query in partitions, types."""

import datetime
import importlib.metadata

import connectorx
import psycopg

import check
from check import COLUMNS, Checks, Event, equal, events, holds, select

checks = Checks()
PROTOCOLS = ("binary", "csv", "cursor", "simple")


def store(hour, count=50):
    with psycopg.connect() as connection:
        connection.cursor().executemany(f"INSERT INTO events ({COLUMNS}) VALUES (%s, %s, %s, %s, %s)", events(hour, count))
    return events(hour, count)


def read(sql, **options):
    return connectorx.read_sql(check.URL, sql, return_type="arrow", **options)


@checks
def protocols(hour):
    rows = store(hour)
    problems = []
    for protocol in PROTOCOLS:
        try:
            found = [Event(*row.values()) for row in read(select(hour), protocol=protocol).to_pylist()]
            equal(found, rows)
        except Exception as error:
            problems.append(f"{protocol}: {str(error)[:300]}")
    equal(problems, [])
    holds(hour, rows)


@checks
def partitions(hour):
    store(hour)
    sql = f"SELECT extract(minute FROM timestamp)::int8 AS minute, user_id FROM events WHERE {check.span(hour)}"
    found = read(sql, partition_on="minute", partition_num=3)
    equal(sorted(found["user_id"].to_pylist()), sorted(row.user_id for row in events(hour, 50)))


@checks
def types(hour):
    sql = """SELECT 1::int2 AS a, 2::int4 AS b, 3::int8 AS c, 0.5::float4 AS d, 0.25::float8 AS e, true AS f, 'ž'::text AS g,
        DATE '2024-02-29' AS h, TIMESTAMP '2024-02-29 01:02:03.000004' AS i, TIMESTAMPTZ '2024-02-29 01:02:03.000004Z' AS j, NULL::int8 AS k"""
    at = datetime.datetime(2024, 2, 29, 1, 2, 3, 4)
    [found] = read(sql).to_pylist()
    expected = [1, 2, 3, 0.5, 0.25, True, "ž", datetime.date(2024, 2, 29), at, at.replace(tzinfo=check.UTC), None]
    equal(list(found.values()), expected)


@checks
def many_rows(hour):
    found = read("SELECT i FROM generate_series(1, 200000) t (i)")
    equal(sum(found["i"].to_pylist()), 200000 * 200001 // 2)


if __name__ == "__main__":
    checks.run(importlib.metadata.version("connectorx"))
