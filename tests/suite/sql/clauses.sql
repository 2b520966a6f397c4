-- PREWHERE counted every row: it is WHERE
SELECT count(*) FROM events PREWHERE user_id = 'ana' WHERE event = 'click'

-- WITH ROLLUP was dropped
SELECT event, hour, count(*) FROM events WHERE hour < 2 GROUP BY event, hour WITH ROLLUP ORDER BY 1, 2

-- WITH CUBE was dropped
SELECT event, hour, count(*) FROM events WHERE hour < 1 GROUP BY event, hour WITH CUBE ORDER BY ALL

-- numbers of columns within ROLLUP were constants
SELECT event, count(*) FROM events GROUP BY ROLLUP (1) ORDER BY 1

-- WITH TOTALS was dropped
SELECT event, count(*) FROM events GROUP BY event WITH TOTALS

-- EXCEPT ALL took away every row that the right side has once
VALUES (1), (1), (2), (NULL), (NULL) EXCEPT ALL VALUES (1), (NULL) ORDER BY 1

-- INTERSECT ALL kept as many as the left side has
VALUES (1), (1), (2), (NULL), (NULL) INTERSECT ALL VALUES (1), (NULL), (NULL), (NULL) ORDER BY 1

-- EXCEPT ALL over several columns of different types
SELECT 1 AS a, 'x' AS b UNION ALL SELECT 1, 'x' EXCEPT ALL SELECT 1.0, 'x'

-- ORDER BY ALL over a union was dropped
SELECT 3 AS b UNION ALL SELECT 2 ORDER BY ALL

-- the LIMIT of a CTE in WITH RECURSIVE was dropped
WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT 2 ORDER BY n DESC LIMIT 1) SELECT * FROM t

-- and that of one that is recursive would have had no end
WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t LIMIT 5) SELECT * FROM t

-- OVER a named window in ORDER BY was dropped
SELECT a FROM (VALUES (1, 2), (2, 3), (3, 1)) t(a, b) WINDOW w AS (ORDER BY b DESC) ORDER BY row_number() OVER w

-- and what a window takes from another
SELECT a, sum(b) OVER (w ORDER BY b) AS s FROM (VALUES (1, 2), (1, 3), (2, 1)) t(a, b) WINDOW w AS (PARTITION BY a) ORDER BY a, s

-- a window that there is not
SELECT sum(hour) OVER w FROM events

-- a FILTER of what is no aggregate was dropped
SELECT upper(event) FILTER (WHERE event = 'click') FROM events

-- so were OVER, DISTINCT and ORDER BY
SELECT upper(event) OVER (ORDER BY timestamp) FROM events

-- and FILTER of a window function
SELECT row_number() FILTER (WHERE event = 'click') OVER (ORDER BY timestamp) FROM events

-- count(DISTINCT *) was 1
SELECT count(DISTINCT *) FROM events

-- TABLESAMPLE was dropped
SELECT count(*) FROM events TABLESAMPLE BERNOULLI (10)

-- SAMPLE too
SELECT count(*) FROM events SAMPLE 0.1

-- FINAL was the name of the table
SELECT count(*) FROM events FINAL

-- FORMAT was dropped
SELECT count(*) FROM events FORMAT JSONEachRow

-- SETTINGS were dropped
SELECT count(*) FROM events SETTINGS max_threads = 1

-- FOR UPDATE was dropped
SELECT count(*) FROM events FOR UPDATE

-- INTO
SELECT count(*) INTO counts FROM events

-- LATERAL VIEW
SELECT 1 FROM events LATERAL VIEW explode(x) t AS y

-- CONNECT BY
SELECT 1 FROM events CONNECT BY PRIOR hour = hour

-- CLUSTER BY
SELECT 1 FROM events CLUSTER BY hour

-- ASOF JOIN
SELECT 1 FROM events a ASOF JOIN events b MATCH_CONDITION (a.timestamp >= b.timestamp) ON a.user_id = b.user_id

-- GLOBAL JOIN
SELECT 1 FROM events a GLOBAL JOIN events b ON a.user_id = b.user_id

-- parameters of an aggregate were dropped
SELECT quantile(0.9)(hour) FROM events

-- a set of characters of TRIM was dropped
SELECT trim('xxaxx', 'x', 'a')

-- TOP
SELECT TOP 2 hour FROM hours ORDER BY hour

-- FETCH FIRST
SELECT hour FROM hours ORDER BY hour OFFSET 1 ROW FETCH FIRST 2 ROWS ONLY

-- WITH TIES
SELECT hour FROM hours ORDER BY clicks FETCH FIRST 2 ROWS WITH TIES

-- PERCENT
SELECT hour FROM hours FETCH FIRST 2 PERCENT ROWS ONLY

-- LIMIT BY
SELECT user_id, timestamp FROM events ORDER BY user_id, timestamp LIMIT 1 BY user_id

-- LIMIT with a comma
SELECT hour FROM hours ORDER BY hour LIMIT 1, 2

-- pivots
SELECT * FROM events PIVOT (count(*) FOR event IN ('click'))

-- read by the parser as IS DISTINCT FROM (hour AND …)
SELECT count(*) FROM events WHERE hour IS DISTINCT FROM 3 AND event = 'click'

-- as it is meant
SELECT count(*) FROM events WHERE (hour IS DISTINCT FROM 3) AND event = 'click'
