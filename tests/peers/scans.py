"""Statements that no counter and no set answers, over the files of a store: asked of hourglass over HTTP (with rollups off), of DuckDB,
and of DataFusion's own table over the same files (ListingTable), both inside this process, on as many threads.

    pip install duckdb datafusion
    hourglass generate --start 2015-01-10 --end 2015-02-08T23:59:59.9Z --interval 185ms --users 1000000 \\
        --dimension page=20000:zipf --dimension referrer=2000:zipf --dimension country=200:zipf --data-dir store
    python3 tests/peers/scans.py target/release/hourglass store

Answers are compared; what is printed is a Markdown table of medians, in milliseconds: each question is asked of all three in turns, five
times. Questions about dimensions that the store lacks are left out. The server's threads for statements have a lower priority than other
programs: measure on a machine that does nothing else.
"""

import argparse
import re
import statistics
import time

import datafusion
import duckdb
from server import Hourglass

ROUNDS = 5
DAY = "date_trunc('day', timestamp)"
QUESTIONS = {
    "events of one user": "SELECT count(*) FROM events WHERE user_id = 'user100041'",
    "top users": "SELECT user_id, count(*) AS n FROM events GROUP BY user_id ORDER BY n DESC, user_id LIMIT 10",
    "longest between first and last event, by user": "SELECT user_id, floor(date_part('epoch', max(timestamp) - min(timestamp))) AS s"
    " FROM events GROUP BY user_id ORDER BY s DESC, user_id LIMIT 10",
    "distinct users": "SELECT count(DISTINCT user_id) FROM events",
    "distinct users of a week": "SELECT count(DISTINCT user_id) FROM events WHERE timestamp >= TIMESTAMP '2015-01-12'"
    " AND timestamp < TIMESTAMP '2015-01-19'",
    "distinct users by day": f"SELECT {DAY} AS d, count(DISTINCT user_id) AS n FROM events GROUP BY d ORDER BY n DESC, d LIMIT 3",
    "events by minute": "SELECT date_part('epoch', date_trunc('minute', timestamp)) AS m, count(*) AS n FROM events GROUP BY m"
    " ORDER BY n DESC, m LIMIT 5",
    "first and last event by day": f"SELECT floor(date_part('epoch', max(timestamp) - min(timestamp))) AS s FROM events GROUP BY {DAY}"
    " ORDER BY s DESC LIMIT 5",
    "users whose name ends with 99": "SELECT count(*) FROM events WHERE user_id LIKE '%99'",
    "sum of minutes by kind": "SELECT event, sum(date_part('minute', timestamp)) AS s FROM events GROUP BY event ORDER BY event",
    "days of each user": f"SELECT user_id, count(DISTINCT {DAY}) AS n FROM events GROUP BY user_id ORDER BY n DESC, user_id LIMIT 5",
    "top pages": "SELECT page, count(*) AS n FROM events GROUP BY page ORDER BY n DESC, page LIMIT 10",
    "top pages, with the users of each": "SELECT page, count(*) AS n, count(DISTINCT user_id) AS u FROM events GROUP BY page"
    " ORDER BY n DESC, page LIMIT 10",
    "users and pages of each country": "SELECT country, count(*) AS n, count(DISTINCT user_id) AS u, count(DISTINCT page) AS p FROM events"
    " GROUP BY country ORDER BY n DESC, country LIMIT 5",
    "users of each country, and its latest event": "SELECT country, count(DISTINCT user_id) AS u, floor(date_part('epoch', max(timestamp)))"
    " AS s FROM events GROUP BY country ORDER BY u DESC, country LIMIT 5",
    "users of each country, and its clicks": "SELECT country, count(DISTINCT user_id) AS u, sum(CASE WHEN event = 'click' THEN 1 ELSE 0 END)"
    " AS c FROM events GROUP BY country ORDER BY u DESC, country LIMIT 5",
    "latest events": "SELECT user_id, page FROM events ORDER BY timestamp DESC, user_id LIMIT 100",
    "latest events of one country": "SELECT user_id, page FROM events WHERE country = 'country7' ORDER BY timestamp DESC, user_id LIMIT 10",
    "users by their latest event, from the 10,000th": "SELECT user_id, max(timestamp) AS t FROM events GROUP BY user_id"
    " ORDER BY t DESC LIMIT 10 OFFSET 10000",
    "events by page and user, from the 300,000th": "SELECT page, user_id FROM events ORDER BY page, user_id, timestamp"
    " LIMIT 10 OFFSET 300000",
    "pages of the users of one page": "SELECT page, count(*) AS n FROM events WHERE user_id IN (SELECT user_id FROM events"
    " WHERE page = 'page19000') GROUP BY page ORDER BY n DESC, page LIMIT 5",
    "events of users who were never on a page": "SELECT count(*) FROM events e WHERE NOT EXISTS (SELECT 1 FROM events p"
    " WHERE p.user_id = e.user_id AND p.page = 'page19000')",
    "events after each user's first on a page": "WITH f AS (SELECT user_id, min(timestamp) AS t FROM events WHERE page = 'page18000'"
    " GROUP BY user_id) SELECT count(*) FROM events e JOIN f ON e.user_id = f.user_id AND e.timestamp > f.t",
    "events of one page": "SELECT count(*) FROM events WHERE page = 'page7'",
    "events of pages LIKE page1%9": "SELECT count(*) FROM events WHERE page LIKE 'page1%9'",
    "events of pages ILIKE %PAGE12%": "SELECT count(*) FROM events WHERE page ILIKE '%PAGE12%'",
    "events of pages by a regular expression": "SELECT count(*) FROM events WHERE page ~ '^page1.*9$'",
    "pages without their numbers": "SELECT regexp_replace(page, '[0-9]+', '') AS p, count(*) AS n FROM events GROUP BY p ORDER BY n DESC",
    "users, pages and countries": "SELECT count(DISTINCT user_id) AS u, count(DISTINCT page) AS p, count(DISTINCT country) AS c FROM events",
    "top pages of one country": "SELECT page, count(*) AS n FROM events WHERE country = 'country7' GROUP BY page ORDER BY n DESC, page"
    " LIMIT 10",
}


