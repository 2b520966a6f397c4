"""One statement, asked of both engines in several ways, and what came of it."""

import itertools
import re
from dataclasses import dataclass, field

import compare
import differences
from dialect import OURS, THEIRS, render

THREADS = "datafusion.execution.target_partitions"
ROLLUPS = "hourglass.rollups"
PRUNING = "hourglass.pruning"
BATCH = "datafusion.execution.batch_size"

# Outcomes, from what is fine to what is worst: a statement has the worst of all ways it was asked.
AGREED, BOTH_REFUSED, REFUSED, ONLY_WE, DISAGREES, FAILED, LATE = (
    "agreed", "both refused", "we refuse", "only we answer", "disagrees", "failed", "late",
)  # fmt: skip
ORDER = [AGREED, BOTH_REFUSED, REFUSED, ONLY_WE, DISAGREES, FAILED, LATE]


@dataclass
class Case:
    """A statement as it is asked: its number, its kind, its text for both engines, and whether the order of rows is said."""

    number: int
    kind: str
    text: str
    ordered: bool = False
    choices: list = None
    # The number of the layout that it is asked of.
    layout: int = 0

    def ours(self):
        return render(self.text, OURS)

    def theirs(self):
        return render(self.text, THEIRS)


@dataclass
class Outcome:
    what: str
    reason: str = ""
    settings: dict = field(default_factory=dict)
    # The documented difference that explains it.
    explained: str = ""

    def is_unexplained(self):
        return self.what in (ONLY_WE, DISAGREES, FAILED, LATE) and not self.explained

    def signature(self):
        """What makes two outcomes the same fault, roughly: texts without names and numbers."""
        return self.what, general(self.reason) if self.what != DISAGREES else ""


def general(reason):
    """A reason without what is of one statement: quoted texts, names with numbers, and all but its first line."""
    lines = reason.strip().splitlines()
    text = lines[0] if lines else ""
    text = re.sub(r"(?<!function )'[^']*'|\"[^\"]*\"|`[^`]*`", "…", text)
    text = re.sub(r"^\d{3} ", "", text)
    text = re.sub(r"(?<!function )\b[\w.]*\d[\w.]*\b", "n", text)
    return re.sub(r"\s+", " ", text)[:110]


def ways(number, every=False):
    """The settings under which a statement is asked: the defaults, and two of all others in turn."""
    others = [
        {THREADS: threads, ROLLUPS: rollups, PRUNING: pruning, BATCH: batch}
        for threads, rollups, pruning, batch in itertools.product("124", ("false", "true"), ("true", "false"), ("8192", "7"))
    ]
    if every:
        return [{}] + others
    return [{}, others[number % len(others)], others[(number * 5 + 7) % len(others)]]


def check(case, server, duck, settings):
    """The worst outcome of the statement under each of the settings."""
    theirs = duck.ask(case.theirs())
    worst = Outcome(AGREED)
    for chosen in settings:
        outcome = judge(case, server.ask(case.ours(), chosen), theirs)
        outcome.settings = chosen
        if ORDER.index(outcome.what) > ORDER.index(worst.what):
            worst = outcome
        if outcome.what == LATE:
            break
    worst.explained = differences.explain(case, worst)
    return worst


def judge(case, ours, theirs):
    if ours.problem == "late":
        return Outcome(LATE, ours.reason)
    if ours.problem == "failed":
        return Outcome(FAILED, ours.reason)
    if ours.problem:
        return Outcome(BOTH_REFUSED if theirs.problem else REFUSED, ours.reason)
    if theirs.problem:
        return Outcome(ONLY_WE, theirs.reason)
    differs = compare.difference(ours.rows, theirs.rows, case.ordered)
    return Outcome(DISAGREES, differs) if differs else Outcome(AGREED)
