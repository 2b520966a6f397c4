"""Polars: read_database_uri by connectorx and by ADBC, read_database, write_database."""

import polars
import sqlalchemy

import check
from check import COLUMNS, Checks, Event, equal, events, holds, select

checks = Checks()


def store(hour, count=50):
    with sqlalchemy.create_engine(check.URL.replace("postgresql:", "postgresql+psycopg:")).begin() as connection:
        values = sqlalchemy.text(f"INSERT INTO events ({COLUMNS}) VALUES (:timestamp, :user_id, :event, :page, :referrer)")
        connection.execute(values, [row._asdict() for row in events(hour, count)])
    return events(hour, count)


def rows_of(frame):
    return [Event(row[0].astimezone(check.UTC) if row[0].tzinfo else row[0].replace(tzinfo=check.UTC), *row[1:]) for row in frame.rows()]


@checks
def by_connectorx(hour):
    rows = store(hour)
    equal(rows_of(polars.read_database_uri(select(hour), check.URL, engine="connectorx")), rows)
    holds(hour, rows)


@checks
def by_adbc(hour):
    rows = store(hour)
    found = polars.read_database_uri(select(hour), check.URL, engine="adbc")
    equal(found.schema["timestamp"], polars.Datetime("us", "UTC"))
    equal(rows_of(found), rows)


@checks
def by_sqlalchemy(hour):
    rows = store(hour)
    found = polars.read_database(select(hour), sqlalchemy.create_engine(check.URL.replace("postgresql:", "postgresql+psycopg:")))
    equal(rows_of(found), rows)


@checks
def write_database(hour):
    rows = events(hour, 60)
    frame = polars.DataFrame([tuple(row) for row in rows], schema=COLUMNS.split(", "), orient="row")
    url = check.URL.replace("postgresql:", "postgresql+psycopg:")
    frame[:30].write_database("events", url, if_table_exists="append", engine="sqlalchemy")
    frame[30:].write_database("events", check.URL, if_table_exists="append", engine="adbc")
    holds(hour, rows)


@checks
def aggregates(hour):
    store(hour)
    sql = f"SELECT event, count(*) AS count, count(DISTINCT user_id) AS users FROM events WHERE {check.span(hour)} GROUP BY event ORDER BY event"
    for engine in ("connectorx", "adbc"):
        found = polars.read_database_uri(sql, check.URL, engine=engine)
        equal(found.rows(), [("click", 17, 5), ("impression", 17, 5), ("signup", 16, 5)], engine)


if __name__ == "__main__":
    checks.run(polars.__version__)
