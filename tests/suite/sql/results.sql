-- every column of one hour that is in memory
SELECT timestamp, user_id, event, date, hour FROM events WHERE date = '2024-02-29' AND hour = 5 ORDER BY timestamp

-- the first events of all
SELECT * FROM events ORDER BY timestamp LIMIT 3

-- the last events of all
SELECT * FROM events ORDER BY timestamp DESC LIMIT 3

-- an hour in two files comes as one
SELECT timestamp, user_id, event FROM events WHERE date = '2024-02-28' AND hour = 23 ORDER BY timestamp

-- an hour in a file and in memory comes as one
SELECT timestamp, user_id, event FROM events WHERE timestamp >= '2024-02-29T02:00:00Z' AND timestamp < '2024-02-29T03:00:00Z' ORDER BY timestamp

-- the last page is shorter than the others
SELECT timestamp, user_id FROM events ORDER BY timestamp LIMIT 5 OFFSET 95

-- a page past the end
SELECT timestamp, user_id FROM events ORDER BY timestamp LIMIT 5 OFFSET 97

-- no rows asked for, but columns
SELECT * FROM events ORDER BY timestamp LIMIT 0

-- a limit of more rows than a heap may have
SELECT timestamp, user_id FROM events ORDER BY user_id DESC, timestamp LIMIT 1000000 OFFSET 95

-- the same on two threads
SET datafusion.execution.target_partitions = 2;
SELECT timestamp, user_id FROM events ORDER BY user_id DESC, timestamp LIMIT 1000000 OFFSET 95

-- a sort by an aggregate under the name of its own column, in another case
SELECT user_id, max(event) AS event, MAX(timestamp) AS timestamp FROM events GROUP BY user_id ORDER BY max(event), max(timestamp) DESC LIMIT 3

-- by an expression under the name of its own column, not by the expression of that
SELECT -n AS n FROM (VALUES (1), (2)) v(n) ORDER BY -n

-- rows skipped in an order that nothing above needs
SELECT count(*) AS n, min(user_id) AS first, max(user_id) AS last FROM (SELECT user_id FROM events ORDER BY user_id DESC, timestamp OFFSET 60)

-- the same on two threads, and in a condition
SET datafusion.execution.target_partitions = 2;
SELECT count(*) AS n, max(user_id) AS last FROM events WHERE user_id IN (SELECT user_id FROM events ORDER BY user_id DESC, timestamp OFFSET 60)

-- and of more groups
SELECT user_id, max(timestamp) AS last FROM events GROUP BY user_id ORDER BY last DESC, user_id LIMIT 10000

-- an offset alone
SELECT timestamp FROM events ORDER BY timestamp OFFSET 94

-- fetch, as the standard has it
SELECT timestamp FROM events ORDER BY timestamp FETCH FIRST 2 ROWS ONLY

-- a limit that is arithmetic
SELECT timestamp FROM events ORDER BY timestamp LIMIT 1 + 1

-- rows in two orders at once
SELECT user_id, timestamp FROM events WHERE date = '2024-02-29' AND hour IN (0, 1) ORDER BY user_id DESC, timestamp ASC

-- order by what is not selected
SELECT user_id FROM events WHERE date = '2024-02-28' AND hour = 21 ORDER BY timestamp DESC

-- order by an expression
SELECT user_id, count(*) AS n FROM events GROUP BY user_id ORDER BY length(user_id), user_id

-- order by ordinal
SELECT event, user_id, count(*) FROM events GROUP BY event, user_id ORDER BY 3 DESC, 1, 2

-- users, each once
SELECT DISTINCT user_id FROM events ORDER BY user_id

-- pairs, each once
SELECT DISTINCT user_id, event FROM events WHERE hour = 20 ORDER BY user_id, event

-- each user's first event
SELECT DISTINCT ON (user_id) user_id, timestamp, event FROM events ORDER BY user_id, timestamp

-- distinct things of several columns
SELECT count(DISTINCT user_id) AS users, count(DISTINCT event) AS kinds, count(DISTINCT date) AS days, count(DISTINCT hour) AS hours, count(DISTINCT timestamp) AS instants FROM events

-- users by what they did
SELECT user_id, count(*) AS events, count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions FROM events GROUP BY user_id ORDER BY user_id

-- filters over anything
SELECT count(*) FILTER (WHERE user_id LIKE '%a') AS end_in_a, count(*) FILTER (WHERE user_id < 'd') AS before_d, count(*) FILTER (WHERE hour < 12 AND event = 'click') AS morning_clicks FROM events

-- filters beside aggregates of other kinds
SELECT min(timestamp) FILTER (WHERE user_id = 'gus') AS first_gus, max(user_id) FILTER (WHERE event = 'impression') AS last_name, sum(hour) FILTER (WHERE user_id = 'ana') AS hours FROM events

-- a filter that nothing passes
SELECT count(*) FILTER (WHERE user_id = 'nobody') AS n, max(timestamp) FILTER (WHERE user_id = 'nobody') AS t FROM events

-- groups of minutes
SELECT date_part('minute', timestamp) AS minute, count(*) FROM events GROUP BY 1 ORDER BY 1

-- groups by an expression over a name
SELECT left(user_id, 1) AS initial, count(DISTINCT user_id) AS users, count(*) AS events FROM events GROUP BY left(user_id, 1) ORDER BY initial

-- groups by a condition
SELECT user_id IN ('ana', 'ben') AS early, count(*) FROM events GROUP BY 1 ORDER BY 1

-- groups by alias
SELECT length(user_id) AS letters, count(*) AS n FROM events GROUP BY letters ORDER BY letters

