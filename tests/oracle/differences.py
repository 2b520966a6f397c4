"""Differences that are known and stay, each as narrow as it can be told, with its reason.

An entry names outcomes, what the statement must contain, and what the reason of the outcome must be; all three are regular
expressions, and an empty one is met by anything. One may hold in one layout alone. The report counts each.
"""

import re
from dataclasses import dataclass

import stores


@dataclass
class Difference:
    why: str
    what: str
    statement: str = ""
    reason: str = ""
    # The name of the only layout that has it.
    layout: str = ""

    def fits(self, case, outcome):
        return (
            self.layout in ("", stores.LAYOUTS[case.layout].name)
            and re.search(self.what, outcome.what)
            and re.search(self.statement, case.ours(), re.IGNORECASE | re.DOTALL)
            and re.search(self.reason, outcome.reason, re.DOTALL)
        )


DIFFERENCES = [
    Difference(
        "GROUP BY ALL where all keys are constants: DuckDB has no keys then, and one row of nothing; we group by the constant",
        "disagrees",
        r"GROUP BY ALL",
        r"^0 rows, not 1$",
    ),
    Difference(
        "a day plus whole days, months or years is a day; in PostgreSQL and DuckDB it is the midnight of it",
        "disagrees",
        r"DATE '[\d-]+' [+-] INTERVAL '\d+ (day|month|year)|\bdate [+-] INTERVAL '\d+ (day|month|year)",
        r"(\d{4}-\d\d-\d\d)[,)].* not .*\1 00:00:00",
    ),
    Difference(
        "summer time after 2099 is in DuckDB's zones, and not in ours (chrono-tz ends there)",
        "disagrees",
        r"AT TIME ZONE '(Europe/Berlin|America/New_York|America/St_Johns|Australia/Lord_Howe)'",
        layout="far",
    ),
    Difference(
        "percentile_cont is right to a millionth of the gap between two values (DataFusion cuts the weight to six digits)",
        "disagrees",
        r"percentile_cont|quantile_cont",
        r"\.\d*9999|\.\d*0000",
    ),
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
