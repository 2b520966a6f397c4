//! Time ranges of predicates: the instants for which a predicate can hold. They prune hours, and
//! distinguish queries over whole hours from others.
//!
//! A predicate becomes a set of half-open intervals of microseconds. The set is *exact* if the
//! predicate holds for exactly those instants, regardless of the other columns; otherwise it holds
//! for no others, and must still be evaluated.

mod seconds;
mod zoned;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, Operator, TryCast};
use datafusion::scalar::ScalarValue;

use crate::event::MAX_TIMESTAMP_US;
use crate::hour::{HOUR_US, Hour};
use crate::query::functions::CLOCK;
use crate::query::functions::time_bucket::{DAY_US, SECOND_US, TimeBucket};

pub use self::seconds::{EXACT_SECONDS, unit as unit_of_seconds};
pub use self::zoned::ZonedBucket;

/// One bit for each hour of the day.
const ALL_HOURS_OF_DAY: u32 = (1 << 24) - 1;

/// Sorted, disjoint, non-empty intervals `[start, end)`, restricted to the hours of the day in a
/// mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeRanges {
    intervals: Vec<(i64, i64)>,
    hours_of_day: u32,
    pub exact: bool,
}

/// Time ranges split at the boundaries of whole hours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Ranges of whole hours, inclusive.
    pub whole: Vec<(Hour, Hour)>,
    /// The remaining parts of hours, half-open, in microseconds.
    pub edges: Vec<(i64, i64)>,
}

impl TimeRanges {
    fn one(start: i64, end: i64) -> TimeRanges {
        let (start, end) = (start.max(0), end.min(MAX_TIMESTAMP_US + 1));
        let intervals = if start < end { vec![(start, end)] } else { Vec::new() };
        TimeRanges { intervals, hours_of_day: ALL_HOURS_OF_DAY, exact: true }
    }

    fn all() -> TimeRanges {
        TimeRanges::one(0, i64::MAX)
    }

    fn none() -> TimeRanges {
        TimeRanges::one(0, 0)
    }

