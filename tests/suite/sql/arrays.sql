-- arrays are written out
SELECT [1, 2, 3] AS a, ARRAY['x', NULL] AS b, make_array(1.5) AS c, [] AS d

-- what array_agg collects is taken on
SELECT array_length(array_agg(user_id)) AS n, array_to_string(array_agg(DISTINCT event ORDER BY event), ',') AS kinds FROM events

-- an element and a part of an array, counted from 1
SELECT (array_agg(event ORDER BY timestamp, user_id, event))[1] AS first, (array_agg(event ORDER BY timestamp, user_id, event))[1:2] AS two FROM events

-- paths of users
SELECT user_id, array_to_string(array_agg(event ORDER BY timestamp, event), ' > ') AS path FROM events GROUP BY user_id ORDER BY user_id LIMIT 3

-- searched
SELECT array_has([1, 2], 2) AS has, array_position(['a', 'b'], 'b') AS at, list_contains([1], 3) AS none, count(*) AS n FROM events WHERE array_has(['click'], event)

-- made longer and shorter
SELECT [1] || [2, 3] AS joined, array_append([1], 2) AS appended, array_distinct([1, 1, 2]) AS once, array_sort([3, 1, 2]) AS sorted, flatten([[1], [2, 3]]) AS flat, array_repeat('x', 2) AS repeated, array_resize([1], 3, 0) AS resized

-- unnested in FROM and among the columns
SELECT * FROM unnest(ARRAY['a', 'b']) AS t(x)

-- unnested among the columns
SELECT unnest(range(1, 4)) AS n

-- numbers and dates in a row
SELECT range(0, 5, 2) AS numbers, range(3) AS three, range(DATE '2024-02-22', DATE '2024-03-04', INTERVAL '7 days') AS weeks

-- times in a row are in microseconds, up to the year 9999
SELECT range(TIMESTAMP '9999-12-31 21:00', TIMESTAMP '9999-12-31 23:00', INTERVAL '1 hour') AS times, range(TIMESTAMP '2024-01-31', TIMESTAMP '2024-04-30', INTERVAL '1 month') AS months

-- a step that goes nowhere
SELECT range(TIMESTAMP '2024-01-01', TIMESTAMP '2024-01-02', INTERVAL '0 hours')

-- structs and maps
SELECT {'a': 1, 'b': 'x'} AS s, named_struct('a', 1)['a'] AS part, MAP {'a': 1} AS m, map_keys(MAP {'a': 1}) AS keys

-- digests
SELECT md5('a') AS md5, encode(sha256('a'), 'hex') AS sha256, sha224('a') AS sha224

-- users by the first digit of their digest
SELECT left(md5(user_id), 1) AS digit, count(DISTINCT user_id) AS users FROM events GROUP BY 1 ORDER BY 1

-- an array of two billion
SELECT array_repeat(1, 2000000000)

-- a row of two billion
SELECT array_length(range(1, 2000000000))

-- an array made two billion long
SELECT array_resize([1], 2000000000, 2)

-- a row of a trillion microseconds
SELECT range(TIMESTAMP '2020-01-01', TIMESTAMP '2060-01-01', INTERVAL '1 microsecond')

-- PostgreSQL makes rows of it, DuckDB an array: neither is guessed
SELECT generate_series(1, 3)
