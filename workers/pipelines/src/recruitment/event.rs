//! An event as far as the results need it, and frames of such events.

use headrace_core::Result;
use headrace_transforms::civil;
use polars::prelude::{DataFrame, NamedFrom, Series};

use super::classes::Class;
use super::columns::{CAMPAIGN_ID, GROUP_ID, JOB_ID, PUBLISHER_ID};

/// Column of the partition the event came from (`Int32`).
pub const PARTITION: &str = "partition";
/// Column of the event time in microseconds since 1970, whole seconds (`Int64`).
pub const TS: &str = "ts";
/// Column of the start of the event's hour in microseconds since 1970 (`Int64`).
pub const HOUR: &str = "hour";
/// Column of the bid in millionths, 0 where there is none (`Int64`).
pub const BID_MICROS: &str = "bid_micros";
/// Column of the class's code (`Int32`).
pub const CLASS: &str = "class";

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The partition it came from.
    pub partition: i32,
    /// Event time in microseconds since 1970, whole seconds.
    pub ts: i64,
    /// The job.
    pub job_id: Option<i64>,
    /// The publisher.
    pub publisher_id: Option<i64>,
    /// The campaign.
    pub campaign_id: Option<i64>,
    /// The group.
    pub group_id: Option<i64>,
    /// The bid in millionths, 0 where there is none.
    pub bid_micros: i64,
    /// The class.
    pub class: Class,
}

/// Puts events into a frame, column by column.
#[derive(Debug, Default)]
pub struct EventFrame {
    partition: Vec<i32>,
    ts: Vec<i64>,
    hour: Vec<i64>,
    job_id: Vec<Option<i64>>,
    publisher_id: Vec<Option<i64>>,
    campaign_id: Vec<Option<i64>>,
    group_id: Vec<Option<i64>>,
    bid_micros: Vec<i64>,
    class: Vec<i32>,
}

impl EventFrame {
    /// Adds an event.
    pub fn push(&mut self, event: &Event) {
        self.partition.push(event.partition);
        self.ts.push(event.ts);
        self.hour.push(civil::hour_floor(event.ts));
        self.job_id.push(event.job_id);
        self.publisher_id.push(event.publisher_id);
        self.campaign_id.push(event.campaign_id);
        self.group_id.push(event.group_id);
        self.bid_micros.push(event.bid_micros);
        self.class.push(event.class.code());
    }

    /// Gives the frame.
    ///
    /// # Errors
    /// When the frame cannot be built.
    pub fn finish(self) -> Result<DataFrame> {
        Ok(DataFrame::new(
            self.ts.len(),
            vec![
                Series::new(PARTITION.into(), self.partition).into(),
                Series::new(TS.into(), self.ts).into(),
                Series::new(HOUR.into(), self.hour).into(),
                Series::new(JOB_ID.into(), self.job_id).into(),
                Series::new(PUBLISHER_ID.into(), self.publisher_id).into(),
                Series::new(CAMPAIGN_ID.into(), self.campaign_id).into(),
                Series::new(GROUP_ID.into(), self.group_id).into(),
                Series::new(BID_MICROS.into(), self.bid_micros).into(),
                Series::new(CLASS.into(), self.class).into(),
            ],
        )?)
    }
}
