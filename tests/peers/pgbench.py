#!/usr/bin/env python3
"""hourglass and PostgreSQL by the same pgbench, in turns: single prepared INSERTs, each synced, and the hour's SELECT.

    python3 tests/peers/pgbench.py target/release/hourglass

Needs PostgreSQL with pgbench, and root, to run it as the user postgres. Both are asked over TCP on loopback, and hold the same
events: 24 hours with 100,000 events and 10,000 users each. PostgreSQL has an index by time, 1 GB of shared buffers, and its
default of a sync for each commit.
"""

import glob
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROUNDS, SECONDS = 5, 6
HOURS, EVENTS, USERS = 24, 100_000, 10_000
# 2025-01-06T00:00:00Z
START = 1_736_121_600

INSERT = "\\set u random(0, 999999)\nINSERT INTO events (timestamp, user_id, event) VALUES (now(), :u, 'click');\n"
SELECT = (
    f"\\set s {START} + 3600 * random(0, {HOURS - 1})\n\\set e :s + 3600\n"
    "SELECT count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, "
    "count(*) FILTER (WHERE event = 'impression') AS impressions FROM events "
    "WHERE timestamp >= to_timestamp(:s::float8) AND timestamp < to_timestamp(:e::float8);\n"
)

if len(sys.argv) != 2 or not os.access(sys.argv[1], os.X_OK):
    sys.exit(__doc__)
hourglass = os.path.abspath(sys.argv[1])
binaries = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
if not binaries:
    sys.exit("PostgreSQL is not installed: apt-get install postgresql")
binaries = binaries[-1]
folder = tempfile.mkdtemp(prefix="peer-pgbench-")
shutil.chown(folder, "postgres")
os.chmod(folder, 0o755)
data = os.path.join(folder, "data")


def run(*command, text=None):
    done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=folder)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command[:6])} failed: {done.stderr}")
    return done.stdout


def as_postgres(program, *arguments):
    return run("runuser", "-u", "postgres", "--", os.path.join(binaries, program), *arguments)


def free_port():
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


ports = {"PostgreSQL": free_port(), "hourglass": free_port()}


def psql(peer, text):
    target = ["-h", "127.0.0.1", "-p", str(ports[peer]), "-U", "postgres", "-d", "postgres"]
    return run(os.path.join(binaries, "psql"), *target, "-v", "ON_ERROR_STOP=1", "-qAt", text=text)


def pgbench(peer, script, clients):
    path = os.path.join(folder, "script.sql")
    with open(path, "w") as file:
        file.write(script)
    target = ["-h", "127.0.0.1", "-p", str(ports[peer]), "-U", "postgres"]
    options = ["-n", "-M", "prepared", "-c", str(clients), "-j", "2", "-T", str(SECONDS), "-f", path]
    said = run(os.path.join(binaries, "pgbench"), *target, *options, "postgres")
    failed = re.search(r"number of failed transactions: (\d+)", said)
    if failed and failed.group(1) != "0":
        sys.exit(f"{peer}: {said}")
    return float(re.search(r"tps = ([0-9.]+)", said).group(1))


def fill():
    """The same events in both, in the order of time."""
    path = os.path.join(folder, "events.csv")
    with open(path, "w") as file:
        for i in range(HOURS * EVENTS):
            hour, within = divmod(i, EVENTS)
            second, fraction = divmod(within * 3600, EVENTS)
            kind = "click" if i % 3 == 0 else "impression"
            user = (i * 7919 + hour * 13) % USERS
            file.write(f"2025-01-06 {hour:02}:{second // 60:02}:{second % 60:02}.{fraction * 10:06d}Z,user{user},{kind}\n")
    for peer in ports:
        if peer == "PostgreSQL":
            psql(peer, "CREATE TABLE events (timestamp timestamptz NOT NULL, user_id text NOT NULL, event text NOT NULL); CREATE INDEX ON events (timestamp)")
        began = time.perf_counter()
        with open(path) as rows:
            target = ["-h", "127.0.0.1", "-p", str(ports[peer]), "-U", "postgres", "-d", "postgres"]
            copy = "SET hourglass.copy_chunks = on; " if peer == "hourglass" else ""
            command = [os.path.join(binaries, "psql"), *target, "-v", "ON_ERROR_STOP=1", "-q", "-c", f"{copy}", "-c", "COPY events (timestamp, user_id, event) FROM STDIN (FORMAT csv)"]
            if not copy:
                command[command.index("-c") : command.index("-c") + 2] = []
            subprocess.run(command, stdin=rows, check=True)
        seconds = time.perf_counter() - began
        print(f"{peer}: COPY of {HOURS * EVENTS:,} events: {HOURS * EVENTS / seconds:,.0f} events/s", flush=True)
        if peer == "PostgreSQL":
            psql(peer, "VACUUM ANALYZE events")
    os.remove(path)
    one = SELECT.split("\n", 2)[2].replace(":s:", f"{START + 18_000}:").replace(":e:", f"{START + 21_600}:")
    answers = {peer: psql(peer, one) for peer in ports}
    if len(set(answers.values())) != 1:
        sys.exit(f"they differ: {answers}")


def main():
    as_postgres("initdb", "-D", data, "-A", "trust")
    settings = f"-c listen_addresses=127.0.0.1 -c port={ports['PostgreSQL']} -c unix_socket_directories='{folder}'"
    settings += " -c shared_buffers=1GB -c max_connections=300 -c max_wal_size=8GB"
    as_postgres("pg_ctl", "-D", data, "-o", settings, "-l", os.path.join(folder, "log"), "-w", "start")
    served = [hourglass, "serve", "--data-dir", os.path.join(folder, "store"), "--listen", "127.0.0.1:0"]
    served += ["--postgres-listen", f"127.0.0.1:{ports['hourglass']}", "--log", "error"]
    server = subprocess.Popen(served, stdout=subprocess.PIPE, text=True)
    try:
        server.stdout.readline()
        version = psql("PostgreSQL", "SHOW server_version").split()[0]
        print(f"PostgreSQL {version}; {run(hourglass, '--version').strip()}; {os.cpu_count()} processors; {ROUNDS} turns of {SECONDS} s each")
        fill()
        print(f"\n{'':44} {'PostgreSQL':>14} {'hourglass':>14} {'of PostgreSQL':>14}")
        cases = [("INSERT of one event", INSERT), ("SELECT of one of 24 hours", SELECT)]
        for name, script in cases:
            for clients in (1, 16, 64):
                rates = {peer: [] for peer in ports}
                for _ in range(ROUNDS):
                    for peer in ports:
                        rates[peer].append(pgbench(peer, script, clients))
                theirs, ours = (statistics.median(rates[peer]) for peer in ("PostgreSQL", "hourglass"))
                what = f"{name}, {clients} client{'s' if clients > 1 else ''}"
                print(f"{what:44} {theirs:12,.0f}/s {ours:12,.0f}/s {ours / theirs:13.2f}x", flush=True)
    finally:
        server.terminate()
        server.wait()
        as_postgres("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder)


main()
