"""What a run found, counted and printed."""

from collections import Counter

from check import AGREED, BOTH_REFUSED, REFUSED, general


class Report:
    def __init__(self):
        self.run = 0
        self.outcomes = Counter()
        self.refusals = Counter()
        self.refused_examples = {}
        self.explained = Counter()
        self.unexplained = []
        self.by_kind = {}

    def add(self, case, outcome):
        self.run += 1
        self.outcomes[outcome.what] += 1
        kind = self.by_kind.setdefault(case.kind, Counter())
        kind[outcome.what] += 1
        if outcome.what == REFUSED:
            reason = general(outcome.reason)
            self.refusals[reason] += 1
            self.refused_examples.setdefault(reason, case)
        elif outcome.explained:
            self.explained[outcome.explained] += 1
        elif outcome.is_unexplained():
            self.unexplained.append((case, outcome))

    def failed(self):
        return len(self.unexplained)

    def print(self, verbose=False):
        print(f"\n{self.run} statements run: {self.outcomes[AGREED]} agreed, {self.outcomes[BOTH_REFUSED]} both refuse")
        print(f"we refuse, DuckDB answers: {self.outcomes[REFUSED]}")
        for reason, count in self.refusals.most_common():
            print(f"  {count:6}  {reason}")
            if verbose:
                print(f"          {self.refused_examples[reason].ours()}")
        print(f"documented differences: {sum(self.explained.values())}")
        for reason, count in self.explained.most_common():
            print(f"  {count:6}  {reason}")
        print(f"unexplained: {self.failed()}")
        signatures = Counter((case.kind, *outcome.signature()) for case, outcome in self.unexplained)
        for signature, count in signatures.most_common():
            print(f"  {count:6}  {': '.join(part for part in signature if part)}")
        if verbose:
            for kind, counts in sorted(self.by_kind.items()):
                if not kind.startswith("analysts"):
                    print(f"  {kind}: " + ", ".join(f"{count} {what}" for what, count in counts.most_common()))
        print(f"\noracle: {self.run - self.failed()} passed, {self.failed()} failed")