-- groups without an aggregate
SELECT user_id, hour FROM events WHERE date = '2024-02-28' GROUP BY user_id, hour HAVING hour = 22 ORDER BY user_id

-- groups by a constant
SELECT 'all' AS what, count(*) FROM events WHERE user_id = 'cleo' GROUP BY 'all'

-- grouping sets
SELECT event, date, count(*) AS n FROM events GROUP BY GROUPING SETS ((event), (date), ()) ORDER BY event NULLS LAST, date NULLS LAST

-- roll up
SELECT date, event, count(*) AS n, grouping(date) AS g_date, grouping(event) AS g_event FROM events GROUP BY ROLLUP (date, event) ORDER BY date NULLS LAST, event NULLS LAST

-- cube
SELECT date, event, count(DISTINCT user_id) AS users FROM events GROUP BY CUBE (date, event) ORDER BY date NULLS FIRST, event NULLS FIRST

-- having over what is not selected
SELECT user_id FROM events GROUP BY user_id HAVING count(*) > 11 ORDER BY user_id

-- having without groups that holds
SELECT count(*) FROM events WHERE user_id = 'ana' HAVING count(*) > 1

-- having without groups that does not hold
SELECT count(*) FROM events WHERE user_id = 'ana' HAVING count(*) > 1000

-- having over two aggregates
SELECT user_id, count(*) AS n FROM events GROUP BY user_id HAVING count(*) FILTER (WHERE event = 'impression') * 3 < count(*) ORDER BY user_id

-- an aggregate over nothing is a row
SELECT count(*), count(user_id), sum(hour), min(timestamp), max(user_id), avg(hour), bool_or(event = 'click') FROM events WHERE user_id = 'nobody'

-- groups over nothing are none
SELECT user_id, count(*) FROM events WHERE user_id = 'nobody' GROUP BY user_id

-- rows of nobody
SELECT * FROM events WHERE user_id = 'nobody'

-- false is no rows
SELECT user_id FROM events WHERE false

-- null is no rows
SELECT user_id FROM events WHERE NULL

-- an empty string is nobody
SELECT count(*) FROM events WHERE user_id = ''

-- names keep their case
SELECT count(*) FROM events WHERE user_id = 'Ana'

-- averages, exact here
SELECT user_id, avg(hour) AS mean_hour, round(avg(date_part('minute', timestamp)), 3) AS mean_minute FROM events WHERE date = '2024-02-29' GROUP BY user_id ORDER BY user_id

-- spread
SELECT round(stddev(date_part('minute', timestamp)), 4) AS stddev, round(stddev_pop(date_part('minute', timestamp)), 4) AS stddev_pop, round(var(date_part('minute', timestamp)), 4) AS var, round(var_pop(hour), 4) AS var_pop FROM events

-- two columns together
SELECT round(corr(hour, date_part('minute', timestamp)), 4) AS corr, round(covar_samp(hour, date_part('minute', timestamp)), 4) AS covar, regr_count(hour, date_part('minute', timestamp)) AS n FROM events

-- the middle
SELECT median(hour) AS median_hour, median(date_part('minute', timestamp)) AS median_minute FROM events

-- sums of whole numbers
SELECT sum(hour) AS total, sum(DISTINCT hour) AS once, sum(-hour) AS negative FROM events

-- conditions over a group
SELECT user_id, bool_and(event = 'click') AS only_clicks, bool_or(hour = 3) AS at_three FROM events WHERE date = '2024-02-29' GROUP BY user_id ORDER BY user_id

-- bits over a group
SELECT bit_and(hour) AS a, bit_or(hour) AS o, bit_xor(hour) AS x FROM events WHERE user_id = 'ben'

-- names strung together
SELECT string_agg(DISTINCT user_id, ', ' ORDER BY user_id) AS users FROM events WHERE date = '2024-02-29' AND hour = 4

-- names in order of coming
SELECT hour, string_agg(user_id, '>' ORDER BY timestamp) AS who FROM events WHERE date = '2024-02-28' GROUP BY hour ORDER BY hour

-- an array in order
SELECT array_agg(user_id ORDER BY timestamp) AS who FROM events WHERE date = '2024-02-29' AND hour = 5

-- an array without doubles
SELECT event, array_agg(DISTINCT user_id ORDER BY user_id) AS who FROM events GROUP BY event ORDER BY event

-- first and last of a group
SELECT user_id, first_value(event ORDER BY timestamp) AS first_event, last_value(event ORDER BY timestamp) AS last_event, nth_value(hour, 2 ORDER BY timestamp) AS second_hour FROM events GROUP BY user_id ORDER BY user_id

-- least and greatest name
SELECT min(user_id), max(user_id), min(event), max(event), min(date), max(hour) FROM events

-- a join of two groups
SELECT c.user_id, c.clicks, i.impressions FROM (SELECT user_id, count(*) AS clicks FROM events WHERE event = 'click' GROUP BY user_id) c JOIN (SELECT user_id, count(*) AS impressions FROM events WHERE event = 'impression' GROUP BY user_id) i ON c.user_id = i.user_id ORDER BY c.user_id

-- users seen in an hour and in the next
SELECT DISTINCT a.user_id FROM events a JOIN events b ON a.user_id = b.user_id WHERE a.date = '2024-02-29' AND a.hour = 0 AND b.date = '2024-02-29' AND b.hour = 1 ORDER BY a.user_id

