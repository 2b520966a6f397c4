-- The profile of a day: events by hour of the day over a range.
-- $start timestamp: the first instant
-- $end timestamp: the first instant after the range
SELECT
    hour                                              AS hour_of_day,
    count(*)                                          AS events,
    count(*) FILTER (WHERE event = 'click')           AS clicks,
    count(*) FILTER (WHERE event = 'impression')      AS impressions
FROM events
WHERE timestamp >= $start AND timestamp < $end
GROUP BY hour
ORDER BY hour
