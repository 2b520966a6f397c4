"""Expressions of a wanted type over the columns of a relation, conditions, aggregates and window calls."""

from dialect import either
from stores import USERS

INSTANTS = [
    "2025-03-30T01:00:00Z", "2025-03-30T00:59:59.999999Z", "2025-10-26T01:00:00Z", "2025-10-26T00:30:00Z", "2025-03-09T07:00:00Z",
    "2025-11-02T06:00:00Z", "2024-02-29T00:00:00Z", "2024-12-30T00:00:00Z", "2025-01-01T00:00:00Z", "2025-01-06T12:00:00Z",
    "2025-03-29T22:00:01.234567Z", "1970-01-01T00:00:00Z", "2000-01-01T00:00:00Z",
]  # fmt: skip
DAYS = ["2025-03-30", "2025-10-26", "2024-02-29", "2024-12-31", "2025-01-06", "1970-01-01", "1999-12-31", "2025-03-29"]
UNITS = ["hour", "day", "minute", "week", "month", "second", "quarter", "year", "millisecond"]
PARTS = ["hour", "day", "minute", "month", "year", "dow", "doy", "week", "quarter", "isodow"]
INTERVALS = ["1 hour", "1 day", "30 minutes", "90 seconds", "7 days", "1 month", "1 year", "1 day 2 hours"]
SPANS = ["1 hour", "15 minutes", "30 minutes", "1 day", "6 hours", "90 minutes", "10 seconds", "7 days"]
ZONES = ["Europe/Berlin", "America/New_York", "UTC", "Asia/Kolkata", "Australia/Lord_Howe"]
PATTERNS = ["u%", "%1", "_1", "%a%", "%", "u_", "U%", "%\\%%", "O''%", "日%"]


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


