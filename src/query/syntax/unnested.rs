//! Elements of the arrays in PostgreSQL's catalogs beside the rows that have them: `FROM pg_constraint con
//! CROSS JOIN unnest(con.conkey) AS key` becomes a table of the rows with a column more.

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, JoinOperator, Select, TableFactor, TableWithJoins,
};

use super::tree::{normalized, query};
use crate::error::Result;

/// Rewrites the joins of a SELECT that are such ones.
pub fn rewrite(select: &mut Select) -> Result<()> {
    select.from.iter_mut().try_for_each(join)
}

fn join(from: &mut TableWithJoins) -> Result<()> {
    let TableFactor::Table { name, alias, args: None, .. } = &from.relation else { return Ok(()) };
    let Some(last) = name.0.last().and_then(|part| part.as_ident()) else { return Ok(()) };
    let called = alias.as_ref().map_or(last, |alias| &alias.name);
    if !last.value.starts_with("pg_") {
        return Ok(());
    }
    let Some((array, column)) = from.joins.first().and_then(|join| match &join.join_operator {
        JoinOperator::CrossJoin(_) => unnested(&join.relation, called),
        _ => None,
    }) else {
        return Ok(());
    };
    let rows = query(&format!(
        "SELECT 1 FROM (SELECT *, unnest({array}) AS {column} FROM {name}) AS {called}"
    ))?;
    if let datafusion::sql::sqlparser::ast::SetExpr::Select(mut rows) = *rows.body
        && let Some(rows) = rows.from.pop()
    {
        from.relation = rows.relation;
        from.joins.remove(0);
    }
    Ok(())
}

/// Returns the column of `table` whose elements these are, and what each is called.
fn unnested(factor: &TableFactor, table: &Ident) -> Option<(Ident, Ident)> {
    let TableFactor::UNNEST { alias: Some(alias), array_exprs, with_offset: false, .. } = factor
    else {
        return None;
    };
    let array = match &array_exprs[..] {
        [Expr::Identifier(array)] => array,
        [Expr::CompoundIdentifier(parts)] => match &parts[..] {
            [of, array] if normalized(of) == normalized(table) => array,
            _ => return None,
        },
        _ => return None,
    };
    let column = match &alias.columns[..] {
        [] => &alias.name,
        [column] => &column.name,
        _ => return None,
    };
    Some((array.clone(), column.clone()))
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::SetExpr;

    use super::*;

    #[test]
    fn elements_become_a_column() {
        let rewritten = |sql| {
            let SetExpr::Select(mut select) = *query(sql).unwrap().body else { panic!("{sql}") };
            rewrite(&mut select).unwrap();
            select.to_string()
        };
        assert_eq!(
            rewritten("SELECT c.a, k FROM pg_constraint c CROSS JOIN unnest(c.conkey) AS k"),
            "SELECT c.a, k FROM (SELECT *, unnest(conkey) AS k FROM pg_constraint) AS c"
        );
        let other = "SELECT 1 FROM events CROSS JOIN UNNEST(x) AS k";
        assert_eq!(rewritten(other), other);
    }
}
