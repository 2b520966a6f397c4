"""Distinct users of many hours, which sets answer: beside each other, intersected, and of the view `visitors`."""

from dialect import either
from expressions import INSTANTS, ZONES
from kinds import kind

UNITS = ["day", "hour", "week", "month", "quarter", "year"]
HALF_HOUR_ZONES = ZONES + ["America/St_Johns", "Asia/Kathmandu"]

# The view, a row for each user.
VIEW = "(SELECT DISTINCT date_trunc('hour', timestamp) AS hour, event, user_id FROM events) visitors"


def instant(g):
    """An instant, often of a whole hour."""
    return g.pick(["2025-03-29T22:00:00Z", "2025-10-26T00:00:00Z", "2024-02-28T23:00:00Z", "2024-12-31T00:00:00Z", "2025-01-07T05:00:00Z"] + INSTANTS)


def range_of(g, time):
    a, b, operator = instant(g), instant(g), g.pick([">=", "<", ">", "<="])
    zone = g.pick(HALF_HOUR_ZONES)
    return g.pick([
        "true",
        f"{time} >= TIMESTAMPTZ '{a}' AND {time} < TIMESTAMPTZ '{b}'",
        f"{time} {operator} TIMESTAMPTZ '{a}'",
        f"{time} BETWEEN TIMESTAMPTZ '{a}' AND TIMESTAMPTZ '{b}'",
        f"{time} {operator} TIMESTAMP '{a[:10]}' AT TIME ZONE '{zone}'",
        f"date_trunc('{g.pick(UNITS)}', {time}) {operator} TIMESTAMPTZ '{a}'",
        f"CAST({time} AS DATE) {operator} DATE '{a[:10]}'",
    ])  # fmt: skip


def condition(g, time):
    return g.pick([
        f"event = '{g.pick(['click', 'impression', 'other'])}'",
        "event <> 'click'",
        f"event IN ('click', '{g.pick(['impression', 'x'])}')",
        f"event = 'click' AND {range_of(g, time)}",
        f"event = 'click' OR {range_of(g, time)}",
        range_of(g, time),
    ])  # fmt: skip


def period(g, time):
    """What one groups by."""
    unit, zone = g.pick(UNITS), g.pick(HALF_HOUR_ZONES)
    local = f"{time} AT TIME ZONE '{zone}'"
    return g.pick([
        f"date_trunc('{unit}', {time})",
        f"date_trunc('{unit}', {local})",
        g.bucket(time),
        f"CAST({local} AS DATE)",
        f"CAST(extract({g.pick(['dow', 'hour', 'month', 'week', 'quarter'])} FROM {time}) AS BIGINT)",
        f"CAST(extract({g.pick(['dow', 'hour', 'month', 'week', 'quarter'])} FROM {local}) AS BIGINT)",
        "event",
    ])  # fmt: skip


def where(g, time):
    return f" WHERE {condition(g, time)}" if g.chance(2) else ""


def aggregate(g):
    on = condition(g, "timestamp")
    return g.pick([
        "count(DISTINCT user_id)",
        f"count(DISTINCT user_id) FILTER (WHERE {on})",
        f"count(DISTINCT CASE WHEN {on} THEN user_id END)",
        f"count(*) FILTER (WHERE {on})",
        "count(*)",
        f"count(DISTINCT user_id) FILTER (WHERE {on}) * 1.0 / count(DISTINCT user_id)",
    ])  # fmt: skip


def grouped(g, columns, source, condition, having):
    """A statement of groups, and perhaps a HAVING, an order and a limit."""
    groups = [period(g, source[1]) for _ in range(g.below(3))]
    items = ", ".join([f"{key} AS k{i}" for i, key in enumerate(groups)] + [f"{item} AS n{i}" for i, item in enumerate(columns)])
    places = ", ".join(str(i + 1) for i in range(len(groups)))
    tail = f" GROUP BY {places}" if groups else ""
    if groups and g.chance(4):
        tail += f" HAVING {having} > {g.below(4)}"
    if g.chance(4):
        every = ", ".join(str(i + 1) for i in range(len(groups) + len(columns)))
        tail += f" ORDER BY {every} LIMIT {g.between(0, 9)}"
    return f"SELECT {items} FROM {source[0]}{condition}{tail}"


