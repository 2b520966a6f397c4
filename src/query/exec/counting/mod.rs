//! Aggregates with counts of distinct users, or other names, by group, made by several threads.
//!
//! [`Totals`] is what they share, and each has a [`Counting`]. Files are sorted by user, so equal
//! names are adjacent and a run of them is hashed once; users in memory are interned, so each name
//! is hashed once where there are no groups, regardless of its number of rows; a name that returns
//! soon is not looked up again. [`names`] has what is known of one column, [`users`] its sets,
//! [`recent`] what returns, [`groups`] the groups, and [`others`] what is computed beside.

mod groups;
mod names;
mod others;
mod recent;
mod users;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::logical_expr::GroupsAccumulator;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

use self::groups::{Groups, OwnGroups};
use self::names::{NameSets, OwnNames};
use self::others::{Others, new_states};

/// Groups that may be kept, unless there is no other way to count.
const MOST_GROUPS: usize = 1 << 18;

/// Bytes of names, sets and groups for each user that may be kept.
const USER_BYTES: usize = 96;

/// What is computed of each group.
#[derive(Clone, Debug)]
pub enum What {
    /// The number of its rows.
    Rows,
    /// The number of distinct names in the column of this index.
    Names(usize),
    /// An aggregate of the input's columns.
    Other(Arc<AggregateFunctionExpr>),
}

/// A measure of the rows for which the flag of this index is set, or of all rows.
#[derive(Clone, Debug)]
pub struct Measure {
    pub what: What,
    pub flag: Option<usize>,
}

/// What is asked, and within what limits. The first columns of an input are the names, or codes of
/// users; the columns of the group follow, then flags, then what other aggregates read.
#[derive(Clone, Debug)]
pub struct Question {
    /// The columns of events that the names are from.
    pub names: Arc<[String]>,
    /// Columns of the group; none if all rows are one.
    pub groups: SchemaRef,
    pub measures: Arc<[Measure]>,
    /// Names that may be kept; `None` if there is no other way to count.
    pub limit: Option<usize>,
}

impl Question {
    /// Returns the columns of the group; `None` if all rows are one.
    fn groups(&self) -> Option<&SchemaRef> {
        Some(&self.groups).filter(|groups| !groups.fields().is_empty())
    }

    /// Returns the flags of the measures of one kind.
    fn flags(&self, is_it: impl Fn(&What) -> bool) -> Vec<Option<usize>> {
        let measures = self.measures.iter().filter(|measure| is_it(&measure.what));
        measures.map(|measure| measure.flag).collect()
    }

    fn others(&self) -> impl Iterator<Item = (&Arc<AggregateFunctionExpr>, Option<usize>)> {
        self.measures.iter().filter_map(|measure| match &measure.what {
            What::Other(aggregate) => Some((aggregate, measure.flag)),
            What::Rows | What::Names(_) => None,
        })
    }

    fn new_others(&self) -> Result<Vec<Box<dyn GroupsAccumulator>>> {
        self.others().map(|(aggregate, _)| new_states(aggregate)).collect()
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Measure { what, flag }) in self.measures.iter().enumerate() {
            f.write_str(if i == 0 { "[" } else { ", " })?;
            match what {
                What::Rows => f.write_str("count(*)")?,
                What::Names(column) => write!(f, "count(DISTINCT {})", self.names[*column])?,
                What::Other(aggregate) => f.write_str(aggregate.name())?,
            }
            if let Some(flag) = flag {
                write!(f, " FILTER filter_{flag}")?;
            }
        }
        f.write_str("]")?;
        match self.groups.fields().len() {
            0 => Ok(()),
            groups => write!(f, ", groups={groups}"),
        }
    }
}

/// What the threads have at their ends.
struct Ended {
    /// The rows of each count in each group.
    rows: Vec<u64>,
    others: Others,
}

/// What the threads of a statement count together.
pub struct Totals {
    question: Question,
    /// The flag of each count of rows.
    rows: Vec<Option<usize>>,
    /// For each column of names.
    names: Vec<NameSets>,
    /// `None` if all rows are one group.
    groups: Option<Groups>,
    /// A mutex held at a thread's end.
    ended: Mutex<Ended>,
    /// Bytes of what each thread has.
    held: AtomicUsize,
    /// A mutex held for the update after a batch.
    reservation: Mutex<MemoryReservation>,
    is_over: AtomicBool,
}

