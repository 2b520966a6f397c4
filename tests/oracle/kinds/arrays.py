"""Arrays: what array_agg collects, taken on by functions, subscripts and unnest."""

from dialect import either
from kinds import kind


def collected(g, events, of):
    """A list of a group's values in their order, without nulls."""
    a = g.pick(events.of(of))
    call = g.pick([f"array_agg({a} ORDER BY {a})", f"array_agg(DISTINCT {a} ORDER BY {a})", f"array_agg({a} ORDER BY {a} DESC)"])
    return f"{call} FILTER (WHERE {a} IS NOT NULL)"


@kind
def arrays_of_groups(g):
    """A function over what each group collects."""
    events = g.events()
    of = g.pick(["text", "int"])
    one = g.literal(of)
    call = g.pick([
        "array_length(l)",
        "l[1]",
        "l[2]",
        "l[1:2]",
        either(f"array_has(l, {one})", f"list_contains(l, {one})"),
        either(f"array_position(l, {one})", f"list_position(l, {one})"),
        either("array_to_string(l, '>')", "array_to_string(l, '>')"),
        either("array_sort(array_distinct(l))", "list_sort(list_distinct(l))"),
        either("array_concat(l, l)", "list_concat(l, l)"),
        either("array_max(l)", "list_max(l)"),
        either("array_min(l)", "list_min(l)"),
        either("array_reverse(l)", "list_reverse(l)"),
        either(f"array_append(l, {one})", f"list_append(l, {one})"),
        "l || l",
    ])  # fmt: skip
    inner = f"SELECT {g.key('text', events)} AS k, {collected(g, events, of)} AS l FROM {events.text}{g.where(events)} GROUP BY 1"
    return f"SELECT k, {call} AS a FROM ({inner}) AS q"


@kind
def arrays_unnested(g):
    """Lists of groups, taken apart again and counted."""
    events = g.events()
    of = g.pick(["text", "int", "date"])
    inner = f"SELECT {g.key('text', events)} AS k, {collected(g, events, of)} AS l FROM {events.text}{g.where(events)} GROUP BY 1"
    return f"SELECT k, x, count(*) AS n FROM (SELECT k, unnest(l) AS x FROM ({inner}) AS q) AS r GROUP BY 1, 2"


@kind
def paths(g):
    """What visitors do one after another, as a text."""
    events = g.events()
    text, at = g.pick(events.of("text")), g.pick(events.of("ts"))
    path = f"array_to_string(array_agg({text} ORDER BY {at}, {text}) FILTER (WHERE {text} IS NOT NULL), '>')"
    return f"SELECT p, count(*) AS n FROM (SELECT {g.key('text', events)} AS k, {path} AS p FROM {events.text}{g.where(events)} GROUP BY 1) AS q GROUP BY 1"


@kind
def series(g):
    """Numbers and days in an array."""
    start, stop, step = g.between(-5, 5), g.between(-5, 12), g.pick([1, 2, 3])
    first, last = g.between(1, 28), g.between(1, 28)
    days = f"DATE '2024-02-{first:02}', DATE '2024-03-{last:02}', INTERVAL '{g.pick([1, 3, 7])} days'"
    name = "range"
    hours = f"TIMESTAMP '2024-02-{first:02} 05:00', TIMESTAMP '2024-03-{last:02} 07:30', INTERVAL '{g.pick([1, 5, 36])} hours'"
    return g.pick([
        f"SELECT unnest({name}({start}, {stop}, {step})) AS n",
        f"SELECT CAST(unnest({name}({days})) AS DATE) AS d",
        f"SELECT unnest({name}({hours})) AS t",
        f"SELECT array_length({name}({hours})) AS n",
    ])  # fmt: skip


@kind
def digests(g):
    """Digests of texts, as keys and as values."""
    events = g.events()
    a = g.pick(events.of("text"))
    digest = g.pick([f"md5({a})", either(f"encode(sha256({a}), 'hex')", f"sha256({a})")])
    return f"SELECT left({digest}, {g.pick([1, 2, 32])}) AS k, count(DISTINCT {a}) AS n FROM {events.text}{g.where(events)} GROUP BY 1"
