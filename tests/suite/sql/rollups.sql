-- one hour that lies in one file: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events WHERE timestamp >= '2024-02-28T20:00:00Z' AND timestamp < '2024-02-28T21:00:00Z'

-- one hour that lies in one file
SELECT count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events WHERE timestamp >= '2024-02-28T20:00:00Z' AND timestamp < '2024-02-28T21:00:00Z'

-- one hour that lies in one file, by scan
SET hourglass.rollups = false;
SELECT count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events WHERE timestamp >= '2024-02-28T20:00:00Z' AND timestamp < '2024-02-28T21:00:00Z'

-- one hour that lies in one file, by scan: plan
SET hourglass.rollups = false;
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events WHERE timestamp >= '2024-02-28T20:00:00Z' AND timestamp < '2024-02-28T21:00:00Z'

-- one hour that lies in two files: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events WHERE timestamp >= '2024-02-28T23:00:00Z' AND timestamp < '2024-02-29T00:00:00Z'

-- one hour that lies in two files
SELECT count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events WHERE timestamp >= '2024-02-28T23:00:00Z' AND timestamp < '2024-02-29T00:00:00Z'

-- one hour that lies in two files, by scan
SET hourglass.rollups = false;
SELECT count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events WHERE timestamp >= '2024-02-28T23:00:00Z' AND timestamp < '2024-02-29T00:00:00Z'

-- one hour in a file and in memory: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events WHERE timestamp >= '2024-02-29T02:00:00Z' AND timestamp < '2024-02-29T03:00:00Z'

-- one hour in a file and in memory
SELECT count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events WHERE timestamp >= '2024-02-29T02:00:00Z' AND timestamp < '2024-02-29T03:00:00Z'

-- one hour in a file and in memory, by scan
SET hourglass.rollups = false;
SELECT count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events WHERE timestamp >= '2024-02-29T02:00:00Z' AND timestamp < '2024-02-29T03:00:00Z'

-- one hour in a file and in memory, by scan: plan
SET hourglass.rollups = false;
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events WHERE timestamp >= '2024-02-29T02:00:00Z' AND timestamp < '2024-02-29T03:00:00Z'

-- one hour in memory: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events WHERE timestamp >= '2024-02-29T05:00:00Z' AND timestamp < '2024-02-29T06:00:00Z'

-- one hour in memory
SELECT count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events WHERE timestamp >= '2024-02-29T05:00:00Z' AND timestamp < '2024-02-29T06:00:00Z'

-- one hour in memory, by scan
SET hourglass.rollups = false;
SELECT count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events WHERE timestamp >= '2024-02-29T05:00:00Z' AND timestamp < '2024-02-29T06:00:00Z'

-- one hour without events: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events WHERE timestamp >= '2024-02-29T12:00:00Z' AND timestamp < '2024-02-29T13:00:00Z'

-- one hour without events
SELECT count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events WHERE timestamp >= '2024-02-29T12:00:00Z' AND timestamp < '2024-02-29T13:00:00Z'

-- one hour without events, by scan
SET hourglass.rollups = false;
SELECT count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events WHERE timestamp >= '2024-02-29T12:00:00Z' AND timestamp < '2024-02-29T13:00:00Z'

-- one hour by its truncation: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events WHERE date_trunc('hour', timestamp) = '2024-02-29T01:00:00Z'

-- one hour by its truncation
SELECT count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events WHERE date_trunc('hour', timestamp) = '2024-02-29T01:00:00Z'

-- one hour by both of its ends, the last microsecond included: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(DISTINCT user_id) AS users, count(*) AS n FROM events WHERE timestamp BETWEEN '2024-02-28T22:00:00Z' AND '2024-02-28T22:59:59.999999Z'

-- one hour by both of its ends, the last microsecond included
SELECT count(DISTINCT user_id) AS users, count(*) AS n FROM events WHERE timestamp BETWEEN '2024-02-28T22:00:00Z' AND '2024-02-28T22:59:59.999999Z'

-- one hour by both of its ends, the last microsecond included, by scan
SET hourglass.rollups = false;
SELECT count(DISTINCT user_id) AS users, count(*) AS n FROM events WHERE timestamp BETWEEN '2024-02-28T22:00:00Z' AND '2024-02-28T22:59:59.999999Z'

-- one hour by a bin: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(DISTINCT user_id) AS users FROM events WHERE date_bin(INTERVAL '1 hour', timestamp) = '2024-02-29T00:00:00Z'

-- one hour by a bin
SELECT count(DISTINCT user_id) AS users FROM events WHERE date_bin(INTERVAL '1 hour', timestamp) = '2024-02-29T00:00:00Z'

-- one hour by a bin, by scan
SET hourglass.rollups = false;
SELECT count(DISTINCT user_id) AS users FROM events WHERE date_bin(INTERVAL '1 hour', timestamp) = '2024-02-29T00:00:00Z'

-- a run of hours, without users: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events WHERE timestamp >= '2024-02-28T22:00:00Z' AND timestamp < '2024-02-29T05:00:00Z'

-- a run of hours, without users
SELECT count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events WHERE timestamp >= '2024-02-28T22:00:00Z' AND timestamp < '2024-02-29T05:00:00Z'

-- all there is: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) FROM events

-- all there is
SELECT count(*) FROM events

-- all there is, by scan
SET hourglass.rollups = false;
SELECT count(*) FROM events

