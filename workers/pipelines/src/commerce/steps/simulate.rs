//! `commerce simulate`: simulated events → topics or a file, at a rate or as fast as possible.
//!
//! Delivery: every batch is acknowledged before the next one is made; after a failed send part of a batch may be there twice, which
//! the stream absorbs by event id. Memory: one batch.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use headrace_core::batch::message_columns::{KEY, VALUE};
use headrace_core::clock::parse_duration;
use headrace_core::log::Log;
use headrace_core::report::Outcome;
use headrace_core::step::Parameters;
use headrace_core::{Control, Error, Report, Result, clock};
use headrace_transforms::civil::SECOND_US;
use polars::prelude::{DataFrame, NamedFrom, Series};

use crate::commerce::alerts::time_text;
use crate::commerce::event::Kind;
use crate::commerce::fields;
use crate::commerce::file_source::Line;
use crate::commerce::schema::PARTITIONS;
use crate::commerce::simulate::{Message, Simulation};
use crate::commerce::source::{From, create_topics};
use crate::steps::Tries;
use crate::stores::DEFAULT_STORE;
use crate::whole_file::WholeFile;

/// Events sent at once when nothing limits the rate.
const TOGETHER: u64 = 20_000;
/// How often events are sent when a rate is kept.
const TICK: Duration = Duration::from_millis(20);

/// Simulates events.
#[derive(Clone, Debug, clap::Args)]
pub struct Simulate {
    /// The log, kafka://HOST or embedded:DIRECTORY; or file:PATH. A topic in the URL is put before the names of the three topics.
    #[arg(long, value_name = "EVENTS", default_value = DEFAULT_STORE)]
    pub to: String,
    /// Events to send; 0 goes on until stopped or until the duration is over.
    #[arg(long, default_value_t = 10_000)]
    pub events: u64,
    /// Events per second, happening as they are sent; as fast as possible if not given.
    #[arg(long, value_name = "PER_SECOND")]
    pub rate: Option<f64>,
    /// End after a time.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Without a rate: the time over which the events are spread, up to now.
    #[arg(long, value_name = "TIME", default_value = "40m", value_parser = parse_duration)]
    pub spread: Duration,
    /// Without a rate: when the first event happens, "YYYY-MM-DD HH:MM:SS"; so that the last one happens now if not given.
    #[arg(long, value_name = "DATE", value_parser = parse_time)]
    pub start: Option<i64>,
    /// The same seed gives the same events.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Users.
    #[arg(long, default_value_t = 100)]
    pub users: u64,
    /// Products.
    #[arg(long, default_value_t = 20)]
    pub products: u64,
    /// The share of events that come minutes late, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value = "0.03", value_parser = crate::parsing::share)]
    pub late: f64,
    /// The share of events that come twice.
    #[arg(long, value_name = "SHARE", default_value = "0.02", value_parser = crate::parsing::share)]
    pub duplicates: f64,
    /// The share of broken events.
    #[arg(long, value_name = "SHARE", default_value = "0.01", value_parser = crate::parsing::share)]
    pub malformed: f64,
    /// Partitions of the topics, if they have to be created.
    #[arg(long, default_value_t = PARTITIONS)]
    pub partitions: i32,
}

fn parse_time(text: &str) -> Result<i64, String> {
    fields::timestamp(text).ok_or_else(|| "expected \"YYYY-MM-DD HH:MM:SS\"".to_owned())
}

/// When events arrive.
#[derive(Clone, Copy, Debug)]
struct Arrivals {
    start_us: i64,
    apart_us: f64,
}

impl Arrivals {
    fn of(self, number: u64) -> i64 {
        #[expect(clippy::cast_possible_truncation, reason = "microseconds of a simulation")]
        let since = (number as f64 * self.apart_us) as i64;
        self.start_us.saturating_add(since)
    }
}

/// Where events go.
enum Target {
    Log(std::sync::Arc<dyn Log>, String),
    File { file: WholeFile, line: u64, offsets: BTreeMap<(Kind, i32), i64>, partitions: i32 },
}

impl Target {
    async fn send(&mut self, messages: &[(Message, i64)], control: &Control) -> Result<()> {
        match self {
            Self::Log(log, prefix) => {
                for kind in Kind::ALL {
                    let frame =
                        frame(messages.iter().map(|(message, _)| message).filter(|message| message.kind == kind))?;
                    let mut tries = Tries::new(control);
                    while frame.height() > 0
                        && let Err(error) = log.produce(&format!("{prefix}{}", kind.topic()), &frame).await
                    {
                        tries.again(error).await?;
                    }
                }
                Ok(())
            }
            Self::File { file, line, offsets, partitions } => {
                let mut out = Vec::with_capacity(messages.len() * 480);
                for (message, arrival_us) in messages {
                    *line += 1;
                    let users: i64 = message.key.parse().unwrap_or_default();
                    #[expect(clippy::cast_possible_truncation, reason = "smaller than the number of partitions")]
                    let partition = (users % i64::from(*partitions)) as i32;
                    let offset = offsets.entry((message.kind, partition)).or_insert(-1);
                    *offset += 1;
                    write_line(message, *arrival_us, *line, partition, *offset, &mut out)?;
                }
                file.write(&out)
            }
        }
    }
}

