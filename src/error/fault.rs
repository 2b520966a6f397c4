//! Error texts of statements: rewrites DataFusion's messages in SQL's terms, without layer names or
//! plan trees, and suggests an alternative if one is known.

use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use strsim::levenshtein;

use super::pushed_down::pushed_down;

/// Replacements for DataFusion's "not supported" messages, by a fragment of the text. The first
/// match is used.
const UNSUPPORTED: [(&str, &str); 18] = [
    (
        "Unsupported LIMIT expression",
        "LIMIT and OFFSET take a number or a parameter, not an expression of rows",
    ),
    (
        "logical expression WindowFunction",
        "a window function cannot stand in WHERE, GROUP BY or HAVING: write QUALIFY, or WHERE around a subquery that has it",
    ),
    (
        "logical expression AggregateFunction",
        "an aggregate is not allowed here: write HAVING, or a subquery that has it",
    ),
    ("logical expression Exists", SUBQUERY),
    ("logical expression InSubquery", SUBQUERY),
    ("logical expression SetComparison", SUBQUERY),
    ("logical expression ScalarSubquery", CORRELATED),
    ("logical expression OuterReferenceColumn", CORRELATED),
    ("Correlated scalar subquery", CORRELATED),
    ("correlated scalar subquery", CORRELATED),
    ("Accessing outer reference columns is not allowed in the plan", CORRELATED),
    (
        "COUNT DISTINCT with multiple arguments",
        "count(DISTINCT …) takes one column: write SELECT count(*) FROM (SELECT DISTINCT a, b FROM …)",
    ),
    (
        "has no type information",
        "a variable @name is not answered here: write a parameter, $1 or $name",
    ),
    (
        "No infix parser for token",
        "there is no such operator here: write a function, such as x / y or concat(x, y)",
    ),
    (
        "is not a variable which can be viewed",
        "there is no option of this name: SHOW ALL lists them; SHOW TABLES, SHOW COLUMNS FROM a table and SHOW FUNCTIONS are \
         answered too",
    ),
    (
        "SHOW TABLES ",
        "SHOW TABLES stands alone: write SELECT table_name FROM information_schema.tables WHERE …",
    ),
    ("Expected: MATCH_CONDITION", ASOF),
    (
        "found: MATERIALIZED",
        "MATERIALIZED is not answered here: leave it out, it changes no answer",
    ),
];

const ASOF: &str = "ASOF JOIN is not answered here: write LEFT JOIN with the condition, and QUALIFY row_number() OVER (PARTITION BY … \
                    ORDER BY …) = 1";

const SUBQUERY: &str = "this EXISTS or IN with a subquery is supported only in WHERE: write a LEFT JOIN to a subquery with GROUP BY or \
                        DISTINCT, and IS NOT NULL";

const CORRELATED: &str = "a subquery that names columns of the statement around it is answered where it is one aggregate and ties \
                          them by = alone: write a JOIN with the condition, and GROUP BY";

const LATERAL: &str = "an aggregate in a LATERAL subquery is answered where it ties columns of the \
                       statement around it by = alone: write it as a subquery in SELECT, or a JOIN \
                       with the condition, and GROUP BY";