    /// Returns the instants for which all of `predicates` can hold.
    pub fn of_all<'a>(predicates: impl IntoIterator<Item = &'a Expr>) -> TimeRanges {
        predicates
            .into_iter()
            .fold(TimeRanges::all(), |spans, predicate| spans.and(&TimeRanges::of(predicate)))
    }

    /// Returns the instants for which `predicate` can hold.
    pub fn of(predicate: &Expr) -> TimeRanges {
        let unknown = TimeRanges { exact: false, ..TimeRanges::all() };
        match predicate {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
                TimeRanges::of(left).and(&TimeRanges::of(right))
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
                TimeRanges::of(left).or(TimeRanges::of(right))
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (&**left, &**right) {
                (column, Expr::Literal(value, _)) => compare(column, *op, value),
                (Expr::Literal(value, _), column) => {
                    op.swap().and_then(|op| compare(column, op, value))
                }
                _ => None,
            }
            .unwrap_or(unknown),
            Expr::Between(between) if !between.negated => match (&*between.low, &*between.high) {
                (Expr::Literal(low, _), Expr::Literal(high, _)) => {
                    compare(&between.expr, Operator::GtEq, low)
                        .zip(compare(&between.expr, Operator::LtEq, high))
                        .map_or(unknown, |(low, high)| low.and(&high))
                }
                _ => unknown,
            },
            Expr::InList(InList { expr, list, negated: false }) => {
                let one_of = |value: &Expr| match value {
                    Expr::Literal(value, _) => compare(expr, Operator::Eq, value),
                    _ => None,
                };
                let each: Option<Vec<TimeRanges>> = list.iter().map(one_of).collect();
                each.map_or(unknown, |each| {
                    each.into_iter().fold(TimeRanges::none(), TimeRanges::or)
                })
            }
            Expr::Literal(ScalarValue::Boolean(Some(true)), _) => TimeRanges::all(),
            Expr::Literal(ScalarValue::Boolean(_), _) => TimeRanges::none(),
            _ => unknown,
        }
    }

    fn and(&self, other: &TimeRanges) -> TimeRanges {
        let mut intervals = Vec::new();
        for &(start, end) in &self.intervals {
            for &(other_start, other_end) in &other.intervals {
                let both = (start.max(other_start), end.min(other_end));
                if both.0 < both.1 {
                    intervals.push(both);
                }
            }
        }
        let hours_of_day = self.hours_of_day & other.hours_of_day;
        TimeRanges { intervals, hours_of_day, exact: self.exact && other.exact }
    }

    fn or(mut self, other: TimeRanges) -> TimeRanges {
        if self.exact && self.intervals.is_empty() {
            return other;
        }
        if other.exact && other.intervals.is_empty() {
            return self;
        }
        // Two masks over different intervals have no common form; their union is a superset that
        // holds all instants.
        let same = self.hours_of_day == other.hours_of_day || self.intervals == other.intervals;
        self.intervals.extend(other.intervals);
        self.intervals.sort_unstable();
        let mut merged: Vec<(i64, i64)> = Vec::new();
        for (start, end) in self.intervals {
            match merged.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => merged.push((start, end)),
            }
        }
        let hours_of_day = self.hours_of_day | other.hours_of_day;
        TimeRanges { intervals: merged, hours_of_day, exact: self.exact && other.exact && same }
    }

    /// Returns the hours that the instants touch, as ascending, disjoint, inclusive ranges. Not
    /// every hour of a range holds an instant; see [`TimeRanges::touches`].
    pub fn hours(&self) -> impl Iterator<Item = (Hour, Hour)> + use<> {
        let mut ranges: Vec<(Hour, Hour)> = Vec::with_capacity(self.intervals.len());
        for &(start, end) in &self.intervals {
            let (first, last) = (Hour::of_us(start), Hour::of_us(end - 1));
            match ranges.last_mut() {
                // IMPORTANT: two intervals within one hour yield that hour once; otherwise its rows
                // would be read twice.
                Some(before) if first <= before.1 => before.1 = last,
                _ => ranges.push((first, last)),
            }
        }
        ranges.into_iter()
    }

    /// Reports whether an hour from the ranges of [`TimeRanges::hours`] holds any of the instants.
    pub fn touches(&self, hour: Hour) -> bool {
        self.hours_of_day & (1 << hour.of_day()) != 0
    }

    /// Reports whether an interval overlaps `first..=last`; the mask is not checked.
    pub fn meets(&self, first: i64, last: i64) -> bool {
        let after = self.intervals.partition_point(|(_, end)| *end <= first);
        self.intervals.get(after).is_some_and(|(start, _)| *start <= last)
    }

    /// Reports whether the hours of the day are restricted.
    pub fn is_masked(&self) -> bool {
        self.hours_of_day != ALL_HOURS_OF_DAY
    }

    /// Returns the hours `first..=last` if the instants are exactly those of one range of whole
    /// hours; `None` for an empty set of instants.
    pub fn whole_hours(&self) -> Option<(Hour, Hour)> {
        match self.intervals[..] {
            [(start, end)]
                if self.exact
                    && !self.is_masked()
                    && start % HOUR_US == 0
                    && end % HOUR_US == 0 =>
            {
                Some((Hour::of_us(start), Hour::of_us(end - 1)))
            }
            _ => None,
        }
    }

    /// Reports whether the instants are exactly those of whole hours.
    pub fn is_whole(&self) -> bool {
        self.exact
            && self.intervals.iter().all(|(start, end)| start % HOUR_US == 0 && end % HOUR_US == 0)
    }

    /// Splits the intervals into ranges of whole hours and the parts of hours at their edges.
    pub fn split(&self) -> Split {
        let mut split = Split::default();
        for &(start, end) in &self.intervals {
            let first = (start + HOUR_US - 1).div_euclid(HOUR_US) * HOUR_US;
            let last = end.div_euclid(HOUR_US) * HOUR_US;
            if first < last {
                split.whole.push((Hour::of_us(first), Hour::of_us(last - 1)));
                split.edges.extend(
                    [(start, first), (last, end)].into_iter().filter(|(start, end)| start < end),
                );
            } else {
                split.edges.push((start, end));
            }
        }
        split
    }
}

