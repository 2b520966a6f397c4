"""What the clients are let loose on: `hourglass serve` on a store of its own, or a real PostgreSQL with tables of the same shape."""

import os
import pathlib
import pwd
import re
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CERTIFICATE, KEY = ROOT / "tests/tls/one.pem", ROOT / "tests/tls/one.key"
SCHEMA = ["--kinds", "signup", "--dimensions", "page,referrer"]
READY_SECONDS = 60

# The table and the view, for PostgreSQL.
TABLES = """
CREATE TABLE events (
    timestamp timestamptz NOT NULL,
    user_id text NOT NULL CHECK (user_id <> ''),
    event text NOT NULL CHECK (event IN ('click', 'impression', 'signup')),
    page text,
    referrer text,
    date date GENERATED ALWAYS AS ((timestamp AT TIME ZONE 'UTC')::date) STORED,
    hour int GENERATED ALWAYS AS (extract(hour FROM timestamp AT TIME ZONE 'UTC')) STORED
);
CREATE VIEW hours AS SELECT date_trunc('hour', timestamp, 'UTC') AS hour, count(DISTINCT user_id) AS unique_users,
    count(*) FILTER (WHERE event = 'click') AS clicks, count(*) FILTER (WHERE event = 'impression') AS impressions,
    count(*) FILTER (WHERE event = 'signup') AS signup FROM events GROUP BY 1;
"""


class NotReady(Exception):
    """Why a server did not start."""


class Hourglass:
    """A server on free ports until `stop`. `login` is open, token or tls, as check.py has it."""

    kind = "hourglass"

    def __init__(self, binary, folder, login):
        self.login, self.folder = login, folder / login
        self.tokens = {}
        self.log = folder / f"{login}.log"
        addresses = ["--listen", "127.0.0.1:0", "--postgres-listen", "127.0.0.1:0", "--log-format", "json"]
        closed = [] if login == "open" else ["--anonymous", "none"]
        tls = ["--tls-cert", CERTIFICATE, "--tls-key", KEY] if login == "tls" else []
        with open(self.log, "wb") as log:
            command = [binary, "serve", "--data-dir", self.folder, *SCHEMA, *addresses, *tls, *closed]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.http, self.port = self.wait_until_ready()
        if login != "open":
            self.tokens = {role: create_token(binary, self.folder, role) for role in ("admin", "read", "write")}

    def wait_until_ready(self):
        """The address of its HTTP door and the port of its PostgreSQL door, as its log says them."""
        for _ in range(READY_SECONDS * 20):
            ended, text = self.process.poll() is not None, self.log.read_text(errors="replace")
            ready = re.search(r"(https?://127\.0\.0\.1:\d+), postgres://127\.0\.0\.1:(\d+)", text)
            if ready and not ended:
                return ready[1], int(ready[2])
            if ended:
                break
            time.sleep(0.05)
        self.stop()
        raise NotReady(f"{self.login}: {text.strip().splitlines()[-1:]}")

    def environment(self):
        """Variables for a client, as check.py lists them."""
        variables = {
            "CHECK_SERVER": self.kind,
            "CHECK_LOGIN": self.login,
            "CHECK_HTTP": self.http,
            "PGHOST": "localhost" if self.login == "tls" else "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": "hourglass",
            "PGDATABASE": "hourglass",
            "PGSSLMODE": "verify-full" if self.login == "tls" else "disable",
            "PGSSLROOTCERT": str(CERTIFICATE),
        }
        if self.tokens:
            variables["PGPASSWORD"] = self.tokens["admin"]
            variables |= {f"CHECK_{role.upper()}_TOKEN": token for role, token in self.tokens.items()}
        return variables

    def complaints(self):
        """The errors in its log: a panic, or what it calls a fault of its own."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [line.strip()[:500] for line in lines if '"level":"ERROR"' in line or "panicked" in line]

    def stop(self):
        """Ends the server in order; true if it did so by itself and with the exit code 0."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60) == 0
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return False


def create_token(binary, data_dir, role):
    command = [binary, "token", "create", "--data-dir", data_dir, "--role", role, "--name", f"clients-{role}"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise NotReady(f"hourglass token create: {done.stderr.strip()}")
    return done.stdout.strip().splitlines()[-1].strip()


class Postgres:
    """A PostgreSQL of `programs`, such as /usr/lib/postgresql/15/bin, that asks for no password."""

    kind, login, http, tokens = "postgresql", "open", "", {}

    def __init__(self, programs, folder):
        self.programs, self.data = pathlib.Path(programs), folder / "postgresql"
        self.as_user = {}
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            self.as_user = {"user": user.pw_uid, "group": user.pw_gid}
            folder.chmod(0o755)
        self.data.mkdir()
        if self.as_user:
            os.chown(self.data, self.as_user["user"], self.as_user["group"])
        self.run("initdb", "--username=hourglass", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--lc-collate=C", "--no-sync", self.data)
        self.port = free_port()
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -c timezone=UTC"
        self.run("pg_ctl", "-D", self.data, "-w", "-o", options, "-l", self.data / "log", "start")
        for sql in ("CREATE DATABASE hourglass", TABLES):
            database = "postgres" if sql.startswith("CREATE DATABASE") else "hourglass"
            subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql], env=os.environ | self.environment(), check=True)

    def run(self, program, *arguments):
        done = subprocess.run([self.programs / program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/", **self.as_user)
        if done.returncode:
            raise NotReady(f"{program}: {done.stderr.decode(errors='replace').strip()}")

    def environment(self):
        return {
            "CHECK_SERVER": self.kind,
            "CHECK_LOGIN": "open",
            "CHECK_HTTP": "",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": "hourglass",
            "PGDATABASE": "hourglass",
            "PGSSLMODE": "disable",
            "PGSSLROOTCERT": str(CERTIFICATE),
        }

    def complaints(self):
        return []

    def stop(self):
        self.run("pg_ctl", "-D", self.data, "-m", "fast", "stop")
        return True


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
