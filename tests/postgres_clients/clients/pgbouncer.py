"""pgbouncer in front of the server: pooling of transactions and of sessions, with a token for the server."""

import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import threading
import time

import psycopg

import check
from check import COLUMNS, Checks, contains, equal, events, holds, refused, select

checks = Checks()
INSERT = f"INSERT INTO events ({COLUMNS}) VALUES (%s, %s, %s, %s, %s)"
PROGRAM = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")

SETTINGS = """
[databases]
hourglass = host={host} port={port} dbname={database} user={user} {password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = 2
max_prepared_statements = {prepared}
server_tls_sslmode = disable
ignore_startup_parameters = extra_float_digits,options
logfile = {folder}/log
pidfile = {folder}/pid
"""


class Bouncer:
    """A pgbouncer on a free port while it is entered."""

    def __init__(self, mode, prepared=0):
        self.folder = pathlib.Path(f"{mode}-{prepared}-{time.monotonic_ns()}").absolute()
        self.folder.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        password = f"password={check.PASSWORD}" if check.PASSWORD else ""
        values = {"host": check.HOST, "port": check.PORT, "database": check.DATABASE, "user": check.USER, "password": password}
        text = SETTINGS.format(own=self.port, mode=mode, prepared=prepared, folder=self.folder, **values)
        if version() < (1, 21):
            text = "\n".join(line for line in text.splitlines() if not line.startswith("max_prepared_statements"))
        (self.folder / "ini").write_text(text)

    def __enter__(self):
        user = {}
        if os.getuid() == 0:
            found = pwd.getpwnam("nobody")
            os.chown(self.folder, found.pw_uid, found.pw_gid)
            for parent in self.folder.parents[:3]:
                if str(parent).startswith("/tmp/"):
                    parent.chmod(parent.stat().st_mode | 0o011)
            user = {"user": found.pw_uid, "group": found.pw_gid}
        with open(f"{self.folder}.output", "wb") as output:
            self.process = subprocess.Popen([PROGRAM, self.folder / "ini"], stdout=output, stderr=output, **user)
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.05)
        self.process.kill()
        raise AssertionError(f"pgbouncer did not start: {pathlib.Path(f'{self.folder}.output').read_text()[-500:]}")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def connect(self, **options):
        return psycopg.connect(host="127.0.0.1", port=self.port, dbname="hourglass", sslmode="disable", **options)


def version():
    text = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True).stdout.split()[1]
    return tuple(int(part) for part in text.split(".")[:2])


def store_and_read(bouncer, hour, **options):
    rows = events(hour, 40)
    with bouncer.connect(**options) as connection:
        connection.cursor().executemany(INSERT, rows[:20])
    with bouncer.connect(**options) as connection:
        with connection.cursor().copy(f"COPY events ({COLUMNS}) FROM STDIN") as copy:
            for row in rows[20:]:
                copy.write_row(row)
        connection.commit()
        equal(connection.execute(select(hour)).fetchall(), [tuple(row) for row in rows])
    holds(hour, rows)


@checks
def transactions_are_pooled(hour):
    with Bouncer("transaction") as bouncer:
        store_and_read(bouncer, hour, prepare_threshold=None)


@checks
def sessions_are_pooled(hour):
    with Bouncer("session") as bouncer:
        store_and_read(bouncer, hour)


@checks
def more_clients_than_connections(hour):
    rows = events(hour, 24)
    with Bouncer("transaction") as bouncer:

        def store(row):
            with bouncer.connect(prepare_threshold=None) as connection:
                connection.execute(INSERT, row)
                connection.execute("SELECT 1")

        threads = [threading.Thread(target=store, args=[row]) for row in rows]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    holds(hour, rows)


@checks
def what_a_session_sets_ends_with_it(hour):
    with Bouncer("session") as bouncer:
        with bouncer.connect(autocommit=True) as connection:
            connection.execute("SET statement_timeout = '7s'")
            connection.execute("PREPARE left_over AS SELECT 1")
        for _ in range(3):
            with bouncer.connect(autocommit=True) as connection:
                equal(connection.execute("SHOW statement_timeout").fetchone() != ("7s",), True, "DISCARD ALL")
                refused("EXECUTE left_over", sqlstate="26000", call=connection.execute)


@checks
def parameters_that_it_tracks(hour):
    with Bouncer("transaction") as bouncer:
        for name in ("one", "two", "three"):
            with bouncer.connect(autocommit=True, prepare_threshold=None, application_name=name) as connection:
                equal(connection.execute("SHOW application_name").fetchone(), (name,))


@checks
def an_error_in_a_transaction(hour):
    with Bouncer("transaction") as bouncer:
        for _ in range(4):
            with bouncer.connect(prepare_threshold=None) as connection:
                connection.execute(INSERT, events(hour)[0])
                refused("SELECT nothing", sqlstate="42703", call=connection.execute)
                connection.rollback()
        with bouncer.connect(autocommit=True, prepare_threshold=None) as connection:
            equal(connection.execute("SELECT 1").fetchone(), (1,))
    holds(hour, [])


@checks
def cancel(hour):
    with Bouncer("transaction") as bouncer, bouncer.connect(autocommit=True, prepare_threshold=None) as connection:
        timer = threading.Timer(1, connection.cancel)
        timer.start()
        refused("SELECT count(*) FROM generate_series(1, 10000000000)", sqlstate="57014", call=connection.execute)
        equal(connection.execute("SELECT 1").fetchone(), (1,))


@checks
def a_wrong_token_of_the_server(hour):
    if check.LOGIN == "open":
        raise check.Skip("no password is asked for")
    right = check.PASSWORD
    check.PASSWORD = "wrong"
    try:
        with Bouncer("transaction") as bouncer:
            error = check.raises(psycopg.Error, lambda: bouncer.connect(connect_timeout=15))
            contains(str(error), "FATAL")
    finally:
        check.PASSWORD = right


if __name__ == "__main__":
    checks.run(".".join(map(str, version())))