impl TimeBucket {
    /// Returns the unit of an expression that increases with the timestamp and whose value is the
    /// start of its interval.
    pub fn of(expr: &Expr) -> Option<TimeBucket> {
        match expr {
            Expr::Column(column) if column.name == "timestamp" => Some(TimeBucket::of_width(1)),
            Expr::Column(column) if column.name == "date" => Some(TimeBucket::of_width(DAY_US)),
            Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) => {
                let inner = TimeBucket::of(expr)?;
                let width = match field.data_type() {
                    // Days of another time zone begin elsewhere, and perhaps its hours too.
                    DataType::Timestamp(_, Some(zone)) if !["UTC", "+00:00"].contains(&&**zone) => {
                        return None;
                    }
                    DataType::Timestamp(TimeUnit::Second, _) => 1_000_000,
                    DataType::Timestamp(TimeUnit::Millisecond, _) => 1_000,
                    DataType::Timestamp(TimeUnit::Microsecond, _) => 1,
                    DataType::Date32 => DAY_US,
                    // IMPORTANT: milliseconds, which Arrow does not truncate to whole days.
                    DataType::Date64 => 1_000,
                    // Nanoseconds end in 2262; later times are null or an error.
                    _ => return None,
                };
                inner.coarser(TimeBucket::of_width(width))
            }
            Expr::ScalarFunction(function) => match (function.func.name(), &function.args[..]) {
                ("date_trunc", [Expr::Literal(unit, _), of]) => {
                    let unit = TimeBucket::named(unit.try_as_str()??)?;
                    TimeBucket::of(of)?.coarser(unit)
                }
                ("date_bin", [Expr::Literal(width, _), of]) => {
                    TimeBucket::of(of)?.coarser(TimeBucket::bin(width, 0)?)
                }
                ("date_bin", [Expr::Literal(width, _), of, Expr::Literal(origin, _)]) => {
                    let (origin, 0) = instant(origin)? else { return None };
                    TimeBucket::of(of)?.coarser(TimeBucket::bin(width, origin)?)
                }
                _ => None,
            },
            _ => None,
        }
    }
}

/// Returns an instant as whole microseconds and the remaining nanoseconds.
fn instant(value: &ScalarValue) -> Option<(i64, i64)> {
    let whole = |us: Option<i64>| Some((us?, 0));
    match value {
        ScalarValue::TimestampSecond(Some(s), _) => whole(s.checked_mul(1_000_000)),
        ScalarValue::TimestampMillisecond(Some(ms), _) => whole(ms.checked_mul(1_000)),
        ScalarValue::TimestampMicrosecond(Some(us), _) => whole(Some(*us)),
        ScalarValue::TimestampNanosecond(Some(ns), _) => {
            Some((ns.div_euclid(1_000), ns.rem_euclid(1_000)))
        }
        ScalarValue::Date32(Some(day)) => whole(i64::from(*day).checked_mul(DAY_US)),
        ScalarValue::Date64(Some(ms)) => whole(ms.checked_mul(1_000)),
        _ => None,
    }
}

/// Returns the instants for which `column op value` holds; `None` if it depends on more than time.
fn compare(column: &Expr, op: Operator, value: &ScalarValue) -> Option<TimeRanges> {
    // IMPORTANT: must come before the checks for null, which return no instants, since
    // `IS DISTINCT FROM NULL` holds for all.
    if !matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
    ) {
        return None;
    }
    if let Some(unit) = TimeBucket::of(column) {
        if value.is_null() {
            return Some(TimeRanges::none());
        }
        let (us, beyond) = instant(value)?;
        let (start, end) = unit.interval(us)?;
        // A value that does not begin an interval lies between two values of the expression.
        return if start == us && beyond == 0 { among(op, start, end) } else { between(op, end) };
    }
    if let Some(unit) = unit_of_seconds(column) {
        if value.is_null() {
            return Some(TimeRanges::none());
        }
        let us = seconds::seconds(value)? * SECOND_US;
        let (start, end) = unit.interval(us)?;
        return if start == us { among(op, start, end) } else { between(op, end) };
    }
    if let Some(unit) = unit_of_clock(column) {
        return (!value.is_null()).then(|| compare_clock(unit, op, value)).flatten();
    }
    let hour: i64 = match (is_hour_of_day(column), value) {
        (true, ScalarValue::Int32(Some(hour))) => (*hour).into(),
        (true, ScalarValue::Int64(Some(hour))) => *hour,
        _ => return None,
    };
    let holds = |of_day: i64| match op {
        Operator::Eq => Some(of_day == hour),
        Operator::NotEq => Some(of_day != hour),
        Operator::Lt => Some(of_day < hour),
        Operator::LtEq => Some(of_day <= hour),
        Operator::Gt => Some(of_day > hour),
        Operator::GtEq => Some(of_day >= hour),
        _ => None,
    };
    let mut hours_of_day = 0;
    for of_day in 0..24 {
        hours_of_day |= u32::from(holds(of_day)?) << of_day;
    }
    Some(match hours_of_day {
        0 => TimeRanges::none(),
        _ => TimeRanges { hours_of_day, ..TimeRanges::all() },
    })
}

