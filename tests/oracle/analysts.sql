-- all rows
SELECT count(*) FROM events

-- the first event of all
-- ordered
SELECT timestamp, user_id, event FROM events ORDER BY timestamp, user_id, event LIMIT 1

-- the last ten
-- ordered
SELECT timestamp, user_id, event FROM events ORDER BY timestamp DESC, user_id, event LIMIT 10

-- distinct users and events
SELECT count(DISTINCT user_id) AS users, count(DISTINCT event) AS kinds, count(*) AS n FROM events

-- clicks and impressions by hour
-- ordered
SELECT date_trunc('hour', timestamp) AS h, count(DISTINCT user_id) AS users, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events GROUP BY 1 ORDER BY 1

-- the same from the view
-- ordered
SELECT * FROM hours ORDER BY hour

-- top users
-- ordered
SELECT user_id, count(*) AS n FROM events GROUP BY user_id ORDER BY n DESC, user_id LIMIT 5

-- top users, by place
-- ordered
SELECT user_id, count(*) FROM events GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5

-- the busiest hour of the day
-- ordered
SELECT extract(hour FROM timestamp) AS h, count(*) AS n FROM events GROUP BY 1 ORDER BY 2 DESC, 1

-- events by weekday
-- ordered
SELECT extract(dow FROM timestamp) AS d, count(*) AS n FROM events GROUP BY 1 ORDER BY 1

-- a day
SELECT count(*), count(DISTINCT user_id) FROM events WHERE date = '2025-03-30'

-- a day by its instants
SELECT count(*) FROM events WHERE timestamp >= '2025-03-30' AND timestamp < '2025-03-31'

-- a day by a cast
SELECT count(*) FROM events WHERE timestamp::date = '2025-03-30'

-- a month
SELECT count(*) FROM events WHERE date_trunc('month', timestamp) = '2025-03-01'

-- between, which includes its end
SELECT count(*) FROM events WHERE timestamp BETWEEN '2025-03-29 22:00:00' AND '2025-03-30 02:00:00'

-- one local day in Berlin, of 23 hours
SELECT count(*) FROM events WHERE timestamp >= TIMESTAMP '2025-03-30 00:00:00' AT TIME ZONE 'Europe/Berlin' AND timestamp < TIMESTAMP '2025-03-31 00:00:00' AT TIME ZONE 'Europe/Berlin'

-- days as Berlin has them
-- ordered
SELECT CAST(timestamp AT TIME ZONE 'Europe/Berlin' AS DATE) AS d, count(*) AS n, count(DISTINCT user_id) AS u FROM events GROUP BY 1 ORDER BY 1

-- hours as Berlin has them, on the night that has 2 o'clock twice
-- ordered
SELECT date_trunc('hour', timestamp AT TIME ZONE 'Europe/Berlin') AS h, count(*) AS n FROM events WHERE timestamp >= '2025-10-25 20:00:00' AND timestamp < '2025-10-26 06:00:00' GROUP BY 1 ORDER BY 1

-- weeks as New York has them
-- ordered
SELECT date_trunc('week', timestamp AT TIME ZONE 'America/New_York') AS w, count(*) AS n FROM events GROUP BY 1 ORDER BY 1

-- quarters and ISO weeks
-- ordered
SELECT extract(year FROM timestamp) AS y, extract(quarter FROM timestamp) AS q, extract(week FROM timestamp) AS w, count(*) AS n FROM events GROUP BY 1, 2, 3 ORDER BY 1, 2, 3

-- day of the year
-- ordered
SELECT DISTINCT extract(doy FROM timestamp) AS d FROM events ORDER BY 1

-- epoch
-- ordered
SELECT extract(epoch FROM timestamp) AS e FROM events ORDER BY 1 LIMIT 20

-- quarter hours
-- ordered
SELECT date_bin(INTERVAL '15 minutes', timestamp, TIMESTAMP '1970-01-01') AS b, count(*) AS n FROM events GROUP BY 1 ORDER BY 1
-- duckdb: SELECT time_bucket(INTERVAL '15 minutes', timestamp, TIMESTAMPTZ '1970-01-01') AS b, count(*) AS n FROM events GROUP BY 1 ORDER BY 1

-- five minutes without an origin
-- ordered
SELECT date_bin(INTERVAL '5 minutes', timestamp) AS b, count(*) AS n FROM events GROUP BY 1 ORDER BY 1
-- duckdb: SELECT time_bucket(INTERVAL '5 minutes', timestamp) AS b, count(*) AS n FROM events GROUP BY 1 ORDER BY 1

-- the time since the event before
-- ordered
SELECT user_id, timestamp, timestamp - lag(timestamp) OVER (PARTITION BY user_id ORDER BY timestamp) AS gap FROM events ORDER BY user_id, timestamp, gap

