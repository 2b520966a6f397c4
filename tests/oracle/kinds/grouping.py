"""GROUPING SETS, ROLLUP, CUBE, aggregates of aggregates, and percentiles."""

from dialect import either
from kinds import kind


def keys(g, events, count):
    chosen = [g.key(g.pick(["text", "date", "int", "ts"]), events) for _ in range(count)]
    return list(dict.fromkeys(chosen))


@kind
def grouping_sets(g):
    """A few keys in sets of them; GROUPING tells a total from a key that is NULL."""
    events = g.events()
    inner_keys = keys(g, events, g.between(2, 3))
    items = ", ".join(f"{key} AS k{i}" for i, key in enumerate(inner_keys))
    names = [f"k{i}" for i in range(len(inner_keys))]
    measured = events.columns[1].name
    inner = f"SELECT {items}, {measured} AS u, {events.columns[4].name} AS n FROM {events.text}{g.where(events)}"
    sets = g.pick([
        f"ROLLUP ({', '.join(names)})",
        f"CUBE ({', '.join(names)})",
        f"GROUPING SETS (({', '.join(names)}), " + ", ".join(f"({', '.join(g.some(names, 1))})" for _ in range(g.between(1, 3))) + g.pick([")", ", ())"]),
    ])  # fmt: skip
    measures = ", ".join(g.some(["count(*) AS c", "count(DISTINCT u) AS d", "sum(n) AS s", "max(u) AS m"], 1, 3))
    marks = g.pick(["", "", f", grouping({names[0]}) AS g0"])
    having = g.pick(["", "", " HAVING count(*) > 1"])
    return f"SELECT {', '.join(names)}, {measures}{marks} FROM ({inner}) AS q GROUP BY {sets}{having}"


@kind
def rollup_of_columns(g):
    """ROLLUP over the table itself, which the rollups of hours must not answer wrong."""
    columns = g.some(["event", "date", "hour", "user_id"], 2, 3)
    how = g.pick(["ROLLUP", "CUBE"])
    events = g.events("e")
    return f"SELECT {', '.join(columns)}, count(*) AS n, {g.aggregate('int', events)} AS a FROM events e{g.where(events)} GROUP BY {how} ({', '.join(columns)})"


@kind
def groups_of_groups(g):
    events = g.events()
    inner = f"SELECT {g.key('text', events)} AS k, {g.key('date', events)} AS d, {g.aggregate('int', events)} AS n FROM {events.text}{g.where(events)} GROUP BY 1, 2"
    outer = g.pick(["k, max(n) AS a", "k, avg(n) AS a", "k, sum(n) AS a, count(*) AS b", "d AS k, count(DISTINCT k) AS a", "n AS k, count(*) AS a"])
    return f"SELECT {outer} FROM ({inner}) AS q GROUP BY 1"


@kind
def percentiles(g):
    events = g.events()
    x = f"CAST({g.pick(events.of('int'))} AS DOUBLE)"
    share = g.pick(["0.5", "0.9", "0.95", "0.25", "0", "1"])
    call = g.pick([
        f"median({x})",
        f"percentile_cont({share}) WITHIN GROUP (ORDER BY {x})",
        f"quantile_cont({x}, {share})",
        f"percentile_cont({share}) WITHIN GROUP (ORDER BY {x} DESC)",
    ])  # fmt: skip
    key = g.key(g.pick(["text", "date"]), events)
    return f"SELECT {key} AS k, {call} AS p, count(*) AS n FROM {events.text}{g.where(events)} GROUP BY 1"


@kind
def lists(g):
    """Lists of a group's values."""
    events = g.events()
    of = g.pick(["text", "int", "date"])
    a = g.pick([g.pick(events.of(of)), f"nullif({g.pick(events.of(of))}, {g.literal(of)})"])
    call = g.pick([f"array_agg({a} ORDER BY {a})", f"array_agg(DISTINCT {a} ORDER BY {a})", f"array_agg({a} ORDER BY {a} DESC)"])
    return f"SELECT {g.key('text', events)} AS k, {call} AS l FROM {events.text}{g.where(events)} GROUP BY 1"


@kind
def group_by_expression(g):
    """The key written out in GROUP BY and HAVING, or by its alias."""
    events = g.events()
    key = g.key(g.pick(["text", "date", "ts", "int"]), events)
    by = g.pick([key, "k", "1", "ALL"])
    return f"SELECT {key} AS k, {g.aggregate('int', events)} AS n FROM {events.text}{g.where(events)} GROUP BY {by} HAVING count(*) {g.pick(['>', '<=', '<>'])} {g.below(4)}"


@kind
def distinct_users(g):
    """Distinct users by what rollups keep and by what they do not."""
    events = g.events()
    key = g.key(g.pick(["ts", "date", "int", "text"]), events)
    user = events.columns[1].name
    calls = [f"count(DISTINCT {user}) AS u"]
    for i in range(g.below(3)):
        calls.append(f"count(DISTINCT {user}) FILTER (WHERE {g.condition(events, 0)}) AS f{i}")
    calls += g.pick([[], ["count(*) AS n"], [f"count(DISTINCT {g.pick(events.of('text', 'date', 'int', 'ts'))}) AS o"]])
    return f"SELECT {key} AS k, {', '.join(calls)} FROM {events.text}{g.where(events)} GROUP BY 1"


@kind
def top_by_measure(g):
    """arg_max and arg_min, where ties cannot matter."""
    events = g.events("e")
    how = g.pick(["max", "min"])
    call = either(f"last_value(e.user_id ORDER BY e.timestamp{'' if how == 'max' else ' DESC'}, e.user_id)",
                  f"last(e.user_id ORDER BY e.timestamp{'' if how == 'max' else ' DESC'}, e.user_id)")
    return f"SELECT {g.key('date', events)} AS k, {call} AS u FROM events e{g.where(events)} GROUP BY 1"