-- all there is, by scan: plan
SET hourglass.rollups = false;
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) FROM events

-- one measure under several names: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) AS a, count(1) AS b, count(user_id) AS c, count(timestamp) AS d, count(event) AS e FROM events WHERE timestamp >= '2024-02-28T20:00:00Z' AND timestamp < '2024-02-29T00:00:00Z'

-- one measure under several names
SELECT count(*) AS a, count(1) AS b, count(user_id) AS c, count(timestamp) AS d, count(event) AS e FROM events WHERE timestamp >= '2024-02-28T20:00:00Z' AND timestamp < '2024-02-29T00:00:00Z'

-- a day: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) FROM events WHERE date = '2024-02-29'

-- a day
SELECT count(*) FROM events WHERE date = '2024-02-29'

-- two days by a list: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) FROM events WHERE date IN ('2024-02-28', '2024-02-29')

-- two days by a list
SELECT count(*) FROM events WHERE date IN ('2024-02-28', '2024-02-29')

-- a day and an hour of the day: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) FROM events WHERE date = '2024-02-28' AND hour = 23

-- a day and an hour of the day
SELECT count(*) FROM events WHERE date = '2024-02-28' AND hour = 23

-- a day and an hour of the day, by scan
SET hourglass.rollups = false;
SELECT count(*) FROM events WHERE date = '2024-02-28' AND hour = 23

-- an hour of every day: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) FILTER (WHERE event = 'click') AS clicks, min(timestamp) AS first FROM events WHERE hour = 3

-- an hour of every day
SELECT count(*) FILTER (WHERE event = 'click') AS clicks, min(timestamp) AS first FROM events WHERE hour = 3

-- a range before all events: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) AS n, count(event) FILTER (WHERE event = 'click') AS clicks FROM events WHERE timestamp < '2020-01-01T00:00:00Z'

-- a range before all events
SELECT count(*) AS n, count(event) FILTER (WHERE event = 'click') AS clicks FROM events WHERE timestamp < '2020-01-01T00:00:00Z'

-- a range before all events, by scan
SET hourglass.rollups = false;
SELECT count(*) AS n, count(event) FILTER (WHERE event = 'click') AS clicks FROM events WHERE timestamp < '2020-01-01T00:00:00Z'

-- a filter with the literal first: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) FILTER (WHERE 'click' = event) AS clicks FROM events WHERE timestamp >= '2024-02-29T00:00:00Z'

-- a filter with the literal first
SELECT count(*) FILTER (WHERE 'click' = event) AS clicks FROM events WHERE timestamp >= '2024-02-29T00:00:00Z'

-- a filter for a kind of event that there is not: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) FILTER (WHERE event = 'scroll') AS scrolls, count(*) AS n FROM events

-- a filter for a kind of event that there is not
SELECT count(*) FILTER (WHERE event = 'scroll') AS scrolls, count(*) AS n FROM events

-- a filter for a kind of event that there is not, by scan
SET hourglass.rollups = false;
SELECT count(*) FILTER (WHERE event = 'scroll') AS scrolls, count(*) AS n FROM events

-- a predicate on the kind of event: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) FROM events WHERE event = 'impression' AND timestamp >= '2024-02-28T22:00:00Z' AND timestamp < '2024-02-29T02:00:00Z'

-- a predicate on the kind of event
SELECT count(*) FROM events WHERE event = 'impression' AND timestamp >= '2024-02-28T22:00:00Z' AND timestamp < '2024-02-29T02:00:00Z'

-- a predicate on the kind of event that is a pattern: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) FROM events WHERE event LIKE 'imp%'

-- a predicate on the kind of event that is a pattern
SELECT count(*) FROM events WHERE event LIKE 'imp%'

-- a predicate on the kind of event that is a pattern, by scan
SET hourglass.rollups = false;
SELECT count(*) FROM events WHERE event LIKE 'imp%'

-- any kind of event but one: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) AS n, max(hour) AS last_hour FROM events WHERE event <> 'click' AND date = '2024-02-29'

-- any kind of event but one
SELECT count(*) AS n, max(hour) AS last_hour FROM events WHERE event <> 'click' AND date = '2024-02-29'

-- by hour, with users: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date_trunc('hour', timestamp) AS hour, count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events GROUP BY 1 ORDER BY 1

-- by hour, with users
SELECT date_trunc('hour', timestamp) AS hour, count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events GROUP BY 1 ORDER BY 1

-- by hour, with users, by scan
SET hourglass.rollups = false;
SELECT date_trunc('hour', timestamp) AS hour, count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events GROUP BY 1 ORDER BY 1

-- by hour, with users, by scan: plan
SET hourglass.rollups = false;
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date_trunc('hour', timestamp) AS hour, count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events GROUP BY 1 ORDER BY 1

-- a day by hour, as queries/day_by_hour.sql asks: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date_trunc('hour', timestamp) AS hour, count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events WHERE date_trunc('day', timestamp) = date_trunc('day', TIMESTAMP '2024-02-29T13:00:00Z') GROUP BY 1 ORDER BY 1

-- a day by hour, as queries/day_by_hour.sql asks
SELECT date_trunc('hour', timestamp) AS hour, count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events WHERE date_trunc('day', timestamp) = date_trunc('day', TIMESTAMP '2024-02-29T13:00:00Z') GROUP BY 1 ORDER BY 1

