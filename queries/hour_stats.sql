-- The numbers of one hour: how many visitors were seen, and what they did.
-- $start timestamp: the hour's first instant
-- $end timestamp: the first instant after it
SELECT
    count(DISTINCT user_id)                           AS unique_users,
    count(*) FILTER (WHERE event = 'click')           AS clicks,
    count(*) FILTER (WHERE event = 'impression')      AS impressions
FROM events
WHERE timestamp >= $start AND timestamp < $end
