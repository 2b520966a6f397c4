-- Where visits began: the value of a dimension, such as the referrer, in the first event of each visit.
-- $dimension dimension: the dimension, such as referrer
-- $start timestamp: the first instant
-- $end timestamp: the first instant after the range
-- $minutes integer = 30: how long a user is away before the next event begins another visit
-- $limit integer = 10: how many values
WITH steps AS (
    SELECT
        user_id,
        timestamp,
        $dimension                                    AS value,
        lag(timestamp) OVER (PARTITION BY user_id ORDER BY timestamp) AS before
    FROM events
    WHERE timestamp >= $start AND timestamp < $end
)
SELECT
    value,
    count(*)                                          AS entries,
    count(DISTINCT user_id)                           AS users
FROM steps
WHERE before IS NULL OR date_part('epoch', timestamp - before) > $minutes * 60
GROUP BY value
ORDER BY entries DESC, value
LIMIT $limit
