-- a set is bytes
SELECT rb_build(ARRAY[1, 2, 3]) AS set, rb_build(ARRAY[3, 1, 2, 1]) = rb_build(ARRAY[1, 2, 3]) AS same, rb_build([]) AS none, arrow_typeof(rb_build(ARRAY[1])) AS type

-- and an array again
SELECT rb_to_array(rb_build(ARRAY[3, 1, 2, 1])) AS a, rb_to_array(rb_build([])) AS none, rb_to_array(rb_build(ARRAY[-1, 5, 9223372036854775807])) AS signed, unnest(rb_to_array(rb_build(range(1, 4)))) AS n

-- two sets become one
SELECT rb_to_array(rb_and(a, b)) AS both, rb_to_array(rb_or(a, b)) AS either, rb_to_array(rb_andnot(a, b)) AS first, rb_to_array(rb_xor(a, b)) AS one, rb_or(a, b) AS bytes FROM (SELECT rb_build(ARRAY[1, 2, 3]) AS a, rb_build(ARRAY[3, 4]) AS b)

-- counted without the set
SELECT rb_cardinality(a) AS a, rb_and_cardinality(a, b) AS both, rb_or_cardinality(a, b) AS either, rb_andnot_cardinality(a, b) AS first, rb_xor_cardinality(a, b) AS one FROM (SELECT rb_build(ARRAY[1, 2, 3]) AS a, rb_build(ARRAY[3, 4]) AS b)

-- compared
SELECT rb_is_empty(a) AS empty, rb_is_empty(rb_build([])) AS is, rb_intersect(a, b) AS meet, rb_contains(a, b) AS all, rb_contains(a, rb_build(ARRAY[3])) AS part, rb_contains(a, 3) AS three, rb_contains(a, 4) AS four, rb_equals(a, b) AS equal, rb_min(a) AS min, rb_max(b) AS max FROM (SELECT rb_build(ARRAY[1, 2, 3]) AS a, rb_build(ARRAY[3, 4]) AS b)

-- NULL makes NULL; the least element of none is NULL
SELECT rb_or(NULL, rb_build(ARRAY[1])) AS a, rb_and_cardinality(rb_build(ARRAY[1]), NULL) AS b, rb_cardinality(NULL) AS c, rb_contains(rb_build(ARRAY[1]), NULL) AS d, rb_build(NULL) AS e, rb_to_array(NULL) AS f, rb_min(rb_build([])) AS g, rb_max(rb_build([])) IS NULL AS h

-- in any case
SELECT RB_Cardinality(RB_BUILD(ARRAY[1, 2])) AS n, RB_OR_CARDINALITY_AGG(rb_build(ARRAY[1])) AS m

-- aggregates skip NULL
SELECT rb_to_array(rb_or_agg(s)) AS any, rb_to_array(rb_and_agg(s)) AS all, rb_to_array(rb_xor_agg(s)) AS odd, rb_or_cardinality_agg(s) AS n_any, rb_and_cardinality_agg(s) AS n_all, rb_xor_cardinality_agg(s) AS n_odd FROM (VALUES (rb_build(ARRAY[1, 2, 3])), (rb_build(ARRAY[2, 3, 4])), (NULL), (rb_build(ARRAY[3, 5]))) t(s)

-- without a set they are NULL
SELECT rb_or_agg(s) AS any, rb_and_cardinality_agg(s) AS n_all, rb_or_cardinality_agg(s) FILTER (WHERE s IS NOT NULL) AS n_any, rb_build_agg(CAST(NULL AS BIGINT)) AS built FROM (SELECT CAST(NULL AS BYTEA) AS s)

-- sets of users made of events
SELECT event, rb_to_array(rb_build_agg(ascii(user_id))) AS users, rb_cardinality(rb_build_agg(ascii(user_id))) AS n, count(DISTINCT user_id) AS exact FROM events GROUP BY event ORDER BY event

-- sets of hours, combined with FILTER
WITH sets AS (SELECT date_trunc('hour', timestamp) AS hour, event, rb_build_agg(ascii(user_id)) AS users FROM events GROUP BY 1, 2) SELECT rb_or_cardinality_agg(users) AS users, rb_or_cardinality_agg(users) FILTER (WHERE event = 'click') AS clicked, rb_and_cardinality_agg(users) FILTER (WHERE event = 'click') AS always FROM sets

