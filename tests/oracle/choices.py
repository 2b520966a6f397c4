"""The choices that a statement is made of.

A generator asks for nothing but small numbers, so a statement *is* the list of numbers it was given: the same list makes the
same statement again, and a shorter list of smaller numbers a simpler statement. The reducer (shrink.py) needs no more.
"""

import random


class Choices:
    """Random numbers that are remembered, or remembered ones given out again (zero where they end)."""

    def __init__(self, seed=None, replay=None):
        self.random = random.Random(seed)
        self.replay = replay
        self.made = []

    def below(self, n):
        """A number of 0 to n - 1."""
        if self.replay is None:
            value = self.random.randrange(n)
        else:
            at = len(self.made)
            value = self.replay[at] % n if at < len(self.replay) else 0
        self.made.append(value)
        return value

    def pick(self, options):
        """One of the options; the first should be the simplest."""
        return options[self.below(len(options))]

    def chance(self, one_in):
        """True once in so many times; false is the simpler."""
        return self.below(one_in) == one_in - 1

    def between(self, low, high):
        """A number of low to high, both included."""
        return low + self.below(high - low + 1)

    def some(self, options, low=1, high=None):
        """A few different options, in random order."""
        left, chosen = list(options), []
        for _ in range(min(len(left), self.between(low, high or len(left)))):
            chosen.append(left.pop(self.below(len(left))))
        return chosen
