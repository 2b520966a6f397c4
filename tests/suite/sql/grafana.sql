-- $__timeFilter and $__timeGroup by the hour: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT floor(extract(epoch from timestamp)/3600)*3600 AS "time", count(*) AS events FROM events WHERE timestamp BETWEEN '2024-02-28T21:00:00Z' AND '2024-02-29T02:00:00Z' GROUP BY 1 ORDER BY 1

-- $__timeFilter and $__timeGroup by the hour
SELECT floor(extract(epoch from timestamp)/3600)*3600 AS "time", count(*) AS events FROM events WHERE timestamp BETWEEN '2024-02-28T21:00:00Z' AND '2024-02-29T02:00:00Z' GROUP BY 1 ORDER BY 1

-- $__timeFilter and $__timeGroup by the hour, by scan
SET hourglass.rollups = false;
SELECT floor(extract(epoch from timestamp)/3600)*3600 AS "time", count(*) AS events FROM events WHERE timestamp BETWEEN '2024-02-28T21:00:00Z' AND '2024-02-29T02:00:00Z' GROUP BY 1 ORDER BY 1

-- $__timeGroup with users, grouped by its text: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT floor(extract(epoch from timestamp)/3600)*3600 AS "time", count(DISTINCT user_id) AS users FROM events WHERE timestamp BETWEEN '2024-02-28T21:00:00Z' AND '2024-02-29T02:00:00Z' GROUP BY floor(extract(epoch from timestamp)/3600)*3600 ORDER BY 1

-- $__timeGroup with users, grouped by its text
SELECT floor(extract(epoch from timestamp)/3600)*3600 AS "time", count(DISTINCT user_id) AS users FROM events WHERE timestamp BETWEEN '2024-02-28T21:00:00Z' AND '2024-02-29T02:00:00Z' GROUP BY floor(extract(epoch from timestamp)/3600)*3600 ORDER BY 1

-- $__timeGroup with users, grouped by its text, by scan
SET hourglass.rollups = false;
SELECT floor(extract(epoch from timestamp)/3600)*3600 AS "time", count(DISTINCT user_id) AS users FROM events WHERE timestamp BETWEEN '2024-02-28T21:00:00Z' AND '2024-02-29T02:00:00Z' GROUP BY floor(extract(epoch from timestamp)/3600)*3600 ORDER BY 1

-- $__timeGroup by six hours and by the kind
SELECT floor(extract(epoch from timestamp)/21600)*21600 AS "time", event AS metric, count(*) AS value FROM events WHERE timestamp BETWEEN '2024-02-28T18:00:00Z' AND '2024-02-29T05:59:59.999Z' GROUP BY 1, 2 ORDER BY 1, 2

-- $__timeGroup by five minutes is no rollup, but pruned
SELECT floor(extract(epoch from timestamp)/300)*300 AS "time", count(*) AS value FROM events WHERE timestamp BETWEEN '2024-02-28T21:00:00Z' AND '2024-02-28T21:20:00Z' GROUP BY 1 ORDER BY 1

-- $__timeGroup with TimescaleDB: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT time_bucket('3600.000s', timestamp) AS "time", count(*) AS events, count(DISTINCT user_id) AS users FROM events WHERE timestamp BETWEEN '2024-02-28T21:00:00Z' AND '2024-02-29T01:59:59.999999Z' GROUP BY 1 ORDER BY 1

-- $__timeGroup with TimescaleDB
SELECT time_bucket('3600.000s', timestamp) AS "time", count(*) AS events, count(DISTINCT user_id) AS users FROM events WHERE timestamp BETWEEN '2024-02-28T21:00:00Z' AND '2024-02-29T02:00:00Z' GROUP BY 1 ORDER BY 1

-- $__unixEpochFilter: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) AS events, count(DISTINCT user_id) AS users FROM events WHERE extract(epoch from timestamp) >= 1709157600 AND extract(epoch from timestamp) < 1709168400

-- $__unixEpochFilter
SELECT count(*) AS events, count(DISTINCT user_id) AS users FROM events WHERE extract(epoch from timestamp) >= 1709157600 AND extract(epoch from timestamp) <= 1709168400

-- $__unixEpochFilter, by scan
SET hourglass.rollups = false;
SELECT count(*) AS events, count(DISTINCT user_id) AS users FROM events WHERE extract(epoch from timestamp) >= 1709157600 AND extract(epoch from timestamp) <= 1709168400

-- $__unixEpochFilter without pruning
SET hourglass.pruning = false;
SET hourglass.rollups = false;
SELECT count(*) AS events, count(DISTINCT user_id) AS users FROM events WHERE extract(epoch from timestamp) >= 1709157600 AND extract(epoch from timestamp) <= 1709168400

-- one hour by its seconds
SELECT count(*) AS events FROM events WHERE floor(extract(epoch from timestamp)/3600)*3600 = 1709157600

-- a second within an hour begins none
SELECT count(*) AS events FROM events WHERE floor(extract(epoch from timestamp)/3600)*3600 = 1709157601

-- hours cast to whole seconds
SELECT (floor(extract(epoch from timestamp)/3600)*3600)::bigint AS t, count(*) AS events FROM events WHERE timestamp < '2024-02-28T22:00:00Z' GROUP BY 1 ORDER BY 1

-- what a fraction of a second bounds is scanned
SELECT count(*) AS events FROM events WHERE extract(epoch from timestamp) >= 1709157600.5 AND timestamp < '2024-02-28T23:00:00Z'