fn write_line(
    message: &Message,
    arrival_us: i64,
    line: u64,
    partition: i32,
    offset: i64,
    out: &mut Vec<u8>,
) -> Result<()> {
    use base64::Engine;
    let (mut value, mut value_base64) = (None, None);
    match message.value.as_deref().map(std::str::from_utf8) {
        Some(Ok(text)) => value = Some(text.to_owned()),
        Some(Err(_)) => {
            value_base64 = message.value.as_ref().map(|bytes| base64::engine::general_purpose::STANDARD.encode(bytes))
        }
        None => {}
    }
    let (topic, key, arrival) = (message.kind.topic().to_owned(), Some(message.key.clone()), time_text(arrival_us));
    let line = Line { line, arrival, topic, partition, offset, key, value, value_base64 };
    serde_json::to_writer(&mut *out, &line).map_err(|error| Error::data(format!("cannot write an event: {error}")))?;
    out.push(b'\n');
    Ok(())
}

fn frame<'a>(messages: impl Iterator<Item = &'a Message> + Clone) -> Result<DataFrame> {
    let keys: Vec<Option<&[u8]>> = messages.clone().map(|message| Some(message.key.as_bytes())).collect();
    let values: Vec<Option<&[u8]>> = messages.map(|message| message.value.as_deref()).collect();
    let height = keys.len();
    let columns = vec![Series::new(KEY.into(), keys).into(), Series::new(VALUE.into(), values).into()];
    Ok(DataFrame::new(height, columns)?)
}

impl Simulate {
    fn check(&self) -> Result<()> {
        if self.partitions < 1 {
            return Err(Error::configuration("--partitions must be at least 1"));
        }
        if self.rate.is_some_and(|rate| !(rate.is_finite() && rate > 0.0)) {
            return Err(Error::configuration("--rate must be greater than 0"));
        }
        if self.events == 0 && self.rate.is_none() && self.duration.is_none() {
            return Err(Error::configuration("--events 0 goes on for ever: give --rate or --duration"));
        }
        Ok(())
    }

    fn arrivals(&self) -> Arrivals {
        if let Some(rate) = self.rate {
            return Arrivals { start_us: clock::now_us(), apart_us: SECOND_US as f64 / rate };
        }
        let spread_us = self.spread.as_micros() as f64;
        #[expect(clippy::cast_possible_truncation, reason = "microseconds of a simulation")]
        let start_us = self.start.unwrap_or_else(|| clock::now_us() - spread_us as i64);
        Arrivals { start_us, apart_us: spread_us / self.events.max(1) as f64 }
    }

    /// How many are due after a time since the first.
    fn due(&self, since: Duration, sent: u64) -> u64 {
        let end = if self.events == 0 { u64::MAX } else { self.events };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, far below the bound"
        )]
        let due = self.rate.map_or(u64::MAX, |rate| (since.as_secs_f64() * rate) as u64 + 1);
        due.min(end).min(sent.saturating_add(TOGETHER))
    }

    async fn target(&self) -> Result<Target> {
        match From::open("to", &self.to).await? {
            From::Log(log, prefix) => {
                create_topics(&*log, &prefix, self.partitions).await?;
                Ok(Target::Log(log, prefix))
            }
            From::File(path) => {
                let (file, offsets) = (WholeFile::create(&path)?, BTreeMap::new());
                Ok(Target::File { file, line: 0, offsets, partitions: self.partitions })
            }
        }
    }
}

#[async_trait]
impl Parameters for Simulate {
    const SYSTEM: &'static str = super::SYSTEM;
    const NAME: &'static str = "simulate";
    const ABOUT: &'static str =
        "Send simulated shop events to topics or a file, with any share of late, repeated and broken ones";

    async fn run(self, control: Control) -> Result<Report> {
        self.check()?;
        let mut target = self.target().await?;
        let simulation = Simulation {
            seed: self.seed,
            users: self.users,
            products: self.products,
            late: self.late,
            repeated: self.duplicates,
            broken: self.malformed,
        };
        let mut report = Report::default();
        let mut broken: BTreeMap<&str, u64> = BTreeMap::new();
        let (began, arrivals, mut sent) = (Instant::now(), self.arrivals(), 0);
        while self.events == 0 || sent < self.events {
            if control.is_stopping() {
                report.outcome = Outcome::Stopped;
                report.note("Stopped on request.");
                break;
            }
            if self.duration.is_some_and(|duration| began.elapsed() >= duration) {
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
            let message = |number| (simulation.message(number, |number| arrivals.of(number)), arrivals.of(number));
            let messages: Vec<(Message, i64)> = (sent..due).map(message).collect();
            target.send(&messages, &control).await?;
            for reason in messages.iter().filter_map(|(message, _)| message.reason) {
                *broken.entry(reason.as_str()).or_default() += 1;
            }
            sent = due;
        }
        if let Target::File { file, .. } = target {
            report.counts.bytes = file.finish()?;
        }
        report.counts.read = sent;
        report.counts.written = sent;
        report.fact("to", self.to);
        for (reason, count) in broken {
            report.fact(format!("broken:{reason}"), count);
        }
        Ok(report)
    }
}
