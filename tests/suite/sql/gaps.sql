-- the gaps of a range, inferred from WHERE: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT time_bucket_gapfill('1 hour', timestamp) AS bucket, count(*) AS events, count(DISTINCT user_id) AS users FROM events WHERE timestamp >= '2024-02-28T18:00:00Z' AND timestamp < '2024-02-29T08:00:00Z' GROUP BY 1 ORDER BY 1

-- the gaps of a range, inferred from WHERE
SELECT time_bucket_gapfill('1 hour', timestamp) AS bucket, count(*) AS events, count(DISTINCT user_id) AS users FROM events WHERE timestamp >= '2024-02-28T18:00:00Z' AND timestamp < '2024-02-29T08:00:00Z' GROUP BY 1 ORDER BY 1

-- the gaps of a range, by scan
SET hourglass.rollups = false;
SELECT time_bucket_gapfill('1 hour', timestamp) AS bucket, count(*) AS events, count(DISTINCT user_id) AS users FROM events WHERE timestamp >= '2024-02-28T18:00:00Z' AND timestamp < '2024-02-29T08:00:00Z' GROUP BY 1 ORDER BY 1

-- a count of nothing is null, and 0 if that is asked for
SELECT time_bucket_gapfill(INTERVAL '30 minutes', timestamp) AS bucket, count(*) AS n, coalesce(count(*), 0) AS events, coalesce(count(*) FILTER (WHERE event = 'click'), 0) + 1 AS more FROM events WHERE timestamp >= '2024-02-29T03:00:00Z' AND timestamp < '2024-02-29T06:00:00Z' GROUP BY bucket ORDER BY bucket

-- last observation carried forward, and a line between two
SELECT time_bucket_gapfill('10 minutes', timestamp) AS bucket, count(*) AS n, locf(count(*)) AS last, interpolate(count(*)) AS whole, interpolate(count(*) * 1.5) AS line FROM events WHERE timestamp > '2024-02-29T03:29:59.999999Z' AND timestamp <= '2024-02-29T04:40:00Z' GROUP BY 1 ORDER BY 1

-- start and finish as arguments, and rows outside of them
SELECT time_bucket_gapfill('1 hour', timestamp, '2024-02-29T04:00:00Z', '2024-02-29T07:30:00Z') AS bucket, count(*) AS n FROM events WHERE timestamp >= '2024-02-29T02:30:00Z' GROUP BY 1 ORDER BY 1

-- start and finish by name
SELECT time_bucket_gapfill('1 hour', timestamp, start => TIMESTAMPTZ '2024-02-29T04:00:00Z', finish => TIMESTAMPTZ '2024-02-29T04:00:00Z' + INTERVAL '3 hours') AS bucket, count(*) AS n FROM events WHERE timestamp >= '2024-02-29T04:00:00Z' GROUP BY 1 ORDER BY 1

-- one of them null
SELECT time_bucket_gapfill('1 hour', timestamp, NULL, '2024-02-29T08:00:00Z') AS bucket, count(*) AS n FROM events WHERE timestamp >= '2024-02-29T04:00:00Z' GROUP BY 1 ORDER BY 1

-- the gaps of each group
SELECT time_bucket_gapfill('1 hour', timestamp) AS bucket, user_id, count(*) AS n, locf(count(*)) AS last FROM events WHERE user_id IN ('ana', 'gus') AND timestamp BETWEEN '2024-02-29T03:30:00Z' AND '2024-02-29T07:00:00Z' GROUP BY 1, 2 ORDER BY 2, 1

-- the gaps of each group: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT time_bucket_gapfill('1 hour', timestamp) AS bucket, event, count(*) AS n FROM events WHERE timestamp >= '2024-02-29T04:00:00Z' AND timestamp < '2024-02-29T08:00:00Z' GROUP BY bucket, event ORDER BY event, bucket

-- a group and its values may be computed
SELECT upper(event) AS kind, time_bucket_gapfill('2 hours', timestamp) AS bucket, event = 'click' AS is_click, count(*) AS n, time_bucket_gapfill('2 hours', timestamp) + INTERVAL '2 hours' AS until FROM (SELECT * FROM events WHERE timestamp >= '2024-02-29T04:00:00Z') e WHERE timestamp >= '2024-02-29T02:00:00Z' AND timestamp < '2024-02-29T08:00:00Z' GROUP BY event, bucket ORDER BY event, bucket

-- no rows at all: the range, if nothing else is grouped by
SELECT time_bucket_gapfill('1 hour', timestamp) AS bucket, count(*) AS n, locf(count(*)) AS last, interpolate(count(*)) AS line FROM events WHERE timestamp >= '2025-01-01' AND timestamp < '2025-01-01T03:00:00Z' GROUP BY 1 ORDER BY 1

-- no rows at all: no group, no gaps
SELECT time_bucket_gapfill('1 hour', timestamp) AS bucket, event, count(*) AS n FROM events WHERE timestamp >= '2025-01-01' AND timestamp < '2025-01-01T03:00:00Z' GROUP BY 1, 2

-- HAVING comes first
SELECT time_bucket_gapfill('1 hour', timestamp) AS bucket, count(*) AS n FROM events WHERE timestamp >= '2024-02-28T22:00:00Z' AND timestamp < '2024-02-29T03:00:00Z' GROUP BY 1 HAVING count(*) > 10 ORDER BY 1

