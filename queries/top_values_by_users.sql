-- The values of a dimension with the most users in a range, and the events of each.
-- $dimension dimension: the dimension, such as page
-- $start timestamp: the first instant
-- $end timestamp: the first instant after the range
-- $limit integer = 10: how many values
SELECT
    $dimension                                        AS value,
    count(DISTINCT user_id)                           AS users,
    count(*)                                          AS events
FROM events
WHERE timestamp >= $start AND timestamp < $end
GROUP BY 1
ORDER BY users DESC, value
LIMIT $limit
