-- A day by hour: visitors, clicks and impressions of each hour that has events.
-- $day timestamp: any instant of the day
SELECT
    date_trunc('hour', timestamp)                     AS hour,
    count(DISTINCT user_id)                           AS unique_users,
    count(*) FILTER (WHERE event = 'click')           AS clicks,
    count(*) FILTER (WHERE event = 'impression')      AS impressions
FROM events
WHERE date_trunc('day', timestamp) = date_trunc('day', $day)
GROUP BY 1
ORDER BY 1
