-- How many users of a range had an event of one kind, and how many of them one of another within a time after it.
-- $from text = impression: the kind of the first event, which lies in the range
-- $to text = click: the kind of the second
-- $start timestamp: the first instant
-- $end timestamp: the first instant after the range
-- $minutes integer = 30: how long after the first event the second counts
WITH steps AS (
    SELECT
        user_id,
        event,
        timestamp,
        max(CASE WHEN event = $from AND timestamp < $end THEN timestamp END) OVER (
            PARTITION BY user_id ORDER BY timestamp, event <> $from
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        )                                             AS saw_at
    FROM events
    WHERE event IN ($from, $to)
        AND timestamp >= $start
        AND timestamp < $end + $minutes * INTERVAL '1 minute'
), users AS (
    SELECT
        user_id,
        bool_or(event = $from AND timestamp < $end)   AS saw,
        bool_or(
            event = $to
            AND timestamp <= saw_at + $minutes * INTERVAL '1 minute'
            AND (timestamp > saw_at OR $from <> $to)
        )                                             AS clicked
    FROM steps
    GROUP BY user_id
)
SELECT
    count(*)                                          AS saw,
    count(*) FILTER (WHERE clicked)                   AS then_clicked,
    count(*) FILTER (WHERE clicked) * 1.0 / nullif(count(*), 0) AS share
FROM users
WHERE saw
