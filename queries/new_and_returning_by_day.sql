-- The visitors of each day: those who never came on an earlier day, and those who did.
-- $start timestamp: the first day
-- $end timestamp: the first day after the range
-- $since timestamp = 1970-01-01: the first day on which a visitor was seen before
-- $event text = *: the kind of event, or * for all
WITH sets AS (
    SELECT
        greatest(date_trunc('day', hour), date_trunc('day', $start) - INTERVAL '1 day') AS day,
        rb_or_agg(users)                              AS users
    FROM visitors
    WHERE hour >= least(date_trunc('day', $since), date_trunc('day', $start))
        AND hour < date_trunc('day', $end)
        AND ($event = '*' OR event = $event)
    GROUP BY 1
), counted AS (
    SELECT
        days.day                                      AS day,
        coalesce(rb_cardinality(users), 0)            AS visitors,
        coalesce(rb_or_cardinality_agg(users) OVER (ORDER BY days.day), 0) AS so_far
    FROM generate_series(
        date_trunc('day', $start) - INTERVAL '1 day',
        date_trunc('day', $end) - INTERVAL '1 day',
        INTERVAL '1 day'
    ) AS days(day)
    LEFT JOIN sets ON sets.day = days.day
), grown AS (
    SELECT day, visitors, so_far - lag(so_far) OVER (ORDER BY day) AS new_users
    FROM counted
)
SELECT
    day,
    visitors,
    new_users,
    visitors - new_users                              AS returning_users
FROM grown
WHERE day >= date_trunc('day', $start)
ORDER BY day