-- a day by hour, as queries/day_by_hour.sql asks, by scan
SET hourglass.rollups = false;
SELECT date_trunc('hour', timestamp) AS hour, count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events WHERE date_trunc('day', timestamp) = date_trunc('day', TIMESTAMP '2024-02-29T13:00:00Z') GROUP BY 1 ORDER BY 1

-- by date and hour, with users: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date, hour, count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events GROUP BY date, hour ORDER BY date, hour

-- by date and hour, with users
SELECT date, hour, count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events GROUP BY date, hour ORDER BY date, hour

-- by date and hour, with users, by scan
SET hourglass.rollups = false;
SELECT date, hour, count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events GROUP BY date, hour ORDER BY date, hour

-- by a bin of an hour, with users: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date_bin(INTERVAL '60 minutes', timestamp) AS bin, count(DISTINCT user_id) AS users FROM events WHERE date = '2024-02-28' GROUP BY bin ORDER BY bin

-- by a bin of an hour, with users
SELECT date_bin(INTERVAL '60 minutes', timestamp) AS bin, count(DISTINCT user_id) AS users FROM events WHERE date = '2024-02-28' GROUP BY bin ORDER BY bin

-- by day: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date_trunc('day', timestamp) AS day, count(*) AS n, count(*) FILTER (WHERE event = 'click') AS clicks FROM events GROUP BY 1 ORDER BY 1

-- by day
SELECT date_trunc('day', timestamp) AS day, count(*) AS n, count(*) FILTER (WHERE event = 'click') AS clicks FROM events GROUP BY 1 ORDER BY 1

-- by a cast to a day: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT timestamp::date AS day, count(*) AS n FROM events GROUP BY 1 ORDER BY 1

-- by a cast to a day
SELECT timestamp::date AS day, count(*) AS n FROM events GROUP BY 1 ORDER BY 1

-- by week, month, quarter and year: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date_trunc('week', timestamp) AS week, date_trunc('month', timestamp) AS month, date_trunc('quarter', timestamp) AS quarter, date_trunc('year', timestamp) AS year, count(*) AS n FROM events GROUP BY 1, 2, 3, 4 ORDER BY 1

-- by week, month, quarter and year
SELECT date_trunc('week', timestamp) AS week, date_trunc('month', timestamp) AS month, date_trunc('quarter', timestamp) AS quarter, date_trunc('year', timestamp) AS year, count(*) AS n FROM events GROUP BY 1, 2, 3, 4 ORDER BY 1

-- by week, month, quarter and year, by scan
SET hourglass.rollups = false;
SELECT date_trunc('week', timestamp) AS week, date_trunc('month', timestamp) AS month, date_trunc('quarter', timestamp) AS quarter, date_trunc('year', timestamp) AS year, count(*) AS n FROM events GROUP BY 1, 2, 3, 4 ORDER BY 1

-- by bins of three hours: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date_bin(INTERVAL '3 hours', timestamp) AS bin, count(*) AS n FROM events GROUP BY 1 ORDER BY 1

-- by bins of three hours
SELECT date_bin(INTERVAL '3 hours', timestamp) AS bin, count(*) AS n FROM events GROUP BY 1 ORDER BY 1

-- by bins of two hours from an odd one: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date_bin(INTERVAL '2 hours', timestamp, '2024-01-01T01:00:00Z'::timestamptz) AS bin, count(*) AS n FROM events GROUP BY 1 ORDER BY 1

-- by bins of two hours from an odd one
SELECT date_bin(INTERVAL '2 hours', timestamp, '2024-01-01T01:00:00Z'::timestamptz) AS bin, count(*) AS n FROM events GROUP BY 1 ORDER BY 1

-- by bins of two hours from an odd one, by scan
SET hourglass.rollups = false;
SELECT date_bin(INTERVAL '2 hours', timestamp, '2024-01-01T01:00:00Z'::timestamptz) AS bin, count(*) AS n FROM events GROUP BY 1 ORDER BY 1

-- by hour of the day, as queries/hour_of_day.sql asks: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT hour AS hour_of_day, count(*) AS events, count(*) FILTER (WHERE event = 'click') AS clicks FROM events WHERE timestamp >= '2024-02-28T21:00:00Z' AND timestamp < '2024-02-29T04:00:00Z' GROUP BY hour ORDER BY hour

-- by hour of the day, as queries/hour_of_day.sql asks
SELECT hour AS hour_of_day, count(*) AS events, count(*) FILTER (WHERE event = 'click') AS clicks FROM events WHERE timestamp >= '2024-02-28T21:00:00Z' AND timestamp < '2024-02-29T04:00:00Z' GROUP BY hour ORDER BY hour

-- by parts of the calendar: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT extract(dow FROM timestamp) AS dow, extract(day FROM timestamp) AS day, count(*) AS n FROM events GROUP BY 1, 2 ORDER BY 1, 2

-- by parts of the calendar
SELECT extract(dow FROM timestamp) AS dow, extract(day FROM timestamp) AS day, count(*) AS n FROM events GROUP BY 1, 2 ORDER BY 1, 2

-- by what is computed from the hour: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT CASE WHEN hour < 6 THEN 'night' ELSE 'evening' END AS part, hour / 2 AS pair, count(*) AS n FROM events GROUP BY 1, 2 ORDER BY 1, 2

-- by what is computed from the hour
SELECT CASE WHEN hour < 6 THEN 'night' ELSE 'evening' END AS part, hour / 2 AS pair, count(*) AS n FROM events GROUP BY 1, 2 ORDER BY 1, 2