-- events followed by another of the same user within the hour
SELECT a.user_id, a.timestamp AS earlier, b.timestamp AS later FROM events a JOIN events b ON a.user_id = b.user_id AND a.timestamp < b.timestamp WHERE a.date = '2024-02-28' AND a.hour = 20 AND b.date = '2024-02-28' AND b.hour = 20 ORDER BY earlier, later

-- a left join keeps who has no match
SELECT v.name, count(e.timestamp) AS n FROM (VALUES ('ana'), ('zoe')) AS v(name) LEFT JOIN events e ON e.user_id = v.name GROUP BY v.name ORDER BY v.name

-- a left join whose condition is only in the join
SELECT v.name, e.timestamp FROM (VALUES ('ben'), ('zoe')) AS v(name) LEFT JOIN events e ON e.user_id = v.name AND e.date = '2024-02-29' AND e.hour = 1 ORDER BY v.name, e.timestamp

-- a right join
SELECT e.hour, v.h FROM (SELECT DISTINCT hour FROM events WHERE date = '2024-02-29') e RIGHT JOIN (VALUES (0), (5), (9)) AS v(h) ON e.hour = v.h ORDER BY v.h

-- a full join
SELECT a.user_id AS evening, b.user_id AS night FROM (SELECT DISTINCT user_id FROM events WHERE date = '2024-02-29' AND hour = 2) a FULL JOIN (SELECT DISTINCT user_id FROM events WHERE date = '2024-02-29' AND hour = 5) b ON a.user_id = b.user_id ORDER BY coalesce(a.user_id, b.user_id)

-- a cross join
SELECT e.event, v.x FROM (SELECT DISTINCT event FROM events) e CROSS JOIN (VALUES (1), (2)) AS v(x) ORDER BY e.event, v.x

-- a semi join
SELECT v.name FROM (VALUES ('ana'), ('zoe'), ('gus')) AS v(name) LEFT SEMI JOIN events e ON e.user_id = v.name ORDER BY v.name

-- an anti join
SELECT v.name FROM (VALUES ('ana'), ('zoe'), ('gus')) AS v(name) LEFT ANTI JOIN events e ON e.user_id = v.name

-- a join by common column
SELECT user_id, a.n AS on_28th, b.n AS on_29th FROM (SELECT user_id, count(*) AS n FROM events WHERE date = '2024-02-28' GROUP BY user_id) a JOIN (SELECT user_id, count(*) AS n FROM events WHERE date = '2024-02-29' GROUP BY user_id) b USING (user_id) ORDER BY user_id

-- a natural join
SELECT user_id, x, y FROM (VALUES ('ana', 1), ('ben', 2)) AS a(user_id, x) NATURAL JOIN (VALUES ('ben', 3), ('cleo', 4)) AS b(user_id, y)

-- a join by range
SELECT v.label, count(*) AS n FROM events e JOIN (VALUES ('first half', 0, 29), ('second half', 30, 59)) AS v(label, low, high) ON date_part('minute', e.timestamp) BETWEEN v.low AND v.high GROUP BY v.label ORDER BY v.label

-- a lateral join
SELECT u.user_id, l.latest FROM (SELECT DISTINCT user_id FROM events) u, LATERAL (SELECT max(timestamp) AS latest FROM events e WHERE e.user_id = u.user_id) l ORDER BY u.user_id

-- three tables
SELECT v.name, p.state, count(*) AS n FROM events e JOIN system.partitions p ON date_trunc('hour', e.timestamp) = p.hour JOIN (VALUES ('ana'), ('finn')) AS v(name) ON v.name = e.user_id GROUP BY v.name, p.state ORDER BY v.name, p.state

-- names for subqueries
WITH clicks AS (SELECT * FROM events WHERE event = 'click'), busy AS (SELECT user_id, count(*) AS n FROM clicks GROUP BY user_id) SELECT user_id, n FROM busy WHERE n >= 9 ORDER BY n DESC, user_id

-- one named subquery used twice
WITH users AS (SELECT user_id, count(*) AS n FROM events GROUP BY user_id) SELECT a.user_id, a.n - b.most AS behind FROM users a CROSS JOIN (SELECT max(n) AS most FROM users) b ORDER BY a.user_id

-- a named subquery with named columns
WITH t(a, b) AS (SELECT user_id, min(timestamp) FROM events GROUP BY user_id) SELECT a, b FROM t ORDER BY b LIMIT 4

-- a named subquery hides the table
WITH events AS (SELECT 1 AS x) SELECT x FROM events

-- a recursive subquery
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6) SELECT i, i * i AS square FROM n ORDER BY i

-- a scalar subquery
SELECT user_id, count(*) AS n FROM events GROUP BY user_id HAVING count(*) > (SELECT count(*) / count(DISTINCT user_id) FROM events) ORDER BY user_id

-- a scalar subquery without rows is null
SELECT (SELECT user_id FROM events WHERE user_id = 'nobody') AS nobody

-- the event at the greatest instant
SELECT user_id, timestamp FROM events WHERE timestamp = (SELECT max(timestamp) FROM events)

-- in a subquery
SELECT count(*) FROM events WHERE user_id IN (SELECT user_id FROM events WHERE date = '2024-02-29' AND hour = 5 AND event = 'impression')

-- not in a subquery
SELECT DISTINCT user_id FROM events WHERE user_id NOT IN (SELECT user_id FROM events WHERE date = '2024-02-29' AND hour = 5) ORDER BY user_id

-- not in with a null is nothing
SELECT count(*) FROM events WHERE user_id NOT IN (SELECT x FROM (VALUES ('ana'), (NULL)) AS v(x))

