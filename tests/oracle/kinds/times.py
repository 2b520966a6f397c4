"""Time: zones across changes of the clock, buckets, gaps filled, spans between events."""

from dialect import either
from expressions import INSTANTS, INTERVALS, PARTS, SPANS, UNITS, ZONES
from kinds import kind


@kind
def zone_buckets(g):
    """Days, hours and weeks as a place has them."""
    events = g.events()
    at, zone = events.of("ts")[0], g.pick(ZONES)
    local = f"{at} AT TIME ZONE '{zone}'"
    key = g.pick([
        f"date_trunc('{g.pick(UNITS)}', {local})",
        f"CAST({local} AS DATE)",
        f"CAST(extract({g.pick(PARTS)} FROM {local}) AS BIGINT)",
        f"date_trunc('{g.pick(UNITS)}', {local}) AT TIME ZONE '{zone}'",
        f"{local} + INTERVAL '{g.pick(INTERVALS)}'",
    ])  # fmt: skip
    return f"SELECT {key} AS k, {g.aggregate('int', events)} AS n FROM {events.text}{g.where(events)} GROUP BY 1"


@kind
def zone_condition(g):
    """A range of local time, which pruning must turn into instants."""
    events = g.events()
    at, zone = events.of("ts")[0], g.pick(ZONES)
    local, day = f"{at} AT TIME ZONE '{zone}'", g.literal("date")
    naive = f"TIMESTAMP '{g.pick(INSTANTS)[:-1]}'"
    condition = g.pick([
        f"{local} >= {naive}",
        f"{local} BETWEEN {naive} AND {naive} + INTERVAL '{g.pick(INTERVALS)}'",
        f"CAST({local} AS DATE) = {day}",
        f"date_trunc('{g.pick(['day', 'hour', 'week', 'month'])}', {local}) = {naive}",
        f"{at} >= {naive} AT TIME ZONE '{zone}'",
        f"extract(hour FROM {local}) = {g.below(24)}",
        f"{at} >= {naive} AT TIME ZONE '{zone}' AND {at} < ({naive} + INTERVAL '1 day') AT TIME ZONE '{zone}'",
    ])  # fmt: skip
    return g.group(events, f" WHERE {condition}")


@kind
def buckets(g):
    events = g.events()
    at = events.of("ts")[0]
    return f"SELECT {g.bucket(at)} AS k, {g.aggregate('int', events)} AS n FROM {events.text}{g.where(events)} GROUP BY 1"


@kind
def gaps_filled(g):
    """Every hour or day of a range, with its count or with zero."""
    events = g.events()
    start = g.pick(["2025-03-29 20:00:00", "2025-10-25 18:00:00", "2024-02-28 00:00:00"])
    step, unit, count = g.pick([("1 hour", "hour", 12), ("1 day", "day", 3), ("30 minutes", "minute", 10)])
    begin = f"TIMESTAMP '{start}'"
    series = f"generate_series({begin}, {begin} + INTERVAL '{count} {unit}s', INTERVAL '{step}') AS s(t)"
    at = events.of("ts")[0]
    aggregate = g.pick(["count({0})", "coalesce(sum(CASE WHEN {1} THEN 1 ELSE 0 END), 0)", "count(DISTINCT {0})"])
    aggregate = aggregate.format(events.columns[1].name, g.condition(events, 0))
    on = g.pick([f"date_trunc('{unit}', {at}) = s.t", f"{at} >= s.t AND {at} < s.t + INTERVAL '{step}'"])
    return f"SELECT s.t, {aggregate} AS n FROM {series} LEFT JOIN {events.text} ON {on} GROUP BY 1"


@kind
def gaps_by_number(g):
    """The same with numbers of hours."""
    events = g.events()
    return (
        f"SELECT s.h, count({events.columns[1].name}) AS n, {g.aggregate('int', events)} AS a FROM generate_series(0, 23) AS s(h) "
        f"LEFT JOIN {events.text} ON {events.columns[4].name} = s.h{g.pick(['', ' AND ' + g.condition(events, 0)])} GROUP BY 1"
    )


@kind
def time_between(g):
    """Spans: from the event before, from the first to the last, compared and added up."""
    events = g.events("e")
    between = "e.timestamp - lag(e.timestamp) OVER (PARTITION BY e.user_id ORDER BY e.timestamp, e.event)"
    return g.pick([
        f"SELECT e.user_id, e.timestamp, {between} AS gap FROM events e{g.where(events)}",
        f"SELECT e.user_id, max(e.timestamp) - min(e.timestamp) AS life FROM events e{g.where(events)} GROUP BY 1",
        f"SELECT e.user_id FROM events e{g.where(events)} GROUP BY 1 HAVING max(e.timestamp) - min(e.timestamp) {g.pick(['>', '<', '<=', '>='])} INTERVAL '{g.pick(['1 hour', '24 hours', '1 day', '30 days', '90 minutes'])}'",
        f"SELECT count(*) AS n FROM (SELECT {between} AS gap FROM events e) q WHERE gap {g.pick(['>', '<', '='])} INTERVAL '{g.pick(INTERVALS[:4])}'",
        f"SELECT e.user_id, extract(epoch FROM max(e.timestamp) - min(e.timestamp)) AS life FROM events e{g.where(events)} GROUP BY 1",
        f"SELECT q.user_id, max(extract(epoch FROM gap)) AS longest FROM (SELECT e.user_id, {between} AS gap FROM events e) q GROUP BY 1",
    ])  # fmt: skip


