-- every partition
SELECT hour, state, files, rows, min_timestamp, max_timestamp, unique_users, clicks, impressions FROM system.partitions ORDER BY hour

-- partitions by where they are
SELECT state, count(*) AS partitions, sum(files) AS files, sum(rows) AS rows FROM system.partitions GROUP BY state ORDER BY state

-- what is in memory alone has no files and no bytes
SELECT hour, files, bytes FROM system.partitions WHERE state = 'memory' ORDER BY hour

-- partitions in files have bytes
SELECT hour, bytes > 0 AS has_bytes FROM system.partitions WHERE files > 0 ORDER BY hour

-- the partition in two files
SELECT hour, rows, unique_users FROM system.partitions WHERE files > 1

-- the largest partitions
SELECT hour, rows FROM system.partitions ORDER BY rows DESC, hour LIMIT 2

-- rows are clicks and impressions
SELECT count(*) AS partitions FROM system.partitions WHERE rows <> clicks + impressions

-- partitions and events agree
SELECT p.hour, p.rows AS told, count(e.timestamp) AS counted FROM system.partitions p JOIN events e ON date_trunc('hour', e.timestamp) = p.hour GROUP BY p.hour, p.rows HAVING p.rows <> count(e.timestamp)

-- partitions and the view agree
SELECT p.hour, p.unique_users - h.unique_users AS users, p.clicks - h.clicks AS clicks, p.impressions - h.impressions AS impressions FROM system.partitions p JOIN hours h ON h.hour = p.hour ORDER BY p.hour LIMIT 3

-- the figures of all partitions
SELECT sum(rows) AS rows, sum(clicks) AS clicks, sum(impressions) AS impressions, min(min_timestamp) AS first, max(max_timestamp) AS last FROM system.partitions

-- partitions beside their place
SELECT hour, row_number() OVER (ORDER BY hour) AS nth FROM system.partitions WHERE state LIKE '%memory%' ORDER BY hour

-- partition sizes, as queries/partition_sizes.sql asks, without bytes
SELECT hour, state, rows, files, bytes / nullif(rows, 0) > 0 AS costs FROM system.partitions ORDER BY rows DESC, hour LIMIT 4

-- partitions of no hour
SELECT hour, state FROM system.partitions WHERE hour = '2024-02-29T12:00:00Z'

-- every file
SELECT hour, rows, min_timestamp, max_timestamp, unique_users, clicks, impressions FROM system.files ORDER BY hour, min_timestamp

-- files by hour
SELECT hour, count(*) AS files, sum(rows) AS rows FROM system.files GROUP BY hour HAVING count(*) > 1 ORDER BY hour

-- files are named after their partition
SELECT count(*) AS files, count(*) FILTER (WHERE path LIKE 'events/date=2024-02-2_/hour=__/part-%.parquet') AS named FROM system.files

-- late events, as queries/late_events.sql asks
SELECT p.hour, p.rows - f.rows AS late_events, p.rows AS events, p.files, p.state FROM system.partitions p JOIN (SELECT hour, rows, row_number() OVER (PARTITION BY hour ORDER BY path) AS nth FROM system.files) f ON f.hour = p.hour AND f.nth = 1 WHERE p.rows > f.rows ORDER BY p.hour DESC LIMIT 100

-- partitions without a file
SELECT hour FROM system.partitions p WHERE NOT EXISTS (SELECT 1 FROM system.files f WHERE f.hour = p.hour) ORDER BY hour

-- the store of the tests has no settings
SELECT * FROM system.settings ORDER BY name

-- settings by their source
SELECT source, count(*) AS n FROM system.settings GROUP BY source

-- there is a log
SELECT count(*) > 0 AS has_log FROM system.wal WHERE state = 'log'

-- segments are of two kinds
SELECT count(*) AS others FROM system.wal WHERE state NOT IN ('log', 'spare')

-- a spare segment has no first event
SELECT count(*) AS odd FROM system.wal WHERE (state = 'spare') <> (first_lsn IS NULL)

-- commits, each by what it changed
SELECT version, operation, files_added, rows_added, files_removed, rows_removed, bytes_removed FROM system.commits ORDER BY version

-- the store as it was after the first flush
SET hourglass.as_of = 1;
SELECT hour, state, files, rows FROM system.partitions ORDER BY hour

-- users and events as they were
SET hourglass.as_of = 1;
SELECT count(*) AS n, count(DISTINCT user_id) AS users FROM events WHERE timestamp < '2024-02-29'

-- before the first flush there was nothing
SET hourglass.as_of = 0;
SELECT count(*) AS n FROM events

-- and back
SET hourglass.as_of = 1;
RESET hourglass.as_of;
SELECT count(*) AS n FROM events

-- neither a version nor a time
SET hourglass.as_of = 'the day before yesterday'

-- queries are remembered
SELECT count(*) > 0 AS any FROM system.queries

-- a query reads the figures of no other query
SELECT count(*) AS odd FROM system.queries WHERE partitions_read > partitions

-- chunks
SELECT show_chunks FROM show_chunks('events') ORDER BY show_chunks

-- chunks counted
SELECT count(*) AS n, min(show_chunks) AS first, max(show_chunks) AS last FROM show_chunks('events')

-- some chunks
SELECT c.show_chunks AS chunk FROM show_chunks('events') AS c WHERE c.show_chunks LIKE '%date=2024-02-28%' ORDER BY chunk

-- the view of hours
SELECT hour, unique_users, clicks, impressions FROM hours WHERE clicks < 6 ORDER BY hour

-- the view by its full name
SELECT count(*) AS hours FROM hourglass.public.hours

-- the view, by scan
SET hourglass.rollups = false;
SELECT hour, unique_users, clicks, impressions FROM hours ORDER BY hour DESC LIMIT 3

