-- The events and users of each value of a dimension, hour by hour.
-- $dimension dimension: the dimension, such as page
-- $start timestamp: the first instant
-- $end timestamp: the first instant after the range
SELECT
    date_trunc('hour', timestamp)                     AS hour,
    $dimension                                        AS value,
    count(*)                                          AS events,
    count(DISTINCT user_id)                           AS users
FROM events
WHERE timestamp >= $start AND timestamp < $end
GROUP BY 1, 2
ORDER BY hour, events DESC, value