/// Returns the unit of an expression over the local clock of some zone, as if it were over the
/// timestamp.
fn unit_of_clock(expr: &Expr) -> Option<TimeBucket> {
    let over_timestamp = expr.clone().transform_up(|expr| {
        Ok(match expr {
            Expr::ScalarFunction(mut function)
                if function.func.name() == CLOCK && !function.args.is_empty() =>
            {
                Transformed::yes(function.args.swap_remove(0))
            }
            other => Transformed::no(other),
        })
    });
    let over_timestamp = over_timestamp.ok()?;
    if over_timestamp.transformed { TimeBucket::of(&over_timestamp.data) } else { None }
}

/// Returns the instants at which a local clock may compare so: no zone is as much as a day ahead of
/// UTC, or behind it.
fn compare_clock(unit: TimeBucket, op: Operator, value: &ScalarValue) -> Option<TimeRanges> {
    let (start, end) = unit.interval(instant(value)?.0)?;
    let (first, last) = match op {
        Operator::Eq => (start, end),
        Operator::Lt | Operator::LtEq => (i64::MIN, end),
        Operator::Gt | Operator::GtEq => (start, i64::MAX),
        _ => return None,
    };
    Some(TimeRanges {
        exact: false,
        ..TimeRanges::one(first.saturating_sub(DAY_US), last.saturating_add(DAY_US))
    })
}

/// Reports whether the expression is the hour of the day, 0 to 23.
pub fn is_hour_of_day(expr: &Expr) -> bool {
    match expr {
        Expr::Column(column) => column.name == "hour",
        Expr::Cast(Cast { expr, field }) => field.data_type().is_integer() && is_hour_of_day(expr),
        Expr::ScalarFunction(function) if function.func.name() == "date_part" => {
            match &function.args[..] {
                [Expr::Literal(part, _), of] => {
                    let part = part.try_as_str().flatten().unwrap_or_default();
                    part.eq_ignore_ascii_case("hour")
                        && matches!(of, Expr::Column(column) if column.name == "timestamp")
                }
                _ => false,
            }
        }
        _ => false,
    }
}

/// Returns the instants whose interval compares as `op` to the interval `[start, end)`.
fn among(op: Operator, start: i64, end: i64) -> Option<TimeRanges> {
    match op {
        Operator::Eq => Some(TimeRanges::one(start, end)),
        Operator::NotEq => Some(TimeRanges::one(0, start).or(TimeRanges::one(end, i64::MAX))),
        Operator::Lt => Some(TimeRanges::one(0, start)),
        Operator::LtEq => Some(TimeRanges::one(0, end)),
        Operator::Gt => Some(TimeRanges::one(end, i64::MAX)),
        Operator::GtEq => Some(TimeRanges::one(start, i64::MAX)),
        _ => None,
    }
}

