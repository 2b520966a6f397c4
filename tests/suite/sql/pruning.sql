-- no predicate reads everything
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events

-- a whole hour
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp >= '2024-02-28T21:00:00Z' AND timestamp < '2024-02-28T22:00:00Z'

-- a whole hour with two files
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp >= '2024-02-28T23:00:00Z' AND timestamp < '2024-02-29T00:00:00Z'

-- a whole hour in a file and in memory
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp >= '2024-02-29T02:00:00Z' AND timestamp < '2024-02-29T03:00:00Z'

-- an hour in memory
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp >= '2024-02-29T04:00:00Z' AND timestamp < '2024-02-29T05:00:00Z'

-- a range that cuts hours
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp > '2024-02-28T22:30:00Z' AND timestamp <= '2024-02-29T00:00:00Z'

-- from an instant on
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp >= '2024-02-29T03:30:00Z'

-- before an instant
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp < '2024-02-28T21:00:00Z'

-- up to an instant, which begins an hour
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp <= '2024-02-28T21:00:00Z'

-- after an instant, which is the last of an hour
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp > '2024-02-29T04:59:59.999999Z'

-- the literal first
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE '2024-02-29T04:30:00Z' < timestamp

-- between
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp BETWEEN '2024-02-28T20:30:00Z' AND '2024-02-28T21:30:00Z'

-- between, both ends the same
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp BETWEEN '2024-02-29T00:12:00Z' AND '2024-02-29T00:12:00Z'

-- between, the wrong way round
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp BETWEEN '2024-02-29T01:00:00Z' AND '2024-02-29T00:00:00Z'

-- not between prunes nothing, or what lies between
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp NOT BETWEEN '2024-02-28T21:00:00Z' AND '2024-02-29T03:59:59.999999Z'

-- one instant
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp = '2024-02-29T01:04:00Z'

-- any instant but one
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp <> '2024-02-29T01:04:00Z'

-- some instants
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp IN ('2024-02-28T20:04:00Z', '2024-02-29T05:08:00Z')

-- many instants
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp IN ('2024-02-28T20:00:00Z', '2024-02-28T21:00:00Z', '2024-02-28T22:00:00Z', '2024-02-28T23:00:00Z', '2024-02-29T01:00:00Z')

-- all instants but some
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp NOT IN ('2024-02-28T20:04:00Z', '2024-02-29T05:08:00Z')

-- an hour by its truncation
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date_trunc('hour', timestamp) = '2024-02-29T01:00:00Z'

-- a truncation to what begins no hour is never
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date_trunc('hour', timestamp) = '2024-02-29T01:30:00Z'

-- a range of truncations
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date_trunc('hour', timestamp) > '2024-02-29T01:00:00Z' AND date_trunc('hour', timestamp) <= '2024-02-29T03:00:00Z'

-- a day by its truncation
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date_trunc('day', timestamp) = '2024-02-28T00:00:00Z'

-- a day by a truncated literal
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date_trunc('day', timestamp) = date_trunc('day', TIMESTAMP '2024-02-29T13:14:15Z')

-- a minute by its truncation
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date_trunc('minute', timestamp) = '2024-02-29T01:04:00Z'

-- months from one on
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date_trunc('month', timestamp) >= '2024-03-01T00:00:00Z'

-- a quarter
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date_trunc('quarter', timestamp) = '2024-01-01T00:00:00Z'

-- a week from its Monday
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date_trunc('week', timestamp) = '2024-02-26T00:00:00Z'

-- truncations in a list
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date_trunc('hour', timestamp) IN ('2024-02-28T22:00:00Z', '2024-02-29T04:00:00Z')

-- a truncation between
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date_trunc('hour', timestamp) BETWEEN '2024-02-28T22:00:00Z' AND '2024-02-28T23:00:00Z'

-- a truncation of a truncation
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date_trunc('day', date_trunc('hour', timestamp)) = '2024-02-28T00:00:00Z'

-- a bin
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date_bin(INTERVAL '2 hours', timestamp) = '2024-02-28T22:00:00Z'

-- bins up to one
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date_bin(INTERVAL '15 minutes', timestamp) <= '2024-02-28T20:45:00Z'

-- a bin with an origin
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date_bin(INTERVAL '2 hours', timestamp, '2024-01-01T01:00:00Z'::timestamptz) = '2024-02-28T23:00:00Z'

