//! The columns of `tracking.csv`, in file order, and of the raw store, which has all but the first.

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The row index of the export; dropped, since it is no key.
    Index,
    /// The time-based event id, which is the key of the raw store.
    EventId,
    /// An amount of money, zero or more.
    Amount,
    /// A whole number from 0 to 2^53, stored as a double.
    Identifier,
    /// Any other number, stored as a double.
    Number,
    /// A text.
    Text,
}

impl Kind {
    /// Says whether the raw store keeps the column as a double.
    pub fn is_double(self) -> bool {
        matches!(self, Self::Amount | Self::Identifier | Self::Number)
    }
}

/// A column of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in the header and in the raw store.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
}

/// Name of the event id's column.
pub const CREATE_TIME: &str = "create_time";
/// Name of the column of the price per click.
pub const BID: &str = "bid";
/// Name of the column of the event name.
pub const CUSTOM_TRACK: &str = "custom_track";
/// Name of the column of the job.
pub const JOB_ID: &str = "job_id";
/// Name of the column of the campaign.
pub const CAMPAIGN_ID: &str = "campaign_id";
/// Name of the column of the group.
pub const GROUP_ID: &str = "group_id";
/// Name of the column of the publisher.
pub const PUBLISHER_ID: &str = "publisher_id";

/// Number of columns of the log.
pub const COLUMN_COUNT: usize = 30;

/// The columns of the log, in file order.
pub const TRACKING: [Column; COLUMN_COUNT] = [
    column("", Kind::Index),
    column(CREATE_TIME, Kind::EventId),
    column(BID, Kind::Amount),
    column("bn", Kind::Text),
    column(CAMPAIGN_ID, Kind::Identifier),
    column("cd", Kind::Number),
    column(CUSTOM_TRACK, Kind::Text),
    column("de", Kind::Text),
    column("dl", Kind::Text),
    column("dt", Kind::Text),
    column("ed", Kind::Text),
    column("ev", Kind::Number),
    column(GROUP_ID, Kind::Identifier),
    column("id", Kind::Text),
    column(JOB_ID, Kind::Identifier),
    column("md", Kind::Text),
    column(PUBLISHER_ID, Kind::Identifier),
    column("rl", Kind::Text),
    column("sr", Kind::Text),
    column("ts", Kind::Text),
    column("tz", Kind::Number),
    column("ua", Kind::Text),
    column("uid", Kind::Text),
    column("utm_campaign", Kind::Text),
    column("utm_content", Kind::Text),
    column("utm_medium", Kind::Text),
    column("utm_source", Kind::Text),
    column("utm_term", Kind::Text),
    column("v", Kind::Number),
    column("vp", Kind::Text),
];

/// Place of the event id in a record.
pub const EVENT_ID_AT: usize = 1;
/// First of the columns that make up a record's content: all but row index and event id.
pub const CONTENT_AT: usize = 2;

/// The highest bid, in millionths: a thousand such clicks still fit an hour's sum.
pub const MAX_BID_MICROS: i64 = 1_000_000_000_000_000;

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind }
}