/// Functions of other engines, with what to write instead.
const OTHER_ENGINES: [(&str, &str); 45] = [
    ("age", "x - y, or now() - x"),
    ("any", "first_value(x)"),
    ("anylast", "last_value(x)"),
    ("argmax", "first_value(x ORDER BY y DESC)"),
    ("argmin", "first_value(x ORDER BY y)"),
    ("arrayjoin", "CROSS JOIN UNNEST(…)"),
    ("bool_count", "count(*) FILTER (WHERE x)"),
    ("columns", "the columns"),
    ("countif", "count(*) FILTER (WHERE condition)"),
    ("date", "CAST(x AS DATE)"),
    ("date_add", "x + INTERVAL '1 day'"),
    ("date_sub", "x - INTERVAL '1 day'"),
    ("dateadd", "x + INTERVAL '1 day'"),
    ("datediff", "date_diff('day', x, y)"),
    ("datepart", "date_part('part', x)"),
    ("formatdatetime", "to_char(x, format)"),
    ("from_unixtime", "to_timestamp_seconds(x)"),
    ("fromunixtimestamp", "to_timestamp_seconds(x)"),
    ("gen_random_uuid", "uuid()"),
    (
        "generate_series",
        "it in FROM: SELECT value FROM generate_series(1, 3); range(1, 4) is an array",
    ),
    ("grouparray", "array_agg(x)"),
    ("if", "CASE WHEN condition THEN x ELSE y END"),
    ("iff", "CASE WHEN condition THEN x ELSE y END"),
    ("ifnull", "coalesce(x, y)"),
    ("isnull", "x IS NULL"),
    ("json_extract", "the columns: an event has no JSON"),
    ("len", "length(x)"),
    ("match", "x ~ 'regular expression'"),
    ("quantile", "percentile_cont(0.5) WITHIN GROUP (ORDER BY x)"),
    ("quantileexact", "percentile_cont(0.5) WITHIN GROUP (ORDER BY x)"),
    ("strftime", "to_char(x, format)"),
    ("sumif", "sum(x) FILTER (WHERE condition)"),
    ("time_bucket", "date_bin(INTERVAL '1 hour', x)"),
    (
        "time_bucket_gapfill",
        "a LEFT JOIN from generate_series(…) to date_bin(INTERVAL '1 hour', x)",
    ),
    ("todate", "CAST(x AS DATE)"),
    ("todatetime", "CAST(x AS TIMESTAMP)"),
    ("tohour", "date_part('hour', x)"),
    ("tostartofday", "date_trunc('day', x)"),
    ("tostartofhour", "date_trunc('hour', x)"),
    ("tostartofinterval", "date_bin(INTERVAL '15 minutes', x)"),
    ("tostartofmonth", "date_trunc('month', x)"),
    ("tostartofweek", "date_trunc('week', x)"),
    ("tostring", "CAST(x AS VARCHAR)"),
    ("uniq", "count(DISTINCT x)"),
    ("uniqexact", "count(DISTINCT x)"),
];

/// Returns the message for a failed statement.
pub fn text(fault: &DataFusionError) -> String {
    if let Some(reason) = pushed_down(fault) {
        return rewrite(&reason);
    }
    // All names were found before the rules ran: this one was lost on the way out of its subquery.
    if matches!(fault.find_root(), DataFusionError::SchemaError(..))
        && fault.to_string().starts_with("Optimizer rule 'decorrelate_lateral_join' failed")
    {
        return LATERAL.into();
    }
    let text = match fault.find_root() {
        DataFusionError::SQL(error, _) => match &**error {
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => text
                .rsplit_once(" at Line: ")
                .map_or(text.as_str(), |(reason, _)| reason)
                .to_string(),
            ParserError::RecursionLimitExceeded => {
                return "the statement is nested too deeply".into();
            }
        },
        other => other.message().into_owned(),
    };
    rewrite(&text)
}

fn rewrite(text: &str) -> String {
    if let Some((_, message)) = UNSUPPORTED.iter().find(|(original, _)| text.contains(original)) {
        return (*message).to_string();
    }
    let message = unknown_function(text)
        .or_else(|| wrong_arguments(text))
        .or_else(|| ungrouped(text))
        .or_else(|| twice(text));
    if let Some(message) = message {
        return literals(&types(&message));
    }
    // DataFusion appends this note to errors that the statement caused.
    let text = text.split("\nThis issue was likely caused by a bug").next().unwrap_or_default();
    let text = LAYERS.iter().fold(text.to_string(), |text, layer| text.replace(layer, ""));
    let text = text.replace("hourglass.public.", "").replace(
        " or disable the datafusion.sql_parser.enable_ident_normalization configuration",
        "",
    );
    literals(&types(&without_tree(&text)))
}

/// Prefixes that layers add to an error.
const LAYERS: [&str; 7] = [
    "Error during planning: ",
    "Internal error: ",
    "This feature is not implemented: ",
    "Execution error: ",
    "Arrow error: ",
    "Parser error: ",
    "Cast error: ",
];

/// Rewrites `… column "events.user_id" must appear in the GROUP BY clause …`.
fn ungrouped(text: &str) -> Option<String> {
    let (clause, rest) = text.split_once(
        " must be in GROUP BY or an aggregate function: While expanding wildcard, column \"",
    )?;
    let (column, _) = rest.split_once("\" must appear in the GROUP BY clause")?;
    let clause = clause.rsplit("Column in ").next().unwrap_or_default();
    Some(format!(
        "the column {column} in {clause} must be in GROUP BY too, or in an aggregate such as max({column})"
    ))
}