class Scanning(Hourglass):
    def ask(self, sql):
        return super().ask(f"SET hourglass.rollups = false; {sql}")


class DuckDb:
    def __init__(self, store, threads):
        self.connection = duckdb.connect()
        self.connection.execute(f"SET threads = {threads}")
        self.connection.execute("SET TimeZone = 'UTC'")
        files = f"read_parquet('{store}/events/date=*/**/*.parquet', hive_partitioning = false)"
        self.connection.execute(f"CREATE VIEW events AS SELECT * FROM {files}")

    def ask(self, sql):
        return self.connection.execute(sql).fetchall()


class Listing:
    def __init__(self, store, threads):
        self.session = datafusion.SessionContext(datafusion.SessionConfig().with_target_partitions(threads))
        self.session.sql(f"CREATE EXTERNAL TABLE events STORED AS PARQUET LOCATION '{store}/events/'")

    def ask(self, sql):
        return [tuple(row.values()) for row in self.session.sql(sql).to_pylist()]


def numbers(rows):
    """The cells that are numbers, and of texts those that are no times: engines write times differently."""
    cells = [str(cell) for row in rows for cell in row]
    return [float(cell) if re.fullmatch(r"-?[\d.]+(e\+?\d+)?", cell) else cell for cell in cells if not re.match(r"\d{4}-", cell)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("store")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    peers = [kind(*of) for kind, of in (
        (Scanning, (arguments.binary, arguments.store, arguments.threads)),
        (DuckDb, (arguments.store, arguments.threads)),
        (Listing, (arguments.store, arguments.threads)),
    )]
    columns = {row[0] for row in peers[1].ask("DESCRIBE events")}
    print(f"| question | hourglass | DuckDB {duckdb.__version__} | ListingTable, DataFusion {datafusion.__version__} |\n| --- | --- | --- | --- |")
    try:
        for name, sql in QUESTIONS.items():
            if ("page" in sql and "page" not in columns) or ("country" in sql and "country" not in columns):
                continue
            times, first = {peer: [] for peer in peers}, None
            for _ in range(ROUNDS):
                for peer in peers:
                    start = time.perf_counter()
                    rows = peer.ask(sql)
                    times[peer].append((time.perf_counter() - start) * 1_000)
                    first = first or numbers(rows)
                    assert numbers(rows) == first, (name, rows[:3], first[:6])
            cells = [f"{statistics.median(of):,.0f}" for of in times.values()]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
    finally:
        peers[0].server.terminate()
        peers[0].server.wait()


if __name__ == "__main__":
    main()
