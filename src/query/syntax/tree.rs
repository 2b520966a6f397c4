//! Helpers shared by the checks and rewrites of a syntax tree.

use std::fmt::Display;
use std::ops::ControlFlow;

use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::ast::{Expr, Ident, Query, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};

use crate::error::{Error, Result};
use crate::query::walk::walk_mut;

/// Returns the error for a clause that is not supported, with what to write instead.
pub fn refused(clause: impl Display, instead: impl Display) -> Error {
    Error::Invalid(format!("{clause} is not answered here: {instead}"))
}

/// Counts the bytes that a rewrite copies.
#[derive(Default)]
pub struct Copies(pub usize);

impl Copies {
    pub fn add(&mut self, part: &impl Display) -> Result<()> {
        self.0 = self.0.saturating_add(part.to_string().len());
        if self.0 > COPIED_BYTES {
            Err(Error::Limit(
                "the statement is too large to plan once its short forms are written out".into(),
            ))
        } else {
            Ok(())
        }
    }
}

/// Returns a name as the planner reads it: in lower case unless quoted.
pub fn normalized(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

/// Returns an expression without the parentheses around it.
pub fn within_parentheses(expr: &Expr) -> &Expr {
    if let Expr::Nested(inner) = expr { within_parentheses(inner) } else { expr }
}

/// Parses an expression.
pub fn expression(sql: &str) -> Result<Expr> {
    let parsed = Parser::new(&GenericDialect {})
        .try_with_sql(sql)
        .and_then(|mut parser| parser.parse_expr());
    parsed.map_err(fault)
}

/// Parses a query.
pub fn query(sql: &str) -> Result<Box<Query>> {
    let parsed = Parser::new(&GenericDialect {})
        .try_with_sql(sql)
        .and_then(|mut parser| parser.parse_query());
    parsed.map_err(fault)
}

/// Applies a function to the expressions of a part of a statement, innermost first, but not to
/// those of nested queries.
pub fn edit_own_expressions(
    part: &mut impl VisitMut,
    mut edit: impl FnMut(&mut Expr) -> Result<()>,
) -> Result<()> {
    walk_mut(part, &mut OwnExpressions { edit: &mut edit, depth: 0 })
}

struct OwnExpressions<'a> {
    edit: &'a mut dyn FnMut(&mut Expr) -> Result<()>,
    /// Number of open queries.
    depth: usize,
}

impl VisitorMut for OwnExpressions<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if self.depth == 0 { as_flow((self.edit)(expr)) } else { ControlFlow::Continue(()) }
    }
}

pub fn as_flow(result: Result<()>) -> ControlFlow<Error> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

/// Maximum bytes of text that a rewrite may copy: a window of thousands of values, used a thousand
/// times, would be millions.
const COPIED_BYTES: usize = 1 << 20;

fn fault(error: ParserError) -> Error {
    DataFusionError::SQL(Box::new(error), None).into()
}