-- users so far, of three hours, and new ones
WITH sets AS (SELECT date_trunc('hour', timestamp) AS hour, rb_build_agg(ascii(user_id)) AS users FROM events GROUP BY 1) SELECT hour, rb_cardinality(users) AS n, rb_or_cardinality_agg(users) OVER (ORDER BY hour) AS so_far, rb_or_cardinality_agg(users) OVER (ORDER BY hour ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS three, rb_to_array(rb_and_agg(users) OVER (ORDER BY hour ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)) AS both, rb_andnot_cardinality(users, coalesce(rb_or_agg(users) OVER (ORDER BY hour ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), rb_build([]))) AS new FROM sets ORDER BY hour

-- the same as by joins
WITH hours AS (SELECT DISTINCT date_trunc('hour', timestamp) AS hour, user_id FROM events) SELECT a.hour, count(DISTINCT b.user_id) AS three FROM hours a JOIN hours b ON b.hour <= a.hour AND b.hour >= a.hour - INTERVAL '2 hours' GROUP BY a.hour ORDER BY a.hour

-- frames of every kind, and the same by a join
WITH sets AS (SELECT g, rb_build(ARRAY[g, g * g % 7, g % 3]) AS s FROM generate_series(1, 8) t(g)), joined AS (SELECT a.g, rb_or_agg(b.s) FILTER (WHERE b.g > a.g - 3) AS three, rb_or_agg(b.s) AS so_far FROM sets a JOIN sets b ON b.g <= a.g GROUP BY a.g), windows AS (SELECT g, s, rb_or_agg(s) OVER (ORDER BY g ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS three, rb_or_agg(s) OVER (ORDER BY g) AS so_far, rb_and_agg(s) OVER (ORDER BY g RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS around, rb_xor_agg(s) FILTER (WHERE g % 2 = 0) OVER (ORDER BY g ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING) AS odd, rb_or_cardinality_agg(s) OVER (ORDER BY g ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS left FROM sets) SELECT w.g, rb_to_array(s) AS s, rb_to_array(w.three) AS three, rb_equals(w.three, j.three) AND rb_equals(w.so_far, j.so_far) AS same, rb_to_array(around) AS around, rb_to_array(odd) AS odd, left FROM windows w JOIN joined j ON w.g = j.g ORDER BY w.g

-- a set of integers that slides
SELECT n, rb_to_array(rb_build_agg(n / 2) OVER (ORDER BY n ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)) AS sliding, rb_to_array(rb_build_agg(n / 2) OVER (ORDER BY n DESC)) AS from_here FROM generate_series(1, 6) t(n) ORDER BY n

-- a matrix of returning users
WITH sets AS (SELECT date_trunc('hour', timestamp) AS hour, rb_build_agg(ascii(user_id)) AS users FROM events WHERE timestamp < '2024-02-28 23:00' GROUP BY 1) SELECT a.hour, b.hour AS later, rb_and_cardinality(a.users, b.users) AS returned FROM sets a JOIN sets b ON a.hour <= b.hour ORDER BY 1, 2

-- a text is no set
SELECT rb_cardinality('{1,2}')

-- a column of texts neither
SELECT rb_or_agg(user_id) FROM events

-- DISTINCT changes unions and sets of integers in nothing
SELECT rb_or_cardinality_agg(DISTINCT s) AS n, rb_cardinality(rb_build_agg(DISTINCT x)) AS m, count(*) AS rows FROM (VALUES (rb_build(ARRAY[1, 2]), 1), (rb_build(ARRAY[1, 2]), 1), (rb_build(ARRAY[3]), 2)) t(s, x)

-- it would change what is in an odd number of sets
SELECT rb_to_array(rb_xor_agg(DISTINCT s)) AS odd, count(*) AS rows FROM (VALUES (rb_build(ARRAY[1, 2])), (rb_build(ARRAY[1, 2])), (rb_build(ARRAY[2, 3]))) t(s)

-- one set where two are needed
SELECT rb_or(rb_build(ARRAY[1]))

-- numbers that are no integers
SELECT rb_build(ARRAY[1.5])

-- an element that is NULL
SELECT rb_build(ARRAY[1, NULL])

-- bytes that are no set
SELECT rb_cardinality('\x0102'::bytea)

-- a count that lies
SELECT rb_cardinality('\xffffffffffffffff000000003a300000ffffffff'::bytea)

-- bytes of another library
SELECT rb_to_array('\x0200000000000000000000003a300000020000000000000008000000180000001a0000000200237affffffff3a30000001000000ffff010010000000fcffffff'::bytea) AS elements

-- listed, as every function is
SHOW FUNCTIONS LIKE 'rb\_%agg'

-- also those that decide for themselves what they take
SELECT routine_name, syntax_example FROM information_schema.routines WHERE routine_name LIKE 'rb\_%' AND function_type = 'SCALAR' ORDER BY 1

-- too many elements for an array
SELECT rb_to_array(rb_or(rb_build(range(0, 600000)), rb_build(range(600000, 1100000))))

-- users of two ranges beside each other
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(DISTINCT user_id) FILTER (WHERE timestamp >= '2024-02-28T00:00:00Z' AND timestamp < '2024-02-29T00:00:00Z') AS day, count(DISTINCT user_id) FILTER (WHERE event = 'click' OR timestamp >= '2024-02-29T00:00:00Z') AS rest, count(*) FILTER (WHERE timestamp < '2024-02-29T00:00:00Z') AS events FROM events