-- seconds since the event before
-- ordered
SELECT user_id, timestamp, extract(epoch FROM timestamp - lag(timestamp) OVER (PARTITION BY user_id ORDER BY timestamp)) AS gap FROM events ORDER BY user_id, timestamp, gap

-- users whose life is longer than a day
SELECT user_id FROM events GROUP BY user_id HAVING max(timestamp) - min(timestamp) > INTERVAL '1 day'

-- users whose life is longer than 24 hours
SELECT user_id FROM events GROUP BY user_id HAVING max(timestamp) - min(timestamp) > INTERVAL '24 hours'

-- users whose first and last event are more than a month apart
SELECT user_id FROM events GROUP BY user_id HAVING max(timestamp) > min(timestamp) + INTERVAL '1 month'

-- click-through rate
SELECT count(*) FILTER (WHERE event = 'click') * 100.0 / nullif(count(*) FILTER (WHERE event = 'impression'), 0) AS ctr FROM events

-- click-through rate by hour of the day
-- ordered
SELECT hour, round(100.0 * sum(CASE WHEN event = 'click' THEN 1 ELSE 0 END) / count(*), 2) AS ctr FROM events GROUP BY hour ORDER BY hour

-- users with more clicks than impressions
SELECT user_id FROM events GROUP BY user_id HAVING count(*) FILTER (WHERE event = 'click') > count(*) FILTER (WHERE event = 'impression')

-- users who never clicked
SELECT DISTINCT user_id FROM events WHERE user_id NOT IN (SELECT user_id FROM events WHERE event = 'click')

-- the same by EXCEPT
SELECT user_id FROM events EXCEPT SELECT user_id FROM events WHERE event = 'click'

-- the same by an outer join
SELECT DISTINCT a.user_id FROM events a LEFT JOIN events b ON b.user_id = a.user_id AND b.event = 'click' WHERE b.user_id IS NULL

-- the same by NOT EXISTS
SELECT DISTINCT a.user_id FROM events a WHERE NOT EXISTS (SELECT 1 FROM events b WHERE b.user_id = a.user_id AND b.event = 'click')

-- the same by bool_or
SELECT user_id FROM events GROUP BY 1 HAVING NOT bool_or(event = 'click')

-- users of both days
SELECT user_id FROM events WHERE date = '2025-03-29' INTERSECT SELECT user_id FROM events WHERE date = '2025-03-30'

-- users of the day before who came again
SELECT count(DISTINCT a.user_id) AS users, count(DISTINCT b.user_id) AS again FROM events a LEFT JOIN events b ON a.user_id = b.user_id AND b.date = DATE '2025-03-30' WHERE a.date = DATE '2025-03-29'

-- each user's first event
SELECT DISTINCT ON (user_id) user_id, timestamp, event FROM events ORDER BY user_id, timestamp, event

-- each user's last event
SELECT user_id, timestamp, event FROM (SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY timestamp DESC, event DESC) AS rn FROM events) AS q WHERE rn = 1

-- the same by QUALIFY
SELECT user_id, timestamp, event FROM events QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY timestamp DESC, event DESC) = 1

-- the same by a correlated maximum
SELECT DISTINCT user_id, timestamp FROM events e WHERE timestamp = (SELECT max(timestamp) FROM events f WHERE f.user_id = e.user_id)

-- the three busiest hours of each user
SELECT user_id, h, n FROM (SELECT user_id, date_trunc('hour', timestamp) AS h, count(*) AS n, row_number() OVER (PARTITION BY user_id ORDER BY count(*) DESC, date_trunc('hour', timestamp)) AS rn FROM events GROUP BY 1, 2) AS q WHERE rn <= 3

-- a running total
-- ordered
SELECT date, count(*) AS n, sum(count(*)) OVER (ORDER BY date) AS total FROM events GROUP BY date ORDER BY date

-- a moving average of seven days
-- ordered
SELECT date, n, avg(n) OVER (ORDER BY date ROWS BETWEEN 6 PRECEDING AND CURRENT ROW) AS a FROM (SELECT date, count(*) AS n FROM events GROUP BY 1) AS q ORDER BY date

-- a moving sum of seven days of the calendar
-- ordered
SELECT date, sum(n) OVER (ORDER BY date RANGE BETWEEN INTERVAL '6 days' PRECEDING AND CURRENT ROW) AS a FROM (SELECT date, count(*) AS n FROM events GROUP BY 1) AS q ORDER BY date

-- change from day to day
-- ordered
SELECT date, n, n - lag(n) OVER (ORDER BY date) AS change, round(100.0 * (n - lag(n) OVER (ORDER BY date)) / lag(n) OVER (ORDER BY date), 1) AS percent FROM (SELECT date, count(*) AS n FROM events GROUP BY 1) AS q ORDER BY date

