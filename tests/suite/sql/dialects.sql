-- FROM without SELECT
FROM hours ORDER BY hour LIMIT 2

-- FROM before SELECT
FROM events SELECT event, count(*) GROUP BY event ORDER BY event

-- TABLE
TABLE hours ORDER BY hour LIMIT 2

-- names are as they are written
SELECT COUNT(*), count(*), count(*) FILTER (WHERE event = 'click'), user_id = 'ana', user_id, user_id FROM events WHERE user_id = 'ana' GROUP BY user_id

-- a column beside all of them
SELECT *, hour FROM events ORDER BY timestamp LIMIT 1

-- a name that is given twice
SELECT 1 AS a, 2 AS a

-- in a subquery it would be a riddle
SELECT a FROM (SELECT 1 AS a, 2 AS a)

-- names of a subquery can be read outside
SELECT "count(*)" + 1 AS n FROM (SELECT count(*) FROM events)

-- DISTINCT sorted by an expression
SELECT DISTINCT upper(event) FROM events ORDER BY upper(event) DESC

-- grouped and sorted by an expression
SELECT upper(event), count(*) FROM events GROUP BY upper(event) ORDER BY count(*), upper(event)

-- ANY of a subquery counted every row
SELECT a FROM (VALUES (1), (2), (NULL)) t(a) WHERE a = ANY (SELECT a FROM (VALUES (2), (3)) t(a))

-- ALL of a subquery too
SELECT a FROM (VALUES (1), (2), (3), (NULL)) t(a) WHERE a >= ALL (SELECT a FROM (VALUES (1), (2)) t(a)) ORDER BY a

-- all ways of comparing, with and without nulls and rows
SELECT a, a > ANY (SELECT b FROM (VALUES (1), (NULL)) t(b)) AS any_null, a > ALL (SELECT b FROM (VALUES (1), (NULL)) t(b)) AS all_null, a <> ANY (SELECT b FROM (VALUES (1), (1)) t(b)) AS other, a = ALL (SELECT b FROM (VALUES (1), (1)) t(b)) AS only, a < ALL (SELECT b FROM (VALUES (1)) t(b) WHERE b > 1) AS of_none FROM (VALUES (0), (1), (2), (NULL)) s(a) ORDER BY a

-- ANY of values
SELECT a FROM (VALUES (1), (2), (3)) t(a) WHERE a = ANY (ARRAY[1, 2]) AND a > ALL (ARRAY[0, 1]) AND a <> ALL (ARRAY[3])

-- NOT IN with a null in a subquery tied to the row around it
SELECT a, g FROM (VALUES (0, 1), (1, 1), (2, 2), (3, 3), (NULL, 1), (NULL, 3)) s(a, g) WHERE a NOT IN (SELECT b FROM (VALUES (1, 1), (NULL, 2)) t(b, h) WHERE h = g) ORDER BY a, g

-- the same with NOT before it
SELECT a, g FROM (VALUES (0, 1), (1, 1), (2, 2), (3, 3), (NULL, 1), (NULL, 3)) s(a, g) WHERE NOT a IN (SELECT b FROM (VALUES (1, 1), (NULL, 2)) t(b, h) WHERE h = g) ORDER BY a, g

-- the column of a FULL JOIN with USING was that of the left side
SELECT k, x, y FROM (VALUES (1, 'p'), (2, 'q')) a(k, x) FULL JOIN (VALUES (2, 's'), (3, 't')) b(k, y) USING (k) WHERE k > 0 ORDER BY k

-- in * too
SELECT * FROM (VALUES (1, 'p'), (2, 'q')) a(k, x) RIGHT JOIN (VALUES (2, 's'), (3, 't')) b(k, y) USING (k) ORDER BY k

-- of three tables it is refused
SELECT k FROM (VALUES (1)) a(k) FULL JOIN (VALUES (2)) b(k) USING (k) FULL JOIN (VALUES (3)) c(k) USING (k)

-- SIMILAR TO covers the whole text, and has wildcards of its own
SELECT t, t SIMILAR TO 'a%' AS a, t SIMILAR TO 'a' AS b, t SIMILAR TO '(a|b)_+' AS c, t NOT SIMILAR TO '[a-b]+' AS d FROM (VALUES ('a'), ('ab'), ('a.b'), ('xa')) s(t)

-- SIMILAR TO with a pattern that does not end
SELECT 'a' SIMILAR TO '[a'

-- LIKE with another character of ESCAPE
SELECT 'a%b' LIKE 'a!%b' ESCAPE '!' AS yes, 'axb' LIKE 'a!%b' ESCAPE '!' AS no

-- EXISTS as a column
SELECT user_id, EXISTS (SELECT 1 FROM events f WHERE f.user_id = e.user_id AND f.hour = 1) AS at_one, CASE WHEN user_id IN ('ana') THEN 'a' END AS a FROM (SELECT DISTINCT user_id FROM events) e ORDER BY user_id

