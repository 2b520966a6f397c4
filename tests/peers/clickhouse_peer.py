#!/usr/bin/env python3
"""ClickHouse by the chdb package, a MergeTree table, on the rows of one hour."""

import os
import tempfile
import time

import chdb
from chdb.session import Session

from common import HOUR, MIXED, Results, events_argument, median_seconds

rows = events_argument()
threads = os.cpu_count()

with tempfile.TemporaryDirectory(dir=os.path.dirname(os.path.abspath(rows.path))) as folder:
    session = Session(os.path.join(folder, "store"))
    version = str(session.query("SELECT version()", "TSV")).strip()
    results = Results(f"ClickHouse {version} (chdb {chdb.__version__})")
    session.query("CREATE DATABASE d ENGINE = Atomic")

    def table(name, settings):
        session.query(
            f"CREATE TABLE d.{name} (timestamp DateTime64(6, 'UTC'), user_id String, event LowCardinality(String)) "
            f"ENGINE = MergeTree ORDER BY (timestamp, user_id){settings}"
        )

    def ask(sql):
        answer = str(session.query(sql.replace("FROM events", "FROM d.events") + f" SETTINGS max_threads = {threads}", "TSV"))
        return tuple(int(word) for word in answer.split())

    table("events", "")
    began = time.perf_counter()
    session.query(f"INSERT INTO d.events SELECT timestamp, user_id, event FROM file('{rows.path}', Parquet)")
    results.add("defaults", f"load of {rows.name()}", rows.count / (time.perf_counter() - began), "events/s")
    session.query("OPTIMIZE TABLE d.events FINAL")
    size = int(str(session.query("SELECT sum(bytes_on_disk) FROM system.parts WHERE table = 'events' AND active", "TSV")))
    results.add("defaults", "stored size", size / rows.count, "bytes an event")
    for name, sql, expected in [("the hour's numbers", HOUR, rows.hour), ("mixed DISTINCT and FILTER", MIXED, rows.mixed)]:
        seconds = median_seconds(lambda: ask(sql), expected)
        results.add(f"{threads} threads", f"{name}, {rows.name()}, MergeTree", seconds * 1e3, "ms")
    for name, settings, said in [
        ("single", "", "defaults (no sync), 1 client"),
        ("synced", " SETTINGS fsync_after_insert = 1, fsync_part_directory = 1", "each insert synced, 1 client"),
    ]:
        table(name, settings)
        began, inserted = time.perf_counter(), 0
        while time.perf_counter() - began < 5:
            session.query(f"INSERT INTO d.{name} VALUES ('2015-01-01 00:00:00', 'user1', 'click')")
            inserted += 1
        results.add(said, "single events stored", inserted / (time.perf_counter() - began), "events/s")
    session.close()
results.print()