-- by a text made from the hour: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT to_char(date_trunc('hour', timestamp), '%d %Hh') AS label, count(*) AS n FROM events GROUP BY 1 ORDER BY 1

-- by a text made from the hour
SELECT to_char(date_trunc('hour', timestamp), '%d %Hh') AS label, count(*) AS n FROM events GROUP BY 1 ORDER BY 1

-- by a text made from the hour, by scan
SET hourglass.rollups = false;
SELECT to_char(date_trunc('hour', timestamp), '%d %Hh') AS label, count(*) AS n FROM events GROUP BY 1 ORDER BY 1

-- by kind of event: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT event, count(*) AS n, min(date) AS first_day, max(hour) AS last_hour FROM events GROUP BY event ORDER BY event

-- by kind of event
SELECT event, count(*) AS n, min(date) AS first_day, max(hour) AS last_hour FROM events GROUP BY event ORDER BY event

-- by day and kind of event: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date, event, count(*) AS n FROM events GROUP BY date, event ORDER BY date, event

-- by day and kind of event
SELECT date, event, count(*) AS n FROM events GROUP BY date, event ORDER BY date, event

-- by a function of the kind of event: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT upper(left(event, 1)) AS letter, count(*) AS n FROM events GROUP BY 1 ORDER BY 1

-- by a function of the kind of event
SELECT upper(left(event, 1)) AS letter, count(*) AS n FROM events GROUP BY 1 ORDER BY 1

-- by month, with a predicate on the kind of event: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date_trunc('month', timestamp) AS month, count(*) AS n FROM events WHERE event IN ('click', 'scroll') GROUP BY 1 ORDER BY 1

-- by month, with a predicate on the kind of event
SELECT date_trunc('month', timestamp) AS month, count(*) AS n FROM events WHERE event IN ('click', 'scroll') GROUP BY 1 ORDER BY 1

-- by hour, one kind of event: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date_trunc('hour', timestamp) AS hour, count(*) AS n FROM events WHERE event = 'impression' GROUP BY 1 ORDER BY 1

-- by hour, one kind of event
SELECT date_trunc('hour', timestamp) AS hour, count(*) AS n FROM events WHERE event = 'impression' GROUP BY 1 ORDER BY 1

-- sums and counts of cases: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT sum(CASE WHEN event = 'click' THEN 1 ELSE 0 END) AS clicks, count(CASE WHEN event = 'impression' THEN 1 END) AS impressions, sum(CASE WHEN hour < 12 THEN 2 END) AS twice FROM events

-- sums and counts of cases
SELECT sum(CASE WHEN event = 'click' THEN 1 ELSE 0 END) AS clicks, count(CASE WHEN event = 'impression' THEN 1 END) AS impressions, sum(CASE WHEN hour < 12 THEN 2 END) AS twice FROM events

-- sums and counts of cases, by scan
SET hourglass.rollups = false;
SELECT sum(CASE WHEN event = 'click' THEN 1 ELSE 0 END) AS clicks, count(CASE WHEN event = 'impression' THEN 1 END) AS impressions, sum(CASE WHEN hour < 12 THEN 2 END) AS twice FROM events

-- a sum of cases of no rows is null: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date, sum(CASE WHEN event = 'scroll' THEN 1 END) AS scrolls, count(*) FILTER (WHERE event = 'scroll') AS none FROM events GROUP BY date ORDER BY date

-- a sum of cases of no rows is null
SELECT date, sum(CASE WHEN event = 'scroll' THEN 1 END) AS scrolls, count(*) FILTER (WHERE event = 'scroll') AS none FROM events GROUP BY date ORDER BY date

-- a sum of cases of no rows is null, by scan
SET hourglass.rollups = false;
SELECT date, sum(CASE WHEN event = 'scroll' THEN 1 END) AS scrolls, count(*) FILTER (WHERE event = 'scroll') AS none FROM events GROUP BY date ORDER BY date

-- sums of hours: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT sum(hour) AS hours, sum(hour * 10) AS tens, min(hour) AS least, max(date) AS last FROM events

-- sums of hours
SELECT sum(hour) AS hours, sum(hour * 10) AS tens, min(hour) AS least, max(date) AS last FROM events

-- sums of hours, by scan
SET hourglass.rollups = false;
SELECT sum(hour) AS hours, sum(hour * 10) AS tens, min(hour) AS least, max(date) AS last FROM events

-- first and last instant of all: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT min(timestamp) AS first, max(timestamp) AS last FROM events

-- first and last instant of all
SELECT min(timestamp) AS first, max(timestamp) AS last FROM events

-- first and last instant by day: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date, min(timestamp) AS first, max(timestamp) AS last, count(*) AS n FROM events GROUP BY date ORDER BY date

-- first and last instant by day
SELECT date, min(timestamp) AS first, max(timestamp) AS last, count(*) AS n FROM events GROUP BY date ORDER BY date

-- first and last instant by day, by scan
SET hourglass.rollups = false;
SELECT date, min(timestamp) AS first, max(timestamp) AS last, count(*) AS n FROM events GROUP BY date ORDER BY date

-- first and last instant of an hour in a file and in memory: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT min(timestamp) AS first, max(timestamp) AS last FROM events WHERE date_trunc('hour', timestamp) = '2024-02-29T02:00:00Z'

