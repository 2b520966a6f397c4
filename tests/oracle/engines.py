"""The two engines: a hourglass server over HTTP, and DuckDB in this process. Each answers or refuses."""

import http.client
import json
import pathlib
import re
import subprocess
import threading
import time
from dataclasses import dataclass, field
from decimal import Decimal

import duckdb

import stores


@dataclass
class Answer:
    """Rows, or why there are none."""

    rows: list = field(default_factory=list)
    # One of "", "refused" (the statement is at fault), "failed" (the engine is) and "late".
    problem: str = ""
    reason: str = ""

    def __bool__(self):
        return not self.problem


class Hourglass:
    """A server of its own over one store."""

    def __init__(self, binary, folder, layout, rows, port, threads=None, limit=20):
        self.layout, self.limit, self.port = layout, limit, port or 0
        command = [binary, "serve", "--listen", f"127.0.0.1:{self.port}", "--data-dir", folder / layout.name]
        command += ["--query-timeout", f"{limit}s", "--log", "warn"]
        command += ["--query-threads", str(threads)] if threads else []
        self.log = open(pathlib.Path(folder) / f"{layout.name}.log", "wb")
        # One connection for all statements, opened again after a failure.
        self.connection = None
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.wait_until_ready()
        for part, flushed in stores.parts(layout, rows):
            self.call("POST", "/events", stores.ndjson(part), {"content-type": "application/x-ndjson"})
            if flushed:
                self.call("POST", "/admin/flush")

    def wait_until_ready(self):
        """Waits for the line that says where this server, and no other, listens."""
        for _ in range(600):
            ready = re.search(rb"http://127\.0\.0\.1:(\d+)", pathlib.Path(self.log.name).read_bytes())
            if ready:
                self.port = int(ready[1])
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise SystemExit(f"the server did not start; its log is {self.log.name}")

    def request(self, method, path, body=None, headers=()):
        # A connection that was kept may have been closed for its silence; one that is new may not.
        is_kept = self.connection is not None
        if not is_kept:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.limit + 10)
        try:
            self.connection.request(method, path, body, dict(headers))
            response = self.connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            self.connection = None
            if is_kept and not isinstance(error, TimeoutError):
                return self.request(method, path, body, headers)
            raise

    def call(self, method, path, body=None, headers=()):
        status, text = self.request(method, path, body, headers)
        if status >= 300:
            raise RuntimeError(f"{method} {path}: {status} {text.decode()}")

    def ask(self, sql, settings):
        """Runs one statement under settings, as `SET` has them."""
        body = json.dumps({"query": sql, "settings": settings})
        try:
            status, text = self.request("POST", "/sql", body.encode(), {"content-type": "application/json"})
        except TimeoutError:
            return Answer(problem="late", reason="no answer within the time limit and ten seconds")
        except (OSError, http.client.HTTPException) as error:
            return Answer(problem="failed", reason=f"the connection was dropped: {error!r}")
        if status == 200:
            try:
                return Answer(rows=json.loads(text, parse_float=Decimal, object_pairs_hook=as_row))
            except ValueError as error:
                return Answer(problem="failed", reason=f"the answer is no JSON: {error}")
        detail = problem_detail(text)
        if status == 422 and "query_timeout" in detail:
            return Answer(problem="late", reason=detail)
        # A refusal that shows a plan is a fault of the planner, not of the statement.
        is_refused = status in (400, 422) and "Plan: [" not in detail
        return Answer(problem="refused" if is_refused else "failed", reason=f"{status} {detail}")

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


def as_row(pairs):
    """A JSON object as the tuple of its values; an object within a value looks the same, as a struct does."""
    return tuple(value for _, value in pairs)


def problem_detail(text):
    try:
        return json.loads(text).get("detail", "")
    except (ValueError, AttributeError):
        return text.decode(errors="replace")


# What makes DuckDB read a statement as PostgreSQL and we do: zones, where nulls sort, what `/` does with integers.
SETUP = """
SET TimeZone = 'UTC';
SET default_null_order = 'nulls_last_on_asc_first_on_desc';
SET integer_division = true;
SET threads = 1;
CREATE TABLE events ("timestamp" TIMESTAMPTZ, user_id VARCHAR, event VARCHAR, date DATE, hour INTEGER);
CREATE VIEW hours AS SELECT date_trunc('hour', timestamp) AS hour, count(DISTINCT user_id) AS unique_users,
    count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions
    FROM events GROUP BY 1;
"""


class Duck:
    """DuckDB over the same rows."""

    def __init__(self, rows, limit=20):
        self.limit = limit
        self.connection = duckdb.connect()
        self.connection.execute(SETUP)
        full = [(at, user, event, at.date(), at.hour) for at, user, event in rows]
        if full:
            self.connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?)", full)

    def ask(self, sql):
        timer = threading.Timer(self.limit, self.connection.interrupt)
        timer.start()
        try:
            return Answer(rows=self.connection.execute(sql).fetchall())
        except duckdb.InterruptException:
            return Answer(problem="late", reason="DuckDB needs too long")
        except duckdb.Error as error:
            return Answer(problem="refused", reason=str(error))
        finally:
            timer.cancel()
