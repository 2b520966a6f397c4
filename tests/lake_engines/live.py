"""Lake engines read the table of a server that takes events, flushes and compacts.

Every reader must give the numbers of what was sent for each hour that was closed before it began and not opened until it ended. Where
the table's version is the same before and after a read, the reader must give for all hours, open ones too, what deltalake gives for that
version. At the end all hours are closed, and all are compared. The server's own answers are checked in the same way.
"""

import threading
import time

import hours
import server as hourglass
from report import first_line
from traffic import HOUR, Traffic


class Compactions(threading.Thread):
    """Asks for a compaction every few seconds until `end`, or until the server says that it does not compact."""

    def __init__(self, server, every=3):
        super().__init__(daemon=True)
        self.server, self.every = server, every
        self.count, self.totals, self.failure = 0, {}, None
        self.is_known = True
        self.ending = threading.Event()

    def run(self):
        while self.is_known and not self.ending.wait(self.every):
            self.compact()

    def compact(self):
        try:
            counts = self.server.compact()
        except Exception as error:
            self.failure = error
            return
        self.is_known = counts is not None
        self.count += self.is_known
        for name, count in (counts or {}).items():
            if isinstance(count, (int, float)):
                self.totals[name] = self.totals.get(name, 0) + count

    def end(self):
        self.ending.set()
        self.join()

    def say(self):
        totals = ", ".join(f"{name} {count:,}" for name, count in self.totals.items())
        return f"{self.count} compactions ({totals})" if totals else f"{self.count} compactions"


class Live:
    """One run: a server, its traffic, and readers in turn."""

    def __init__(self, server, engines, witness, report, seed, seconds):
        self.server, self.engines, self.witness, self.report = server, engines, witness, report
        self.table = server.data_dir / "events"
        self.traffic = Traffic(server, seed, max(1, seconds / 40))
        self.compactions = Compactions(server)
        # The last version that the witness has read, and its answer.
        self.known = (None, {})
        self.seconds, self.turn = seconds, 0

    def run(self):
        """Reads for some seconds, then ends the traffic and compares everything."""
        until = time.monotonic() + self.seconds
        self.traffic.start()
        self.compactions.start()
        while time.monotonic() < until and not self.traffic.failure:
            self.turn += 1
            self.check_server()
            for engine in self.engines:
                self.check(engine)
            if not self.engines:
                time.sleep(0.5)
        self.traffic.end()
        self.compactions.end()
        if self.compactions.is_known:
            self.compactions.compact()
        self.check_all()
        self.say()

    def check(self, engine):
        """Reads by one engine and compares. Every third read is of one closed hour, by its timestamps."""
        reader = self.report.reader(engine.name, engine.version)
        before = self.traffic.closed()
        hour = sorted(before)[self.turn * 7 % len(before)] if before and self.turn % 3 == 0 else None
        version = self.table_version()
        try:
            found = engine.read(self.table, hour and (hour, hour + HOUR))
            expected = self.at_version(version) if hour is None else None
        except Exception as error:
            self.report.read(reader, 0, [f"the read failed: {first_line(error)}"])
            return
        lines, compared = self.judge(found, before, [hour] if hour else None)
        if expected is not None:
            open_hours = (found.keys() | expected.keys()) - before.keys()
            compared += len(open_hours)
            lines += [f"version {version}: {line}" for line in hours.differences(found, expected, open_hours)]
        self.report.read(reader, compared, lines)

    def judge(self, found, before, only=None):
        """What differs in the hours that were closed all the time since `before`, and how many they are."""
        after = self.traffic.closed()
        still = [hour for hour in only or before if before.get(hour) == after.get(hour)]
        return hours.differences(found, before, still), len(still)

    def check_server(self):
        rollups = self.turn % 2 == 0
        reader = self.report.reader("hourglass /sql", "counters, rows")
        before = self.traffic.closed()
        lines, compared = self.judge(self.server.hours(rollups), before)
        self.report.read(reader, compared, lines)

    def check_all(self):
        """All hours by all readers, after the last flush and compaction."""
        expected = self.traffic.model.all()
        lists = [("hourglass /sql", lambda: self.server.hours(True)), ("hourglass /sql", lambda: self.server.hours(False)),
                 ("hourglass /analytics", lambda: {hour: self.server.hour(hour) for hour in expected})]  # fmt: skip
        lists += [(engine.name, lambda engine=engine: engine.read(self.table)) for engine in self.engines]
        for name, read in lists:
            reader = self.report.reader(name)
            try:
                self.report.read(reader, len(expected), [f"at the end: {line}" for line in hours.differences(read(), expected)])
            except Exception as error:
                self.report.read(reader, 0, [f"at the end the read failed: {first_line(error)}"])
        for failure in filter(None, (self.traffic.failure, self.compactions.failure)):
            self.report.fail(self.report.reader("hourglass"), [first_line(failure)])

    def table_version(self):
        return self.witness and self.witness.table_version(self.table)

    def at_version(self, version):
        """All hours by deltalake at a version that is still the newest; `None` if it is not."""
        if version is None or version != self.table_version():
            return None
        if self.known[0] != version:
            self.known = (version, self.witness.read(self.table, version=version))
        return self.known[1]

    def say(self):
        traffic = self.traffic
        print(f"{traffic.sent:,} events in {len(traffic.model.users)} hours, {traffic.flushes} flushes, {self.compactions.say()}")
        if self.witness:
            print(f"{len(self.witness.files(self.table)):,} files in version {self.table_version()} of the table")
        if not self.compactions.is_known:
            self.report.skip("POST /admin/compact answers 404: this program does not compact, and nothing was read while it does")


def run(options, engines, witness, folder, report):
    limits = ("--memtable-max-rows", "20000")
    server = hourglass.Server(options.binary, folder / "live", *limits)
    live = Live(server, engines, witness, report, options.seed, options.seconds)
    try:
        live.run()
        server.stop()
        report.fail(
            report.reader("hourglass", "verify, restart"), [f"verify: {line}" for line in hourglass.verify(options.binary, server.data_dir)]
        )
        server = hourglass.Server(options.binary, server.data_dir, *limits)
        check_repeats(server, live.traffic, report)
    except (hourglass.Refused, OSError) as error:
        report.fail(report.reader("hourglass"), [f"{first_line(error)}; its log says: {server.complaint()}"])
    finally:
        server.stop()


def check_repeats(server, traffic, report):
    """Repeats some requests after a restart: all hours are as before, counted with what is repeated."""
    expected = traffic.model.all()
    for when in ("after a restart", "after requests were repeated"):
        found = hours.differences(server.hours(), expected)
        report.read(report.reader("hourglass"), len(expected), [f"{when}: {line}" for line in found])
        for key, batch in traffic.kept:
            server.post(batch, key)
