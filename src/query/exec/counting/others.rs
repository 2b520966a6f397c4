//! The aggregates beside distinct counts: DataFusion's, of which each thread has its own states.

use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::GroupsAccumulatorAdapter;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

/// Makes the states of an aggregate's groups, of whatever kind DataFusion has for it.
pub fn new_states(aggregate: &Arc<AggregateFunctionExpr>) -> Result<Box<dyn GroupsAccumulator>> {
    if aggregate.groups_accumulator_supported() {
        return aggregate.create_groups_accumulator();
    }
    let aggregate = aggregate.clone();
    Ok(Box::new(GroupsAccumulatorAdapter::new(move || aggregate.create_accumulator())))
}

/// The aggregates of all groups.
pub struct Others {
    states: Vec<Box<dyn GroupsAccumulator>>,
    /// Index of each group among the states: in the order in which they are merged, as DataFusion
    /// takes each new group for one that has a row.
    order: Vec<u32>,
    merged: u32,
}

impl Others {
    pub fn new(states: Vec<Box<dyn GroupsAccumulator>>) -> Others {
        Others { states, order: Vec::new(), merged: 0 }
    }

    /// Merges the states of one thread, of groups in these places.
    pub fn merge(
        &mut self,
        own: &mut [Box<dyn GroupsAccumulator>],
        places: impl Iterator<Item = usize>,
    ) -> Result<()> {
        let index = |place: usize| {
            self.order.resize(self.order.len().max(place + 1), u32::MAX);
            let index = &mut self.order[place];
            if *index == u32::MAX {
                *index = self.merged;
                self.merged += 1;
            }
            *index as usize
        };
        let indexes: Vec<usize> = places.map(index).collect();
        // Without rows there may be no state.
        if indexes.is_empty() {
            return Ok(());
        }
        for (all, own) in self.states.iter_mut().zip(own) {
            all.merge_batch(&own.state(EmitTo::All)?, &indexes, self.merged as usize)?;
        }
        Ok(())
    }

    /// Takes the values of one aggregate in all groups out, of which there are this many.
    pub fn take(
        &mut self,
        i: usize,
        aggregate: &AggregateFunctionExpr,
        len: usize,
    ) -> Result<ArrayRef> {
        if self.merged == 0 {
            return aggregate.create_accumulator()?.evaluate()?.to_array_of_size(len);
        }
        let values = self.states[i].evaluate(EmitTo::All)?;
        Ok(take(&values, &UInt32Array::from(self.order.clone()), None)?)
    }
}