-- IN with a subquery as a column, with nulls
SELECT a, a IN (SELECT b FROM (VALUES (1), (NULL)) t(b)) AS with_null, a NOT IN (SELECT b FROM (VALUES (1)) t(b)) AS without FROM (VALUES (1), (2), (NULL)) s(a) ORDER BY a

-- IN with a subquery in FILTER
SELECT count(*) FILTER (WHERE a IN (SELECT b FROM (VALUES (1), (2)) t(b))) AS n, count(*) AS total FROM (VALUES (1), (2), (3)) s(a)

-- a subquery that is tied by more than an equality
SELECT d, (SELECT count(DISTINCT user_id) FROM events e WHERE e.date > d.d - 7 AND e.date <= d.d) FROM (SELECT DISTINCT date AS d FROM events) d

-- VALUES with a subquery
VALUES ((SELECT 42), 2), (1, (SELECT max(a) FROM (VALUES (5), (6)) t(a)))

-- SEMI and ANTI JOIN
SELECT a FROM (VALUES (1), (2)) t(a) SEMI JOIN (VALUES (2)) u(b) ON a = b UNION ALL SELECT a FROM (VALUES (1), (2)) t(a) ANTI JOIN (VALUES (2)) u(b) ON a = b ORDER BY 1

-- RLIKE and REGEXP
SELECT 'abc' RLIKE 'b', 'abc' REGEXP '^b'

-- functions of other engines
SELECT toStartOfHour(timestamp) FROM events

-- a function that is near another
SELECT lenght(user_id) FROM events

-- and one that is near none
SELECT frobnicate(user_id) FROM events

-- arguments that do not fit
SELECT sum(user_id) FROM events

-- a table that there is not
SELECT * FROM visits

-- a table function that there is not
SELECT * FROM numbers(3)

-- writing
INSERT INTO events VALUES (1)

-- writing that would not be parsed
update events please

-- operators of other dialects
SELECT 2 ^ 3

-- JSON
SELECT user_id ->> 'a' FROM events

-- one table twice
SELECT count(*) FROM events, events

-- types that there are not
SELECT CAST(1 AS UUID)

-- EXISTS of an aggregate is true whatever it counts
SELECT a FROM (VALUES (1), (2)) s(a) WHERE EXISTS (SELECT count(*) FROM (VALUES (1)) t(b) WHERE b = a) ORDER BY a

-- and IN compares with what it counts
SELECT a FROM (VALUES (1), (2)) s(a) WHERE 0 IN (SELECT count(*) FROM (VALUES (1)) t(b) WHERE b = a)

-- IN with nulls below another condition
SELECT a FROM (VALUES (1), (2), (NULL)) s(a) WHERE (a IN (SELECT b FROM (VALUES (1), (NULL)) t(b))) IS NULL ORDER BY a

-- NOT IN with nulls in an OR
SELECT a FROM (VALUES (1), (2), (NULL)) s(a) WHERE a NOT IN (SELECT b FROM (VALUES (1), (NULL)) t(b)) OR a = 1

-- subqueries without a name
SELECT count(*) FROM (SELECT 1 AS a) JOIN (SELECT 1 AS a) USING (a) CROSS JOIN (SELECT user_id FROM events LIMIT 2)

-- another zone for all of a session
SET TIME ZONE 'Europe/Berlin'

-- the key of USING in WHERE
SELECT count(*) FROM events a JOIN events b USING (user_id) WHERE user_id = 'ana'

-- templates of PostgreSQL
SELECT to_char(timestamp, 'YYYY-MM-DD HH24:MI') AS t, to_char(timestamp, 'DD Mon YY') AS d FROM events ORDER BY timestamp, user_id LIMIT 1

-- letters that stand for nothing
SELECT to_char(timestamp, 'hello') FROM events

-- parts of a difference
SELECT extract(day FROM d) AS d, extract(hour FROM d) AS h, extract(minute FROM d) AS m FROM (SELECT TIMESTAMP '2020-01-04 15:20' - TIMESTAMP '2020-01-01 03:00' AS d)

-- times without seconds in a table function
SELECT count(*) FROM generate_series(TIMESTAMP '2020-01-01', '2020-01-01 03:00'::timestamp, INTERVAL '1 hour')

-- intervals times a number
SELECT 3 * INTERVAL '1 hour' AS a, INTERVAL '1 day' / 2 AS b, hour * INTERVAL '1 minute' AS c FROM events ORDER BY c LIMIT 1

-- digits apart by underscores
SELECT 1_000

-- an integer beyond 64 bits
SELECT 99999999999999999999999999 AS n

-- bytes in hexadecimal digits
SELECT 0x1F

-- texts in columns are read as constants are
SELECT CAST(x AS TIMESTAMP) AS t, try_cast(y AS DATE) AS d FROM (VALUES ('2020-01-03 03:00', '2020-1-6'), ('2020-01-03', 'never')) v(x, y)

-- an option of ours back to its default
RESET hourglass.rollups
