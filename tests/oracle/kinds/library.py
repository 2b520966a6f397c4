"""The saved queries about visitors, with random parameters, and the same said without sets."""

import datetime
import pathlib
import re

from dialect import either
from grammar import Query
from kinds import kind

QUERIES = pathlib.Path(__file__).resolve().parents[3] / "queries"

# First days of ranges: near the changes of the clock, a leap day, the ends of years.
FIRST_DAYS = ["2025-03-28", "2025-10-24", "2024-02-27", "2024-12-28", "2025-01-06", "2025-03-01", "1970-01-01", "1999-12-30"]


def saved(name, **values):
    """The statement of a file with the values of its parameters."""
    text = (QUERIES / f"{name}.sql").read_text()
    code = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    for parameter, value in values.items():
        code = re.sub(rf"\${parameter}\b", lambda _: value, code)
    assert "$" not in code, code
    return " ".join(code.split())


def day(text):
    return f"TIMESTAMPTZ '{text}T00:00:00Z'"


def later(first, days):
    return str(datetime.date.fromisoformat(first) + datetime.timedelta(days=days))


def days_between(first, last):
    return f"(SELECT unnest(generate_series(DATE '{first}', DATE '{last}' - INTERVAL '1 day', INTERVAL '1 day')) AS day) d"


class Range:
    """A random range of days, with a kind of event."""

    def __init__(self, g):
        self.first = g.pick(FIRST_DAYS)
        self.end = later(self.first, g.pick([3, 1, 10, 40]))
        self.kind = g.pick(["*", "click", "impression"])
        self.is_kind = "true" if self.kind == "*" else f"event = '{self.kind}'"

    def parameters(self):
        return {"start": day(self.first), "end": day(self.end), "event": f"'{self.kind}'"}


def users_back(range, days):
    return (
        f"(SELECT count(DISTINCT user_id) FROM events e WHERE {range.is_kind} "
        f"AND CAST(e.date AS TIMESTAMP) <= d.day AND CAST(e.date AS TIMESTAMP) > d.day - INTERVAL '{days} days')"
    )


@kind
def library_rolling_visitors(g):
    range = Range(g)
    counts = ", ".join(f"{users_back(range, days)} AS of_{days}" for days in (1, 7, 30))
    theirs = f"SELECT timezone('UTC', d.day) AS day, {counts} FROM {days_between(range.first, range.end)} ORDER BY 1"
    return Query(either(saved("rolling_visitors", **range.parameters()), theirs), ordered=True)


@kind
def library_stickiness(g):
    range = Range(g)
    counts = f"{users_back(range, 1)} AS visitors, {users_back(range, 30)} AS of_30"
    counted = f"SELECT timezone('UTC', d.day) AS day, {counts} FROM {days_between(range.first, range.end)}"
    theirs = f"SELECT day, visitors, of_30, CAST(visitors AS DOUBLE) / nullif(of_30, 0) FROM ({counted}) q ORDER BY 1"
    return Query(either(saved("stickiness", **range.parameters()), theirs), ordered=True)


@kind
def library_new_and_returning_by_day(g):
    range = Range(g)
    since = g.pick(["1970-01-01", later(range.first, -2), range.first, "2024-12-31"])
    firsts = (
        f"SELECT user_id, min(date) AS first FROM events WHERE {range.is_kind} "
        f"AND date >= least(DATE '{since}', DATE '{range.first}') GROUP BY 1"
    )
    came = f"SELECT DISTINCT date, user_id FROM events WHERE {range.is_kind}"
    theirs = (
        f"SELECT timezone('UTC', d.day), count(came.user_id), count(came.user_id) FILTER (WHERE first = came.date), "
        f"count(came.user_id) FILTER (WHERE first < came.date) FROM {days_between(range.first, range.end)} "
        f"LEFT JOIN ({came}) came ON came.date = d.day LEFT JOIN ({firsts}) firsts ON firsts.user_id = came.user_id GROUP BY 1 ORDER BY 1"
    )
    ours = saved("new_and_returning_by_day", **range.parameters(), since=day(since))
    return Query(either(ours, theirs), ordered=True)


