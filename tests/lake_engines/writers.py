"""Lake engines change the table of a stopped store; the program must then give the table's numbers, or refuse and say why.

Each change is done to a copy of one store. Then `sql`, `verify` and `serve` are asked; the server takes events for the hours that were
changed and for a new one, flushes and compacts, and is stopped, and all are asked again. What the table holds is what deltalake
says of it, and every other engine must say the same.
"""

import random
import shutil

import hours
import server as hourglass
from changes import CHANGES, Table
from engines import Unable
from report import first_line
from traffic import FIRST, HOUR, events

HOURS = 5


def run(options, engines, witness, folder, report):
    if witness is None:
        report.skip("--writers was skipped: it needs deltalake")
        return
    base = folder / "base"
    requests = make(options, base)
    by_name = {engine.name: engine for engine in engines}
    for name, title, change in CHANGES:
        if name in by_name and (not options.only or options.only in title):
            store = folder / "changed" / title.replace(" ", "_")
            shutil.copytree(base, store)
            Changed(options, store, title, requests, engines, witness, report).run(by_name[name], change)


def make(options, store):
    """Makes a store of a few hours, each in several files, with nothing left in its log. Returns the requests by their keys."""
    server = hourglass.Server(options.binary, store)
    rng, requests = random.Random(options.seed), {}
    for part in range(3):
        for hour in range(HOURS):
            key = f"part {part} of hour {hour}"
            requests[key] = events(rng, FIRST + HOUR * hour, 200, users=60)
            server.post(requests[key], key)
        server.flush()
    server.stop()
    return requests


class Changed:
    """A store whose table an engine changes, and everything that is asked of it."""

    def __init__(self, options, store, title, requests, engines, witness, report):
        self.binary, self.store, self.title, self.requests = options.binary, store, title, requests
        self.table, self.rng = store / "events", random.Random(options.seed)
        self.engines, self.witness, self.report = engines, witness, report
        self.reader = report.reader("hourglass changed", "sql, verify, serve")

    def run(self, engine, change):
        try:
            change(Table(self.table, self.witness, engine))
        except Exception as error:
            self.report.skip(f"{self.title}: {engine.name} does not: {first_line(error)}")
            return
        failed = self.report.failed()
        told = self.ask_all()
        print(f"{self.title}: {told if self.report.failed() == failed else 'DIFFERS'}", flush=True)

    def ask_all(self):
        """Asks everything, and returns what came of it in a few words."""
        expected = self.expected()
        refusal = self.ask_directory("after the change", expected)
        try:
            server = hourglass.Server(self.binary, self.store)
        except hourglass.Refused as error:
            self.judge_refusal("serve", error)
            # What may not be written may be read all the same.
            may_read = refusal or "does not write" in str(error)
            self.tell([] if may_read else [f"serve refuses what sql reads: {error}"])
            return f"refused: {error}"
        self.tell([f"serve opens what sql refuses: {refusal}"] if refusal else [])
        try:
            self.ask_server(server, "when it is served", expected)
            self.repeat(server, expected)
            self.send_more(server, expected)
        except hourglass.Refused as error:
            self.tell([f"while it is served: {error}; its log says: {server.complaint()}"])
            return "served in part"
        finally:
            server.stop()
        self.ask_directory("after more events and a stop", self.expected())
        return "equal"

    def expected(self):
        """What the table holds by deltalake, after every other engine has said the same."""
        expected = self.witness.read(self.table)
        for engine in self.engines:
            reader = self.report.reader(engine.name, engine.version)
            try:
                found = hours.differences(engine.read(self.table), expected)
            except Unable as error:
                self.report.skip(f"{self.title}: {engine.name} cannot say: {error}")
                continue
            except Exception as error:
                found = [f"the read failed: {first_line(error)}"]
            self.report.read(reader, len(expected), [f"{self.title}: {line}" for line in found])
        return expected

    def repeat(self, server, expected):
        """Repeats the requests that made the store: none of them counts again."""
        for key, batch in self.requests.items():
            server.post(batch, key)
        self.compare("after requests were repeated with their keys, /sql", server.hours(), expected)

    def send_more(self, server, before):
        """Sends events to an old hour and a new one, and flushes and compacts them; the table must hold the sum."""
        batches = {FIRST + HOUR * hour: events(self.rng, FIRST + HOUR * hour, 150, users=90) for hour in (1, 2, HOURS + 2)}
        was = server.hours()
        for hour, batch in batches.items():
            server.post(batch, f"more of {hour}")
        sums = {hour: (was[hour].events if hour in was else 0) + len(batch) for hour, batch in batches.items()}
        in_memory = server.hours()
        self.tell(f"in memory: {hours.name(hour)} has {in_memory[hour].events} events, expected {count}"
                  for hour, count in sums.items() if in_memory[hour].events != count)  # fmt: skip
        server.flush()
        after = self.expected()
        untouched = [hour for hour in before if hour not in batches]
        self.tell(f"untouched, and yet {line}" for line in hours.differences(after, before, untouched))
        self.ask_server(server, "after more events and a flush", after)
        if server.compact() is not None:
            self.tell(f"compacted: {line}" for line in hours.differences(self.witness.read(self.table), after))
            self.ask_server(server, "after a compaction", after)

    def ask_server(self, server, when, expected):
        known = {hour: counts for hour, counts in expected.items() if hour != hours.NOWHERE}
        for rollups in (True, False):
            self.compare(f"{when}, /sql by {source(rollups)}", server.hours(rollups), expected)
        self.compare(f"{when}, /analytics", {hour: server.hour(hour) for hour in known}, known)

    def ask_directory(self, when, expected):
        """Asks `sql` and `verify`; returns why `sql` does not open the store, if it does not."""
        refusals = {}
        for rollups in (True, False):
            try:
                self.compare(f"{when}, sql by {source(rollups)}", hourglass.sql(self.binary, self.store, rollups), expected)
            except hourglass.Refused as error:
                refusals[source(rollups)] = error
                self.judge_refusal("sql", error)
        damage = hourglass.verify(self.binary, self.store)
        if len(refusals) == 2:
            return refusals["rows"]
        self.tell(f"{when}, sql answers, but refuses by {way}: {error}" for way, error in refusals.items())
        self.tell(f"{when}, verify calls it damaged: {line}" for line in damage)
        return None

    def compare(self, what, found, expected):
        self.report.read(self.reader, len(expected), [f"{self.title}: {what}: {line}" for line in hours.differences(found, expected)])

    def judge_refusal(self, who, error):
        """A refusal is right where it says why; a panic is none."""
        if "panic" in str(error) or str(error).startswith(("exit code 70", "exit code 101")):
            self.tell([f"{who} fails instead of refusing: {error}"])

    def tell(self, lines):
        """Reports lines as differences of the program."""
        self.report.fail(self.reader, [f"{self.title}: {line}" for line in lines])


def source(rollups):
    return "counters" if rollups else "rows"
