//! Limits of requests: how many a second may come from an address, or with a token.
//!
//! The generic cell rate algorithm (ITU-T I.371): each source has the time at which its next
//! request is due if it sends evenly, and may be ahead of that by a second. One number a source, and
//! a source that has sent nothing for a second needs none.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Number of parts, each with a lock of its own.
const PARTS: usize = 16;

/// Maximum number of sources in a part. Beyond it all of them begin anew: memory is bounded, and
/// nobody is refused for what others send.
const SOURCES: usize = 16_384;

/// How far ahead a source may be.
const BURST: Duration = Duration::from_secs(1);

/// Limit of the requests of each source.
#[derive(Debug)]
pub struct Rates<K> {
    /// Time between two requests that are sent evenly; `None` is no limit.
    interval: Option<Duration>,
    parts: [Mutex<HashMap<K, Instant>>; PARTS],
    hasher: RandomState,
}

impl<K: Hash + Eq> Rates<K> {
    pub fn new(a_second: Option<u64>) -> Rates<K> {
        let interval =
            a_second.map(|requests| Duration::from_secs(1) / requests.clamp(1, 1 << 30) as u32);
        Rates { interval, parts: Default::default(), hasher: RandomState::new() }
    }

    /// Counts a request, and reports whether it is within the limit.
    pub fn take(&self, source: K) -> bool {
        self.interval.is_none() || self.take_at(source, Instant::now())
    }

    fn take_at(&self, source: K, now: Instant) -> bool {
        let Some(interval) = self.interval else { return true };
        let part = self.hasher.hash_one(&source) as usize % PARTS;
        let mut due = self.parts[part].lock().expect("no panic under this lock");
        if due.len() >= SOURCES && !due.contains_key(&source) {
            due.retain(|_, due| *due > now);
            if due.len() >= SOURCES {
                due.clear();
            }
        }
        let at = due.entry(source).or_insert(now);
        let next = (*at).max(now) + interval;
        let is_within = next - now <= BURST.max(interval);
        if is_within {
            *at = next;
        }
        is_within
    }
}

/// Returns what counts as one address: of IPv6 its network of 64 bits, which one customer has.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_requests_may_come_at_once_and_then_one_by_one() {
        let (rates, start) = (Rates::new(Some(10)), Instant::now());
        let taken = |ms: u64| {
            let now = start + Duration::from_millis(ms);
            (0..20).filter(|_| rates.take_at("a", now)).count()
        };
        assert_eq!([taken(0), taken(50), taken(100), taken(350), taken(9_000)], [10, 0, 1, 2, 10]);
        assert!(rates.take_at("b", start), "another source has its own");
        assert!((0..1_000).all(|_| Rates::new(None).take("a")));
        let slow = Rates::new(Some(1));
        assert_eq!((0..5).filter(|_| slow.take_at("a", start)).count(), 1);
    }

    #[test]
    fn memory_is_bounded() {
        let (rates, now) = (Rates::new(Some(1)), Instant::now());
        for source in 0..1_000_000_u32 {
            rates.take_at(source, now);
        }
        let sources: usize = rates.parts.iter().map(|part| part.lock().unwrap().len()).sum();
        assert!(sources <= PARTS * SOURCES);
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2::"));
        assert_ne!(of("2001:db8:1:2::"), of("2001:db8:1:3::"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
