//! Check of function calls against the kind of function: a scalar function has no FILTER, OVER or
//! ORDER BY, though the parser accepts them and the planner drops them.

use std::ops::ControlFlow;

use datafusion::execution::session_state::SessionState;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, Visitor,
};

use super::tree::{as_flow, normalized, refused};
use crate::error::{Error, Result};
use crate::query::walk::walk;

/// Rejects clauses in calls of functions that ignore them.
pub fn check_calls(statement: &Statement, state: &SessionState) -> Result<()> {
    match statement {
        Statement::Statement(statement) => walk(&**statement, &mut Calls(state)),
        Statement::Explain(explain) => check_calls(&explain.statement, state),
        _ => Ok(()),
    }
}

struct Calls<'a>(&'a SessionState);

impl Visitor for Calls<'_> {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        let Expr::Function(call) = expr else { return ControlFlow::Continue(()) };
        as_flow(self.check(call))
    }
}

impl Calls<'_> {
    fn check(&self, call: &Function) -> Result<()> {
        let Some(name) = call.name.0.last().and_then(|part| part.as_ident()).map(normalized) else {
            return Ok(());
        };
        // A name of both an aggregate and a window function means the aggregate if it has OVER, as
        // in the planner; a scalar function takes precedence.
        let is_scalar = self.0.scalar_functions().contains_key(&name);
        let is_aggregate = self.0.aggregate_functions().contains_key(&name);
        let is_window = self.0.window_functions().contains_key(&name);
        let is_known = is_scalar || is_aggregate || is_window;
        if is_known && name != "count" && has_wildcard(call) {
            return Err(refused(format!("{name}(*)"), "write a column"));
        }
        let clause = match (is_scalar, is_aggregate, is_window) {
            (true, _, _) => clause(call),
            (_, true, _) => None,
            (_, _, true) if call.over.is_none() => {
                return Err(refused(
                    format!("{name} without OVER"),
                    "write OVER (ORDER BY …) after it",
                ));
            }
            (_, _, true) => call.filter.as_ref().map(|_| "FILTER"),
            _ => None,
        };
        match (clause, is_scalar) {
            (None, _) => Ok(()),
            (Some(clause), true) => Err(refused(
                format!("{clause} with {name}"),
                "it is no aggregate, it takes one row; write CASE",
            )),
            (Some(clause), false) => {
                Err(refused(format!("{clause} with {name}"), "write a subquery with WHERE"))
            }
        }
    }
}

fn has_wildcard(call: &Function) -> bool {
    let FunctionArguments::List(list) = &call.args else { return false };
    list.args.iter().any(|arg| matches!(arg, FunctionArg::Unnamed(FunctionArgExpr::Wildcard)))
}

/// Returns a clause of the call that only an aggregate or a window function reads.
fn clause(call: &Function) -> Option<&'static str> {
    let list = if let FunctionArguments::List(list) = &call.args { Some(list) } else { None };
    let sorted = |list: &&_| {
        let list: &datafusion::sql::sqlparser::ast::FunctionArgumentList = list;
        list.clauses.iter().any(|clause| matches!(clause, FunctionArgumentClause::OrderBy(_)))
    };
    let clauses = [
        (call.filter.is_some(), "FILTER"),
        (call.over.is_some(), "OVER"),
        (call.null_treatment.is_some(), "IGNORE or RESPECT NULLS"),
        (!call.within_group.is_empty(), "WITHIN GROUP"),
        (
            list.is_some_and(|list| list.duplicate_treatment == Some(DuplicateTreatment::Distinct)),
            "DISTINCT",
        ),
        (list.as_ref().is_some_and(sorted), "ORDER BY"),
        (list.is_some_and(|list| !list.clauses.is_empty()), "a clause in the arguments"),
    ];
    clauses.into_iter().find(|(is_there, _)| *is_there).map(|(_, clause)| clause)
}