-- share of the whole
-- ordered
SELECT user_id, count(*) * 1.0 / sum(count(*)) OVER () AS share FROM events GROUP BY 1 ORDER BY 2 DESC, 1

-- ranks with ties
-- ordered
SELECT user_id, count(*) AS n, rank() OVER (ORDER BY count(*) DESC) AS r, dense_rank() OVER (ORDER BY count(*) DESC) AS d FROM events GROUP BY 1 ORDER BY 2 DESC, 1

-- quartiles of users
-- ordered
SELECT user_id, n, ntile(4) OVER (ORDER BY n, user_id) AS q FROM (SELECT user_id, count(*) AS n FROM events GROUP BY 1) AS q ORDER BY n, user_id

-- median and percentiles of events a user
SELECT median(n) AS m, percentile_cont(0.9) WITHIN GROUP (ORDER BY n) AS p90, avg(n) AS a, stddev(n) AS s FROM (SELECT user_id, CAST(count(*) AS DOUBLE) AS n FROM events GROUP BY 1) AS q

-- how many users have how many events
-- ordered
SELECT n, count(*) AS users FROM (SELECT user_id, count(*) AS n FROM events GROUP BY 1) AS q GROUP BY n ORDER BY n

-- every hour of a day, with zeros
-- ordered
SELECT h.h, count(e.user_id) AS n FROM generate_series(0, 23) AS h(h) LEFT JOIN events e ON e.hour = h.h AND e.date = '2025-03-30' GROUP BY 1 ORDER BY 1

-- every hour of a range of instants, with zeros
-- ordered
SELECT s.h, count(e.user_id) AS n FROM generate_series(TIMESTAMP '2025-03-29 20:00:00', TIMESTAMP '2025-03-30 04:00:00', INTERVAL '1 hour') AS s(h) LEFT JOIN events e ON date_trunc('hour', e.timestamp) = s.h GROUP BY 1 ORDER BY 1

-- every day of a range, by a recursive CTE
-- ordered
WITH RECURSIVE days AS (SELECT DATE '2025-03-28' AS d UNION ALL SELECT CAST(d + INTERVAL '1 day' AS DATE) FROM days WHERE d < DATE '2025-04-01') SELECT d, count(e.user_id) AS n FROM days LEFT JOIN events e ON e.date = d GROUP BY d ORDER BY d

-- a pivot by CASE
-- ordered
SELECT date, sum(CASE WHEN event = 'click' THEN 1 ELSE 0 END) AS click, sum(CASE WHEN event = 'impression' THEN 1 ELSE 0 END) AS impression FROM events GROUP BY date ORDER BY date

-- totals by ROLLUP
SELECT date, event, count(*) AS n FROM events GROUP BY ROLLUP (date, event)

-- totals by CUBE
SELECT event, hour, count(DISTINCT user_id) AS u FROM events GROUP BY CUBE (event, hour)

-- totals by GROUPING SETS
SELECT date, event, count(*) AS n, grouping(date) AS g FROM events GROUP BY GROUPING SETS ((date), (event), ())

-- a line of totals below, by UNION ALL
-- ordered
SELECT CAST(date AS VARCHAR) AS d, count(*) AS n FROM events GROUP BY 1 UNION ALL SELECT 'total', count(*) FROM events ORDER BY 1

-- UNION removes duplicates
-- ordered
SELECT event FROM events UNION SELECT event FROM events ORDER BY event

-- UNION of constants
SELECT 1 AS x UNION SELECT 2 UNION SELECT 1

-- ORDER BY of a union of constants
-- ordered
SELECT 3 AS b UNION SELECT 2 ORDER BY b

-- groups of a union of constants
SELECT x, count(*) AS n FROM (SELECT 'a' AS x UNION ALL SELECT 'b' UNION ALL SELECT 'a') AS q GROUP BY x

-- a funnel: who saw, and clicked within an hour
SELECT count(DISTINCT a.user_id) AS saw, count(DISTINCT b.user_id) AS clicked FROM events a LEFT JOIN events b ON b.user_id = a.user_id AND b.event = 'click' AND b.timestamp > a.timestamp AND b.timestamp <= a.timestamp + INTERVAL '1 hour' WHERE a.event = 'impression'

-- a funnel of three steps by CTEs
WITH s1 AS (SELECT user_id, min(timestamp) AS t FROM events WHERE event = 'impression' GROUP BY 1), s2 AS (SELECT e.user_id, min(e.timestamp) AS t FROM events e JOIN s1 ON s1.user_id = e.user_id AND e.timestamp > s1.t AND e.event = 'click' GROUP BY 1), s3 AS (SELECT e.user_id, min(e.timestamp) AS t FROM events e JOIN s2 ON s2.user_id = e.user_id AND e.timestamp > s2.t AND e.event = 'impression' GROUP BY 1) SELECT (SELECT count(*) FROM s1) AS a, (SELECT count(*) FROM s2) AS b, (SELECT count(*) FROM s3) AS c