-- first and last instant of an hour in a file and in memory
SELECT min(timestamp) AS first, max(timestamp) AS last FROM events WHERE date_trunc('hour', timestamp) = '2024-02-29T02:00:00Z'

-- first and last instant of an hour in a file and in memory, by scan
SET hourglass.rollups = false;
SELECT min(timestamp) AS first, max(timestamp) AS last FROM events WHERE date_trunc('hour', timestamp) = '2024-02-29T02:00:00Z'

-- distinct things that rows of the relation hold: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(DISTINCT event) AS kinds, count(DISTINCT date) AS days, count(DISTINCT hour) AS hours, min(event) AS least FROM events

-- distinct things that rows of the relation hold
SELECT count(DISTINCT event) AS kinds, count(DISTINCT date) AS days, count(DISTINCT hour) AS hours, min(event) AS least FROM events

-- distinct things that rows of the relation hold, by scan
SET hourglass.rollups = false;
SELECT count(DISTINCT event) AS kinds, count(DISTINCT date) AS days, count(DISTINCT hour) AS hours, min(event) AS least FROM events

-- distinct rows: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT DISTINCT date, hour FROM events ORDER BY date, hour

-- distinct rows
SELECT DISTINCT date, hour FROM events ORDER BY date, hour

-- distinct kinds of event: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT DISTINCT event FROM events WHERE date = '2024-02-28' ORDER BY event

-- distinct kinds of event
SELECT DISTINCT event FROM events WHERE date = '2024-02-28' ORDER BY event

-- distinct truncations: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT DISTINCT date_trunc('day', timestamp) AS day FROM events ORDER BY day

-- distinct truncations
SELECT DISTINCT date_trunc('day', timestamp) AS day FROM events ORDER BY day

-- having: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date_trunc('hour', timestamp) AS hour, count(*) AS n FROM events GROUP BY 1 HAVING count(*) > 10 ORDER BY 1

-- having
SELECT date_trunc('hour', timestamp) AS hour, count(*) AS n FROM events GROUP BY 1 HAVING count(*) > 10 ORDER BY 1

-- having over users: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date_trunc('hour', timestamp) AS hour FROM events GROUP BY 1 HAVING count(DISTINCT user_id) < 3 ORDER BY 1

-- having over users
SELECT date_trunc('hour', timestamp) AS hour FROM events GROUP BY 1 HAVING count(DISTINCT user_id) < 3 ORDER BY 1

-- having over users, by scan
SET hourglass.rollups = false;
SELECT date_trunc('hour', timestamp) AS hour FROM events GROUP BY 1 HAVING count(DISTINCT user_id) < 3 ORDER BY 1

-- the busiest hours: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date_trunc('hour', timestamp) AS hour, count(*) AS n FROM events GROUP BY 1 ORDER BY n DESC, 1 LIMIT 3

-- the busiest hours
SELECT date_trunc('hour', timestamp) AS hour, count(*) AS n FROM events GROUP BY 1 ORDER BY n DESC, 1 LIMIT 3

-- users of each hour where a filter looks at the hour alone: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date, hour, count(DISTINCT user_id) FILTER (WHERE hour < 2) AS users FROM events WHERE date = '2024-02-29' GROUP BY date, hour ORDER BY hour

-- users of each hour where a filter looks at the hour alone
SELECT date, hour, count(DISTINCT user_id) FILTER (WHERE hour < 2) AS users FROM events WHERE date = '2024-02-29' GROUP BY date, hour ORDER BY hour

-- users of each hour where a filter looks at the hour alone, by scan
SET hourglass.rollups = false;
SELECT date, hour, count(DISTINCT user_id) FILTER (WHERE hour < 2) AS users FROM events WHERE date = '2024-02-29' GROUP BY date, hour ORDER BY hour

-- an edge cuts an hour at the start: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) AS n, count(*) FILTER (WHERE event = 'click') AS clicks FROM events WHERE timestamp >= '2024-02-28T21:10:00Z' AND timestamp < '2024-02-29T00:00:00Z'

-- an edge cuts an hour at the start
SELECT count(*) AS n, count(*) FILTER (WHERE event = 'click') AS clicks FROM events WHERE timestamp >= '2024-02-28T21:10:00Z' AND timestamp < '2024-02-29T00:00:00Z'

-- an edge cuts an hour at the start, by scan
SET hourglass.rollups = false;
SELECT count(*) AS n, count(*) FILTER (WHERE event = 'click') AS clicks FROM events WHERE timestamp >= '2024-02-28T21:10:00Z' AND timestamp < '2024-02-29T00:00:00Z'

-- an edge cuts an hour at the start, by scan: plan
SET hourglass.rollups = false;
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) AS n, count(*) FILTER (WHERE event = 'click') AS clicks FROM events WHERE timestamp >= '2024-02-28T21:10:00Z' AND timestamp < '2024-02-29T00:00:00Z'

-- an edge cuts an hour at the end: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT event, count(*) AS n FROM events WHERE timestamp >= '2024-02-29T03:00:00Z' AND timestamp <= '2024-02-29T05:08:00Z' GROUP BY event ORDER BY event

-- an edge cuts an hour at the end
SELECT event, count(*) AS n FROM events WHERE timestamp >= '2024-02-29T03:00:00Z' AND timestamp <= '2024-02-29T05:08:00Z' GROUP BY event ORDER BY event

