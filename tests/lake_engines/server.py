"""A hourglass process over a data directory: a server over HTTP, and the commands that read a directory."""

import http.client
import json
import pathlib
import re
import signal
import subprocess
import time

import hours

NDJSON = {"content-type": "application/x-ndjson"}


class Refused(Exception):
    """What the program says where it does not do what it was asked to; `status` is that of a response."""

    def __init__(self, message, status=None):
        super().__init__(message)
        self.status = status


class Server:
    """`hourglass serve` on a free port, until `stop`."""

    def __init__(self, binary, data_dir, *options):
        self.data_dir = pathlib.Path(data_dir)
        self.log = self.data_dir.with_suffix(".log")
        command = [binary, "serve", "--listen", "127.0.0.1:0", "--data-dir", self.data_dir, "--log-format", "json", *options]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.port = self.wait_until_ready()

    def wait_until_ready(self, seconds=60):
        """The port on which the server says that it listens.

        Raises `Refused` with the end of its log if it ends before."""
        for _ in range(seconds * 20):
            ended = self.process.poll() is not None
            text = self.log.read_text(errors="replace")
            ready = re.search(r"http://127\.0\.0\.1:(\d+)", text)
            if ready and not ended:
                return int(ready[1])
            if ended:
                raise Refused(f"exit code {self.process.returncode}: {last_line(text)}")
            time.sleep(0.05)
        self.stop()
        raise Refused(f"not ready within {seconds} s; the log ends {last_line(text)}")

    def request(self, method, path, body=None, headers=()):
        """Status and body of a response; each request has a connection of its own, so threads may share a server."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            return response.status, response.read().decode(errors="replace")
        finally:
            connection.close()

    def call(self, method, path, body=None, headers=()):
        """The body of a response; waits while the server says 503."""
        for _ in range(200):
            status, text = self.request(method, path, body, headers)
            if status != 503:
                break
            time.sleep(0.1)
        if status >= 300:
            raise Refused(f"{method} {path}: {status} {text}", status)
        return text

    def post(self, events, key):
        """Stores events (timestamp in milliseconds, user, kind) under an idempotency key, all or none of them."""
        lines = (json.dumps({"timestamp": at, "user": user, "event": kind}) + "\n" for at, user, kind in events)
        accepted = json.loads(self.call("POST", "/events", "".join(lines), NDJSON | {"idempotency-key": key}))["accepted"]
        if accepted != len(events):
            raise Refused(f"POST /events accepted {accepted} of {len(events)} events")

    def flush(self):
        self.call("POST", "/admin/flush")

    def compact(self):
        """The counts of a compaction, as the server has them; `None` if this program does not compact."""
        try:
            return json.loads(self.call("POST", "/admin/compact"))
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def hours(self, rollups=True):
        """Counts of every hour by `/sql`, from the counters or from the rows."""
        body = json.dumps({"query": hours.statement("events"), "settings": {"hourglass.rollups": str(rollups).lower()}})
        rows = json.loads(self.call("POST", "/sql", body, {"content-type": "application/json"}))
        return hours.of_partitions(row.values() for row in rows)

    def hour(self, at):
        """Counts of one hour by `/analytics`."""
        path = f"/analytics?timestamp={int(at.timestamp() * 1000)}"
        found = json.loads(self.call("GET", path, headers={"accept": "application/json"}))
        clicks, impressions = found["clicks"], found["impressions"]
        return hours.Counts(clicks + impressions, clicks, impressions, found["unique_users"])

    def complaint(self):
        """The last error in the log, or the last warning where there is none."""
        lines = self.log.read_text(errors="replace").splitlines()
        of_level = lambda level: [line.strip() for line in lines if f'"level":"{level}"' in line]
        return (["nothing"] + of_level("WARN") + of_level("ERROR"))[-1]

    def stop(self):
        """Ends the server in order, unless it has ended."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def sql(binary, data_dir, rollups):
    """Counts of every hour by `hourglass sql` on a directory.

    Raises `Refused` with what it says if its exit code is not zero."""
    settings = f"SET hourglass.rollups = {str(rollups).lower()}"
    done = run(binary, "sql", "--data-dir", data_dir, "--format", "ndjson", "-c", settings, "-c", hours.statement("events"))
    if done.returncode:
        raise Refused(f"exit code {done.returncode}: {last_line(done.stderr)}")
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return hours.of_partitions(row.values() for row in rows)


def verify(binary, data_dir):
    """What `hourglass verify` calls damaged, a line each."""
    done = run(binary, "verify", "--data-dir", data_dir, "--format", "json")
    try:
        damage = json.loads(done.stdout)["damage"]
    except (ValueError, KeyError):
        return [f"exit code {done.returncode}: {last_line(done.stderr) or last_line(done.stdout)}"]
    return [f"{found['path']}: {found['what']}" for found in damage]


def run(binary, *arguments):
    return subprocess.run([binary, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)


def last_line(text):
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""
