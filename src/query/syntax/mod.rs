//! Statement syntax: rewrites and checks a parsed statement before DataFusion plans it.
//!
//! sqlparser accepts far more than DataFusion's planner, and the planner ignores many of the fields
//! that it does not know: `PREWHERE user_id = 'u1'` is parsed, and then every row is counted. So
//! each statement goes through these steps. [`settings`] and [`postgres`] translate what clients of
//! PostgreSQL send, [`constants`] its intervals and bytes, [`names`] names the columns of the result as they were
//! written, [`rewrite`] translates the syntax of other dialects to DataFusion's, and [`clauses`],
//! [`relations`], [`expressions`] and [`verbs`] reject by name what remains that the planner would
//! drop. They destructure the syntax tree field by field, without `..`: a field that a later
//! sqlparser adds does not compile until somebody has decided about it.
//!
//! Checks that need the names of functions are made by [`calls`] once the session is known;
//! [`arguments`] binds the parameters of table functions;
//! [`plans`], [`single_rows`], [`sort_keys`] and [`subqueries`] correct the logical plan.

mod arguments;
mod calls;
mod casts;
mod clauses;
mod constants;
mod domains;
mod expressions;
mod like;
mod limits;
mod names;
mod plans;
mod postgres;
mod quantified;
mod relations;
mod rewrite;
mod settings;
mod similar;
mod single_rows;
mod sort_keys;
mod subqueries;
mod tables;
mod tree;
mod unnested;
mod using;
mod verbs;
mod windows;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::Statement as Ast;

pub use self::arguments::bind_table_arguments;
pub use self::calls::check_calls;
pub use self::limits::bind_limits;
pub use self::names::{Naming, shown_name};
pub use self::plans::{MultisetRule, NullAwareRule};
pub use self::settings::{called_changes, session_changes};
pub use self::single_rows::SingleRows;
pub use self::sort_keys::SortKeysRule;
pub use self::subqueries::CountedSubqueries;
pub use self::tables::suggest_table;
pub use self::verbs::{check_numbers, check_verb, read_table};
use crate::error::Result;
use crate::query::walk::walk;

/// Names, rewrites and checks a parsed statement.
///
/// # Errors
/// [`Error::Invalid`](crate::error::Error::Invalid) names the clause that is not supported and says
/// what to write instead.
pub fn prepare(statement: &mut Statement, naming: Naming) -> Result<()> {
    let inner = verbs::check(statement)?;
    let Some(inner) = inner else { return Ok(()) };
    settings::rewrite(inner)?;
    postgres::rewrite(inner)?;
    names::name_columns(inner, naming);
    rewrite::rewrite(inner)?;
    check(inner)
}

fn check(statement: &Ast) -> Result<()> {
    walk(statement, &mut clauses::Check)
}

#[cfg(test)]
mod tests {
    use crate::query::parse;

    fn refusal(sql: &str) -> String {
        match parse(sql) {
            Ok(_) => panic!("{sql} is answered"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_the_planner_would_drop_is_refused_by_name() {
        for (sql, clause) in [
            ("SELECT 1 FROM events GROUP BY hour WITH TOTALS", "WITH TOTALS"),
            ("SELECT 1 FROM events TABLESAMPLE BERNOULLI (10)", "TABLESAMPLE"),
            ("SELECT 1 FROM events FORMAT JSON", "FORMAT"),
            ("SELECT 1 FROM events SETTINGS max_threads = 1", "SETTINGS"),
            ("SELECT 1 FROM events FOR UPDATE", "FOR UPDATE"),
            ("SELECT 1 FROM events FINAL", "FINAL"),
            ("SELECT count(DISTINCT *) FROM events", "count(DISTINCT *)"),
            ("SELECT 1 FROM events FETCH FIRST 3 ROWS WITH TIES", "WITH TIES"),
            ("SELECT 1 FROM events FETCH FIRST 3 PERCENT ROWS ONLY", "PERCENT"),
            ("SELECT quantile(0.5)(hour) FROM events", "quantile(0.5)"),
            ("SELECT 1 FROM events a GLOBAL JOIN events b ON true", "GLOBAL"),
            ("SELECT 1 INTO t FROM events", "INTO"),
        ] {
            let text = refusal(sql);
            assert!(
                text.contains(clause) && text.contains("is not answered here"),
                "{sql}: {text}"
            );
        }
    }
}