-- an edge cuts an hour at the end, by scan
SET hourglass.rollups = false;
SELECT event, count(*) AS n FROM events WHERE timestamp >= '2024-02-29T03:00:00Z' AND timestamp <= '2024-02-29T05:08:00Z' GROUP BY event ORDER BY event

-- both edges cut hours, first and last instant: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) AS n, min(timestamp) AS first, max(timestamp) AS last FROM events WHERE timestamp > '2024-02-28T20:04:00Z' AND timestamp < '2024-02-29T04:12:00Z'

-- both edges cut hours, first and last instant
SELECT count(*) AS n, min(timestamp) AS first, max(timestamp) AS last FROM events WHERE timestamp > '2024-02-28T20:04:00Z' AND timestamp < '2024-02-29T04:12:00Z'

-- both edges cut hours, first and last instant, by scan
SET hourglass.rollups = false;
SELECT count(*) AS n, min(timestamp) AS first, max(timestamp) AS last FROM events WHERE timestamp > '2024-02-28T20:04:00Z' AND timestamp < '2024-02-29T04:12:00Z'

-- both edges cut hours, with users of each hour: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date_trunc('hour', timestamp) AS hour, count(DISTINCT user_id) AS users, count(*) AS n FROM events WHERE timestamp >= '2024-02-28T22:20:00Z' AND timestamp < '2024-02-29T02:45:00Z' GROUP BY 1 ORDER BY 1

-- both edges cut hours, with users of each hour
SELECT date_trunc('hour', timestamp) AS hour, count(DISTINCT user_id) AS users, count(*) AS n FROM events WHERE timestamp >= '2024-02-28T22:20:00Z' AND timestamp < '2024-02-29T02:45:00Z' GROUP BY 1 ORDER BY 1

-- both edges cut hours, with users of each hour, by scan
SET hourglass.rollups = false;
SELECT date_trunc('hour', timestamp) AS hour, count(DISTINCT user_id) AS users, count(*) AS n FROM events WHERE timestamp >= '2024-02-28T22:20:00Z' AND timestamp < '2024-02-29T02:45:00Z' GROUP BY 1 ORDER BY 1

-- an edge in memory, with users by date and hour: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date, hour, count(DISTINCT user_id) AS users FROM events WHERE timestamp >= '2024-02-29T03:30:00Z' AND timestamp < '2024-02-29T05:10:00Z' GROUP BY date, hour ORDER BY date, hour

-- an edge in memory, with users by date and hour
SELECT date, hour, count(DISTINCT user_id) AS users FROM events WHERE timestamp >= '2024-02-29T03:30:00Z' AND timestamp < '2024-02-29T05:10:00Z' GROUP BY date, hour ORDER BY date, hour

-- an edge in memory, with users by date and hour, by scan
SET hourglass.rollups = false;
SELECT date, hour, count(DISTINCT user_id) AS users FROM events WHERE timestamp >= '2024-02-29T03:30:00Z' AND timestamp < '2024-02-29T05:10:00Z' GROUP BY date, hour ORDER BY date, hour

-- an edge in an hour without events costs nothing: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) FROM events WHERE timestamp >= '2024-02-28T10:30:00Z' AND timestamp < '2024-02-29T00:00:00Z'

-- an edge in an hour without events costs nothing
SELECT count(*) FROM events WHERE timestamp >= '2024-02-28T10:30:00Z' AND timestamp < '2024-02-29T00:00:00Z'

-- an edge in an hour without events costs nothing, by scan
SET hourglass.rollups = false;
SELECT count(*) FROM events WHERE timestamp >= '2024-02-28T10:30:00Z' AND timestamp < '2024-02-29T00:00:00Z'

-- edges, with a predicate on the kind of event: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date, count(*) AS n FROM events WHERE event = 'click' AND timestamp BETWEEN '2024-02-28T20:30:00Z' AND '2024-02-29T01:30:00Z' GROUP BY date ORDER BY date

-- edges, with a predicate on the kind of event
SELECT date, count(*) AS n FROM events WHERE event = 'click' AND timestamp BETWEEN '2024-02-28T20:30:00Z' AND '2024-02-29T01:30:00Z' GROUP BY date ORDER BY date

-- edges, with a predicate on the kind of event, by scan
SET hourglass.rollups = false;
SELECT date, count(*) AS n FROM events WHERE event = 'click' AND timestamp BETWEEN '2024-02-28T20:30:00Z' AND '2024-02-29T01:30:00Z' GROUP BY date ORDER BY date

-- edges, with sums of cases: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT sum(CASE WHEN event = 'click' THEN 1 ELSE 0 END) AS clicks, sum(hour) AS hours FROM events WHERE timestamp > '2024-02-28T23:30:00Z' AND timestamp < '2024-02-29T02:30:00Z'

-- edges, with sums of cases
SELECT sum(CASE WHEN event = 'click' THEN 1 ELSE 0 END) AS clicks, sum(hour) AS hours FROM events WHERE timestamp > '2024-02-28T23:30:00Z' AND timestamp < '2024-02-29T02:30:00Z'

-- edges, with sums of cases, by scan
SET hourglass.rollups = false;
SELECT sum(CASE WHEN event = 'click' THEN 1 ELSE 0 END) AS clicks, sum(hour) AS hours FROM events WHERE timestamp > '2024-02-28T23:30:00Z' AND timestamp < '2024-02-29T02:30:00Z'