-- exists, correlated
SELECT DISTINCT user_id FROM events a WHERE EXISTS (SELECT 1 FROM events b WHERE b.user_id = a.user_id AND b.date = '2024-02-29' AND b.hour = 4 AND b.event = 'impression') ORDER BY user_id

-- not exists, correlated
SELECT v.name FROM (VALUES ('ana'), ('zoe'), ('yan')) AS v(name) WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.user_id = v.name) ORDER BY v.name

-- exists, not correlated
SELECT count(*) FROM (VALUES (1), (2)) AS v(x) WHERE EXISTS (SELECT 1 FROM events WHERE user_id = 'ana')

-- a correlated scalar subquery
SELECT v.name, (SELECT count(*) FROM events e WHERE e.user_id = v.name AND e.event = 'impression') AS impressions FROM (VALUES ('ana'), ('ben'), ('zoe')) AS v(name) ORDER BY v.name

-- a correlated comparison: each user's last event
SELECT user_id, timestamp FROM events e WHERE timestamp = (SELECT max(timestamp) FROM events f WHERE f.user_id = e.user_id) ORDER BY user_id

-- a subquery in FROM in a subquery in FROM
SELECT max(n) FROM (SELECT user_id, sum(k) AS n FROM (SELECT user_id, hour, count(*) AS k FROM events GROUP BY user_id, hour) GROUP BY user_id)

-- rows numbered within a user
SELECT user_id, timestamp, row_number() OVER (PARTITION BY user_id ORDER BY timestamp) AS nth FROM events WHERE date = '2024-02-28' AND hour = 22 ORDER BY user_id, nth

-- ranks with ties
SELECT user_id, n, rank() OVER (ORDER BY n DESC) AS rank, dense_rank() OVER (ORDER BY n DESC) AS dense FROM (SELECT user_id, count(*) AS n FROM events WHERE date = '2024-02-28' GROUP BY user_id) ORDER BY n DESC, user_id

-- the time since the event before
SELECT timestamp, timestamp - lag(timestamp) OVER (ORDER BY timestamp) AS since FROM events WHERE user_id = 'dora' ORDER BY timestamp LIMIT 6

-- before and after, with a default
SELECT hour, n, lag(n, 1, 0) OVER (ORDER BY date, hour) AS before, lead(n, 2) OVER (ORDER BY date, hour) AS after_next FROM (SELECT date, hour, count(*) AS n FROM events GROUP BY date, hour) ORDER BY date, hour

-- a running sum
SELECT date, hour, n, sum(n) OVER (ORDER BY date, hour) AS so_far FROM (SELECT date, hour, count(*) AS n FROM events GROUP BY date, hour) ORDER BY date, hour

-- a moving average over rows
SELECT hour, avg(n) OVER (ORDER BY date, hour ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS moving FROM (SELECT date, hour, count(*) AS n FROM events GROUP BY date, hour) ORDER BY date, hour

-- a moving count over time
SELECT timestamp, count(*) OVER (ORDER BY timestamp RANGE BETWEEN INTERVAL '8 minutes' PRECEDING AND CURRENT ROW) AS within FROM events WHERE date = '2024-02-29' AND hour IN (4, 5) ORDER BY timestamp

-- first, last and nth of a window
SELECT timestamp, first_value(user_id) OVER w AS first, last_value(user_id) OVER w AS last, nth_value(user_id, 2) OVER w AS second FROM events WHERE date = '2024-02-29' AND hour = 4 WINDOW w AS (ORDER BY timestamp ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) ORDER BY timestamp

-- quarters of the users
SELECT user_id, ntile(4) OVER (ORDER BY user_id) AS quarter, percent_rank() OVER (ORDER BY user_id) AS percent, round(cume_dist() OVER (ORDER BY user_id), 3) AS cumulated FROM (SELECT DISTINCT user_id FROM events) ORDER BY user_id

-- a share of the whole
SELECT user_id, count(*) AS n, round(100.0 * count(*) / sum(count(*)) OVER (), 2) AS percent FROM events GROUP BY user_id ORDER BY user_id

-- the two latest of each user
SELECT user_id, timestamp FROM (SELECT user_id, timestamp, row_number() OVER (PARTITION BY user_id ORDER BY timestamp DESC) AS nth FROM events WHERE event = 'impression') WHERE nth <= 2 ORDER BY user_id, timestamp

-- qualify
SELECT user_id, timestamp FROM events WHERE date = '2024-02-28' QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY timestamp) = 1 ORDER BY user_id

-- sessions: a pause of more than two hours begins another
SELECT user_id, sum(starts) AS sessions FROM (SELECT user_id, CASE WHEN timestamp - lag(timestamp) OVER (PARTITION BY user_id ORDER BY timestamp) <= INTERVAL '2 hours' THEN 0 ELSE 1 END AS starts FROM events) GROUP BY user_id ORDER BY user_id

-- a frame of groups
SELECT user_id, event, count(*) OVER (ORDER BY user_id GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW) AS n FROM events WHERE date = '2024-02-29' AND hour = 4 ORDER BY user_id, event

-- union drops doubles
SELECT user_id FROM events WHERE hour = 4 UNION SELECT user_id FROM events WHERE hour = 5 ORDER BY user_id

-- union all keeps them
SELECT user_id FROM events WHERE hour = 4 UNION ALL SELECT user_id FROM events WHERE hour = 5 ORDER BY user_id

-- intersect
SELECT user_id FROM events WHERE hour = 0 INTERSECT SELECT user_id FROM events WHERE hour = 5 ORDER BY user_id

-- except
SELECT user_id FROM events WHERE hour = 0 EXCEPT SELECT user_id FROM events WHERE hour = 5 ORDER BY user_id

