-- a keyword misspelt
SELCT 1

-- a keyword misspelt later
SELECT 1 FORM events WHERE hour = 1

-- no columns
SELECT FROM events WHERE

-- a comma too many
SELECT user_id,, event FROM events

-- a comma before FROM
SELECT user_id, FROM events

-- an error in the third line
SELECT user_id
FROM events
WHERE = 3

-- an error in the last of several lines, indented
SELECT user_id
  FROM events
  GROUP BY user_id
    ORDER user_id

-- a bracket that is not closed
SELECT count(*
FROM events

-- a bracket that is not opened
SELECT (1 + 2)) FROM events

-- a text that is not closed
SELECT 'ana FROM events

-- a text that is not closed, lines later
SELECT user_id
FROM events
WHERE user_id = 'ana

-- a comment that is not closed
SELECT 1 /* one

-- a name that is not closed
SELECT "user_id FROM events

-- curved quotation marks
SELECT count(*) FROM events WHERE user_id = ‘ana’

-- two conditions without a word between
SELECT 1 FROM events WHERE hour = 1 hour = 2

-- clauses in the wrong order
SELECT hour FROM events GROUP BY hour WHERE hour = 1

-- a statement without end
SELECT CASE WHEN hour = 1 THEN 'one' FROM events

-- a join without a condition
SELECT 1 FROM events a JOIN events b

-- two WHEREs
SELECT 1 FROM events WHERE hour = 1 WHERE hour = 2

-- no statement of any kind
events please

-- a filter without brackets
SELECT count(*) FILTER WHERE event = 'click' FROM events

-- an error in the second statement, on its line
SET hourglass.rollups = false;
SELECT
  count(*) AS FROM events

-- nothing but a comment

-- nothing but semicolons
;;

-- an empty comment
/* */

-- a table with a letter missing
SELECT * FROM event

-- a schema that there is not
SELECT * FROM private.events

-- a table of the system that there is not
SELECT * FROM system.partition

-- a table of the system without its schema
SELECT * FROM partitions

-- a catalog that there is not
SELECT * FROM datafusion.public.events

-- a name of too many parts
SELECT * FROM a.b.c.d

-- a column with a letter missing
SELECT user_ir, count(*) FROM events GROUP BY 1

-- a column misspelt on the second line
SELECT user_id
FROM events WHERE evnt = 'click'

-- a column of an alias that lacks it
SELECT e.clicks FROM events e

-- an alias that there is not
SELECT x.user_id FROM events e

-- a column of the table hidden by its alias
SELECT events.user_id FROM events AS e

-- a column in capitals and quotation marks
SELECT "USER_ID" FROM events

-- text in double quotation marks is a name
SELECT count(*) FROM events WHERE event = "click"

-- a column that two tables have
SELECT user_id FROM events a JOIN events b ON a.timestamp = b.timestamp

-- a column of the table out of reach in a subquery in FROM
SELECT * FROM events e JOIN (SELECT e.hour AS h) x ON true

-- an alias used in WHERE
SELECT length(user_id) AS letters FROM events WHERE letters > 3

-- a column that is not grouped
SELECT user_id, event, count(*) FROM events GROUP BY user_id

-- a column beside an aggregate
SELECT hour, count(*) FROM events

-- an order by what is not grouped
SELECT event, count(*) FROM events GROUP BY event ORDER BY timestamp

-- an aggregate in WHERE
SELECT user_id FROM events WHERE count(*) > 1 GROUP BY user_id

-- an aggregate in an aggregate
SELECT max(count(*)) FROM events GROUP BY hour

-- a window in WHERE
SELECT user_id FROM events WHERE row_number() OVER (ORDER BY timestamp) = 1

-- a group by an ordinal that there is not
SELECT hour, count(*) FROM events GROUP BY 3

-- an order by an ordinal that there is not
SELECT hour FROM events ORDER BY 0

-- a function misspelt
SELECT date_trunk('hour', timestamp) FROM events

-- an aggregate misspelt
SELECT counts(*) FROM events

-- a window function misspelt
SELECT row_numbr() OVER (ORDER BY timestamp) FROM events

-- an aggregate's filter on a plain function
SELECT upper(user_id) FILTER (WHERE hour = 1) FROM events

-- a table function that there is not
SELECT * FROM show_partitions('events')

-- too few arguments
SELECT date_trunc('hour') FROM events

-- too many arguments
SELECT upper('a', 'b')

-- an argument of the wrong type
SELECT date_trunc('hour', user_id) FROM events

-- a unit that there is not
SELECT date_trunc('fortnight', timestamp) FROM events

-- a part that there is not
SELECT date_part('century_of', timestamp) FROM events

-- a bin of no width
SELECT date_bin(INTERVAL '0 seconds', timestamp) FROM events

-- users counted in pairs
SELECT count(DISTINCT user_id, event) FROM events

-- a sum of names
SELECT sum(user_id) FROM events

-- an average of instants
SELECT avg(timestamp) FROM events

-- a sum of a name and a number
SELECT user_id + 1 FROM events WHERE user_id = 'ana'

