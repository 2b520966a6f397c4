"""The lake engines: each reads the table in a directory and answers with counts by hour.

`connect` returns those that are installed. An engine is a class with a `name`, a `version`, and
`read(table, span)`: counts of every hour, of the rows whose timestamps are in `span`, two instants, if it is given. A span makes the
engine select files and row groups by their statistics.
"""

import importlib.metadata
import json

import hours
from hours import statement


class Unable(Exception):
    """Why an engine cannot read a table that is right."""


class DeltaRs:
    """delta-rs with its own DataFusion; also the witness of the table's version and files."""

    name, package = "deltalake", "deltalake"

    def __init__(self):
        import deltalake
        import pyarrow

        self.deltalake, self.pyarrow = deltalake, pyarrow
        self.version = importlib.metadata.version("deltalake")

    def table_version(self, table):
        return self.deltalake.DeltaTable(table).version()

    def files(self, table):
        return self.deltalake.DeltaTable(table).file_uris()

    def has_deletion_vectors(self, table):
        opened = self.deltalake.DeltaTable(table)
        features = opened.protocol().reader_features or []
        return "deletionVectors" in features and self.pyarrow.table(opened.deletion_vectors()).num_rows > 0

    def read(self, table, span=None, version=None):
        opened = self.deltalake.DeltaTable(table, version=version)
        builder = self.deltalake.QueryBuilder().register("events", opened)
        instant = "arrow_cast('{}', 'Timestamp(Microsecond, Some(\"UTC\"))')"
        rows = self.pyarrow.table(builder.execute(statement("events", span, instant)).read_all())
        return hours.of_partitions(row.values() for row in rows.to_pylist())


class DuckDB:
    """DuckDB with its extension `delta`, or, where that cannot be installed, over the files that deltalake lists."""

    name, package = "duckdb", "duckdb"

    def __init__(self):
        import duckdb

        self.connection = duckdb.connect()
        self.connection.execute("SET TimeZone = 'UTC'; SET threads = 1")
        self.version = importlib.metadata.version("duckdb")
        try:
            self.connection.execute("INSTALL delta; LOAD delta")
            self.witness = None
        except duckdb.Error:
            self.witness = DeltaRs()
        self.version += " delta_scan" if self.witness is None else " files"

    def read(self, table, span=None):
        if self.witness is None:
            return self.ask(statement("delta_scan(?)", span), str(table))
        if self.witness.has_deletion_vectors(table):
            raise Unable("files are read here, and some of their rows are deleted by deletion vectors")
        files = self.witness.files(table)
        read = "read_parquet(?, union_by_name = true, hive_types = {'date': DATE, 'hour': INTEGER})"
        return self.ask(statement(read, span), files) if files else {}

    def ask(self, sql, parameter):
        return hours.of_partitions(self.connection.cursor().execute(sql, [parameter]).fetchall())


class Polars:
    name, package = "polars", "polars"

    def __init__(self):
        import deltalake  # noqa: F401  `scan_delta` needs it.
        import polars

        self.polars = polars
        self.version = importlib.metadata.version("polars")

    def read(self, table, span=None):
        column, rows = self.polars.col, self.polars.scan_delta(str(table))
        if span:
            rows = rows.filter((column("timestamp") >= span[0]) & (column("timestamp") < span[1]))
        counted = rows.group_by("date", "hour").agg(
            self.polars.len(),
            (column("event") == "click").sum().alias("clicks"),
            (column("event") == "impression").sum().alias("impressions"),
            column("user_id").drop_nulls().n_unique().alias("users"),
        )
        return hours.of_partitions(counted.collect().rows())


class ClickHouse:
    """ClickHouse in this process, by `deltaLakeLocal`, which reads only below the working directory."""

    name, package = "clickhouse", "chdb"

    def __init__(self):
        import chdb

        self.chdb = chdb
        self.version = str(chdb.query("SELECT version()")).strip().strip('"')

    def read(self, table, span=None):
        sql = statement(f"deltaLakeLocal('{table}')", span, "toDateTime64('{}', 6, 'UTC')")
        found = str(self.chdb.query(sql, "JSONCompact"))
        return hours.of_partitions(json.loads(found)["data"])


class Sail:
    """Sail, a Spark without a JVM: a Spark Connect server in this process."""

    name, package = "sail", "pysail"

    def __init__(self):
        from pysail.spark import SparkConnectServer
        from pyspark.sql import SparkSession

        self.server = SparkConnectServer("127.0.0.1", 0)
        self.server.start(background=True)
        _, port = self.server.listening_address
        self.spark = SparkSession.builder.remote(f"sc://127.0.0.1:{port}").getOrCreate()
        self.spark.conf.set("spark.sql.session.timeZone", "UTC")
        self.version = importlib.metadata.version("pysail")

    def read(self, table, span=None):
        sql = statement(f"delta.`{table}`", span, "TIMESTAMP '{}Z'")
        return hours.of_partitions(self.spark.sql(sql).collect())


ENGINES = [DeltaRs, DuckDB, Polars, ClickHouse, Sail]


def connect(names):
    """Those of the named engines that can be used here, and a line for each that cannot."""
    found, missing = [], []
    for engine in ENGINES:
        if engine.name not in names:
            continue
        try:
            found.append(engine())
        except Exception as error:
            missing.append(f"{engine.name} was skipped: {error!r}; pip install -r tests/lake_engines/requirements.txt")
    return found, missing