-- sessions with a pause of 30 minutes
WITH marked AS (SELECT user_id, timestamp, CASE WHEN timestamp - lag(timestamp) OVER (PARTITION BY user_id ORDER BY timestamp) <= INTERVAL '30 minutes' THEN 0 ELSE 1 END AS fresh FROM events), numbered AS (SELECT user_id, timestamp, sum(fresh) OVER (PARTITION BY user_id ORDER BY timestamp ROWS UNBOUNDED PRECEDING) AS s FROM marked) SELECT user_id, s, count(*) AS n, min(timestamp) AS began, max(timestamp) AS ended FROM numbered GROUP BY 1, 2

-- the average length of sessions in seconds
WITH marked AS (SELECT user_id, timestamp, CASE WHEN timestamp <= lag(timestamp) OVER (PARTITION BY user_id ORDER BY timestamp) + INTERVAL '30 minutes' THEN 0 ELSE 1 END AS fresh FROM events), numbered AS (SELECT user_id, timestamp, sum(fresh) OVER (PARTITION BY user_id ORDER BY timestamp ROWS UNBOUNDED PRECEDING) AS s FROM marked), sessions AS (SELECT user_id, s, max(timestamp) - min(timestamp) AS took FROM numbered GROUP BY 1, 2) SELECT avg(extract(epoch FROM took)) AS seconds, count(*) AS n FROM sessions

-- cohorts by month
SELECT c.cohort, date_trunc('month', e.timestamp) AS m, count(DISTINCT e.user_id) AS users FROM events e JOIN (SELECT user_id, date_trunc('month', min(timestamp)) AS cohort FROM events GROUP BY 1) AS c USING (user_id) GROUP BY 1, 2

-- days since the cohort began
SELECT c.first_day, e.date - c.first_day AS day, count(DISTINCT e.user_id) AS users FROM events e JOIN (SELECT user_id, min(date) AS first_day FROM events GROUP BY 1) AS c ON c.user_id = e.user_id GROUP BY 1, 2

-- weekly active users of each day
SELECT d.date, (SELECT count(DISTINCT e.user_id) FROM events e WHERE e.date > d.date - INTERVAL '7 days' AND e.date <= d.date) AS wau FROM (SELECT DISTINCT date FROM events) AS d

-- daily over monthly
SELECT d.date, d.dau * 1.0 / m.mau AS stickiness FROM (SELECT date, count(DISTINCT user_id) AS dau FROM events GROUP BY 1) AS d JOIN (SELECT date_trunc('month', timestamp) AS m, count(DISTINCT user_id) AS mau FROM events GROUP BY 1) AS m ON date_trunc('month', d.date) = m.m

-- new users of each day
-- ordered
SELECT first_day, count(*) AS fresh FROM (SELECT user_id, min(date) AS first_day FROM events GROUP BY 1) AS q GROUP BY 1 ORDER BY 1

-- the accumulated count of users
-- ordered
SELECT first_day, sum(count(*)) OVER (ORDER BY first_day) AS users FROM (SELECT user_id, min(date) AS first_day FROM events GROUP BY 1) AS q GROUP BY 1 ORDER BY 1

-- days in a row
WITH d AS (SELECT DISTINCT user_id, date FROM events), g AS (SELECT user_id, date, CAST(extract(epoch FROM CAST(date AS TIMESTAMP)) AS BIGINT) / 86400 - row_number() OVER (PARTITION BY user_id ORDER BY date) AS island FROM d) SELECT user_id, min(date) AS began, count(*) AS days FROM g GROUP BY user_id, island HAVING count(*) > 1

-- what follows what
SELECT event, next, count(*) AS n FROM (SELECT event, lead(event) OVER (PARTITION BY user_id ORDER BY timestamp, event) AS next FROM events) AS q WHERE next IS NOT NULL GROUP BY 1, 2

-- the same click twice
SELECT user_id, timestamp, event, count(*) AS n FROM events GROUP BY 1, 2, 3 HAVING count(*) > 1

-- pairs of users in the same hour
SELECT a.user_id AS a, b.user_id AS b, count(*) AS n FROM (SELECT DISTINCT user_id, date, hour FROM events) AS a JOIN (SELECT DISTINCT user_id, date, hour FROM events) AS b ON a.date = b.date AND a.hour = b.hour AND a.user_id < b.user_id GROUP BY 1, 2

-- joins USING two columns
SELECT date, hour, a.n, b.m FROM (SELECT date, hour, count(*) AS n FROM events WHERE event = 'click' GROUP BY 1, 2) AS a FULL JOIN (SELECT date, hour, count(*) AS m FROM events WHERE event = 'impression' GROUP BY 1, 2) AS b USING (date, hour)

