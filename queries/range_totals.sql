-- The totals of a range: its visitors are counted once however many hours they were seen in.
-- $start timestamp: the first instant
-- $end timestamp: the first instant after the range
SELECT
    count(DISTINCT user_id)                           AS unique_users,
    count(*) FILTER (WHERE event = 'click')           AS clicks,
    count(*) FILTER (WHERE event = 'impression')      AS impressions
FROM events
WHERE timestamp >= $start AND timestamp < $end
