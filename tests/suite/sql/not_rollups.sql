-- a group by user
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT user_id, count(*) AS n FROM events GROUP BY user_id

-- a group by user, in two partitions
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id, count(*) AS n FROM events GROUP BY user_id

-- a group by instant
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT timestamp, count(*) AS n FROM events GROUP BY timestamp

-- a group by user beside the hour
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date_trunc('hour', timestamp) AS h, user_id, count(*) AS n FROM events GROUP BY 1, 2

-- users of a day
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(DISTINCT user_id) AS users FROM events WHERE date = '2024-02-29'

-- users of all days
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(DISTINCT user_id) AS users FROM events

-- users by day
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date, count(DISTINCT user_id) AS users FROM events GROUP BY date

-- users by hour of the day, which several days have
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT hour, count(DISTINCT user_id) AS users FROM events GROUP BY hour

-- users by bins of two hours
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date_bin(INTERVAL '2 hours', timestamp) AS bin, count(DISTINCT user_id) AS users FROM events GROUP BY 1

-- users of a run of hours
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(DISTINCT user_id) AS users FROM events WHERE timestamp >= '2024-02-28T22:00:00Z' AND timestamp < '2024-02-29T00:00:00Z'

-- users of a date and an hour of it, without groups
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(DISTINCT user_id) AS users FROM events WHERE date = '2024-02-28' AND hour = 23

-- users by kind of event
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT event, count(DISTINCT user_id) AS users FROM events GROUP BY event

-- users by hour and kind of event
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date_trunc('hour', timestamp) AS h, event, count(DISTINCT user_id) AS users FROM events GROUP BY 1, 2

-- users by hour of one kind of event
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date_trunc('hour', timestamp) AS h, count(DISTINCT user_id) AS users FROM events WHERE event = 'click' GROUP BY 1

-- users by hour with a filter on the kind of event
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date_trunc('hour', timestamp) AS h, count(DISTINCT user_id) FILTER (WHERE event = 'click') AS clickers FROM events GROUP BY 1

-- a part of one hour
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) AS n FROM events WHERE timestamp >= '2024-02-28T23:10:00Z' AND timestamp < '2024-02-28T23:20:00Z'

-- a part of one hour, in files and memory
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT event, count(*) AS n FROM events WHERE timestamp > '2024-02-29T02:20:00Z' AND timestamp < '2024-02-29T02:50:00Z' GROUP BY event

-- one instant
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) AS n FROM events WHERE timestamp = '2024-02-29T01:04:00Z'

-- a predicate on the user
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) AS n FROM events WHERE user_id = 'ana'

-- a predicate on the user and the time
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date_trunc('hour', timestamp) AS h, count(*) AS n FROM events WHERE user_id LIKE '%n' AND timestamp >= '2024-02-29T03:00:00Z' GROUP BY 1

-- a filter on the user
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) FILTER (WHERE user_id = 'ben') AS n FROM events WHERE date = '2024-02-28'

-- a filter on the instant
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) FILTER (WHERE timestamp >= '2024-02-29T01:30:00Z') AS n FROM events

-- minutes
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date_trunc('minute', timestamp) AS minute, count(*) AS n FROM events WHERE date = '2024-02-29' GROUP BY 1

-- minutes of the hour
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT extract(minute FROM timestamp) AS minute, count(*) AS n FROM events GROUP BY 1

-- half hours
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date_bin(INTERVAL '30 minutes', timestamp) AS bin, count(*) AS n FROM events GROUP BY 1

-- hours that begin at half past
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date_bin(INTERVAL '1 hour', timestamp, '2024-01-01T00:30:00Z'::timestamptz) AS bin, count(*) AS n FROM events GROUP BY 1

-- bins of a month
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date_bin(INTERVAL '1 month', timestamp) AS bin, count(*) AS n FROM events GROUP BY 1

-- a text of the whole instant
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT to_char(timestamp, '%H:%M') AS label, count(*) AS n FROM events GROUP BY 1

-- hours of another time zone that begins days elsewhere
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date_trunc('day', timestamp AT TIME ZONE 'Asia/Kolkata') AS day, count(*) AS n FROM events GROUP BY 1

-- an average
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT avg(hour) AS mean FROM events WHERE date = '2024-02-28'

-- an average beside a count
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT event, count(*) AS n, avg(hour) AS mean FROM events GROUP BY event

-- a sum of fractions
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT sum(hour / 2.0) AS halves FROM events

-- a sum of instants' parts
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT sum(date_part('minute', timestamp)) AS minutes FROM events

-- the first instant of one kind of event
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT min(timestamp) AS first FROM events WHERE event = 'impression'

-- the last instant by kind of event
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT event, max(timestamp) AS last FROM events GROUP BY event

-- the first instant with a filter on the kind of event
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT min(timestamp) FILTER (WHERE event = 'click') AS first FROM events

-- least and greatest user
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT min(user_id) AS least, max(user_id) AS greatest FROM events

-- an array
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date, array_agg(event ORDER BY timestamp) AS what FROM events WHERE timestamp >= '2024-02-29T04:00:00Z' GROUP BY date

-- the first value in an order
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT first_value(user_id ORDER BY timestamp) AS who FROM events WHERE date = '2024-02-28'

-- a median
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT median(hour) AS middle FROM events

-- a count of distinct instants
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(DISTINCT timestamp) AS n FROM events

-- a volatile predicate
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) AS n FROM events WHERE random() < 0.5

-- a volatile group
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT random() < 0.5 AS heads, count(*) AS n FROM events GROUP BY 1

-- a volatile predicate beside a range
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) AS n FROM events WHERE date = '2024-02-29' AND random() < hour