-- a natural join
SELECT count(*) AS n FROM (SELECT DISTINCT user_id, date FROM events WHERE event = 'click') AS a NATURAL JOIN (SELECT DISTINCT user_id, date FROM events WHERE event = 'impression') AS b

-- a right join that keeps all hours
SELECT s.n, count(e.user_id) AS c FROM events e RIGHT JOIN generate_series(0, 23) AS s(n) ON s.n = e.hour AND e.event = 'click' GROUP BY 1

-- an anti join by LEFT JOIN of groups
SELECT a.date FROM (SELECT DISTINCT date FROM events) AS a LEFT JOIN (SELECT DISTINCT date FROM events WHERE event = 'click') AS b ON a.date = b.date WHERE b.date IS NULL

-- a cross join of all days and events, to see what is missing
SELECT d.date, k.event FROM (SELECT DISTINCT date FROM events) AS d CROSS JOIN (SELECT DISTINCT event FROM events) AS k EXCEPT SELECT date, event FROM events

-- a list of constants in FROM
SELECT v.name, count(e.user_id) AS n FROM (VALUES ('click'), ('impression'), ('purchase')) AS v(name) LEFT JOIN events e ON e.event = v.name GROUP BY 1

-- users like a pattern
SELECT DISTINCT user_id FROM events WHERE user_id LIKE 'u_' OR user_id ILIKE '%ZO%'

-- users by a regular expression
SELECT DISTINCT user_id FROM events WHERE user_id ~ '^u[0-9]+$'
-- duckdb: SELECT DISTINCT user_id FROM events WHERE regexp_matches(user_id, '^u[0-9]+$')

-- users SIMILAR TO
SELECT DISTINCT user_id FROM events WHERE user_id SIMILAR TO 'u[0-9]'

-- users with a percent sign
SELECT DISTINCT user_id FROM events WHERE user_id LIKE '%\%%' ESCAPE '\'

-- users by the length of their names
-- ordered
SELECT length(user_id) AS l, count(DISTINCT user_id) AS n, min(user_id) AS a, max(user_id) AS z FROM events GROUP BY 1 ORDER BY 1

-- names in upper case, together
SELECT lower(user_id) AS u, count(*) AS n, string_agg(DISTINCT user_id, ',' ORDER BY user_id) AS names FROM events GROUP BY 1

-- the users of each day as a text
-- ordered
SELECT date, string_agg(DISTINCT user_id, ', ' ORDER BY user_id) AS users FROM events GROUP BY date ORDER BY date

-- the hours of each user as a list
SELECT user_id, array_agg(DISTINCT hour ORDER BY hour) AS hours FROM events GROUP BY 1

-- the first and last event by value
SELECT user_id, first_value(event ORDER BY timestamp, event) AS first, last_value(event ORDER BY timestamp, event) AS last FROM events GROUP BY 1
-- duckdb: SELECT user_id, first(event ORDER BY timestamp, event) AS first, last(event ORDER BY timestamp, event) AS last FROM events GROUP BY 1

-- CASE as a histogram
SELECT CASE WHEN hour < 6 THEN 'night' WHEN hour < 12 THEN 'morning' WHEN hour < 18 THEN 'afternoon' ELSE 'evening' END AS part, count(*) AS n FROM events GROUP BY 1

-- weekend or not
SELECT extract(isodow FROM timestamp) >= 6 AS weekend, count(*) AS n FROM events GROUP BY 1

-- counts of conditions
SELECT sum(CAST(event = 'click' AS INTEGER)) AS clicks, count(*) - sum(CAST(event = 'click' AS INTEGER)) AS others FROM events

-- an average that is no integer
SELECT avg(hour) AS a, avg(hour * 1.0) AS b, sum(hour) / count(*) AS c, sum(hour) * 1.0 / count(*) AS d FROM events

-- NULL in groups
SELECT nullif(event, 'click') AS e, count(*) AS n, count(nullif(event, 'click')) AS m FROM events GROUP BY 1

-- NOT IN with a NULL in the list is never true
SELECT count(*) AS n FROM events WHERE user_id NOT IN (SELECT nullif(user_id, 'u1') FROM events)

-- correlated NOT IN with NULL
SELECT count(*) AS n FROM events e WHERE e.event NOT IN (SELECT nullif(f.event, 'click') FROM events f WHERE f.user_id = e.user_id)

-- ANY of a subquery
SELECT count(*) AS n FROM events WHERE hour = ANY (SELECT hour FROM events WHERE event = 'click')

-- ALL of a subquery
SELECT count(*) AS n FROM events WHERE timestamp >= ALL (SELECT timestamp FROM events WHERE event = 'click')

