//! The truth about simulated files: what a right pipeline makes of them, computed when the records are made.
//!
//! On purpose it shares no code with the pipeline: plain maps, whole numbers, a calendar of its own.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use super::defects::Defect;
use super::event::Event;
use super::jobs::Job;

const HOUR_US: i64 = 3_600_000_000;
/// Job, hour, publisher, campaign, group.
type Key = (i64, i64, i64, i64, i64);

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    clicks: i128,
    spend_micros: i128,
    conversions: u64,
    qualified: u64,
    unqualified: u64,
}

/// The results that simulated files must give.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    hourly: BTreeMap<Key, Cell>,
    unattributed: BTreeMap<(i64, &'static str), u64>,
    companies: HashMap<i64, Option<i64>>,
}

impl Expected {
    pub(super) fn new(jobs: &[Job]) -> Self {
        Self { companies: jobs.iter().map(|job| (job.id, job.company)).collect(), ..Self::default() }
    }

    /// Number of rows of the hourly table.
    pub fn hourly_rows(&self) -> usize {
        self.hourly.len()
    }

    /// Gives the hourly table as its export has it, byte for byte.
    pub fn hourly_csv(&self) -> String {
        let mut out = "job_id,ts,dates,hours,publisher_id,campaign_id,group_id,bid_set,clicks,spend_hour,conversion,\
                       qualified_application,disqualified_application,company_id,sources\n"
            .to_owned();
        let number = |count: u64| if count == 0 { String::new() } else { count.to_string() };
        for (&(job, hour_us, publisher, campaign, group), cell) in &self.hourly {
            let (date, hour) = calendar(hour_us);
            let (average, clicks, spend) = match cell.clicks {
                0 => Default::default(),
                clicks => (
                    money(round(cell.spend_micros, clicks * 10_000)),
                    clicks.to_string(),
                    money(round(cell.spend_micros, 10_000)),
                ),
            };
            let company = self.companies.get(&job).copied().flatten().map(|id| id.to_string()).unwrap_or_default();
            let counts = [cell.conversions, cell.qualified, cell.unqualified].map(number).join(",");
            // Writing to memory cannot fail.
            let _ = writeln!(
                out,
                "{job},{date} {hour:02}:00:00,{date},{hour},{publisher},{campaign},{group},{average},{clicks},{spend},\
                 {counts},{company},Cassandra"
            );
        }
        out
    }

    /// Gives the table of metric events without job as its export has it.
    pub fn unattributed_csv(&self) -> String {
        let mut out = "ts,custom_track,events\n".to_owned();
        for ((hour_us, name), events) in &self.unattributed {
            let (date, hour) = calendar(*hour_us);
            // Writing to memory cannot fail.
            let _ = writeln!(out, "{date} {hour:02}:00:00,{name},{events}");
        }
        out
    }

    fn add(&mut self, event: &Event) {
        let time_us = event.ticks.div_euclid(10);
        let hour_us = time_us - time_us.rem_euclid(HOUR_US);
        if !matches!(event.name, "click" | "conversion" | "qualified" | "unqualified") {
            return;
        }
        let Some(job) = event.job else {
            *self.unattributed.entry((hour_us, event.name)).or_default() += 1;
            return;
        };
        let dimension = |id: Option<i64>| id.unwrap_or(0);
        let key = (job, hour_us, dimension(event.publisher), dimension(event.campaign), dimension(event.group));
        let cell = self.hourly.entry(key).or_default();
        match event.name {
            "click" => {
                cell.clicks += 1;
                cell.spend_micros += i128::from(event.bid_micros.unwrap_or(0));
            }
            "conversion" => cell.conversions += 1,
            "qualified" => cell.qualified += 1,
            _ => cell.unqualified += 1,
        }
    }
}

/// Counts records while they are made, and keeps the results where they are wanted.
#[derive(Debug, Default)]
pub(super) struct Truth {
    pub(super) read: u64,
    pub(super) counts: HashMap<(&'static str, &'static str), u64>,
    pub(super) expected: Option<Expected>,
}