-- except all counts them
SELECT x FROM (VALUES (1), (1), (2), (3)) AS a(x) EXCEPT ALL SELECT x FROM (VALUES (1), (3)) AS b(x) ORDER BY x

-- a union of types that have a common one
SELECT 1 AS x UNION ALL SELECT 2.5 UNION ALL SELECT NULL ORDER BY x NULLS FIRST

-- a union by name
SELECT 1 AS a, 2 AS b UNION ALL BY NAME SELECT 3 AS b, 4 AS a ORDER BY a

-- a total below the rows
SELECT user_id, count(*) AS n FROM events GROUP BY user_id UNION ALL SELECT 'total', count(*) FROM events ORDER BY n, user_id

-- case with an operand
SELECT event, CASE event WHEN 'click' THEN 'c' WHEN 'impression' THEN 'i' END AS letter, count(*) FROM events GROUP BY event ORDER BY event

-- case with conditions, and without else
SELECT timestamp, CASE WHEN user_id < 'c' THEN 'early' WHEN user_id < 'e' THEN 'middle' END AS part FROM events WHERE date = '2024-02-29' AND hour = 4 ORDER BY timestamp

-- case does not evaluate what it need not
SELECT hour, CASE WHEN hour = 0 THEN NULL ELSE 100 / hour END AS share FROM events WHERE date = '2024-02-29' GROUP BY hour ORDER BY hour

-- choices among nulls
SELECT coalesce(NULL, NULL, 3) AS coalesced, nullif(1, 1) AS nulled, nullif(1, 2) AS kept, nvl(NULL, 'x') AS nvl, greatest(1, NULL, 3) AS greatest, least(2, 1) AS least, ifnull(NULL, 0) AS ifnull

-- logic of three values
SELECT NULL AND false AS a, NULL AND true AS b, NULL OR true AS c, NOT NULL::boolean AS d, NULL = NULL AS e, NULL IS NULL AS f, 1 IS DISTINCT FROM NULL AS g, NULL IS NOT DISTINCT FROM NULL AS h, (NULL::boolean) IS NOT TRUE AS i, (NULL::boolean) IS UNKNOWN AS j

-- nulls among numbers
SELECT count(*) AS rows, count(x) AS values, sum(x) AS sum, avg(x) AS avg, min(x) AS min FROM (VALUES (1), (NULL), (4)) AS v(x)

-- nulls are one group
SELECT x, count(*) AS n FROM (VALUES (1), (NULL), (1), (NULL)) AS v(x) GROUP BY x ORDER BY x NULLS FIRST

-- nulls last and first
SELECT x, y FROM (VALUES (1, NULL), (NULL, 2), (1, 3)) AS v(x, y) ORDER BY x DESC NULLS LAST, y ASC NULLS FIRST

-- nulls match nothing in a join
SELECT count(*) FROM (VALUES (1), (NULL)) AS a(x) JOIN (VALUES (1), (NULL)) AS b(x) ON a.x = b.x

-- casts of an instant
SELECT timestamp::date AS day, timestamp::time AS time, timestamp::varchar AS text, cast(timestamp AS bigint) AS number, timestamp::timestamp AS naive FROM events WHERE user_id = 'ana' ORDER BY events.timestamp LIMIT 2

-- types
SELECT arrow_typeof(timestamp) AS timestamp, arrow_typeof(user_id) AS user_id, arrow_typeof(event) AS event, arrow_typeof(date) AS date, arrow_typeof(hour) AS hour, arrow_typeof(count(*)) AS count FROM events GROUP BY timestamp, user_id, event, date, hour LIMIT 1

-- types of literals
SELECT arrow_typeof(1) AS i, arrow_typeof(1.5) AS f, arrow_typeof('a') AS s, arrow_typeof(true) AS b, arrow_typeof(NULL) AS n, arrow_typeof(INTERVAL '1 day') AS v, arrow_typeof(DATE '2024-02-29') AS d, arrow_typeof(TIMESTAMP '2024-02-29 00:00:00') AS t, arrow_typeof(99999999999999999999) AS big

-- casts of text
SELECT '42'::int AS i, '4.5'::double AS f, 'true'::boolean AS b, '2024-02-29'::date AS d, '2024-02-29T01:02:03.456Z'::timestamp AS t, '1.239'::decimal(5, 2) AS x

-- casts that may fail
SELECT try_cast('x' AS int) AS i, try_cast('2024-02-30' AS date) AS d, try_cast('12' AS smallint) AS s, try_cast(300 AS tinyint) AS t

-- casts to arrow's types
SELECT arrow_cast(1709251200, 'Timestamp(Second, None)') AS seconds, arrow_cast(timestamp, 'Timestamp(Millisecond, Some("UTC"))') AS millis FROM events ORDER BY timestamp LIMIT 1

-- truncated in every way
SELECT date_trunc('minute', t) AS minute, date_trunc('hour', t) AS hour, date_trunc('day', t) AS day, date_trunc('week', t) AS week, date_trunc('month', t) AS month, date_trunc('quarter', t) AS quarter, date_trunc('year', t) AS year FROM (SELECT max(timestamp) AS t FROM events)

-- bins of a quarter of an hour
SELECT date_bin(INTERVAL '15 minutes', timestamp) AS bin, count(*) AS n FROM events WHERE date = '2024-02-28' AND hour >= 22 GROUP BY bin ORDER BY bin

-- bins that begin ten minutes past
SELECT date_bin(INTERVAL '20 minutes', timestamp, TIMESTAMP '2024-01-01T00:10:00Z') AS bin, count(*) AS n FROM events WHERE date = '2024-02-29' AND hour = 2 GROUP BY 1 ORDER BY 1

