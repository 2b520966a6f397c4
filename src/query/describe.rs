//! Description of a statement: the types of its parameters and of its columns, for a client that
//! asks before it runs it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ParamValues};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan};
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
    /// Types of `$1`, `$2`, …, in fields without a name.
    pub parameters: Vec<FieldRef>,
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
        let (engine, session, snapshot) = (self.clone(), session.clone(), snapshot.clone());
        let account = room.slot.account.clone();
        let describing = async move {
            let described = async {
                engine.slots.begin(&account).await;
                let engine = engine.clone();
                Box::pin(engine.describe_here(session, snapshot, statement, declared)).await
            };
            tokio::select! {
                described = tokio::time::timeout(TIMEOUT, described) => described
                    .unwrap_or_else(|_| Err(Error::Limit("the statement takes too long to plan (query_timeout)".into()))),
                error = account.over() => Err(error),
            }
        };
        room.slot.run(describing).await
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
        let state = self.state_of(&session, &snapshot, &Arc::default(), &statement)?;
        let mut ast = Statement::clone(&statement.statement);
        let null = |name: &str| {
            let number = name.trim_start_matches('$').parse::<usize>().ok();
            let of = number.and_then(|number| declared.get(number.checked_sub(1)?)?.as_ref());
            Ok(ScalarValue::try_from(of.unwrap_or(&DataType::Null))?)
        };
        let in_calls = match syntax::bind_table_arguments(&mut ast, &null)? {
            Some(arguments) => parameters(&infer(state.create_logical_plan(&arguments).await?)?)?,
            None => HashMap::new(),
        };
        let plan = state
            .statement_to_plan(ast)
            .await
            .map_err(|error| syntax::suggest_table(error, &state))?;
        if matches!(plan, LogicalPlan::Statement(_)) {
            return Ok(Description { parameters: Vec::new(), schema: nothing });
        }
        describe(&state, plan, &declared, in_calls)
    }
}

fn describe(
    state: &SessionState,
    plan: LogicalPlan,
    declared: &[Option<DataType>],
    in_calls: HashMap<String, Option<FieldRef>>,
) -> Result<Description> {
    let (plan, in_limits) = without_limits(infer(plan)?)?;
    let mut inferred = parameters(&plan)?;
    let integer: FieldRef = Arc::new(Field::new("", DataType::Int64, true));
    inferred.extend(in_limits.into_iter().map(|name| (name, Some(integer.clone()))));
    for (name, field) in in_calls {
        let known = inferred.entry(name).or_default();
        *known = known.take().or(field).or_else(|| Some(integer.clone()));
    }
    let number = |name: &String| name.trim_start_matches('$').parse::<usize>().ok();
    let count = inferred.keys().filter_map(number).max().unwrap_or(0).max(declared.len());
    let of = |i: usize| {
        let declared = declared.get(i).cloned().flatten();
        let declared = declared.map(|of| Arc::new(Field::new("", of, true)));
        let inferred = || inferred.get(&format!("${}", i + 1)).cloned().flatten();
        let field = declared.or_else(inferred);
        let field = field.unwrap_or_else(|| Arc::new(Field::new("", DataType::Utf8, true)));
        let of = plain(field.data_type().clone());
        Arc::new(Arc::unwrap_or_clone(field).with_data_type(of))
    };
    let parameters: Vec<FieldRef> = (0..count).map(of).collect();
    let nulls = parameters.iter().map(|field| ScalarValue::try_from(field.data_type()));
    let nulls = nulls.collect::<Result<Vec<_>, _>>()?;
    let nulls = ParamValues::List(nulls.into_iter().map(ScalarAndMetadata::from).collect());
    let plan = match count {
        0 => plan,
        _ => plan.with_param_values(nulls)?,
    };
    limits::check_plan(&plan)?;
    let told = plan.schema().clone();
    let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
    let schema = postgres::described(Arc::new(plan.schema().as_arrow().clone()), &told);
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

/// Gives a parameter that is cast, such as `$1::int`, the type of the cast, and one that is compared
/// with as an array, such as `x = ANY($1)`, that of an array of what it is compared with.
fn infer(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_with_subqueries(|plan| {
        let mut schema = DFSchema::empty();
        plan.inputs().iter().for_each(|input| schema.merge(input.schema()));
        if plan.inputs().is_empty() {
            schema.merge(plan.schema());
        }
        plan.map_expressions(|expr| expr.transform(|expr| Ok(typed(expr, &schema))))
    });
    Ok(plan.data()?)
}

fn typed(mut expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match &mut expr {
        Expr::Cast(Cast { expr, field }) => give(expr, field),
        Expr::ScalarFunction(call) if call.name() == "array_has" => {
            if let [array, value] = &mut call.args[..] {
                give_array(array, value, schema);
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, right, .. }) => {
            give_bound(left, right, schema);
            give_bound(right, left, schema);
        }
        _ => return Transformed::no(expr),
    }
    Transformed::yes(expr)
}

/// Gives the array in `array_min($1)`, which `x < ANY($1)` is planned as, its type.
fn give_bound(bound: &mut Expr, value: &Expr, schema: &DFSchema) {
    if let Expr::ScalarFunction(call) = bound
        && ["array_min", "array_max"].contains(&call.name())
    {
        call.args.iter_mut().for_each(|array| give_array(array, value, schema));
    }
}

fn give_array(array: &mut Expr, value: &Expr, schema: &DFSchema) {
    if let Ok((_, field)) = value.to_field(schema)
        && !field.data_type().is_null()
    {
        let item = Field::new_list_field(plain(field.data_type().clone()), true)
            .with_metadata(field.metadata().clone());
        give(array, &Arc::new(Field::new("", DataType::List(Arc::new(item)), true)));
    }
}

/// Gives a parameter without a type that of `of`.
fn give(parameter: &mut Expr, of: &FieldRef) {
    if let Expr::Placeholder(Placeholder { field: field @ None, .. }) = parameter {
        *field = Some(of.clone());
    }
}

/// Returns the fields of the parameters: of one that is in several places, the first that is known.
fn parameters(plan: &LogicalPlan) -> Result<HashMap<String, Option<FieldRef>>> {
    let mut parameters: HashMap<String, Option<FieldRef>> = HashMap::new();
    plan.apply_with_subqueries(|plan| {
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::Placeholder(Placeholder { id, field }) = expr {
                    let known = parameters.entry(id.clone()).or_default();
                    *known = known.take().or_else(|| field.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(parameters)
}
