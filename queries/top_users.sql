-- The users with the most events in a range.
-- $start timestamp: the first instant
-- $end timestamp: the first instant after the range
-- $limit integer = 10: how many users
SELECT
    user_id,
    count(*)                                          AS events,
    count(*) FILTER (WHERE event = 'click')           AS clicks,
    count(*) FILTER (WHERE event = 'impression')      AS impressions,
    min(timestamp)                                    AS first_seen,
    max(timestamp)                                    AS last_seen
FROM events
WHERE timestamp >= $start AND timestamp < $end
GROUP BY user_id
ORDER BY events DESC, user_id
LIMIT $limit
