"""Window functions, QUALIFY, DISTINCT ON, and the first rows of each group."""

from grammar import Query
from kinds import kind


@kind
def window_call(g):
    events = g.events()
    of = g.pick(["int", "text", "ts", "date"])
    alias = events.columns[0].name.split(".")[0]
    return f"SELECT {alias}.timestamp, {alias}.user_id, {g.window(of, events)} AS w FROM {events.text}{g.where(events)}"


@kind
def several_windows(g):
    events = g.distinct_events()
    calls = [f"{g.window(g.pick(['int', 'text', 'ts']), events)} AS w{i}" for i in range(g.between(2, 3))]
    return f"SELECT {', '.join(calls)} FROM {events.text}{g.where(events)}"


@kind
def named_window(g):
    events = g.events()
    a = g.pick(events.of("int"))
    calls = g.some(["row_number()", f"sum({a})", "count(*)", f"max({a})", "rank()"], 2, 3)
    items = ", ".join(f"{call} OVER w AS w{i}" for i, call in enumerate(calls))
    return f"SELECT {items} FROM {events.text}{g.where(events)} WINDOW w AS (PARTITION BY {g.pick(events.of('text'))} ORDER BY {g.whole_order(events)})"


@kind
def window_of_groups(g):
    """A running total, a share and a rank of groups."""
    events = g.events()
    of = g.pick(["date", "ts", "text"])
    inner = f"SELECT {g.key(of, events)} AS k, {g.aggregate('int', events)} AS n FROM {events.text}{g.where(events)} GROUP BY 1"
    call = g.pick([
        "sum(n) OVER (ORDER BY k)",
        "sum(n) OVER (ORDER BY k ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)",
        "n - lag(n) OVER (ORDER BY k)",
        "n * 1.0 / nullif(sum(n) OVER (), 0)",
        "rank() OVER (ORDER BY n DESC NULLS LAST)",
        "dense_rank() OVER (ORDER BY n)",
        "percent_rank() OVER (ORDER BY n)",
        "cume_dist() OVER (ORDER BY n)",
        "avg(n) OVER (ORDER BY k ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)",
        "count(*) OVER ()",
        "max(n) OVER (ORDER BY k ROWS UNBOUNDED PRECEDING)",
    ])  # fmt: skip
    return f"SELECT k, n, {call} AS w FROM ({inner}) AS q"


@kind
def window_over_aggregate(g):
    """A window beside an aggregate in one SELECT."""
    events = g.events()
    key = g.pick(events.of("text", "date", "int"))
    return g.pick([
        f"SELECT {key} AS k, count(*) AS n, rank() OVER (ORDER BY count(*) DESC) AS r FROM {events.text}{g.where(events)} GROUP BY 1",
        f"SELECT {key} AS k, count(*) AS n, sum(count(*)) OVER (ORDER BY {key}) AS r FROM {events.text}{g.where(events)} GROUP BY 1",
        f"SELECT {key} AS k, count(*) * 100.0 / sum(count(*)) OVER () AS share FROM {events.text}{g.where(events)} GROUP BY 1",
    ])  # fmt: skip


@kind
def qualify(g):
    events = g.events()
    alias = events.columns[0].name.split(".")[0]
    partition = g.pick(events.of("text", "date", "int"))
    call = g.pick(["row_number()", "rank()", "count(*)"])
    condition = f"{call} OVER (PARTITION BY {partition} ORDER BY {g.whole_order(events)}) {g.pick(['=', '<=', '>'])} {g.between(1, 3)}"
    return f"SELECT {alias}.timestamp, {alias}.user_id, {alias}.event FROM {events.text}{g.where(events)} QUALIFY {condition}"


@kind
def qualify_by_name(g):
    events = g.events()
    alias = events.columns[0].name.split(".")[0]
    window = f"row_number() OVER (PARTITION BY {g.pick(events.of('text', 'date'))} ORDER BY {g.whole_order(events)})"
    return f"SELECT {alias}.user_id, {alias}.timestamp, {window} AS rn FROM {events.text}{g.where(events)} QUALIFY rn {g.pick(['=', '<='])} {g.between(1, 2)}"


@kind
def distinct_on(g):
    events = g.events()
    alias = events.columns[0].name.split(".")[0]
    keys = g.some([f"{alias}.user_id", f"{alias}.event", f"{alias}.date"], 1, 2)
    order = ", ".join(f"{key}{g.pick(['', ' DESC'])}" for key in keys)
    text = f"SELECT DISTINCT ON ({', '.join(keys)}) {alias}.user_id, {alias}.event, {alias}.timestamp FROM {events.text}{g.where(events)} ORDER BY {order}, {g.whole_order(events)}"
    return Query(text)


@kind
def first_of_group(g):
    """The first rows of each group by a window in a subquery."""
    events = g.events()
    alias = events.columns[0].name.split(".")[0]
    window = f"{g.pick(['row_number()', 'rank()', 'dense_rank()'])} OVER (PARTITION BY {g.pick(events.of('text', 'date'))} ORDER BY {g.whole_order(events)})"
    inner = f"SELECT {alias}.*, {window} AS rn FROM {events.text}{g.where(events)}"
    return f"SELECT user_id, timestamp, rn FROM ({inner}) AS q WHERE rn {g.pick(['=', '<=', '>', 'BETWEEN 2 AND'])} {g.between(1, 3)}"


@kind
def filtered_above_window(g):
    """A condition above a window may go below it only where it is on the partition."""
    events = g.events()
    alias = events.columns[0].name.split(".")[0]
    inner = f"SELECT {alias}.timestamp, {alias}.user_id, {alias}.event, {alias}.date, {g.window('int', events)} AS w FROM {events.text}"
    condition = g.pick([f"q.user_id = {g.literal('text')}", f"q.timestamp >= {g.literal('ts')}", f"q.event = 'click' AND w > {g.below(5)}", f"q.date < {g.literal('date')}"])
    return f"SELECT q.user_id, q.timestamp, w FROM ({inner}) AS q WHERE {condition}"
