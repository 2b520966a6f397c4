"""What other engines do to a table: each change is a function of a `Table`, registered with the engine that it needs.

Most are the daily work of a lake; the last of deltalake's are mistakes that the format allows.
"""

import datetime

import hours

CHANGES = []


def change(engine):
    """Registers a change, named after its function."""

    def register(function):
        CHANGES.append((engine, function.__name__.replace("_", " "), function))
        return function

    return register


class Table:
    """The table to change, and what to do it with: delta-rs, and the engine that the change needs."""

    def __init__(self, path, delta, engine):
        self.path, self.delta, self.engine = str(path), delta, engine

    def open(self, version=None):
        return self.delta.deltalake.DeltaTable(self.path, version=version)

    def sql(self, text):
        """Runs Spark SQL, in which `lake` is the table."""
        self.engine.spark.sql("DROP TABLE IF EXISTS lake").collect()
        self.engine.spark.sql(f"CREATE TABLE lake USING delta LOCATION '{self.path}'").collect()
        self.engine.spark.sql(text).collect()

    def rows(self, at, count=70, **columns):
        """Rows of an hour, counted from the first of the store, as an Arrow table.

        `columns` are functions from the number of a row to a value, instead of the usual ones."""
        pa = self.delta.pyarrow
        start = datetime.datetime(2024, 5, 1, tzinfo=hours.UTC) + datetime.timedelta(hours=at)
        usual = {
            "timestamp": lambda i: start + datetime.timedelta(seconds=i * 37),
            "user_id": lambda i: f"lake{i % 23}",
            "event": lambda i: "click" if i % 3 else "impression",
            "date": lambda i: start.date(),
            "hour": lambda i: start.hour,
        }
        types = {"timestamp": pa.timestamp("us", "UTC"), "date": pa.date32(), "hour": pa.int32()}
        made = {name: pa.array([value(i) for i in range(count)], types.get(name, pa.string())) for name, value in (usual | columns).items()}
        return pa.table(made)

    def append(self, rows, **options):
        options = {"mode": "append"} | options
        self.delta.deltalake.write_deltalake(self.path, rows, **options)


@change("deltalake")
def compact(table):
    table.open().optimize.compact()


@change("deltalake")
def compact_and_z_order(table):
    table.open().optimize.z_order(["event", "timestamp"])


@change("deltalake")
def delete_some_rows(table):
    table.open().delete("event = 'click' AND hour = 1 AND user_id < 'user2'")


@change("deltalake")
def delete_a_user(table):
    table.open().delete("user_id = 'user3'")


@change("deltalake")
def delete_an_hour(table):
    table.open().delete("date = '2024-05-01' AND hour = 2")


@change("deltalake")
def delete_everything(table):
    table.open().delete()


@change("deltalake")
def update_some_rows(table):
    table.open().update(updates={"event": "'click'"}, predicate="hour = 3 AND user_id < 'user2'")


@change("deltalake")
def merge_rows(table):
    source = table.rows(1, count=40)
    merged = table.open().merge(source, "t.user_id = s.user_id AND t.hour = s.hour AND t.date = s.date", "s", "t")
    merged.when_not_matched_insert_all().execute()


@change("deltalake")
def append_to_an_hour(table):
    table.append(table.rows(1))


@change("deltalake")
def append_microseconds(table):
    """The statistics of timestamps are in milliseconds, rounded down, as the format has them."""
    at = datetime.datetime(2024, 5, 1, 1, tzinfo=hours.UTC)
    table.append(table.rows(1, timestamp=lambda i: at + datetime.timedelta(microseconds=i * 37_000_777)))


@change("deltalake")
def append_a_new_hour(table):
    table.append(table.rows(30))


@change("deltalake")
def append_twice_and_compact(table):
    table.append(table.rows(1))
    table.append(table.rows(1))
    table.open().optimize.compact()


@change("deltalake")
def overwrite_an_hour(table):
    table.append(table.rows(2), mode="overwrite", predicate="date = '2024-05-01' AND hour = 2")


@change("deltalake")
def vacuum_as_a_dry_run(table):
    table.open().optimize.compact()
    table.open().vacuum(dry_run=True)


@change("deltalake")
def compact_and_vacuum_at_once(table):
    table.open().optimize.compact()
    table.open().vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)


@change("deltalake")
def full_vacuum(table):
    table.open().vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False, full=True)


@change("deltalake")
def checkpoint(table):
    table.open().create_checkpoint()


