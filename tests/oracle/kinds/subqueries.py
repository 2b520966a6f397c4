"""Subqueries in conditions and among columns, correlated and not."""

from grammar import COMPARISONS, Relation
from kinds import kind


def outer_and_inner(g):
    outer, inner = g.events(), g.pick([g.events, g.events, g.hours, g.values])()
    return outer, inner, Relation("", inner.columns + outer.columns)


def correlation(g, outer, inner):
    """Equality of a column of each."""
    of = g.pick(["text", "ts", "date", "int"])
    of = of if inner.of(of) else "ts"
    return f"{g.pick(inner.of(of))} = {g.pick(outer.of(of))}"


def finish(g, outer, condition):
    """Counts, rows or groups of the outer rows that the condition keeps."""
    extra = g.pick(["", f" AND {g.condition(outer, 0)}", f" OR {g.condition(outer, 0)}"])
    where = f" WHERE {condition}{extra}"
    if g.chance(2):
        return g.group(outer, where)
    items, _ = g.project(outer, depth=0)
    return f"SELECT {items} FROM {outer.text}{where}"


@kind
def in_subquery(g):
    outer, inner, _ = outer_and_inner(g)
    of = g.pick(["text", "int", "ts", "date"])
    inner_key = g.expr(of, inner, g.below(2))
    outer_key = g.expr(of, outer, g.below(2))
    return finish(g, outer, f"{outer_key} {g.pick(['IN', 'NOT IN'])} (SELECT {inner_key} FROM {inner.text}{g.where(inner)})")


@kind
def in_correlated(g):
    outer, inner, _ = outer_and_inner(g)
    of = g.pick(["text", "int", "ts"])
    more = f" AND {g.condition(inner, 0)}" if g.chance(2) else ""
    subquery = f"SELECT {g.expr(of, inner, 1)} FROM {inner.text} WHERE {correlation(g, outer, inner)}{more}"
    return finish(g, outer, f"{g.expr(of, outer, 0)} {g.pick(['IN', 'NOT IN'])} ({subquery})")


@kind
def exists(g):
    outer, inner, both = outer_and_inner(g)
    where = correlation(g, outer, inner)
    if g.chance(2):
        where += f" AND {g.condition(both, 0)}"
    return finish(g, outer, f"{g.pick(['EXISTS', 'NOT EXISTS'])} (SELECT {g.pick(['1', '*'])} FROM {inner.text} WHERE {where})")


@kind
def exists_of_all(g):
    """Not correlated: true for all rows or for none."""
    outer, inner, _ = outer_and_inner(g)
    return finish(g, outer, f"{g.pick(['EXISTS', 'NOT EXISTS'])} (SELECT 1 FROM {inner.text} WHERE {g.condition(inner, 1)})")


@kind
def exists_as_column(g):
    outer, inner, _ = outer_and_inner(g)
    subquery = f"EXISTS (SELECT 1 FROM {inner.text} WHERE {correlation(g, outer, inner)} AND {g.condition(inner, 0)})"
    alias = outer.columns[0].name.split(".")[0]
    return g.pick([
        f"SELECT {alias}.user_id, {alias}.timestamp, {subquery} AS x FROM {outer.text}{g.where(outer)}",
        f"SELECT {alias}.event, count(*) FILTER (WHERE {subquery}) AS n FROM {outer.text}{g.where(outer)} GROUP BY 1",
        f"SELECT CASE WHEN {subquery} THEN 'yes' ELSE 'no' END AS x, count(*) AS n FROM {outer.text} GROUP BY 1",
    ])  # fmt: skip


@kind
def scalar_subquery(g):
    outer, inner, _ = outer_and_inner(g)
    of = g.pick(["int", "ts", "text"])
    subquery = f"(SELECT {g.aggregate(of, inner)} FROM {inner.text}{g.where(inner)})"
    return finish(g, outer, f"{g.expr(of, outer, 0)} {g.pick(COMPARISONS)} {subquery}")


@kind
def scalar_correlated(g):
    outer, inner, _ = outer_and_inner(g)
    of = g.pick(["int", "ts", "text"])
    more = f" AND {g.condition(inner, 0)}" if g.chance(2) else ""
    subquery = f"(SELECT {g.aggregate(of, inner)} FROM {inner.text} WHERE {correlation(g, outer, inner)}{more})"
    return finish(g, outer, f"{g.expr(of, outer, 0)} {g.pick(COMPARISONS)} {subquery}")


@kind
def scalar_column(g):
    """A number of its own for each row: `count` of no rows is 0, `max` of none is NULL."""
    outer, inner, _ = outer_and_inner(g)
    of = g.pick(["int", "ts", "text"])
    more = f" AND {g.condition(inner, 0)}" if g.chance(2) else ""
    correlated = correlation(g, outer, inner) + more if g.below(3) else g.condition(inner, 0)
    subquery = f"(SELECT {g.aggregate(of, inner)} FROM {inner.text} WHERE {correlated})"
    column = g.pick([subquery, f"coalesce({subquery}, {g.literal(of)})"])
    alias = outer.columns[0].name.split(".")[0]
    return f"SELECT {alias}.user_id, {alias}.timestamp, {column} AS x FROM {outer.text}{g.where(outer)}"


@kind
def quantified(g):
    """ANY and ALL of a subquery."""
    outer, inner, _ = outer_and_inner(g)
    of = g.pick(["int", "ts", "text"])
    which = f"{g.pick(COMPARISONS)} {g.pick(['ANY', 'ALL'])}"
    return finish(g, outer, f"{g.expr(of, outer, 0)} {which} (SELECT {g.expr(of, inner, 0)} FROM {inner.text}{g.where(inner)})")


@kind
def having_subquery(g):
    outer, inner, _ = outer_and_inner(g)
    key = g.pick(outer.of("text"))
    return (
        f"SELECT {key} AS k, count(*) AS n FROM {outer.text}{g.where(outer)} GROUP BY 1 "
        f"HAVING count(*) {g.pick(COMPARISONS)} (SELECT {g.aggregate('int', inner)} FROM {inner.text}{g.where(inner)})"
    )


@kind
def group_of_tuple(g):
    """The latest row of each user, by a pair."""
    a, b = g.events(), g.events()
    x, y = (relation.columns[0].name.split(".")[0] for relation in (a, b))
    how = g.pick(["max", "min"])
    where = g.where(b)
    return g.pick([
        f"SELECT {x}.* FROM {a.text} JOIN (SELECT {y}.user_id AS u, {how}({y}.timestamp) AS t FROM {b.text}{where} GROUP BY 1) m ON {x}.user_id = m.u AND {x}.timestamp = m.t",
        f"SELECT {x}.user_id, {x}.event FROM {a.text} WHERE ({x}.user_id, {x}.timestamp) IN (SELECT {y}.user_id, {how}({y}.timestamp) FROM {b.text}{where} GROUP BY 1)",
        f"SELECT {x}.user_id, {x}.event FROM {a.text} WHERE {x}.timestamp = (SELECT {how}({y}.timestamp) FROM {b.text} WHERE {y}.user_id = {x}.user_id)",
    ])  # fmt: skip
