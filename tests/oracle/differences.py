"""Differences that are known and stay, each as narrow as it can be told, with its reason.

An entry names outcomes, what the statement must contain, and what the reason of the outcome must be; all three are regular
expressions, and an empty one is met by anything. The report counts each.
"""

import re
from dataclasses import dataclass


@dataclass
class Difference:
    why: str
    what: str
    statement: str = ""
    reason: str = ""

    def fits(self, case, outcome):
        return (
            re.search(self.what, outcome.what)
            and re.search(self.statement, case.ours(), re.IGNORECASE | re.DOTALL)
            and re.search(self.reason, outcome.reason, re.DOTALL)
        )


DIFFERENCES = [
    Difference(
        "a number cast to an integer is cut, as in C and ClickHouse; PostgreSQL and DuckDB round it",
        "disagrees",
        r"CAST\(-?\d+\.\d+ AS (INTEGER|BIGINT)\)",
        r"\b3\b.*\b4\b",
    ),
]


def explain(case, outcome):
    """Why the outcome is as it should be, or nothing."""
    if outcome.what in ("agreed", "both refused", "we refuse"):
        return ""
    return next((known.why for known in DIFFERENCES if known.fits(case, outcome)), "")
