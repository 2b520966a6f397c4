//! Size limits of a statement.
//!
//! Parser, planner and optimizer recurse over a statement and never pause, so neither the memory
//! limit nor the timeout stops them: ten thousand operators in a row overflow the stack, which
//! aborts the process, and thirty CTEs that each name the previous one twice are a plan of a
//! billion nodes. A statement is therefore weighed before it is planned. SQLite limits the depth of
//! expressions (1,000) and the tables of a join (64) for the same reason. The memory of a running
//! statement is measured by [`memory`](super::memory).

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::common::Column;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr as PlanExpr, LogicalPlan};
use datafusion::sql::parser::{CopyToSource, Statement};
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArguments, ObjectName, Query, Select, SetExpr,
    TableFactor, Visitor,
};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::walk::walk;
use crate::error::{Error, Result};

/// Maximum weight of a statement. A literal or a name weighs 1, so that lists of tens of thousands
/// of values are allowed.
const BUDGET: u64 = 200_000;
/// Weight of an operator or call: allows up to a thousand, each of which may contain all others.
const OPERATOR: u64 = BUDGET / 1_000;
/// Weight of a table or part of a union: allows up to two hundred, since the time to plan them
/// grows with the square of their number.
const RELATION: u64 = BUDGET / 200;

/// Maximum number of nodes in all expressions of a plan, with the columns of subqueries replaced by
/// their expressions.
const WRITTEN_OUT: u64 = 250_000;

/// Maximum nesting depth of brackets, regardless of their contents.
const BRACKETS: usize = 100;

/// Bytes of stack per token that a statement may take while it is parsed, checked and dropped: a
/// chain of operators is parsed in a loop, but its tree is as deep as the chain is long.
const STACK_PER_TOKEN: usize = 4 << 10;
const MAX_STACK: usize = 256 << 20;

/// Rejects tokens that would make the parser recurse where it has no limit of its own (brackets in
/// types, `ARRAY<ARRAY<…`, `EXPLAIN EXPLAIN …`), and tokens of which no small statement can be made:
/// the tree takes a hundred times their memory.
pub fn check_tokens(tokens: &[TokenWithSpan]) -> Result<()> {
    let (mut depth, mut explains, mut weight) = (0_usize, 0, 0);
    for token in tokens {
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            Token::Word(word) if word.keyword == Keyword::EXPLAIN => explains += 1,
            _ => {}
        }
        weight += least_weight(&token.token);
        if depth > BRACKETS || explains > 2 {
            return Err(
                DataFusionError::SQL(Box::new(ParserError::RecursionLimitExceeded), None).into()
            );
        }
        if weight > BUDGET {
            return Err(too_large());
        }
    }
    Ok(())
}

/// Returns the least weight that a token adds to its statement.
fn least_weight(token: &Token) -> u64 {
    match token {
        Token::Word(word) if word.keyword == Keyword::SELECT => RELATION / 2,
        Token::Word(_)
        | Token::Whitespace(_)
        | Token::Comma
        | Token::Period
        | Token::LParen
        | Token::RParen
        | Token::RBracket
        | Token::LBrace
        | Token::RBrace => 0,
        // One operator has at most two symbols.
        token if !is_value(token) => OPERATOR / 2,
        _ => 1,
    }
}

/// Reports whether a token is a literal or a parameter.
fn is_value(token: &Token) -> bool {
    let text = token.to_string();
    text.starts_with(|first: char| first.is_alphanumeric() || "'\"$?.".contains(first))
}

/// Runs `work` on a stack deep enough for the tree that `tokens` tokens may become.
pub fn with_stack<T>(tokens: usize, work: impl FnOnce() -> T) -> T {
    let stack = tokens.saturating_mul(STACK_PER_TOKEN).min(MAX_STACK);
    stacker::maybe_grow(stack, stack, work)
}

/// Rejects a statement that is too large to plan.
pub fn check(statement: &Statement) -> Result<()> {
    let mut size = Size::default();
    match statement {
        Statement::Statement(statement) => walk(&**statement, &mut size),
        Statement::Explain(explain) => check(&explain.statement),
        Statement::CopyTo(copy) => match &copy.source {
            CopyToSource::Query(query) => walk(query, &mut size),
            CopyToSource::Relation(_) => Ok(()),
        },
        Statement::CreateExternalTable(_) | Statement::Reset(_) => Ok(()),
    }
}

fn too_large() -> Error {
    Error::Limit(format!(
        "the statement is too large to plan: the limits are {} operators and {} tables, with \
        those of a CTE counted at each use; split it, or put values in an IN list",
        BUDGET / OPERATOR,
        BUDGET / RELATION,
    ))
}

/// Visitor that adds up the weight of a statement; a CTE is counted at each use.
#[derive(Default)]
struct Size {
    weight: u64,
    ctes: HashMap<String, u64>,
    /// Names of the CTEs not yet visited, by the addresses of their queries.
    named: HashMap<usize, String>,
    /// The weight at the start of each open query.
    begun: Vec<u64>,
}

