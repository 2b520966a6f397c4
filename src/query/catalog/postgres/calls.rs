//! Registration of the functions for the statements that name one: others do not pay for them.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field};
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{Result, plan_err};
use datafusion::datasource::MemTable;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr, Function as Call, ObjectName, TableFactor, Visitor};

use super::facts::Facts;
use super::functions::udf;
use super::provider::{PG_CATALOG, catalog};
use super::values::{Value, array};
use crate::error::Error;
use crate::query::identifiers::RESERVED;
use crate::query::walk::walk;

/// Functions that return rows.
const OF_ROWS: [&str; 2] = ["pg_show_all_settings", "pg_get_keywords"];

/// Registers the functions if the statement names one of them.
pub fn register(state: &mut SessionState, statement: &Statement, facts: &Arc<Facts>) -> Result<()> {
    if !is_named(statement) {
        return Ok(());
    }
    for function in udf::all(facts) {
        state.register_udf(function)?;
    }
    for name in OF_ROWS {
        state.register_udtf(name, Arc::new(OfRows { name, facts: facts.clone() }));
    }
    Ok(())
}

/// Reports whether a statement calls one of the functions.
fn is_named(statement: &Statement) -> bool {
    match statement {
        Statement::Statement(statement) => walk(&**statement, &mut Calls).is_err(),
        Statement::Explain(explain) => is_named(&explain.statement),
        _ => false,
    }
}

/// Visitor that stops at a call of one of the functions.
struct Calls;

impl Visitor for Calls {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        match expr {
            Expr::Function(Call { name, .. }) if is_ours(name) => ControlFlow::Break(Error::Closed),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<Error> {
        match table {
            TableFactor::Table { name, args: Some(_), .. } if is_ours(name) => {
                ControlFlow::Break(Error::Closed)
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

/// The names of all functions.
static NAMES: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| udf::names().chain(OF_ROWS).collect());

fn is_ours(name: &ObjectName) -> bool {
    let name = name.0.last().and_then(|part| part.as_ident());
    name.is_some_and(|name| NAMES.contains(name.value.to_lowercase().as_str()))
}

/// A function that returns rows.
#[derive(Debug)]
struct OfRows {
    name: &'static str,
    facts: Arc<Facts>,
}

impl TableFunctionImpl for OfRows {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        if !args.exprs().is_empty() {
            return plan_err!("{} takes no arguments", self.name);
        }
        if self.name == "pg_show_all_settings" {
            let settings = catalog(PG_CATALOG, "pg_settings", &self.facts);
            return settings.map_or_else(|| plan_err!("there are no settings"), Ok);
        }
        let columns = ["word", "catcode", "catdesc"];
        let fields = columns.map(|name| Field::new(name, DataType::Utf8, false));
        let schema = Arc::new(arrow::datatypes::Schema::new(fields.to_vec()));
        let words = RESERVED.iter();
        let column = |of: fn(&str) -> &str| {
            array(
                &words.clone().map(|word| Value::from(of(word))).collect::<Vec<_>>(),
                &DataType::Utf8,
            )
        };
        let arrays = vec![column(|word| word)?, column(|_| "R")?, column(|_| "reserved")?];
        let batch = arrow::array::RecordBatch::try_new(schema.clone(), arrays)?;
        Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
    }
}
