-- a value without an aggregate: one row for each row around it
SELECT u, (SELECT e.event FROM events e WHERE e.user_id = u AND e.timestamp = '2024-02-28T20:00:00Z') AS first FROM (VALUES ('ana'), ('ben')) t(u) ORDER BY u

-- more than one row is an error
SELECT u, (SELECT e.event FROM events e WHERE e.user_id = u) AS event FROM (VALUES ('ana'), ('ben')) t(u)

-- several of them, and rows around them that are equal
SELECT u, (SELECT b FROM (VALUES (1, 'one'), (2, 'two')) w(a, b) WHERE a = u) AS word, (SELECT a FROM (VALUES (1), (2)) w(a) WHERE a < u) AS before FROM (VALUES (1), (2), (2), (3 - 3)) t(u) ORDER BY u

-- a correlation that is no equality
SELECT h, (SELECT count(*) FROM events e WHERE e.hour < h) AS before, (SELECT min(e.user_id) FROM events e WHERE e.hour > h) AS after FROM (VALUES (1), (3), (99)) t(h) ORDER BY h

-- in a condition
SELECT h FROM (VALUES (1), (3), (99)) t(h) WHERE (SELECT count(*) FROM events e WHERE e.hour < h) > 30 ORDER BY h

-- within an aggregate
SELECT sum((SELECT a FROM (VALUES (1), (2)) w(a) WHERE a = u)) AS total FROM (VALUES (1), (2), (3)) t(u)

-- the same table in the subquery and around it
SELECT a.hour, (SELECT b.hour FROM hours b WHERE b.hour = a.hour - INTERVAL '1 hour') AS before FROM hours a ORDER BY 1 LIMIT 3

-- an aggregate with a limit
SELECT u, (SELECT count(*) FROM events WHERE user_id = u LIMIT 1) AS n FROM (VALUES ('ana'), ('nobody')) t(u) ORDER BY u

-- an array of rows
SELECT u, ARRAY(SELECT DISTINCT event FROM events WHERE user_id = u ORDER BY 1) AS kinds FROM (VALUES ('ana'), ('nobody')) t(u) ORDER BY u

-- an array of the elements of another
SELECT ARRAY(SELECT x || '!' FROM unnest(['a', 'b']) x) AS cried