-- greater than the average
SELECT user_id, count(*) AS n FROM events GROUP BY 1 HAVING count(*) > (SELECT count(*) * 1.0 / count(DISTINCT user_id) FROM events)

-- above one's own average
SELECT user_id, timestamp FROM events e WHERE hour > (SELECT avg(hour) FROM events f WHERE f.user_id = e.user_id)

-- a scalar subquery in SELECT, without rows
SELECT (SELECT max(timestamp) FROM events WHERE user_id = 'nobody') AS x, (SELECT count(*) FROM events WHERE user_id = 'nobody') AS n

-- EXISTS in SELECT
SELECT DISTINCT a.user_id, EXISTS (SELECT 1 FROM events b WHERE b.user_id = a.user_id AND b.event = 'click') AS clicked FROM events a

-- aggregates of nothing
SELECT count(*) AS c, sum(hour) AS s, avg(hour) AS a, min(timestamp) AS m, count(DISTINCT user_id) AS u, bool_and(hour > 1) AS b, string_agg(user_id, ',') AS t FROM events WHERE user_id = 'nobody'

-- groups of nothing
SELECT user_id, count(*) AS n FROM events WHERE user_id = 'nobody' GROUP BY user_id

-- LIMIT 0
SELECT * FROM events LIMIT 0

-- OFFSET past the end
SELECT * FROM events ORDER BY timestamp OFFSET 100000

-- pages
-- ordered
SELECT timestamp, user_id, event FROM events ORDER BY timestamp, user_id, event LIMIT 10 OFFSET 10

-- FETCH FIRST
-- ordered
SELECT timestamp, user_id, event FROM events ORDER BY timestamp, user_id, event FETCH FIRST 5 ROWS ONLY

-- order by what is not selected
-- ordered
SELECT user_id FROM events ORDER BY timestamp, user_id, event

-- order by an expression
-- ordered
SELECT user_id, count(*) AS n FROM events GROUP BY user_id ORDER BY -count(*), length(user_id), user_id

-- NULLS FIRST
-- ordered
SELECT nullif(user_id, 'u1') AS u, count(*) AS n FROM events GROUP BY 1 ORDER BY 1 NULLS FIRST

-- BETWEEN SYMMETRIC does not exist here, BETWEEN the wrong way round is empty
SELECT count(*) AS n FROM events WHERE hour BETWEEN 20 AND 10

-- IN with one value and with many
SELECT count(*) AS n FROM events WHERE user_id IN ('u1') OR hour IN (1, 2, 3, 5, 8, 13, 21)

-- arithmetic of times
SELECT max(timestamp) - INTERVAL '1 hour' AS a, min(timestamp) + INTERVAL '1 month' AS b FROM events

-- the last hour before the last event
SELECT count(*) AS n FROM events WHERE timestamp > (SELECT max(timestamp) FROM events) - INTERVAL '1 hour'

-- the last seven days before the last event
SELECT count(*) AS n, count(DISTINCT user_id) AS u FROM events WHERE timestamp >= (SELECT max(timestamp) - INTERVAL '7 days' FROM events)

-- this week against the week before
SELECT sum(CASE WHEN timestamp >= TIMESTAMP '2025-01-06' AND timestamp < TIMESTAMP '2025-01-13' THEN 1 ELSE 0 END) AS this, sum(CASE WHEN timestamp >= TIMESTAMP '2024-12-30' AND timestamp < TIMESTAMP '2025-01-06' THEN 1 ELSE 0 END) AS last FROM events

-- first event in each hour
SELECT date, hour, min(timestamp) AS first, max(timestamp) AS last FROM events GROUP BY date, hour

-- events on the hour
SELECT count(*) AS n FROM events WHERE timestamp = date_trunc('hour', timestamp)

-- events with fractions of a second
SELECT count(*) AS n FROM events WHERE date_trunc('second', timestamp) <> timestamp

-- the millisecond and microsecond
SELECT count(*) AS n FROM events WHERE date_trunc('millisecond', timestamp) <> timestamp

-- strings and numbers
SELECT '1' || 2 AS a, 7 / 2 AS b, 7 % 3 AS c, -7 / 2 AS d, -7 % 3 AS e, 7.0 / 2 AS f, round(2.5) AS g, round(-2.5) AS h

-- powers and roots
SELECT power(2, 10) AS a, sqrt(2) AS b, exp(1) AS c, ln(10) AS d, log10(1000) AS e, abs(-5) AS f, sign(-3) AS g, floor(-1.5) AS h, ceil(-1.5) AS i

