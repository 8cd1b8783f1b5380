//! A seeded generator of `tracking.csv` and `job.csv` in the layout of the real files, at any size.
//!
//! The same numbers give the same bytes on every machine. Memory does not grow with the number of rows; only
//! [`Simulation::expected`] keeps the hourly table. What every record is, is known when it is made, so tests can
//! check any pipeline against [`Simulated`] and [`Expected`] without trusting the pipeline's own rules.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::Ordering;

use headrace_core::{Control, Error, Result};

mod defects;
mod event;
mod fields;
mod jobs;
mod random;
#[cfg(test)]
mod tests;
mod truth;

pub use defects::Defects;
pub use truth::Expected;

use super::columns::TRACKING;
use crate::whole_file::WholeFile;
use event::Events;
use fields::Fields;
use jobs::Job;
use random::Random;
use truth::Truth;

/// Rows between two looks at the control.
const WATCH_ROWS: u64 = 4_096;
/// Times must fit the 60 bits of a version 1 UUID; these are the years 1600 to 5000.
const TIMES_US: std::ops::Range<i64> = -11_676_096_000_000_000..95_617_584_000_000_000;

/// What to simulate.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulation {
    /// Records of the tracking log, defective ones included.
    pub rows: u64,
    /// Records of the job file.
    pub jobs: u64,
    /// Another seed gives other files.
    pub seed: u64,
    /// The first moment, microseconds since 1970.
    pub start_us: i64,
    /// Days the events are spread over.
    pub days: u32,
    /// How frequent each defect is.
    pub defects: Defects,
}

impl Default for Simulation {
    /// As many records as the real files, in the July of the real log, without defects.
    fn default() -> Self {
        Self {
            rows: 6_766,
            jobs: 1_868,
            seed: 1,
            start_us: 1_656_633_600_000_000,
            days: 30,
            defects: Defects::default(),
        }
    }
}

/// What was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Simulated {
    /// Records of the tracking log; fewer than asked for when it was stopped.
    pub rows: u64,
    /// Records of the job file.
    pub jobs: u64,
    /// Bytes of the tracking log.
    pub tracking_bytes: u64,
    /// How many records a right pipeline finds in each class: `read`, `stored`, `duplicate`, `dead_letter`,
    /// `dead_letter:bad_number`, `counted`, `counted:click`, `unattributed:click`, `ignored:no_track` and so on;
    /// classes without records are not there.
    pub counts: BTreeMap<String, u64>,
}

impl Simulated {
    /// The number of records in a class, 0 for one that is not there.
    pub fn count(&self, class: &str) -> u64 {
        self.counts.get(class).copied().unwrap_or(0)
    }
}

impl Simulation {
    /// Writes both files.
    ///
    /// # Errors
    /// A configuration error when the numbers make no sense, an external one when writing fails.
    pub fn write(&self, mut tracking: impl Write, mut jobs: impl Write) -> Result<Simulated> {
        Ok(self.run(&mut tracking, &mut jobs, &Control::default(), false)?.0)
    }

    /// Writes both files unless it is stopped: then the tracking log ends early, after a whole record.
    ///
    /// # Errors
    /// As [`Simulation::write`].
    pub fn write_watched(
        &self,
        mut tracking: impl Write,
        mut jobs: impl Write,
        control: &Control,
    ) -> Result<Simulated> {
        Ok(self.run(&mut tracking, &mut jobs, control, false)?.0)
    }

    /// Simulates without writing, and gives the results that a right pipeline computes from the files.
    ///
    /// # Errors
    /// As [`Simulation::write`].
    pub fn expected(&self) -> Result<Expected> {
        Ok(self.run(&mut io::sink(), &mut io::sink(), &Control::default(), true)?.1)
    }

    /// Gives the hourly table that a right pipeline exports, byte for byte.
    ///
    /// # Errors
    /// As [`Simulation::write`].
    pub fn expected_hourly(&self) -> Result<String> {
        Ok(self.expected()?.hourly_csv())
    }

