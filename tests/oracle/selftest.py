"""What the oracle itself must do right: run with `python3 -m unittest tests/oracle/selftest.py`."""

import datetime
import pathlib
import sys
import unittest
from decimal import Decimal

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import analysts
import compare
import kinds
import shrink
from check import Case
from choices import Choices
from dialect import OURS, THEIRS, either, render

UTC = datetime.timezone.utc


class Comparing(unittest.TestCase):
    def test_values_are_compared_by_meaning(self):
        instant = datetime.datetime(2025, 3, 30, 1, 0, 0, 500, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
        same = [
            (1, 1), (Decimal("1.0"), 1), (Decimal("0.1"), 0.1), (Decimal("1.50"), Decimal("1.5")), (None, None), (True, True),
            ("2025-03-29T23:00:00.000500Z", instant), ("2025-03-30", datetime.date(2025, 3, 30)),
            ("PT26H", datetime.timedelta(days=1, hours=2)), ("1 days 2 hours", datetime.timedelta(hours=26)),
            (["a", 1], ["a", 1]), ("01:02:03", datetime.time(1, 2, 3)),
        ]  # fmt: skip
        for ours, theirs in same:
            self.assertTrue(compare.same(ours, theirs), (ours, theirs))
        other = [(1, 2), (1, True), ("1", 1), (None, 0), (Decimal("1.5"), 1), ("2025-03-30T01:00:00Z", instant), ("a", "b")]
        for ours, theirs in other:
            self.assertFalse(compare.same(ours, theirs), (ours, theirs))

    def test_an_instant_is_not_a_time_without_a_zone(self):
        self.assertFalse(compare.same("2025-03-30T01:00:00", datetime.datetime(2025, 3, 30, 1, tzinfo=UTC)))

    def test_rows_are_a_multiset_unless_ordered(self):
        self.assertFalse(compare.difference([(1,), (2,), (2,)], [(2,), (1,), (2,)]))
        self.assertTrue(compare.difference([(1,), (2,), (2,)], [(2,), (1,), (1,)]))
        self.assertTrue(compare.difference([(1,), (2,)], [(2,), (1,)], ordered=True))

    def test_floats_that_sort_apart_still_meet(self):
        self.assertFalse(compare.difference([(Decimal("0.0000005"), "b"), (Decimal("0.0000004999999999"), "a")],
                                            [(0.0000005, "a"), (0.0000005, "b")]))  # fmt: skip


class Generating(unittest.TestCase):
    def test_dialects_nest(self):
        text = f"a {either('b ' + either('c', 'd'), 'e')} f"
        self.assertEqual((render(text, OURS), render(text, THEIRS)), ("a b c f", "a e f"))

    def test_the_same_choices_make_the_same_statement(self):
        kinds.load()
        for name in kinds.KINDS:
            choices = Choices(seed=name)
            text = kinds.make(name, choices).text
            self.assertEqual(kinds.make(name, Choices(replay=choices.made)).text, text)

    def test_a_failure_is_made_simpler(self):
        kinds.load()
        choices = Choices(seed=5)
        query = kinds.make("nested", choices)
        case = Case(0, "nested", query.text, choices=choices.made)
        smaller = shrink.reduce(case, lambda case: "FROM" in case.text, seconds=5)
        self.assertLess(len(smaller.text), 60, smaller.text)

    def test_written_statements_are_read(self):
        cases = analysts.read("-- one\n-- ordered\nSELECT 1\n\n-- two\nSELECT 2\n-- duckdb: SELECT\n-- 3\n")
        self.assertEqual([(case.ours(), case.theirs(), case.ordered) for case in cases],
                         [("SELECT 1", "SELECT 1", True), ("SELECT 2", "SELECT\n3", False)])  # fmt: skip


if __name__ == "__main__":
    unittest.main()