-- parts of an instant
SELECT extract(year FROM t) AS y, extract(quarter FROM t) AS q, extract(month FROM t) AS mo, extract(week FROM t) AS w, extract(day FROM t) AS d, extract(doy FROM t) AS doy, extract(dow FROM t) AS dow, extract(isodow FROM t) AS isodow, extract(hour FROM t) AS h, extract(minute FROM t) AS mi, extract(second FROM t) AS s, extract(epoch FROM t) AS epoch FROM (SELECT max(timestamp) AS t FROM events)

-- parts by name
SELECT date_part('millisecond', t) AS ms, date_part('microsecond', t) AS us, datepart('day', t) AS d FROM (SELECT TIMESTAMP '2024-02-29T01:02:03.456789Z' AS t)

-- an instant as text
SELECT to_char(timestamp, '%Y-%m-%d %H:%M:%S') AS text, to_char(date, '%d.%m.%Y') AS german, date_format(timestamp, '%A, %-d %B') AS english FROM events ORDER BY timestamp LIMIT 1

-- the leap day
SELECT DATE '2024-02-28' + INTERVAL '1 day' AS leap, DATE '2024-02-29' + INTERVAL '1 year' AS next, DATE '2024-01-31' + INTERVAL '1 month' AS clipped, TIMESTAMP '2024-03-01T00:00:00' - INTERVAL '1 second' AS last_second

-- differences
SELECT max(timestamp) - min(timestamp) AS took, max(date) - min(date) AS days FROM events

-- intervals
SELECT INTERVAL '1 hour 30 minutes' AS a, INTERVAL '90' MINUTE AS b, INTERVAL '1 year 2 months' AS c, INTERVAL '1 day' + INTERVAL '1 hour' AS d, -INTERVAL '1 week' AS e

-- instants moved by an interval
SELECT timestamp + INTERVAL '1 day' AS tomorrow, timestamp - INTERVAL '20 hours' AS midnight, date + INTERVAL '1 day' AS next_day FROM events ORDER BY timestamp LIMIT 1

-- numbers to instants and back
SELECT to_timestamp_seconds(1709150400) AS s, to_timestamp_millis(1709150400123) AS ms, to_timestamp_micros(1709150400123456) AS us, to_timestamp_nanos(1709150400123456789) AS ns, from_unixtime(0) AS zero, to_unixtime('2024-02-28T20:00:00Z') AS back

-- text to instants
SELECT to_timestamp('2024-02-29 04:05:06') AS iso, to_timestamp('29/02/2024 04-05', '%d/%m/%Y %H-%M') AS formatted, to_date('2024-02-29') AS day, make_date(2024, 2, 29) AS made

-- another time zone
SELECT timestamp AT TIME ZONE 'Europe/Berlin' AS berlin, to_local_time(timestamp AT TIME ZONE 'America/New_York') AS new_york FROM events ORDER BY events.timestamp LIMIT 1

-- days of another time zone
SELECT date_trunc('day', timestamp AT TIME ZONE 'Asia/Tokyo') AS day, count(*) AS n FROM events GROUP BY 1 ORDER BY 1

-- text with an offset is an instant
SELECT count(*) AS n, min(user_id) AS who FROM events WHERE timestamp = '2024-02-29T01:00:00+05:00'

-- letters
SELECT DISTINCT upper(user_id) AS upper, initcap(user_id) AS initcap, reverse(user_id) AS reversed, length(user_id) AS length FROM events ORDER BY upper LIMIT 3

-- joined text
SELECT 'a' || 'b' || 1 AS piped, concat('a', NULL, 'b') AS concat, concat_ws('-', 'a', NULL, 'b') AS with_separator, repeat('ab', 3) AS repeated, 'a' || NULL AS nothing

-- parts of text
SELECT substr('hourglass', 5) AS tail, substring('hourglass' FROM 2 FOR 3) AS middle, left('hourglass', 4) AS first, right('hourglass', 5) AS last, split_part('a/b/c', '/', 2) AS second, strpos('hourglass', 'glass') AS at, position('r' IN 'hourglass') AS r_at

-- text made longer and shorter
SELECT lpad('7', 3, '0') AS lpad, rpad('7', 3, '.') AS rpad, trim('  x  ') AS trim, ltrim('xxa', 'x') AS ltrim, btrim('--a--', '-') AS btrim, replace('a.b.c', '.', '/') AS replace, translate('abc', 'ac', 'xz') AS translate, overlay('abcdef' PLACING 'XY' FROM 3 FOR 2) AS overlay

-- text beyond ASCII
SELECT length('grüße 🦀') AS characters, octet_length('grüße 🦀') AS bytes, bit_length('ü') AS bits, upper('straße') AS upper, reverse('añb') AS reversed, ascii('ü') AS code, chr(129408) AS crab, 'ü' > 'z' AS greater

-- like
SELECT DISTINCT user_id FROM events WHERE user_id LIKE '_e%' ORDER BY user_id

-- like without case, and not like
SELECT DISTINCT user_id FROM events WHERE user_id ILIKE 'D%' OR user_id NOT LIKE '%n%' ORDER BY user_id

-- like with an escape
SELECT 'a_b' LIKE 'a\_b' AS escaped, 'axb' LIKE 'a\_b' AS not_any, '50%' LIKE '50\%' AS percent

-- patterns
SELECT DISTINCT user_id FROM events WHERE user_id ~ '^[a-c].*[an]$' ORDER BY user_id

