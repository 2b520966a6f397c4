"""Counts of hours, as every engine answers them, and how they differ."""

import datetime
from typing import NamedTuple

UTC = datetime.timezone.utc

SELECT = """
SELECT date, hour, count(*) AS events, count(*) FILTER (WHERE event = 'click') AS clicks,
    count(*) FILTER (WHERE event = 'impression') AS impressions, count(DISTINCT user_id) AS users
FROM {table} {where} GROUP BY date, hour
"""


def statement(table, span=None, instant="TIMESTAMP WITH TIME ZONE '{}+00:00'"):
    """The question as SQL, of the rows whose timestamps are in `span`; `instant` is how an engine spells an instant in UTC."""
    where = ""
    if span:
        low, high = (instant.format(at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")) for at in span)
        where = f"WHERE timestamp >= {low} AND timestamp < {high}"
    return SELECT.format(table=table, where=where)


class Counts(NamedTuple):
    """Events of one hour, and its distinct users."""

    events: int
    clicks: int
    impressions: int
    users: int


# Where rows are counted whose partition is of no hour.
NOWHERE = datetime.datetime(1, 1, 1, tzinfo=UTC)


def hour_of(date, hour):
    """The start of the hour of a partition, whose date may be a date or its text."""
    if date is None or hour is None:
        return NOWHERE
    return datetime.datetime.fromisoformat(f"{str(date)[:10]}T00:00:00+00:00") + datetime.timedelta(hours=int(hour))


def of_partitions(rows):
    """Counts by hour, of rows (date, hour, events, clicks, impressions, users)."""
    found = {}
    for date, hour, *counts in rows:
        at = hour_of(date, hour)
        if at in found:
            raise ValueError(f"two rows of {name(at)}")
        found[at] = Counts(*map(int, counts))
    return found


def name(at):
    return "no hour" if at == NOWHERE else at.strftime("%Y-%m-%dT%H")


def differences(found, expected, only=None):
    """A line for each hour whose counts are not as expected; `only` names the hours to compare, all of both by default."""
    compared = sorted(set(found) | set(expected) if only is None else only)
    return [f"{name(at)}: {show(found.get(at))}, expected {show(expected.get(at))}" for at in compared if found.get(at) != expected.get(at)]


def show(counts):
    if counts is None:
        return "nothing"
    return f"{counts.events} events, {counts.clicks} clicks, {counts.impressions} impressions, {counts.users} users"
