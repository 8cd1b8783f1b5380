//! The class every stored event falls in, and the counters of the classes.

use headrace_core::{Counts, Result};
use polars::prelude::DataFrame;

use super::columns::{CUSTOM_TRACK, JOB_ID};
use super::event;

/// An event name that the hourly table counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// A click on an advertised job, which has a price.
    Click,
    /// An application sent.
    Conversion,
    /// An application found qualified.
    Qualified,
    /// An application found unqualified.
    Unqualified,
}

impl Metric {
    /// The metrics, in the order of their names.
    pub const ALL: [Self; 4] = [Self::Click, Self::Conversion, Self::Qualified, Self::Unqualified];

    /// Gives the event name, as events spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Click => "click",
            Self::Conversion => "conversion",
            Self::Qualified => "qualified",
            Self::Unqualified => "unqualified",
        }
    }

    /// Finds the metric of an event name; case matters.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }
}

/// The class of a stored event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A metric event of a job: counted in the hourly table.
    Counted(Metric),
    /// A metric event without a job: counted per hour and event only.
    Unattributed(Metric),
    /// An event without a name: kept in the raw store only.
    NoTrack,
    /// An event with a name that is no metric: kept in the raw store only.
    OtherTrack,
}

impl Class {
    /// Number of classes.
    pub const COUNT: usize = 10;
    /// Codes below this are of counted events.
    pub const COUNTED_END: i32 = 4;
    /// Codes below this, and not of counted events, are of unattributed events.
    pub const UNATTRIBUTED_END: i32 = 8;

    /// Names of the counters, by code.
    pub const COUNTERS: [&str; Self::COUNT] = [
        "counted:click",
        "counted:conversion",
        "counted:qualified",
        "counted:unqualified",
        "unattributed:click",
        "unattributed:conversion",
        "unattributed:qualified",
        "unattributed:unqualified",
        "ignored:no_track",
        "ignored:other_track",
    ];

    /// Classifies an event; an empty name is none.
    pub fn of(custom_track: Option<&str>, has_job: bool) -> Self {
        match custom_track.filter(|name| !name.is_empty()) {
            None => Self::NoTrack,
            Some(name) => match Metric::of(name) {
                None => Self::OtherTrack,
                Some(metric) if has_job => Self::Counted(metric),
                Some(metric) => Self::Unattributed(metric),
            },
        }
    }

    /// Gives the code of the class in frames, 0 to 9.
    pub const fn code(self) -> i32 {
        match self {
            Self::Counted(metric) => metric as i32,
            Self::Unattributed(metric) => Self::COUNTED_END + metric as i32,
            Self::NoTrack => Self::UNATTRIBUTED_END,
            Self::OtherTrack => Self::UNATTRIBUTED_END + 1,
        }
    }

    /// Gives the name of the class's counter.
    pub fn counter(self) -> &'static str {
        Self::COUNTERS[self.code() as usize]
    }
}

/// Numbers of events by class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassCounts([u64; Class::COUNT]);

impl ClassCounts {
    /// Counts one event.
    pub fn add(&mut self, class: Class) {
        self.0[class.code() as usize] += 1;
    }

    /// Gives the number of events counted in the hourly table.
    pub fn counted(&self) -> u64 {
        self.0[..Class::COUNTED_END as usize].iter().sum()
    }

    /// Gives the number of metric events without a job.
    pub fn unattributed(&self) -> u64 {
        self.0[Class::COUNTED_END as usize..Class::UNATTRIBUTED_END as usize].iter().sum()
    }

    /// Gives the number of events that a rule leaves out.
    pub fn ignored(&self) -> u64 {
        self.0[Class::UNATTRIBUTED_END as usize..].iter().sum()
    }

    /// Gives the counters that are not zero, by name: the classes and the totals `counted` and `unattributed`.
    pub fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let totals = [("counted", self.counted()), ("unattributed", self.unattributed())];
        let classes = Class::COUNTERS.into_iter().zip(self.0);
        totals.into_iter().chain(classes).filter(|(_, count)| *count > 0)
    }

    /// Adds the counters to the classes of a report.
    pub fn add_to(&self, counts: &mut Counts) {
        for (name, count) in self.counters() {
            counts.class(name, count);
        }
    }
}

/// Counts raw rows (columns `custom_track` and `job_id`) by class.
///
/// # Errors
/// When a column is missing or of another type.
pub fn count_rows(rows: &DataFrame) -> Result<ClassCounts> {
    let mut counts = ClassCounts::default();
    let jobs = rows.column(JOB_ID)?.is_not_null();
    for (name, has_job) in rows.column(CUSTOM_TRACK)?.str()?.iter().zip(jobs.iter()) {
        counts.add(Class::of(name, has_job == Some(true)));
    }
    Ok(counts)
}

/// Counts decoded events (column `class`) by class.
///
/// # Errors
/// When the column is missing, of another type, or holds what is no class.
pub fn count_events(events: &DataFrame) -> Result<ClassCounts> {
    let mut counts = ClassCounts::default();
    for code in events.column(event::CLASS)?.i32()?.iter() {
        let counter = code.and_then(|code| counts.0.get_mut(usize::try_from(code).ok()?));
        *counter.ok_or_else(|| headrace_core::Error::data("an event without a class"))? += 1;
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::prelude::df;

    #[test]
    fn names_and_codes_agree() {
        for metric in Metric::ALL {
            assert_eq!(Metric::of(metric.name()), Some(metric));
            for (has_job, total) in [(true, "counted"), (false, "unattributed")] {
                let class = Class::of(Some(metric.name()), has_job);
                assert_eq!(class.counter(), format!("{total}:{}", metric.name()));
            }
        }
        assert_eq!(Class::of(None, true).counter(), "ignored:no_track");
        assert_eq!(Class::of(Some(""), true).counter(), "ignored:no_track");
        assert_eq!(Class::of(Some("Click"), true).counter(), "ignored:other_track");
        assert_eq!(Class::of(Some("alive"), false).counter(), "ignored:other_track");
    }

    #[test]
    fn counts_rows() {
        let rows = df!(
            "custom_track" => [Some("click"), Some("click"), None, Some("alive"), Some("qualified")],
            "job_id" => [Some(1.0), None, Some(1.0), None, Some(2.0)],
        );
        let counts = count_rows(&rows.unwrap()).unwrap();
        assert_eq!((counts.counted(), counts.unattributed(), counts.ignored()), (2, 1, 2));
        let counters: Vec<_> = counts.counters().collect();
        assert_eq!(
            counters,
            [
                ("counted", 2),
                ("unattributed", 1),
                ("counted:click", 1),
                ("counted:qualified", 1),
                ("unattributed:click", 1),
                ("ignored:no_track", 1),
                ("ignored:other_track", 1)
            ]
        );
    }
}
