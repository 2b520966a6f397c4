#!/usr/bin/env python3
"""Clients of PostgreSQL store and read events through `hourglass serve --postgres-listen`, and what they see is compared with what is stored.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install -r tests/postgres_clients/requirements.txt
    cargo build --release && /tmp/venv/bin/python tests/postgres_clients.py

Each client runs against a server where anyone may ask, against one where the password is a token (SCRAM), and some of them against one
with TLS. What a client stores is also read by HTTP. A client that is not installed is skipped, loudly. The exit code is 1 where a client
misbehaves. With --postgresql they run against a real PostgreSQL instead, to show that the checks expect what it does.
"""

import argparse
import datetime
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
sys.path.insert(0, str(ROOT / "tests/postgres_clients"))

from clients import CLIENTS, EVERY_LOGIN, Missing
from report import Report
from server import Hourglass, NotReady, Postgres

# The hours of the first client; each has as many days as it may have checks in a day.
START = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
DAYS_OF_CLIENT = 10


def arguments():
    names = ",".join(client.name for client in CLIENTS)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=f"{TARGET}/release/hourglass", type=os.path.abspath, help="the program to test (%(default)s)")
    parser.add_argument("--clients", default=names, help="those to run (%(default)s)")
    parser.add_argument("--logins", default=",".join(EVERY_LOGIN), help="ways to log in (%(default)s)")
    parser.add_argument("--timeout", type=float, default=300, help="seconds that a client may take (%(default)s)")
    parser.add_argument("--postgresql", metavar="DIR", help="run against the PostgreSQL whose programs are here, such as /usr/lib/postgresql/15/bin")
    options = parser.parse_args()
    for name, known in (("clients", names), ("logins", ",".join(EVERY_LOGIN))):
        given = [one for one in getattr(options, name).split(",") if one]
        unknown = set(given) - set(known.split(","))
        if unknown:
            parser.error(f"--{name}: {', '.join(sorted(unknown))} is not one of {known}")
        setattr(options, name, given)
    if not options.postgresql and not os.access(options.binary, os.X_OK):
        parser.error(f"--binary: there is no program {options.binary}; build it with cargo build --release")
    return options


def run(options, folder, report):
    chosen = commands(options, folder, report)
    for login in ["open"] if options.postgresql else options.logins:
        try:
            server = Postgres(options.postgresql, folder) if options.postgresql else Hourglass(options.binary, folder, login)
        except NotReady as error:
            report.fault(f"the server did not start: {error}")
            continue
        try:
            for number, client, command in chosen:
                if login in client.logins:
                    run_client(options, server, number, client, command, folder, report)
        finally:
            for line in server.complaints():
                report.fault(f"the server's log, {login}: {line}")
            if not server.stop():
                report.fault(f"the server did not end in order, {login}")


def commands(options, folder, report):
    """The clients that can run here, with their numbers and command lines."""
    found = []
    for number, client in enumerate(CLIENTS):
        if client.name not in options.clients:
            continue
        try:
            found.append((number, client, client.command(folder)))
        except Missing as error:
            report.skip(f"{client.name} was skipped: {error}")
    return found


def run_client(options, server, number, client, command, folder, report):
    counts = report.client(client.name, client.what)
    counts.logins.append(server.login)
    start = START + datetime.timedelta(days=number * DAYS_OF_CLIENT)
    paths = {"CHECK_START": start.isoformat(), "PYTHONPATH": str(ROOT / "tests/postgres_clients"), "TZ": "UTC"}
    variables = os.environ | server.environment() | paths
    scratch = folder / f"{server.login}-{client.name.replace('/', '-')}"
    scratch.mkdir()
    with open(scratch / "output", "w+") as output:
        process = subprocess.Popen(command, env=variables, cwd=scratch, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            code = process.wait(options.timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = f"none: it was stopped after {options.timeout:g} s"
        output.seek(0)
        lines = output.readlines()
    for line in lines:
        report.line(counts, server.login, line)
    if code != 0:
        report.failure(counts, server.login, f"exit code {code}, after {lines[-1].strip()[:300] if lines else 'no output'}")


def main():
    options, report = arguments(), Report()
    with tempfile.TemporaryDirectory(prefix="hourglass-clients-") as name:
        run(options, pathlib.Path(name), report)
    print()
    report.print()
    for line in report.skipped:
        print(f"########## {line} ##########")
    sys.exit(1 if report.failed() else 0)


if __name__ == "__main__":
    main()
