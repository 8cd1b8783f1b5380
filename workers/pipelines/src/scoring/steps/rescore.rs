//! `scoring rescore`: every user's offer again, with another model.
//!
//! Delivery: page by page, the cache before the offers. An offer of the new model means that its cache is written too, so a run that
//! was stopped or killed goes on where it was, and a second run changes nothing. Versions stay: a registration that comes meanwhile
//! wins. Memory: two pages.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use headrace_core::position::Reached;
use headrace_core::report::Outcome;
use headrace_core::step::Parameters;
use headrace_core::{Control, Counts, Error, Report, Result, clock};

use crate::scoring::frames::{self, Offer};
use crate::scoring::model::{Model, ModelFile, Scored};
use crate::scoring::offer::Scores;
use crate::scoring::pages::TargetPages;
use crate::scoring::registration::Registration;
use crate::scoring::shadow::Differences;
use crate::scoring::targets::Targets;
use crate::steps::Tries;
use crate::stores::DEFAULT_STORE;

/// Scores all users again.
#[derive(Clone, Debug, clap::Args)]
pub struct Rescore {
    /// The offers, and the registrations behind them.
    #[arg(long, value_name = "URL", default_value = DEFAULT_STORE)]
    pub offers: String,
    /// The cache; the ledger's store if not given.
    #[arg(long, value_name = "URL")]
    pub cache: Option<String>,
    /// Positions and counters; as in `scoring score`.
    #[arg(long, value_name = "URL")]
    pub ledger: Option<String>,
    /// The new model; the built-in one if not given.
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
    /// Also write offers that are the model's already: fills an empty cache.
    #[arg(long)]
    pub again: bool,
    /// Users per page: the unit of writing.
    #[arg(long, value_name = "ROWS", default_value_t = 10_000)]
    pub batch_rows: usize,
}

/// What the new model changes, added up.
#[derive(Default)]
struct Change {
    before: f64,
    after: f64,
    differences: Differences,
}

/// Price times term: what a user is expected to pay.
fn revenue(scores: &Scores) -> f64 {
    f64::from(scores.cost()) * f64::from(scores.subscription())
}

/// Offers in user order, to be joined with registrations in user order.
struct OfferCursor<'a> {
    pages: TargetPages<'a>,
    read: std::iter::Peekable<std::vec::IntoIter<Offer>>,
}

impl OfferCursor<'_> {
    /// The offers of some users, in their order.
    async fn of(&mut self, users: &[(Registration, i64)]) -> Result<Vec<Option<Offer>>> {
        let mut found = Vec::with_capacity(users.len());
        for (registration, _) in users {
            let offer = loop {
                if self.read.peek().is_none()
                    && let Some(page) = self.pages.next().await?
                {
                    self.read = frames::read_offers(&page)?.into_iter().peekable();
                }
                match self.read.peek().map(|offer| offer.user_id.cmp(&registration.user_id)) {
                    Some(std::cmp::Ordering::Less) => drop(self.read.next()),
                    Some(std::cmp::Ordering::Equal) => break self.read.next(),
                    _ => break None,
                }
            };
            found.push(offer);
        }
        Ok(found)
    }
}

/// Scores off the runtime's threads.
async fn scored(model: &Arc<dyn Model>, users: &[(Registration, i64)]) -> Result<Vec<Scored>> {
    let registrations: Vec<Registration> = users.iter().map(|(registration, _)| registration.clone()).collect();
    let model = model.clone();
    tokio::task::spawn_blocking(move || model.score(&registrations))
        .await
        .map_err(|error| Error::data(format!("the model failed: {error}")))?
}

impl Rescore {
    /// Writes the offers of one page.
    async fn write(&self, targets: &Targets, offers: &[Offer], counts: &Counts, token: &str) -> Result<()> {
        let scope = format!("scoring rescore {}", targets.schema.offers.name);
        let mut unit = targets.ledger.begin(&scope, &[]).await?;
        if !offers.is_empty() {
            let cached = frames::cache(offers, clock::now_us())?;
            targets.cache.write(&mut *unit, &targets.cache_table, &cached, token).await?;
            targets.offers.write(&mut *unit, &targets.schema.offers, &frames::offers(offers)?, token).await?;
        }
        unit.commit(&Reached::new(), counts).await
    }

    /// What a page of users becomes: the offers to write, counted.
    fn compare(
        &self,
        version: &str,
        users: &[(Registration, i64)],
        stored: &[Option<Offer>],
        new: &[Scored],
        change: &mut Change,
    ) -> (Vec<Offer>, Counts) {
        let mut offers = Vec::new();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for (((registration, number), stored), (scores, unseen)) in users.iter().zip(stored).zip(new) {
            if let Some(stored) = stored {
                change.before += revenue(&stored.scores);
                change.after += revenue(scores);
                before.push((stored.scores, false));
                after.push((*scores, *unseen));
            }
            let is_done = stored.as_ref().is_some_and(|stored| stored.model_version == version);
            if !is_done || self.again {
                let (user_id, scores, model_version) = (registration.user_id, *scores, version.to_owned());
                offers.push(Offer { user_id, scores, model_version, version: *number });
            }
        }
        change.differences.add(&Differences::between(&before, &after, version));
        let (read, written) = (users.len() as u64, offers.len() as u64);
        (offers, Counts { read, written, duplicate: read - written, ..Counts::default() })
    }
}

#[async_trait]
impl Parameters for Rescore {
    const SYSTEM: &'static str = super::SYSTEM;
    const NAME: &'static str = "rescore";
    const ABOUT: &'static str = "Score all users again with another model, and tell how expected revenue changes";

    async fn run(self, control: Control) -> Result<Report> {
        let model = ModelFile::open(self.model.as_deref())?.current();
        let targets = Targets::open(&self.offers, self.cache.as_deref(), self.ledger.as_deref()).await?;
        targets.create().await?;
        let rows = self.batch_rows.max(1);
        let mut users = TargetPages::new(&targets.offers, &targets.schema.registrations, rows, &control);
        let pages = TargetPages::new(&targets.offers, &targets.schema.offers, rows, &control);
        let mut cursor = OfferCursor { pages, read: Vec::new().into_iter().peekable() };
        let mut report = Report::default();
        let mut change = Change::default();
        // A store that knows blocks by their token must not take a later run's for one of this run.
        let (run, mut number) = (clock::now_us(), 0_u64);
        while let Some(page) = users.next().await? {
            if control.is_stopping() {
                report.outcome = Outcome::Stopped;
                report.note("Stopped on request; run the same command to go on with the other users.");
                break;
            }
            let page = frames::read_registrations(&page)?;
            let stored = cursor.of(&page).await?;
            let new = scored(&model, &page).await?;
            let (offers, counts) = self.compare(model.version(), &page, &stored, &new, &mut change);
            let token = format!("rescore-{run}-{number}");
            let mut tries = Tries::new(&control);
            while let Err(error) = self.write(&targets, &offers, &counts, &token).await {
                tries.again(error).await?;
            }
            report.counts.add(&counts);
            number += 1;
        }
        let rounded = |value: f64| (value * 100.0).round() / 100.0;
        report.fact("model", model.version());
        report.fact("expected revenue before", rounded(change.before));
        report.fact("expected revenue after", rounded(change.after));
        report.fact("expected revenue change", rounded(change.after - change.before));
        report.fact("offers", change.differences.report());
        Ok(report)
    }
}