-- either of two ranges: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) AS n, count(DISTINCT hour) AS hours FROM events WHERE (timestamp >= '2024-02-28T20:00:00Z' AND timestamp < '2024-02-28T22:00:00Z') OR (timestamp >= '2024-02-29T04:00:00Z' AND timestamp < '2024-02-29T05:00:00Z')

-- either of two ranges
SELECT count(*) AS n, count(DISTINCT hour) AS hours FROM events WHERE (timestamp >= '2024-02-28T20:00:00Z' AND timestamp < '2024-02-28T22:00:00Z') OR (timestamp >= '2024-02-29T04:00:00Z' AND timestamp < '2024-02-29T05:00:00Z')

-- either of two ranges, by scan
SET hourglass.rollups = false;
SELECT count(*) AS n, count(DISTINCT hour) AS hours FROM events WHERE (timestamp >= '2024-02-28T20:00:00Z' AND timestamp < '2024-02-28T22:00:00Z') OR (timestamp >= '2024-02-29T04:00:00Z' AND timestamp < '2024-02-29T05:00:00Z')

-- either of two ranges that cut hours: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) AS n FROM events WHERE timestamp < '2024-02-28T21:20:00Z' OR timestamp >= '2024-02-29T03:20:00Z'

-- either of two ranges that cut hours
SELECT count(*) AS n FROM events WHERE timestamp < '2024-02-28T21:20:00Z' OR timestamp >= '2024-02-29T03:20:00Z'

-- either of two ranges that cut hours, by scan
SET hourglass.rollups = false;
SELECT count(*) AS n FROM events WHERE timestamp < '2024-02-28T21:20:00Z' OR timestamp >= '2024-02-29T03:20:00Z'

-- some hours by a list: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date_trunc('hour', timestamp) AS hour, count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events WHERE date_trunc('hour', timestamp) IN ('2024-02-28T23:00:00Z', '2024-02-29T02:00:00Z', '2024-02-29T04:00:00Z') GROUP BY 1 ORDER BY 1

-- some hours by a list
SELECT date_trunc('hour', timestamp) AS hour, count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events WHERE date_trunc('hour', timestamp) IN ('2024-02-28T23:00:00Z', '2024-02-29T02:00:00Z', '2024-02-29T04:00:00Z') GROUP BY 1 ORDER BY 1

-- some hours by a list, by scan
SET hourglass.rollups = false;
SELECT date_trunc('hour', timestamp) AS hour, count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events WHERE date_trunc('hour', timestamp) IN ('2024-02-28T23:00:00Z', '2024-02-29T02:00:00Z', '2024-02-29T04:00:00Z') GROUP BY 1 ORDER BY 1

-- some hours of the day, by kind of event: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT event, count(*) AS n FROM events WHERE hour BETWEEN 1 AND 22 GROUP BY event ORDER BY event

-- some hours of the day, by kind of event
SELECT event, count(*) AS n FROM events WHERE hour BETWEEN 1 AND 22 GROUP BY event ORDER BY event

-- a predicate on the hour that tells no span: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date, count(*) AS n FROM events WHERE hour % 2 = 0 GROUP BY date ORDER BY date

-- a predicate on the hour that tells no span
SELECT date, count(*) AS n FROM events WHERE hour % 2 = 0 GROUP BY date ORDER BY date

-- a predicate on the hour that tells no span, by scan
SET hourglass.rollups = false;
SELECT date, count(*) AS n FROM events WHERE hour % 2 = 0 GROUP BY date ORDER BY date

-- a predicate that is a choice of both: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) AS n FROM events WHERE event = 'click' OR hour = 20

-- a predicate that is a choice of both
SELECT count(*) AS n FROM events WHERE event = 'click' OR hour = 20

-- a predicate that is a choice of both, by scan
SET hourglass.rollups = false;
SELECT count(*) AS n FROM events WHERE event = 'click' OR hour = 20

-- other names from a subquery: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT h, count(DISTINCT visitor) AS visitors, count(*) FILTER (WHERE kind = 'click') AS clicks FROM (SELECT date_trunc('hour', timestamp) AS h, user_id AS visitor, event AS kind FROM events) AS renamed GROUP BY h ORDER BY h

-- other names from a subquery
SELECT h, count(DISTINCT visitor) AS visitors, count(*) FILTER (WHERE kind = 'click') AS clicks FROM (SELECT date_trunc('hour', timestamp) AS h, user_id AS visitor, event AS kind FROM events) AS renamed GROUP BY h ORDER BY h

-- other names from a subquery, by scan
SET hourglass.rollups = false;
SELECT h, count(DISTINCT visitor) AS visitors, count(*) FILTER (WHERE kind = 'click') AS clicks FROM (SELECT date_trunc('hour', timestamp) AS h, user_id AS visitor, event AS kind FROM events) AS renamed GROUP BY h ORDER BY h

-- a named subquery with a predicate in it and one over it: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN WITH recent AS (SELECT timestamp AS moment, event AS what FROM events WHERE timestamp >= '2024-02-29T00:00:00Z') SELECT what, count(*) AS n FROM recent WHERE moment < '2024-02-29T04:00:00Z' GROUP BY what ORDER BY what

-- a named subquery with a predicate in it and one over it
WITH recent AS (SELECT timestamp AS moment, event AS what FROM events WHERE timestamp >= '2024-02-29T00:00:00Z') SELECT what, count(*) AS n FROM recent WHERE moment < '2024-02-29T04:00:00Z' GROUP BY what ORDER BY what