@change("deltalake")
def compact_checkpoint_and_clean_the_log(table):
    table.open().alter.set_table_properties({"delta.logRetentionDuration": "interval 0 seconds"})
    table.open().optimize.compact()
    table.open().create_checkpoint()
    table.open().cleanup_metadata()


@change("deltalake")
def compact_the_log(table):
    opened = table.open()
    opened.compact_logs(0, opened.version())


@change("deltalake")
def restore_an_older_version(table):
    opened = table.open()
    opened.restore(opened.version() - 1)


@change("deltalake")
def forbid_removals(table):
    table.open().alter.set_table_properties({"delta.appendOnly": "true"})


@change("deltalake")
def add_a_constraint(table):
    table.open().alter.add_constraint({"sent": "user_id <> 'nobody'"})


@change("deltalake")
def add_a_column(table):
    rows = table.rows(1, country=lambda i: f"c{i}")
    table.append(rows, schema_mode="merge")


@change("deltalake")
def rows_of_other_hours(table):
    """A partition holds rows that its values do not describe."""
    table.append(table.rows(1, hour=lambda i: 2))


@change("deltalake")
def rows_of_no_hour(table):
    table.append(table.rows(1, hour=lambda i: None))


@change("deltalake")
def rows_of_hour_24(table):
    table.append(table.rows(1, hour=lambda i: 24))


@change("deltalake")
def rows_of_an_unknown_kind(table):
    table.append(table.rows(1, event=lambda i: "purchase"))


@change("deltalake")
def rows_without_a_user(table):
    table.append(table.rows(1, user_id=lambda i: None if i % 5 == 0 else f"lake{i}"))


@change("deltalake")
def rows_without_a_kind(table):
    table.append(table.rows(1, event=lambda i: None if i % 5 == 0 else "click"))


@change("deltalake")
def rows_without_a_timestamp(table):
    table.append(table.rows(1, timestamp=lambda i: None))


@change("deltalake")
def rows_with_an_empty_user(table):
    table.append(table.rows(1, user_id=lambda i: "" if i % 5 == 0 else f"lake{i}"))


@change("deltalake")
def rows_with_a_long_user(table):
    table.append(table.rows(1, user_id=lambda i: f"{i}" * 3_000))


@change("deltalake")
def write_other_columns(table):
    rows = table.rows(1, price=lambda i: f"{i}.50").drop_columns(["timestamp"])
    table.append(rows, mode="overwrite", schema_mode="overwrite", partition_by=["date", "hour"])


@change("deltalake")
def allow_deletion_vectors(table):
    table.open().alter.add_feature([table.delta.deltalake.TableFeatures.DeletionVectors], allow_protocol_versions_increase=True)


@change("deltalake")
def turn_deletion_vectors_on(table):
    """The protocol then names each feature of the table, also those that it had by its version."""
    table.open().alter.set_table_properties({"delta.enableDeletionVectors": "true"})


@change("sail")
def sail_inserts(table):
    table.sql("INSERT INTO lake SELECT timestamp, concat(user_id, '-sail'), event, date, hour FROM lake WHERE hour = 1")


@change("sail")
def sail_deletes(table):
    table.sql("DELETE FROM lake WHERE hour = 1 AND user_id < 'user2'")


@change("sail")
def sail_deletes_an_hour(table):
    table.sql("DELETE FROM lake WHERE date = DATE '2024-05-01' AND hour = 2")


@change("sail")
def sail_updates(table):
    table.sql("UPDATE lake SET event = 'click' WHERE hour = 3 AND user_id < 'user2'")


@change("sail")
def sail_merges(table):
    table.sql(
        "MERGE INTO lake t USING (SELECT timestamp, concat(user_id, '-sail') AS user_id, event, date, hour FROM lake "
        "WHERE hour = 1) s ON t.user_id = s.user_id AND t.hour = s.hour WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
    )


@change("sail")
def sail_appends(table):
    rows = table.engine.spark.read.format("delta").load(table.path).where("hour = 2")
    rows.write.format("delta").mode("append").save(table.path)


@change("sail")
def sail_overwrites_an_hour(table):
    rows = table.engine.spark.read.format("delta").load(table.path).where("hour = 2 AND event = 'click'")
    options = {"replaceWhere": "date = DATE '2024-05-01' AND hour = 2"}
    rows.write.format("delta").mode("overwrite").options(**options).save(table.path)


@change("sail")
def sail_deletes_by_deletion_vectors(table):
    turn_deletion_vectors_on(table)
    table.sql("DELETE FROM lake WHERE user_id = 'user3'")
