//! The statements that are asked, with what an independent count says of them.

use super::seen::Seen;
use crate::hour::Hour;
use crate::text;

/// How often the scan is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Scans {
    Never,
    #[default]
    Once,
    /// Three times, if that does not take too long.
    Again,
}

/// A statement, in both ways that are compared.
#[derive(Debug)]
pub struct Question {
    pub name: String,
    /// Answered from sets.
    pub sql: String,
    /// Answered by a scan, if that takes another statement.
    pub by_scan: Option<String>,
    /// The longest time that is the goal, in milliseconds.
    pub floor_ms: Option<f64>,
    /// How often a scan is asked: that is left out where it takes minutes and users are counted
    /// independently.
    pub scans: Scans,
    /// The last column, as counted independently.
    pub expected: Option<Vec<i64>>,
}

impl Question {
    fn new(name: impl Into<String>, sql: impl Into<String>) -> Question {
        let (by_scan, floor_ms, scans, expected) = Default::default();
        Question { name: name.into(), sql: sql.into(), by_scan, floor_ms, scans, expected }
    }

    fn floor(self, ms: f64) -> Question {
        Question { floor_ms: Some(ms), ..self }
    }

    fn scanned(self, scans: Scans) -> Question {
        Question { scans, ..self }
    }

    fn counted(self, expected: Vec<i64>) -> Question {
        Question { expected: Some(expected), ..self }
    }
}

/// Days from the first hour on, as a condition.
struct Days {
    first: Hour,
}

impl Days {
    fn hours(&self, from: i64, to: i64) -> String {
        let at = |hours: i64| Hour(self.first.0 + hours);
        format!("timestamp >= TIMESTAMP '{}' AND timestamp < TIMESTAMP '{}'", at(from), at(to))
    }

    fn days(&self, from: usize, to: usize) -> String {
        self.hours(from as i64 * 24, to as i64 * 24)
    }
}

const BY_DAY: &str = "\
SELECT date_trunc('day', timestamp) AS day, count(DISTINCT user_id) AS users FROM events GROUP BY day ORDER BY day";

const BY_DAY_WITH_KINDS: &str = "\
SELECT date_trunc('day', timestamp) AS day, count(DISTINCT user_id) AS users,
       count(DISTINCT user_id) FILTER (WHERE event = 'impression') AS viewers,
       count(DISTINCT user_id) FILTER (WHERE event = 'click') AS clickers
FROM events GROUP BY day ORDER BY day";

const BY_DAY_IN_KOLKATA: &str = "\
SELECT date_trunc('day', timestamp AT TIME ZONE 'Asia/Kolkata') AS day, count(DISTINCT user_id) AS users
FROM events GROUP BY day ORDER BY day";

const BY_MONTH: &str = "\
SELECT date_trunc('month', timestamp) AS month, count(DISTINCT user_id) AS users FROM events GROUP BY month ORDER BY month";

const ALL: &str = "SELECT count(DISTINCT user_id) AS users FROM events";

/// First day of a user, and the days on which the user came: by sets, and by plain SQL.
const COHORTS: &str = "\
WITH days AS (
  SELECT date_trunc('day', hour) AS day, rb_or_agg(users) AS users FROM visitors GROUP BY 1
), newcomers AS (
  SELECT day, rb_andnot(users, coalesce(
    rb_or_agg(users) OVER (ORDER BY day ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), rb_build([]))) AS users
  FROM days
), matrix AS (
  SELECT n.day AS first_day, d.day, rb_and_cardinality(n.users, d.users) AS users
  FROM newcomers n JOIN days d ON d.day >= n.day
)
SELECT first_day, day, users FROM matrix WHERE users > 0 ORDER BY first_day, day";

const COHORTS_BY_SCAN: &str = "\
WITH days AS (
  SELECT DISTINCT user_id, date_trunc('day', timestamp) AS day FROM events
), firsts AS (
  SELECT user_id, min(day) AS first_day FROM days GROUP BY user_id
)
SELECT first_day, day, count(*) AS users FROM days JOIN firsts USING (user_id)
GROUP BY first_day, day ORDER BY first_day, day";

