#!/usr/bin/env python3
"""DuckDB, a table in a database file, on the rows of one hour."""

import os
import tempfile
import time

import duckdb

from common import HOUR, MIXED, Results, events_argument, median_seconds

rows = events_argument()
results = Results(f"DuckDB {duckdb.__version__}")
threads = os.cpu_count()

with tempfile.TemporaryDirectory(dir=os.path.dirname(os.path.abspath(rows.path))) as folder:
    path = os.path.join(folder, "events.duckdb")
    db = duckdb.connect(path, config={"threads": threads})
    began = time.perf_counter()
    db.execute(f"CREATE TABLE events AS SELECT * FROM read_parquet('{rows.path}')")
    db.execute("CHECKPOINT")
    results.add("defaults", f"load of {rows.name()}", rows.count / (time.perf_counter() - began), "events/s")
    results.add("defaults", "stored size", os.path.getsize(path) / rows.count, "bytes an event")
    for name, sql, expected in [("the hour's numbers", HOUR, rows.hour), ("mixed DISTINCT and FILTER", MIXED, rows.mixed)]:
        seconds = median_seconds(lambda: db.execute(sql).fetchone(), expected)
        results.add(f"{threads} threads", f"{name}, {rows.name()}, its own table", seconds * 1e3, "ms")
        parquet = sql.replace("FROM events", f"FROM read_parquet('{rows.path}')")
        seconds = median_seconds(lambda: db.execute(parquet).fetchone(), expected)
        results.add(f"{threads} threads", f"{name}, {rows.name()}, Parquet", seconds * 1e3, "ms")
    # A commit of DuckDB is in its log and synced; there is no weaker default.
    began, inserted = time.perf_counter(), 0
    while time.perf_counter() - began < 5:
        db.execute("INSERT INTO events VALUES (TIMESTAMPTZ '2015-01-01 00:00:00Z', 'user1', 'click')")
        inserted += 1
    results.add("each commit synced (its default), 1 client", "single events stored", inserted / (time.perf_counter() - began), "events/s")
    db.close()
results.print()
