"""Joins of every kind."""

from grammar import Column, Query, Relation
from kinds import kind


@kind
def join_of_two(g):
    return g.joined_query(2)


@kind
def self_join(g):
    left, right = g.events(), g.events()
    key = g.pick(["user_id", "timestamp", "date"])
    a, b = (relation.columns[0].name.split(".")[0] for relation in (left, right))
    kind_of = g.pick(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
    on = f"{a}.{key} = {b}.{key}"
    if kind_of in ("JOIN", "LEFT JOIN", "RIGHT JOIN"):
        on += g.pick(["", f" AND {a}.timestamp < {b}.timestamp", f" AND {a}.event <> {b}.event", f" AND {b}.hour > {g.below(24)}"])
    both = Relation(f"{left.text} {kind_of} {right.text} ON {on}", left.columns + right.columns)
    return g.group(both, g.where(both))


@kind
def join_using(g):
    """USING and NATURAL, whose keys are one column."""
    a, b = g.name("e"), g.name("f")
    kind_of = g.pick(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
    keys = g.some(["user_id", "event", "date"], 1, 2)
    select = ", ".join(keys)
    sides = []
    for count in ("n", "m"):
        events = g.events("g" + count)
        sides.append(f"(SELECT {select}, count(*) AS {count} FROM {events.text}{g.where(events)} GROUP BY {select})")
    if g.chance(3):
        joined = f"{sides[0]} {a} NATURAL {kind_of} {sides[1]} {b}"
    else:
        joined = f"{sides[0]} {a} {kind_of} {sides[1]} {b} USING ({select})"
    items = g.pick([f"{select}, n, m", f"{keys[0]}, {a}.n + {b}.m AS s", f"{keys[0]}, coalesce(n, 0) AS n, m", "*"])
    where = g.pick(["", f" WHERE {keys[0]} IS NOT NULL", f" WHERE {keys[0]} IS NULL", " WHERE n IS NULL OR m IS NULL"])
    return f"SELECT {items} FROM {joined}{where}"


@kind
def cross_join(g):
    """All pairs of small relations."""
    left, right = g.pick([g.values, g.series, g.hours])(), g.pick([g.values, g.series])()
    both = Relation(f"{left.text}{g.pick([' CROSS JOIN ', ', '])}{right.text}", left.columns + right.columns)
    if g.chance(2):
        return g.group(both, g.where(both))
    items, _ = g.project(both)
    return f"SELECT {items} FROM {both.text}{g.where(both)}"


@kind
def unequal_join(g):
    """Joins by a range, and by nothing equal at all."""
    left, right = g.events(), g.pick([g.hours, g.values, g.events])()
    kind_of = g.pick(["JOIN", "LEFT JOIN", "RIGHT JOIN"])
    a, b = left.of("ts")[0], right.of("ts")[0]
    on = g.pick([
        f"{a} > {b}",
        f"{a} >= {b} AND {a} < {b} + INTERVAL '1 hour'",
        f"{a} BETWEEN {b} - INTERVAL '30 minutes' AND {b} + INTERVAL '30 minutes'",
        f"{a} <> {b} AND {left.of('int')[0]} < {right.of('int')[0]}" if right.of("int") else f"{a} <> {b}",
    ])  # fmt: skip
    both = Relation(f"{left.text} {kind_of} {right.text} ON {on}", left.columns + right.columns)
    return g.group(both, g.where(both))


@kind
def three_joined(g):
    first = g.joined(0)
    second = g.relation(1)
    kind_of = g.pick(["JOIN", "LEFT JOIN", "FULL JOIN"])
    on = g.join_condition(Relation("", first.columns[:5]), second)
    all_of = Relation(f"{first.text} {kind_of} {second.text} ON {on}", first.columns + second.columns)
    query = g.group(all_of, g.where(all_of))
    return query


@kind
def nested_join(g):
    """Parentheses among joins."""
    a, b, c = g.events(), g.hours(), g.values()
    inner = f"({b.text} {g.pick(['JOIN', 'LEFT JOIN', 'FULL JOIN'])} {c.text} ON {b.of('int')[0]} = {c.of('int')[0]})"
    outer = g.pick(["JOIN", "LEFT JOIN", "RIGHT JOIN"])
    on = f"{g.pick(a.of('int'))} = {g.pick(b.of('int') + c.of('int'))}"
    all_of = Relation(f"{a.text} {outer} {inner} ON {on}", a.columns + b.columns + c.columns)
    return g.group(all_of, g.where(all_of))


@kind
def lateral_join(g):
    """A subquery in FROM that sees the one before."""
    events = g.events()
    alias, inner = g.name("l"), g.events()
    a, b = (relation.columns[0].name.split(".")[0] for relation in (events, inner))
    what = g.pick(["count(*)", f"max({b}.timestamp)", f"min({b}.event)"])
    more = g.pick(["", f" AND {b}.timestamp < {a}.timestamp", f" AND {b}.event <> {a}.event"])
    text = f"{events.text} {g.pick(['CROSS JOIN', ','])} LATERAL (SELECT {what} AS x FROM {inner.text} WHERE {b}.user_id = {a}.user_id{more}) AS {alias}"
    return f"SELECT {a}.user_id, {a}.timestamp, {alias}.x FROM {text}{g.where(events)}"


@kind
def join_on_expression(g):
    """Keys that are computed on both sides."""
    left, right = g.events(), g.pick([g.events, g.hours])()
    of = g.pick(["ts", "date", "int", "text"])
    of = of if right.of(of) else "ts"
    kind_of = g.pick(["JOIN", "LEFT JOIN", "FULL JOIN"])
    on = f"{g.key(of, left)} = {g.key(of, right)}"
    both = Relation(f"{left.text} {kind_of} {right.text} ON {on}", left.columns + right.columns)
    return g.group(both, g.where(both))


@kind
def join_of_groups(g):
    """Two aggregations side by side."""
    of = g.pick(["text", "date", "int"])
    sides, columns = [], []
    for alias in (g.name("q"), g.name("q")):
        events = g.events()
        key, name = g.key(of, events), g.name("n")
        sides.append(f"(SELECT {key} AS k, {g.aggregate('int', events)} AS {name} FROM {events.text}{g.where(events)} GROUP BY 1) {alias}")
        columns += [Column(f"{alias}.k", of), Column(f"{alias}.{name}", "int")]
    on = f"{columns[0].name} = {columns[2].name}"
    text = f"{sides[0]} {g.pick(['JOIN', 'LEFT JOIN', 'FULL JOIN'])} {sides[1]} ON {on}"
    both = Relation(text, columns)
    items = ", ".join(f"{column.name} AS c{i}" for i, column in enumerate(columns))
    return Query(f"SELECT {items} FROM {text}{g.where(both)}")


MARKED = [("user_id", "text"), ("timestamp", "ts"), ("event", "text"), ("hour", "int")]


def marked_side(g):
    """Events with a column `mark` that is the same in all rows, often sorted and cut off; and the type of `mark`."""
    events = g.events()
    mark, of, where = g.pick([
        ("'m'", "text", ""), ("event", "text", " WHERE event = 'click'"), ("hour", "int", f" WHERE hour = {g.below(24)}"), ("date", "date", ""),
    ])  # fmt: skip
    order = g.pick(["", f" ORDER BY {g.pick(['hour', 'timestamp', 'user_id', 'mark', 'timestamp DESC'])}, timestamp, user_id, event LIMIT {g.pick([5, 40])}"])
    columns = "user_id, timestamp, event, hour"
    if g.chance(4):
        return f"(SELECT {columns}, max({mark}) AS mark FROM {events.text}{where} GROUP BY {columns}{order})", of
    return f"(SELECT {columns}, {mark} AS mark FROM {events.text}{where}{order})", of


@kind
def over_marked(g):
    """What is computed above a constant or an order, sorted or grouped by it."""
    side, of = marked_side(g)
    relation = Relation(f"{side} m", [Column(f"m.{name}", kind_of) for name, kind_of in MARKED + [("mark", of)]])
    if g.chance(2):
        return g.group(relation, g.where(relation))
    items, columns = g.project(relation, types=("text", "int", "ts", "date", "bool"))
    return Query(f"SELECT {items} FROM {relation.text}{g.where(relation)}" + g.order([name for name, _ in columns]), columns, True)


@kind
def join_of_marked(g):
    """Sides with constants and orders of their own, of which some do not hold above the join."""
    how = g.pick(["LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "JOIN"])
    key = g.pick(["user_id", "hour", "event", "timestamp"])
    more = "" if how == "FULL JOIN" else g.pick(["", "", " AND a.timestamp < b.timestamp", " AND a.event IS NOT DISTINCT FROM b.event"])
    joined = f"{marked_side(g)[0]} a {how} {marked_side(g)[0]} b ON a.{key} = b.{key}{more}"
    sides = g.pick([("a", "b"), ("b", "a")])
    if g.chance(2):
        keys = [f"{alias}.{g.pick(['mark', 'event', 'user_id'])}" for alias in sides[: g.between(1, 2)]]
        of_keys = ", ".join(f"{name} AS k{i}" for i, name in enumerate(keys))
        numbers = ", ".join(str(i + 1) for i in range(len(keys)))
        measures = g.some(["count(*) AS n", "count(a.hour) AS na", "count(DISTINCT a.user_id) AS ua", "count(DISTINCT b.user_id) AS ub", "max(b.timestamp) AS m"], 1, 3)
        order = g.pick(["", f" ORDER BY {', '.join(f'k{i}' for i in range(len(keys)))}"])
        return Query(f"SELECT {of_keys}, {', '.join(measures)} FROM {joined} GROUP BY {numbers}{order}", ordered=bool(order))
    names = [f"{alias}.{name}" for alias in sides for name in g.some(["mark", "timestamp", "hour", "user_id"], 1, 2)]
    names.insert(g.below(len(names) + 1), g.pick(names + ["'c'"]))
    items = ", ".join(f"{name} AS x{i}" for i, name in enumerate(names))
    order = ", ".join(f"x{i}" for i in range(len(names)))
    limit = g.pick(["", " LIMIT 30"])
    return Query(f"SELECT {items} FROM {joined} ORDER BY {order}{limit}", ordered=True)


def across(g, a, b):
    """A predicate over columns of one name on two sides."""
    name = g.pick(["event", "user_id", "hour", "timestamp", "date"])
    x, y = f"{a}.{name}", f"{b}.{name}"
    return g.pick([
        f"{x} {g.pick(['=', '<>', '<', '>='])} {y}",
        f"{x} IS {g.pick(['', 'NOT '])}DISTINCT FROM {y}",
        f"coalesce({x} = {y}, {g.pick(['true', 'false'])})",
        f"({x} = {y}) IS {g.pick(['NULL', 'NOT TRUE', 'NOT FALSE'])}",
        f"concat({a}.event, {b}.event) {g.pick(['=', '<>'])} 'clickimpression'",
        f"{a}.hour + {b}.hour {g.pick(['IS NULL', '> 20', '= 3'])}",
        f"{a}.event || {b}.event {g.pick(['IS NULL', '< ' + chr(39) + 'd' + chr(39)])}",
        f"{x} IS NULL OR {y} IS NULL",
        f"CASE WHEN {b}.event = 'click' THEN {x} = {y} ELSE {a}.hour > 3 END",
    ])  # fmt: skip


@kind
def self_join_filtered(g):
    """A self join whose WHERE compares one side with the other: names alone do not tell the sides apart."""
    how = g.pick(["LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "JOIN"])
    key = g.pick(["user_id", "timestamp", "hour"])
    on = f"a.{key} = b.{key}" + ("" if how == "FULL JOIN" else g.pick(["", " AND a.timestamp < b.timestamp", f" AND {across(g, 'a', 'b')}"]))
    where = f" WHERE {across(g, 'a', 'b')}" + g.pick(["", f" AND {across(g, 'b', 'a')}"])
    items, by = g.pick([("count(*) AS n", ""), ("a.event AS x, b.event AS y, count(*) AS n", " GROUP BY 1, 2"), ("a.user_id AS x, b.timestamp AS y", "")])
    return f"SELECT {items} FROM events a {how} events b ON {on}{where}{by}"


@kind
def self_join_of_three(g):
    """Three times the same table, each pair joined by a column of its own."""
    first, second = g.pick(["user_id", "date", "timestamp"]), g.pick(["timestamp", "user_id", "hour"])
    hows = [g.pick(["JOIN", "LEFT JOIN", "RIGHT JOIN"]) for _ in range(2)]
    near = g.pick(["a", "b"])
    limit = f" AND a.hour = {g.below(24)}" if first != "timestamp" else ""
    where = g.pick(["", f" WHERE {across(g, 'a', 'b')}", f" WHERE {across(g, 'b', 'c')}", f" WHERE c.event = 'click' AND {across(g, 'a', 'c')}"])
    return f"SELECT count(*) AS n, count(a.hour) AS na, count(b.hour) AS nb, count(DISTINCT c.user_id) AS nc FROM events a {hows[0]} events b ON a.{first} = b.{first}{limit} {hows[1]} events c ON {near}.{second} = c.{second} AND c.event <> {near}.event{where}"
