"""What visitors did: funnels, cohorts, retention, sessions, streaks, attribution."""

from kinds import kind


@kind
def funnel(g):
    """Who saw, then clicked, within a span."""
    span = g.pick(["1 hour", "1 day", "30 minutes", "7 days"])
    events = g.events("b")
    how = g.pick(["JOIN", "LEFT JOIN"])
    first = f"(SELECT user_id, min(timestamp) AS at FROM events WHERE event = '{g.pick(['impression', 'click'])}' GROUP BY 1) a"
    return (
        f"SELECT count(DISTINCT a.user_id) AS saw, count(DISTINCT b.user_id) AS did FROM {first} {how} events b "
        f"ON b.user_id = a.user_id AND b.event = 'click' AND b.timestamp > a.at AND b.timestamp <= a.at + INTERVAL '{span}'{g.where(events)}"
    )


@kind
def funnel_by_exists(g):
    span = g.pick(["1 hour", "1 day", "10 minutes"])
    events = g.events("a")
    return (
        f"SELECT a.date, count(*) AS shown, count(*) FILTER (WHERE EXISTS (SELECT 1 FROM events b WHERE b.user_id = a.user_id "
        f"AND b.event = 'click' AND b.timestamp > a.timestamp AND b.timestamp < a.timestamp + INTERVAL '{span}')) AS clicked "
        f"FROM events a WHERE a.event = 'impression' AND {g.condition(events, 0)} GROUP BY 1"
    )


@kind
def sessions(g):
    """A session ends after a pause: the pause found by lag, the sessions numbered by a running sum."""
    pause = g.pick(["30 minutes", "1 hour", "1 day", "5 minutes"])
    events = g.events("e")
    marked = (
        f"SELECT e.user_id, e.timestamp, e.event, CASE WHEN e.timestamp - lag(e.timestamp) OVER w <= INTERVAL '{pause}' THEN 0 ELSE 1 END AS starts "
        f"FROM (SELECT DISTINCT * FROM events) e{g.where(events)} WINDOW w AS (PARTITION BY e.user_id ORDER BY e.timestamp, e.event)"
    )
    numbered = (
        "SELECT user_id, timestamp, event, sum(starts) OVER (PARTITION BY user_id ORDER BY timestamp, event "
        "ROWS UNBOUNDED PRECEDING) AS session FROM marked"
    )
    return f"WITH marked AS ({marked}), numbered AS ({numbered}) " + g.pick([
        "SELECT user_id, session, count(*) AS n, min(timestamp) AS began, max(timestamp) - min(timestamp) AS took FROM numbered GROUP BY 1, 2",
        "SELECT user_id, max(session) AS sessions FROM numbered GROUP BY 1",
        "SELECT CAST(min_at AS DATE) AS d, count(*) AS sessions, avg(n) AS length FROM (SELECT user_id, session, min(timestamp) AS min_at, count(*) AS n FROM numbered GROUP BY 1, 2) q GROUP BY 1",
    ])  # fmt: skip


@kind
def cohorts(g):
    """Users by their first day or month, and who came back later."""
    unit = g.pick(["day", "week", "month"])
    events = g.events("e")
    return (
        f"WITH first AS (SELECT user_id, date_trunc('{unit}', min(timestamp)) AS cohort FROM events GROUP BY 1) "
        f"SELECT first.cohort, date_trunc('{unit}', e.timestamp) AS period, count(DISTINCT e.user_id) AS users, count(*) AS n "
        f"FROM events e JOIN first ON first.user_id = e.user_id{g.where(events)} GROUP BY 1, 2"
    )


@kind
def retention(g):
    """Users of a day who are there again some days later."""
    days = g.pick([1, 7, 30])
    how = g.pick(["JOIN", "LEFT JOIN"])
    return (
        f"WITH active AS (SELECT DISTINCT user_id, date AS d FROM events) "
        f"SELECT a.d, count(DISTINCT a.user_id) AS users, count(DISTINCT b.user_id) AS again "
        f"FROM active a {how} active b ON a.user_id = b.user_id AND b.d > a.d AND b.d <= CAST(a.d + INTERVAL '{days} days' AS DATE) GROUP BY 1"
    )


@kind
def new_and_returning(g):
    unit = g.pick(["day", "hour", "month"])
    return (
        f"SELECT date_trunc('{unit}', e.timestamp) AS period, count(DISTINCT e.user_id) AS users, "
        f"count(DISTINCT CASE WHEN f.first_at = date_trunc('{unit}', e.timestamp) THEN e.user_id END) AS fresh "
        f"FROM events e JOIN (SELECT user_id, date_trunc('{unit}', min(timestamp)) AS first_at FROM events GROUP BY 1) f USING (user_id) GROUP BY 1"
    )


