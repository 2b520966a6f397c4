#!/usr/bin/env python3
"""Redis: a set of users and two counters an hour, by one script call an event and one a question.

Starts servers of its own, in memory as Redis is by default, and with its log synced at every write."""

import re
import subprocess
import sys
import tempfile
import time

from common import Results, check, events_argument

PORT = "16379"
EVENT = "redis.call('SADD', KEYS[1], ARGV[1]); return redis.call('INCR', KEYS[2])"
HOUR = "return {redis.call('SCARD', KEYS[1]), redis.call('GET', KEYS[2]), redis.call('GET', KEYS[3])}"

rows = events_argument()


def run(program, *arguments, text=None):
    done = subprocess.run([program, "-p", PORT, *arguments], input=text, capture_output=True)
    if done.returncode != 0:
        sys.exit(f"{program} failed: {done.stderr.decode()}")
    return done.stdout.decode()


def rate(clients, *command):
    said = run("redis-benchmark", "-q", "-c", str(clients), "-n", "200000", "-r", "1000000", *command)
    return float(re.findall(r"([0-9.]+) requests per second", said)[-1])


def protocol(words):
    words = [word.encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def measured(said, *settings):
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(["redis-server", "--port", PORT, "--dir", folder, "--daemonize", "no", *settings], stdout=subprocess.DEVNULL)
        try:
            while subprocess.run(["redis-cli", "-p", PORT, "ping"], capture_output=True).stdout != b"PONG\n":
                time.sleep(0.05)
            began = time.perf_counter()
            for batch in rows.table.select(["user_id", "event"]).to_batches(100_000):
                users, kinds = batch.column(0).to_pylist(), batch.column(1).to_pylist()
                commands = (protocol(["SADD", "u", user]) + protocol(["INCR", kind]) for user, kind in zip(users, kinds))
                run("redis-cli", "--pipe", text=b"".join(commands))
            results.add(said, f"load of {rows.name()}, pipelined", rows.count / (time.perf_counter() - began), "events/s")
            answer = run("redis-cli", "EVAL", HOUR, "3", "u", "click", "impression").split()
            check("the hour's numbers", (int(word) for word in answer), rows.hour)
            results.add(f"{said}, 64 clients", "the hour's numbers", rate(64, "EVAL", HOUR, "3", "u", "click", "impression"), "answers/s")
            for clients in (64, 256):
                events = rate(clients, "EVAL", EVENT, "2", "u", "click", "user__rand_int__")
                results.add(f"{said}, {clients} clients", "single events stored", events, "events/s")
        finally:
            server.terminate()
            server.wait()


version = re.search(r"v=([0-9.]+)", subprocess.run(["redis-server", "--version"], capture_output=True, text=True).stdout).group(1)
results = Results(f"Redis {version}")
measured("defaults (in memory)", "--appendonly", "no")
measured("appendfsync always", "--appendonly", "yes", "--appendfsync", "always")
results.print()