@kind
def library_retention(g):
    range = Range(g)
    unit = g.pick(["day", "week", "month"])
    came = (
        f"SELECT DISTINCT user_id, date_trunc('{unit}', timestamp) AS period FROM events WHERE {range.is_kind} "
        f"AND timestamp >= date_trunc('{unit}', {day(range.first)}) AND timestamp < {day(range.end)}"
    )
    first = "SELECT user_id, min(period) AS cohort FROM came GROUP BY 1"
    grid = f"SELECT cohort, k, cohort + k * INTERVAL '1 {unit}' AS period FROM (SELECT DISTINCT cohort FROM first), generate_series(0, 80) g(k)"
    theirs = (
        f"WITH came AS ({came}), first AS ({first}), grid AS ({grid}) "
        "SELECT grid.cohort, k, count(came.user_id) AS visitors, count(came.user_id)::DOUBLE / (SELECT count(*) FROM first f WHERE f.cohort = grid.cohort) AS share "
        "FROM grid JOIN first ON first.cohort = grid.cohort LEFT JOIN came ON came.user_id = first.user_id AND came.period = grid.period "
        f"WHERE grid.period < {day(range.end)} GROUP BY 1, 2 ORDER BY 1, 2"
    )
    return Query(either(saved("retention", **range.parameters(), unit=f"'{unit}'"), theirs), ordered=True)


@kind
def library_lapsed_and_revived(g):
    range = Range(g)
    earlier = later(range.first, -g.pick([3, 1, 30, 400]))
    since = g.pick(["1970-01-01", later(earlier, -10), range.first])
    flags = (
        f"SELECT user_id, bool_or(date >= DATE '{range.first}') AS c, bool_or(date >= DATE '{earlier}' AND date < DATE '{range.first}') AS b, "
        f"bool_or(date < DATE '{earlier}') AS a FROM events WHERE {range.is_kind} AND date < DATE '{range.end}' "
        f"AND date >= least(DATE '{since}', DATE '{earlier}') GROUP BY 1"
    )
    wanted = ["b", "c", "b AND c", "b AND NOT c", "c AND NOT b AND a", "c AND NOT b AND NOT a"]
    theirs = f"SELECT {', '.join(f'count(*) FILTER (WHERE {flag})' for flag in wanted)} FROM ({flags}) q"
    return either(saved("lapsed_and_revived", **range.parameters(), earlier=day(earlier), since=day(since)), theirs)


@kind
def library_saw_then_clicked(g):
    range = Range(g)
    first, second = g.pick([("impression", "click"), ("click", "impression"), ("click", "click")])
    minutes = g.pick([30, 1, 0, 600, 100_000])
    start, end = day(range.first), day(range.end)
    if g.chance(2):
        end = f"TIMESTAMPTZ '{range.end}T01:00:00.0005Z'"
    after = ">" if first == second else ">="
    saw = f"SELECT DISTINCT user_id, timestamp AS at FROM events WHERE event = '{first}' AND timestamp >= {start} AND timestamp < {end}"
    did = (
        f"SELECT DISTINCT saw.user_id FROM saw JOIN events e ON e.user_id = saw.user_id AND e.event = '{second}' "
        f"AND e.timestamp {after} saw.at AND e.timestamp <= saw.at + INTERVAL '{minutes} minutes' "
        f"AND e.timestamp < {end} + INTERVAL '{minutes} minutes'"
    )
    counts = "(SELECT count(DISTINCT user_id) FROM saw) AS saw, (SELECT count(*) FROM did) AS did"
    theirs = f"WITH saw AS ({saw}), did AS ({did}) SELECT saw, did, did::DOUBLE / nullif(saw, 0) FROM (SELECT {counts}) q"
    values = {"from": f"'{first}'", "to": f"'{second}'", "minutes": str(minutes), "start": start, "end": end}
    return either(saved("saw_then_clicked", **values), theirs)


@kind
def library_new_and_returning(g):
    """Of instants, which often lie within an hour."""
    first = g.pick(FIRST_DAYS)
    at = g.pick(["T00:00:00Z", "T01:00:00.0005Z", "T00:30:00Z", "T22:59:59.999999Z"])
    earlier, start, end = (f"TIMESTAMPTZ '{later(first, days)}{at}'" for days in (-g.pick([1, 3, 400]), 0, g.pick([1, 3, 40])))
    flags = (
        f"SELECT user_id, bool_or(timestamp < {start}) AS a, bool_or(timestamp >= {start}) AS b FROM events "
        f"WHERE timestamp >= {earlier} AND timestamp < {end} GROUP BY 1"
    )
    theirs = f"SELECT count(*) FILTER (WHERE b AND NOT a), count(*) FILTER (WHERE a AND b) FROM ({flags}) q"
    return either(saved("new_and_returning", earlier=earlier, start=start, end=end), theirs)