-- two instants added
SELECT timestamp + timestamp FROM events

-- a name as a condition
SELECT 1 FROM events WHERE user_id

-- a number as a condition
SELECT 1 FROM events WHERE hour AND true

-- an instant compared with a number
SELECT 1 FROM events WHERE timestamp > 1709150400

-- an instant compared with a word
SELECT 1 FROM events WHERE timestamp > 'yesterday'

-- an instant compared with a condition
SELECT 1 FROM events WHERE timestamp = true

-- an hour compared with a word
SELECT user_id FROM events WHERE hour = 'noon'

-- a day that there is not
SELECT 1 FROM events WHERE date = '2024-02-30'

-- an hour of an instant that there is not
SELECT TIMESTAMP '2024-02-29T25:00:00'

-- an interval that is none
SELECT INTERVAL '3 moons'

-- a cast of text to a number
SELECT 'abc'::int

-- a cast of names to numbers, while it runs
SELECT user_id::bigint FROM events WHERE user_id = 'ana'

-- a cast that overflows
SELECT 300::tinyint

-- a cast of a negative number to an unsigned one
SELECT (-1)::bigint unsigned

-- a type that there is not
SELECT 1::money_of_account

-- an arrow type that there is not
SELECT arrow_cast(1, 'Int65')

-- a division by zero
SELECT 1 / 0

-- a division by zero, while it runs
SELECT 1 / (hour - 20) FROM events WHERE date = '2024-02-28' AND hour = 20

-- a rest by zero
SELECT 1 % 0

-- a sum that overflows
SELECT 9223372036854775807 + 1

-- a time that cannot be told
SELECT to_timestamp('around noon')

-- a day that cannot be made
SELECT make_date(2023, 2, 29)

-- a time zone that there is not
SELECT timestamp AT TIME ZONE 'Mars/Olympus' FROM events

-- a pattern that is none
SELECT count(*) FROM events WHERE user_id ~ '('

-- a case of two types
SELECT CASE WHEN hour = 1 THEN 1 ELSE DATE '2024-02-29' END FROM events

-- a union of unequal widths
SELECT 1, 2 UNION ALL SELECT 1

-- a union of two types
SELECT DATE '2024-02-29' UNION ALL SELECT true

-- rows of unequal widths
VALUES (1, 2), (3)

-- a list of two types
SELECT 1 FROM events WHERE date IN (1.5, true)

-- a subquery of two columns
SELECT (SELECT 1, 2)

-- a subquery of many rows
SELECT (SELECT user_id FROM events) AS who

-- in a subquery of two columns
SELECT 1 FROM events WHERE user_id IN (SELECT user_id, event FROM events)

-- a limit below zero
SELECT user_id FROM events LIMIT -1

-- a limit that is a word
SELECT user_id FROM events LIMIT 'many'

-- a limit by a column
SELECT user_id FROM events LIMIT hour

-- a common column that there is not
SELECT 1 FROM events JOIN hours USING (clicks)

-- a name given twice
WITH a AS (SELECT 1), a AS (SELECT 2) SELECT * FROM a

-- too few names for columns
SELECT * FROM (VALUES (1, 2)) AS v(x, y, z)

-- a recursive subquery without a start
WITH RECURSIVE n AS (SELECT i + 1 AS i FROM n) SELECT i FROM n

-- everything of nothing
SELECT *

-- everything grouped
SELECT * FROM events GROUP BY hour

-- distinct on, ordered otherwise
SELECT DISTINCT ON (user_id) user_id, hour FROM events ORDER BY hour

-- a frame that ends before it begins
SELECT count(*) OVER (ORDER BY hour ROWS BETWEEN CURRENT ROW AND 1 PRECEDING) FROM events

-- a window that has no name
SELECT count(*) OVER w FROM events

-- a series without steps
SELECT * FROM generate_series(1, 10, 0)

-- a series of words
SELECT * FROM generate_series('a', 'c')

-- chunks of another table
SELECT * FROM show_chunks('hours')

-- chunks of no table
SELECT * FROM show_chunks()

-- chunks of a number
SELECT * FROM show_chunks(1)

-- chunks with a bound, as TimescaleDB has it
SELECT * FROM show_chunks('events', INTERVAL '1 day')

-- a parameter by number
SELECT user_id FROM events WHERE user_id = $1

-- a parameter by name
SELECT count(*) FROM events WHERE timestamp >= $start AND hour = 3

-- a parameter as a limit
SELECT user_id FROM events LIMIT $limit

-- a parameter by a question mark
SELECT user_id FROM events WHERE user_id = ?

-- a file by its name
SELECT * FROM 'data.parquet'

-- a file by its path
SELECT * FROM '/etc/passwd'

-- a file by a function
SELECT * FROM read_parquet('data.parquet')

-- a file by an address
SELECT * FROM 'https://example.com/data.csv'

CREATE TABLE t (x INT)

CREATE TABLE t AS SELECT * FROM events

CREATE VIEW v AS SELECT count(*) FROM events

CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '/tmp/data.parquet'

CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 's3://bucket/data.csv' OPTIONS ('format.has_header' 'true')

CREATE SCHEMA s

CREATE DATABASE d

CREATE INDEX i ON events (user_id)

CREATE FUNCTION twice(INT) RETURNS INT RETURN $1 * 2

DROP TABLE events

DROP VIEW IF EXISTS hours

DROP SCHEMA system CASCADE

ALTER TABLE events ADD COLUMN country TEXT

TRUNCATE TABLE events

INSERT INTO events VALUES (TIMESTAMP '2024-02-29T00:00:00', 'ana', 'click', DATE '2024-02-29', 0)

INSERT INTO events SELECT * FROM events

INSERT INTO system.settings VALUES ('a', 'b', 'c', 'd')

UPDATE events SET user_id = 'x' WHERE user_id = 'ana'

DELETE FROM events WHERE date = '2024-02-28'

MERGE INTO events e USING hours h ON e.timestamp = h.hour WHEN MATCHED THEN DELETE

COPY events TO '/tmp/events.parquet'

COPY (SELECT user_id FROM events) TO 'users.csv' STORED AS CSV

SELECT user_id INTO users FROM events

PREPARE p AS SELECT 1

EXECUTE p

DEALLOCATE p

BEGIN

COMMIT

ROLLBACK

SET TRANSACTION ISOLATION LEVEL SERIALIZABLE

VACUUM events

ANALYZE TABLE events COMPUTE STATISTICS

USE system

GRANT SELECT ON events TO ana

CALL something(1)

-- a plan of what may not be run
EXPLAIN INSERT INTO events SELECT * FROM events

-- a plan of a table to be made
EXPLAIN CREATE TABLE t AS SELECT 1 AS x

-- a plan of files to be written
EXPLAIN COPY events TO '/tmp/events.parquet'

-- a plan of a table that there is not
EXPLAIN SELECT * FROM nowhere

-- a plan of nothing
EXPLAIN

-- a format that there is not
EXPLAIN FORMAT picture SELECT 1

-- a write hidden in a named subquery
WITH gone AS (DELETE FROM events RETURNING user_id) SELECT * FROM gone

-- two questions
SELECT 1; SELECT 2

-- a question before a setting
SELECT 1; SET hourglass.rollups = false

-- a plan before a question
EXPLAIN SELECT 1;
SELECT 2

-- a setting at fault before a question
SET datafusion.execution.batch_size = 0; SELECT 1

-- a question and what is not one
SELECT 1; DROP TABLE events

-- memory is not a session's to set
SET datafusion.runtime.memory_limit = '100G'

-- nor are temporary files
SET datafusion.runtime.temp_directory = '/etc'

-- nor the catalog
SET datafusion.catalog.location = '/etc'

-- nor the information schema
SET datafusion.catalog.information_schema = false

-- nor the formats
SET datafusion.format.null = 'nothing'

-- no rows at a time
SET datafusion.execution.batch_size = 0

-- too many rows at a time
SET datafusion.execution.batch_size = 65537

-- too many partitions
SET datafusion.execution.target_partitions = 65

-- fewer partitions than none
SET datafusion.execution.target_partitions = -1

-- a word for a number of partitions
SET datafusion.execution.target_partitions = 'many'

-- too deep
SET datafusion.sql_parser.recursion_limit = 51

-- an option that there is not
SET datafusion.execution.speed = 'high'

-- an option of ours that there is not
SET hourglass.rollup = false

-- an option of nobody
SET search_path = 'system'

-- neither on nor off
SET hourglass.rollups = perhaps

-- two values
SET datafusion.execution.batch_size = 1, 2

-- no value
SET hourglass.rollups

-- a computed value
SET datafusion.execution.batch_size = 2 * 4

-- a time zone that is none, set
SET datafusion.execution.time_zone = 'Nowhere';
SELECT '2024-02-29'::timestamptz

-- a setting for one transaction
SET LOCAL hourglass.rollups = false

-- a variable
SET @x = 1

-- to reset what there is not
RESET hourglass.rollup

-- to reset what may not be set
RESET datafusion.runtime.memory_limit

-- to reset everything
RESET ALL

-- to show what there is not
SHOW hourglass.rollup

-- to show columns of no table
SHOW COLUMNS FROM nowhere

-- to show tables by a pattern
SHOW TABLES LIKE 'e%'

-- to describe no table
DESCRIBE nowhere

-- to show how a table was made
SHOW CREATE TABLE events

-- sixty brackets
SELECT ((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((1))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))

-- sixty brackets in a condition
SELECT 1 FROM events WHERE ((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((hour = 1))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))

-- sixty subqueries
SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM events))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))

-- sixty negations
SELECT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT true

-- deeper than the session's own limit
SET datafusion.sql_parser.recursion_limit = 5;
SELECT ((((((((1))))))))

-- LATERAL with a comparison that is no equality
SELECT e.user_id, l.n FROM events e, LATERAL (SELECT count(*) AS n FROM events s WHERE s.user_id = e.user_id AND s.timestamp > e.timestamp) l