@kind
def visitors_of_periods(g):
    columns = [aggregate(g) for _ in range(g.between(1, 3))]
    return grouped(g, columns, ("events", "timestamp"), where(g, "timestamp"), "count(DISTINCT user_id)")


@kind
def visitors_of_ranges(g):
    """Users of one range and not, or also, of another."""

    def users(distinct):
        return f"SELECT {distinct}user_id FROM events{where(g, 'timestamp')}"

    a, b, c = users(g.pick(["", "DISTINCT "])), users(""), users("DISTINCT ")
    count = g.pick(["count(*)", "count(DISTINCT user_id)"])
    of_a = count.replace("user_id", "a.user_id")
    operators = ["INTERSECT", "EXCEPT", "UNION", "UNION ALL", "EXCEPT ALL", "INTERSECT ALL"]
    first, second, negated = g.pick(operators), g.pick(operators), g.pick(["", "NOT "])
    semi = g.pick(["SEMI", "ANTI"])
    return g.pick([
        f"SELECT {count} AS n FROM ({a} {first} {b}) q",
        f"SELECT {count} AS n FROM (({a} {first} {b}) {second} {c}) q",
        f"SELECT {count} AS n FROM ({a}) q WHERE user_id {negated}IN ({b})",
        f"SELECT {of_a} AS n FROM ({a}) a WHERE {negated}EXISTS (SELECT 1 FROM ({b}) b WHERE b.user_id = a.user_id)",
        f"SELECT {of_a} AS n FROM ({a}) a {g.pick(['JOIN', 'LEFT JOIN', 'FULL JOIN'])} ({c}) b ON a.user_id = b.user_id",
        f"SELECT {of_a} AS n FROM ({a}) a {either('LEFT ' + semi, semi)} JOIN ({b}) b ON a.user_id = b.user_id",
        f"SELECT count(*) AS n FROM ({c} LIMIT {g.below(5)}) q",
        f"SELECT event, {count} AS n FROM events WHERE user_id {negated}IN ({b}) GROUP BY 1",
    ])  # fmt: skip


@kind
def visitors_of_the_view(g):
    columns = []
    for _ in range(g.between(1, 3)):
        only = g.pick(["", f" FILTER (WHERE {condition(g, 'hour')})"])
        columns.append(g.pick([
            either(f"rb_or_cardinality_agg(users){only}", f"nullif(count(DISTINCT user_id){only}, 0)"),
            either(f"rb_cardinality(coalesce(rb_or_agg(users){only}, rb_build([])))", f"count(DISTINCT user_id){only}"),
            f"max(hour){only}",
        ]))  # fmt: skip
    source = either("visitors", VIEW), "hour"
    return grouped(g, columns, source, where(g, "hour"), "count(DISTINCT event)")


@kind
def visitors_of_two_days(g):
    """Who came on one day and on another: a matrix of all pairs."""
    only, zone = where(g, "hour"), g.pick(HALF_HOUR_ZONES)
    day = g.pick(["date_trunc('day', hour)", f"date_trunc('day', hour AT TIME ZONE '{zone}')"])
    sets = f"SELECT {day} AS day, rb_or_agg(users) AS users FROM visitors{only} GROUP BY 1"
    rows = f"SELECT DISTINCT {day} AS day, user_id FROM {VIEW}{only}"
    return either(
        f"SELECT a.day, b.day AS later, rb_and_cardinality(a.users, b.users) AS n FROM ({sets}) a JOIN ({sets}) b ON a.day < b.day WHERE rb_intersect(a.users, b.users)",
        f"SELECT a.day, b.day AS later, count(*) AS n FROM ({rows}) a JOIN ({rows}) b ON a.day < b.day AND a.user_id = b.user_id GROUP BY 1, 2",
    )
