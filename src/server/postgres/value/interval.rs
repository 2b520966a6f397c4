//! Intervals as PostgreSQL prints them in its own style, `1 year 2 mons -3 days +04:05:06.5`.
//!
//! The binary form: i64 microseconds, i32 days, i32 months.

use std::fmt::Write;

use bytes::{BufMut, BytesMut};

use super::calendar::put_seconds;
pub use crate::query::Interval;

impl Interval {
    pub fn put_binary(self, out: &mut BytesMut) {
        out.put_i64(self.us);
        out.put_i32(self.days);
        out.put_i32(self.months);
    }

    pub fn put_text(self, out: &mut BytesMut) {
        let (mut is_first, mut was_negative) = (true, false);
        for (n, unit) in [(self.months / 12, "year"), (self.months % 12, "mon"), (self.days, "day")]
        {
            if n == 0 {
                continue;
            }
            // A positive part after a negative one has a sign.
            let (space, sign) =
                (if is_first { "" } else { " " }, if was_negative && n > 0 { "+" } else { "" });
            let plural = if n == 1 { "" } else { "s" };
            write!(out, "{space}{sign}{n} {unit}{plural}").expect("memory grows");
            (is_first, was_negative) = (false, n < 0);
        }
        if self.us == 0 && !is_first {
            return;
        }
        let sign = if self.us < 0 {
            "-"
        } else if was_negative {
            "+"
        } else {
            ""
        };
        let space = if is_first { "" } else { " " };
        let us = self.us.unsigned_abs();
        let (hours, minutes) = (us / 3_600_000_000, us / 60_000_000 % 60);
        write!(out, "{space}{sign}{hours:02}:{minutes:02}:").expect("memory grows");
        put_seconds(out, us % 60_000_000);
    }
}