/// Rewrites errors about duplicate table and column names.
fn twice(text: &str) -> Option<String> {
    if let Some((_, field)) = text.split_once("Schema contains duplicate qualified field name ") {
        let table = field.rsplit_once('.').map_or(field, |(table, _)| table);
        return Some(format!(
            "two tables are called {table}: give each a name of its own, FROM {table} a, {table} b"
        ));
    }
    let name = match text.split_once(" and unqualified field name ") {
        Some((_, rest)) => rest.split(" which would be").next().unwrap_or_default(),
        None => {
            let (_, rest) =
                text.split_once("require unique expression names but the expression \"")?;
            let (expression, _) = rest.split_once("\" at position")?;
            // `CAST(page AS Utf8)` has no alias.
            let alias = expression.rsplit_once(" AS ").map(|(_, alias)| alias);
            alias.filter(|alias| !alias.contains(')')).unwrap_or(expression)
        }
    };
    Some(format!("two columns are called {name}: give one of them another name, with AS"))
}

/// Replaces Arrow type names by SQL type names.
fn types(text: &str) -> String {
    let names = [
        ("Timestamp(µs, \"UTC\")", "TIMESTAMP"),
        ("Timestamp(ns, \"UTC\")", "TIMESTAMP"),
        ("Timestamp(ms, \"UTC\")", "TIMESTAMP"),
        ("Timestamp(ns)", "TIMESTAMP"),
        ("Timestamp(µs)", "TIMESTAMP"),
        ("Interval(MonthDayNano)", "INTERVAL"),
        ("Utf8View", "VARCHAR"),
        ("LargeUtf8", "VARCHAR"),
        ("Utf8", "VARCHAR"),
        ("UInt64", "BIGINT UNSIGNED"),
        ("Int64", "BIGINT"),
        ("Int32", "INT"),
        ("Float64", "DOUBLE"),
        ("Boolean", "BOOLEAN"),
        ("Date32", "DATE"),
    ];
    // `Utf8("click")` is a value, not a type.
    let replace = |text: String, (arrow, sql): &(&str, &str)| {
        let mut out = String::with_capacity(text.len());
        let mut rest = &text[..];
        while let Some((before, after)) = rest.split_once(arrow) {
            out.push_str(before);
            let is_value = !arrow.contains('(') && after.starts_with('(');
            let is_part = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
            out.push_str(if is_value || is_part { arrow } else { sql });
            rest = after;
        }
        out.push_str(rest);
        out
    };
    names.iter().fold(text.to_string(), replace)
}

/// Rewrites `Invalid function 'x'.\nDid you mean 'y'?`; DataFusion suggests the nearest name
/// however far it is.
fn unknown_function(text: &str) -> Option<String> {
    let (name, rest) = text.split_once("Invalid function '")?.1.split_once('\'')?;
    let near = rest
        .split_once("Did you mean '")
        .and_then(|(_, rest)| rest.split_once('\''))
        .map(|(near, _)| near);
    if let Some((_, instead)) = OTHER_ENGINES.iter().find(|(known, _)| *known == name) {
        return Some(format!("there is no function {name} here: write {instead}"));
    }
    let near = near.filter(|near| is_near(name, near));
    let suggestion = near
        .map_or_else(|| "SHOW FUNCTIONS lists them".into(), |near| format!("did you mean {near}?"));
    Some(format!("there is no function {name}: {suggestion}"))
}

/// Reports whether `other` is a plausible misspelling of `name`: at most one letter in three
/// differs.
pub fn is_near(name: &str, other: &str) -> bool {
    let letters = name.chars().count().min(other.chars().count());
    levenshtein(&name.to_lowercase(), &other.to_lowercase()) <= letters / 3
}

/// Rewrites `No function matches the given name and argument types 'f(Utf8)'. …`, which is followed
/// by the signatures.
fn wrong_arguments(text: &str) -> Option<String> {
    let (before, rest) =
        text.split_once("No function matches the given name and argument types '")?;
    let (call, rest) = rest.split_once("'. ")?;
    let candidates: Vec<&str> = match rest.split_once("Candidate functions:") {
        Some((_, candidates)) => {
            candidates.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
        }
        None => Vec::new(),
    };
    // Signatures in DataFusion's internal notation are left out.
    let is_readable = |candidate: &&str| {
        !["UserDefined", "Coercion(", "TypeSignatureClass", "{"]
            .iter()
            .any(|kind| candidate.contains(kind))
    };
    let candidates: Vec<&str> = candidates.into_iter().filter(is_readable).take(4).collect();
    let arity = before
        .split_once("expects ")
        .map(|(_, arity)| arity.split(['.', '\n']).next().unwrap_or_default());
    let message = match (candidates.is_empty(), arity) {
        (false, _) => format!(": write {}, or a CAST", candidates.join(", ")),
        (true, Some(arity)) => format!(": it takes {}", arity.trim()),
        (true, None) => {
            ": look at the number and the types of what it is given, and write a CAST where they differ".into()
        }
    };
    Some(format!("{call} cannot be called{message}"))
}

