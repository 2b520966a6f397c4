//! Seeded events for the benchmarks, with independently computed expected answers.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::Result;
use crate::event::{EventBatch, EventKind};
use crate::generate::Workload;
use crate::hour::{HOUR_US, Hour};
use crate::rollup::{Counts, HourNumbers};
use crate::storage::{self, Engine, EngineOptions};

/// Returns engine options that keep all data of a benchmark in memory until it is flushed.
pub fn roomy() -> EngineOptions {
    EngineOptions {
        memtable_max_rows: u64::MAX,
        memtable_max_bytes: u64::MAX,
        queue_max_events: 1 << 20,
        queue_max_bytes: 256 << 20,
        ..EngineOptions::default()
    }
}

/// Returns a workload of `events` events by `users` users, over `hours` hours from `first` on.
pub fn workload(first: Hour, hours: u64, events: u64, users: u64, seed: u64) -> Workload {
    let interval_us = (hours as i64 * HOUR_US / events as i64).max(1);
    let start_us = first.start_us();
    Workload {
        start_us,
        end_us: start_us + (events as i64 - 1) * interval_us,
        interval_us,
        users,
        seed,
        ..Workload::default()
    }
}

/// Independent count of events: the set of users, by number, and a counter for each kind of event.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Bit set of users: `user17` is bit 17.
    users: Vec<u64>,
    /// Bit set of users who clicked.
    clickers: Vec<u64>,
    counts: Counts,
}

fn set(bits: &mut Vec<u64>, n: usize) {
    if bits.len() <= n / 64 {
        bits.resize(n / 64 + 1, 0);
    }
    bits[n / 64] |= 1 << (n % 64);
}

fn ones(bits: &[u64]) -> u64 {
    bits.iter().map(|word| u64::from(word.count_ones())).sum()
}

impl Tally {
    pub fn add(&mut self, user: usize, kind: EventKind) {
        set(&mut self.users, user);
        if kind == EventKind::CLICK {
            set(&mut self.clickers, user);
        }
        self.counts.add(kind, 1);
    }

    pub fn numbers(&self) -> HourNumbers {
        HourNumbers { unique_users: ones(&self.users), counts: self.counts.clone() }
    }

    pub fn clickers(&self) -> u64 {
        ones(&self.clickers)
    }
}

/// One tally per hour.
#[derive(Clone, Debug, Default)]
pub struct Tallies(pub BTreeMap<Hour, Tally>);

impl Tallies {
    pub fn add(&mut self, batch: &EventBatch) {
        for event in batch.iter() {
            let user = event
                .user
                .trim_start_matches("user")
                .parse()
                .expect("the workload numbers its users");
            self.0.entry(Hour::of_us(event.timestamp_us)).or_default().add(user, event.kind);
        }
    }

    pub fn numbers(&self, hour: Hour) -> HourNumbers {
        self.0.get(&hour).map_or(HourNumbers::default(), Tally::numbers)
    }

    /// Returns the sum of the hours `first..=last`.
    pub fn total(&self, first: Hour, last: Hour) -> Tally {
        let mut total = Tally::default();
        for tally in self.0.range(first..=last).map(|(_, tally)| tally) {
            for (into, from) in
                [(&mut total.users, &tally.users), (&mut total.clickers, &tally.clickers)]
            {
                into.resize(into.len().max(from.len()), 0);
                into.iter_mut().zip(from).for_each(|(into, from)| *into |= from);
            }
            total.counts.merge(&tally.counts);
        }
        total
    }
}

/// Returns the expected response to `GET /analytics`, byte for byte.
pub fn lines(numbers: HourNumbers) -> String {
    let [clicks, impressions] = EventKind::CONTRACT.map(|kind| numbers.count(kind));
    format!("unique_users,{}\nclicks,{clicks}\nimpressions,{impressions}\n", numbers.unique_users)
}

/// Appends a batch, retrying while the engine is busy; `Busy` guarantees that nothing of the batch
/// was stored.
pub async fn append(engine: &Engine, batch: EventBatch) -> Result<()> {
    loop {
        match engine.append(batch.clone()).await {
            Err(storage::Error::Busy(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
            other => return Ok(other.map(drop)?),
        }
    }
}

/// Stores the events, calling `each` for every batch.
pub async fn load(
    engine: &Engine,
    workload: &Workload,
    mut each: impl FnMut(&EventBatch),
) -> Result<()> {
    for batch in workload.events()? {
        each(&batch);
        append(engine, batch).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_tallied_apart_and_together() {
        let mut tallies = Tallies::default();
        let workload = workload(Hour(10), 2, 100, 3, 1);
        workload.events().unwrap().for_each(|batch| tallies.add(&batch));
        assert_eq!(tallies.0.keys().copied().collect::<Vec<_>>(), [Hour(10), Hour(11)]);
        let (total, first) = (tallies.total(Hour(0), Hour(99)), tallies.numbers(Hour(10)));
        assert_eq!((total.numbers().events(), total.numbers().unique_users), (100, 3));
        assert_eq!(first.events(), 50);
        assert!(total.clickers() <= 3);
    }
}