impl Size {
    fn add(&mut self, weight: u64) -> ControlFlow<Error> {
        self.weight = self.weight.saturating_add(weight);
        if self.weight > BUDGET {
            ControlFlow::Break(too_large())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// Reports whether a call casts to a type of fixed size: one null of it may take gigabytes.
fn is_of_fixed_size(call: &Function) -> bool {
    let FunctionArguments::List(list) = &call.args else { return false };
    let is_fixed = |arg: &FunctionArg| arg.to_string().contains("FixedSize");
    ["arrow_cast", "arrow_try_cast"].contains(&&*bare(&call.name))
        && list.args.iter().skip(1).any(is_fixed)
}

/// Returns the last part of a name, without its quotes, in lower case.
fn bare(name: &ObjectName) -> String {
    let last = name.0.last().and_then(|part| part.as_ident());
    last.map_or_else(String::new, |last| last.value.to_lowercase())
}

fn address(query: &Query) -> usize {
    std::ptr::from_ref(query).addr()
}

/// Counts the operators between the parts of a union; a part in parentheses is a query of its own.
fn set_operators(body: &SetExpr) -> u64 {
    match body {
        SetExpr::SetOperation { left, right, .. } => 1 + set_operators(left) + set_operators(right),
        _ => 0,
    }
}

impl Visitor for Size {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.named.insert(address(&cte.query), cte.alias.name.value.to_lowercase());
        }
        self.begun.push(self.weight);
        self.add(set_operators(&query.body).saturating_mul(RELATION / 2))
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        let begun = self.begun.pop().unwrap_or_default();
        if let Some(name) = self.named.remove(&address(query)) {
            // If scopes use a name twice, the heavier CTE counts.
            let weight = self.ctes.entry(name).or_default();
            *weight = (*weight).max(self.weight - begun);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, _: &Select) -> ControlFlow<Error> {
        self.add(RELATION / 2)
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<Error> {
        let cte = match table {
            TableFactor::Table { name, .. } => self.ctes.get(&bare(name)).copied(),
            _ => None,
        };
        self.add(RELATION.saturating_add(cte.unwrap_or_default()))
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        match expr {
            Expr::Value(_)
            | Expr::TypedString(_)
            | Expr::Identifier(_)
            | Expr::CompoundIdentifier(_) => self.add(1),
            Expr::Function(call) if is_of_fixed_size(call) => {
                ControlFlow::Break(Error::Limit("a type of a fixed size cannot be cast to".into()))
            }
            _ => self.add(OPERATOR),
        }
    }
}

/// Rejects a plan whose expressions become too large once the optimizer replaces the columns of
/// subqueries by their expressions: of twenty subqueries that each name a column of the previous
/// one twice, it makes a million nodes.
pub fn check_plan(plan: &LogicalPlan) -> Result<()> {
    let mut all = 0;
    written_out(plan, &mut all)?;
    if all > WRITTEN_OUT {
        Err(Error::Limit(format!(
            "the statement is too large to plan: with each use of a subquery's column replaced by \
            its expression, it has more than {WRITTEN_OUT} parts"
        )))
    } else {
        Ok(())
    }
}

/// Returns the number of nodes in each output column's expression, with columns replaced by their
/// expressions, and adds those of all expressions to `all`.
fn written_out(plan: &LogicalPlan, all: &mut u64) -> datafusion::common::Result<Vec<u64>> {
    let inputs = plan.inputs();
    let columns =
        inputs.iter().map(|input| written_out(input, all)).collect::<Result<Vec<_>, _>>()?;
    let of_column = |column: &Column| {
        let of = |(input, columns): (&&LogicalPlan, &Vec<u64>)| {
            columns.get(input.schema().maybe_index_of_column(column)?).copied()
        };
        inputs.iter().zip(&columns).find_map(of).unwrap_or(1)
    };
    let mut expressions = Vec::new();
    plan.apply_expressions(|expression| {
        let mut nodes = 0_u64;
        expression.apply(|node| {
            let column = if let PlanExpr::Column(column) = node { of_column(column) } else { 1 };
            nodes = nodes.saturating_add(column);
            Ok(TreeNodeRecursion::Continue)
        })?;
        expressions.push(nodes);
        Ok(TreeNodeRecursion::Continue)
    })?;
    *all = expressions.iter().fold(*all, |all, nodes| all.saturating_add(*nodes));
    plan.apply_subqueries(|subquery| {
        written_out(subquery, all).map(|_| TreeNodeRecursion::Continue)
    })?;
    let output = plan.schema();
    let widest = || expressions.iter().chain(columns.iter().flatten()).max().copied().unwrap_or(1);
    Ok(match (plan, &*columns) {
        (LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_), _)
            if expressions.len() == output.fields().len() =>
        {
            expressions
        }
        // Grouping sets.
        (LogicalPlan::Aggregate(_), _) => vec![widest(); output.fields().len()],
        (LogicalPlan::Window(_), [input]) => [&input[..], &expressions].concat(),
        (LogicalPlan::Union(_), _) => {
            let widest = |i: usize| {
                columns.iter().filter_map(|columns| columns.get(i)).max().copied().unwrap_or(1)
            };
            (0..output.fields().len()).map(widest).collect()
        }
        (_, [input]) if input.len() == output.fields().len() => input.clone(),
        _ => output.columns().iter().map(of_column).collect(),
    })
}

#[cfg(test)]
mod tests {
    use crate::query::parse;

    fn refused(sql: &str) -> bool {
        let refused = parse(sql).map(drop).map_err(|error| error.to_string());
        refused.is_err_and(|text| {
            text.contains("too large to plan") || text.contains("nested too deeply")
        })
    }

    #[test]
    fn statements_that_people_write_are_small_enough() {
        let values = vec!["'u'"; 50_000].join(", ");
        let cases = (0..150).map(|i| {
            format!("sum(CASE WHEN date_part('hour', timestamp) = {i} THEN 1 END) AS h{i}")
        });
        let unions = vec!["SELECT 1"; 150].join(" UNION ALL ");
        for sql in [
            format!("SELECT count(*) FROM events WHERE user_id IN ({values})"),
            format!("SELECT {} FROM events", cases.collect::<Vec<_>>().join(", ")),
            format!("SELECT 1 WHERE {}", vec!["1 = 1"; 450].join(" OR ")),
            unions,
            "SELECT user_id || ',' || event || ',' || to_char(timestamp, '%Y') FROM events".into(),
            format!("SELECT {}", vec!["sum(CASE WHEN to_char(timestamp, '%Y-%m') = '2020-01' THEN 1 END)"; 120].join(", ")),
            "SELECT string_agg(DISTINCT user_id, ', ' ORDER BY user_id) FROM events WHERE regexp_like(user_id, $1)".into(),
            "SELECT lag(n) OVER (ORDER BY h), lead(n, 7) OVER (ORDER BY h), sum(n) OVER (ORDER BY h ROWS BETWEEN 6 PRECEDING AND \
             CURRENT ROW), last_value(n) OVER (ORDER BY h), nth_value(n, (2)) OVER (ORDER BY h) FROM hours"
                .into(),
        ] {
            assert!(!refused(&sql), "{}", &sql[..70]);
        }
    }

    #[test]
    fn every_chain_is_refused_before_it_overflows_the_stack() {
        let n = 60_000;
        for (first, link) in [
            ("1", " + 1"),
            ("1", " OR 1"),
            ("1", "::int"),
            ("a", "[1]"),
            ("a", ".a"),
            ("1", " IS NULL"),
            ("1::int", "[]"),
            ("1", " UNION ALL SELECT 1"),
            ("1", " FROM a, b UNION SELECT 1"),
            ("1 FROM a", ", a"),
            ("1 FROM a", " JOIN a ON 1"),
        ] {
            assert!(refused(&format!("SELECT {first}{}", link.repeat(n))), "{first}{link}");
        }
        for (opening, closing) in [
            ("(", ")"),
            ("- ", ""),
            ("NOT(", ")"),
            ("CASE WHEN ", " END"),
            ("CAST(1 AS ARRAY<", ">)"),
            ("f(", ")"),
            ("EXISTS (SELECT ", ")"),
        ] {
            let nested = format!("SELECT {}1{}", opening.repeat(n), closing.repeat(n));
            assert!(crate::query::parse(&nested).is_err(), "{opening}");
        }
        let (types, end) = ("Nullable(".repeat(n), ")".repeat(n));
        assert!(refused(&format!("SELECT CAST(1 AS {types}INT{end})")));
        assert!(refused(&format!("SELECT CAST(1 AS {}INT{})", "ARRAY<".repeat(n), ">".repeat(n))));
        assert!(refused(&format!("{}SELECT 1", "EXPLAIN ".repeat(n))));
        assert!(refused(&format!("VALUES (1){}", " UNION ALL VALUES (1)".repeat(n))));
        assert!(
            crate::query::parse(&format!("COPY (SELECT 1{}) TO 'x'", " + 1".repeat(n))).is_err()
        );
    }

    #[test]
    fn a_cte_counts_wherever_it_is_named() {
        let chain = |length: usize, next: &str| {
            let ctes = (1..length)
                .map(|i| format!(", t{i} AS ({})", next.replace("LAST", &format!("t{}", i - 1))));
            format!(
                "WITH t0 AS (SELECT 1 AS a){} SELECT count(*) FROM t{}",
                ctes.collect::<String>(),
                length - 1
            )
        };
        assert!(!refused(&chain(10, "SELECT a FROM LAST")));
        assert!(!refused(&chain(4, "SELECT x.a FROM LAST x, LAST y")));
        assert!(refused(&chain(30, "SELECT x.a FROM LAST x, LAST y")));
        assert!(refused(&chain(30, "SELECT x.a FROM \"LAST\" x, LAST y")));
        assert!(refused(&chain(30, "SELECT x.a FROM \"LAST\" x, \"LAST\" y")));
    }
}
