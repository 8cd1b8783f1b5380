//! `recruitment replay`: raw store → topic, every row once.

use std::sync::Arc;

use async_trait::async_trait;
use headrace_core::ledger_sink::LedgerSink;
use headrace_core::retry::Backoff;
use headrace_core::run::{Pipeline, run};
use headrace_core::source::Source;
use headrace_core::step::Parameters;
use headrace_core::store::Store;
use headrace_core::{Control, Error, Report, Result};
use headrace_transforms::civil::{self, HOUR_US};

use crate::recruitment::hours_source::{HoursOptions, HoursSource};
use crate::recruitment::message;
use crate::recruitment::publish_sink::PublishWork;
use crate::recruitment::schema::{MESSAGE_COLUMNS, RawSchema, TOPIC};
use crate::stores::{DEFAULT_STORE, open_log, open_raw};

/// In which order rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Order {
    /// In time order, incrementally: needs a raw store loaded by Headrace.
    Time,
    /// In the store's own order, by token ranges in parallel: works on any tracking table, once.
    Token,
}

/// Replays raw rows into a topic.
#[derive(Clone, Debug, clap::Args)]
pub struct Replay {
    /// The raw store: cassandra://HOST/KEYSPACE/TABLE or embedded:DIRECTORY.
    #[arg(long, value_name = "URL", default_value = DEFAULT_STORE)]
    pub from: String,
    /// The log: kafka://HOST/TOPIC or embedded:DIRECTORY.
    #[arg(long, value_name = "URL", default_value = DEFAULT_STORE)]
    pub to: String,
    /// Only events from this day or hour on: YYYY-MM-DD or "YYYY-MM-DD HH".
    #[arg(long, value_name = "DATE", value_parser = parse_hour)]
    pub since: Option<i64>,
    /// Only events before this day or hour.
    #[arg(long, value_name = "DATE", value_parser = parse_hour)]
    pub until: Option<i64>,
    /// Keep the events' distances in time, so many times faster: 1x, 60x, …; as fast as possible if not given.
    #[arg(long, value_name = "FACTOR", value_parser = parse_speed)]
    pub speed: Option<f64>,
    /// In which order rows are read.
    #[arg(long, value_enum, default_value_t = Order::Time)]
    pub order: Order,
    /// Only one part of the token ranges, as in 2/8; for several workers side by side.
    #[arg(long, value_name = "PART/PARTS", value_parser = parse_split)]
    pub split: Option<(usize, usize)>,
    /// Send all rows again, though they were sent before.
    #[arg(long)]
    pub again: bool,
    /// Partitions of the topic, if it has to be created.
    #[arg(long, default_value_t = 3)]
    pub partitions: i32,
    /// Rows per batch: the unit of commit.
    #[arg(long, value_name = "ROWS", default_value_t = 50_000)]
    pub batch_rows: usize,
}

/// Parses a day or an hour to microseconds.
fn parse_hour(text: &str) -> Result<i64, String> {
    let (day, hour) = text.trim().split_once([' ', 'T']).unwrap_or((text.trim(), "0"));
    let date = civil::parse_date(day.as_bytes()).ok_or("expected YYYY-MM-DD or \"YYYY-MM-DD HH\"")?;
    let hour: i64 = hour.trim_end_matches(":00").parse().map_err(|_| "the hour must be 0 to 23")?;
    if !(0..24).contains(&hour) {
        return Err("the hour must be 0 to 23".into());
    }
    Ok(civil::day_start(date) + hour * HOUR_US)
}

fn parse_speed(text: &str) -> Result<f64, String> {
    let factor: f64 = text.trim_end_matches('x').parse().map_err(|_| "expected a factor such as 60x")?;
    if factor.is_finite() && factor > 0.0 { Ok(factor) } else { Err("the factor must be greater than 0".into()) }
}

