"""What the peers' scripts share: the rows, the right answers, timing, and the form of the results."""

import json
import statistics
import sys
import time

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

HOUR = """SELECT count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks,
       count(*) FILTER (WHERE event = 'impression') AS impressions FROM events"""

MIXED = """SELECT count(DISTINCT user_id) AS users, count(DISTINCT user_id) FILTER (WHERE event = 'click') AS clickers,
       count(*) FILTER (WHERE event = 'click') AS clicks, count(*) AS events FROM events"""


class Rows:
    """The events of one hour, and the answers computed from them by pyarrow."""

    def __init__(self, path):
        self.path = path
        table = pq.read_table(path)
        # pyarrow computes little with views of strings, which the file's schema asks for.
        views = {name: table[name].cast(pa.string()) for name in ("user_id", "event")}
        self.table = pa.table({"timestamp": table["timestamp"], **views})
        users, clicks = self.table["user_id"], pc.equal(self.table["event"], "click")
        clicked = pc.sum(clicks).as_py()
        distinct = len(pc.unique(users))
        clickers = len(pc.unique(users.filter(clicks)))
        self.count = len(self.table)
        self.hour = (distinct, clicked, self.count - clicked)
        self.mixed = (distinct, clickers, clicked, self.count)

    def name(self):
        return f"{self.count:,} events, {self.hour[0]:,} users"


class Results:
    """Gathers results and prints them as `hourglass bench --peers` reads them."""

    def __init__(self, peer):
        self.peer = peer
        self.rows = []

    def add(self, settings, question, value, unit):
        row = {"peer": self.peer, "settings": settings, "question": question, "value": value, "unit": unit}
        self.rows.append(row)
        print(f"{self.peer} ({settings}): {question}: {value:,.3f} {unit}", file=sys.stderr)

    def print(self):
        json.dump(self.rows, sys.stdout, indent=2)
        print()


def check(what, answered, expected):
    if tuple(answered) != tuple(expected):
        sys.exit(f"{what}: answered {answered}, computed {expected}; nothing is timed")


def median_seconds(ask, expected, rounds=5):
    """The median time of `ask`, after one answer that was compared with what is expected."""
    check("the first answer", ask(), expected)
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        ask()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def events_argument():
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} EVENTS.parquet > RESULTS.json   (tests/peers/README.md says how to make the events)")
    return Rows(sys.argv[1])
