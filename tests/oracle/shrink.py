"""The reducer: a simpler statement of the same kind that still fails in the same way.

It works on the choices that made the statement (choices.py): leaves some out, or makes them smaller, and makes the statement
anew. What the generator promises of its statements, one answer above all, holds for the simpler ones too.
"""

import time

import kinds
from check import Case
from choices import Choices


def remake(case, numbers):
    """The statement of the same kind that these choices make."""
    choices = Choices(replay=numbers)
    query = kinds.make(case.kind, choices)
    return Case(case.number, case.kind, query.text, query.ordered, choices.made, case.layout)


def simpler(numbers):
    """Choices a step simpler: spans left out, spans made zero, single ones made smaller."""
    for size in (16, 8, 4, 2, 1):
        for at in range(0, len(numbers), max(1, size // 2)):
            yield numbers[:at] + numbers[at + size :]
            if any(numbers[at : at + size]):
                yield numbers[:at] + [0] * len(numbers[at : at + size]) + numbers[at + size :]
    for at, number in enumerate(numbers):
        for smaller in {number // 2, number - 1} - {0, number, -1}:
            yield numbers[:at] + [smaller] + numbers[at + 1 :]


def reduce(case, fails, seconds=30):
    """The simplest case found in some seconds for which `fails` is true."""
    until, tried = time.monotonic() + seconds, {case.text}
    progress = True
    while progress and time.monotonic() < until:
        progress = False
        for numbers in simpler(case.choices):
            smaller = remake(case, numbers)
            if smaller.text in tried or (len(smaller.text), len(smaller.choices)) >= (len(case.text), len(case.choices)):
                continue
            tried.add(smaller.text)
            if fails(smaller):
                case, progress = smaller, True
                break
            if time.monotonic() > until:
                break
    return case
