-- Hours that got events after they were first written to a file, and how many.
-- $limit integer = 100: how many hours, the latest first
SELECT
    p.hour                                            AS hour,
    p.rows - f.rows                                   AS late_events,
    p.rows                                            AS events,
    p.files                                           AS files,
    p.state                                           AS state
FROM system.partitions p
JOIN (
    SELECT hour, rows, row_number() OVER (PARTITION BY hour ORDER BY path) AS nth
    FROM system.files
) f ON f.hour = p.hour AND f.nth = 1
WHERE p.rows > f.rows
ORDER BY p.hour DESC
LIMIT $limit
