-- What each partition costs: rows, files and bytes, the largest first.
-- $limit integer = 100: how many partitions
SELECT
    hour,
    state,
    rows,
    files,
    bytes,
    round(bytes::double / nullif(rows, 0), 2)         AS bytes_per_event
FROM system.partitions
ORDER BY bytes DESC, rows DESC, hour
LIMIT $limit
