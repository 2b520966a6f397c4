-- How many users of a range were seen in an earlier range, and how many were not.
-- $earlier timestamp: the first instant of the earlier range, which ends where the later one begins
-- $start timestamp: the first instant of the later range
-- $end timestamp: the first instant after the later range
WITH seen AS (
    SELECT
        user_id,
        bool_or(timestamp < $start)                   AS earlier,
        bool_or(timestamp >= $start)                  AS later
    FROM events
    WHERE timestamp >= $earlier AND timestamp < $end
    GROUP BY user_id
)
SELECT
    count(*) FILTER (WHERE NOT earlier)               AS new_users,
    count(*) FILTER (WHERE earlier)                   AS returning_users
FROM seen
WHERE later
