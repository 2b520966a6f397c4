"""UNION, INTERSECT and EXCEPT, with ALL and nested."""

from grammar import Query
from kinds import kind

OPERATORS = ["UNION ALL", "UNION", "INTERSECT", "EXCEPT", "INTERSECT ALL", "EXCEPT ALL"]
WORDS = ["a", "b", "c", "a"]


def side(g, types, names):
    """A side of an operator: rows of a relation, of constants, or groups."""
    if g.chance(3):
        rows = ", ".join(f"{g.literal(of)} AS {name}" for of, name in zip(types, names))
        return f"SELECT {rows}"
    relation = g.relation(1)
    items = ", ".join(f"{g.expr(of, relation, 1)} AS {name}" for of, name in zip(types, names))
    distinct = g.pick(["", "", "DISTINCT "])
    return f"SELECT {distinct}{items} FROM {relation.text}{g.where(relation)}"


def combined(g, types, names, depth):
    left, right = side(g, types, names), side(g, types, names)
    if depth > 0 and g.chance(2):
        left = f"({combined(g, types, names, depth - 1)})"
    if depth > 0 and g.chance(2):
        right = f"({combined(g, types, names, depth - 1)})"
    return f"{left} {g.pick(OPERATORS)} {right}"


def typed(g):
    types = [g.pick(["text", "int", "ts", "date"]) for _ in range(g.between(1, 2))]
    return types, [g.name("y") for _ in types]


@kind
def set_operation(g):
    types, names = typed(g)
    return combined(g, types, names, 1)


@kind
def set_ordered(g):
    types, names = typed(g)
    return Query(combined(g, types, names, 1) + g.order(names) + g.pick(["", g.limit()]), list(zip(names, types)), True)


@kind
def set_grouped(g):
    """Groups of a union."""
    types, names = typed(g)
    keys = ", ".join(names)
    aggregates = g.pick(["count(*) AS n", f"count(*) AS n, count(DISTINCT {names[0]}) AS m", f"min({names[-1]}) AS n"])
    return f"SELECT {keys}, {aggregates} FROM ({combined(g, types, names, 1)}) AS q GROUP BY {keys}"


@kind
def set_of_constants(g):
    """What is folded while planning must not be folded apart."""
    parts = [f"SELECT '{g.pick(WORDS)}' AS x, {g.below(3)} AS n" for _ in range(g.between(2, 5))]
    text = parts[0]
    for part in parts[1:]:
        text += f" {g.pick(['UNION ALL', 'UNION', 'UNION', 'EXCEPT', 'INTERSECT'])} {part}"
    return g.pick([
        text,
        f"SELECT x, count(*) AS c, sum(n) AS s FROM ({text}) q GROUP BY x",
        f"SELECT DISTINCT x FROM ({text}) q",
        f"SELECT x, n, row_number() OVER (ORDER BY x, n) AS r FROM ({text}) q",
        f"SELECT q.x, e.event, count(*) AS c FROM ({text}) q LEFT JOIN events e ON e.hour = q.n GROUP BY 1, 2",
        f"SELECT count(*) AS c FROM events WHERE hour IN (SELECT n FROM ({text}) q)",
    ])  # fmt: skip


@kind
def set_of_aggregates(g):
    """A report of several lines: each part an aggregation of its own."""
    parts = []
    for i in range(g.between(2, 4)):
        events = g.events()
        parts.append(f"SELECT 'part {i}' AS part, {g.aggregate('int', events)} AS n FROM {events.text}{g.where(events)}")
    text = " UNION ALL ".join(parts)
    return g.pick([text, f"SELECT part, n FROM ({text}) q WHERE n > {g.below(5)}", f"SELECT sum(n) AS s, count(*) AS c FROM ({text}) q"])


@kind
def set_with_names_alike(g):
    """The same table on both sides, so that a part may be merged with the other, wrongly."""
    events = g.events("e")
    item = g.expr(g.pick(["text", "int", "date"]), events, 1)
    sides = [f"SELECT {item} AS x FROM events e WHERE {g.condition(events, 0)}" for _ in range(2)]
    text = f"{sides[0]} {g.pick(OPERATORS)} {sides[1]}"
    return g.pick([text, f"SELECT count(*) AS n, count(x) AS m FROM ({text}) q"])
