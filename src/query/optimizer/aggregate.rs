//! What the rules for aggregates have in common.

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// Optimizer rule that replaces aggregates, from the top of a plan down. Those with grouping sets
/// stay.
#[derive(Debug)]
pub struct AggregateRule {
    pub name: &'static str,
    /// Returns the plan instead of an aggregate; `None` if it stays.
    pub answer: fn(&Aggregate, &ConfigOptions) -> Result<Option<LogicalPlan>>,
}

impl OptimizerRule for AggregateRule {
    fn name(&self) -> &str {
        self.name
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(Transformed::no(plan)) };
        if aggregate.group_expr.iter().any(|group| matches!(group, Expr::GroupingSet(_))) {
            return Ok(Transformed::no(plan));
        }
        let answer = (self.answer)(aggregate, &config.options())?;
        Ok(answer.map_or_else(|| Transformed::no(plan), Transformed::yes))
    }
}

/// Reports whether an expression depends on nothing but its row, and has the same value each time.
pub fn is_same_each_time(expr: &Expr) -> Result<bool> {
    let is_query = |part: &Expr| {
        Ok(matches!(
            part,
            Expr::OuterReferenceColumn(..)
                | Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
        ))
    };
    Ok(!expr.is_volatile() && !expr.exists(is_query)?)
}

/// Puts the rows of an aggregate's parts together by group. A part has the groups, then its
/// measures, which are in these places among all. Returns `None` if there is a measure of a type
/// without order.
pub fn unite(
    aggregate: &Aggregate,
    parts: Vec<(LogicalPlan, Vec<usize>)>,
) -> Result<Option<LogicalPlan>> {
    let groups = aggregate.group_expr.len();
    let fields = aggregate.schema.fields();
    let len = fields.len();
    if !fields.iter().skip(groups).all(|field| has_maximum(field.data_type())) {
        return Ok(None);
    }
    let name = |i: usize| if i < groups { format!("group_{i}") } else { format!("measure_{i}") };
    let column = |i: usize| Expr::Column(Column::from_name(name(i)));
    let mut rows: Option<LogicalPlanBuilder> = None;
    for (part, measures) in parts {
        let own: Vec<Expr> = part.schema().columns().into_iter().map(Expr::Column).collect();
        let columns = (0..len).map(|i| {
            let place = match i.checked_sub(groups) {
                None => Some(i),
                Some(i) => measures.iter().position(|of| *of == i).map(|place| groups + place),
            };
            let value = match place {
                Some(place) => own[place].clone(),
                None => Expr::Literal(ScalarValue::try_from(fields[i].data_type())?, None),
            };
            Ok(value.alias(name(i)))
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let part = LogicalPlanBuilder::from(part).project(columns)?;
        rows = Some(match rows {
            Some(others) => others.union(part.build()?)?,
            None => part,
        });
    }
    let Some(rows) = rows else { return Ok(None) };
    // Each group has its measure in one row, and null in the others.
    let measures = (groups..len).map(|i| max(column(i)).alias(name(i)));
    let plan = rows.aggregate((0..groups).map(column), measures)?;
    let results = (0..len).zip(aggregate.schema.iter());
    let results = results
        .map(|(i, (qualifier, field))| column(i).alias_qualified(qualifier.cloned(), field.name()));
    plan.project(results.collect::<Vec<_>>())?.build().map(Some)
}

fn has_maximum(of: &DataType) -> bool {
    match of {
        DataType::Interval(_) => false,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Boolean => true,
        of => of.is_primitive(),
    }
}
