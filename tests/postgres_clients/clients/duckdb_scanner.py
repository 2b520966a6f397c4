"""DuckDB's postgres scanner: ATTACH, conditions that it hands on, INSERT by COPY, its own functions."""

import importlib.metadata
import importlib.util
import os
import pathlib

import duckdb

import check
from check import COLUMNS, Checks, Event, Skip, equal, events, holds

checks = Checks()


def attach():
    """The extension comes from a package, where that is installed, else from DuckDB's own site."""
    connection = duckdb.connect(config={"extension_directory": os.path.abspath("extensions")})
    packaged = importlib.util.find_spec("duckdb_extension_postgres_scanner")
    found = list(pathlib.Path(packaged.origin).parent.glob(f"extensions/v{duckdb.__version__}/*.duckdb_extension")) if packaged else []
    try:
        connection.execute(f"LOAD '{found[0]}'" if found else "INSTALL postgres; LOAD postgres")
    except duckdb.Error as error:
        raise Skip(f"its extension cannot be loaded: {str(error).splitlines()[0][:200]}")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"ATTACH '{check.URL}' AS pg (TYPE postgres)")
    return connection


def condition(hour):
    return check.span(hour).replace("'", "TIMESTAMPTZ '").replace("+00TIMESTAMPTZ '", "+00'")


@checks
def tables(hour):
    connection = attach()
    found = connection.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'pg' AND schema_name = 'public'").fetchall()
    equal([name for [name] in found].count("events"), 1, f"events in {found}")
    kinds = {row[0]: row[1] for row in connection.execute("DESCRIBE pg.events").fetchall()}
    expected = {"timestamp": "TIMESTAMP WITH TIME ZONE", "user_id": "VARCHAR", "event": "VARCHAR", "page": "VARCHAR", "referrer": "VARCHAR", "date": "DATE", "hour": "INTEGER"}
    equal(kinds, expected)


@checks
def insert_and_scan(hour):
    rows = events(hour, 200)
    connection = attach()
    connection.executemany(f"INSERT INTO pg.events ({COLUMNS}) VALUES (?, ?, ?, ?, ?)", [tuple(row) for row in rows[:5]])
    values = [(row.timestamp.isoformat(), *row[1:]) for row in rows[5:]]
    connection.execute("CREATE TEMP TABLE more (timestamp TIMESTAMPTZ, user_id TEXT, event TEXT, page TEXT, referrer TEXT)")
    connection.executemany("INSERT INTO more VALUES (?, ?, ?, ?, ?)", values)
    connection.execute(f"INSERT INTO pg.events ({COLUMNS}) SELECT * FROM more")
    holds(hour, rows)
    found = connection.execute(f"SELECT {COLUMNS} FROM pg.events WHERE {condition(hour)} ORDER BY timestamp").fetchall()
    equal([Event(row[0].astimezone(check.UTC), *row[1:]) for row in found], rows)
    found = connection.execute(f"SELECT event, count(*) FROM pg.events WHERE {condition(hour)} AND event <> 'signup' GROUP BY ALL ORDER BY ALL").fetchall()
    equal(found, [("click", 67), ("impression", 67)])


@checks
def functions(hour):
    connection = attach()
    equal(connection.execute("SELECT * FROM postgres_query('pg', 'SELECT count(*) AS count FROM generate_series(1, 7)')").fetchall(), [(7,)])
    equal(connection.execute(f"SELECT count(*) FROM postgres_scan('{check.URL}', 'public', 'events') WHERE {condition(hour)}").fetchall(), [(0,)])


@checks
def transactions(hour):
    rows = events(hour)
    connection = attach()
    for end in ("ROLLBACK", "COMMIT"):
        connection.execute("BEGIN")
        connection.executemany(f"INSERT INTO pg.events ({COLUMNS}) VALUES (?, ?, ?, ?, ?)", [tuple(row) for row in rows])
        connection.execute(end)
        holds(hour, rows if end == "COMMIT" else [])


@checks
def the_view(hour):
    connection = attach()
    connection.executemany(f"INSERT INTO pg.events ({COLUMNS}) VALUES (?, ?, ?, ?, ?)", [tuple(row) for row in events(hour)])
    found = connection.execute(f"SELECT unique_users, clicks, impressions, signup FROM pg.hours WHERE hour = TIMESTAMPTZ '{hour.isoformat()}'").fetchall()
    equal(found, [check.counts_of(events(hour))])


if __name__ == "__main__":
    checks.run(importlib.metadata.version("duckdb"))
