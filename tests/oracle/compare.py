"""Whether two answers are the same: values by what they mean, rows as a multiset, or as a list where all of the order is said.

Our answers come as JSON, so an instant, a day and a span of time are text there; DuckDB's are Python's own values, and say what
our text is to be read as.
"""

import datetime
import math
import re
from decimal import Decimal

RELATIVE = 1e-9
UTC = datetime.timezone.utc

SPAN = re.compile(r"^(-?)P(?:(\d+)Y)?(?:(\d+)M)?(?:(-?\d+)D)?(?:T(?:(-?\d+)H)?(?:(-?\d+)M)?(?:(-?\d+(?:\.\d+)?)S)?)?$")
WORDS = re.compile(r"(-?\d+(?:\.\d+)?) (year|mon|day|hour|min|sec)\w*")
SECONDS = {"year": 360 * 86_400, "mon": 30 * 86_400, "day": 86_400, "hour": 3_600, "min": 60, "sec": 1}


def difference(ours, theirs, ordered=False):
    """What differs, in a line, or nothing."""
    if len(ours) != len(theirs):
        return f"{len(ours)} rows, not {len(theirs)}"
    if not ordered:
        ours, theirs = sorted(ours, key=sort_key), sorted(theirs, key=sort_key)
    wrong = [pair for pair in zip(ours, theirs) if not same_row(*pair)]
    if not wrong:
        return ""
    # Rows whose floats are almost alike may have been sorted apart: try them all.
    left = [their for _, their in wrong]
    for our, _ in [] if ordered else wrong:
        match = next((their for their in left if same_row(our, their)), None)
        if match is None:
            return f"a row {show(our)}, not one such as {show(wrong[0][1])}"
        left.remove(match)
    return f"a row {show(wrong[0][0])}, not {show(wrong[0][1])}" if ordered else ""


def show(row):
    return "(" + ", ".join(str(value) for value in row) + ")"


def same_row(ours, theirs):
    return len(ours) == len(theirs) and all(map(same, ours, theirs))


def same(ours, theirs):
    """Whether our value, as JSON has it, is DuckDB's."""
    if isinstance(theirs, float) and not math.isfinite(theirs):
        return ours is None  # JSON has no NaN and no infinity.
    if ours is None or theirs is None:
        return ours is None and theirs is None
    if isinstance(theirs, bool) or isinstance(ours, bool):
        return ours is theirs
    if isinstance(theirs, (int, float, Decimal)):
        return isinstance(ours, (int, Decimal)) and same_number(ours, theirs)
    if isinstance(theirs, (list, tuple)):
        return isinstance(ours, (list, tuple)) and same_row(ours, theirs)
    if isinstance(theirs, dict):
        return isinstance(ours, (list, tuple)) and same_row(ours, list(theirs.values()))
    return isinstance(ours, str) and text_as(ours, theirs) == canonical(theirs)


def same_number(ours, theirs):
    if isinstance(ours, int) and isinstance(theirs, int):
        return ours == theirs
    ours, theirs = float(ours), float(theirs)
    return math.isclose(ours, theirs, rel_tol=RELATIVE, abs_tol=1e-9)


def canonical(value):
    """DuckDB's value in a form that is equal where the meaning is: instants in UTC, spans in microseconds."""
    if isinstance(value, datetime.datetime):
        return value.astimezone(UTC) if value.tzinfo else value
    if isinstance(value, datetime.timedelta):
        return value // datetime.timedelta(microseconds=1)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    return value if isinstance(value, (str, datetime.date, datetime.time)) else str(value)


def text_as(text, example):
    """Our text as a value of the example's type; the text itself where it is none."""
    try:
        if isinstance(example, datetime.datetime):
            return canonical(datetime.datetime.fromisoformat(text)) if len(text) > 10 else text
        if isinstance(example, datetime.timedelta):
            return span(text)
        if isinstance(example, datetime.date):
            return datetime.date.fromisoformat(text)
        if isinstance(example, datetime.time):
            return datetime.time.fromisoformat(text)
    except ValueError:
        pass
    return text


def span(text):
    """Microseconds of an interval, written as ISO 8601 has it or in words; a month is 30 days and a year 360, as Python's
    client of DuckDB has them."""
    iso = SPAN.match(text)
    if iso:
        sign, *counts = iso.groups()
        units = ["year", "mon", "day", "hour", "min", "sec"]
        total = sum(Decimal(count or 0) * SECONDS[unit] for count, unit in zip(counts, units))
        return int((-total if sign else total) * 1_000_000)
    found = WORDS.findall(text)
    return int(sum(Decimal(count) * SECONDS[unit] for count, unit in found) * 1_000_000) if found else text


def sort_key(row):
    """An order for rows of both engines: equal values come alike, and floats that are almost equal near each other."""
    return tuple(key(value) for value in row)


def key(value):
    if value is None:
        return (0, "")
    if isinstance(value, bool):
        return (1, str(value))
    if isinstance(value, (int, float, Decimal)):
        number = float(value)
        return (2, f"{number:+040.6f}" if math.isfinite(number) else str(number))
    if isinstance(value, (list, tuple, dict)):
        values = value.values() if isinstance(value, dict) else value
        return (4, str([key(item) for item in values]))
    if isinstance(value, (datetime.datetime, datetime.date)):
        # As our JSON spells them.
        return (3, canonical(value).isoformat().replace("+00:00", ""))
    if isinstance(value, str):
        return (3, re.sub(r"(\d\d:\d\d:\d\d)\.?(\d*)Z?$", tidy_fraction, value))
    return (3, str(canonical(value)))


def tidy_fraction(match):
    """Six digits of a fraction or none, as Python writes it."""
    digits = match[2].ljust(6, "0")[:6]
    return match[1] + ("." + digits if int(digits or 0) else "")