-- patterns with wildcards within, and their negations
SELECT DISTINCT user_id, user_id LIKE 'a%a' AS a, user_id NOT LIKE '_a%' AS b, user_id ILIKE '%A_%' AS c, user_id ~* 'N$' AS d, user_id !~ 'n$' AS e, regexp_replace(user_id, '[aeiou]', '-', 'g') AS f FROM events ORDER BY user_id

-- patterns replaced and counted
SELECT regexp_replace('2024-02-29', '(\d+)-(\d+)-(\d+)', '\3.\2.\1') AS turned, regexp_like('click', 'CL', 'i') AS found, regexp_count('impression', 's') AS s, regexp_replace('aaa', 'a', 'b', 'g') AS everywhere

-- similar to
SELECT DISTINCT user_id FROM events WHERE user_id SIMILAR TO '(ana|gus|fin.)' ORDER BY user_id

-- prefixes, distances and numerals
SELECT starts_with('impression', 'imp') AS starts, ends_with('impression', 'sion') AS ends, levenshtein('click', 'clock') AS apart, to_hex(255) AS hex, 'b' BETWEEN 'a' AND 'c' AS between, contains('click', 'lic') AS contains

-- arithmetic of whole numbers
SELECT 7 / 2 AS quotient, -7 / 2 AS negative, 7 % 3 AS rest, -7 % 3 AS negative_rest, 2 + 3 * 4 AS precedence, (2 + 3) * 4 AS brackets, - -1 AS twice

-- arithmetic of others
SELECT 7 / 2.0 AS quotient, 0.1 + 0.2 AS sum, 1e3 AS thousand, 1.0 / 3 AS third, 5 / 0.0 AS endless, 10::decimal(10, 2) / 3 AS decimal

-- rounding
SELECT round(2.5) AS half, round(-2.5) AS negative, round(1.2345, 2) AS places, ceil(1.1) AS ceil, floor(-1.1) AS floor, trunc(-1.9) AS trunc, abs(-3) AS abs, signum(-4) AS sign

-- functions of numbers
SELECT sqrt(16) AS root, power(2, 10) AS power, ln(1) AS ln, log10(1000) AS log10, round(exp(1), 5) AS e, round(pi(), 5) AS pi, gcd(12, 18) AS gcd, lcm(4, 6) AS lcm, factorial(5) AS factorial

-- bits
SELECT 12 & 10 AS a, 12 | 10 AS o, 1 << 4 AS l, 256 >> 2 AS r

-- what is not a number
SELECT 'NaN'::double AS nan, 'NaN'::double = 'NaN'::double AS same, isnan('NaN'::double) AS is_nan, 'inf'::double AS inf, nanvl('NaN'::double, 1.0) AS instead

-- values alone
VALUES (1, 'one'), (2, 'two'), (3, NULL)

-- values as a table
SELECT letter, number * 2 AS twice FROM (VALUES ('a', 1), ('b', 2)) AS v(letter, number) ORDER BY letter

-- a series of numbers
SELECT value FROM generate_series(1, 10, 3) ORDER BY value

-- a series of numbers down
SELECT * FROM generate_series(3, 1, -1) AS s(i) ORDER BY i DESC

-- a range leaves out its end
SELECT count(*) AS n, max(value) AS last FROM range(0, 5)

-- a series of days
SELECT value FROM generate_series(TIMESTAMP '2024-02-27', TIMESTAMP '2024-03-01', INTERVAL '1 day') ORDER BY value

-- hours without events are zero
SELECT h.value AS hour, count(e.user_id) AS n FROM generate_series(TIMESTAMP '2024-02-29T04:00:00', TIMESTAMP '2024-02-29T07:00:00', INTERVAL '1 hour') h LEFT JOIN events e ON date_trunc('hour', e.timestamp)::timestamp = h.value GROUP BY h.value ORDER BY h.value

-- without a table
SELECT 1 AS one, 'two' AS two, true AS three

-- a name with a space, and a column quoted
SELECT count(*) AS "how many", max("timestamp") AS "Last" FROM "events"

-- names in capitals are the same
SELECT COUNT(*) AS N FROM EVENTS WHERE USER_ID = 'emil' AND Event = 'click'

-- the table by its full name
SELECT count(user_id) FROM hourglass.public.events WHERE hourglass.public.events.user_id = 'finn'

-- everything but two columns
SELECT * EXCEPT (timestamp, user_id) FROM events WHERE date = '2024-02-29' AND hour = 3 ORDER BY timestamp

-- everything, one column otherwise
SELECT * REPLACE (upper(user_id) AS user_id) FROM events ORDER BY timestamp LIMIT 2

-- everything of one of two tables
SELECT e.*, v.x FROM events e JOIN (VALUES ('ana', 1)) AS v(name, x) ON e.user_id = v.name WHERE e.date = '2024-02-29' AND e.hour = 4 ORDER BY e.timestamp

-- the same column twice
SELECT user_id AS a, user_id AS b FROM events WHERE date = '2024-02-29' AND hour = 5 AND event = 'impression' ORDER BY timestamp

-- brackets in brackets
SELECT ((((((((((((1 + 1)))))))))))) AS two

-- comments within
SELECT /* how many */ count(*) -- all of them
FROM events /* every
one */ WHERE user_id = 'gus' -- the end

-- semicolons in text, and after the statement
SELECT 'a;b' AS x, '--c' AS y, 'it''s' AS z;

-- small batches answer the same
SET datafusion.execution.batch_size = 2;
SELECT user_id, string_agg(event, ',' ORDER BY timestamp) AS what FROM events WHERE date = '2024-02-28' AND hour <= 21 GROUP BY user_id ORDER BY user_id

