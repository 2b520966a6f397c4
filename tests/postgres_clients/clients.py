"""The clients: how each is started, what it needs, and what it exercises."""

import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
from typing import NamedTuple

HERE = pathlib.Path(__file__).resolve().parent
INSTALL = "pip install -r tests/postgres_clients/requirements.txt"
EVERY_LOGIN = ("open", "token", "tls")


class Client(NamedTuple):
    """`command` makes the command line, in a folder where it may write; it raises `Missing` if something is not installed."""

    name: str
    what: str
    command: object
    logins: tuple = ("open", "token")


class Missing(Exception):
    """What a client lacks, and how to install it."""


def python(program, *packages, programs=()):
    """A program of `clients/` that needs packages of Python, and other programs."""

    def command(_folder):
        for package in packages:
            if importlib.util.find_spec(package) is None:
                raise Missing(f"{package} is not installed for Python: {INSTALL}")
        for needed in programs:
            which(needed)
        return [sys.executable, HERE / "clients" / program]

    return command


def which(program, install=None):
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin")
    if not found:
        raise Missing(f"{program} is missing: {install or f'apt-get install {program}'}")
    return found


def node(folder):
    """The packages come from npm, once, into a folder that outlives this run."""
    which("node", "apt-get install nodejs npm")
    modules = pathlib.Path(os.environ.get("HOURGLASS_NODE", pathlib.Path.home() / ".cache/hourglass-pg-node"))
    modules.mkdir(parents=True, exist_ok=True)
    listed, wanted = modules / "package.json", (HERE / "node/package.json").read_text()
    if not (modules / "node_modules/pg-query-stream").exists() or not listed.exists() or listed.read_text() != wanted:
        listed.write_text(wanted)
        npm = [which("npm"), "install", "--silent", "--no-audit", "--no-fund"]
        done = subprocess.run(npm, cwd=modules, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            raise Missing(f"npm cannot install pg: {done.stderr.strip()[:200]}")
    program = modules / "main.js"
    shutil.copy(HERE / "node/main.js", program)
    return ["node", program]


def jdbc(_folder):
    jar = next(pathlib.Path("/usr/share/java").glob("postgresql.jar"), None)
    if jar is None:
        raise Missing("pgjdbc is missing: apt-get install libpostgresql-jdbc-java")
    java = which("java", "apt-get install openjdk-17-jdk-headless")
    return [java, "-Xmx256m", "-cp", jar, HERE / "jdbc/Main.java"]


def go(folder):
    """In GOPATH mode, with lib/pq as Debian has it."""
    source = pathlib.Path("/usr/share/gocode/src/github.com/lib/pq")
    if not source.exists():
        raise Missing("lib/pq is missing: apt-get install golang-go golang-github-lib-pq-dev")
    cache = os.environ.get("GOCACHE", pathlib.Path.home() / ".cache/go-build")
    program = folder / "go-client"
    variables = os.environ | {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": str(cache), "GOFLAGS": ""}
    build = [which("go", "apt-get install golang-go"), "build", "-o", program, HERE / "go/main.go"]
    done = subprocess.run(build, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise Missing(f"the program in Go was not built: {done.stderr.strip()[:500]}")
    return [program]


CLIENTS = [
    Client("psql", "meta-commands, scripts, \\copy, cancel", python("psql.py", programs=["psql"]), EVERY_LOGIN),
    Client("psycopg", "3: transactions, cursors, COPY, pipeline, pool, async", python("psycopg_3.py", "psycopg", "psycopg_pool"), EVERY_LOGIN),
    Client("psycopg2", "execute_values, copy_expert, named cursors", python("psycopg_2.py", "psycopg2")),
    Client("asyncpg", "pool, types, cursors, COPY binary, executemany", python("asyncpg_pool.py", "asyncpg"), EVERY_LOGIN),
    Client("pg8000", "parameters, transactions, COPY", python("pg8000_dbapi.py", "pg8000")),
    Client("sqlalchemy", "reflection, Core, savepoints", python("sqlalchemy_core.py", "sqlalchemy", "psycopg", "asyncpg", "pg8000")),
    Client("pandas", "read_sql, to_sql", python("pandas_frames.py", "pandas", "sqlalchemy", "psycopg")),
    Client("polars", "read_database_uri by connectorx and by ADBC", python("polars_frames.py", "polars", "connectorx", "adbc_driver_postgresql")),
    Client("connectorx", "Arrow by binary, cursor and text, partitions", python("connectorx_arrow.py", "connectorx", "pyarrow")),
    Client("adbc", "fetch, objects, ingest", python("adbc_arrow.py", "adbc_driver_postgresql", "pyarrow")),
    Client("duckdb", "postgres scanner: ATTACH, pushdown, INSERT", python("duckdb_scanner.py", "duckdb")),
    Client("node-pg", "parameters, pg-cursor, pg-query-stream, COPY", node, EVERY_LOGIN),
    Client("pgjdbc", "fetchSize, batches, DatabaseMetaData, CopyManager", jdbc),
    Client("lib/pq", "database/sql, CopyIn, contexts", go),
    Client("pgbouncer", "transaction and session pooling", python("pgbouncer.py", "psycopg", programs=["pgbouncer"])),
    Client("tools", "what BI tools send on connecting", python("tools.py", "psycopg")),
]
