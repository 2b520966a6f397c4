"""The statements that people wrote: analysts.sql, read.

A statement begins with a comment that says what it asks, and ends at an empty line. `-- ordered` says that its rows have one
order; `-- duckdb:` begins the lines of DuckDB's spelling, where it differs.
"""

import pathlib

from check import Case
from dialect import either

PATH = pathlib.Path(__file__).parent / "analysts.sql"


def read(text):
    """Cases of a text, numbered from 1."""
    cases = []
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if line.strip()]
        title = next((line[2:].strip() for line in lines if line.startswith("--")), "")
        ours, theirs, ordered, in_theirs = [], [], False, False
        for line in lines:
            if line.startswith("-- duckdb:"):
                in_theirs = True
                theirs.append(line[len("-- duckdb:") :].strip())
            elif line.strip() == "-- ordered":
                ordered = True
            elif line.startswith("--") and in_theirs:
                theirs.append(line[2:].strip())
            elif not line.startswith("--"):
                ours.append(line)
        if ours:
            statement = "\n".join(ours).rstrip(";")
            text_of_both = either(statement, "\n".join(theirs)) if theirs else statement
            cases.append(Case(len(cases) + 1, f"analysts.sql: {title}", text_of_both, ordered))
    return cases


def cases():
    return read(PATH.read_text())
