//! Named windows: replaces the windows that a WINDOW clause names by their definitions.
//!
//! The planner applies the clause only to the columns of the result: in ORDER BY and QUALIFY,
//! `sum(x) OVER w` became the aggregate `sum(x)`, and in `OVER (w ROWS …)` the window `w` was
//! dropped.

use std::collections::HashMap;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, NamedWindowDefinition, NamedWindowExpr, OrderBy, Select, WindowSpec, WindowType,
};

use super::tree::{Copies, edit_own_expressions, normalized};
use crate::error::{Error, Result};

type Named = HashMap<String, WindowSpec>;

/// Replaces the named windows of a SELECT and of the ORDER BY after it.
pub fn write_out(select: &mut Select, order_by: Option<&mut OrderBy>) -> Result<()> {
    let mut named = Named::new();
    let mut copies = Copies::default();
    for NamedWindowDefinition(name, definition) in std::mem::take(&mut select.named_window) {
        let spec = match definition {
            NamedWindowExpr::NamedWindow(other) => copied(&named, &other, &mut copies)?,
            NamedWindowExpr::WindowSpec(mut spec) => {
                complete(&mut spec, &named, &mut copies)?;
                spec
            }
        };
        if named.insert(normalized(&name), spec).is_some() {
            return Err(Error::Invalid(format!("the window {name} is defined twice")));
        }
    }
    edit_own_expressions(select, |expr| replace(expr, &named, &mut copies))?;
    order_by.map_or(Ok(()), |order_by| {
        edit_own_expressions(order_by, |expr| replace(expr, &named, &mut copies))
    })
}

/// Returns a copy of a named window, which counts towards the limit of copies.
fn copied(named: &Named, name: &Ident, copies: &mut Copies) -> Result<WindowSpec> {
    let spec = named.get(&normalized(name)).ok_or_else(|| {
        Error::Invalid(format!(
            "there is no window {name}: define it, WINDOW {name} AS (…), after the conditions"
        ))
    })?;
    copies.add(spec)?;
    Ok(spec.clone())
}

fn replace(expr: &mut Expr, named: &Named, copies: &mut Copies) -> Result<()> {
    let Expr::Function(call) = expr else { return Ok(()) };
    match &mut call.over {
        Some(WindowType::NamedWindow(name)) => {
            call.over = Some(WindowType::WindowSpec(copied(named, name, copies)?));
            Ok(())
        }
        Some(WindowType::WindowSpec(spec)) => complete(spec, named, copies),
        None => Ok(()),
    }
}

/// Adds to a specification what it inherits from the window that it names.
fn complete(spec: &mut WindowSpec, named: &Named, copies: &mut Copies) -> Result<()> {
    let Some(name) = spec.window_name.take() else { return Ok(()) };
    let base = copied(named, &name, copies)?;
    let again = match base {
        _ if !spec.partition_by.is_empty() => Some("PARTITION BY"),
        _ if !spec.order_by.is_empty() && !base.order_by.is_empty() => Some("ORDER BY"),
        _ if base.window_frame.is_some() => Some("a frame"),
        _ => None,
    };
    if let Some(again) = again {
        return Err(Error::Invalid(format!(
            "the window {name} has {again} already: write OVER {name}, or write it out"
        )));
    }
    spec.partition_by = base.partition_by;
    if spec.order_by.is_empty() {
        spec.order_by = base.order_by;
    }
    Ok(())
}
