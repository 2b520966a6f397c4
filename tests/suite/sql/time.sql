-- time_bucket is answered from rollups: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT time_bucket(INTERVAL '1 hour', timestamp) AS bucket, count(DISTINCT user_id) AS users, count(*) AS events FROM events GROUP BY 1

-- time_bucket
SELECT time_bucket(INTERVAL '2 hours', timestamp) AS bucket, count(*) AS events FROM events GROUP BY 1 ORDER BY 1

-- time_bucket, by scan
SET hourglass.rollups = false;
SELECT time_bucket(INTERVAL '2 hours', timestamp) AS bucket, count(*) AS events FROM events GROUP BY 1 ORDER BY 1

-- time_bucket prunes: plan
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE time_bucket(INTERVAL '1 hour', timestamp) = '2024-02-28 21:00'

-- buckets of months
SELECT time_bucket(INTERVAL '1 month', timestamp) AS bucket, count(*) AS events FROM events GROUP BY 1

-- buckets of five months, one of which begins in January 2000
SELECT date_bin(INTERVAL '5 months', timestamp, TIMESTAMP '2000-01-01') AS bucket, count(*) AS events FROM events GROUP BY 1

-- buckets of five months, by scan
SET hourglass.rollups = false;
SELECT date_bin(INTERVAL '5 months', timestamp, TIMESTAMP '2000-01-01') AS bucket, count(*) AS events FROM events GROUP BY 1

-- buckets of another zone's days
SELECT time_bucket(INTERVAL '1 day', timestamp, 'Asia/Kathmandu') AS bucket, count(*) AS events FROM events GROUP BY 1 ORDER BY 1

-- the hour's start, as ClickHouse has it, from rollups
SELECT toStartOfHour(timestamp) AS hour, uniq(user_id) AS users, countIf(event = 'click') AS clicks FROM events GROUP BY 1 ORDER BY 1

-- a count with a condition is answered from rollups: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count_if(event = 'click') AS clicks FROM events WHERE timestamp >= '2024-02-28 21:00' AND timestamp < '2024-02-28 22:00'

-- a time of day sorts as such over sorted rows
SELECT CAST(timestamp AS TIME) AS t FROM (SELECT timestamp FROM events ORDER BY timestamp LIMIT 40) ORDER BY t LIMIT 5

-- a clock that is put back sorts by what it shows
SELECT CAST(timestamp AT TIME ZONE 'Europe/Berlin' AS TIMESTAMP) AS t FROM (SELECT timestamp FROM events ORDER BY timestamp) ORDER BY t LIMIT 2

-- milliseconds of a date are no whole day: plan
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE arrow_cast(timestamp, 'Date64') >= arrow_cast(TIMESTAMP '2024-02-29 03:30', 'Date64')

-- milliseconds of a date are no whole day
SELECT count(*) FROM events WHERE arrow_cast(timestamp, 'Date64') >= arrow_cast(TIMESTAMP '2024-02-29 03:30', 'Date64')

-- grouped by milliseconds of a date
SELECT count(*) FROM (SELECT arrow_cast(timestamp, 'Date64') AS d, count(*) FROM events GROUP BY 1)

-- not distinct from nothing
SELECT count(*) FROM events WHERE timestamp IS DISTINCT FROM NULL

-- a sum by rollup that overflows
SELECT sum(CAST('9223372036854775807' AS BIGINT)) FROM events

-- another zone for the session is refused
SET datafusion.execution.time_zone = 'Europe/Berlin';
SELECT 1

-- UTC is not
SET datafusion.execution.time_zone = 'UTC';
SELECT 1 AS one

-- the ends of visits, the last of each user
SELECT user_id, max(timestamp) - min(timestamp) AS span FROM events GROUP BY user_id HAVING max(timestamp) - min(timestamp) > INTERVAL '9 hours' ORDER BY user_id

-- the mode of a group
SELECT event, mode(user_id) AS user, percentile_disc(0.5) WITHIN GROUP (ORDER BY timestamp) AS middle FROM events GROUP BY event ORDER BY event

-- who came last
SELECT event, arg_max(user_id, timestamp) AS last, arg_min(user_id, timestamp) AS first FROM events GROUP BY event ORDER BY event