impl Truth {
    /// Counts a record that is stored.
    pub(super) fn store(&mut self, event: &Event) {
        let class = match (event.name, event.job) {
            ("", _) => ("ignored:", "no_track"),
            (name @ ("click" | "conversion" | "qualified" | "unqualified"), Some(_)) => ("counted:", name),
            (name @ ("click" | "conversion" | "qualified" | "unqualified"), None) => ("unattributed:", name),
            _ => ("ignored:", "other_track"),
        };
        self.read += 1;
        *self.counts.entry(class).or_default() += 1;
        if let Some(expected) = &mut self.expected {
            expected.add(event);
        }
    }

    /// Counts a record that is not.
    pub(super) fn refuse(&mut self, defect: Defect) {
        self.read += 1;
        *self.counts.entry((defect.counter(), "")).or_default() += 1;
    }

    /// The counters that are not zero, totals included.
    pub(super) fn counters(&self) -> BTreeMap<String, u64> {
        let mut all = BTreeMap::from([("read".to_owned(), self.read)]);
        for (&(class, name), count) in &self.counts {
            let total = class.split(':').next().unwrap_or(class);
            *all.entry(format!("{class}{name}")).or_default() += count;
            if matches!(total, "counted" | "unattributed" | "dead_letter") {
                *all.entry(total.to_owned()).or_default() += count;
            }
            if matches!(total, "counted" | "unattributed" | "ignored") {
                *all.entry("stored".to_owned()).or_default() += count;
            }
        }
        all
    }
}

/// Divides and rounds half away from zero; both are positive here.
fn round(value: i128, by: i128) -> i128 {
    (2 * value + by) / (2 * by)
}

fn money(cents: i128) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// The date and hour of a time, by counting days from 1970 through years and months.
fn calendar(time_us: i64) -> (String, i64) {
    let hours = time_us.div_euclid(HOUR_US);
    let (mut day, hour) = (hours.div_euclid(24), hours.rem_euclid(24));
    let leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let mut year = 1970;
    while day < 0 {
        year -= 1;
        day += 365 + i64::from(leap(year));
    }
    while day >= 365 + i64::from(leap(year)) {
        day -= 365 + i64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    for days in [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < days {
            break;
        }
        day -= days;
        month += 1;
    }
    (format!("{year:04}-{month:02}-{:02}", day + 1), hour)
}

#[cfg(test)]
mod tests {
    use super::{Expected, HOUR_US, calendar, money, round};
    use crate::recruitment::simulate::event::Event;

    #[test]
    fn the_calendar_knows_leap_years() {
        let at = |hours: i64| calendar(hours * HOUR_US);
        assert_eq!(at(-1), ("1969-12-31".to_owned(), 23));
        assert_eq!(at(0), ("1970-01-01".to_owned(), 0));
        assert_eq!(calendar(1_709_247_599_999_999), ("2024-02-29".to_owned(), 22));
        assert_eq!(calendar(1_709_251_200_000_000), ("2024-03-01".to_owned(), 0));
        assert_eq!(calendar(1_672_531_199_000_000), ("2022-12-31".to_owned(), 23));
    }

    #[test]
    fn money_rounds_half_away_from_zero() {
        assert_eq!(money(round(2_005_000, 10_000)), "2.01");
        assert_eq!(money(round(2_000_000, 3 * 10_000)), "0.67");
        assert_eq!(money(round(0, 10_000)), "0.00");
    }

    #[test]
    fn an_hour_sums_up_as_the_contract_says() {
        let mut expected = Expected::default();
        expected.companies.insert(10, Some(33));
        let click = Event {
            ticks: 1_709_247_600_000_000 * 10 + 9,
            name: "click",
            bid_micros: Some(5_000),
            job: Some(10),
            publisher: None,
            campaign: Some(5),
            group: None,
        };
        for event in [click, Event { bid_micros: None, ..click }, Event { name: "qualified", ..click }] {
            expected.add(&event);
        }
        expected.add(&Event { name: "conversion", job: None, ..click });
        expected.add(&Event { name: "conversion", job: Some(7), ..click });
        let rows: Vec<_> = expected.hourly_csv().lines().skip(1).map(str::to_owned).collect();
        assert_eq!(
            rows,
            [
                "7,2024-02-29 23:00:00,2024-02-29,23,0,5,0,,,,1,,,,Cassandra",
                "10,2024-02-29 23:00:00,2024-02-29,23,0,5,0,0.00,2,0.01,,1,,33,Cassandra"
            ]
        );
        assert_eq!(expected.unattributed_csv(), "ts,custom_track,events\n2024-02-29 23:00:00,conversion,1\n");
    }
}