-- the hours with the most users
SELECT hour, unique_users FROM hours ORDER BY unique_users DESC, hour LIMIT 3

-- plan of a table of the system
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT hour, rows FROM system.partitions WHERE rows > 10 ORDER BY hour

-- plan of the chunks
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT * FROM show_chunks('events')

-- tables
SELECT table_schema, table_name, table_type FROM information_schema.tables WHERE table_schema <> 'information_schema' ORDER BY table_schema, table_name

-- what the information schema itself has
SELECT table_catalog, table_name FROM information_schema.tables WHERE table_schema = 'information_schema' ORDER BY table_name

-- schemas
SELECT catalog_name, schema_name FROM information_schema.schemata ORDER BY schema_name

-- columns of the table
SELECT column_name, ordinal_position, data_type, is_nullable FROM information_schema.columns WHERE table_schema = 'public' AND table_name = 'events' ORDER BY ordinal_position

-- columns of the schema system
SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns WHERE table_schema = 'system' AND table_name <> 'commits' ORDER BY table_name, ordinal_position

-- columns of the table of commits
SELECT column_name, data_type, is_nullable FROM information_schema.columns WHERE table_schema = 'system' AND table_name = 'commits' ORDER BY ordinal_position

-- views and their text
SELECT table_schema, table_name, definition FROM information_schema.views WHERE table_schema = 'public' ORDER BY table_name

-- settings of the session
SELECT name, value FROM information_schema.df_settings WHERE name LIKE 'hourglass.%' OR name IN ('datafusion.catalog.default_catalog', 'datafusion.catalog.default_schema', 'datafusion.execution.time_zone', 'datafusion.execution.parquet.pushdown_filters') ORDER BY name

-- settings of the session, changed
SET datafusion.execution.batch_size = 100;
SELECT name, value FROM information_schema.df_settings WHERE name = 'datafusion.execution.batch_size'

-- functions
SELECT routine_name, data_type, function_type FROM information_schema.routines WHERE routine_name IN ('upper', 'date_bin', 'row_number', 'show_chunks') GROUP BY 1, 2, 3 ORDER BY 1, 2, 3

-- the plan of SHOW TABLES, whose rows come in any order
SET datafusion.execution.target_partitions = 1;
EXPLAIN SHOW TABLES

SHOW COLUMNS FROM events

SHOW COLUMNS FROM system.wal

SHOW FULL COLUMNS FROM hours

DESCRIBE events

DESCRIBE hours

DESC system.queries

DESCRIBE system.settings

-- columns of a question
DESCRIBE SELECT date, count(*) AS n, min(timestamp) AS first FROM events GROUP BY date

SHOW hourglass.rollups

SHOW datafusion.execution.batch_size

SHOW datafusion.execution.time_zone VERBOSE

SHOW TIME ZONE

SHOW datafusion.sql_parser.recursion_limit

-- an option of what a statement may not set can be seen
SHOW datafusion.catalog.information_schema

-- set and shown
SET hourglass.rollups = false;
SHOW hourglass.rollups

-- set as text, in capitals
SET HOURGLASS.ROLLUPS = 'false';
SHOW hourglass.rollups

-- set by TO
SET datafusion.optimizer.prefer_hash_join TO false;
SHOW datafusion.optimizer.prefer_hash_join

-- set and set back
SET datafusion.execution.batch_size = 77;
RESET datafusion.execution.batch_size;
SHOW datafusion.execution.batch_size

-- set off and reset: a rollup answers again
SET hourglass.rollups = false;
RESET hourglass.rollups;
SELECT count(*) AS n FROM events

-- set twice: the last holds
SET datafusion.execution.batch_size = 10;
SET datafusion.execution.batch_size = 20;
SHOW datafusion.execution.batch_size

-- the greatest that may be set
SET datafusion.execution.batch_size = 65536;
SET datafusion.execution.target_partitions = 64;
SET datafusion.sql_parser.recursion_limit = 50;
SELECT count(*) AS n FROM events WHERE user_id = 'ana'

-- set alone answers nothing
SET hourglass.rollups = true

-- reset alone answers nothing
RESET datafusion.explain.format

-- what another case set is not set here
SHOW datafusion.optimizer.prefer_hash_join

-- the time zone by its short name
SET TIMEZONE = 'Europe/Berlin';
SHOW TIMEZONE

-- empty statements between
;;
SET hourglass.rollups = false;
;
SHOW hourglass.rollups;
;

-- names are taken as they are written
SET datafusion.sql_parser.enable_ident_normalization = false;
SELECT count(USER_ID) AS n FROM events

-- fractions are decimals
SET datafusion.sql_parser.parse_float_as_decimal = true;
SELECT 0.1 + 0.2 AS sum, arrow_typeof(1.5) AS type

-- only the physical plan
SET datafusion.explain.physical_plan_only = true;
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT count(*) AS n FROM events WHERE date = '2024-02-29'

-- a plan with the schemas
SET datafusion.explain.show_schema = true;
SET datafusion.execution.target_partitions = 1;
EXPLAIN SELECT date, count(*) AS n FROM events GROUP BY date

-- every file, by its end
SELECT right(path, 8) AS ending, count(*) AS files FROM system.files GROUP BY 1

-- chunks as TimescaleDB's users ask for them
SELECT show_chunks('events') ORDER BY 1 LIMIT 2

-- chunks counted as they do
SELECT count(*) AS chunks FROM (SELECT show_chunks('events')) AS c

-- functions of one type, of several, and of those that they decide about
SHOW FUNCTIONS LIKE 'sha256'

-- both are listed
SHOW FUNCTIONS LIKE 'time\_bucket%'