@kind
def active_users(g):
    """Daily, and weekly back from each day."""
    days = g.pick([7, 30, 1])
    return g.pick([
        f"SELECT d.date, (SELECT count(DISTINCT e.user_id) FROM events e WHERE e.date <= d.date AND e.date > CAST(d.date - INTERVAL '{days} days' AS DATE)) AS active FROM (SELECT DISTINCT date FROM events) d",
        f"SELECT d.date, count(DISTINCT e.user_id) AS active FROM (SELECT DISTINCT date FROM events) d JOIN events e ON e.date BETWEEN CAST(d.date - INTERVAL '{days - 1} days' AS DATE) AND d.date GROUP BY 1",
        "SELECT date, count(DISTINCT user_id) AS daily FROM events GROUP BY 1",
    ])  # fmt: skip


@kind
def streaks(g):
    """Islands of days or hours in a row, by the difference of number and rank."""
    unit, seconds = g.pick([("day", 86_400), ("hour", 3_600)])
    return (
        f"WITH units AS (SELECT DISTINCT user_id, CAST(extract(epoch FROM date_trunc('{unit}', timestamp)) AS BIGINT) / {seconds} AS n FROM events), "
        "islands AS (SELECT user_id, n, n - row_number() OVER (PARTITION BY user_id ORDER BY n) AS island FROM units) "
        "SELECT user_id, island, count(*) AS length, min(n) AS began FROM islands GROUP BY 1, 2" + g.pick(["", " HAVING count(*) > 1"])
    )


@kind
def attribution(g):
    """The last impression before each click."""
    span = g.pick(["1 hour", "1 day"])
    return g.pick([
        f"SELECT c.user_id, c.timestamp, max(i.timestamp) AS seen FROM events c LEFT JOIN events i ON i.user_id = c.user_id AND i.event = 'impression' AND i.timestamp <= c.timestamp AND i.timestamp > c.timestamp - INTERVAL '{span}' WHERE c.event = 'click' GROUP BY 1, 2",
        "SELECT c.user_id, c.timestamp, (SELECT max(i.timestamp) FROM events i WHERE i.user_id = c.user_id AND i.event = 'impression' AND i.timestamp <= c.timestamp) AS seen FROM events c WHERE c.event = 'click'",
        "SELECT user_id, timestamp, max(CASE WHEN event = 'impression' THEN timestamp END) OVER (PARTITION BY user_id ORDER BY timestamp, event ROWS UNBOUNDED PRECEDING) AS seen FROM events",
    ])  # fmt: skip


@kind
def click_through(g):
    """Rates by group, without division by zero."""
    events = g.events("e")
    key = g.key(g.pick(["ts", "date", "text", "int"]), events)
    return (
        f"SELECT {key} AS k, count(*) FILTER (WHERE event = 'click') * 1.0 / nullif(count(*) FILTER (WHERE event = 'impression'), 0) AS ctr, "
        f"round(100.0 * sum(CASE WHEN event = 'click' THEN 1 ELSE 0 END) / count(*), 2) AS percent FROM events e{g.where(events)} GROUP BY 1"
    )


@kind
def users_of_both(g):
    """Who did one thing and another, or not the other."""
    return g.pick([
        "SELECT user_id FROM events WHERE event = 'click' {op} SELECT user_id FROM events WHERE event = 'impression' AND hour > {n}",
        "SELECT user_id FROM events GROUP BY 1 HAVING count(*) FILTER (WHERE event = 'click') > {n} AND bool_or(hour > {n})",
        "SELECT count(DISTINCT a.user_id) AS n FROM events a WHERE a.event = 'click' AND NOT EXISTS (SELECT 1 FROM events b WHERE b.user_id = a.user_id AND b.event = 'impression' AND b.hour = {n})",
        "SELECT DISTINCT user_id FROM events WHERE user_id NOT IN (SELECT user_id FROM events WHERE event = 'click' AND hour > {n})",
    ]).format(op=g.pick(["INTERSECT", "EXCEPT", "UNION"]), n=g.below(24))  # fmt: skip


@kind
def next_event(g):
    """Transitions from an event to the next of the same user."""
    events = g.events("e")
    return (
        f"SELECT event, next, count(*) AS n FROM (SELECT e.event, lead(e.event) OVER (PARTITION BY e.user_id ORDER BY e.timestamp, e.event) AS next "
        f"FROM events e{g.where(events)}) q GROUP BY 1, 2"
    )