    fn run(
        &self,
        tracking: &mut dyn Write,
        jobs: &mut dyn Write,
        control: &Control,
        with_results: bool,
    ) -> Result<(Simulated, Expected)> {
        self.check()?;
        let list = jobs::make(self.jobs, self.seed);
        jobs::write(&list, self.seed, self.start_us, jobs)?;
        let mut truth = Truth { expected: with_results.then(|| Expected::new(&list)), ..Truth::default() };
        let mut counted = Counted { inner: tracking, bytes: 0 };
        self.write_rows(&list, &mut counted, control, &mut truth)?;
        let simulated =
            Simulated { rows: truth.read, jobs: self.jobs, tracking_bytes: counted.bytes, counts: truth.counters() };
        Ok((simulated, truth.expected.unwrap_or_default()))
    }

    fn write_rows(&self, jobs: &[Job], out: &mut Counted<'_>, control: &Control, truth: &mut Truth) -> Result<()> {
        let mut random = Random::new(self.seed, 3);
        let events = Events::new(self, jobs);
        let visitors = self.rows / 17 + 10;
        let mut writer = csv::WriterBuilder::new().flexible(true).buffer_capacity(1 << 16).from_writer(out);
        writer.write_record(TRACKING.map(|column| column.name)).map_err(cannot_write)?;
        let mut fields: Fields = Default::default();
        let mut kept = defects::Kept::default();
        for index in 0..self.rows {
            if index % WATCH_ROWS == 0 && index > 0 {
                control.progress.written.fetch_add(WATCH_ROWS, Ordering::Relaxed);
                control.progress.set_remaining(Some(self.rows - index));
                if control.is_stopping() {
                    break;
                }
            }
            let event = events.make(&mut random);
            fields::fill(&mut fields, index, &event, visitors, &mut random);
            let defect = self.defects.choose(&mut random);
            let made = defect.and_then(|defect| {
                defects::apply(defect, &mut fields, &kept, &mut random).map(|columns| (defect, columns))
            });
            let columns = if let Some((defect, columns)) = made {
                truth.refuse(defect);
                columns
            } else {
                truth.store(&event);
                kept.offer(&fields, &mut random);
                fields.len()
            };
            let written = fields.iter().map(Vec::as_slice).chain([&b"more"[..]]).take(columns);
            writer.write_record(written).map_err(cannot_write)?;
        }
        writer.flush().map_err(cannot_write)
    }

    fn check(&self) -> Result<()> {
        self.defects.check()?;
        let end_us = self.start_us.saturating_add(i64::from(self.days) * 86_400_000_000);
        if self.jobs == 0 || self.days == 0 {
            return Err(Error::configuration("a simulation needs at least one job and one day"));
        }
        if !TIMES_US.contains(&self.start_us) || !TIMES_US.contains(&end_us) {
            return Err(Error::configuration("a simulation's days must lie in the years 1600 to 5000"));
        }
        Ok(())
    }
}

/// Writes both files, and the directories they are in.
///
/// # Errors
/// As [`Simulation::write`], naming the file.
pub fn write_files(tracking: &Path, jobs: &Path, simulation: &Simulation) -> Result<Simulated> {
    write_files_watched(tracking, jobs, simulation, &Control::default())
}

/// Writes both files unless it is stopped; see [`Simulation::write_watched`].
///
/// # Errors
/// As [`write_files`].
pub fn write_files_watched(
    tracking: &Path,
    jobs: &Path,
    simulation: &Simulation,
    control: &Control,
) -> Result<Simulated> {
    simulation.check()?;
    let mut tracking_file = create(tracking)?;
    let mut jobs_file = create(jobs)?;
    let failed = |error: Error| match error {
        Error::External { cause, .. } => {
            Error::external(format!("cannot write files `{}` and `{}`", tracking.display(), jobs.display()), cause)
        }
        other => other,
    };
    let simulated = simulation.write_watched(&mut tracking_file, &mut jobs_file, control).map_err(failed)?;
    // A load that reads one of them at this moment has the old file or the new one.
    tracking_file.finish()?;
    jobs_file.finish()?;
    Ok(simulated)
}

fn create(path: &Path) -> Result<WholeFile> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let refused = |error: io::Error| Error::configuration(format!("cannot create file `{}`: {error}", path.display()));
    parent.map_or(Ok(()), fs::create_dir_all).map_err(refused)?;
    WholeFile::create(path)
}

fn cannot_write(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::external("cannot write simulated records", error)
}

/// Counts what is written.
struct Counted<'a> {
    inner: &'a mut dyn Write,
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
