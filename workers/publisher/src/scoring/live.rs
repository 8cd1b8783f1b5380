//! `GET /offers/live/now`: what scoring does at the moment, as the page that keeps itself fresh shows it.
//!
//! All is worked out when somebody asks, at most once a second whoever asks. Memory: a minute of counters, the newest rows.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::Response;
use headrace_core::{Counts, Result, clock};
use headrace_pipelines::scoring::model::Model;
use headrace_pipelines::scoring::targets::Targets;
use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use super::commercial::{Commercial, Rounding};
use super::drift::{self, Drift};
use super::offers::time;
use super::recent::{Recent, Row};
use crate::answer;
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::server::Systems;

/// Answers younger than this are given again.
const FRESH: Duration = Duration::from_millis(900);
/// How long the drift is taken for granted.
const DRIFT_FRESH: Duration = Duration::from_secs(5);
/// Time over which a rate is measured, at least.
const RATE_OVER: Duration = Duration::from_secs(4);
/// Counters that are kept: about a minute.
const SAMPLES: usize = 60;
/// Offers that are shown.
const SHOWN: usize = 12;
/// Registrations that came longer ago than this were not waiting for their offer.
const WAITING_MS: i64 = 3_600_000;
/// The class of refused messages, before the reason.
const LETTER: &str = "dead_letter:";

/// What is known of the stores.
#[derive(Default)]
pub(super) struct Live(Mutex<Looks>);

#[derive(Default)]
struct Looks {
    samples: VecDeque<(Instant, u64)>,
    recent: Recent,
    drift: Option<(Instant, String, Option<Drift>)>,
    answer: Option<(Instant, Now)>,
}

/// What scoring does at the moment.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Now {
    /// When this was worked out.
    at: String,
    /// The model of the what-if form.
    model_version: String,
    counters: Counters,
    /// Registrations read in a second; none before there are two looks.
    per_second: Option<f64>,
    /// By reason, most frequent first.
    dead_letters: Vec<Letters>,
    /// Milliseconds from registration to offer; none where no registration was waiting.
    latency: Option<Latency>,
    /// Milliseconds that lookups of this server took.
    lookups: Option<Latency>,
    /// Newest first.
    newest: Vec<Newest>,
    /// How far registrations are from those of training; none where the model does not tell of them.
    drift: Option<Drift>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
