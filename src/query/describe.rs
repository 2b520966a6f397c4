//! Description of a statement: the types of its parameters and of its columns, for a client that
//! asks before it runs it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ParamValues;
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Cast, Expr, LogicalPlan};
use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::Statement;

use super::catalog::postgres;
use super::engine::QueryEngine;
use super::parse::Parsed;
use super::session::Session;
use super::{limits, syntax};
use crate::error::{Error, Result};
use crate::storage::Snapshot;

/// Maximum time to plan a statement that is only described.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a statement takes and returns.
#[derive(Clone, Debug)]
pub struct Description {
    /// Types of `$1`, `$2`, ….
    pub parameters: Vec<DataType>,
    pub schema: SchemaRef,
}

impl QueryEngine {
    /// Describes a statement without running it. `declared` are the types of the parameters that
    /// the client has declared. A parameter whose type nothing says is a text.
    ///
    /// # Errors
    /// Those of [`QueryEngine::run_when_free`] before the first row.
    pub async fn describe(
        self: &Arc<Self>,
        session: &Session,
        snapshot: &Arc<Snapshot>,
        statement: Parsed,
        declared: Vec<Option<DataType>>,
    ) -> Result<Description> {
        let room = self.free_room().await?;
        let handle = room.slot.runtime().handle().clone();
        let (engine, session, snapshot) = (self.clone(), session.clone(), snapshot.clone());
        let describing = async move {
            let deadline = Instant::now() + TIMEOUT;
            let described = Box::pin(engine.describe_here(session, snapshot, statement, declared));
            tokio::select! {
                described = tokio::time::timeout_at(deadline.into(), described) => described
                    .unwrap_or_else(|_| Err(Error::Limit("the statement takes too long to plan (query_timeout)".into()))),
                error = room.slot.account.over() => Err(error),
            }
        };
        handle.spawn(describing).await.map_err(|_| Error::Panicked)?
    }

    async fn describe_here(
        self: Arc<Self>,
        session: Session,
        snapshot: Arc<Snapshot>,
        statement: Parsed,
        declared: Vec<Option<DataType>>,
    ) -> Result<Description> {
        let nothing = Arc::new(arrow::datatypes::Schema::empty());
        if syntax::session_changes(&statement.statement)?.is_some() {
            return Ok(Description { parameters: Vec::new(), schema: nothing });
        }
        let (mut state, facts) = self.state(&session, &snapshot, &Arc::default())?;
        postgres::register(&mut state, &statement.statement, &facts)?;
        syntax::check_calls(&statement.statement, &state)?;
        let plan = state
            .statement_to_plan(Statement::clone(&statement.statement))
            .await
            .map_err(|error| syntax::suggest_table(error, &state))?;
        if matches!(plan, LogicalPlan::Statement(_)) {
            return Ok(Description { parameters: Vec::new(), schema: nothing });
        }
        describe(&state, plan, &declared)
    }
}

fn describe(
    state: &SessionState,
    plan: LogicalPlan,
    declared: &[Option<DataType>],
) -> Result<Description> {
    let (plan, in_limits) = without_limits(infer_from_casts(plan)?)?;
    let mut inferred = plan.get_parameter_types()?;
    inferred.extend(in_limits.into_iter().map(|name| (name, Some(DataType::Int64))));
    let number = |name: &String| name.trim_start_matches('$').parse::<usize>().ok();
    let count = inferred.keys().filter_map(number).max().unwrap_or(0).max(declared.len());
    let of = |i: usize| {
        let declared = declared.get(i).cloned().flatten();
        let inferred = || inferred.get(&format!("${}", i + 1)).cloned().flatten();
        declared.or_else(inferred).map_or(DataType::Utf8, plain)
    };
    let parameters: Vec<DataType> = (0..count).map(of).collect();
    let nulls = parameters.iter().map(ScalarValue::try_from).collect::<Result<Vec<_>, _>>()?;
    let nulls = ParamValues::List(nulls.into_iter().map(ScalarAndMetadata::from).collect());
    let plan = match count {
        0 => plan,
        _ => plan.with_param_values(nulls)?,
    };
    limits::check_plan(&plan)?;
    let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
    let schema = Arc::new(plan.schema().as_arrow().clone());
    Ok(Description { parameters, schema })
}

/// Takes LIMIT and OFFSET away where parameters are in them, and returns the parameters' names.
/// They change no column.
fn without_limits(plan: LogicalPlan) -> Result<(LogicalPlan, BTreeSet<String>)> {
    let mut names = BTreeSet::new();
    let plan = plan.transform_up_with_subqueries(|plan| {
        let LogicalPlan::Limit(mut limit) = plan else { return Ok(Transformed::no(plan)) };
        for bound in [&mut limit.skip, &mut limit.fetch] {
            let mut of_bound = BTreeSet::new();
            if let Some(expr) = bound {
                expr.apply(|expr| {
                    if let Expr::Placeholder(placeholder) = expr {
                        of_bound.insert(placeholder.id.clone());
                    }
                    Ok(TreeNodeRecursion::Continue)
                })?;
            }
            if !of_bound.is_empty() {
                *bound = None;
                names.extend(of_bound);
            }
        }
        Ok(Transformed::yes(LogicalPlan::Limit(limit)))
    })?;
    Ok((plan.data, names))
}

/// Returns the type under which a client sends a value.
fn plain(of: DataType) -> DataType {
    match of {
        DataType::Dictionary(_, value) => plain(*value),
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => DataType::Utf8,
        of => of,
    }
}

/// Gives a parameter that is cast, such as `$1::int`, the type of the cast.
fn infer_from_casts(plan: LogicalPlan) -> Result<LogicalPlan> {
    let typed = |expr: Expr| -> datafusion::error::Result<Transformed<Expr>> {
        Ok(match expr {
            Expr::Cast(Cast { expr, field }) => match *expr {
                Expr::Placeholder(Placeholder { id, field: None }) => {
                    let inner = Expr::Placeholder(Placeholder { id, field: Some(field.clone()) });
                    Transformed::new(
                        Expr::Cast(Cast { expr: Box::new(inner), field }),
                        true,
                        TreeNodeRecursion::Continue,
                    )
                }
                expr => Transformed::no(Expr::Cast(Cast { expr: Box::new(expr), field })),
            },
            expr => Transformed::no(expr),
        })
    };
    let plan =
        plan.transform_with_subqueries(|plan| plan.map_expressions(|expr| expr.transform(typed)));
    Ok(plan.data()?)
}
