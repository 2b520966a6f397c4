-- The values of a dimension with the most events in a range, and the users of each.
-- $dimension dimension: the dimension, such as page
-- $start timestamp: the first instant
-- $end timestamp: the first instant after the range
-- $limit integer = 10: how many values
SELECT
    $dimension                                        AS value,
    count(*)                                          AS events,
    count(DISTINCT user_id)                           AS users
FROM events
WHERE timestamp >= $start AND timestamp < $end
GROUP BY 1
ORDER BY events DESC, value
LIMIT $limit