/// Returns the days of a week, or of a part of it in a store of few days.
fn week(days: usize) -> usize {
    (days / 3).clamp(1, 7)
}

/// Returns the questions of a month of whole days.
pub fn of_a_month(first: Hour, seen: &Seen) -> Vec<Question> {
    let (days, at) = (seen.days(), Days { first });
    let week = week(days);
    let (one, two) = ((1, 1 + week), (1 + week, 1 + 2 * week));
    let select = |days: (usize, usize)| format!("{ALL} WHERE {}", at.days(days.0, days.1));
    let users = |days: (usize, usize)| {
        format!("SELECT user_id FROM events WHERE {}", at.days(days.0, days.1))
    };
    let both = format!("SELECT count(*) AS users FROM ({} INTERSECT {})", users(one), users(two));
    let last = days as i64 * 24 - 17;
    vec![
        Question::new(format!("all {} hours", days * 24), ALL)
            .floor(50.0)
            .scanned(Scans::Again)
            .counted(vec![seen.users(0, days)]),
        Question::new(text::count(week as u64, "day"), select(two))
            .floor(20.0)
            .scanned(Scans::Again)
            .counted(vec![seen.users(two.0, two.1)]),
        Question::new("by day", BY_DAY).floor(100.0).scanned(Scans::Again).counted(seen.by_day()),
        Question::new("by day, and of each kind", BY_DAY_WITH_KINDS)
            .scanned(Scans::Again)
            .counted(seen.clickers_by_day()),
        Question::new("by day in Asia/Kolkata", BY_DAY_IN_KOLKATA),
        Question::new(
            "from the 6th hour of a day to the 7th of another",
            format!("{ALL} WHERE {}", at.hours(29, last)),
        ),
        Question {
            by_scan: Some(COHORTS_BY_SCAN.into()),
            ..Question::new(format!("cohorts, {days} x {days} days"), COHORTS)
                .floor(500.0)
                .counted(seen.cohorts())
        },
        Question::new(
            format!("of both of two times {}, by INTERSECT", text::count(week as u64, "day")),
            both,
        )
        .counted(vec![seen.of_both(one, two)]),
    ]
}

/// Returns the questions of a month that goes on in the current hour, which is in memory.
pub fn of_now(first: Hour, now: Hour, seen: &Seen) -> [Question; 3] {
    let (days, at) = (seen.days(), Days { first });
    let to_now = now.0 - first.0 + 1;
    let week = week(days) as i64 * 24;
    [
        Question::new("all, with the current hour", ALL)
            .floor(50.0)
            .counted(vec![seen.users(0, days)]),
        Question::new(
            format!("{} up to now", text::count(week as u64 / 24, "day")),
            format!("{ALL} WHERE {}", at.hours(to_now - week, to_now)),
        )
        .floor(20.0),
        Question::new("by day, up to now", BY_DAY).floor(100.0).counted(seen.by_day()),
    ]
}

/// Returns the questions of a year of whole days.
pub fn of_a_year(first: Hour, seen: &Seen) -> Vec<Question> {
    let (days, at) = (seen.days(), Days { first });
    vec![
        Question::new(format!("a year: all {} hours", days * 24), ALL)
            .floor(300.0)
            .counted(vec![seen.users(0, days)]),
        Question::new(
            "the year but for its first and last days",
            format!("{ALL} WHERE {}", at.days(1, days - 2)),
        )
        .floor(300.0)
        .counted(vec![seen.users(1, days - 2)])
        .scanned(Scans::Never),
        Question::new("the year by month", BY_MONTH).counted(seen.by_month()).scanned(Scans::Never),
        Question::new("the year by day", BY_DAY).counted(seen.by_day()).scanned(Scans::Never),
    ]
}
