"""SQLAlchemy: reflection, Core, its ORM, savepoints; by psycopg, psycopg2, asyncpg and pg8000."""

import asyncio
import datetime

import sqlalchemy
from sqlalchemy import MetaData, Table, func, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session, declarative_base

import check
from check import COLUMNS, Checks, Event, equal, events, holds

checks = Checks()
NAMES = COLUMNS.split(", ")
DRIVERS = ("psycopg", "psycopg2", "pg8000")


def engine(driver="psycopg", **options):
    return sqlalchemy.create_engine(check.URL.replace("postgresql:", f"postgresql+{driver}:"), **options)


def as_dict(row):
    return dict(zip(NAMES, row))


@checks
def connecting(hour):
    for driver in DRIVERS:
        with engine(driver).connect() as connection:
            equal(connection.execute(text("SELECT 1")).scalar(), 1, driver)
            equal(connection.dialect.server_version_info[0], 15, driver)
            equal(connection.dialect.default_schema_name, "public", driver)


@checks
def inspection(hour):
    seen = inspect(engine())
    equal("public" in seen.get_schema_names(), True, f"schemas {seen.get_schema_names()}")
    equal(seen.get_table_names(), ["events"])
    equal(sorted(seen.get_view_names()), ["hours", "visitors"])
    equal((seen.has_table("events"), seen.has_table("nothing")), (True, False))
    columns = {column["name"]: column for column in seen.get_columns("events")}
    kinds = {name: str(column["type"]) for name, column in columns.items()}
    expected = {"timestamp": "TIMESTAMP", "user_id": "TEXT", "event": "TEXT", "page": "TEXT", "referrer": "TEXT", "date": "DATE", "hour": "INTEGER"}
    equal(kinds, expected)
    equal(columns["timestamp"]["type"].timezone, True)
    equal([columns[name]["nullable"] for name in ("timestamp", "user_id", "event", "page")], [False, False, False, True])
    kinds = {column["name"]: str(column["type"]) for column in seen.get_columns("hours")}
    equal(kinds, {"hour": "TIMESTAMP", "unique_users": "BIGINT", "clicks": "BIGINT", "impressions": "BIGINT", "signup": "BIGINT"})


@checks
def inspection_of_what_is_not_there(hour):
    seen = inspect(engine())
    equal(seen.get_pk_constraint("events")["constrained_columns"], [])
    equal((seen.get_foreign_keys("events"), seen.get_indexes("events"), seen.get_unique_constraints("events")), ([], [], []))
    equal(seen.get_table_comment("events").keys(), {"text"})
    equal(seen.get_sequence_names(), [])
    equal(bool(seen.get_view_definition("hours")), True, "definition of the view")
    if not check.IS_POSTGRESQL:
        equal(seen.get_check_constraints("events"), [])
        equal("partitions" in seen.get_table_names("system") + seen.get_view_names("system"), True)


@checks
def a_select_of_a_reflected_table(hour):
    rows = events(hour)
    for driver in DRIVERS:
        table = Table("events", MetaData(), autoload_with=engine(driver))
        with engine(driver).begin() as connection:
            if driver == DRIVERS[0]:
                connection.execute(table.insert(), [as_dict(row) for row in rows])
        with engine(driver).connect() as connection:
            within = table.c.timestamp.between(hour, hour + datetime.timedelta(minutes=59, seconds=59, microseconds=999999))
            chosen = sqlalchemy.select(*(table.c[name] for name in NAMES)).where(within).order_by(table.c.timestamp)
            equal([Event(*row) for row in connection.execute(chosen)], rows, driver)
            counted = sqlalchemy.select(table.c.event, func.count().label("count")).where(within).group_by(table.c.event).order_by(table.c.event)
            equal([(row.event, row[1]) for row in connection.execute(counted)], [("click", 3), ("impression", 3), ("signup", 2)], driver)
            paged = chosen.where(table.c.event.in_(["click", "signup"])).limit(2).offset(1)
            equal([Event(*row) for row in connection.execute(paged)], [row for row in rows if row.event != "impression"][1:3], driver)
    holds(hour, rows)


@checks
def inserts_in_bulk(hour):
    rows = events(hour, 1500)
    table = Table("events", MetaData(), autoload_with=engine())
    with engine().begin() as connection:
        connection.execute(table.insert(), [as_dict(row) for row in rows])
    holds(hour, rows)


@checks
def savepoints(hour):
    rows = events(hour)
    table = Table("events", MetaData(), autoload_with=engine())
    with engine().begin() as connection:
        connection.execute(table.insert(), as_dict(rows[0]))
        nested = connection.begin_nested()
        connection.execute(table.insert(), as_dict(rows[1]))
        nested.rollback()
        with connection.begin_nested():
            connection.execute(table.insert(), as_dict(rows[2]))
    holds(hour, [rows[0], rows[2]])


@checks
def rows_by_parts(hour):
    with engine().connect() as connection:
        found = connection.execution_options(stream_results=True, max_row_buffer=50).execute(text("SELECT i FROM generate_series(1, 1000) t (i)"))
        equal([row.i for row in found], list(range(1, 1001)))


@checks
def isolation_levels(hour):
    for level in ("AUTOCOMMIT", "REPEATABLE READ", "READ COMMITTED", "SERIALIZABLE"):
        with engine(isolation_level=level).connect() as connection:
            equal(connection.execute(text("SELECT 1")).scalar(), 1, level)
            equal(connection.get_isolation_level().replace("AUTOCOMMIT", level) in (level, "READ COMMITTED", "REPEATABLE READ"), True, level)
    with engine().connect().execution_options(postgresql_readonly=True) as connection:
        equal(connection.execute(text("SHOW transaction_read_only")).scalar(), "on")


@checks
def its_orm(hour):
    rows = events(hour)
    base = declarative_base()

    class Stored(base):
        __table__ = Table("events", base.metadata, autoload_with=engine())
        __mapper_args__ = {"primary_key": [__table__.c.timestamp, __table__.c.user_id], "eager_defaults": False}

    with Session(engine()) as session:
        session.add_all([Stored(**as_dict(row)) for row in rows])
        session.commit()
    with Session(engine()) as session:
        chosen = session.query(Stored).filter(Stored.timestamp >= hour, Stored.timestamp < hour + datetime.timedelta(hours=1))
        equal(chosen.count(), 8)
        equal([one.user_id for one in chosen.order_by(Stored.timestamp).limit(3)], [row.user_id for row in rows[:3]])
    holds(hour, rows)


@checks
def by_asyncpg(hour):
    rows = events(hour)
    table = Table("events", MetaData(), autoload_with=engine())

    async def run():
        asynchronous = create_async_engine(check.URL.replace("postgresql:", "postgresql+asyncpg:"))
        async with asynchronous.begin() as connection:
            await connection.execute(table.insert(), [as_dict(row) for row in rows])
            equal(await connection.run_sync(lambda inner: inspect(inner).get_table_names()), ["events"])
        async with asynchronous.connect() as connection:
            found = await connection.execute(sqlalchemy.select(func.count()).select_from(table).where(table.c.date == hour.date(), table.c.hour == hour.hour))
            equal(found.scalar(), 8)
        await asynchronous.dispose()

    asyncio.run(run())
    holds(hour, rows)


if __name__ == "__main__":
    checks.run(sqlalchemy.__version__)
