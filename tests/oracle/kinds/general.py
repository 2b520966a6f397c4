"""Anything the grammar makes, nested as it comes."""

from grammar import Query, Relation
from kinds import kind


@kind
def nested(g):
    return g.query(3)


@kind
def grouped(g):
    return g.grouped_query(2)


@kind
def conditions(g):
    """Rollups and pruning are chosen by what WHERE says of time."""
    events = g.events()
    return g.group(events, f" WHERE {g.condition(events, 2)}")


@kind
def ordered(g):
    return g.limited_query(2)


@kind
def ordered_groups(g):
    """The top of an aggregation."""
    query = g.grouped_query(1)
    names = [name for name, of in query.columns if of != "float"]
    if len(names) < len(query.columns):
        return query
    return Query(query.text + g.order(names) + g.limit(), query.columns, True)


@kind
def limit_counted(g):
    """How many rows a LIMIT lets through, whichever they are."""
    query = g.query(2)
    return f"SELECT count(*) AS n FROM ({query.text}{'' if query.ordered else g.limit()}) AS q"


@kind
def sorted_again(g):
    """An order above another: what is sorted already must not pass for what is asked."""
    events = g.events("e")
    inner = f"SELECT e.timestamp, e.user_id, e.event, e.hour FROM events e{g.where(events)} ORDER BY {g.whole_order(events)}"
    key = g.pick([
        "user_id", "date_trunc('day', timestamp)", "CAST(timestamp AT TIME ZONE 'UTC' AS TIME)", "timestamp DESC", "- hour",
        "date_trunc('hour', timestamp AT TIME ZONE 'Europe/Berlin')", "extract(minute FROM timestamp)", "length(user_id)",
    ])  # fmt: skip
    text = f"SELECT timestamp, user_id, event FROM ({inner}{g.pick(['', g.limit()])}) AS q ORDER BY {key}, timestamp, user_id, event"
    return Query(text + g.pick(["", g.limit()]), ordered=True)


@kind
def distinct_ordered(g):
    """DISTINCT, then an order and the first rows."""
    query = g.distinct_query(1)
    return Query(query.text + g.order([name for name, _ in query.columns]) + g.pick(["", g.limit()]), query.columns, True)


@kind
def expressions(g):
    """Functions, deeper than elsewhere."""
    events = g.events()
    items, _ = g.project(events, 3, 3)
    return f"SELECT {items} FROM {events.text}{g.where(events)}"


@kind
def constants(g):
    """Expressions of constants, which are computed while planning: they must agree with those of columns."""
    items, _ = g.project(Relation("", []), 3, 3)
    return f"SELECT {items}"


@kind
def hours_view(g):
    hours = g.hours()
    if g.chance(2):
        return g.group(hours, g.where(hours))
    items, _ = g.project(hours)
    return f"SELECT {items} FROM {hours.text}{g.where(hours)}"


@kind
def whole_rows(g):
    """Every column, as `*` names them."""
    events = g.events()
    return f"SELECT * FROM {events.text}{g.where(events, 1)}"


@kind
def case_pivot(g):
    """Groups by columns: CASE and FILTER, one for each value."""
    events = g.events()
    at = events.of("ts")[0]
    columns = []
    for i in range(g.between(1, 4)):
        user = g.literal("text")
        name = f"{events.columns[1].name} = {user}"
        columns.append(g.pick([
            f"count(*) FILTER (WHERE {name}) AS p{i}",
            f"sum(CASE WHEN {name} THEN 1 ELSE 0 END) AS p{i}",
            f"max(CASE WHEN {name} THEN {at} END) AS p{i}",
            f"count(DISTINCT CASE WHEN {name} THEN {events.columns[3].name} END) AS p{i}",
        ]))  # fmt: skip
    of = g.pick(["text", "date", "int", "ts"])
    return f"SELECT {g.key(of, events)} AS k, {', '.join(columns)} FROM {events.text}{g.where(events)} GROUP BY 1"