impl Totals {
    pub fn new(question: Question, reservation: MemoryReservation) -> Result<Totals> {
        let groups = question.groups().map(Groups::new).transpose()?;
        let others = Others::new(question.new_others()?);
        let ended = Mutex::new(Ended { rows: Vec::new(), others });
        let rows = question.flags(|what| matches!(what, What::Rows));
        let of_column = |column| {
            let flags = question.flags(|what| matches!(what, What::Names(of) if *of == column));
            NameSets { flags, ..NameSets::default() }
        };
        let names = (0..question.names.len()).map(of_column).collect();
        let (held, is_over) = Default::default();
        let reservation = Mutex::new(reservation);
        Ok(Totals { question, rows, names, groups, ended, held, reservation, is_over })
    }

    /// Reports whether a limit was reached, so that the totals are not complete.
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Accounts for the memory that is held; `held` is what the calling thread has said to have
    /// before, and has now.
    fn account(&self, groups: usize, held: (usize, usize)) -> Result<()> {
        let change = held.1.wrapping_sub(held.0);
        let all = self.held.fetch_add(change, Ordering::Relaxed).wrapping_add(change);
        let names = self.names.iter().map(|names| names.sets.bytes()).sum::<usize>();
        let bytes = names + self.groups.as_ref().map_or(0, Groups::bytes) + all;
        let reserved = self.reservation.lock().expect("no panic under this lock").try_resize(bytes);
        let Some(limit) = self.question.limit else { return reserved };
        let is_over = self.names.iter().map(|names| names.sets.users()).sum::<usize>() > limit
            || bytes > limit.saturating_mul(USER_BYTES)
            || groups > MOST_GROUPS
            || reserved.is_err();
        if is_over {
            self.is_over.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Returns the columns of the answer: those of the group, then the measures.
    pub fn columns(&self) -> Result<Vec<ArrayRef>> {
        let len = self.groups.as_ref().map_or(1, Groups::len);
        let mut columns = self.groups.as_ref().map_or(Ok(Vec::new()), Groups::take)?;
        let mut ended = self.ended.lock().expect("no panic under this lock");
        let Ended { rows, others } = &mut *ended;
        rows.resize(len * self.rows.len(), 0);
        let counts = |of: &NameSets| of.sets.sizes(len * of.flags.len());
        let sizes: Vec<Vec<u64>> = self.names.iter().map(counts).collect();
        // The measures of a kind are in order.
        let nth = |of: &[u64], n: usize, stride: usize| {
            let counts = of.iter().skip(n).step_by(stride).map(|count| *count as i64);
            Arc::new(Int64Array::from_iter_values(counts.take(len))) as ArrayRef
        };
        let mut next_names = vec![0..; self.names.len()];
        let (mut next_rows, mut next_other) = (0.., 0..);
        for Measure { what, .. } in self.question.measures.iter() {
            columns.push(match what {
                What::Rows => nth(rows, next_rows.next().unwrap_or(0), self.rows.len()),
                What::Names(column) => {
                    let n = next_names[*column].next().unwrap_or(0);
                    nth(&sizes[*column], n, self.names[*column].flags.len())
                }
                What::Other(aggregate) => {
                    others.take(next_other.next().unwrap_or(0), aggregate, len)?
                }
            });
        }
        Ok(columns)
    }
}

/// The counting of one thread.
pub struct Counting {
    totals: Arc<Totals>,
    groups: Option<OwnGroups>,
    /// The rows of each count in each of its own groups.
    rows: Vec<u64>,
    /// For each column of names.
    names: Vec<OwnNames>,
    others: Vec<Box<dyn GroupsAccumulator>>,
    /// Own groups of which it has rows.
    len: usize,
    /// For each row of a batch, the only group.
    only: Vec<usize>,
    /// Bytes that it has said to hold.
    held: usize,
}

impl Counting {
    pub fn new(totals: Arc<Totals>) -> Result<Counting> {
        let groups = totals.question.groups().map(OwnGroups::new).transpose()?;
        let names = totals.names.iter().map(|_| OwnNames::default()).collect();
        let others = totals.question.new_others()?;
        let (rows, len, only, held) = Default::default();
        Ok(Counting { totals, groups, rows, names, others, len, only, held })
    }

    /// Counts a batch.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let totals = self.totals.clone();
        let (names, groups) = (totals.names.len(), totals.question.groups.fields().len());
        if let (Some(own), Some(all)) = (&mut self.groups, &totals.groups) {
            own.find(&batch.columns()[names..names + groups], all)?;
        }
        self.len = self.groups.as_ref().map_or(1, OwnGroups::len);
        // A null flag counts as false.
        let flag = |column: &ArrayRef| {
            let flags = column.as_boolean();
            match flags.nulls() {
                Some(valid) => BooleanArray::new(flags.values() & valid.inner(), None),
                None => flags.clone(),
            }
        };
        let of_measures = totals.question.measures.iter().filter_map(|measure| measure.flag);
        let flags = of_measures.max().map_or(0, |last| last + 1);
        let flags = batch.columns()[names + groups..].iter().take(flags);
        let flags: Vec<BooleanArray> = flags.map(flag).collect();
        self.add_rows(batch.num_rows(), &flags);
        self.add_others(batch, &flags)?;
        for ((own, all), names) in self.names.iter_mut().zip(&totals.names).zip(batch.columns()) {
            own.add(names, self.groups.as_ref(), &flags, all);
        }
        let own = self.groups.as_ref().map_or(0, OwnGroups::bytes) + self.rows.capacity() * 8;
        let names = self.names.iter().map(OwnNames::bytes).sum::<usize>();
        let others = self.others.iter().map(|other| other.size()).sum::<usize>();
        let before = std::mem::replace(&mut self.held, own + names + others);
        totals.account(self.len, (before, self.held))
    }

    fn add_rows(&mut self, rows: usize, flags: &[BooleanArray]) {
        let counts = &self.totals.rows;
        self.rows.resize(self.len * counts.len(), 0);
        for (i, flag) in counts.iter().enumerate() {
            let flag = flag.map(|flag| flags[flag].values());
            let Some(groups) = &self.groups else {
                self.rows[i] += flag.map_or(rows, |flag| flag.count_set_bits()) as u64;
                continue;
            };
            let mut add = |row: usize| self.rows[groups.of_rows()[row] * counts.len() + i] += 1;
            match flag {
                Some(flag) => flag.set_indices().for_each(add),
                None => (0..rows).for_each(&mut add),
            }
        }
    }

    fn add_others(&mut self, batch: &RecordBatch, flags: &[BooleanArray]) -> Result<()> {
        let Counting { totals, groups, others, only, .. } = self;
        only.resize(batch.num_rows(), 0);
        let groups = groups.as_ref().map_or(&only[..], OwnGroups::of_rows);
        for (other, (aggregate, flag)) in others.iter_mut().zip(totals.question.others()) {
            let values = aggregate.expressions().into_iter();
            let values = values.map(|value| value.evaluate(batch)?.into_array(batch.num_rows()));
            let values = values.collect::<Result<Vec<_>>>()?;
            other.update_batch(&values, groups, flag.map(|flag| &flags[flag]), self.len)?;
        }
        Ok(())
    }

    /// Adds what is left to the totals.
    pub fn finish(self) -> Result<()> {
        let Counting { totals, groups, rows, names, mut others, len, held, .. } = self;
        let counts = totals.rows.len();
        let place = |own: usize| groups.as_ref().map_or(0, |groups| groups.place(own));
        let mut all = totals.ended.lock().expect("no panic under this lock");
        for (own, rows) in rows.chunks(counts.max(1)).enumerate() {
            let group = place(own);
            let end = all.rows.len().max((group + 1) * counts);
            all.rows.resize(end, 0);
            let totals = all.rows[group * counts..].iter_mut();
            totals.zip(rows).for_each(|(total, rows)| *total += rows);
        }
        all.others.merge(&mut others, (0..len).map(place))?;
        drop(all);
        names.into_iter().zip(&totals.names).for_each(|(own, all)| own.finish(all));
        // What it held is that of the totals now.
        totals.account(0, (held, held))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::StringViewArray;
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, UnboundedMemoryPool};
    use datafusion::functions_aggregate::sum::sum_udaf;
    use datafusion::physical_expr::aggregate::AggregateExprBuilder;
    use datafusion::physical_expr::expressions::Column;

    use super::*;

    /// Distinct names, rows and the sum of a number, by group.
    fn totals(groups: &[Field]) -> Arc<Totals> {
        let name = Field::new("name_0", DataType::Utf8View, false);
        let number = Field::new("argument_0", DataType::Int64, true);
        let fields = [&[name], groups, &[number]].concat();
        let column = Column::new("argument_0", fields.len() - 1);
        let sum = AggregateExprBuilder::new(sum_udaf(), vec![Arc::new(column)])
            .schema(Arc::new(Schema::new(fields)))
            .alias("sum");
        let sum = Arc::new(sum.build().unwrap());
        let measures = [What::Names(0), What::Rows, What::Other(sum)];
        let question = Question {
            names: Arc::new(["user_id".to_string()]),
            groups: Arc::new(Schema::new(groups.to_vec())),
            measures: measures.map(|what| Measure { what, flag: None }).into(),
            limit: None,
        };
        let pool: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
        Arc::new(Totals::new(question, MemoryConsumer::new("test").register(&pool)).unwrap())
    }

    fn batch(names: &[&str], groups: Option<&[&str]>, numbers: &[Option<i64>]) -> RecordBatch {
        let text = |values: &[&str]| Arc::new(StringViewArray::from(values.to_vec())) as ArrayRef;
        let mut columns = vec![("name_0", text(names))];
        columns.extend(groups.map(|groups| ("group_0", text(groups))));
        columns.push(("argument_0", Arc::new(Int64Array::from(numbers.to_vec()))));
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn a_group_without_values_has_no_sum_whichever_thread_ends_first() {
        let group = Field::new("group_0", DataType::Utf8View, false);
        for last in [0, 1] {
            let totals = totals(std::slice::from_ref(&group));
            let mut threads = [(); 2].map(|()| Counting::new(totals.clone()).unwrap());
            let rows =
                batch(&["u", "u", "v"], Some(&["a", "b", "a"]), &[Some(1), Some(2), Some(3)]);
            threads[0].add(&rows).unwrap();
            threads[1].add(&batch(&["v", "w"], Some(&["c", "c"]), &[None, None])).unwrap();
            let mut threads: Vec<_> = threads.into_iter().collect();
            let last = threads.remove(last);
            threads.into_iter().chain([last]).for_each(|thread| thread.finish().unwrap());
            let columns = totals.columns().unwrap();
            let groups: Vec<_> = columns[0].as_string_view().iter().flatten().collect();
            assert_eq!(groups, ["a", "b", "c"]);
            let numbers =
                |i: usize| columns[i].as_primitive::<Int64Type>().iter().collect::<Vec<_>>();
            assert_eq!(numbers(1), [Some(2), Some(1), Some(2)]);
            assert_eq!(numbers(2), [Some(2), Some(1), Some(2)]);
            assert_eq!(numbers(3), [Some(4), Some(2), None]);
        }
    }

    #[test]
    fn without_groups_there_is_one_row_of_no_rows_and_of_some() {
        for rows in [vec![], vec![Some(7), None]] {
            let totals = totals(&[]);
            let mut thread = Counting::new(totals.clone()).unwrap();
            let idle = Counting::new(totals.clone()).unwrap();
            if !rows.is_empty() {
                thread.add(&batch(&["u", "v"], None, &rows)).unwrap();
            }
            thread.add(&batch(&[], None, &[])).unwrap();
            thread.finish().unwrap();
            idle.finish().unwrap();
            let columns = totals.columns().unwrap();
            let value = |i: usize| {
                let column = columns[i].as_primitive::<Int64Type>();
                assert_eq!(column.len(), 1);
                column.is_valid(0).then(|| column.value(0))
            };
            let len = rows.len() as i64;
            let sum = (!rows.is_empty()).then_some(7);
            assert_eq!([value(0), value(1), value(2)], [Some(len), Some(len), sum]);
        }
    }
}
