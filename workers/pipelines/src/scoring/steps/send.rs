//! `scoring send`: simulated registrations → topic, at a rate or as fast as possible.
//!
//! Delivery: every batch is acknowledged before the next one is made; after a failed send part of a batch may be there twice, which
//! the score step absorbs by value. Memory: one batch.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use headrace_core::batch::message_columns::{KEY, VALUE};
use headrace_core::log::Log;
use headrace_core::report::Outcome;
use headrace_core::step::Parameters;
use headrace_core::{Control, Error, Report, Result, clock};
use headrace_transforms::civil;
use polars::prelude::{DataFrame, NamedFrom, Series};

use crate::scoring::schema::TOPIC;
use crate::scoring::simulate::{Message, Simulation};
use crate::steps::Tries;
use crate::stores::{DEFAULT_STORE, open_log};

/// Messages sent at once when nothing limits the rate.
const TOGETHER: u64 = 10_000;
/// How often messages are sent when a rate is kept.
const TICK: Duration = Duration::from_millis(20);

/// Sends registrations.
#[derive(Clone, Debug, clap::Args)]
pub struct Send {
    /// The log: kafka://HOST/TOPIC or embedded:DIRECTORY.
    #[arg(long, value_name = "URL", default_value = DEFAULT_STORE)]
    pub to: String,
    /// Registrations to send; 0 goes on until stopped.
    #[arg(long, default_value_t = 1_000)]
    pub count: u64,
    /// Registrations per second; as fast as possible if not given.
    #[arg(long, value_name = "PER_SECOND", value_parser = parse_rate)]
    pub rate: Option<f64>,
    /// Every user with features of their own, instead of one constant registration for all.
    #[arg(long)]
    pub varied: bool,
    /// The same seed gives the same users.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The share of broken registrations, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = crate::parsing::share)]
    pub defects: f64,
    /// The first user; the others follow.
    #[arg(long, default_value_t = 1)]
    pub first_user: u32,
    /// Registration time of the first varied user, "YYYY-MM-DD HH:MM:SS"; others follow at the rate, or a millisecond apart. The
    /// time of sending if not given.
    #[arg(long, value_name = "DATE", value_parser = parse_time)]
    pub start: Option<i64>,
    /// Partitions of the topic, if it has to be created.
    #[arg(long, default_value_t = 3)]
    pub partitions: i32,
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "expected a number of registrations per second")?;
    if rate.is_finite() && rate > 0.0 { Ok(rate) } else { Err("the rate must be greater than 0".into()) }
}

/// Parses a time to milliseconds.
fn parse_time(text: &str) -> Result<i64, String> {
    let plain = text.trim_end_matches('Z').replace('T', " ");
    let time_us = civil::parse_timestamp(plain.as_bytes()).ok_or("expected \"YYYY-MM-DD HH:MM:SS\"")?;
    Ok(time_us / 1_000)
}

impl Send {
    /// How many are due after a time since the first.
    fn due(&self, since: Duration, sent: u64) -> u64 {
        let end = if self.count == 0 { u64::MAX } else { self.count };
        let due = match self.rate {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "not negative and far below the bound"
            )]
            Some(rate) => (since.as_secs_f64() * rate) as u64 + 1,
            None => u64::MAX,
        };
        due.min(end).min(sent.saturating_add(TOGETHER))
    }

    /// Registration time of a number.
    fn time_ms(&self, number: u64) -> i64 {
        let Some(start) = self.start else { return clock::now_ms() };
        let apart_ms = self.rate.map_or(1.0, |rate| 1_000.0 / rate);
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds of a simulation")]
        let since_ms = (number as f64 * apart_ms) as i64;
        start.saturating_add(since_ms)
    }
}

/// Puts messages into a frame of keys and values.
fn frame(messages: &[Message]) -> Result<DataFrame> {
    let keys: Vec<Option<&[u8]>> = messages.iter().map(|message| Some(message.key.as_bytes())).collect();
    let values: Vec<Option<&[u8]>> = messages.iter().map(|message| message.value.as_deref()).collect();
    let columns = vec![Series::new(KEY.into(), keys).into(), Series::new(VALUE.into(), values).into()];
    Ok(DataFrame::new(messages.len(), columns)?)
}

/// Sends a batch, and again after external errors.
async fn produce(log: &dyn Log, topic: &str, messages: &DataFrame, control: &Control) -> Result<()> {
    let mut tries = Tries::new(control);
    while let Err(error) = log.produce(topic, messages).await {
        tries.again(error).await?;
    }
    Ok(())
}

#[async_trait]
impl Parameters for Send {
    const SYSTEM: &'static str = super::SYSTEM;
    const NAME: &'static str = "send";
    const ABOUT: &'static str = "Send simulated registrations to a topic, at any rate, with any share of broken ones";

    async fn run(self, control: Control) -> Result<Report> {
        let to = crate::steps::store_url("to", &self.to)?;
        let topic = to.topic(TOPIC)?;
        if self.partitions < 1 {
            return Err(Error::configuration("--partitions must be at least 1"));
        }
        let log = open_log(&to).await?;
        log.create_topic(&topic, self.partitions).await?;
        let simulation =
            Simulation { seed: self.seed, varied: self.varied, defects: self.defects, first_user: self.first_user };
        let mut report = Report::default();
        let mut broken: BTreeMap<&str, u64> = BTreeMap::new();
        let (began, mut sent) = (Instant::now(), 0);
        while self.count == 0 || sent < self.count {
            if control.is_stopping() {
                report.outcome = Outcome::Stopped;
                report.note("Stopped on request; --first-user goes on behind the last user sent.");
                break;
            }
            let due = self.due(began.elapsed(), sent);
            if due <= sent {
                tokio::select! {
                    () = control.stopping() => {}
                    () = tokio::time::sleep(TICK) => {}
                }
                continue;
            }
            let messages: Vec<Message> =
                (sent..due).map(|number| simulation.message(number, self.time_ms(number))).collect();
            produce(&*log, &topic, &frame(&messages)?, &control).await?;
            messages
                .iter()
                .filter_map(|message| message.reason)
                .for_each(|reason| *broken.entry(reason).or_default() += 1);
            sent = due;
        }
        report.counts.read = sent;
        report.counts.written = sent;
        report.fact("topic", topic);
        for (reason, count) in broken {
            report.fact(format!("broken:{reason}"), count);
        }
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use super::{parse_rate, parse_time};

    #[test]
    fn rates_and_times_are_checked() {
        assert_eq!(parse_rate("2.5"), Ok(2.5));
        assert!(parse_rate("0").is_err() && parse_rate("fast").is_err() && parse_rate("inf").is_err());
        assert_eq!(parse_time("2025-01-16T04:00:00Z"), Ok(1_737_000_000_000));
        assert_eq!(parse_time("2025-01-16 04:00:00"), Ok(1_737_000_000_000));
        assert!(parse_time("2025-01-16").is_err());
    }
}
