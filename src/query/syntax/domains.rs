//! The type that a domain is over, as asyncpg asks for it: by a recursive query that goes from each
//! domain to the type below it, for the type in a row of the query around it.
//!
//! Here no domain is over another one, so it is the column `typbasetype` of that row.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, Query, Select, SetExpr, TableFactor,
};

use super::tree::normalized;

/// Column of `pg_type` with the type that a domain is over.
const BASE: &str = "typbasetype";

/// Returns what is the same as such a query; `None` if it is another one.
pub fn base_type(query: &Query) -> Option<Expr> {
    let with = query.with.as_ref().filter(|with| with.recursive)?;
    let [types] = &with.cte_tables[..] else { return None };
    let SetExpr::SetOperation { left, .. } = &*types.query.body else { return None };
    let SetExpr::Select(first) = &**left else { return None };
    let [of, depth] = &types.alias.columns[..] else { return None };
    let last = Query { with: None, ..query.clone() }.to_string();
    let name = &types.alias.name;
    let expected = format!("SELECT {} FROM {name} ORDER BY {} DESC LIMIT 1", of.name, depth.name);
    let table = outer_table(first)?;
    (last == expected).then(|| Expr::CompoundIdentifier(vec![table, Ident::new(BASE)]))
}

/// Returns the table around `SELECT t2.typbasetype, … FROM pg_type t2 WHERE t2.oid = t.oid`, here `t`.
fn outer_table(select: &Select) -> Option<Ident> {
    let [from] = &select.from[..] else { return None };
    let TableFactor::Table { name, alias: Some(alias), args: None, .. } = &from.relation else {
        return None;
    };
    let is_types = name.0.last()?.as_ident()?.value.eq_ignore_ascii_case("pg_type");
    let own = &alias.name;
    let begins = select.projection.first()?.to_string();
    let Some(Expr::BinaryOp { left, op: BinaryOperator::Eq, right }) = &select.selection else {
        return None;
    };
    let (Expr::CompoundIdentifier(left), Expr::CompoundIdentifier(right)) = (&**left, &**right)
    else {
        return None;
    };
    let ([left, left_oid], [table, oid]) = (&left[..], &right[..]) else { return None };
    let is_asked = from.joins.is_empty()
        && is_types
        && begins.starts_with(&format!("{own}.{BASE}"))
        && normalized(left) == normalized(own)
        && normalized(table) != normalized(own)
        && [left_oid, oid].iter().all(|oid| normalized(oid) == "oid");
    is_asked.then(|| table.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_of_a_domain_is_a_column() {
        let asked = |of: &str| {
            let sql = format!(
                "WITH RECURSIVE b(oid, depth) AS (SELECT t2.typbasetype AS oid, 0 AS depth FROM pg_type t2 WHERE t2.oid = {of} \
                 UNION ALL SELECT t2.typbasetype, b.depth + 1 FROM pg_type t2, b WHERE b.oid = t2.oid AND t2.typbasetype <> 0) \
                 SELECT oid FROM b ORDER BY depth DESC LIMIT 1"
            );
            let query = super::super::tree::query(&sql).unwrap();
            base_type(&query).map(|base| base.to_string())
        };
        assert_eq!(asked("t.oid").unwrap(), "t.typbasetype");
        assert_eq!(asked("t2.oid"), None);
        assert_eq!(asked("1"), None);
    }
}
