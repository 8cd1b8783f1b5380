//! Progress in numbers a person can use: rows so far, rate, share done, time left.
//!
//! A [`Meter`] is shown the counters of a [`Control`](crate::Control) now and then and keeps the last ten seconds of them, so
//! that the rate follows what happens now. Command line and Python show the same numbers.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::control::Progress;

/// How much of the past the rate is made of.
const WINDOW: Duration = Duration::from_secs(10);

/// Makes [`View`]s of what a step shows.
#[derive(Debug, Default)]
pub struct Meter {
    samples: VecDeque<Sample>,
    /// The most there was to do: what is read and not yet committed is in neither of the two counters.
    total: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Duration,
    rows: u64,
    done: u64,
}

/// Progress at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// Rows read and committed.
    pub rows: u64,
    /// Rows dead-lettered.
    pub dead_lettered: u64,
    /// Rows per second, lately.
    pub rows_per_second: f64,
    /// What is left, in rows or bytes, when known.
    pub remaining: Option<u64>,
    /// Whether `remaining` counts bytes.
    pub remaining_is_bytes: bool,
    /// The share that is done, from 0 to 1, when known.
    pub fraction: Option<f64>,
    /// The time left at the present rate, when known.
    pub left: Option<Duration>,
}

impl Meter {
    /// Looks at the counters, `at` so long after the start.
    pub fn look(&mut self, at: Duration, progress: &Progress) -> View {
        let rows = progress.read.load(Ordering::Relaxed);
        let remaining_is_bytes = progress.remaining_is_bytes.load(Ordering::Relaxed);
        let done = if remaining_is_bytes { progress.bytes.load(Ordering::Relaxed) } else { rows };
        let remaining = Some(progress.remaining.load(Ordering::Relaxed)).filter(|rest| *rest != u64::MAX);
        // A unit that changes (rows to bytes) would make a rate of nothing.
        if self.samples.back().is_some_and(|last| last.done > done || last.rows > rows) {
            self.samples.clear();
            self.total = 0;
        }
        let remaining = remaining.map(|rest| {
            self.total = self.total.max(done.saturating_add(rest));
            self.total - done
        });
        self.samples.push_back(Sample { at, rows, done });
        while self.samples.len() > 2 && self.samples.get(1).is_some_and(|next| at.saturating_sub(next.at) >= WINDOW) {
            self.samples.pop_front();
        }
        let first = self.samples.front().copied().unwrap_or(Sample { at, rows, done });
        let seconds = at.saturating_sub(first.at).as_secs_f64();
        let per_second = |amount: u64| if seconds > 0.0 { amount as f64 / seconds } else { 0.0 };
        let speed = per_second(done - first.done);
        View {
            rows,
            dead_lettered: progress.dead_lettered.load(Ordering::Relaxed),
            rows_per_second: per_second(rows - first.rows),
            remaining,
            remaining_is_bytes,
            fraction: remaining.filter(|rest| done + rest > 0).map(|rest| done as f64 / (done + rest) as f64),
            left: remaining
                .filter(|rest| speed > 0.0 && *rest > 0)
                .and_then(|rest| Duration::try_from_secs_f64(rest as f64 / speed).ok()),
        }
    }
}

impl fmt::Display for View {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} rows, {} rows/s", thousands(self.rows), thousands(self.rows_per_second.round() as u64))?;
        if let Some(fraction) = self.fraction {
            write!(formatter, ", {:.0} %", fraction * 100.0)?;
        }
        if let Some(left) = self.left {
            write!(formatter, ", {} left", clock_time(left))?;
        }
        if self.dead_lettered > 0 {
            write!(formatter, ", {} dead-lettered", thousands(self.dead_lettered))?;
        }
        Ok(())
    }
}

/// A number with commas between its thousands.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn clock_time(length: Duration) -> String {
    let seconds = length.as_secs_f64().round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        _ => format!("{}:{:02} h", seconds / 3_600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::{Meter, thousands};
    use crate::{Control, Counts};
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    #[test]
    fn rate_share_and_time_left_follow_the_last_seconds() {
        let control = Control::default();
        let mut meter = Meter::default();
        let view = meter.look(Duration::ZERO, &control.progress);
        assert_eq!(view.to_string(), "0 rows, 0 rows/s");
        control.progress.set_remaining(Some(4_000_000));
        meter.look(Duration::ZERO, &control.progress);
        control.progress.add(&Counts { read: 1_000_000, dead_lettered: 2, bytes: 400, ..Counts::default() });
        // Half a million rows are on their way: neither left in the source nor committed.
        control.progress.set_remaining(Some(2_500_000));
        let view = meter.look(Duration::from_secs(4), &control.progress);
        assert_eq!(view.to_string(), "1,000,000 rows, 250,000 rows/s, 25 %, 12 s left, 2 dead-lettered");
        control.progress.remaining_is_bytes.store(true, Ordering::Relaxed);
        control.progress.set_remaining(Some(400));
        let view = meter.look(Duration::from_secs(5), &control.progress);
        assert_eq!((view.fraction, view.left), (Some(0.5), None), "{view}");
    }

    #[test]
    fn a_stall_shows_within_the_window() {
        let control = Control::default();
        let mut meter = Meter::default();
        meter.look(Duration::ZERO, &control.progress);
        control.progress.add(&Counts { read: 500, ..Counts::default() });
        for second in 1..=30 {
            let view = meter.look(Duration::from_secs(second), &control.progress);
            assert_eq!(view.rows_per_second > 0.0, second <= 10, "{second}: {view}");
        }
    }

    #[test]
    fn thousands_are_separated() {
        let texts: Vec<String> = [0, 999, 1_000, 1_234_567].into_iter().map(thousands).collect();
        assert_eq!(texts, ["0", "999", "1,000", "1,234,567"]);
    }
}
