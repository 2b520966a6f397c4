"""NULL: in keys, comparisons, aggregates, orders and lists."""

from grammar import Query
from kinds import kind


def with_nulls(g, alias="q"):
    """Rows of which some columns are NULL."""
    events = g.events()
    user, event = events.columns[1].name, events.columns[2].name
    hour = events.columns[4].name
    return (
        f"(SELECT nullif({user}, {g.literal('text')}) AS u, CASE WHEN {event} = 'click' THEN {hour} END AS h, "
        f"CASE WHEN {hour} > {g.below(24)} THEN {events.columns[0].name} END AS t FROM {events.text}) AS {alias}"
    )


@kind
def null_groups(g):
    call = g.pick(["count(h)", "sum(h)", "avg(h)", "min(t)", "max(u)", "count(DISTINCT h)", "count(DISTINCT u)", "bool_and(h > 5)", "stddev(h)", "median(CAST(h AS DOUBLE))"])
    return f"SELECT {g.pick(['u', 'h', 't', 'u IS NULL', 'h > 5'])} AS k, {call} AS a, count(*) AS n FROM {with_nulls(g)} GROUP BY 1"


@kind
def null_order(g):
    text = f"SELECT u, h FROM {with_nulls(g)}"
    return Query(text + g.order(["u", "h"]) + g.limit(), ordered=True)


@kind
def null_conditions(g):
    condition = g.pick([
        "h = h", "h <> 5", "NOT (h = 5)", "h IN (1, 5, NULL)", "h NOT IN (1, 5)", "h NOT IN (1, NULL)", "h IS DISTINCT FROM 5",
        "u = 'u1' OR h > 3", "NOT (u = 'u1' AND h > 3)", "(h > 3) IS NOT TRUE", "coalesce(h, -1) < 3", "h BETWEEN 3 AND NULL",
        "u LIKE '%1' OR u IS NULL", "NULL", "h > 3 OR NULL", "t > NULL", "u || 'x' = 'u1x'", "(h IS NULL) = (u IS NULL)",
    ])  # fmt: skip
    return f"SELECT u, h, t FROM {with_nulls(g)} WHERE {condition}"


@kind
def null_joins(g):
    """NULL keys meet nobody, but stay in outer joins."""
    how = g.pick(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
    on = g.pick(["a.u = b.u", "a.h = b.h", "a.u = b.u AND a.h = b.h", "a.u IS NOT DISTINCT FROM b.u"])
    if how == "FULL JOIN" and "DISTINCT" in on:
        on = "a.u = b.u"
    return f"SELECT count(*) AS n, count(a.u) AS au, count(b.u) AS bu, count(a.h) AS ah, count(b.h) AS bh FROM {with_nulls(g, 'a')} {how} {with_nulls(g, 'b')} ON {on}"


@kind
def null_subqueries(g):
    which = g.pick(["u", "h"])
    sub = f"(SELECT b.{which} FROM {with_nulls(g, 'b')}{g.pick(['', f' WHERE b.{which} IS NOT NULL', ' WHERE b.h > 3'])})"
    return f"SELECT a.u, a.h FROM {with_nulls(g, 'a')} WHERE a.{which} {g.pick(['IN', 'NOT IN'])} {sub}"


@kind
def null_sets(g):
    """Set operations take NULLs for equal."""
    operator = g.pick(["UNION", "INTERSECT", "EXCEPT", "UNION ALL", "EXCEPT ALL", "INTERSECT ALL"])
    return f"SELECT u, h FROM {with_nulls(g, 'a')} {operator} SELECT u, h FROM {with_nulls(g, 'b')}"


@kind
def null_functions(g):
    call = g.pick([
        "coalesce(u, 'none')", "coalesce(h, 0)", "nullif(h, 5)", "concat(u, '-', h)", "u || '-' || CAST(h AS VARCHAR)", "greatest(h, 3)",
        "least(h, 3, NULL)", "CASE u WHEN NULL THEN 1 ELSE 2 END", "CASE h WHEN 5 THEN 'five' END", "length(u)", "h + 1", "upper(u)",
        "concat_ws(',', u, NULL, CAST(h AS VARCHAR))", "date_trunc('day', t)", "t + INTERVAL '1 hour'", "ifnull(h, 7)", "h IS NULL",
        "substr(u, 2)", "replace(u, NULL, 'x')", "round(h / 2.0)", "h % 3", "extract(hour FROM t)",
    ])  # fmt: skip
    return f"SELECT u, h, {call} AS x FROM {with_nulls(g)}"


@kind
def null_windows(g):
    call = g.pick([
        "lag(h) OVER (ORDER BY t NULLS FIRST, u NULLS LAST, h)", "sum(h) OVER (PARTITION BY u)", "count(h) OVER (ORDER BY h)",
        "rank() OVER (ORDER BY h NULLS FIRST)", "max(h) OVER (PARTITION BY u ORDER BY t RANGE BETWEEN INTERVAL '1 hour' PRECEDING AND CURRENT ROW)",
        "first_value(u) OVER (ORDER BY u NULLS FIRST)", "dense_rank() OVER (ORDER BY u DESC)",
        "coalesce(h, max(h) OVER (PARTITION BY u))",
    ])  # fmt: skip
    return f"SELECT u, h, {call} AS x FROM {with_nulls(g)}"
