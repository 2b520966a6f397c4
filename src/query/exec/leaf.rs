//! Shared code of plan nodes without inputs.

/// Implements the methods of `ExecutionPlan` for a node named `$name` that has no inputs, evaluates
/// no expressions and returns about as many rows as `$rows` says of it. The type must have a field
/// `properties`.
macro_rules! leaf {
    ($name:literal, $rows:expr) => {
        fn name(&self) -> &str {
            $name
        }

        fn properties(&self) -> &std::sync::Arc<datafusion::physical_plan::PlanProperties> {
            &self.properties
        }

        fn children(&self) -> Vec<&std::sync::Arc<dyn datafusion::physical_plan::ExecutionPlan>> {
            Vec::new()
        }

        fn statistics_from_inputs(
            &self,
            _: &[std::sync::Arc<datafusion::common::Statistics>],
            args: &datafusion::physical_plan::statistics::StatisticsArgs,
        ) -> datafusion::common::Result<std::sync::Arc<datafusion::common::Statistics>> {
            let rows: fn(&Self) -> usize = $rows;
            let rows = args.partition().is_none().then(|| rows(self));
            Ok(std::sync::Arc::new(crate::query::schema::about_rows(&self.schema(), rows)))
        }

        fn apply_expressions(
            &self,
            _: &mut dyn FnMut(
                &std::sync::Arc<dyn datafusion::physical_expr::PhysicalExpr>,
            ) -> datafusion::common::Result<datafusion::common::tree_node::TreeNodeRecursion>,
        ) -> datafusion::common::Result<datafusion::common::tree_node::TreeNodeRecursion> {
            Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
        }

        fn with_new_children(
            self: std::sync::Arc<Self>,
            children: Vec<std::sync::Arc<dyn datafusion::physical_plan::ExecutionPlan>>,
        ) -> datafusion::common::Result<std::sync::Arc<dyn datafusion::physical_plan::ExecutionPlan>> {
            if children.is_empty() {
                Ok(self)
            } else {
                datafusion::common::internal_err!(concat!($name, " has no children"))
            }
        }
    };
}

pub(crate) use leaf;