-- a limit below the aggregate
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) AS n FROM (SELECT timestamp FROM events LIMIT 5)

-- an order and a limit below the aggregate
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) AS n, max(timestamp) AS last FROM (SELECT timestamp FROM events ORDER BY timestamp LIMIT 5)

-- distinct users below the aggregate
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) AS users FROM (SELECT DISTINCT user_id FROM events WHERE date = '2024-02-28')

-- a window below the aggregate
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT max(nth) AS last FROM (SELECT row_number() OVER (ORDER BY timestamp) AS nth FROM events WHERE date = '2024-02-28')

-- a union below the aggregate
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) AS n FROM (SELECT timestamp FROM events WHERE date = '2024-02-28' UNION ALL SELECT timestamp FROM events WHERE date = '2024-02-29')

-- a join below the aggregate
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT v.name, count(*) AS n FROM events e JOIN (VALUES ('ana'), ('ben')) AS v(name) ON e.user_id = v.name GROUP BY v.name

-- a join with the partitions below the aggregate
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT p.state, count(*) AS n FROM events e JOIN system.partitions p ON date_trunc('hour', e.timestamp) = p.hour GROUP BY p.state

-- a join of the table with itself
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) AS n FROM events a JOIN events b ON a.user_id = b.user_id WHERE a.date = '2024-02-28' AND b.timestamp >= '2024-02-29T05:00:00Z'

-- a join keeps the side with fewer rows: that with a filter
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) AS n FROM events a JOIN events b ON a.user_id = b.user_id WHERE b.event = 'click'

-- the users of a subquery
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT event, count(*) AS n FROM events WHERE user_id IN (SELECT user_id FROM events WHERE event = 'click') GROUP BY event

-- a union
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) AS n FROM events e JOIN (SELECT user_id FROM events WHERE event = 'click' UNION ALL SELECT 'ana') u ON e.user_id = u.user_id

-- hours beside their events
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT e.user_id, h.n FROM events e JOIN (SELECT date_trunc('hour', timestamp) AS h, count(*) AS n FROM events GROUP BY h) h ON date_trunc('hour', e.timestamp) = h.h

-- all others
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT event, count(*) AS n FROM events a WHERE NOT EXISTS (SELECT 1 FROM events b WHERE b.user_id = a.user_id AND b.event = 'click') GROUP BY event

-- after the first click of each user
SET datafusion.execution.target_partitions = 1;
EXPLAIN WITH first AS (SELECT user_id, min(timestamp) AS at FROM events WHERE event = 'click' GROUP BY user_id) SELECT count(*) AS n FROM events e JOIN first f ON e.user_id = f.user_id AND e.timestamp > f.at

-- grouping sets
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT event, date, count(*) AS n FROM events GROUP BY GROUPING SETS ((event), (date))

-- rows, not an aggregate
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT timestamp, user_id FROM events WHERE date = '2024-02-29' AND hour = 1 ORDER BY timestamp LIMIT 3

-- distinct users as rows
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT DISTINCT user_id FROM events WHERE timestamp >= '2024-02-29T05:00:00Z'

-- what could be answered, were rollups not off
SET hourglass.rollups = false;
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date, hour, count(*) AS n FROM events GROUP BY date, hour

-- one aggregate of two can be answered
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) AS n, approx_distinct(user_id) AS users FROM events WHERE date = '2024-02-29'

-- users of a day are not the sum of its hours' users
SELECT count(DISTINCT user_id) AS users FROM events WHERE date = '2024-02-29'

-- users by hour of one kind of event, answered
SELECT date_trunc('hour', timestamp) AS h, count(DISTINCT user_id) AS clickers FROM events WHERE event = 'impression' GROUP BY 1 ORDER BY 1

-- users of a part of one hour, answered
SELECT count(DISTINCT user_id) AS users, count(*) AS n FROM events WHERE timestamp >= '2024-02-28T23:30:00Z' AND timestamp < '2024-02-28T23:45:00Z'

-- half hours, answered
SELECT date_bin(INTERVAL '30 minutes', timestamp) AS bin, count(*) AS n FROM events WHERE date = '2024-02-28' GROUP BY 1 ORDER BY 1

-- the first click and the first impression, answered
SELECT event, min(timestamp) AS first, max(timestamp) AS last FROM events GROUP BY event ORDER BY event

-- a limit below the aggregate, answered
SELECT count(*) AS n FROM (SELECT timestamp FROM events LIMIT 5)

-- a volatile predicate that always holds
SELECT count(*) AS n FROM events WHERE random() >= 0

-- averages by kind of event, answered
SELECT event, avg(hour) AS mean, count(*) AS n FROM events GROUP BY event ORDER BY event

-- days of a time zone with half an hour, answered
SELECT date_trunc('day', timestamp AT TIME ZONE 'Asia/Kolkata') AS day, count(*) AS n FROM events GROUP BY 1 ORDER BY 1

-- conditions within aggregates, beside distinct users
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date_part('minute', timestamp) AS minute, count(DISTINCT CASE WHEN event = 'click' THEN user_id END) AS clickers, sum(CASE event WHEN 'click' THEN 1 ELSE 0 END) AS clicks FROM events GROUP BY 1

-- measures of several kinds, each by a plan of its own
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date_part('minute', timestamp) AS minute, count(DISTINCT user_id) AS users, max(timestamp) AS latest, count(*) AS n FROM events GROUP BY 1

-- distinct values that pass a FILTER
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT hour, count(DISTINCT timestamp) FILTER (WHERE event = 'click') AS instants FROM events GROUP BY hour
