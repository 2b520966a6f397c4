#!/usr/bin/env python3
"""Random statements and those of analysts.sql, asked of hourglass and of DuckDB over the same rows: README.md has the rest."""

import argparse
import os
import pathlib
import re
import signal
import sys
import tempfile
import time

import analysts
import kinds
import shrink
import stores
from check import Case, check, ways
from choices import Choices
from engines import Duck, Hourglass
from report import Report

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
THREADS = [None, 1, 2, 4, None]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default=f"{TARGET}/release/hourglass", help="the server to test")
    parser.add_argument("--count", type=int, default=int(os.environ.get("HOURGLASS_ORACLE_STATEMENTS", 300)), help="statements to make")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("HOURGLASS_ORACLE_SEED", 1)), help="of events and statements")
    parser.add_argument("--only", type=int, help="the one statement of this number")
    parser.add_argument("--kind", action="append", help="statements of this kind alone; may be repeated")
    parser.add_argument("--skip", help="leave out statements that this regular expression finds, as while a known fault is mended")
    parser.add_argument("--analysts", choices=["with", "without", "alone"], default="with", help="the statements of analysts.sql")
    parser.add_argument("--every-way", action="store_true", help="ask each statement under all settings, not three of them")
    parser.add_argument("--limit", type=int, default=20, help="seconds that a statement may take")
    parser.add_argument("--reduce", type=int, default=5, help="how many failures are reduced")
    parser.add_argument("--port", type=int, help="the first of the servers' ports; free ones are taken without it")
    parser.add_argument("--show", action="store_true", help="print each statement")
    parser.add_argument("--verbose", action="store_true", help="counts by kind, and an example of each refusal")
    return parser.parse_args()


class Oracle:
    """Servers over each layout, DuckDB over the same rows, and the report."""

    def __init__(self, options, folder):
        self.options, self.report, self.servers, self.ducks = options, Report(), [], []
        self.reduced = set()
        for i, layout in enumerate(stores.LAYOUTS):
            rows = layout.events(options.seed)
            threads = THREADS[(i + options.seed) % len(THREADS)]
            port = options.port and options.port + i
            self.servers.append(Hourglass(options.binary, folder, layout, rows, port, threads, options.limit))
            self.ducks.append(Duck(rows, options.limit))

    def stop(self):
        for server in self.servers:
            server.stop()

    def make(self, number):
        """The statement of a number: kinds take turns."""
        names = self.options.kind or sorted(kinds.KINDS)
        choices = Choices(seed=f"{self.options.seed}/{number}")
        name = names[number % len(names)]
        query = kinds.make(name, choices)
        turn = (number // len(names) + number) % len(stores.TURNS)
        return Case(number, name, query.text, query.ordered, choices.made, stores.TURNS[turn])

    def check(self, case, settings=None):
        settings = settings or ways(case.number, self.options.every_way)
        return check(case, self.servers[case.layout], self.ducks[case.layout], settings)

    def run(self, case):
        outcome = self.check(case)
        self.report.add(case, outcome)
        if self.options.show:
            print(f"{case.number} {case.kind}: {outcome.what}\n  {case.ours()}", flush=True)
        if outcome.is_unexplained():
            self.tell(case, outcome)

    def tell(self, case, outcome):
        """Prints a failure, as simple as it can be made."""
        key = (case.kind, *outcome.signature())
        if case.choices and key not in self.reduced and len(self.reduced) < self.options.reduce:
            self.reduced.add(key)
            before = outcome
            case = shrink.reduce(case, lambda smaller: self.check(smaller, [before.settings]).signature() == before.signature())
            outcome = self.check(case, [before.settings])
        settings = ", ".join(f"{name.split('.')[-1]}={value}" for name, value in outcome.settings.items()) or "defaults"
        alone = "" if case.choices else "--analysts alone "
        print(f"\n{outcome.what.upper()} {case.kind} ({alone}--seed {self.options.seed} --only {case.number}; layout "
              f"{stores.LAYOUTS[case.layout].name}; {settings})\n  {outcome.reason}\n  {case.ours()}", flush=True)  # fmt: skip
        if case.theirs() != case.ours():
            print(f"  DuckDB: {case.theirs()}", flush=True)


def statements(oracle, options):
    """All cases of a run."""
    if options.analysts == "alone" or (options.analysts == "with" and options.only is None and not options.kind):
        for case in analysts.cases():
            case.layout = (options.seed + case.number) % 4
            if options.only in (None, case.number):
                yield case
    elif options.only is not None:
        yield oracle.make(options.only)
        return
    if options.analysts != "alone":
        yield from map(oracle.make, range(options.count))


def main():
    options = arguments()
    kinds.load()
    # Told to stop, it stops as after Ctrl-C: with the report of what was run.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hourglass-oracle-") as folder:
        oracle = Oracle(options, pathlib.Path(folder))
        try:
            for case in statements(oracle, options):
                if not (options.skip and re.search(options.skip, case.ours(), re.IGNORECASE | re.DOTALL)):
                    oracle.run(case)
        except KeyboardInterrupt:
            pass
        finally:
            oracle.stop()
    oracle.report.print(options.verbose)
    print(f"seed {options.seed}, {time.monotonic() - began:.0f} s")
    sys.exit(1 if oracle.report.failed() else 0)


if __name__ == "__main__":
    main()
