//! Which users came in each day, counted independently: by their numbers, without sets, names or
//! SQL.

use chrono::Datelike;

use crate::event::{EventBatch, EventKind};
use crate::hour::Hour;

/// Marks of a user in a day: what was done.
const CLICKED: u8 = 1;
const OTHER: u8 = 2;

/// For each day, the marks of each user: `user17` is at 17.
#[derive(Debug)]
pub struct Seen {
    first: Hour,
    days: Vec<Vec<u8>>,
}

impl Seen {
    /// Counts days of 24 hours from `first` on.
    pub fn new(first: Hour) -> Seen {
        Seen { first, days: Vec::new() }
    }

    /// Adds events whose users are named by numbers.
    pub fn add(&mut self, batch: &EventBatch) {
        for event in batch.iter() {
            let user: usize = event.user["user".len()..].parse().expect("users are numbered");
            let day = (Hour::of_us(event.timestamp_us).0 - self.first.0) as usize / 24;
            if self.days.len() <= day {
                self.days.resize_with(day + 1, Vec::new);
            }
            let users = &mut self.days[day];
            if users.len() <= user {
                users.resize(user + 1, 0);
            }
            users[user] |= if event.kind == EventKind::CLICK { CLICKED } else { OTHER };
        }
    }

    pub fn days(&self) -> usize {
        self.days.len()
    }

    /// Returns the marks of each user over the days `from..to`.
    fn over(&self, from: usize, to: usize) -> Vec<u8> {
        let mut marks = Vec::new();
        for users in &self.days[from..to] {
            marks.resize(users.len().max(marks.len()), 0);
            marks.iter_mut().zip(users).for_each(|(into, from)| *into |= from);
        }
        marks
    }

    /// Returns the number of users of the days `from..to`.
    pub fn users(&self, from: usize, to: usize) -> i64 {
        count(&self.over(from, to), |marks| marks != 0)
    }

    /// Returns the number of users of each day.
    pub fn by_day(&self) -> Vec<i64> {
        (0..self.days()).map(|day| self.users(day, day + 1)).collect()
    }

    /// Returns the number of users of each month.
    pub fn by_month(&self) -> Vec<i64> {
        let month = |day: &usize| Hour(self.first.0 + *day as i64 * 24).date().month();
        let days: Vec<usize> = (0..self.days()).collect();
        let months = days.chunk_by(|one, next| month(one) == month(next));
        months.map(|days| self.users(days[0], days[days.len() - 1] + 1)).collect()
    }

    /// Returns the number of those who clicked on each day.
    pub fn clickers_by_day(&self) -> Vec<i64> {
        self.days.iter().map(|users| count(users, |marks| marks & CLICKED != 0)).collect()
    }

    /// Returns the number of users of both ranges of days.
    pub fn of_both(&self, one: (usize, usize), other: (usize, usize)) -> i64 {
        let (one, other) = (self.over(one.0, one.1), self.over(other.0, other.1));
        one.iter().zip(&other).filter(|(one, other)| **one != 0 && **other != 0).count() as i64
    }

    /// Returns how many of the users whose first day is one day came on another, for each pair of
    /// days that has any; in order of the first, then of the other.
    pub fn cohorts(&self) -> Vec<i64> {
        let mut pairs = vec![vec![0_i64; self.days()]; self.days()];
        for user in 0..self.days.iter().map(Vec::len).max().unwrap_or(0) {
            let came = |day: &usize| self.days[*day].get(user).is_some_and(|marks| *marks != 0);
            let mut days = (0..self.days()).filter(came).peekable();
            if let Some(&first) = days.peek() {
                days.for_each(|day| pairs[first][day] += 1);
            }
        }
        pairs.into_iter().flatten().filter(|users| *users > 0).collect()
    }
}

fn count(marks: &[u8], is_one: impl Fn(u8) -> bool) -> i64 {
    marks.iter().filter(|marks| is_one(**marks)).count() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_apart_together_and_by_the_first_of_each_user() {
        let mut batch = EventBatch::new();
        let events = [
            (0, 0, EventKind::CLICK),
            (1, 1, EventKind::IMPRESSION),
            (24, 1, EventKind::CLICK),
            (25, 2, EventKind::CLICK),
        ];
        for (hour, user, kind) in events {
            batch.push(Hour(100 + hour).start_us(), &format!("user{user}"), kind);
        }
        let mut seen = Seen::new(Hour(100));
        seen.add(&batch);
        assert_eq!((seen.days(), seen.users(0, 2), seen.by_day()), (2, 3, vec![2, 2]));
        assert_eq!((seen.clickers_by_day(), seen.of_both((0, 1), (1, 2))), (vec![1, 2], 1));
        assert_eq!((seen.cohorts(), seen.by_month()), (vec![2, 1, 1], vec![3]));
    }
}
