//! What became of a batch's events: the run's counts, and the same by minute of arrival.

use std::collections::BTreeMap;

use headrace_core::batch::message_columns::TOPIC;
use headrace_core::{Counts, Result};
use polars::prelude::DataFrame;

use super::accept::Accepted;
use super::decode::{Decoded, Refused, texts};
use super::event::Kind;
use super::reason::Reason;
use super::stream_state::{Judgement, Metric, minute_floor};
use super::sums::{ints, names};

/// The class of all events.
const READ: &str = "read";

/// The counter of accepted events of a kind.
fn accepted_counter(kind: Kind) -> &'static str {
    match kind {
        Kind::View => "accepted:page_view",
        Kind::Cart => "accepted:add_to_cart",
        Kind::Purchase => "accepted:purchase",
    }
}

fn late_counter(metric: Metric) -> &'static str {
    match metric {
        Metric::Sales => "late:sales",
        Metric::Funnel => "late:funnel",
    }
}

/// Counts of a batch.
#[derive(Debug, Default)]
pub struct Quality {
    /// The run's counts.
    pub counts: Counts,
    by_minute: BTreeMap<(i64, &'static str), i64>,
}

impl Quality {
    /// Counts a batch.
    ///
    /// # Errors
    /// When a column is missing.
    pub fn of(decoded: &Decoded, accepted: &Accepted, judgement: &Judgement, pairs: usize) -> Result<Self> {
        let mut quality = Self::default();
        let topics = texts(&decoded.rows, TOPIC)?;
        for &row in &accepted.rows {
            let (kind, arrival) = (decoded.kinds[row], decoded.arrivals_us[row]);
            quality.counts.written += 1;
            quality.count(arrival, "accepted");
            quality.counts.class(accepted_counter(kind), 1);
            if !topics.get(row).is_some_and(|topic| kind.is_topic(topic)) {
                quality.class(arrival, "misrouted");
            }
        }
        for &row in &accepted.duplicates {
            quality.counts.duplicate += 1;
            quality.count(decoded.arrivals_us[row], "duplicate");
        }
        for refused in decoded.refused.iter().chain(&accepted.conflicting) {
            quality.refused(refused);
        }
        for (row, metric, _) in &judgement.late {
            quality.class(decoded.arrivals_us[*row], late_counter(*metric));
        }
        quality.counts.class("pairs", pairs as u64);
        quality.counts.read = (decoded.kinds.len() + decoded.refused.len()) as u64;
        decoded.arrivals_us.iter().for_each(|arrival| quality.count(*arrival, READ));
        decoded.refused.iter().for_each(|refused| quality.count(refused.arrival_us, READ));
        Ok(quality)
    }

    /// Takes these events for ones that were refused before, for the reasons given with their arrivals: they are not read once more,
    /// and no longer what they were counted as.
    pub fn settle(&mut self, before: impl Iterator<Item = (i64, Reason)>) {
        self.by_minute.retain(|(_, class), _| *class != READ);
        for (arrival_us, reason) in before {
            *self.by_minute.entry((minute_floor(arrival_us), reason.counter())).or_default() -= 1;
        }
        self.by_minute.retain(|_, count| *count != 0);
    }

    fn refused(&mut self, refused: &Refused) {
        self.counts.dead_lettered += 1;
        self.class(refused.arrival_us, refused.refusal.reason.counter());
    }

    fn class(&mut self, arrival_us: i64, class: &'static str) {
        self.counts.class(class, 1);
        self.count(arrival_us, class);
    }

    fn count(&mut self, arrival_us: i64, class: &'static str) {
        *self.by_minute.entry((minute_floor(arrival_us), class)).or_default() += 1;
    }

    /// Rows of the table.
    ///
    /// # Errors
    /// When the frame cannot be built.
    pub fn rows(&self) -> Result<DataFrame> {
        let columns = vec![
            ints("minute", self.by_minute.keys().map(|(minute, _)| *minute)),
            names("class", self.by_minute.keys().map(|(_, class)| *class)),
            ints("count", self.by_minute.values().copied()),
        ];
        Ok(DataFrame::new(self.by_minute.len(), columns)?)
    }
}