@kind
def spans_added(g):
    """Months, days and hours added, across ends of months and changes of the clock."""
    events = g.events("e")
    sign, interval = g.pick(["+", "-"]), g.pick(INTERVALS + ["1 month 1 day", "11 months", "3 months"])
    base = g.pick(["e.timestamp", "e.date", f"e.timestamp AT TIME ZONE '{g.pick(ZONES)}'", "DATE '2024-01-31'", "TIMESTAMP '2024-02-29 12:00:00'"])
    return f"SELECT e.timestamp, {base} {sign} INTERVAL '{interval}' AS x FROM events e{g.where(events)}"


@kind
def ranges_of_time(g):
    """Conditions that choose hours: what pruning reads."""
    events = g.events("e")
    a, b = g.literal("ts"), g.literal("ts")
    condition = g.pick([
        f"e.timestamp >= {a} AND e.timestamp < {b}",
        f"e.timestamp BETWEEN {a} AND {a} + INTERVAL '{g.pick(INTERVALS)}'",
        f"date_trunc('{g.pick(UNITS)}', e.timestamp) {g.pick(['=', '<', '>='])} {a}",
        f"e.date = {g.literal('date')} AND e.hour {g.pick(['=', '<', '>='])} {g.below(24)}",
        f"e.date BETWEEN {g.literal('date')} AND {g.literal('date')}",
        f"CAST(e.timestamp AS DATE) {g.pick(['=', '>', '<='])} {g.literal('date')}",
        f"extract({g.pick(PARTS)} FROM e.timestamp) {g.pick(['=', '<', '>='])} {g.between(0, 12)}",
        f"e.timestamp IN ({a}, {b})",
        f"e.timestamp NOT BETWEEN {a} AND {b}",
        f"NOT (e.timestamp >= {a} OR e.date < {g.literal('date')})",
        f"{g.bucket('e.timestamp')} = {a}",
        f"e.timestamp - INTERVAL '{g.pick(INTERVALS)}' < {a}",
        f"e.timestamp >= '{g.pick(INSTANTS)}'",
        f"e.date >= '{g.literal('date')[6:-1]}'",
        f"CASE WHEN e.hour > 12 THEN e.timestamp > {a} ELSE e.timestamp < {b} END",
        f"coalesce(e.timestamp >= {a}, false)",
        f"e.timestamp {g.pick(['>=', '<', '=', '<>'])} {g.literal('date')}",
        f"e.date {g.pick(['>=', '<', '=', '<>', '>', '<='])} TIMESTAMP '{g.pick(INSTANTS)[:-1]}'",
        f"e.hour {g.pick(['=', '<', '>='])} {g.below(24)}.5",
        f"{g.literal('date')} {g.pick(['>=', '<', '='])} e.timestamp",
        f"e.timestamp < '9999-12-31'",
        f"e.timestamp BETWEEN '{g.pick(INSTANTS)}' AND '9999-12-31'",
        f"CAST(e.timestamp AS VARCHAR) IS NOT NULL AND e.date IN ({g.literal('date')}, {g.literal('date')})",
        f"e.date + INTERVAL '1 day' {g.pick(['>', '<=', '='])} {g.literal('naive')}",
    ])  # fmt: skip
    more = g.pick(["", f" AND {g.condition(events, 0)}", f" OR {g.condition(events, 0)}"])
    if g.chance(3):
        return f"SELECT e.* FROM events e WHERE {condition}{more}"
    return g.group(events, f" WHERE {condition}{more}")


@kind
def parts_of_time(g):
    """Each part that there is."""
    events = g.events("e")
    part = g.pick(PARTS + ["second", "millisecond", "microsecond", "epoch", "isoyear", "decade", "century"])
    at = g.pick(["e.timestamp", "e.timestamp", f"e.timestamp AT TIME ZONE '{g.pick(ZONES)}'"])
    x, y = f"extract({part} FROM {at})", f"date_part('{part}', {at})"
    if part in ("second", "millisecond"):
        # With its fraction here, as in PostgreSQL; DuckDB cuts it.
        whole = f"CAST(date_part('microsecond', {at}) AS DOUBLE) / {1_000_000 if part == 'second' else 1_000}"
        x, y = either(x, whole), either(y, whole)
    return f"SELECT e.timestamp, {x} AS x, {y} AS y FROM events e{g.where(events)}"


@kind
def from_numbers(g):
    """Instants of numbers and texts, and back."""
    events = g.events("e")
    return g.pick([
        f"SELECT e.timestamp, to_timestamp(CAST(extract(epoch FROM date_trunc('second', e.timestamp)) AS BIGINT)) AS x FROM events e{g.where(events)}",
        f"SELECT e.timestamp, CAST('{g.pick(INSTANTS)}' AS TIMESTAMP) AS x FROM events e{g.where(events)}",
        f"SELECT e.date, make_date({g.between(1970, 2030)}, {g.between(1, 12)}, {g.between(1, 28)}) AS x FROM events e{g.where(events)}",
        f"SELECT e.date, CAST(e.date AS TIMESTAMP) AS x, CAST(CAST(e.date AS VARCHAR) AS DATE) AS y FROM events e{g.where(events)}",
        f"SELECT CAST(e.timestamp AT TIME ZONE 'UTC' AS TIME) AS x, count(*) AS n FROM events e{g.where(events)} GROUP BY 1",
        f"SELECT {either('date_format', 'strftime')}(e.timestamp, '%Y-%m-%dT%H:%M:%S') AS x FROM events e{g.where(events)}",
    ])  # fmt: skip
