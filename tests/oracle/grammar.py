"""The grammar that all kinds share: columns, relations, expressions of a wanted type, and queries of them.

`Grammar` holds the choices and the names given so far. A relation is text for FROM with the columns it has; an expression is
text. All that is made here has one answer: what would depend on the order of rows is written with all of the order.
"""

from dataclasses import dataclass, field

from expressions import Expressions


@dataclass(frozen=True)
class Column:
    """A column as expressions name it, and its type: ts, date, int, float, text, bool, naive (a time of no zone)."""

    name: str
    type: str


@dataclass
class Relation:
    text: str
    columns: list

    def of(self, *types):
        return [column.name for column in self.columns if column.type in types]


@dataclass
class Query:
    """A statement, the names and types of its columns, and whether all of its order is said."""

    text: str
    columns: list = field(default_factory=list)
    ordered: bool = False


EVENTS = [("timestamp", "ts"), ("user_id", "text"), ("event", "text"), ("date", "date"), ("hour", "int")]
HOURS = [("hour", "ts"), ("unique_users", "int"), ("clicks", "int"), ("impressions", "int")]
COMPARISONS = ["=", "<", ">=", "<>", ">", "<="]


class Grammar(Expressions):
    def __init__(self, choices):
        self.choices = choices
        self.pick, self.chance, self.below = choices.pick, choices.chance, choices.below
        self.between, self.some = choices.between, choices.some
        self.counter = 0
        # CTEs that relations may name: name and columns.
        self.ctes = []

    def name(self, prefix):
        self.counter += 1
        return f"{prefix}{self.counter}"

    # Relations

    def events(self, alias=None):
        alias = alias or self.name("e")
        return Relation(f"events {alias}", [Column(f"{alias}.{name}", of) for name, of in EVENTS])

    def distinct_events(self):
        """Events that differ: two windows of one statement may number rows that are alike each in its own way."""
        events = self.events()
        alias = events.text.split()[1]
        return Relation(f"(SELECT DISTINCT * FROM events) AS {alias}", events.columns)

    def relation(self, depth=1):
        """Something to stand in FROM."""
        makers = [self.events, self.events, self.events, self.hours, self.values, self.series]
        if depth > 0:
            makers += [lambda: self.subquery(depth - 1)] * 2
        if self.ctes:
            makers += [self.cte_use] * 2
        return self.pick(makers)()

    def hours(self):
        alias = self.name("h")
        return Relation(f"hours {alias}", [Column(f"{alias}.{name}", of) for name, of in HOURS])

    def cte_use(self):
        alias = self.name("c")
        name, columns = self.pick(self.ctes)
        return Relation(f"{name} AS {alias}", [Column(f"{alias}.{column}", of) for column, of in columns])

    def values(self):
        alias = self.name("v")
        rows = [f"({self.between(0, 24)}, {self.literal('text')}, {self.literal('ts')})" for _ in range(self.between(1, 4))]
        if self.chance(4):
            rows.append("(NULL, NULL, NULL)")
        columns = [Column(f"{alias}.n", "int"), Column(f"{alias}.word", "text"), Column(f"{alias}.moment", "ts")]
        return Relation(f"(VALUES {', '.join(rows)}) AS {alias}(n, word, moment)", columns)

    def series(self):
        alias = self.name("s")
        last, step = self.between(1, 24), self.pick([1, 1, 2, 5])
        return Relation(f"generate_series(0, {last}, {step}) AS {alias}(n)", [Column(f"{alias}.n", "int")])

    def subquery(self, depth):
        alias = self.name("q")
        query = self.query(depth)
        return Relation(f"({query.text}) AS {alias}", [Column(f"{alias}.{name}", of) for name, of in query.columns])

    # Queries

    def query(self, depth=1):
        """A query that may stand anywhere."""
        makers = [self.plain_query, self.plain_query, self.grouped_query]
        if depth > 0:
            makers += [self.joined_query, self.set_query, self.distinct_query, self.limited_query, self.window_query]
        return self.pick(makers)(depth)

    def where(self, relation, depth=0, one_in=2):
        """Often a condition."""
        return f" WHERE {self.condition(relation, 1 + depth)}" if self.below(one_in) else ""

    def project(self, relation, count=None, depth=1, types=("text", "int", "ts", "date", "bool", "float")):
        """Select items and their columns."""
        items, columns = [], []
        for _ in range(count or self.between(1, 3)):
            of, name = self.pick(types), self.name("x")
            items.append(f"{self.expr(of, relation, depth)} AS {name}")
            columns.append((name, of))
        return ", ".join(items), columns

    def plain_query(self, depth=0):
        relation = self.relation(depth - 1)
        items, columns = self.project(relation)
        return Query(f"SELECT {items} FROM {relation.text}{self.where(relation)}", columns)

    def grouped_query(self, depth=0):
        relation = self.relation(depth - 1)
        return self.group(relation, self.where(relation))

    def group(self, relation, where="", having_one_in=4):
        """An aggregation of a relation."""
        keys, aggregates = [], []
        for _ in range(self.below(3)):
            of = self.pick(["text", "int", "ts", "date", "bool"])
            keys.append((self.name("k"), of, self.key(of, relation)))
        for _ in range(self.between(1, 3)):
            of = self.pick(["int", "float", "text", "ts", "date"])
            aggregates.append((self.name("a"), of, self.aggregate(of, relation)))
        items = ", ".join(f"{text} AS {name}" for name, _, text in keys + aggregates)
        places = ", ".join(str(i + 1) for i in range(len(keys)))
        group = f" GROUP BY {places}" if keys else ""
        having = f" HAVING {self.having(relation)}" if keys and self.chance(having_one_in) else ""
        columns = [(name, of) for name, of, _ in keys + aggregates]
        return Query(f"SELECT {items} FROM {relation.text}{where}{group}{having}", columns)

    def having(self, relation):
        return f"{self.aggregate('int', relation)} {self.pick(COMPARISONS)} {self.below(6)}"

    def joined(self, depth=0):
        """A join of two relations, bounded in size."""
        left = self.events()
        right = self.relation(depth)
        kind = self.pick(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
        return self.join(left, kind, right)

    def join(self, left, kind, right):
        both = Relation("", left.columns + right.columns)
        on = self.join_condition(left, right)
        if kind != "FULL JOIN" and self.chance(3):
            on += f" AND {self.condition(both, 0)}"
        both.text = f"{left.text} {kind} {right.text} ON {on}"
        return both

    def join_condition(self, left, right):
        """Equality of a column of each, of one type."""
        pairs = [(a.name, b.name) for a in left.columns for b in right.columns if a.type == b.type and a.type != "float"]
        if not pairs:
            return f"{self.expr('int', left, 0)} = {self.expr('int', right, 0)}"
        a, b = self.pick(pairs)
        return f"{a} = {b}"

    def joined_query(self, depth=1):
        relation = self.joined(depth - 1)
        where = self.where(relation)
        if self.chance(2):
            return self.group(relation, where)
        items, columns = self.project(relation)
        return Query(f"SELECT {items} FROM {relation.text}{where}", columns)

    def set_query(self, depth=1, types=None):
        """UNION, INTERSECT or EXCEPT of queries with the same types."""
        types = types or [self.pick(["text", "int", "ts", "date"]) for _ in range(self.between(1, 2))]
        names = [self.name("y") for _ in types]
        operator = self.pick(["UNION ALL", "UNION", "INTERSECT", "EXCEPT"])
        sides = [self.set_side(types, names, depth - 1) for _ in range(2)]
        return Query(f"{sides[0]} {operator} {sides[1]}", list(zip(names, types)))

    def set_side(self, types, names, depth):
        if depth > 0 and self.chance(3):
            return f"({self.set_query(depth, types).text})"
        relation = self.relation(depth - 1)
        items = ", ".join(f"{self.expr(of, relation, 1)} AS {name}" for of, name in zip(types, names))
        return f"SELECT {items} FROM {relation.text}{self.where(relation)}"

    def distinct_query(self, depth=1):
        relation = self.relation(depth - 1)
        items, columns = self.project(relation, types=("text", "int", "date", "bool"))
        return Query(f"SELECT DISTINCT {items} FROM {relation.text}{self.where(relation)}", columns)

    def limited_query(self, depth=1):
        """The first rows in an order of all columns."""
        query = self.plain_query(depth)
        kept = [(name, of) for name, of in query.columns if of != "float"]
        if len(kept) < len(query.columns):
            return query
        return Query(query.text + self.order([name for name, _ in kept]) + self.limit(), query.columns, True)

    def order(self, names):
        """ORDER BY all the names, in an order and directions of its own."""
        terms = [f"{name}{self.pick(['', ' DESC', ' NULLS FIRST', ' DESC NULLS LAST'])}" for name in self.some(names, len(names))]
        return f" ORDER BY {', '.join(terms)}"

    def limit(self):
        limit, offset = f" LIMIT {self.pick([1, 3, 10, 40, 0])}", f" OFFSET {self.between(1, 5)}"
        return self.pick([limit, limit, limit + offset, offset])

    def window_query(self, depth=1):
        relation = self.events()
        name, of = self.name("w"), self.pick(["int", "text", "ts"])
        items, columns = self.project(relation, types=("text", "int", "ts", "date"))
        text = f"SELECT {items}, {self.window(of, relation)} AS {name} FROM {relation.text}{self.where(relation)}"
        return Query(text, columns + [(name, of)])
