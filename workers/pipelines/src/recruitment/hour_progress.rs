//! How far each hour of the raw store is published.
//!
//! Rows carry the number of the commit that loaded them. An hour is done up to a commit; the rows of later commits are still
//! to be sent. While an hour is being read it also has a target commit and the last row sent. The newest segment of an hour counts.

use headrace_core::store::Segment;
use headrace_core::{Error, Position, Result};
use serde::{Deserialize, Serialize};

/// The state space of hours.
pub const SPACE: &str = "hours";

/// What of one hour is published.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HourProgress {
    /// The hour, counted since 1970.
    pub hour: i64,
    /// All rows of commits up to this one are published.
    pub done: i64,
    /// While the hour is being read: the commit it will be done up to, and the event id of the last row sent.
    pub partial: Option<(i64, [u8; 16])>,
    /// Older segments of this hour, dropped with the next write.
    pub stale: Vec<i64>,
}

impl HourProgress {
    /// The progress of an hour from its segments, ordered by sequence.
    ///
    /// # Errors
    /// When the newest one cannot be read.
    pub fn of(hour: i64, segments: &[&Segment]) -> Result<Self> {
        let Some(newest) = segments.last() else { return Ok(Self { hour, done: -1, ..Self::default() }) };
        let mut progress: Self = serde_json::from_slice(&newest.blob)
            .map_err(|error| Error::data(format!("cannot use the stored progress of an hour: {error}")))?;
        progress.stale = segments.iter().map(|segment| segment.sequence).collect();
        Ok(progress)
    }
}

/// The hours a batch advances; travels in the detail of the batch's position.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advance {
    /// Each hour at most once.
    pub hours: Vec<HourProgress>,
}

impl Advance {
    /// Reads what a position carries; none if it carries none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(position: &Position) -> Result<Option<Self>> {
        if position.detail.is_empty() || !position.detail.starts_with("{\"hours\"") {
            return Ok(None);
        }
        serde_json::from_str(&position.detail)
            .map(Some)
            .map_err(|error| Error::data(format!("cannot use the progress of a batch: {error}")))
    }

    /// Puts it into a position.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn into_position(self, at: i64) -> Result<Position> {
        let detail = serde_json::to_string(&self)
            .map_err(|error| Error::data(format!("cannot write the progress of a batch: {error}")))?;
        Ok(Position::with_detail(at, detail))
    }

    /// The state to write and the segments to drop.
    #[expect(clippy::type_complexity, reason = "the two arguments of write_state")]
    pub fn state(&self) -> (Vec<(i64, Vec<u8>)>, Vec<(i64, i64)>) {
        let put = self
            .hours
            .iter()
            .map(|hour| {
                let bare = HourProgress { stale: Vec::new(), ..hour.clone() };
                (hour.hour, serde_json::to_vec(&bare).unwrap_or_default())
            })
            .collect();
        let drop = self.hours.iter().flat_map(|hour| hour.stale.iter().map(|stale| (hour.hour, *stale))).collect();
        (put, drop)
    }
}

#[cfg(test)]
mod tests {
    use super::{Advance, HourProgress};
    use headrace_core::Position;
    use headrace_core::store::Segment;

    #[test]
    fn progress_travels_in_a_position_and_comes_back_from_state() {
        let hour = HourProgress { hour: 5, done: 2, partial: Some((3, [7; 16])), stale: vec![1] };
        let position = Advance { hours: vec![hour.clone()] }.into_position(9).unwrap();
        let (put, drop) = Advance::of(&position).unwrap().unwrap().state();
        assert_eq!(drop, [(5, 1)]);
        let segment = Segment { key: 5, sequence: 4, blob: put[0].1.clone() };
        assert_eq!(HourProgress::of(5, &[&segment]).unwrap(), HourProgress { stale: vec![4], ..hour });
        assert_eq!(Advance::of(&Position::at(3)).unwrap(), None);
        assert_eq!(HourProgress::of(6, &[]).unwrap().done, -1);
    }
}
