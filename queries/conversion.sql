-- How many users went on from their first event of one kind to one of another, by a dimension of the first.
-- $dimension dimension: the dimension, such as campaign
-- $from text = impression: the kind of the first event
-- $to text = click: the kind of the second
-- $start timestamp: the first instant
-- $end timestamp: the first instant after the range in which the first event lies
-- $minutes integer = 30: how long after the first event the second counts
WITH began AS (
    SELECT
        user_id,
        min(timestamp)                                AS at,
        first_value($dimension ORDER BY timestamp)    AS value
    FROM events
    WHERE event = $from AND timestamp >= $start AND timestamp < $end
    GROUP BY user_id
), went_on AS (
    SELECT DISTINCT began.user_id
    FROM began
    JOIN events ON events.user_id = began.user_id
    WHERE events.event = $to
        AND events.timestamp >= began.at
        AND (events.timestamp > began.at OR $from <> $to)
        AND date_part('epoch', events.timestamp - began.at) <= $minutes * 60
        AND events.timestamp >= $start
)
SELECT
    began.value                                       AS value,
    count(*)                                          AS users,
    count(went_on.user_id)                            AS converted,
    count(went_on.user_id) * 100.0 / count(*)         AS percent
FROM began
LEFT JOIN went_on ON went_on.user_id = began.user_id
GROUP BY began.value
ORDER BY users DESC, value
