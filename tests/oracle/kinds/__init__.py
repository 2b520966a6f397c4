"""Kinds of statements. A kind is a function that takes the grammar and gives a query:

    @kind
    def last_seen(g):
        events = g.events()
        return f"SELECT user_id, max(timestamp) AS at FROM {events.text}{g.where(events)} GROUP BY 1"

A text alone is compared as a multiset of rows; `Query(text, ordered=True)` as a list. Put it into a module of this folder.
"""

import importlib
import pkgutil

from grammar import Grammar, Query

KINDS = {}


def kind(function):
    """Registers a kind under its name."""
    assert function.__name__ not in KINDS
    KINDS[function.__name__] = function
    return function


def load():
    """All kinds of all modules, in the order of their names."""
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        importlib.import_module(f"{__name__}.{module.name}")
    return {name: KINDS[name] for name in sorted(KINDS)}


def make(name, choices):
    """The statement of a kind that the choices make."""
    made = KINDS[name](Grammar(choices))
    return made if isinstance(made, Query) else Query(made)
