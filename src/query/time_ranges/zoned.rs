//! Units of time on the local clock of a zone: days that begin elsewhere than in UTC, and perhaps
//! not at a full hour.

use arrow::array::timezone::Tz;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::Expr;
use datafusion::scalar::ScalarValue;

use super::instant;
use crate::hour::Hour;
use crate::query::functions::CLOCK;
use crate::query::functions::time_bucket::{TimeBucket, offset_at};

/// A unit of time on the clock of a zone. An expression of it has one value in each interval.
#[derive(Clone, Copy, Debug)]
pub struct ZonedBucket {
    zone: Tz,
    unit: TimeBucket,
}

fn is_timestamp(expr: &Expr) -> bool {
    matches!(expr, Expr::Column(column) if column.name == "timestamp")
}

fn zone_of(value: &ScalarValue) -> Option<Tz> {
    value.try_as_str()??.parse().ok()
}

impl ZonedBucket {
    /// Returns the unit of an expression over the timestamp, if it is one of a zone.
    pub fn of(expr: &Expr) -> Option<ZonedBucket> {
        if let Expr::ScalarFunction(function) = expr {
            match (function.func.name(), &function.args[..]) {
                ("date_trunc", [Expr::Literal(unit, _), of, Expr::Literal(zone, _)])
                    if is_timestamp(of) =>
                {
                    let unit = TimeBucket::named(unit.try_as_str()??)?;
                    return Some(ZonedBucket { zone: zone_of(zone)?, unit });
                }
                (
                    "date_bin",
                    [Expr::Literal(width, _), of, Expr::Literal(origin, _), Expr::Literal(zone, _)],
                ) if is_timestamp(of) => {
                    let (origin, 0) = instant(origin)? else { return None };
                    let unit = TimeBucket::bin(width, origin)?;
                    return Some(ZonedBucket { zone: zone_of(zone)?, unit });
                }
                _ => {}
            }
        }
        let mut zone = None;
        let over_timestamp = expr.clone().transform_up(|expr| {
            Ok(match expr {
                Expr::ScalarFunction(function) if function.func.name() == CLOCK => {
                    match &function.args[..] {
                        [of, Expr::Literal(name, _)] if is_timestamp(of) => {
                            zone = zone_of(name);
                            Transformed::yes(of.clone())
                        }
                        _ => Transformed::no(Expr::ScalarFunction(function)),
                    }
                }
                other => Transformed::no(other),
            })
        });
        let over_timestamp = over_timestamp.ok().filter(|found| found.transformed)?.data;
        Some(ZonedBucket { zone: zone?, unit: unit_of_clock(&over_timestamp)? })
    }

    /// Reports whether an hour lies within one interval.
    pub fn has_whole(self, hour: Hour) -> bool {
        let (first, last) = (hour.start_us(), hour.end_us() - 1);
        let offset = offset_at(self.zone, first);
        let index = |us: i64| self.unit.index(us.checked_add(offset?)?);
        offset.is_some()
            && offset_at(self.zone, last) == offset
            && index(first).is_some()
            && index(first) == index(last)
    }
}

/// Returns the unit of an expression over a clock: the start of an interval, or a part of the
/// calendar.
fn unit_of_clock(expr: &Expr) -> Option<TimeBucket> {
    if let Expr::ScalarFunction(function) = expr
        && function.func.name() == "date_part"
    {
        let [Expr::Literal(part, _), of] = &function.args[..] else { return None };
        let unit = match part.try_as_str()??.to_ascii_lowercase().as_str() {
            "dow" | "isodow" | "doy" => TimeBucket::named("day"),
            part @ ("hour" | "day" | "week" | "month" | "quarter" | "year") => {
                TimeBucket::named(part)
            }
            _ => None,
        };
        return unit.filter(|_| is_timestamp(of));
    }
    TimeBucket::of(expr).filter(|unit| *unit != TimeBucket::of_width(1))
}
