-- Who comes again: of the visitors who first came in a day, week or month, how many came so many of these later.
-- $start timestamp: the first day
-- $end timestamp: the first day after the range
-- $unit text = week: day, week or month; the first of the range begins with it
-- $event text = *: the kind of event, or * for all
WITH periods AS (
    SELECT
        date_trunc($unit, hour)                       AS period,
        rb_or_agg(users)                              AS users
    FROM visitors
    WHERE hour >= date_trunc($unit, $start)
        AND hour < date_trunc('day', $end)
        AND ($event = '*' OR event = $event)
    GROUP BY 1
), numbered AS (
    SELECT
        period,
        date_diff($unit, date_trunc($unit, $start), period) AS number,
        users
    FROM periods
), cohorts AS (
    SELECT
        period                                        AS cohort,
        number,
        rb_andnot(users, coalesce(earlier, rb_build([]))) AS users
    FROM (
        SELECT
            *,
            rb_or_agg(users) OVER (ORDER BY period ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS earlier
        FROM numbered
    ) AS cumulated
), cells AS (
    SELECT cohort, cohorts.number + later AS number, later, users, rb_cardinality(users) AS size
    FROM cohorts
    CROSS JOIN generate_series(
        0,
        date_diff($unit, date_trunc($unit, $start), date_trunc('day', $end) - INTERVAL '1 day')
    ) AS laters(later)
    WHERE NOT rb_is_empty(users)
        AND cohorts.number + later <= date_diff($unit, date_trunc($unit, $start), date_trunc('day', $end) - INTERVAL '1 day')
)
SELECT
    cohort,
    later,
    coalesce(rb_and_cardinality(cells.users, numbered.users), 0) AS visitors,
    coalesce(rb_and_cardinality(cells.users, numbered.users), 0) * 1.0 / size AS share
FROM cells
LEFT JOIN numbered ON numbered.number = cells.number
ORDER BY cohort, later