-- a bin of months prunes nothing
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date_bin(INTERVAL '1 month', timestamp) = '2024-02-01T00:00:00Z'

-- a date
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date = '2024-02-28'

-- any date but one
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date <> '2024-02-29'

-- dates from one on
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date >= DATE '2024-02-29'

-- dates between
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date BETWEEN '2024-02-01' AND '2024-02-28'

-- dates in a list
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date IN ('2024-02-27', '2024-02-29')

-- a date and an hour
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date = '2024-02-28' AND hour = 23

-- a date and some hours
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date = '2024-02-29' AND hour IN (0, 3, 5)

-- a date and a range of hours
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date = '2024-02-29' AND hour BETWEEN 1 AND 2

-- an hour of the day
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE hour = 21

-- hours of the day from one on
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE hour >= 22

-- any hour of the day but one
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE hour <> 20

-- an hour of the day that there is not
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE hour = 24

-- the hour of the day as a part of the instant
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE extract(hour FROM timestamp) = 3

-- the hour of the day by date_part, as a range
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date_part('hour', timestamp) < 2

-- the hour of the day as text
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE hour = '4'

-- the hour of the day computed prunes nothing
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE hour + 1 = 4

-- hours of the day, either of two
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE hour = 20 OR hour = 5

-- either of two ranges
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE (timestamp >= '2024-02-28T20:00:00Z' AND timestamp < '2024-02-28T21:00:00Z') OR (timestamp >= '2024-02-29T03:00:00Z' AND timestamp < '2024-02-29T04:00:00Z')

-- either of two ranges that overlap
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp BETWEEN '2024-02-28T21:10:00Z' AND '2024-02-28T22:10:00Z' OR timestamp BETWEEN '2024-02-28T22:05:00Z' AND '2024-02-28T23:05:00Z'

-- either of two ranges, and one date
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE (timestamp < '2024-02-28T21:00:00Z' OR timestamp >= '2024-02-29T04:00:00Z') AND date = '2024-02-29'

-- a date or an hour of the day
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date = '2024-02-28' OR hour = 5

-- a range or a user prunes nothing
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp < '2024-02-28T21:00:00Z' OR user_id = 'ana'

-- a range and a user
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp < '2024-02-28T21:00:00Z' AND user_id = 'ana'

-- a range and either of two users
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date = '2024-02-28' AND (user_id = 'ana' OR user_id = 'ben')

-- a timestamp literal
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp >= TIMESTAMP '2024-02-29T04:00:00'

-- a literal with an offset
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp < '2024-02-28T22:00:00+01:00'

-- a literal with a space and no zone
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp < '2024-02-28 21:00:00'

-- a literal of a day alone
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp >= '2024-02-29'

-- a date literal beside an instant
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp < DATE '2024-02-29'

-- a literal cast to an instant with a zone
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp >= '2024-02-29T03:00:00Z'::timestamptz

-- a literal of seconds
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp >= to_timestamp_seconds(1709179200)

-- a literal of milliseconds
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp >= to_timestamp_millis(1709182800000)

-- a literal of nanoseconds beyond the microsecond
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp >= to_timestamp_nanos(1709182799999999999)

-- a literal from text by a function
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp < to_timestamp('2024-02-28T21:30:00Z')

-- a literal of arrow's type
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp >= arrow_cast('2024-02-29T05:00:00', 'Timestamp(Second, Some("UTC"))')

-- a literal with arithmetic
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp >= TIMESTAMP '2024-02-29T06:00:00' - INTERVAL '90 minutes'

-- a literal in a case
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp >= CASE WHEN 1 = 1 THEN TIMESTAMP '2024-02-29T05:00:00' ELSE TIMESTAMP '2024-02-01T00:00:00' END

-- the instant cast to a date
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp::date = '2024-02-28'

-- the instant cast to seconds
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE arrow_cast(timestamp, 'Timestamp(Second, Some("UTC"))') <= '2024-02-28T20:59:59Z'

-- the instant cast to another precision, by a finer literal
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE arrow_cast(timestamp, 'Timestamp(Nanosecond, Some("UTC"))') < to_timestamp_nanos(1709154000000000001)

-- the instant without its zone
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp::timestamp < '2024-02-28T21:00:00'

-- the instant as text prunes nothing
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp::varchar LIKE '2024-02-28%'

