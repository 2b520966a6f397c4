//! Optimizer rules of this engine, and the order in which all rules run.
//!
//! [`conditional`] writes conditions within aggregates as FILTERs, [`rollup`] computes aggregates
//! of whole hours from their counters, [`distinct`] counts distinct users where those cannot be
//! used, [`distinct_groups`] counts distinct values by group, [`parts`] divides an aggregate among
//! those, [`semi_joins`] has each key of a subquery once, [`patterns`] compiles patterns,
//! [`gap_filling`] makes rows for time buckets without any, [`large_limits`] sorts all rows for a
//! limit of very many, [`skipped_rows`] keeps the order below an OFFSET (each a [`node_rule`]), and
//! [`pushdown`] passes limits learned at run time on to the files.

mod aggregate;
pub mod conditional;
pub mod distinct;
pub mod distinct_groups;
pub mod gap_filling;
mod large_limits;
mod node_rule;
pub mod parts;
mod patterns;
pub mod pushdown;
pub mod rollup;
mod semi_joins;
mod skipped_rows;

use std::sync::Arc;

use datafusion::optimizer::{Analyzer, AnalyzerRule, Optimizer, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

use self::aggregate::AggregateRule;
use self::node_rule::NodeRule;
use super::exec::barrier;

/// Returns DataFusion's analyzer rules after ours that must come before types are coerced.
pub fn first_analyzer_rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules = Analyzer::new().rules;
    rules.insert(0, Arc::new(gap_filling::GapFillRule));
    rules
}

/// Returns DataFusion's rules with ours inserted where predicates have been pushed down and
/// distinct aggregates are not yet rewritten; patterns are compiled at last.
pub fn rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    let at = rules
        .iter()
        .position(|rule| rule.name() == "push_down_filter")
        .map_or(rules.len(), |at| at + 1);
    let ours = [
        AggregateRule { name: "hourglass_conditions", answer: conditional::answer },
        AggregateRule { name: "hourglass_rollups", answer: rollup::answer },
        AggregateRule { name: "hourglass_parts", answer: parts::answer },
        AggregateRule { name: "hourglass_rollups_of_parts", answer: rollup::answer },
        AggregateRule { name: "hourglass_distinct_users", answer: distinct::answer },
        AggregateRule { name: "hourglass_distinct_groups", answer: distinct_groups::answer },
    ];
    let ours = ours.map(|rule| Arc::new(rule) as Arc<dyn OptimizerRule + Send + Sync>);
    rules.splice(at..at, ours.into_iter().chain([Arc::new(semi_joins::DistinctKeys) as _]));
    rules.push(Arc::new(patterns::CompiledPatterns));
    rules
}

/// Returns DataFusion's physical rules with ours: barriers go before the rules that read
/// properties, skipped rows before the one that drops sorts, large limits after those that set
/// limits.
pub fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = pushdown::replace_in(PhysicalOptimizer::new().rules);
    let at = rules
        .iter()
        .position(|rule| rule.name() == "LimitPushdown")
        .map_or(rules.len(), |at| at + 1);
    let large_limits = NodeRule { name: "hourglass_large_limits", replace: large_limits::replace };
    rules.insert(at, Arc::new(large_limits));
    let first = [
        NodeRule { name: "hourglass_barriers", replace: barrier::insert },
        NodeRule { name: "hourglass_skipped_rows", replace: skipped_rows::require },
    ];
    rules.splice(0..0, first.map(|rule| Arc::new(rule) as _));
    rules
}
