-- How often visitors come: those of each day as a share of those of the 30 days that end with it.
-- $start timestamp: the first day
-- $end timestamp: the first day after the range
-- $event text = *: the kind of event, or * for all
WITH sets AS (
    SELECT
        date_trunc('day', hour)                       AS day,
        rb_or_agg(users)                              AS users
    FROM visitors
    WHERE hour >= date_trunc('day', $start) - INTERVAL '29 days'
        AND hour < date_trunc('day', $end)
        AND ($event = '*' OR event = $event)
    GROUP BY 1
), rolling AS (
    SELECT
        days.day                                      AS day,
        coalesce(rb_cardinality(users), 0)            AS visitors,
        coalesce(rb_or_cardinality_agg(users) OVER (ORDER BY days.day ROWS 29 PRECEDING), 0) AS visitors_of_30_days
    FROM generate_series(
        date_trunc('day', $start) - INTERVAL '29 days',
        date_trunc('day', $end) - INTERVAL '1 day',
        INTERVAL '1 day'
    ) AS days(day)
    LEFT JOIN sets ON sets.day = days.day
)
SELECT
    day,
    visitors,
    visitors_of_30_days,
    visitors * 1.0 / nullif(visitors_of_30_days, 0)   AS share
FROM rolling
WHERE day >= date_trunc('day', $start)
ORDER BY day
