"""Makes the files of this folder: the same events, as PostgreSQL, DuckDB and ClickHouse write them.

    python3 tests/exports/make.py 'host=/tmp port=21290 user=postgres'      # needs psql, duckdb, chdb, pyarrow

The test `what_other_engines_export_is_imported` reads them back.
"""

import os
import subprocess
import sys

import chdb
import duckdb

os.chdir(os.path.dirname(os.path.abspath(__file__)))

EVENTS = [
    ("2020-01-01 00:00:16.384", "ana", "click"),
    ("2020-01-01 00:00:17", 'Zoë "Z"', "impression"),
    ("2020-01-01 00:00:18.000001", "a,b;c|d", "click"),
    ("2020-01-01 01:00:00.1", "tab\there", "click"),
    ("2020-01-01 01:00:01", "back\\slash \\N \\t", "impression"),
    ("2020-01-01 01:00:02", "line\nbreak", "click"),
    ("2020-01-01 01:00:03", "cr\r", "click"),
    ("2020-01-01 01:00:04", " 'spaces' ", "click"),
    ("2020-01-01 01:00:05", "42", "click"),
    ("2200-02-28 23:59:59.999999", "\\N", "click"),
]


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def chosen(render):
    return ", ".join(f"({render(time)}, {quoted(user)}, '{kind}')" for time, user, kind in EVENTS)


def postgresql(connection):
    rows = chosen(lambda time: f"timestamptz '{time}+00'")
    table = f"(SELECT * FROM (VALUES {rows}) AS events (time, user_id, type))"
    for name, options in [
        ("postgresql.copy", "FORMAT text"),
        ("postgresql.csv", "FORMAT csv"),
        ("postgresql_header.csv", "FORMAT csv, HEADER"),
        ("postgresql_semicolon.csv", "FORMAT csv, HEADER, DELIMITER ';', FORCE_QUOTE *"),
    ]:
        copy = f"SET timezone = 'UTC'; COPY {table} TO STDOUT WITH ({options})"
        output = subprocess.run(["psql", "-qX", connection, "-c", copy], check=True, capture_output=True).stdout
        open(name, "wb").write(output)


def duck():
    for kind in ["TIMESTAMP", "TIMESTAMPTZ"]:
        duckdb.sql("SET timezone = 'UTC'")
        name = "duckdb_" + kind.lower()
        rows = chosen(lambda time: f"CAST('{time}' AS {kind})")
        duckdb.sql(f"CREATE OR REPLACE TABLE events AS FROM (VALUES {rows}) AS events (time, user_id, type)")
        duckdb.sql(f"COPY events TO '{name}.csv'")
        duckdb.sql(f"COPY events TO '{name}.json'")
        duckdb.sql(f"COPY events TO '{name}.parquet'")
    duckdb.sql("COPY events TO 'duckdb_tab.csv' (DELIMITER '\t')")


def escaped(text):
    return text.replace("\\", "\\\\").replace("'", "\\'")


def clickhouse():
    rows = ", ".join(
        f"(toDateTime64('{time}', 6, 'UTC'), "
        f"'{escaped(user)}', '{kind}')"
        for time, user, kind in EVENTS
    )
    source = f"SELECT * FROM values('time DateTime64(6, ''UTC''), user_id String, type String', {rows})"
    for name, form in [
        ("clickhouse.csv", "CSV"),
        ("clickhouse_names.csv", "CSVWithNames"),
        ("clickhouse.tsv", "TSV"),
        ("clickhouse_names.tsv", "TSVWithNames"),
        ("clickhouse.json", "JSONEachRow"),
        ("clickhouse.parquet", "Parquet"),
        ("clickhouse.arrow", "Arrow"),
        ("clickhouse.arrows", "ArrowStream"),
    ]:
        open(name, "wb").write(chdb.query(source, form).bytes())


postgresql(sys.argv[1])
duck()
clickhouse()
