"""What the checks of every client share: an hour of their own, what is stored in it, and a line of output for each.

A client is a program. The environment tells it where the server is: libpq's variables (PGHOST and so on), and

    CHECK_SERVER   hourglass, or postgresql, which shows that the checks themselves are right
    CHECK_HTTP     address of the HTTP door, such as http://127.0.0.1:8080; none for postgresql
    CHECK_START    the first of the hours in which this client may store events
    CHECK_LOGIN    open (anyone may ask), token (the password is a token, by SCRAM) or tls (a token, and TLS)

It prints `version V`, then `ok NAME`, `not ok NAME: why` or `skip NAME: why`, a line for each check.
"""

import datetime
import functools
import inspect
import json
import os
import signal
import ssl
import subprocess
import traceback
import urllib.request
from typing import NamedTuple

UTC = datetime.timezone.utc
CHECK_SECONDS = 120
COLUMNS = "timestamp, user_id, event, page, referrer"

LOGIN = os.environ.get("CHECK_LOGIN", "open")
IS_POSTGRESQL = os.environ.get("CHECK_SERVER") == "postgresql"
HOST, PORT = os.environ.get("PGHOST", "127.0.0.1"), int(os.environ.get("PGPORT", "5432"))
USER, DATABASE = os.environ.get("PGUSER", "hourglass"), os.environ.get("PGDATABASE", "hourglass")
PASSWORD = os.environ.get("PGPASSWORD")
URL = f"postgresql://{USER}{f':{PASSWORD}' if PASSWORD else ''}@{HOST}:{PORT}/{DATABASE}"


class Event(NamedTuple):
    timestamp: datetime.datetime
    user_id: str
    event: str
    page: str | None = None
    referrer: str | None = None


class Skip(Exception):
    """Why a check cannot be made here."""


class Checks:
    """Functions that check something, each with the start of an hour that is its own."""

    def __init__(self):
        self.functions = []
        self.start = datetime.datetime.fromisoformat(os.environ.get("CHECK_START", "2026-01-01T00:00:00+00:00"))

    def __call__(self, function):
        self.functions.append(function)
        return function

    def run(self, version, *arguments):
        """Runs every check with `arguments` and its hour; a coroutine is run by the first argument that can."""
        print(f"version {version}", flush=True)
        signal.signal(signal.SIGALRM, overdue)
        for number, function in enumerate(self.functions):
            hour = self.start + datetime.timedelta(hours=number)
            name = function.__name__.replace("_", " ")
            signal.alarm(CHECK_SECONDS)
            try:
                function(*arguments, hour)
                say("ok", name)
            except Skip as skip:
                say("skip", name, skip)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                say("not ok", name, error_line(error))
            finally:
                signal.alarm(0)


def overdue(*_):
    raise TimeoutError(f"not done within {CHECK_SECONDS} s")


def say(verdict, name, why=None):
    line = f"{verdict} {name}" + (f": {why}" if why is not None else "")
    print(" ".join(line.split()), flush=True)


