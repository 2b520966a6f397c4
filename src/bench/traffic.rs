//! Traffic of the HTTP benchmarks: visitors whose events are stored, and readers of hours.

use std::io::Write as _;
use std::net::SocketAddr;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

use super::data::{self, Tallies};
use super::harness::check;
use super::load::{self, Requests};
use crate::error::Result;
use crate::event::EventKind;
use crate::hour::Hour;

/// Number of users of the current hour, and number of users of late events.
pub const USERS: u64 = 1_000_000;
const LATE_USERS: u64 = 1_000;

/// Share of GETs and of POSTs that are for past hours (as in the specification).
const LATE: f64 = 0.05;

/// Classes of requests, whose latencies are measured separately.
pub const GET: usize = 0;
pub const POST: usize = 1;

/// Kinds of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    GetHot,
    GetPast,
    Post,
    Mix,
}

impl Traffic {
    pub const ALL: [Traffic; 4] = [Traffic::GetHot, Traffic::GetPast, Traffic::Post, Traffic::Mix];

    pub fn name(self) -> &'static str {
        match self {
            Traffic::GetHot => "GET, current hour",
            Traffic::GetPast => "GET, random past hours",
            Traffic::Post => "POST, 5 % late",
            Traffic::Mix => "half GET, half POST, 5 % of each for past hours",
        }
    }
}

/// Generator of requests for the load, which records the events that were acknowledged.
pub struct Visitors<'a> {
    pub traffic: Traffic,
    pub random: &'a mut ChaCha8Rng,
    pub hot: Hour,
    pub past: &'a [Hour],
    /// Tokens of acknowledged events, tallied after the load to keep it fast.
    pub acknowledged: Vec<u64>,
}

impl Visitors<'_> {
    /// Returns a random number below `n`.
    fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.random.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// Returns the index of a past hour, counted from 1, or 0 for the current hour.
    fn hour(&mut self) -> u64 {
        let late = match self.traffic {
            Traffic::GetPast => true,
            Traffic::GetHot => false,
            Traffic::Post | Traffic::Mix => {
                (self.random.next_u32() as f64) < LATE * f64::from(u32::MAX)
            }
        };
        if late { 1 + self.below(self.past.len() as u64) } else { 0 }
    }
}

impl Requests for Visitors<'_> {
    fn next(&mut self, request: &mut Vec<u8>) -> (usize, u64) {
        let place = self.hour();
        let hour = if place == 0 { self.hot } else { self.past[place as usize - 1] };
        let ms = hour.start_us() / 1_000 + self.below(3_600_000) as i64;
        let posts = match self.traffic {
            Traffic::GetHot | Traffic::GetPast => false,
            Traffic::Post => true,
            Traffic::Mix => self.random.next_u32() & 1 == 0,
        };
        if !posts {
            let _ = write!(
                request,
                "GET /analytics?timestamp={ms} HTTP/1.1\r\nhost: localhost\r\n\r\n"
            );
            return (GET, u64::MAX);
        }
        let users = if place == 0 { USERS } else { LATE_USERS };
        let (user, kind) = (self.below(users), self.below(2));
        let event = ["click", "impression"][kind as usize];
        let _ = write!(
            request,
            "POST /analytics?timestamp={ms}&user=user{user}&event={event} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n"
        );
        (POST, (user << 1 | kind) << 16 | place)
    }

    fn succeeded(&mut self, token: u64) {
        if token != u64::MAX {
            self.acknowledged.push(token);
        }
    }
}

/// Adds acknowledged events to the tallies, by their tokens.
pub fn tally(tallies: &mut Tallies, acknowledged: &[u64], hot: Hour, past: &[Hour]) {
    for token in acknowledged {
        let place = (token & 0xFFFF) as usize;
        let hour = if place == 0 { hot } else { past[place - 1] };
        let kind = EventKind::CONTRACT[(token >> 16 & 1) as usize];
        let user = (token >> 17) as usize;
        tallies.0.entry(hour).or_default().add(user, kind);
    }
}

/// Fetches the counts of these hours.
pub fn ask_hours<'h>(
    server: SocketAddr,
    hours: impl Iterator<Item = &'h Hour>,
) -> Result<Vec<String>> {
    load::get(server, hours.map(|hour| format!("/analytics?timestamp={}", hour.start_us() / 1_000)))
}

/// Compares the server's counts of these hours with the acknowledged events.
pub fn check_hours<'h>(
    server: SocketAddr,
    hours: impl Iterator<Item = &'h Hour> + Clone,
    acknowledged: &Tallies,
) -> Result<()> {
    for (hour, answer) in hours.clone().zip(ask_hours(server, hours)?) {
        check(&format!("the hour {hour}"), &answer, &data::lines(acknowledged.numbers(*hour)))?;
    }
    Ok(())
}