-- an alias of the table: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT e.hour, count(*) AS n FROM events AS e WHERE e.date = '2024-02-29' GROUP BY e.hour ORDER BY e.hour

-- an alias of the table
SELECT e.hour, count(*) AS n FROM events AS e WHERE e.date = '2024-02-29' GROUP BY e.hour ORDER BY e.hour

-- an aggregate over the aggregate: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT max(n) AS busiest, min(users) AS fewest, count(*) AS hours FROM (SELECT date_trunc('hour', timestamp) AS hour, count(*) AS n, count(DISTINCT user_id) AS users FROM events GROUP BY 1)

-- an aggregate over the aggregate
SELECT max(n) AS busiest, min(users) AS fewest, count(*) AS hours FROM (SELECT date_trunc('hour', timestamp) AS hour, count(*) AS n, count(DISTINCT user_id) AS users FROM events GROUP BY 1)

-- an aggregate over the aggregate, by scan
SET hourglass.rollups = false;
SELECT max(n) AS busiest, min(users) AS fewest, count(*) AS hours FROM (SELECT date_trunc('hour', timestamp) AS hour, count(*) AS n, count(DISTINCT user_id) AS users FROM events GROUP BY 1)

-- a window over the aggregate: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date, hour, sum(count(*)) OVER (ORDER BY date, hour) AS so_far FROM events GROUP BY date, hour ORDER BY date, hour

-- a window over the aggregate
SELECT date, hour, sum(count(*)) OVER (ORDER BY date, hour) AS so_far FROM events GROUP BY date, hour ORDER BY date, hour

-- arithmetic of aggregates: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date, round(100.0 * count(*) FILTER (WHERE event = 'click') / count(*), 1) AS percent FROM events GROUP BY date ORDER BY date

-- arithmetic of aggregates
SELECT date, round(100.0 * count(*) FILTER (WHERE event = 'click') / count(*), 1) AS percent FROM events GROUP BY date ORDER BY date

-- a union of two: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT 'clicks' AS what, count(*) AS n FROM events WHERE event = 'click' UNION ALL SELECT 'impressions', count(*) FROM events WHERE event = 'impression' ORDER BY what

-- a union of two
SELECT 'clicks' AS what, count(*) AS n FROM events WHERE event = 'click' UNION ALL SELECT 'impressions', count(*) FROM events WHERE event = 'impression' ORDER BY what

-- a join of two aggregates
SELECT a.hour, a.n AS on_29th, b.users FROM (SELECT hour, count(*) AS n FROM events WHERE date = '2024-02-29' GROUP BY hour) a JOIN (SELECT date, hour, count(DISTINCT user_id) AS users FROM events GROUP BY date, hour) b ON a.hour = b.hour ORDER BY a.hour

-- a join of two aggregates, by scan
SET hourglass.rollups = false;
SELECT a.hour, a.n AS on_29th, b.users FROM (SELECT hour, count(*) AS n FROM events WHERE date = '2024-02-29' GROUP BY hour) a JOIN (SELECT date, hour, count(DISTINCT user_id) AS users FROM events GROUP BY date, hour) b ON a.hour = b.hour ORDER BY a.hour

-- scalar subqueries
SELECT (SELECT count(*) FROM events WHERE date = '2024-02-29') - (SELECT count(*) FROM events WHERE date = '2024-02-28') AS more

-- the view of all hours: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT * FROM hours ORDER BY hour

-- the view of all hours
SELECT * FROM hours ORDER BY hour

-- the view of all hours, by scan
SET hourglass.rollups = false;
SELECT * FROM hours ORDER BY hour

-- some hours of the view: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT hour, clicks FROM hours WHERE hour >= '2024-02-29T02:00:00Z' ORDER BY hour

-- some hours of the view
SELECT hour, clicks FROM hours WHERE hour >= '2024-02-29T02:00:00Z' ORDER BY hour

-- sums over the view: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date_trunc('day', hour) AS day, sum(clicks) AS clicks, sum(impressions) AS impressions, max(unique_users) AS most_users FROM hours GROUP BY 1 ORDER BY 1

-- sums over the view
SELECT date_trunc('day', hour) AS day, sum(clicks) AS clicks, sum(impressions) AS impressions, max(unique_users) AS most_users FROM hours GROUP BY 1 ORDER BY 1

-- sums over the view, by scan
SET hourglass.rollups = false;
SELECT date_trunc('day', hour) AS day, sum(clicks) AS clicks, sum(impressions) AS impressions, max(unique_users) AS most_users FROM hours GROUP BY 1 ORDER BY 1

-- a column of the view that needs no users: plan
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT sum(impressions) AS impressions FROM hours WHERE hour < '2024-02-29T00:00:00Z'

-- a column of the view that needs no users
SELECT sum(impressions) AS impressions FROM hours WHERE hour < '2024-02-29T00:00:00Z'

-- the view beside itself, an hour later
SELECT a.hour, b.clicks - a.clicks AS more FROM hours a JOIN hours b ON b.hour = a.hour + INTERVAL '1 hour' ORDER BY a.hour

-- the view beside itself, an hour later, by scan
SET hourglass.rollups = false;
SELECT a.hour, b.clicks - a.clicks AS more FROM hours a JOIN hours b ON b.hour = a.hour + INTERVAL '1 hour' ORDER BY a.hour

-- a sum of hours each once
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT sum(DISTINCT hour) AS hours FROM events