-- the instant as a number prunes nothing
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp::bigint < 1709154000000000

-- the instant moved by an interval
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp + INTERVAL '1 hour' > '2024-02-29T06:00:00Z'

-- the instant in another time zone
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp AT TIME ZONE 'Europe/Berlin' >= '2024-02-29T04:00:00Z'

-- the day in another time zone
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date_trunc('day', timestamp AT TIME ZONE 'Asia/Tokyo') = '2024-02-29'

-- contradictory ranges
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp >= '2024-02-29T01:00:00Z' AND timestamp < '2024-02-28T21:00:00Z'

-- contradictory dates
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date = '2024-02-28' AND date = '2024-02-29'

-- a date and a range of another
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date = '2024-02-28' AND timestamp >= '2024-02-29T00:00:00Z'

-- ranges that nearly meet
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp > '2024-02-29T01:00:00Z' AND timestamp < '2024-02-29T01:00:00.000001Z'

-- before all events
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp < '2024-02-28T20:00:00Z'

-- after all events
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp >= '2024-02-29T06:00:00Z'

-- before the first instant that can be stored
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp < '1970-01-01T00:00:00Z'

-- after the last instant that can be stored
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp > '9999-12-31T23:59:59.999Z'

-- a year that had no such events
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date_trunc('year', timestamp) = '2023-01-01T00:00:00Z'

-- not before
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE NOT (timestamp < '2024-02-29T04:00:00Z')

-- not an hour of the day
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE NOT hour = 20

-- neither of two ranges
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE NOT (timestamp < '2024-02-29T01:00:00Z' OR timestamp >= '2024-02-29T03:00:00Z')

-- not in a list of dates
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date NOT IN ('2024-02-28')

-- a user
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE user_id = 'finn'

-- some users
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE user_id IN ('ana', 'gus')

-- a user in one hour
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE user_id = 'dora' AND date_trunc('hour', timestamp) = '2024-02-28T20:00:00Z'

-- a kind of event in one hour
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT timestamp FROM events WHERE event = 'impression' AND date = '2024-02-29' AND hour = 1

-- null
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp > NULL

-- never null
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp IS NOT NULL AND date = '2024-02-28'

-- true and false
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE true AND date = '2024-02-28' OR false

-- a range that is true
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE (timestamp < '2024-02-28T21:00:00Z') IS TRUE

-- a chosen range prunes nothing
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE CASE WHEN event = 'click' THEN timestamp < '2024-02-28T21:00:00Z' ELSE hour = 5 END

-- a predicate over a subquery
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT who FROM (SELECT user_id AS who, timestamp AS at_time FROM events) WHERE at_time >= '2024-02-29T05:00:00Z'

-- a predicate within and one over a subquery
SET datafusion.execution.target_partitions = 2;
EXPLAIN WITH day AS (SELECT * FROM events WHERE date = '2024-02-29') SELECT user_id FROM day WHERE hour < 1

-- a predicate over a union
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT * FROM (SELECT user_id, hour FROM events WHERE date = '2024-02-28' UNION ALL SELECT user_id, hour FROM events WHERE date = '2024-02-29') WHERE hour IN (0, 23)

-- a predicate in a join's condition
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT a.user_id FROM events a JOIN events b ON a.user_id = b.user_id AND a.date = '2024-02-28' AND a.hour = 20 AND b.timestamp >= '2024-02-29T05:00:00Z'

-- the predicates of two scans count together
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date = '2024-02-28' AND hour = 20 UNION ALL SELECT user_id FROM events WHERE date = '2024-02-29' AND hour = 1

-- the last rows of a range
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT timestamp, user_id FROM events WHERE timestamp >= '2024-02-29T01:00:00Z' ORDER BY timestamp DESC LIMIT 2

-- the last of some rows, under another name
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id, timestamp AS at FROM events WHERE event = 'click' ORDER BY at DESC, user_id LIMIT 2

-- the first of some rows, by a limit of a subquery
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT user_id FROM (SELECT * FROM events WHERE user_id > 'b' ORDER BY timestamp LIMIT 3) ORDER BY user_id

-- and what it answers
SET datafusion.execution.target_partitions = 1;
SELECT user_id, timestamp FROM (SELECT * FROM events WHERE user_id > 'b' ORDER BY timestamp LIMIT 3) ORDER BY user_id, timestamp

