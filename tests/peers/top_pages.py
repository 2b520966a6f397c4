"""Top pages of thirty days: 14 million events with a page, a referrer and a country, asked of hourglass over HTTP, and of DuckDB and
ClickHouse inside this process, on as many threads.

    pip install duckdb chdb
    python3 tests/peers/top_pages.py target/release/hourglass

Answers are compared before they are timed; what is printed is a Markdown table of medians of five, in milliseconds.
"""

import argparse
import csv
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time

import chdb.session
import duckdb
from server import Hourglass

INTERVAL = "185ms"
DIMENSIONS = ("page=20000:zipf", "referrer=2000:zipf", "country=200:zipf")
TOP = "SELECT page, count(*) AS n{users} FROM {table} {where} GROUP BY page ORDER BY n DESC, page LIMIT 10"


class DuckDb:
    def __init__(self, files, threads, own):
        self.name = "DuckDB, a table of its own" if own else "DuckDB, the same files"
        self.connection = duckdb.connect()
        self.connection.execute(f"SET threads = {threads}")
        self.table = f"read_parquet('{files}')"
        if own:
            self.connection.execute(f"CREATE TABLE events AS SELECT * FROM {self.table}")
            self.table = "events"

    def ask(self, sql):
        return [[str(value) for value in row] for row in self.connection.execute(sql).fetchall()]


class ClickHouse:
    name = "ClickHouse, MergeTree"
    table = "d.events"

    def __init__(self, files, threads, folder):
        self.session = chdb.session.Session(folder)
        self.threads = threads
        columns = "event, page, referrer, country"
        low = ", ".join(f"{name} LowCardinality(String)" for name in columns.split(", "))
        self.session.query("CREATE DATABASE d")
        self.session.query(f"CREATE TABLE d.events (timestamp DateTime64(6), user_id String, {low}) ENGINE = MergeTree ORDER BY timestamp")
        self.session.query(f"INSERT INTO d.events SELECT timestamp, user_id, {columns} FROM file('{files}')")

    def ask(self, sql):
        answer = self.session.query(f"{sql} SETTINGS max_threads = {self.threads}", "CSV")
        return list(csv.reader(io.StringIO(str(answer))))


def question(peer, users, where):
    distinct = "uniqExact(user_id)" if isinstance(peer, ClickHouse) else "count(DISTINCT user_id)"
    table = "events" if isinstance(peer, Hourglass) else peer.table
    return TOP.format(users=f", {distinct} AS users" if users else "", table=table, where=where)


def median_ms(ask, sql):
    times = []
    for _ in range(5):
        began = time.monotonic()
        ask(sql)
        times.append((time.monotonic() - began) * 1e3)
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = os.path.join(folder, "store")
        command = [arguments.binary, "generate", "--data-dir", store, "--end", "2020-01-31", "--interval", INTERVAL, "--users", "1000000"]
        for dimension in DIMENSIONS:
            command += ["--dimension", dimension]
        subprocess.run(command, check=True)
        files = f"{store}/events/*/*/*.parquet"
        hourglass = Hourglass(arguments.binary, store, arguments.threads)
        try:
            peers = [
                hourglass,
                DuckDb(files, arguments.threads, own=False),
                DuckDb(files, arguments.threads, own=True),
                ClickHouse(files, arguments.threads, os.path.join(folder, "clickhouse")),
            ]
            print("| question | " + " | ".join(peer.name for peer in peers) + " |")
            print("| --- |" + " --- |" * len(peers))
            for what, users, where in [
                ("top pages by events", False, ""),
                ("top pages by events, with their users", True, ""),
                ("top pages of one country", False, "WHERE country = 'country7'"),
                ("top pages of one day, with their users", True, "WHERE timestamp >= '2020-01-15 00:00:00' AND timestamp < '2020-01-16 00:00:00'"),
            ]:
                cells, expected = [], None
                for peer in peers:
                    sql = question(peer, users, where)
                    answer = peer.ask(sql)
                    expected = expected or answer
                    if answer != expected:
                        sys.exit(f"{peer.name}: {what}: {answer}, not {expected}")
                    cells.append(f"{median_ms(peer.ask, sql):,.0f}")
                print(f"| {what} | " + " | ".join(cells) + " |", flush=True)
        finally:
            hourglass.server.terminate()
            hourglass.server.wait()


main()