/// Returns the instants whose interval compares as `op` to a value that lies before the interval
/// beginning at `next` and after all earlier ones.
fn between(op: Operator, next: i64) -> Option<TimeRanges> {
    match op {
        Operator::Eq => Some(TimeRanges::none()),
        Operator::NotEq => Some(TimeRanges::all()),
        Operator::Lt | Operator::LtEq => Some(TimeRanges::one(0, next)),
        Operator::Gt | Operator::GtEq => Some(TimeRanges::one(next, i64::MAX)),
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
        let spans =
            TimeRanges::of_all(&[col("timestamp").gt_eq(at(5, 0)), at(6, 0).gt(col("timestamp"))]);
        assert_eq!(spans.whole_hours(), Some((Hour(5), Hour(5))));
        let between = TimeRanges::of_all(&[col("timestamp").between(at(5, 0), at(7, -1))]);
        assert_eq!(between.whole_hours(), Some((Hour(5), Hour(6))));
    }

    #[test]
    fn an_edge_that_cuts_an_hour_prunes_but_is_not_whole() {
        let spans =
            TimeRanges::of_all(&[col("timestamp").gt(at(5, 0)).and(col("timestamp").lt(at(6, 0)))]);
        assert_eq!(
            (spans.whole_hours(), spans.hours().collect()),
            (None, vec![(Hour(5), Hour(5))])
        );
    }

    #[test]
    fn what_is_not_about_time_leaves_the_bounds_and_the_exactness_goes() {
        let spans =
            TimeRanges::of_all(&[col("timestamp").lt(at(2, 0)), col("user_id").eq(lit("a"))]);
        assert_eq!((spans.exact, spans.hours().collect()), (false, vec![(Hour(0), Hour(1))]));
        let either =
            TimeRanges::of_all(&[col("timestamp").lt(at(2, 0)).or(col("user_id").eq(lit("a")))]);
        assert_eq!(either.hours().collect::<Vec<_>>(), vec![(Hour(0), Hour::LAST)]);
    }

    #[test]
    fn either_of_two_ranges_is_both() {
        let hour = |h| col("timestamp").gt_eq(at(h, 0)).and(col("timestamp").lt(at(h + 1, 0)));
        assert_eq!(
            TimeRanges::of_all(&[hour(3).or(hour(2))]).whole_hours(),
            Some((Hour(2), Hour(3)))
        );
        let apart = TimeRanges::of_all(&[hour(9).or(hour(2))]);
        assert_eq!(apart.hours().collect::<Vec<_>>(), vec![(Hour(2), Hour(2)), (Hour(9), Hour(9))]);
        assert_eq!(apart.whole_hours(), None);
    }

    #[test]
    fn an_hour_of_the_day_is_a_mask() {
        let spans = TimeRanges::of_all(&[
            col("date").eq(lit(ScalarValue::Date32(Some(1)))),
            col("hour").eq(lit(5_i32)),
        ]);
        let hours: Vec<Hour> = spans
            .hours()
            .flat_map(|(a, b)| (a.0..=b.0).map(Hour))
            .filter(|hour| spans.touches(*hour))
            .collect();
        assert_eq!((hours, spans.exact), (vec![Hour(29)], true));
        let nowhere = TimeRanges::of_all(&[col("hour").gt(lit(23_i32))]);
        assert_eq!(nowhere.hours().count(), 0);
        // Hour 1 of any day, or any hour of one day: the union of both masks and ranges is a
        // superset.
        let either =
            TimeRanges::of_all(&[col("hour").eq(lit(1_i32)).or(col("timestamp").lt(at(24, 0)))]);
        assert!(!either.exact && either.touches(Hour(7)));
    }

    /// Regression: `timestamp <> X` within an hour returned that hour in both of its ranges, and
    /// its rows were counted twice. Overlapping ranges of hours are now merged.
    #[test]
    fn an_hour_cut_in_two_is_named_once() {
        let spans =
            TimeRanges::of_all(&[col("timestamp").not_eq(at(5, 7)), col("timestamp").lt(at(9, 0))]);
        assert_eq!(spans.hours().collect::<Vec<_>>(), vec![(Hour(0), Hour(8))]);
    }

    #[test]
    fn statistics_meet_the_instants_they_share_one_with() {
        let spans = TimeRanges::of_all(&[col("timestamp")
            .gt_eq(at(1, 5))
            .and(col("timestamp").lt(at(1, 9)))])
        .or(TimeRanges::of_all(&[col("timestamp").eq(at(3, 0))]));
        let meets = |first: i64, last: i64| spans.meets(HOUR_US + first, HOUR_US + last);
        assert!(
            meets(0, 5)
                && meets(8, 8)
                && meets(6, 7)
                && meets(0, 3 * HOUR_US)
                && meets(2 * HOUR_US, 2 * HOUR_US)
        );
        assert!(!meets(0, 4) && !meets(9, HOUR_US) && !meets(2 * HOUR_US + 1, 9 * HOUR_US));
        assert!(!TimeRanges::none().meets(0, i64::MAX));
    }

    #[test]
    fn a_range_splits_into_whole_hours_and_edges() {
        let spans =
            TimeRanges::of_all(&[col("timestamp").gt_eq(at(1, 5)), col("timestamp").lt(at(4, 7))]);
        let split = spans.split();
        assert_eq!(split.whole, vec![(Hour(2), Hour(3))]);
        assert_eq!(split.edges, vec![(HOUR_US + 5, 2 * HOUR_US), (4 * HOUR_US, 4 * HOUR_US + 7)]);
        let within =
            TimeRanges::of_all(&[col("timestamp").gt_eq(at(1, 5)), col("timestamp").lt(at(1, 7))])
                .split();
        assert_eq!((within.whole, within.edges), (vec![], vec![(HOUR_US + 5, HOUR_US + 7)]));
    }

    #[test]
    fn months_begin_where_the_calendar_says() {
        let day = |y, m, d| {
            let date = chrono::NaiveDate::from_ymd_opt(y, m, d).unwrap();
            date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros()
        };
        let leap = day(2020, 2, 29) + 5;
        assert_eq!(
            TimeBucket::named("month").unwrap().interval(leap),
            Some((day(2020, 2, 1), day(2020, 3, 1)))
        );
        assert_eq!(
            TimeBucket::named("quarter").unwrap().interval(leap),
            Some((day(2020, 1, 1), day(2020, 4, 1)))
        );
        assert_eq!(
            TimeBucket::named("year").unwrap().interval(leap),
            Some((day(2020, 1, 1), day(2021, 1, 1)))
        );
        let week = TimeBucket::named("week").unwrap().interval(leap);
        assert_eq!(week, Some((day(2020, 2, 24), day(2020, 3, 2))));
    }

    #[test]
    fn a_finer_literal_falls_between_two_values() {
        let cast = col("timestamp");
        let at_ns = |ns| lit(ScalarValue::TimestampNanosecond(Some(ns), Some("UTC".into())));
        let spans = |expr: Expr| TimeRanges::of(&expr).intervals;
        assert_eq!(spans(cast.clone().lt(at_ns(1_500))), vec![(0, 2)]);
        assert_eq!(spans(cast.clone().lt_eq(at_ns(2_000))), vec![(0, 3)]);
        assert_eq!(spans(cast.eq(at_ns(1_500))), vec![]);
    }

    /// A predicate on the local clock of a zone prunes, also before 1970, but must still be
    /// evaluated.
    #[test]
    fn what_clocks_show_prunes_by_a_day_more() {
        let zone = Box::new(col("timestamp"));
        let cast = Expr::Cast(Cast::new(
            zone,
            DataType::Timestamp(TimeUnit::Nanosecond, Some("Asia/Tokyo".into())),
        ));
        let Expr::Cast(Cast { expr, field }) = cast else { unreachable!() };
        let of = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let schema = datafusion::arrow::datatypes::Schema::new(vec![
            datafusion::arrow::datatypes::Field::new("timestamp", of, false),
        ]);
        let schema = datafusion::common::DFSchema::try_from(schema).unwrap();
        let clock = crate::query::functions::at_time_zone(*expr, field, &schema).data;
        let at = |hour: i64| lit(ScalarValue::TimestampMicrosecond(Some(hour * HOUR_US), None));
        let spans = |expr: Expr| {
            let spans = TimeRanges::of(&expr);
            (spans.intervals, spans.exact)
        };
        let (late, early) = (clock.clone().gt_eq(at(100)), clock.lt(at(-3)));
        assert_eq!(spans(late), (vec![(76 * HOUR_US, MAX_TIMESTAMP_US + 1)], false));
        assert_eq!(spans(early), (vec![(0, 21 * HOUR_US + 1)], false));
    }

    /// Regression: a Date64 was taken for a whole day, so that
    /// `arrow_cast(timestamp, 'Date64') >= noon` pruned the rows of the afternoon. Its
    /// unit is the millisecond.
    #[test]
    fn a_date_in_milliseconds_is_a_millisecond() {
        let cast = Expr::Cast(Cast::new(Box::new(col("timestamp")), DataType::Date64));
        let spans = TimeRanges::of(&cast.gt_eq(lit(ScalarValue::Date64(Some(1_500)))));
        assert_eq!(spans.intervals, vec![(1_500_000, MAX_TIMESTAMP_US + 1)]);
    }

    #[test]
    fn a_date_is_its_day() {
        let day = TimeRanges::of_all(&[col("date").eq(lit(ScalarValue::Date32(Some(1))))]);
        assert_eq!(day.whole_hours(), Some((Hour(24), Hour(47))));
    }
}