class Expressions:
    """The part of the grammar that makes expressions; `self.pick` and the like come with the choices."""

    def expr(self, of, relation, depth=1):
        """An expression of a type."""
        columns = relation.of(of)
        if columns and (depth <= 0 or self.below(3) == 0):
            return self.pick(columns)
        if depth <= 0 or self.chance(6):
            return self.literal(of)
        return getattr(self, f"{of}_expr")(relation, depth - 1)

    def literal(self, of):
        makers = {
            "text": lambda: quoted(self.pick(USERS + ["click", "impression", ""])),
            "int": lambda: str(self.pick([0, 1, 2, 3, 7, 23, 100, -1])),
            "float": lambda: self.pick(["0.5", "1.25", "2.0", "-3.75", "100.125"]),
            "ts": lambda: f"TIMESTAMPTZ '{self.pick(INSTANTS)}'",
            "date": lambda: f"DATE '{self.pick(DAYS)}'",
            "bool": lambda: self.pick(["true", "false"]),
            "naive": lambda: f"TIMESTAMP '{self.pick(INSTANTS)[:-1]}'",
        }
        return makers[of]()

    def bound_literal(self, of):
        """A literal to compare with: an instant may be written without its zone, or as a text."""
        if of != "ts":
            return self.literal(of)
        return f"{self.pick(['TIMESTAMPTZ ', 'TIMESTAMP ', ''])}'{self.pick(INSTANTS)}'"

    # One method for each type; each alternative is a line, the simplest first.

    def common(self, of, relation, depth):
        """What every type has: CASE, COALESCE, NULLIF, and a choice of the greater."""
        a, b = self.expr(of, relation, depth), self.expr(of, relation, depth)
        return self.pick([
            lambda: f"CASE WHEN {self.condition(relation, depth)} THEN {a} END",
            lambda: f"nullif({a}, {b})",
            lambda: f"coalesce(nullif({a}, {b}), {a})",
            lambda: f"CASE WHEN {self.condition(relation, depth)} THEN {a} ELSE {b} END",
            lambda: f"greatest({a}, {b})",
            lambda: f"least({a}, {b})",
        ])()  # fmt: skip

    def text_expr(self, relation, depth):
        a = self.expr("text", relation, depth)
        n = self.between(1, 4)
        return self.pick([
            lambda: f"upper({a})",
            lambda: f"lower({a})",
            lambda: f"{a} || {self.expr('text', relation, depth)}",
            lambda: f"concat({a}, '-', {self.expr('text', relation, depth)})",
            lambda: f"concat_ws('/', {a}, {self.common('text', relation, 0)})",
            lambda: f"substr({a}, {n})",
            lambda: f"substring({a} FROM {n} FOR {self.between(0, 3)})",
            lambda: f"left({a}, {n})",
            lambda: f"right({a}, {n})",
            lambda: f"replace({a}, 'u', '_')",
            lambda: f"trim({a})",
            lambda: f"ltrim({a})",
            lambda: f"rtrim({a}, '1')",
            lambda: f"lpad({a}, {n + 3}, '*')",
            lambda: f"rpad({a}, {n + 3}, '日')",
            lambda: f"reverse({a})",
            lambda: f"repeat({a}, {self.between(0, 2)})",
            lambda: f"split_part({a}, '{self.pick(['e', '1', '_', ','])}', {self.between(1, 2)})",
            lambda: f"translate({a}, 'u1', 'v')",
            lambda: f"md5({a})",
            lambda: f"regexp_replace({a}, '{self.pick(['[0-9]+', '^u', '.', 'a|e'])}', '#'{self.pick(['', chr(44) + chr(39) + 'g' + chr(39)])})",
            lambda: f"CAST({self.expr('int', relation, depth)} AS VARCHAR)",
            lambda: f"CAST({self.expr('date', relation, depth)} AS VARCHAR)",
            lambda: self.time_text(relation, depth),
            lambda: self.common("text", relation, depth),
            lambda: self.common("text", relation, depth),
        ])()  # fmt: skip

    def time_text(self, relation, depth):
        """An instant, written by a format."""
        pattern = self.pick(["%Y-%m-%d", "%H:%M", "%Y-%m-%d %H:%M:%S", "%j", "%A", "%b %d", "%G-W%V"])
        at = self.expr("ts", relation, depth)
        return either(f"to_char({at}, '{pattern}')", f"strftime({at}, '{pattern}')")

    def int_expr(self, relation, depth):
        a, b = self.expr("int", relation, depth), self.expr("int", relation, depth)
        word, n = self.expr("text", relation, depth), self.between(1, 5)
        return self.pick([
            lambda: f"({a} + {b})",
            lambda: f"({a} - {b})",
            lambda: f"({a} * {n})",
            lambda: f"({a} / {n})",
            lambda: f"({a} % {n})",
            lambda: f"({a} / nullif({b}, 0))",
            lambda: f"mod({a}, {n})",
            lambda: f"abs({a})",
            lambda: f"(- {a})",
            lambda: f"length({word})",
            lambda: f"char_length({word})",
            lambda: either(f"octet_length({word})", f"strlen({word})"),
            lambda: f"strpos({word}, '1')",
            lambda: f"position('u' IN {word})",
            lambda: f"ascii({word})",
            lambda: f"({a} {self.pick(['&', '|', '<<', '>>'])} {n})",
            lambda: self.part(relation, depth),
            lambda: self.part(relation, depth),
            lambda: f"CAST({self.expr('bool', relation, depth)} AS INTEGER)",
            lambda: f"CAST(floor({self.expr('float', relation, depth)}) AS BIGINT)",
            lambda: f"levenshtein({word}, 'user1')",
            lambda: self.common("int", relation, depth),
            lambda: self.common("int", relation, depth),
        ])()  # fmt: skip

    def part(self, relation, depth):
        """A part of an instant or a day."""
        at = self.expr(self.pick(["ts", "ts", "date"]), relation, depth)
        part = self.pick(PARTS)
        if part == "hour":
            at = self.expr("ts", relation, depth)
        if part == "minute":
            at = self.expr("ts", relation, depth)
        call = self.pick([f"date_part('{part}', {at})", f"extract({part} FROM {at})"])
        return f"CAST({call} AS BIGINT)"

    def float_expr(self, relation, depth):
        a, n = self.expr("int", relation, depth), self.between(1, 5)
        x = self.expr("float", relation, depth)
        return self.pick([
            lambda: f"({a} / {n}.0)",
            lambda: f"CAST({a} AS DOUBLE)",
            lambda: f"({x} + {self.expr('float', relation, depth)})",
            lambda: f"({x} * {n})",
            lambda: f"({a} * 1.0 / nullif({self.expr('int', relation, depth)}, 0))",
            lambda: f"round({a} / 4.0, 1)",
            lambda: f"sqrt(abs({x}))",
            lambda: f"{self.pick(['floor', 'ceil', 'round', 'trunc', 'abs', 'sign'])}({x})",
            lambda: f"power({a}, 2)",
            lambda: f"{self.pick(['ln', 'log10', 'log2'])}(abs({x}) + 1)",
            lambda: f"exp({a} % 5)",
            lambda: f"extract(epoch FROM {self.expr('ts', relation, depth)})",
            lambda: f"{self.pick(['sin', 'cos', 'atan', 'radians', 'degrees'])}({a})",
            lambda: self.common("float", relation, depth),
        ])()  # fmt: skip

    def ts_expr(self, relation, depth):
        at = self.expr("ts", relation, depth)
        return self.pick([
            lambda: f"date_trunc('{self.pick(UNITS)}', {at})",
            lambda: f"({at} + INTERVAL '{self.pick(INTERVALS)}')",
            lambda: f"({at} - INTERVAL '{self.pick(INTERVALS)}')",
            lambda: self.bucket(at),
            lambda: f"({self.expr('naive', relation, depth)} AT TIME ZONE '{self.pick(ZONES)}')",
            lambda: f"(date_trunc('{self.pick(UNITS[:7])}', {at} AT TIME ZONE '{self.pick(ZONES)}') AT TIME ZONE 'UTC')",
            lambda: self.common("ts", relation, depth),
        ])()  # fmt: skip

    def bucket(self, at):
        """An instant cut to a span, as date_bin does from 1970 on."""
        span = self.pick(SPANS)
        origin = "'1970-01-01T00:00:00Z'"
        return either(
            f"date_bin(INTERVAL '{span}', {at}, TIMESTAMP {origin})",
            f"time_bucket(INTERVAL '{span}', {at}, TIMESTAMPTZ {origin})",
        )

    def naive_expr(self, relation, depth):
        at = self.expr("ts", relation, depth)
        zone = self.pick(ZONES)
        return self.pick([
            lambda: f"({at} AT TIME ZONE '{zone}')",
            lambda: f"date_trunc('{self.pick(UNITS)}', {at} AT TIME ZONE '{zone}')",
            lambda: f"({at} AT TIME ZONE '{zone}' + INTERVAL '{self.pick(INTERVALS)}')",
            lambda: f"CAST({self.expr('date', relation, depth)} AS TIMESTAMP)",
        ])()  # fmt: skip

    def date_expr(self, relation, depth):
        day, at = self.expr("date", relation, depth), self.expr("ts", relation, depth)
        return self.pick([
            lambda: f"CAST({at} AS DATE)",
            lambda: f"CAST({at} AT TIME ZONE '{self.pick(ZONES)}' AS DATE)",
            lambda: f"CAST({day} + INTERVAL '{self.pick(['1 day', '7 days', '1 month'])}' AS DATE)",
            lambda: f"CAST(date_trunc('{self.pick(UNITS[1:2] + UNITS[3:5])}', {day}) AS DATE)",
            lambda: self.common("date", relation, depth),
        ])()  # fmt: skip

    def bool_expr(self, relation, depth):
        return f"({self.condition(relation, depth)})"

    # Conditions

    def condition(self, relation, depth=1):
        """A predicate."""
        if depth > 0 and self.chance(3):
            a, b = self.condition(relation, depth - 1), self.condition(relation, depth - 1)
            return self.pick([f"({a}) AND ({b})", f"({a}) OR ({b})", f"NOT ({a})"])
        of = self.pick(["text", "int", "ts", "date", "text", "ts"])
        a, b = self.expr(of, relation, depth), self.expr(of, relation, 0)
        return self.pick([
            lambda: f"{a} = {b}",
            lambda: f"{a} {self.pick(['<', '>=', '<>', '>', '<='])} {b}",
            lambda: f"{a} {self.pick(['<', '>=', '<>', '=', '<='])} {self.bound_literal(of)}",
            lambda: f"{a} BETWEEN {self.bound_literal(of)} AND {self.bound_literal(of)}",
            lambda: f"{a} BETWEEN {b} AND {self.literal(of)}",
            lambda: f"{a} IN ({b}, {self.literal(of)})",
            lambda: f"{a} NOT IN ({self.literal(of)}, {self.literal(of)})",
            lambda: f"{a} IS {self.pick(['NOT NULL', 'NULL'])}",
            lambda: f"{a} IS {self.pick(['NOT DISTINCT', 'DISTINCT'])} FROM {b}",
            lambda: self.match(relation, depth),
            lambda: f"{a} >= {self.bound_literal(of)} AND {a} < {self.bound_literal(of)}",
            lambda: f"({a} = {b}) IS {self.pick(['TRUE', 'NOT TRUE', 'FALSE', 'UNKNOWN', 'NOT UNKNOWN'])}",
        ])()  # fmt: skip

    def match(self, relation, depth):
        """A text that is like a pattern."""
        a = self.expr("text", relation, depth)
        regex = quoted(self.pick(["^u[0-9]$", "1", "^U", "e|日", "[%_]"]))
        return self.pick([
            f"{a} {self.pick(['LIKE', 'NOT LIKE', 'ILIKE', 'NOT ILIKE'])} '{self.pick(PATTERNS[:7])}'",
            f"{a} LIKE '{self.pick(PATTERNS[7:])}' ESCAPE '\\'",
            f"starts_with({a}, 'u')",
            either(f"{a} ~ {regex}", f"regexp_matches({a}, {regex})"),
            either(f"{a} !~* {regex}", f"NOT regexp_matches({a}, {regex}, 'i')"),
            either(f"regexp_like({a}, {regex})", f"regexp_matches({a}, {regex})"),
            f"contains({a}, '1')",
            f"{a} SIMILAR TO '(u|U)[0-9]+'",
        ])

    # Aggregates and windows

    def key(self, of, relation):
        """What one groups by."""
        if of == "ts" and relation.of("ts"):
            at = self.pick(relation.of("ts"))
            return self.pick([f"date_trunc('{self.pick(UNITS)}', {at})", self.bucket(at), self.expr("ts", relation, 1)])
        return self.expr(of, relation, 1)

    def aggregate(self, of, relation, depth=1):
        """An aggregate of a type, often with FILTER."""
        call = getattr(self, f"{of}_aggregate")(relation, depth)
        if self.chance(3) and "percentile" not in call:
            call += f" FILTER (WHERE {self.condition(relation, 0)})"
        return call

    def int_aggregate(self, relation, depth):
        a, word = self.expr("int", relation, depth), self.expr("text", relation, 0)
        return self.pick([
            lambda: "count(*)",
            lambda: f"count(DISTINCT {word})",
            lambda: f"count({a})",
            lambda: f"sum({a})",
            lambda: f"min({a})",
            lambda: f"max({a})",
            lambda: f"sum(CASE WHEN {self.condition(relation, 0)} THEN 1 ELSE 0 END)",
            lambda: f"count(CASE WHEN {self.condition(relation, 0)} THEN 1 END)",
            lambda: f"sum(DISTINCT {a})",
            lambda: f"{self.pick(['bit_and', 'bit_or', 'bit_xor'])}({a})",
            lambda: f"count(DISTINCT {self.expr(self.pick(['int', 'ts', 'date']), relation, depth)})",
        ])()  # fmt: skip

    def float_aggregate(self, relation, depth):
        a = self.expr("int", relation, depth)
        return self.pick([
            lambda: f"avg({a})",
            lambda: f"avg({self.expr('float', relation, depth)})",
            lambda: f"sum({self.expr('float', relation, depth)})",
            lambda: f"stddev({a})",
            lambda: f"{self.pick(['var_samp', 'var_pop', 'stddev_pop', 'stddev_samp'])}({a})",
            lambda: f"median(CAST({a} AS DOUBLE))",
            lambda: f"percentile_cont({self.pick(['0.5', '0.9', '0.25', '0', '1'])}) WITHIN GROUP (ORDER BY CAST({a} AS DOUBLE){self.pick(['', ' DESC'])})",
            lambda: f"corr({a}, {self.expr('int', relation, 0)})",
            lambda: f"covar_{self.pick(['samp', 'pop'])}({a}, {self.expr('int', relation, 0)})",
            lambda: f"regr_slope({a}, {self.expr('int', relation, 0)})",
        ])()  # fmt: skip

    def text_aggregate(self, relation, depth):
        # Never a constant alone: DuckDB takes no order by one.
        base = self.pick(relation.of("text") or [f"CAST({name} AS VARCHAR)" for name in relation.of("int", "date")] or ["md5('')"])
        a = f"concat({base}, {self.expr('text', relation, depth)})" if self.chance(2) else base
        return self.pick([
            lambda: f"min({a})",
            lambda: f"max({a})",
            lambda: f"string_agg({a}, ',' ORDER BY {a}{self.pick(['', ' DESC'])})",
            lambda: f"string_agg(DISTINCT {a}, ',' ORDER BY {a})",
            lambda: either(f"first_value({a} ORDER BY {a})", f"first({a} ORDER BY {a})"),
            lambda: either(f"last_value({a} ORDER BY {a})", f"last({a} ORDER BY {a})"),
        ])()  # fmt: skip

    def ts_aggregate(self, relation, depth):
        return f"{self.pick(['min', 'max'])}({self.expr('ts', relation, depth)})"

    def date_aggregate(self, relation, depth):
        return f"{self.pick(['min', 'max'])}({self.expr('date', relation, depth)})"

    def bool_aggregate(self, relation, depth):
        return f"{self.pick(['bool_and', 'bool_or'])}({self.condition(relation, 0)})"

    def whole_order(self, relation):
        """An order of all rows of the events: what is equal in it is equal in all columns."""
        alias = relation.columns[0].name.split(".")[0]
        columns = self.some(["timestamp", "user_id", "event"], 3)
        return ", ".join(f"{alias}.{name}{self.pick(['', ' DESC'])}" for name in columns)

    def window(self, of, relation):
        """A window call over events."""
        partition = self.pick(["", f"PARTITION BY {self.expr(self.pick(['text', 'date', 'int']), relation, 1)} "])
        if self.chance(3):
            return self.peer_window(of, relation, partition)
        order = f"ORDER BY {self.whole_order(relation)}"
        a, n = self.expr(of, relation, 0), self.between(0, 3)
        ranks = ["row_number()", "rank()", "dense_rank()", f"ntile({n + 1})"]
        shifts = [f"lag({a})", f"lead({a}, {n})", f"lag({a}, {n}, {self.literal(of)})"]
        framed = [f"first_value({a})", f"last_value({a})", f"nth_value({a}, {n + 1})", f"min({a})", f"max({a})"]
        if of == "int":
            framed += ["count(*)", f"sum({a})", f"count({a}) FILTER (WHERE {self.condition(relation, 0)})"]
            shifts += ranks
        if self.chance(2):
            return f"{self.pick(framed)} OVER ({partition}{order} {self.rows_frame()})"
        return f"{self.pick(shifts)} OVER ({partition}{order})"

    def bound(self, side):
        return self.pick([f"UNBOUNDED {side}", "CURRENT ROW", f"{self.below(4)} {side}"])

    def rows_frame(self):
        n = self.below(3)
        return self.pick([
            f"ROWS BETWEEN {self.bound('PRECEDING')} AND {self.bound('FOLLOWING')}",
            "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
            f"ROWS {self.bound('PRECEDING')}",
            f"ROWS BETWEEN {n + self.below(3)} PRECEDING AND {n} PRECEDING",
            f"ROWS BETWEEN {n} FOLLOWING AND {n + self.below(3)} FOLLOWING",
            "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
        ])

    def peer_window(self, of, relation, partition):
        """A frame of RANGE or GROUPS, in which rows that are equal in the order come together: what does not ask which of
        them is first."""
        a = self.expr(of, relation, 0)
        calls = [f"min({a})", f"max({a})"]
        calls += ["count(*)", f"sum({a})", "rank()", "dense_rank()"] if of == "int" else []
        call = self.pick(calls)
        key, low, high = self.pick([
            (self.pick(relation.of("ts")), f"INTERVAL '{self.pick(SPANS)}'", f"INTERVAL '{self.pick(SPANS)}'"),
            (self.pick(relation.of("int")), str(self.below(5)), str(self.below(5))),
            (self.pick(relation.of("date")), "INTERVAL '1 day'", "INTERVAL '7 days'"),
        ])
        order = f"ORDER BY {key}{self.pick(['', ' DESC'])}"
        frame = self.pick([
            "",
            f"RANGE BETWEEN {low} PRECEDING AND {high} FOLLOWING",
            f"RANGE BETWEEN {low} PRECEDING AND CURRENT ROW",
            f"RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
            f"GROUPS BETWEEN {self.below(3)} PRECEDING AND {self.below(3)} FOLLOWING",
            f"GROUPS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
        ])
        return f"{call} OVER ({partition}{order} {frame})"