struct Counters {
    read: u64,
    accepted: u64,
    duplicate: u64,
    dead_letter: u64,
    offers: u64,
    replaced: u64,
    stale: u64,
    unseen_category: u64,
    clipped_age: u64,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
struct Letters {
    reason: String,
    count: u64,
}

/// Percentiles; none above what is measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
struct Latency {
    count: u64,
    p50: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
struct Newest {
    user_id: u32,
    scored_at: String,
    cost: f32,
    commercial: Commercial,
    selected_functions: Vec<&'static str>,
    model_version: String,
    latency_ms: Option<i64>,
}

/// What scoring does at the moment
#[utoipa::path(get, path = "/offers/live/now", tag = "scoring", security(("token" = [])),
    responses((status = 200, body = Now), (status = 401, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn now(State(systems): State<Systems>) -> std::result::Result<Response, Problem> {
    let scoring = &systems.scoring;
    let mut state = scoring.live.0.lock().await;
    if let Some((_, now)) = state.answer.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
        return Ok(answer::json(now));
    }
    let model = scoring.current().await?;
    let now = state.look(&scoring.targets, &systems.metrics, &*model).await?;
    state.answer = Some((Instant::now(), now.clone()));
    Ok(answer::json(&now))
}

impl Looks {
    async fn look(&mut self, targets: &Targets, metrics: &Metrics, model: &dyn Model) -> Result<Now> {
        let counts = targets.ledger.counters(&targets.scope()).await?;
        let at = Instant::now();
        self.samples.push_back((at, counts.read));
        let excess = self.samples.len().saturating_sub(SAMPLES);
        self.samples.drain(..excess);
        if counts.read > 0 {
            self.recent.update(targets).await?;
        }
        let lookups = metrics.percentiles("/offers/{user_id}").map(|percentiles| {
            let [p50, p95, p99] = percentiles.milliseconds;
            Latency { count: percentiles.count, p50, p95, p99 }
        });
        Ok(Now {
            at: time(clock::now_us()),
            model_version: model.version().to_owned(),
            counters: counters(&counts),
            per_second: rate(&self.samples),
            dead_letters: dead_letters(&counts).into_iter().map(|(reason, count)| Letters { reason, count }).collect(),
            latency: latency(self.recent.rows.iter().map(Row::latency_ms)),
            lookups,
            newest: self.recent.rows.iter().rev().take(SHOWN).map(newest).collect(),
            drift: self.drift(targets, model).await?,
        })
    }

    /// The drift, which is worked out less often: it changes slowly.
    async fn drift(&mut self, targets: &Targets, model: &dyn Model) -> Result<Option<Drift>> {
        let is_fresh = |(at, version, drift): &&(Instant, String, Option<Drift>)| {
            let found = drift.as_ref().is_none_or(Drift::has_registrations);
            found && at.elapsed() < DRIFT_FRESH && version.as_str() == model.version()
        };
        if let Some((_, _, drift)) = self.drift.as_ref().filter(is_fresh) {
            return Ok(drift.clone());
        }
        let drift = drift::look(targets, model).await?;
        self.drift = Some((Instant::now(), model.version().to_owned(), drift.clone()));
        Ok(drift)
    }
}

fn counters(counts: &Counts) -> Counters {
    let class = |name: &str| counts.classes.get(name).copied().unwrap_or_default();
    Counters {
        read: counts.read,
        accepted: counts.written,
        duplicate: counts.duplicate,
        dead_letter: counts.dead_lettered,
        offers: class("offers"),
        replaced: class("replaced"),
        stale: class("stale"),
        unseen_category: class("unseen_category"),
        clipped_age: class("clipped_age"),
    }
}

/// Refused messages by reason, most frequent first.
pub(super) fn dead_letters(counts: &Counts) -> Vec<(String, u64)> {
    let letters =
        counts.classes.iter().filter_map(|(class, count)| Some((class.strip_prefix(LETTER)?.to_owned(), *count)));
    let mut letters: Vec<_> = letters.filter(|(_, count)| *count > 0).collect();
    letters.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    letters
}

/// Growth in a second, over the last few.
fn rate(samples: &VecDeque<(Instant, u64)>) -> Option<f64> {
    let (last_at, last) = samples.back()?;
    let before = samples.iter().rev().find(|(at, _)| last_at.duration_since(*at) >= RATE_OVER).or(samples.front())?;
    let seconds = last_at.duration_since(before.0).as_secs_f64();
    // A scope that was forgotten begins again at nothing.
    (seconds > 0.0).then(|| last.saturating_sub(before.1) as f64 / seconds)
}

fn waited(latency_ms: i64) -> bool {
    (0..WAITING_MS).contains(&latency_ms)
}

fn latency(milliseconds: impl Iterator<Item = i64>) -> Option<Latency> {
    let mut waits: Vec<i64> = milliseconds.filter(|latency| waited(*latency)).collect();
    waits.sort_unstable();
    let at = |share: usize| waits.get((waits.len() * share).div_ceil(100).max(1) - 1).map(|wait| *wait as f64);
    (!waits.is_empty()).then(|| Latency { count: waits.len() as u64, p50: at(50), p95: at(95), p99: at(99) })
}

fn newest(row: &Row) -> Newest {
    let scores = &row.offer.scores;
    Newest {
        user_id: row.offer.user_id,
        scored_at: time(row.scored_at_us),
        cost: scores.cost(),
        commercial: Commercial::of(scores, Rounding::default()),
        selected_functions: scores.selected_functions(),
        model_version: row.offer.model_version.clone(),
        latency_ms: Some(row.latency_ms()).filter(|latency| waited(*latency)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::{Duration, Instant};

    use super::{Latency, dead_letters, latency, rate};
    use headrace_core::Counts;

    #[test]
    fn a_rate_needs_two_looks_and_covers_some_seconds() {
        let start = Instant::now();
        let samples = |points: &[(u64, u64)]| -> VecDeque<_> {
            points.iter().map(|(second, read)| (start + Duration::from_secs(*second), *read)).collect()
        };
        assert_eq!(rate(&samples(&[])), None);
        assert_eq!(rate(&samples(&[(0, 5)])), None);
        assert_eq!(rate(&samples(&[(0, 5), (2, 25)])), Some(10.0));
        assert_eq!(rate(&samples(&[(0, 0), (6, 60), (7, 60), (10, 100)])), Some(10.0));
        assert_eq!(rate(&samples(&[(0, 50), (5, 0)])), Some(0.0));
    }

    #[test]
    fn percentiles_are_waits_that_occurred() {
        let found = latency((1..=100).chain([-5, 40_000_000])).unwrap();
        assert_eq!(found, Latency { count: 100, p50: Some(50.0), p95: Some(95.0), p99: Some(99.0) });
        assert_eq!(latency([7].into_iter()).unwrap().p99, Some(7.0));
        assert_eq!(latency([-1].into_iter()), None);
    }

    #[test]
    fn letters_are_counted_by_reason() {
        let mut counts = Counts::default();
        for (class, count) in [("offers", 9), ("dead_letter:bad_json", 1), ("dead_letter:empty_value", 3)] {
            counts.class(class, count);
        }
        assert_eq!(dead_letters(&counts), [("empty_value".to_owned(), 3), ("bad_json".to_owned(), 1)]);
    }
}