/// Parses one part of several.
pub(super) fn parse_split(text: &str) -> Result<(usize, usize), String> {
    let parsed = text.split_once('/').and_then(|(part, parts)| Some((part.parse().ok()?, parts.parse().ok()?)));
    match parsed {
        Some((part, parts)) if part >= 1 && part <= parts => Ok((part, parts)),
        _ => Err("expected PART/PARTS, as in 2/8".into()),
    }
}

/// Token ranges of the whole store when no split is asked for.
const TOKEN_RANGES: usize = 16;

impl Replay {
    async fn source(&self, store: &Arc<dyn Store>, schema: &RawSchema, scope: &str) -> Result<Box<dyn Source>> {
        if self.order == Order::Time {
            if self.split.is_some() {
                return Err(Error::configuration("--split needs --order token"));
            }
            super::require_table(&**store, &schema.hours.name, "load").await?;
            let options = HoursOptions {
                since_us: self.since.unwrap_or(i64::MIN),
                until_us: self.until.unwrap_or(i64::MAX),
                speed: self.speed,
                batch_rows: self.batch_rows.max(1),
            };
            return Ok(Box::new(HoursSource::new(store.clone(), schema.clone(), scope.to_owned(), options)));
        }
        if self.speed.is_some() || self.since.is_some() || self.until.is_some() {
            return Err(Error::configuration("--speed, --since and --until need --order time"));
        }
        let (parts, only) = self.split.map_or((TOKEN_RANGES, Vec::new()), |(part, parts)| (parts, vec![part - 1]));
        store.scan(&schema.tracking, &MESSAGE_COLUMNS, parts, &only).await
    }
}

#[async_trait]
impl Parameters for Replay {
    const SYSTEM: &'static str = super::SYSTEM;
    const NAME: &'static str = "replay";
    const ABOUT: &'static str = "Replay the raw store into a topic: every row once, resumable, by date, at any speed";

    async fn run(self, control: Control) -> Result<Report> {
        let (from, to) = (super::store_url("from", &self.from)?, super::store_url("to", &self.to)?);
        let (schema, topic) = (RawSchema::of(&from)?, to.topic(TOPIC)?);
        let store = open_raw(&from).await?;
        super::require_table(&*store, &schema.tracking.name, "load").await?;
        let log = open_log(&to).await?;
        log.create_topic(&topic, self.partitions).await?;
        // With its ledger: the table may have been filled by someone else.
        store.create(&[&schema.tracking]).await?;
        let scope = match self.order {
            Order::Time => schema.replay_scope(&log.name(), &topic),
            Order::Token => format!("{} by token", schema.replay_scope(&log.name(), &topic)),
        };
        if self.again {
            store.forget(&scope).await?;
        }
        let source = self.source(&store, &schema, &scope).await?;
        let work = PublishWork { store: store.name(), scope, log, topic };
        let pipeline = Pipeline {
            source,
            transform: Arc::new(|batch| message::encode(&batch.frame)),
            sink: Box::new(LedgerSink::new(store, work)),
            parallel: 2,
            backoff: Backoff::default(),
        };
        let mut report = super::report_of(run(pipeline, &control).await?);
        if report.counts.read == 0 {
            report.note("Nothing new: all rows were sent before. Use --again to send them again.");
        }
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use super::{parse_hour, parse_speed, parse_split};

    #[test]
    fn dates_speeds_and_splits_are_checked() {
        assert_eq!(parse_hour("1970-01-02"), Ok(86_400_000_000));
        assert_eq!(parse_hour("1970-01-01 03"), Ok(3 * 3_600_000_000));
        assert!(parse_hour("1970-13-01").is_err() && parse_hour("1970-01-01 24").is_err());
        assert_eq!(parse_speed("60x"), Ok(60.0));
        assert!(parse_speed("0").is_err() && parse_speed("fast").is_err());
        assert_eq!(parse_split("2/8"), Ok((2, 8)));
        assert!(parse_split("0/8").is_err() && parse_split("9/8").is_err());
    }
}
