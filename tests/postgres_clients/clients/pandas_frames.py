"""pandas: read_sql and to_sql, by SQLAlchemy and by ADBC."""

import adbc_driver_postgresql.dbapi
import pandas
import sqlalchemy

import check
from check import COLUMNS, Checks, equal, events, holds, select

checks = Checks()
NAMES = COLUMNS.split(", ")


def engine():
    return sqlalchemy.create_engine(check.URL.replace("postgresql:", "postgresql+psycopg:"))


def frame(rows):
    return pandas.DataFrame([tuple(row) for row in rows], columns=NAMES)


def rows_of(found):
    values = found.astype(object).where(found.notna(), None).itertuples(index=False, name=None)
    return [(row[0].to_pydatetime().astimezone(check.UTC), *row[1:]) for row in values]


@checks
def to_sql_and_read_sql(hour):
    rows = events(hour, 200)
    equal(frame(rows[:100]).to_sql("events", engine(), if_exists="append", index=False) in (100, None, -1), True)
    frame(rows[100:]).to_sql("events", engine(), if_exists="append", index=False, method="multi", chunksize=30)
    holds(hour, rows)
    equal(rows_of(pandas.read_sql(select(hour), engine())), [tuple(row) for row in rows])
    parts = pandas.read_sql(select(hour), engine().connect().execution_options(stream_results=True), chunksize=64)
    equal(rows_of(pandas.concat(parts)), [tuple(row) for row in rows])


@checks
def types_of_columns(hour):
    frame(events(hour)).to_sql("events", engine(), if_exists="append", index=False)
    sql = f"SELECT timestamp, date, hour, count(*) AS count FROM events WHERE {check.span(hour)} GROUP BY 1, 2, 3"
    found = pandas.read_sql(sql, engine(), parse_dates=["date"])
    kinds = {name: str(kind).replace("ns", "us") for name, kind in found.dtypes.items()}
    equal({name: kinds[name] for name in ("timestamp", "hour", "count")}, {"timestamp": "datetime64[us, UTC]", "hour": "int64", "count": "int64"})


@checks
def read_sql_table(hour):
    frame(events(hour)).to_sql("events", engine(), if_exists="append", index=False)
    found = pandas.read_sql_table("events", engine(), columns=["timestamp", "user_id", "event"])
    found = found[(found.timestamp >= hour) & (found.timestamp < hour + pandas.Timedelta(hours=1))]
    equal(sorted(found.user_id), sorted(row.user_id for row in events(hour)))


@checks
def parameters(hour):
    frame(events(hour)).to_sql("events", engine(), if_exists="append", index=False)
    sql = sqlalchemy.text("SELECT user_id FROM events WHERE timestamp >= :low AND timestamp < :high AND event = :kind ORDER BY timestamp LIMIT :most")
    found = pandas.read_sql(sql, engine(), params={"low": hour, "high": hour + pandas.Timedelta(hours=1), "kind": "click", "most": 2})
    equal(list(found.user_id), [row.user_id for row in events(hour) if row.event == "click"][:2])


@checks
def by_adbc(hour):
    rows = events(hour, 50)
    with adbc_driver_postgresql.dbapi.connect(check.URL) as connection:
        frame(rows).to_sql("events", connection, if_exists="append", index=False)
        connection.commit()
        equal(rows_of(pandas.read_sql(select(hour), connection)), [tuple(row) for row in rows])
    holds(hour, rows)


if __name__ == "__main__":
    checks.run(pandas.__version__)
