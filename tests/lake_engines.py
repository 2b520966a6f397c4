#!/usr/bin/env python3
"""Other engines read and change the table of a store, and their numbers are compared with the server's.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install -r tests/lake_engines/requirements.txt
    cargo build --release && /tmp/venv/bin/python tests/lake_engines.py

The parts are: --blocks runs the blocks of data/README.md; --live reads the table by all engines while a server takes events, flushes and
compacts it; --writers lets other engines change the table of a stopped store, which must then open with their numbers or be refused
with the reason. Without any of these, all run. An engine that is not installed is skipped, loudly. The exit code is 1 where
anything differs.
"""

import argparse
import os
import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
sys.path.insert(0, str(ROOT / "tests/lake_engines"))

import blocks
import engines
import live
import writers
from report import Report


def arguments():
    names = ",".join(engine.name for engine in engines.ENGINES)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=f"{TARGET}/release/hourglass", type=os.path.abspath, help="the program to test (%(default)s)")
    parser.add_argument("--blocks", action="store_true", help="run the blocks of data/README.md")
    parser.add_argument("--live", action="store_true", help="read while a server writes")
    parser.add_argument("--writers", action="store_true", help="open stores that other engines have changed")
    parser.add_argument("--only", metavar="CHANGE", help="of --writers the changes whose name contains this")
    parser.add_argument("--seconds", type=float, default=60, help="how long --live sends events (%(default)s)")
    parser.add_argument("--engines", default=names, help="those to use (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the events (%(default)s)")
    options = parser.parse_args()
    options.engines = [name for name in options.engines.split(",") if name]
    unknown = set(options.engines) - set(names.split(","))
    if unknown:
        parser.error(f"--engines: {', '.join(sorted(unknown))} is not one of {names}")
    if not os.access(options.binary, os.X_OK):
        parser.error(f"--binary: there is no program {options.binary}; build it with cargo build --release")
    if not (options.blocks or options.live or options.writers):
        options.blocks = options.live = options.writers = True
    return options


def run(options, folder, report):
    if options.blocks:
        blocks.run(options, ROOT, folder, report)
    if not (options.live or options.writers):
        return
    connected, missing = engines.connect(options.engines)
    for line in missing:
        report.skip(line)
    # Deltalake is asked for versions and files even if it is not among the readers.
    witness = next(iter(engines.connect(["deltalake"])[0]), None)
    if options.live:
        live.run(options, connected, witness, folder, report)
    if options.writers:
        writers.run(options, connected, witness, folder, report)


def main():
    options, report = arguments(), Report()
    with tempfile.TemporaryDirectory(prefix="hourglass-lake-") as name:
        os.chdir(name)  # ClickHouse reads only what is below the working directory.
        run(options, pathlib.Path(name), report)
        os.chdir(ROOT)
    print()
    report.print()
    for line in report.skipped:
        print(f"########## {line} ##########")
    sys.exit(1 if report.failed() else 0)


if __name__ == "__main__":
    main()
