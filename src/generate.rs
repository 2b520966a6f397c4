//! Seeded workload generator: events at a fixed interval, each with a random user and kind.
//!
//! The default is one event a minute from 2020-01-01T00:00:00Z to 2020-06-01T00:00:00Z inclusive:
//! 218,881 events in 3,649 hours, by 31 users. Event `i` happens at `start + i * interval`. Its
//! user and kind are drawn from one random stream and its lateness from another, so that changing
//! the share of late events changes no event.
//!
//! Late events keep their timestamps but arrive in another position: after the on-time events of
//! [`LATE_BY_US`] later, when their hour is long over, or at the end of a shorter series. The
//! events are the same for every share, so a store must give the same answers. To avoid holding
//! late events in memory, the series is walked twice at once: the leading walk skips the late
//! events, and the trailing walk yields only those.

use std::collections::BTreeSet;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rand_distr::{Distribution, Zipf};

use crate::decode::BATCH_EVENTS;
use crate::error::{Error, Result};
use crate::event::{EventBatch, EventKind, check_timestamp_us};
use crate::hour::HOUR_US;

/// Delay of a late event, in microseconds: two hours, so that it is never in the newest hour.
pub const LATE_BY_US: i64 = 2 * HOUR_US;

/// Parameters of a workload.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Time of the first event, in microseconds.
    pub start_us: i64,
    /// Latest time of an event, in microseconds; inclusive.
    pub end_us: i64,
    /// Microseconds between events.
    pub interval_us: i64,
    /// Number of users, named `user0` to `user{users - 1}`.
    pub users: u64,
    /// Exponent of the Zipf distribution of users, with `user0` the busiest; 0 is a uniform
    /// distribution.
    pub skew: f64,
    /// Share of events that arrive late, 0 to 1.
    pub late: f64,
    pub seed: u64,
    /// Dimensions that every event has a value of.
    pub dimensions: Vec<Dimension>,
}

impl Default for Workload {
    fn default() -> Workload {
        Workload {
            start_us: 1_577_836_800_000_000,
            end_us: 1_590_969_600_000_000,
            interval_us: 60_000_000,
            users: 31,
            skew: 0.0,
            late: 0.0,
            seed: 0,
            dimensions: Vec::new(),
        }
    }
}

impl Workload {
    /// Checks that every field is within its limits.
    pub fn check(&self) -> Result<()> {
        check_timestamp_us(self.start_us)?;
        check_timestamp_us(self.end_us)?;
        let invalid = |text: &str| Err(Error::Invalid(text.to_owned()));
        match self {
            _ if self.end_us < self.start_us => invalid("the end must not lie before the start"),
            _ if self.interval_us < 1 => invalid("the interval must be at least one microsecond"),
            _ if self.users < 1 => invalid("there must be at least one user"),
            _ if !(self.skew >= 0.0 && self.skew.is_finite()) => {
                invalid("the skew must be 0 or more")
            }
            _ if self.repeats_a_dimension() => invalid("a dimension is given twice"),
            _ if !(0.0..=1.0).contains(&self.late) => {
                invalid("the late share must lie between 0 and 1")
            }
            _ => Ok(()),
        }
    }

    fn repeats_a_dimension(&self) -> bool {
        let names = self.dimensions.iter().map(|dimension| &dimension.name);
        names.collect::<BTreeSet<_>>().len() < self.dimensions.len()
    }

    /// Returns the number of events.
    pub fn count(&self) -> u64 {
        ((self.end_us - self.start_us) / self.interval_us) as u64 + 1
    }

    /// Returns the events in order of arrival, in batches of [`BATCH_EVENTS`] (the last may be
    /// smaller). The same workload gives the same events on every machine.
    pub fn events(&self) -> Result<Batches> {
        self.check()?;
        let lag = u64::try_from(LATE_BY_US / self.interval_us).expect("both are positive") + 1;
        Ok(Batches { ahead: Series::new(self), behind: Series::new(self), lag })
    }
}

/// Iterator over the batches of [`Workload::events`].
pub struct Batches {
    /// Leading walk: yields the events that are on time.
    ahead: Series,
    /// Trailing walk, `lag` events behind: yields the late events.
    behind: Series,
    lag: u64,
}

impl Iterator for Batches {
    type Item = EventBatch;

    fn next(&mut self) -> Option<EventBatch> {
        let mut batch = EventBatch::with_capacity(BATCH_EVENTS, BATCH_EVENTS * 10);
        while batch.len() < BATCH_EVENTS {
            let trailing = self.ahead.late > 0.0
                && !self.behind.is_over()
                && (self.ahead.is_over() || self.behind.index + self.lag < self.ahead.index);
            if trailing {
                self.behind.step(true, &mut batch);
            } else if self.ahead.is_over() {
                break;
            } else {
                self.ahead.step(false, &mut batch);
            }
        }
        (!batch.is_empty()).then_some(batch)
    }
}

/// One walk through the series.
struct Series {
    index: u64,
    count: u64,
    start_us: i64,
    interval_us: i64,
    users: u64,
    /// `None` for a uniform distribution.
    zipf: Option<Zipf<f64>>,
    late: f64,
    events: ChaCha8Rng,
    lateness: ChaCha8Rng,
    name: String,
    dimensions: Vec<DimensionSeries>,
}

