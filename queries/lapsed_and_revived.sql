-- The visitors of a range beside those of the range before: who stayed, who lapsed, who came back after a pause, and who is new.
-- $earlier timestamp: the first day of the range before, which ends where the later one begins
-- $start timestamp: the first day of the later range
-- $end timestamp: the first day after the later range
-- $since timestamp = 1970-01-01: the first day on which a visitor was seen before
-- $event text = *: the kind of event, or * for all
WITH sets AS (
    SELECT
        coalesce(rb_or_agg(users) FILTER (WHERE hour < date_trunc('day', $earlier)), rb_build([])) AS long_ago,
        coalesce(rb_or_agg(users) FILTER (WHERE hour >= date_trunc('day', $earlier) AND hour < date_trunc('day', $start)), rb_build([])) AS earlier,
        coalesce(rb_or_agg(users) FILTER (WHERE hour >= date_trunc('day', $start)), rb_build([])) AS later
    FROM visitors
    WHERE hour >= least(date_trunc('day', $since), date_trunc('day', $earlier))
        AND hour < date_trunc('day', $end)
        AND ($event = '*' OR event = $event)
), returned AS (
    SELECT *, rb_andnot(later, earlier) AS not_in_earlier FROM sets
)
SELECT
    rb_cardinality(earlier)                           AS earlier_users,
    rb_cardinality(later)                             AS later_users,
    rb_and_cardinality(earlier, later)                AS stayed,
    rb_andnot_cardinality(earlier, later)             AS lapsed,
    rb_and_cardinality(not_in_earlier, long_ago)      AS revived,
    rb_andnot_cardinality(not_in_earlier, long_ago)   AS new_users
FROM returned
