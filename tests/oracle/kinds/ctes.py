"""WITH: used once and often, one from another, recursive."""

from grammar import Query
from kinds import kind


@kind
def cte(g):
    parts = []
    for _ in range(g.between(1, 3)):
        query, name = g.query(1), g.name("t")
        parts.append(f"{name} AS ({query.text})")
        g.ctes.append((name, query.columns))
    query = g.query(2)
    return Query(f"WITH {', '.join(parts)} {query.text}", query.columns, query.ordered)


@kind
def cte_twice(g):
    """One CTE on both sides of a join."""
    events = g.events()
    key = g.key(g.pick(["text", "date"]), events)
    how = g.pick(["JOIN", "LEFT JOIN", "FULL JOIN"])
    return (
        f"WITH t AS (SELECT {key} AS k, {g.aggregate('int', events)} AS n FROM {events.text}{g.where(events)} GROUP BY 1) "
        f"SELECT a.k, a.n, b.n AS m FROM t a {how} t b ON a.{g.pick(['k = b.k', 'n = b.n'])} AND a.n {g.pick(['<=', '<>', '>'])} {g.below(4)}"
        if how != "FULL JOIN"
        else f"WITH t AS (SELECT {key} AS k, {g.aggregate('int', events)} AS n FROM {events.text}{g.where(events)} GROUP BY 1) "
        f"SELECT a.k, a.n, b.n AS m FROM t a FULL JOIN t b ON a.k = b.k"
    )


@kind
def recursive_numbers(g):
    last, step = g.between(1, 30), g.between(1, 4)
    start = g.below(3)
    use = g.pick([
        "SELECT n FROM r",
        "SELECT count(*) AS c, sum(n) AS s FROM r",
        "SELECT r.n, count(e.user_id) AS c FROM r LEFT JOIN events e ON e.hour = r.n GROUP BY 1",
        "SELECT user_id, hour FROM events WHERE hour IN (SELECT n FROM r)",
    ])  # fmt: skip
    return f"WITH RECURSIVE r AS (SELECT {start} AS n UNION ALL SELECT n + {step} FROM r WHERE n < {last}) {use}"


@kind
def recursive_times(g):
    start = g.literal("ts")
    step, count = g.pick(["1 hour", "1 day", "30 minutes"]), g.between(1, 12)
    return (
        f"WITH RECURSIVE r AS (SELECT {start} AS t, 0 AS i UNION ALL SELECT t + INTERVAL '{step}', i + 1 FROM r WHERE i < {count}) "
        f"SELECT r.t, count(e.user_id) AS n FROM r LEFT JOIN events e ON e.timestamp >= r.t AND e.timestamp < r.t + INTERVAL '{step}' GROUP BY 1"
    )


@kind
def recursive_distinct(g):
    """UNION ends when nothing new comes."""
    return f"WITH RECURSIVE r AS (SELECT {g.below(7)} AS n UNION SELECT (n * {g.between(2, 5)} + 1) % {g.between(2, 12)} FROM r) SELECT n FROM r"


@kind
def recursive_over_events(g):
    """A chain: from each event of a user to the next."""
    return (
        "WITH RECURSIVE ranked AS (SELECT user_id, timestamp, event, row_number() OVER (PARTITION BY user_id ORDER BY timestamp, event) AS i FROM events), "
        f"chain AS (SELECT user_id, i, event AS path FROM ranked WHERE i = 1 UNION ALL "
        f"SELECT r.user_id, r.i, c.path || '>' || r.event FROM chain c JOIN ranked r ON r.user_id = c.user_id AND r.i = c.i + 1 WHERE r.i <= {g.between(2, 5)}) "
        "SELECT path, count(*) AS n FROM chain GROUP BY 1"
    )