-- a limit by a column of the partition
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT user_id, date FROM events ORDER BY date DESC, hour DESC, user_id LIMIT 2

-- a limit alone
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE date = '2024-02-28' LIMIT 2

-- only columns of the partition
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT date, hour FROM events WHERE date = '2024-02-28' AND hour > 21

-- with filters while reading
SET datafusion.execution.parquet.pushdown_filters = true;
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id FROM events WHERE timestamp < '2024-02-28T20:30:00Z'

-- as a tree
SET datafusion.explain.format = 'tree';
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT user_id FROM events WHERE date = '2024-02-28' AND hour = 20

-- a range, answered
SELECT timestamp, user_id FROM events WHERE timestamp > '2024-02-28T22:30:00Z' AND timestamp <= '2024-02-28T23:04:00Z' ORDER BY timestamp

-- either of two instants, answered
SELECT timestamp, user_id FROM events WHERE timestamp IN ('2024-02-28T20:04:00Z', '2024-02-29T05:08:00Z') ORDER BY timestamp

-- all but a range, answered
SELECT timestamp, user_id FROM events WHERE timestamp NOT BETWEEN '2024-02-28T20:08:00Z' AND '2024-02-29T05:07:00Z' ORDER BY timestamp

-- a user of one hour, answered
SELECT timestamp, event FROM events WHERE user_id = 'dora' AND date_trunc('hour', timestamp) = '2024-02-28T20:00:00Z' ORDER BY timestamp

-- date and hour twice, answered
SELECT date, hour, user_id FROM events WHERE (date = '2024-02-28' AND hour = 20 OR date = '2024-02-29' AND hour = 5) AND event = 'impression' ORDER BY timestamp

-- a literal with an offset, answered
SELECT max(user_id) AS who, max(timestamp) AS last FROM events WHERE timestamp < '2024-02-28T21:05:00+01:00' AND user_id > 'a'

-- nanoseconds beyond the microsecond, answered
SELECT user_id, timestamp FROM events WHERE arrow_cast(timestamp, 'Timestamp(Nanosecond, Some("UTC"))') < to_timestamp_nanos(1709150400000000001) ORDER BY timestamp

-- the day in another time zone, answered
SELECT count(user_id) AS n, min(timestamp) AS first FROM events WHERE date_trunc('day', timestamp AT TIME ZONE 'Asia/Tokyo') = '2024-02-29' AND user_id <> ''

-- after all events, answered
SELECT user_id FROM events WHERE timestamp >= '2024-02-29T06:00:00Z'

-- up to now, which lies after all events
SELECT count(*) AS n FROM events WHERE timestamp < now() AND user_id = 'ana'

-- from now on
SELECT user_id FROM events WHERE timestamp >= now()

-- the last seven days
SELECT user_id FROM events WHERE timestamp >= now() - INTERVAL '7 days' AND timestamp < now() + INTERVAL '1 day'

-- the hour that is now
SELECT user_id FROM events WHERE date_trunc('hour', timestamp) = date_trunc('hour', now())

-- today
SELECT user_id FROM events WHERE date = current_date

-- a bound from a subquery prunes nothing
SELECT user_id, timestamp FROM events WHERE timestamp > (SELECT max(timestamp) - INTERVAL '10 minutes' FROM events) ORDER BY timestamp

-- for one thread: files and memory one after the other
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT user_id, count(*) FROM events WHERE user_id < 'c' GROUP BY user_id

-- and what it answers
SET datafusion.execution.target_partitions = 1;
SELECT user_id, count(*) AS n FROM events WHERE user_id < 'c' GROUP BY user_id

-- the same with a limit, below a cut of the rows
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) FROM (SELECT user_id FROM events WHERE user_id < 'c' LIMIT 7)

-- a limit of very many rows: all are sorted, as a heap of them takes longer
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id, event FROM events ORDER BY user_id, timestamp OFFSET 500000 LIMIT 10

-- a limit of very many groups: no heap of groups, and one of rows
SET datafusion.execution.target_partitions = 2;
EXPLAIN SELECT user_id, max(timestamp) AS last FROM events GROUP BY user_id ORDER BY last DESC LIMIT 10000

-- a pattern with wildcards within is compiled once, and its start skips files and pages
EXPLAIN SELECT count(*) FROM events WHERE user_id LIKE 'd_n%' AND user_id !~* 'X$'