-- window functions come last
SELECT time_bucket_gapfill('1 hour', timestamp) AS bucket, count(*) AS n, sum(coalesce(count(*), 0)) OVER (ORDER BY time_bucket_gapfill('1 hour', timestamp)) AS so_far, lag(locf(count(*))) OVER (ORDER BY time_bucket_gapfill('1 hour', timestamp)) AS before FROM events WHERE timestamp >= '2024-02-29T03:00:00Z' AND timestamp < '2024-02-29T08:00:00Z' GROUP BY 1 ORDER BY 1

-- months have their own lengths
SELECT time_bucket_gapfill('1 month', timestamp) AS bucket, count(*) AS n FROM events WHERE timestamp >= '2023-12-15' AND timestamp < '2024-04-01' GROUP BY 1 ORDER BY 1

-- weeks begin on Mondays
SELECT time_bucket_gapfill('1 week', timestamp) AS bucket, count(*) AS n FROM events WHERE timestamp >= '2024-02-14' AND timestamp < '2024-03-06' GROUP BY 1 ORDER BY 1

-- within a query
SELECT count(*) AS buckets, count(n) AS with_events, sum(n) AS events FROM (SELECT time_bucket_gapfill('15 minutes', timestamp) AS bucket, count(*) AS n FROM events WHERE timestamp >= '2024-02-28' AND timestamp < '2024-03-01' GROUP BY 1) t

-- in a CTE, joined
WITH filled AS (SELECT time_bucket_gapfill('1 hour', timestamp) AS bucket, count(*) AS n FROM events WHERE timestamp >= '2024-02-29T04:00:00Z' AND timestamp < '2024-02-29T07:00:00Z' GROUP BY 1) SELECT a.bucket, a.n, b.n AS earlier FROM filled a LEFT JOIN filled b ON b.bucket = a.bucket - INTERVAL '1 hour' ORDER BY 1

-- the largest of filled groups
SELECT time_bucket_gapfill('1 hour', timestamp) AS bucket, min(timestamp) AS first, max(event) AS kind FROM events WHERE timestamp >= '2024-02-29T04:00:00Z' AND timestamp < '2024-02-29T08:00:00Z' GROUP BY 1 ORDER BY bucket DESC LIMIT 3

-- a line through nothing
SELECT time_bucket_gapfill('2 minutes', timestamp) AS bucket, interpolate(nullif(count(*), 1)) AS line, locf(nullif(count(*), 1)) AS last, interpolate(min(extract(minute from timestamp))) AS minute FROM events WHERE timestamp >= '2024-02-29T03:30:00Z' AND timestamp < '2024-02-29T03:44:00Z' GROUP BY 1 ORDER BY 1

-- a range without an end
SELECT time_bucket_gapfill('1 hour', timestamp) AS bucket, count(*) FROM events WHERE timestamp >= '2024-02-29' GROUP BY 1

-- a range that is not that of the time
SELECT time_bucket_gapfill('1 hour', timestamp) AS bucket, count(*) FROM events WHERE timestamp >= '2024-02-29' AND date < '2024-03-01' GROUP BY 1

-- too many buckets
SELECT time_bucket_gapfill('1 microsecond', timestamp) AS bucket, count(*) FROM events WHERE timestamp >= '2024-02-29' AND timestamp < '2024-03-01' GROUP BY 1

-- a width of nothing
SELECT time_bucket_gapfill('0 hours', timestamp) AS bucket, count(*) FROM events WHERE timestamp >= '2024-02-29' AND timestamp < '2024-03-01' GROUP BY 1

-- two of them
SELECT time_bucket_gapfill('1 hour', timestamp), time_bucket_gapfill('2 hours', timestamp), count(*) FROM events WHERE timestamp >= '2024-02-29' AND timestamp < '2024-03-01' GROUP BY 1, 2

-- not alone
SELECT date_trunc('day', time_bucket_gapfill('1 hour', timestamp)), count(*) FROM events WHERE timestamp >= '2024-02-29' AND timestamp < '2024-03-01' GROUP BY 1

-- in ROLLUP
SELECT time_bucket_gapfill('1 hour', timestamp), event, count(*) FROM events WHERE timestamp >= '2024-02-29' AND timestamp < '2024-03-01' GROUP BY ROLLUP (1, 2)

-- without GROUP BY
SELECT time_bucket_gapfill('1 hour', timestamp) FROM events

-- with a time zone
SELECT time_bucket_gapfill('1 hour', timestamp, 'Europe/Berlin', '2024-02-29', '2024-03-01'), count(*) FROM events GROUP BY 1

-- on the clock of a time zone
SELECT time_bucket_gapfill('12 hours', timestamp AT TIME ZONE 'Asia/Kathmandu', '2024-02-28T00:00', '2024-03-01T00:00') AS bucket, count(*) AS n FROM events GROUP BY 1 ORDER BY 1

-- locf without a bucket
SELECT locf(count(*)) FROM events

-- locf with a value from before
SELECT time_bucket_gapfill('1 hour', timestamp), locf(count(*), (SELECT 1)) FROM events WHERE timestamp >= '2024-02-29' AND timestamp < '2024-03-01' GROUP BY 1

-- interpolate of a text
SELECT time_bucket_gapfill('1 hour', timestamp), interpolate(max(event)) FROM events WHERE timestamp >= '2024-02-29' AND timestamp < '2024-03-01' GROUP BY 1
