#!/usr/bin/env python3
"""Distinct users of a month, by DuckDB over hourglass's Parquet files and by ClickHouse (a MergeTree table of their rows).

Asks the statements of `hourglass bench visitors` on the store that README.md tells how to make; either engine is left out
where it is not installed. The engines' first answers must agree."""

import glob
import json
import os
import sys
import tempfile
import time
from datetime import datetime, timedelta

from common import Results, check

if len(sys.argv) != 2:
    sys.exit(f"usage: {sys.argv[0]} DIR > RESULTS.json   (a store; tests/peers/README.md says how to make it)")
folders = os.path.join(os.path.abspath(sys.argv[1]), "events", "date=*", "hour=*")
files = os.path.join(folders, "*.parquet")
hours = len(glob.glob(folders))
days = hours // 24
week = max(1, min(7, days // 3))
first = datetime(2015, 1, 10)
threads = os.cpu_count()


def within(start, end):
    """A condition for hours counted from the first."""
    start, end = (first + timedelta(hours=hour) for hour in (start, end))
    return f"timestamp >= '{start} UTC' AND timestamp < '{end} UTC'"


one, two = within(24, 24 * (1 + week)), within(24 * (1 + week), 24 * (1 + 2 * week))
local = "timestamp AT TIME ZONE 'Asia/Kolkata'"

COHORTS = """WITH days AS (SELECT DISTINCT user_id, date_trunc('day', timestamp) AS day FROM events),
firsts AS (SELECT user_id, min(day) AS first_day FROM days GROUP BY user_id),
matrix AS (SELECT first_day, day, count(*) AS users FROM days JOIN firsts USING (user_id) GROUP BY first_day, day)
SELECT count(*), sum(users) FROM matrix"""

ALL = "SELECT count(DISTINCT user_id) FROM events"
BY_DAY = "SELECT date_trunc('day', {time}) AS day, count(DISTINCT user_id) AS users FROM events GROUP BY day ORDER BY day"
BY_DAY_WITH_KINDS = """SELECT date_trunc('day', timestamp) AS day, count(DISTINCT user_id) AS users,
       count(DISTINCT user_id) FILTER (WHERE event = 'impression') AS viewers,
       count(DISTINCT user_id) FILTER (WHERE event = 'click') AS clickers FROM events GROUP BY day ORDER BY day"""
BOTH = f"SELECT count(*) FROM (SELECT user_id FROM events WHERE {one} INTERSECT SELECT user_id FROM events WHERE {two})"

QUESTIONS = [
    (f"all {hours} hours", ALL),
    (f"{week} days", f"{ALL} WHERE {two}"),
    ("by day", BY_DAY.format(time="timestamp")),
    ("by day, and of each kind", BY_DAY_WITH_KINDS),
    ("by day in Asia/Kolkata", BY_DAY.format(time=local)),
    ("from the 6th hour of a day to the 7th of another", f"{ALL} WHERE {within(29, hours - 17)}"),
    (f"cohorts, {days} x {days} days", COHORTS),
    (f"of both of two times {week} days, by INTERSECT", BOTH),
]
answers = {}


def measure(results, settings, ask):
    """Times each statement; `ask` returns the numbers of the answer without its times."""
    for name, sql in QUESTIONS:
        answered = ask(sql)
        check(name, answered, answers.setdefault(name, answered))
        times = []
        while len(times) < 5 and sum(times) < 6:
            began = time.perf_counter()
            ask(sql)
            times.append(time.perf_counter() - began)
        results.add(f"{settings}, best of {len(times)}", f"users of: {name}", min(times) * 1e3, "ms")
    return results.rows


def duckdb_rows():
    import duckdb

    db = duckdb.connect(config={"threads": threads})
    db.execute("SET timezone = 'UTC'")
    db.execute(f"CREATE VIEW events AS SELECT timestamp, user_id, event FROM read_parquet('{files}', hive_partitioning = false)")
    numbers = lambda row: tuple(int(value) for value in row if not hasattr(value, "year"))
    ask = lambda sql: [numbers(row) for row in db.execute(sql).fetchall()]
    return measure(Results(f"DuckDB {duckdb.__version__}"), f"the same Parquet files, {threads} threads", ask)


def clickhouse_rows():
    import chdb
    from chdb.session import Session

    with tempfile.TemporaryDirectory(dir=os.path.dirname(os.path.abspath(sys.argv[1]))) as folder:
        session = Session(os.path.join(folder, "store"))
        version = str(session.query("SELECT version()", "TSV")).strip()
        session.query("CREATE DATABASE d ENGINE = Atomic")
        session.query(
            "CREATE TABLE d.events (timestamp DateTime64(6, 'UTC'), user_id String, event LowCardinality(String)) "
            "ENGINE = MergeTree ORDER BY timestamp"
        )
        session.query(f"INSERT INTO d.events SELECT timestamp, user_id, event FROM file('{files}', Parquet)")
        session.query("OPTIMIZE TABLE d.events FINAL")

        def ask(sql):
            sql = sql.replace(local, "toTimeZone(timestamp, 'Asia/Kolkata')").replace(" UTC'", "'")
            sql = sql.replace("FROM events", "FROM d.events").replace("SELECT user_id FROM d.events", "SELECT DISTINCT user_id FROM d.events")
            answer = str(session.query(sql.replace("INTERSECT", "INTERSECT DISTINCT") + f" SETTINGS max_threads = {threads}", "TSV"))
            rows = [line.split("\t") for line in answer.strip().split("\n")]
            return [tuple(int(word) for word in row if word.isdigit()) for row in rows]

        rows = measure(Results(f"ClickHouse {version} (chdb {chdb.__version__})"), f"MergeTree, {threads} threads", ask)
        session.close()
        return rows


found = []
for name, rows in [("duckdb", duckdb_rows), ("chdb", clickhouse_rows)]:
    try:
        found += rows()
    except ModuleNotFoundError as missing:
        print(f"{name} is left out: {missing}", file=sys.stderr)
json.dump(found, sys.stdout, indent=2)
print()