-- text functions
SELECT upper('zoë') AS a, lower('ZOË') AS b, length('日本') AS c, substr('hourglass', 5) AS d, substring('hourglass' FROM 1 FOR 4) AS e, replace('aXbX', 'X', '-') AS f, trim('  x ') AS g, lpad('7', 3, '0') AS h, split_part('a,b,c', ',', 2) AS i, strpos('hourglass', 'glass') AS j, reverse('abc') AS k, left('hourglass', 4) AS l, right('hourglass', 5) AS m

-- comparisons of text are by bytes
-- ordered
SELECT DISTINCT user_id FROM events ORDER BY user_id

-- greatest and least skip NULL
SELECT greatest(1, NULL, 3) AS a, least(2, NULL, 1) AS b, coalesce(NULL, NULL, 'x') AS c, nullif(1, 1) AS d

-- three-valued logic
SELECT NULL AND false AS a, NULL OR true AS b, NOT NULL AS c, NULL = NULL AS d, NULL IS NULL AS e, (1 = 1) IS TRUE AS f

-- casts
SELECT CAST('12' AS INTEGER) AS a, CAST(3.7 AS INTEGER) AS b, CAST('2025-03-30' AS DATE) AS c, CAST(1 AS VARCHAR) AS d, CAST('true' AS BOOLEAN) AS e, '5'::int + 1 AS f

-- TRY_CAST
SELECT TRY_CAST('x' AS INTEGER) AS a, TRY_CAST('12' AS INTEGER) AS b

-- dates
SELECT DATE '2025-03-30' + INTERVAL '1 month' AS a, date_trunc('month', TIMESTAMP '2025-03-30 10:00:00') AS b, DATE '2024-02-29' + INTERVAL '1 year' AS c, extract(dow FROM DATE '2025-03-30') AS d

-- a date and a number of days
SELECT DATE '2025-03-30' + 1 AS a, DATE '2025-03-30' - 1 AS b

-- days between dates
SELECT DATE '2025-03-30' - DATE '2025-03-01' AS d

-- time zones of literals
SELECT TIMESTAMPTZ '2025-03-30 02:30:00+02' AS a, TIMESTAMP '2025-07-01 12:00:00' AT TIME ZONE 'Europe/Berlin' AS b, TIMESTAMPTZ '2025-07-01 12:00:00Z' AT TIME ZONE 'America/New_York' AS c

-- the hour that Berlin skips, and the one that it has twice
SELECT TIMESTAMP '2025-03-30 02:30:00' AT TIME ZONE 'Europe/Berlin' AS skipped, TIMESTAMP '2025-10-26 02:30:00' AT TIME ZONE 'Europe/Berlin' AS twice

-- to_char
SELECT DISTINCT to_char(timestamp, '%Y-%m') AS m FROM events
-- duckdb: SELECT DISTINCT strftime(timestamp, '%Y-%m') AS m FROM events

-- to_timestamp
SELECT to_timestamp(1743296400) AS a

-- ClickHouse's countIf
SELECT countIf(event = 'click') AS n FROM events
-- duckdb: SELECT count(*) FILTER (WHERE event = 'click') AS n FROM events

-- count_if
SELECT count_if(event = 'click') AS n FROM events

-- ClickHouse's uniq
SELECT uniq(user_id) AS n FROM events
-- duckdb: SELECT count(DISTINCT user_id) AS n FROM events

-- ClickHouse's toStartOfHour
SELECT toStartOfHour(timestamp) AS h, count(*) AS n FROM events GROUP BY h
-- duckdb: SELECT date_trunc('hour', timestamp) AS h, count(*) AS n FROM events GROUP BY h

-- ClickHouse's LIMIT BY
SELECT user_id, timestamp, event FROM events ORDER BY timestamp, user_id, event LIMIT 1 BY user_id
-- duckdb: SELECT user_id, timestamp, event FROM events QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY timestamp, event) = 1

-- ClickHouse's WITH TOTALS
SELECT event, count(*) AS n FROM events GROUP BY event WITH TOTALS
-- duckdb: SELECT event, count(*) AS n FROM events GROUP BY ROLLUP (event)

-- ClickHouse's PREWHERE
SELECT count(*) AS n FROM events PREWHERE user_id = 'u1'
-- duckdb: SELECT count(*) AS n FROM events WHERE user_id = 'u1'

-- MySQL's WITH ROLLUP
SELECT event, count(*) AS n FROM events GROUP BY event WITH ROLLUP
-- duckdb: SELECT event, count(*) AS n FROM events GROUP BY ROLLUP (event)

-- MySQL's date()
SELECT date(timestamp) AS d, count(*) AS n FROM events GROUP BY 1
-- duckdb: SELECT CAST(timestamp AS DATE) AS d, count(*) AS n FROM events GROUP BY 1

-- TimescaleDB's time_bucket
SELECT time_bucket('1 hour', timestamp) AS h, count(*) AS n FROM events GROUP BY 1
-- duckdb: SELECT date_trunc('hour', timestamp) AS h, count(*) AS n FROM events GROUP BY 1

