//! Which instants a predicate can hold for: what prunes hours, and what tells a question about whole hours from others.
//!
//! A predicate becomes a set of half-open intervals of microseconds. It is *exact* when the predicate holds for just those
//! instants, whatever else is in the row; otherwise it holds for no others, and must still be evaluated.

use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::scalar::ScalarValue;

use crate::event::MAX_TIMESTAMP_US;
use crate::hour::{HOUR_US, Hour};

const DAY_US: i64 = 24 * HOUR_US;

/// Sorted, disjoint, non-empty intervals `[start, end)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spans {
    intervals: Vec<(i64, i64)>,
    pub exact: bool,
}

impl Spans {
    fn one(start: i64, end: i64) -> Spans {
        let (start, end) = (start.max(0), end.min(MAX_TIMESTAMP_US + 1));
        Spans { intervals: if start < end { vec![(start, end)] } else { Vec::new() }, exact: true }
    }

    fn all() -> Spans {
        Spans::one(0, i64::MAX)
    }

    /// The instants for which all of `predicates` can hold.
    pub fn of_all<'a>(predicates: impl IntoIterator<Item = &'a Expr>) -> Spans {
        predicates.into_iter().fold(Spans::all(), |spans, predicate| spans.and(&Spans::of(predicate)))
    }

    fn of(predicate: &Expr) -> Spans {
        let unknown = Spans { exact: false, ..Spans::all() };
        match predicate {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => Spans::of(left).and(&Spans::of(right)),
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => Spans::of(left).or(Spans::of(right)),
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (&**left, &**right) {
                (column, Expr::Literal(value, _)) => compare(column, *op, value),
                (Expr::Literal(value, _), column) => op.swap().and_then(|op| compare(column, op, value)),
                _ => None,
            }
            .unwrap_or(unknown),
            Expr::Between(between) if !between.negated => match (&*between.low, &*between.high) {
                (Expr::Literal(low, _), Expr::Literal(high, _)) => compare(&between.expr, Operator::GtEq, low)
                    .zip(compare(&between.expr, Operator::LtEq, high))
                    .map_or(unknown, |(low, high)| low.and(&high)),
                _ => unknown,
            },
            _ => unknown,
        }
    }

    fn and(&self, other: &Spans) -> Spans {
        let mut intervals = Vec::new();
        for &(start, end) in &self.intervals {
            for &(other_start, other_end) in &other.intervals {
                let both = (start.max(other_start), end.min(other_end));
                if both.0 < both.1 {
                    intervals.push(both);
                }
            }
        }
        Spans { intervals, exact: self.exact && other.exact }
    }

    fn or(mut self, other: Spans) -> Spans {
        self.intervals.extend(other.intervals);
        self.intervals.sort_unstable();
        let mut merged: Vec<(i64, i64)> = Vec::new();
        for (start, end) in self.intervals {
            match merged.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => merged.push((start, end)),
            }
        }
        Spans { intervals: merged, exact: self.exact && other.exact }
    }

    /// The hours that the instants touch, as inclusive ranges.
    pub fn hours(&self) -> impl Iterator<Item = (Hour, Hour)> {
        self.intervals.iter().map(|&(start, end)| (Hour::of_us(start), Hour::of_us(end - 1)))
    }

    /// The hours `first..=last` when the instants are just those of one run of whole hours. An empty set of instants is
    /// none.
    pub fn whole_hours(&self) -> Option<(Hour, Hour)> {
        match self.intervals[..] {
            [(start, end)] if self.exact && start % HOUR_US == 0 && end % HOUR_US == 0 => {
                Some((Hour::of_us(start), Hour::of_us(end - 1)))
            }
            _ => None,
        }
    }
}

/// The instants for which `column op value` holds, where it is about time alone.
fn compare(column: &Expr, op: Operator, value: &ScalarValue) -> Option<Spans> {
    match column {
        Expr::Column(column) if column.name == "timestamp" => {
            let ScalarValue::TimestampMicrosecond(Some(us), _) = value else { return None };
            units(op, *us, us.checked_add(1)?)
        }
        Expr::Column(column) if column.name == "date" => {
            let ScalarValue::Date32(Some(day)) = value else { return None };
            let start = i64::from(*day) * DAY_US;
            units(op, start, start + DAY_US)
        }
        _ => None,
    }
}

/// The instants whose unit (a microsecond, a day) compares with the unit `[start, end)`.
fn units(op: Operator, start: i64, end: i64) -> Option<Spans> {
    match op {
        Operator::Eq => Some(Spans::one(start, end)),
        Operator::Lt => Some(Spans::one(0, start)),
        Operator::LtEq => Some(Spans::one(0, end)),
        Operator::Gt => Some(Spans::one(end, i64::MAX)),
        Operator::GtEq => Some(Spans::one(start, i64::MAX)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    fn at(hour: i64, us: i64) -> Expr {
        lit(ScalarValue::TimestampMicrosecond(Some(hour * HOUR_US + us), Some("UTC".into())))
    }

    #[test]
    fn the_bounds_of_an_hour_are_that_whole_hour() {
        let spans = Spans::of_all(&[col("timestamp").gt_eq(at(5, 0)), at(6, 0).gt(col("timestamp"))]);
        assert_eq!(spans.whole_hours(), Some((Hour(5), Hour(5))));
        let between = Spans::of_all(&[col("timestamp").between(at(5, 0), at(7, -1))]);
        assert_eq!(between.whole_hours(), Some((Hour(5), Hour(6))));
    }

    #[test]
    fn an_edge_that_cuts_an_hour_prunes_but_is_not_whole() {
        let spans = Spans::of_all(&[col("timestamp").gt(at(5, 0)).and(col("timestamp").lt(at(6, 0)))]);
        assert_eq!((spans.whole_hours(), spans.hours().collect()), (None, vec![(Hour(5), Hour(5))]));
    }

    #[test]
    fn what_is_not_about_time_leaves_the_bounds_and_the_exactness_goes() {
        let spans = Spans::of_all(&[col("timestamp").lt(at(2, 0)), col("user_id").eq(lit("a"))]);
        assert_eq!((spans.exact, spans.hours().collect()), (false, vec![(Hour(0), Hour(1))]));
        let either = Spans::of_all(&[col("timestamp").lt(at(2, 0)).or(col("user_id").eq(lit("a")))]);
        assert_eq!(either.hours().collect::<Vec<_>>(), vec![(Hour(0), Hour::LAST)]);
    }

    #[test]
    fn either_of_two_ranges_is_both() {
        let hour = |h| col("timestamp").gt_eq(at(h, 0)).and(col("timestamp").lt(at(h + 1, 0)));
        assert_eq!(Spans::of_all(&[hour(3).or(hour(2))]).whole_hours(), Some((Hour(2), Hour(3))));
        let apart = Spans::of_all(&[hour(9).or(hour(2))]);
        assert_eq!(apart.hours().collect::<Vec<_>>(), vec![(Hour(2), Hour(2)), (Hour(9), Hour(9))]);
        assert_eq!(apart.whole_hours(), None);
    }

    #[test]
    fn a_date_is_its_day() {
        let day = Spans::of_all(&[col("date").eq(lit(ScalarValue::Date32(Some(1))))]);
        assert_eq!(day.whole_hours(), Some((Hour(24), Hour(47))));
    }
}
