#!/usr/bin/env python3
"""The original's design on PostgreSQL, with TimescaleDB where that is installed, on the rows of one hour.

Starts a cluster of its own in a temporary folder, as the user postgres, and needs pgbench beside the server."""

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

import pyarrow.csv

from common import HOUR, MIXED, Results, check, events_argument

rows = events_argument()
binaries = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
if not binaries:
    sys.exit("PostgreSQL is not installed: tests/peers/README.md says how")
binaries = binaries[-1]
folder = tempfile.mkdtemp(prefix="peer-postgres-")
shutil.chown(folder, "postgres")
os.chmod(folder, 0o755)
data = os.path.join(folder, "data")


def as_postgres(program, *arguments, text=None):
    command = ["runuser", "-u", "postgres", "--", os.path.join(binaries, program), *arguments]
    done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=folder)
    if done.returncode != 0:
        sys.exit(f"{program} failed: {done.stderr}")
    return done.stdout


def sql(text, *options):
    return as_postgres("psql", "-h", folder, "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-qAt", *options, text=text)


def pgbench(script, clients, seconds):
    path = os.path.join(folder, "script.sql")
    with open(path, "w") as file:
        file.write(script)
    os.chmod(path, 0o644)
    options = ["-h", folder, "-n", "-M", "prepared", "-c", str(clients), "-j", "2", "-T", str(seconds), "-f", path]
    said = as_postgres("pgbench", *options, "postgres")
    return float(re.search(r"tps = ([0-9.]+)", said).group(1))


as_postgres("initdb", "-D", data, "-A", "trust")
settings = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c shared_buffers=1GB -c max_connections=300"
settings += " -c max_wal_size=8GB -c max_locks_per_transaction=4096"
timescale = bool(glob.glob("/usr/share/postgresql/*/extension/timescaledb.control"))
if timescale:
    settings += " -c shared_preload_libraries=timescaledb"
as_postgres("pg_ctl", "-D", data, "-o", settings, "-l", os.path.join(folder, "log"), "-w", "start")
try:
    version = sql("SHOW server_version").split()[0]
    results = Results(f"PostgreSQL {version}" + (" with TimescaleDB" if timescale else ", no TimescaleDB"))
    sql("CREATE TABLE events (timestamp timestamptz NOT NULL, user_id text NOT NULL, event text NOT NULL)")
    if timescale:
        sql("CREATE EXTENSION timescaledb; SELECT create_hypertable('events', 'timestamp', chunk_time_interval => INTERVAL '1 hour')")
    else:
        sql("CREATE INDEX ON events (timestamp)")
    csv = os.path.join(folder, "events.csv")
    pyarrow.csv.write_csv(rows.table, csv)
    os.chmod(csv, 0o644)
    began = time.perf_counter()
    sql(f"COPY events FROM '{csv}' WITH (FORMAT csv, HEADER true)")
    results.add("defaults", f"load of {rows.name()}", rows.count / (time.perf_counter() - began), "events/s")
    size = int(sql("SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relname LIKE '%events%' AND relkind = 'r'"))
    results.add("defaults", "stored size", size / rows.count, "bytes an event")
    sql("VACUUM ANALYZE events")
    for name, question, expected in [("the hour's numbers", HOUR, rows.hour), ("mixed DISTINCT and FILTER", MIXED, rows.mixed)]:
        check(name, (int(word) for word in sql(question).strip().split("|")), expected)
        timed = sql(f"\\timing on\n{question};\n{question};\n{question};\n")
        times = sorted(float(ms) for ms in re.findall(r"Time: ([0-9.]+) ms", timed))
        results.add("defaults", f"{name}, {rows.name()}", times[1], "ms")
    insert = "\\set u random(0, 999999)\nINSERT INTO events VALUES (now(), 'user' || :u, 'click');\n"
    for said, mode in [("each commit synced (its default)", "on"), ("synchronous_commit off", "off")]:
        sql(f"ALTER SYSTEM SET synchronous_commit = {mode}; SELECT pg_reload_conf()")
        results.add(f"{said}, 64 clients", "single events stored", pgbench(insert, 64, 5), "events/s")
    results.print()
finally:
    as_postgres("pg_ctl", "-D", data, "-m", "immediate", "stop")
    shutil.rmtree(folder)