-- one partition answers the same
SET datafusion.execution.target_partitions = 1;
SELECT user_id, count(*) AS n, min(timestamp) AS first, max(timestamp) AS last FROM events GROUP BY user_id ORDER BY user_id

-- many partitions answer the same
SET datafusion.execution.target_partitions = 64;
SELECT user_id, event, max(timestamp) AS last FROM events GROUP BY user_id, event ORDER BY user_id, event

-- files that are filtered while read answer the same
SET datafusion.execution.parquet.pushdown_filters = true;
SELECT user_id, timestamp FROM events WHERE user_id = 'cleo' AND event = 'impression' ORDER BY timestamp

-- a sorting join answers the same
SET datafusion.optimizer.prefer_hash_join = false;
SELECT a.user_id, count(*) AS pairs FROM events a JOIN events b ON a.user_id = b.user_id WHERE a.event = 'click' AND b.event = 'impression' GROUP BY a.user_id ORDER BY a.user_id

-- instants shown in another time zone
SET datafusion.execution.time_zone = 'Asia/Tokyo';
SELECT '2024-02-29T00:00:00'::timestamptz AS midnight, min(timestamp) AS first FROM events WHERE user_id = 'ana'

-- whoever was seen on both days, by the set operation
SELECT count(*) AS both FROM (SELECT user_id FROM events WHERE date = '2024-02-28' INTERSECT SELECT user_id FROM events WHERE date = '2024-02-29')

-- new and returning users of the later day
WITH seen AS (SELECT user_id, bool_or(timestamp < '2024-02-29T00:00:00Z') AS earlier, bool_or(timestamp >= '2024-02-29T00:00:00Z') AS later FROM events GROUP BY user_id)
SELECT count(*) FILTER (WHERE NOT earlier) AS new_users, count(*) FILTER (WHERE earlier) AS returning_users FROM seen WHERE later

-- the users with the most events of a range
SELECT user_id, count(*) AS events, count(*) FILTER (WHERE event = 'click') AS clicks, min(timestamp) AS first_seen, max(timestamp) AS last_seen
FROM events WHERE timestamp >= '2024-02-28T22:00:00Z' AND timestamp < '2024-02-29T02:00:00Z' GROUP BY user_id ORDER BY events DESC, user_id LIMIT 3

-- the visitors of a range that cuts hours are counted once
SELECT count(DISTINCT user_id) AS unique_users, count(*) AS events FROM events WHERE timestamp >= '2024-02-29T02:30:00Z' AND timestamp < '2024-02-29T04:05:00Z'

-- clicks that follow an impression of the same user
SELECT count(*) AS n FROM (SELECT event, lag(event) OVER (PARTITION BY user_id ORDER BY timestamp) AS before FROM events) WHERE event = 'click' AND before = 'impression'

-- users of all ten hours
SELECT user_id FROM events GROUP BY user_id HAVING count(DISTINCT date_trunc('hour', timestamp)) = (SELECT count(*) FROM hours) ORDER BY user_id

-- an hour cut in two by an instant left out is read once
SELECT count(*) AS n, count(DISTINCT user_id) AS users FROM events WHERE timestamp <> '2024-02-29T01:04:00Z'

-- the same, one hour of it in bins, unlike any whole hour
SELECT date_bin(INTERVAL '90 minutes', timestamp) AS bin, sum(hour) AS hours FROM events WHERE NOT (timestamp = '2024-02-29T01:04:00Z') GROUP BY bin HAVING count(*) > 1 ORDER BY bin

-- measures of several kinds, with conditions
SELECT hour, count(DISTINCT user_id) AS users, count(DISTINCT timestamp) FILTER (WHERE event = 'click') AS instants, avg(CASE WHEN event = 'click' THEN 1 ELSE 0 END) AS share, min(timestamp) AS earliest FROM events GROUP BY hour ORDER BY hour

-- measures of several kinds over no rows
SELECT count(DISTINCT user_id) AS users, count(DISTINCT timestamp) AS instants, avg(CASE WHEN event = 'click' THEN 1 ELSE 0 END) AS share, sum(CASE WHEN event = 'click' THEN 1 ELSE 0 END) AS clicks, max(timestamp) AS latest FROM events WHERE timestamp < '1999-01-01'

-- aggregates that differ by a cast alone
SELECT max(hour) AS a, max(hour::text) AS b, max(timestamp) AS c, max(timestamp AT TIME ZONE 'Asia/Kolkata') AS d, max(timestamp AT TIME ZONE 'America/New_York') AS e, count(DISTINCT timestamp) AS f, count(DISTINCT timestamp::date) AS g FROM events

-- groups that differ by a zone or a cast alone
SELECT date_trunc('day', timestamp) AS utc, date_trunc('day', timestamp AT TIME ZONE 'Asia/Kolkata') AS kolkata, timestamp::date AS date, count(*) AS n, count(DISTINCT user_id) AS users FROM events GROUP BY 1, 2, 3 ORDER BY 1, 2

-- without aliases, and with the expressions again
SELECT hour::text, hour::double, hour, count(*) FROM events GROUP BY hour::text, hour::double, hour HAVING max(hour::text) > '1' ORDER BY hour::text DESC LIMIT 2

-- the same over a derived table
SELECT h::text AS text, h::double AS float, h, sum(n) AS n FROM (SELECT hour AS h, count(*) AS n FROM events GROUP BY hour) x GROUP BY h::text, h::double, h ORDER BY h LIMIT 3