impl Series {
    fn new(workload: &Workload) -> Series {
        let mut lateness = ChaCha8Rng::seed_from_u64(workload.seed);
        lateness.set_stream(1);
        let zipf =
            || Zipf::new(workload.users as f64, workload.skew).expect("the workload is checked");
        Series {
            index: 0,
            count: workload.count(),
            start_us: workload.start_us,
            interval_us: workload.interval_us,
            users: workload.users,
            zipf: (workload.skew > 0.0).then(zipf),
            late: workload.late,
            events: ChaCha8Rng::seed_from_u64(workload.seed),
            lateness,
            name: String::new(),
            dimensions: workload
                .dimensions
                .iter()
                .enumerate()
                .map(|(i, dimension)| DimensionSeries::new(workload.seed, i, dimension))
                .collect(),
        }
    }

    fn is_over(&self) -> bool {
        self.index == self.count
    }

    /// Draws the next event, and pushes it if its lateness is `wanted_late`.
    fn step(&mut self, wanted_late: bool, batch: &mut EventBatch) {
        let timestamp_us = self.start_us + self.index as i64 * self.interval_us;
        let user = draw(&mut self.events, self.users, self.zipf.as_ref());
        let kind = EventKind::CONTRACT[(self.events.next_u32() >> 31) as usize];
        self.index += 1;
        if self.draw_late() == wanted_late {
            self.name.clear();
            self.name.push_str("user");
            push_decimal(&mut self.name, user);
            batch.push(timestamp_us, &self.name, kind);
            for dimension in &mut self.dimensions {
                let value = dimension.draw();
                self.name.clear();
                self.name.push_str(&dimension.name);
                push_decimal(&mut self.name, value);
                batch.set_value(dimension.index, &self.name);
            }
        } else {
            self.dimensions.iter_mut().for_each(|dimension| _ = dimension.draw());
        }
    }

    fn draw_late(&mut self) -> bool {
        // The 53 bits are a uniform float in [0, 1): a share of 0 is never late, a share of 1
        // always.
        self.late > 0.0
            && ((self.lateness.next_u64() >> 11) as f64) < self.late * (1_u64 << 53) as f64
    }
}

/// Random values of one dimension, from a random stream of its own.
struct DimensionSeries {
    /// Index in the schema of the destination.
    index: usize,
    name: String,
    values: u64,
    zipf: Option<Zipf<f64>>,
    random: ChaCha8Rng,
}

impl DimensionSeries {
    fn new(seed: u64, position: usize, dimension: &Dimension) -> DimensionSeries {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(2 + position as u64);
        let zipf =
            || Zipf::new(dimension.values as f64, 1.0).expect("a dimension has a value at least");
        DimensionSeries {
            index: dimension.index,
            name: dimension.name.clone(),
            values: dimension.values,
            zipf: dimension.zipf.then(zipf),
            random,
        }
    }

    fn draw(&mut self) -> u64 {
        draw(&mut self.random, self.values, self.zipf.as_ref())
    }
}

/// Draws one of `count` numbers, from 0 on: uniformly, or by a Zipf distribution.
fn draw(random: &mut ChaCha8Rng, count: u64, zipf: Option<&Zipf<f64>>) -> u64 {
    match zipf {
        // Lemire's multiply-shift without its rejection step: for any count that fits in memory the
        // bias is too small to observe, and every event takes the same number of draws.
        None => ((u128::from(random.next_u64()) * u128::from(count)) >> 64) as u64,
        Some(zipf) => zipf.sample(random) as u64 - 1,
    }
}

/// A dimension of generated events: `values` texts, the name with a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dimension {
    /// Index in the schema of the destination.
    pub index: usize,
    pub name: String,
    pub values: u64,
    /// Whether a few values are very frequent, with a Zipf exponent of 1; otherwise all are
    /// equally frequent.
    pub zipf: bool,
}

impl Dimension {
    /// Parses `page=200` or `page=200:zipf`.
    pub fn parse(text: &str) -> Result<Dimension, String> {
        let shape = || "must be NAME=VALUES or NAME=VALUES:zipf, such as page=200:zipf".to_owned();
        let (name, values) = text.split_once('=').ok_or_else(shape)?;
        let (values, zipf) = match values.split_once(':') {
            None => (values, false),
            Some((values, "zipf")) => (values, true),
            Some(_) => return Err(shape()),
        };
        let values = values.parse().ok().filter(|values| (1..=1 << 32).contains(values));
        let values = values.ok_or_else(shape)?;
        Ok(Dimension { index: 0, name: name.to_owned(), values, zipf })
    }
}