-- TimescaleDB's time_bucket with an interval
SELECT time_bucket(INTERVAL '15 minutes', timestamp) AS h, count(*) AS n FROM events GROUP BY 1

-- PostgreSQL's age
SELECT age(TIMESTAMP '2025-03-30', TIMESTAMP '2024-12-25') AS a

-- DuckDB's FROM first
FROM events SELECT count(*)

-- DuckDB's FROM alone
FROM hours

-- DuckDB's GROUP BY ALL
SELECT event, date, count(*) AS n FROM events GROUP BY ALL

-- DuckDB's ORDER BY ALL
-- ordered
SELECT event, user_id FROM events ORDER BY ALL

-- DuckDB's EXCLUDE
SELECT * EXCLUDE (date, hour) FROM events

-- DuckDB's arg_max
SELECT event, arg_max(hour, timestamp) IS NOT NULL AS h FROM events GROUP BY 1

-- DuckDB's mode
SELECT mode(event) IS NOT NULL AS m FROM events

-- DuckDB's date_diff
SELECT date_diff('day', min(timestamp), max(timestamp)) AS d FROM events

-- DuckDB's dayname
SELECT DISTINCT dayname(timestamp) AS d FROM events

-- DuckDB's percentile_disc
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY hour) AS p FROM events

-- DuckDB's ASOF JOIN
SELECT count(*) AS n FROM events a ASOF JOIN events b ON a.user_id = b.user_id AND a.timestamp >= b.timestamp

-- DuckDB's list functions
SELECT user_id, len(list(hour)) AS n FROM events GROUP BY 1

-- DuckDB's SEMI and ANTI joins
SELECT count(*) AS n FROM events a ANTI JOIN (SELECT * FROM events WHERE event = 'click') AS b ON a.user_id = b.user_id

-- PostgreSQL's TABLE
TABLE events

-- PostgreSQL's generate_series in SELECT
SELECT count(*) AS n FROM (SELECT generate_series(1, 5) AS g) AS q
-- duckdb: SELECT 5 AS n

-- PostgreSQL's DISTINCT ON with LIMIT
-- ordered
SELECT DISTINCT ON (user_id) user_id, timestamp FROM events ORDER BY user_id, timestamp DESC LIMIT 3

-- PostgreSQL's lateral subquery
SELECT u.user_id, l.timestamp FROM (SELECT DISTINCT user_id FROM events) AS u CROSS JOIN LATERAL (SELECT e.timestamp FROM events e WHERE e.user_id = u.user_id ORDER BY e.timestamp DESC LIMIT 1) AS l

-- PostgreSQL's filtered window
-- ordered
SELECT timestamp, user_id, event, count(*) FILTER (WHERE event = 'click') OVER (PARTITION BY user_id ORDER BY timestamp, event ROWS UNBOUNDED PRECEDING) AS clicks FROM events ORDER BY timestamp, user_id, event, clicks

-- PostgreSQL's row comparison
SELECT count(*) AS n FROM events WHERE (date, hour) >= (DATE '2025-03-30', 1)

-- PostgreSQL's tuple IN
SELECT count(*) AS n FROM events WHERE (user_id, event) IN (('u1', 'click'), ('u2', 'impression'))

-- EXCEPT ALL
SELECT event FROM events EXCEPT ALL SELECT event FROM events WHERE user_id = 'u1'

-- INTERSECT ALL
SELECT user_id FROM events INTERSECT ALL SELECT user_id FROM events WHERE event = 'click'

-- two counts without names
SELECT count(*), count(*) FROM events

-- count of a DISTINCT pair
SELECT count(*) AS n FROM (SELECT DISTINCT user_id, date FROM events) AS q

-- DISTINCT with an aggregate
SELECT DISTINCT count(*) AS n FROM events GROUP BY user_id

-- a window of an expression of groups
SELECT date, count(DISTINCT user_id) AS u, lag(count(DISTINCT user_id)) OVER (ORDER BY date) AS before FROM events GROUP BY date

-- the correlation of clicks and impressions
SELECT corr(clicks, impressions) AS c, regr_slope(clicks, impressions) AS s FROM hours

-- the hours of most users
-- ordered
SELECT hour, unique_users FROM hours ORDER BY unique_users DESC, hour LIMIT 5

-- hours joined to events
SELECT h.hour, h.clicks, count(e.user_id) AS n FROM hours h LEFT JOIN events e ON date_trunc('hour', e.timestamp) = h.hour AND e.event = 'click' GROUP BY 1, 2

-- a day from the view of hours
SELECT date_trunc('day', hour) AS d, sum(clicks) AS c, sum(impressions) AS i, max(unique_users) AS m FROM hours GROUP BY 1