def error_line(error):
    """The error, and the line of the check that it comes from."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "postgres_clients" in frame.filename]
    own = [frame for frame in frames if not frame.filename.endswith("check.py")]
    place = f" (line {own[-1].lineno}: {own[-1].line})" if own else ""
    text = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
    return text[:1500] + place


def coroutine(function):
    """Makes a check of an async function."""
    import asyncio

    @functools.wraps(function)
    def run(*arguments):
        return asyncio.run(function(*arguments))

    return run


def equal(found, expected, what="found"):
    if found != expected:
        raise AssertionError(f"{what}: {found!r}, expected {expected!r}")


def contains(text, *parts):
    for part in parts:
        if part not in text:
            raise AssertionError(f"{part!r} is not in {text!r}")


def raises(kinds, call, *arguments, **options):
    """The error of a call that must have one; a check of another error fails by it."""
    try:
        found = call(*arguments, **options)
    except kinds as error:
        return error
    raise AssertionError(f"no error, but {found!r}, of {inspect.getsource(call).strip() if inspect.isfunction(call) else call}")


def refused(*arguments, sqlstate, call, kinds=Exception):
    """Asserts that a call fails with an SQLSTATE; returns the error."""
    error = raises(kinds, call, *arguments)
    equal(sqlstate_of(error), sqlstate, f"SQLSTATE of {error}")
    return error


def sqlstate_of(error):
    """As psycopg (sqlstate, diag), psycopg2 (pgcode) and asyncpg (sqlstate) tell it."""
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)


# Texts that escaping, quoting and encodings get wrong.
ODD_TEXTS = ["/a b", "quote ' and \" double", "back\\slash \\N", "tab\tand\nnew line", "comma, {brace} (1)", "žluťoučký 🐎", "100 % $1 ?", "NULL"]


def events(hour, count=8):
    """Events of an hour in the order of their timestamps: microseconds, odd texts and NULLs among them."""
    return [
        Event(
            hour + datetime.timedelta(microseconds=(i * 3_599_999_999) // max(count, 1)),
            f"user {i % 5}",
            ["click", "impression", "signup"][i % 3],
            ODD_TEXTS[i % len(ODD_TEXTS)],
            None if i % 4 == 1 else f"https://example.com/?q={i}",
        )
        for i in range(count)
    ]


def span(hour):
    """A condition for the rows of an hour."""
    low, high = hour, hour + datetime.timedelta(hours=1)
    return f"timestamp >= '{low:%Y-%m-%d %H:%M:%S}+00' AND timestamp < '{high:%Y-%m-%d %H:%M:%S}+00'"


def select(hour, columns=COLUMNS, order="timestamp, user_id, page"):
    return f"SELECT {columns} FROM events WHERE {span(hour)} ORDER BY {order}"


def stored(hour):
    """The events of an hour as another door than the client's sees them, in the order of `select`."""
    rows = ask(select(hour))
    return [Event(datetime.datetime.fromisoformat(row["timestamp"]).astimezone(UTC), *list(row.values())[1:]) for row in rows]


def counts(hour):
    """Users, clicks, impressions and signups of an hour, as GET /analytics answers."""
    if IS_POSTGRESQL:
        kinds = [f"count(*) FILTER (WHERE event = '{kind}') AS {kind}" for kind in ("click", "impression", "signup")]
        [row] = ask(f"SELECT count(DISTINCT user_id) AS users, {', '.join(kinds)} FROM events WHERE {span(hour)}")
        return tuple(row.values())
    found = json.loads(request(f"/analytics?timestamp={int(hour.timestamp() * 1000)}"))
    return found["unique_users"], found["clicks"], found["impressions"], found["signup"]


def counts_of(rows):
    """What `counts` should say where these events are all."""
    kinds = [row[2] for row in rows]
    return len({row[1] for row in rows}), kinds.count("click"), kinds.count("impression"), kinds.count("signup")


def holds(hour, rows):
    """Asserts that an hour has these events and no others."""
    rows = sorted((Event(*row) for row in rows), key=lambda row: (row.timestamp, row.user_id, row.page or ""))
    equal(stored(hour), rows, "stored")
    equal(counts(hour), counts_of(rows), "counts by GET /analytics")


def ask(sql):
    """Rows of a statement as objects, without the client."""
    if not IS_POSTGRESQL:
        kinds = {"content-type": "application/json", "accept": "application/json"}
        return json.loads(request("/sql", json.dumps({"query": sql}).encode(), kinds))
    text = f"SELECT coalesce(json_agg(row_to_json(t)), '[]') FROM ({sql}) t"
    return json.loads(subprocess.run(["psql", "-XAtqc", text], check=True, capture_output=True, text=True).stdout)


def request(path, body=None, headers=()):
    headers = dict(headers) | ({"authorization": f"Bearer {PASSWORD}"} if PASSWORD else {}) | ({} if body else {"accept": "application/json"})
    context = ssl.create_default_context(cafile=os.environ["PGSSLROOTCERT"]) if LOGIN == "tls" else None
    sent = urllib.request.Request(os.environ["CHECK_HTTP"] + path, body, headers)
    with urllib.request.urlopen(sent, timeout=60, context=context) as response:
        return response.read().decode()
