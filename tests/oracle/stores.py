"""Random events, and the ways they lie in a store: in memory, in files, in several files an hour, in both."""

import datetime
import json
import random
from dataclasses import dataclass, field

UTC = datetime.timezone.utc

# Names that are alike but for their case, that hold what LIKE, CSV and JSON treat specially, and some beyond ASCII.
USERS = ["u1", "u2", "u3", "u4", "U1", "user10", "a%b_c", "O'Neill", "Zoë", "日本", "x,\"y\"", " padded ", "🙂"]

# Where hours are interesting: changes of the clock in Berlin and New York, a leap day, the ends of ISO weeks and years.
CLUSTERS = [
    ("2025-03-29T21:00", 8),
    ("2025-10-25T20:00", 8),
    ("2025-03-09T04:00", 6),
    ("2025-11-02T03:00", 6),
    ("2024-02-28T22:00", 28),
    ("2024-12-29T22:00", 50),
    ("2025-01-06T08:00", 40),
    ("1970-01-01T00:00", 2),
    ("1999-12-31T22:00", 4),
]

# What nanoseconds of 64 bits cannot count, and the edge of it.
FAR = [("2262-04-11T22:00", 4), ("9000-06-15T00:00", 30), ("2025-03-29T21:00", 8)]

# Offsets within an hour, in microseconds: its edges, whole minutes, and fractions of each size.
EDGES = [0, 0, 3_599_999_999, 1_800_000_000, 1, 500, 60_000_000, 1_234_567, 900_000_000, 59_999_999]


@dataclass
class Layout:
    """How events come into a store: each part is posted, and flushed to files or left in memory."""

    name: str
    rows: int
    # For each part, whether it is flushed.
    parts: list
    clusters: list = field(default_factory=lambda: CLUSTERS)

    def events(self, seed):
        return random_events(random.Random(f"{seed}/{self.name}"), self.rows, self.clusters)


LAYOUTS = [
    Layout("both", 130, [True, True, False]),
    Layout("several", 110, [True] * 5),
    Layout("memory", 90, [False]),
    Layout("files", 120, [True]),
    Layout("empty", 0, []),
    Layout("far", 60, [True, True, False], FAR),
]

# Which layout a statement is asked of, by its number: an empty store says little, and is asked seldom.
TURNS = [0, 1, 0, 2, 1, 3, 0, 1, 5, 2, 3, 0, 4]


def random_events(rng, count, clusters):
    """Events as (timestamp, user, event), some of them twice."""
    rows = []
    while len(rows) < count:
        start, hours = rng.choice(clusters[: rng.choice([2, 7, 9])])
        base = datetime.datetime.fromisoformat(start).replace(tzinfo=UTC) + datetime.timedelta(hours=rng.randrange(hours))
        offset = rng.choice(EDGES) if rng.random() < 0.6 else rng.randrange(3_600) * 1_000_000
        user = rng.choice(USERS[: rng.choice([3, 6, len(USERS)])])
        row = (base + datetime.timedelta(microseconds=offset), user, rng.choice(["click", "impression", "impression"]))
        rows.extend([row] * (2 if rng.random() < 0.08 else 1))
    return rows[:count]


def ndjson(rows):
    """Events as the body of a POST."""
    named = [{"timestamp": at.isoformat(), "user": user, "event": event} for at, user, event in rows]
    return "".join(json.dumps(row) + "\n" for row in named).encode()


def parts(layout, rows):
    """The events of each part with whether it is flushed, dealt out so that the same hours lie in several parts."""
    return [(rows[i :: len(layout.parts)], flushed) for i, flushed in enumerate(layout.parts)]