/// Appends a decimal number. `format!` would be the slowest part of generating an event.
fn push_decimal(text: &mut String, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    while number > 0 || first == digits.len() {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    text.push_str(std::str::from_utf8(&digits[first..]).expect("digits are ASCII"));
}

/// Parses an interval such as `1m`, `250ms`, `30s` or `10us` (also `h` and `d`), and returns it in
/// microseconds.
pub fn parse_interval_us(text: &str) -> Result<i64, String> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit_us: i64 = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => HOUR_US,
        "d" => 24 * HOUR_US,
        _ => {
            return Err(
                "must be a whole number with a unit: us, ms, s, m, h or d, such as 250ms".into()
            );
        }
    };
    let interval = number.parse::<i64>().ok().and_then(|number| number.checked_mul(unit_us));
    interval
        .filter(|&us| us > 0)
        .ok_or_else(|| "must be more than 0 and less than 292,000 years".into())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use super::*;
    use crate::event::Event;
    use crate::hour::Hour;

    fn rows(workload: &Workload) -> Vec<(i64, String, EventKind)> {
        let row = |event: Event<'_>| (event.timestamp_us, event.user.to_owned(), event.kind);
        workload
            .events()
            .unwrap()
            .flat_map(|batch| batch.iter().map(row).collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn the_default_is_one_event_a_minute_for_152_days() {
        let workload = Workload::default();
        let rows = rows(&workload);
        assert_eq!((rows.len(), workload.count()), (218_881, 218_881));
        assert_eq!(rows.iter().map(|row| Hour::of_us(row.0)).collect::<HashSet<_>>().len(), 3_649);
        assert_eq!(rows.iter().map(|row| row.1.as_str()).collect::<HashSet<_>>().len(), 31);
        assert_eq!(rows.last().unwrap().0, workload.end_us);
    }

    #[test]
    fn the_events_of_a_seed_never_change() {
        let text = |workload: &Workload| {
            let rows = rows(workload).into_iter();
            rows.map(|(us, user, kind)| {
                format!("{} {user} {}", us / 60_000_000, ["click", "impression"][kind.index()])
            })
            .collect::<Vec<_>>()
        };
        let short =
            Workload { end_us: 1_577_836_800_000_000 + 5 * 60_000_000, ..Workload::default() };
        insta::assert_snapshot!(text(&short).join("\n"), @r"
        26297280 user21 impression
        26297281 user15 impression
        26297282 user1 click
        26297283 user17 impression
        26297284 user25 impression
        26297285 user15 impression
        ");
        insta::assert_snapshot!(text(&Workload { seed: 1, skew: 1.1, ..short }).join("\n"), @r"
        26297280 user1 click
        26297281 user19 click
        26297282 user0 click
        26297283 user0 impression
        26297284 user0 click
        26297285 user2 impression
        ");
        let clicks =
            rows(&Workload::default()).iter().filter(|row| row.2 == EventKind::CLICK).count();
        assert_eq!(clicks, 109_199);
    }

    #[test]
    fn late_events_are_the_same_events_in_another_order() {
        let on_time =
            Workload { end_us: 1_577_836_800_000_000 + 48 * HOUR_US, ..Workload::default() };
        let late = Workload { late: 0.05, ..on_time.clone() };
        let mut arrived = rows(&late);
        let mut newest = Hour::FIRST;
        let older = arrived.iter().filter(|row| {
            newest = newest.max(Hour::of_us(row.0));
            Hour::of_us(row.0) < newest
        });
        assert!(
            (100..200).contains(&older.count()),
            "about a twentieth of 2,881 arrives after its hour"
        );
        arrived.sort();
        let mut wanted = rows(&on_time);
        wanted.sort();
        assert_eq!(arrived, wanted);
    }

    #[test]
    fn every_late_event_arrives_though_all_are_late_or_the_series_is_short() {
        for (late, hours) in [(1.0, 10), (0.5, 1), (1.0, 0)] {
            let workload = Workload {
                late,
                end_us: 1_577_836_800_000_000 + hours * HOUR_US,
                ..Workload::default()
            };
            assert_eq!(rows(&workload).len() as u64, workload.count());
        }
    }

    #[test]
    fn skew_makes_the_first_user_the_busiest() {
        let mut counts = BTreeMap::new();
        for row in rows(&Workload { skew: 1.0, ..Workload::default() }) {
            *counts.entry(row.1).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 31);
        assert_eq!(counts.iter().max_by_key(|(_, count)| **count).unwrap().0, "user0");
    }

    #[test]
    fn intervals_are_whole_numbers_with_a_unit() {
        for (text, us) in [
            ("1m", 60_000_000),
            ("250ms", 250_000),
            ("30s", 30_000_000),
            ("10us", 10),
            ("1h", HOUR_US),
        ] {
            assert_eq!(parse_interval_us(text), Ok(us));
        }
        for text in
            ["", "1", "m", "0s", "-1s", "1.5s", "1 s", "99999999999999999999s", "9999999999999d"]
        {
            assert!(parse_interval_us(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_workload_out_of_bounds_is_refused() {
        let base = Workload::default();
        for workload in [
            Workload { end_us: 0, ..base.clone() },
            Workload { interval_us: 0, ..base.clone() },
            Workload { users: 0, ..base.clone() },
            Workload { skew: f64::NAN, ..base.clone() },
            Workload { late: 1.1, ..base },
        ] {
            assert!(workload.events().is_err(), "{workload:?}");
        }
    }
}