/// Cuts the text at the first plan tree: a name followed by `{`, or by `(` and another such name.
fn without_tree(text: &str) -> String {
    let is_tree = |rest: &str| {
        let name: String =
            rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let after = &rest[name.len()..];
        let inner = after.trim_start_matches(['(', '[']);
        let begins = name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.chars().any(|c| c.is_ascii_lowercase());
        begins && (after.starts_with(" { ") || inner.len() < after.len() && has_braces(inner))
    };
    let mut before = ' ';
    for (at, character) in text.char_indices() {
        if !before.is_ascii_alphanumeric() && character.is_ascii_uppercase() && is_tree(&text[at..])
        {
            let original =
                text[..at].trim_end().trim_end_matches([':', '(', '\'', '"', '`']).trim_end();
            return format!(
                "{original}: a part of the statement is not answered here, write it in another way"
            );
        }
        before = character;
    }
    text.to_string()
}

/// Reports whether a text begins with a name and a `{`.
fn has_braces(text: &str) -> bool {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
    rest.len() < text.len() && rest.starts_with(" { ")
}

/// Rewrites values as SQL: `Utf8("click")` becomes `'click'`, `Int64(1)` becomes 1, and
/// `count(Int64(1))` becomes `count(*)`.
fn literals(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text
        .replace("count(Int64(1)) AS count(*)", "count(*)")
        .replace("count(Int64(1))", "count(*)");
    while let Some((before, value, after)) = next_literal(&rest) {
        out.push_str(&before);
        out.push_str(&value);
        rest = after;
    }
    out.push_str(&rest);
    out
}

fn next_literal(text: &str) -> Option<(String, String, String)> {
    let kinds =
        ["Utf8View(", "LargeUtf8(", "Utf8(", "Int64(", "UInt64(", "Int32(", "Float64(", "Boolean("];
    let found = kinds.iter().filter_map(|kind| Some((text.find(kind)?, kind.len())));
    let (at, length) = found.min_by_key(|(at, length)| (*at, usize::MAX - length))?;
    let inner = &text[at + length..];
    let (value, after) = match inner.strip_prefix('"') {
        Some(inner) => {
            let (value, after) = inner.split_once("\")")?;
            (format!("'{}'", value.replace('\'', "''")), after)
        }
        None => {
            let (value, after) = inner.split_once(')')?;
            (value.to_string(), after)
        }
    };
    Some((text[..at].to_string(), value, after.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tree_and_no_layer_is_told() {
        for (original, message) in [
            ("Error during planning: no", "no"),
            (
                "Unsupported ast node in sqltorel: IsNormalized { expr: Identifier(Ident { value: \"a\" }) }",
                "Unsupported ast node in sqltorel: a part of the statement is not answered here, write it in another way",
            ),
            ("Unsupported for Utf8View + Int64: Int64(1)", "Unsupported for VARCHAR + BIGINT: 1"),
            (
                "Column in SELECT must be in GROUP BY or an aggregate function: While expanding wildcard, column \"e.a\" must \
                 appear in the GROUP BY clause or so",
                "the column e.a in SELECT must be in GROUP BY too, or in an aggregate such as max(e.a)",
            ),
            (
                "Schema contains duplicate qualified field name events.timestamp",
                "two tables are called events: give each a name of its own, FROM events a, events b",
            ),
            (
                "column count(Int64(1)) of Utf8(\"it's\") and UInt64(7)",
                "column count(*) of 'it''s' and 7",
            ),
            (
                "Invalid function 'uniqexact'.\nDid you mean 'exp'?",
                "there is no function uniqexact here: write count(DISTINCT x)",
            ),
            (
                "Invalid function 'lenght'.\nDid you mean 'length'?",
                "there is no function lenght: did you mean length?",
            ),
            (
                "Invalid function 'time_bucket'.\nDid you mean 'find_in_set'?",
                "there is no function time_bucket here: write date_bin(INTERVAL '1 hour', x)",
            ),
        ] {
            assert_eq!(rewrite(original), message);
        }
    }
}
