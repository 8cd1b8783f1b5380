//! `scoring verify`: history, offers, cache and counters against each other.

use async_trait::async_trait;
use headrace_core::report::Outcome;
use headrace_core::step::Parameters;
use headrace_core::table::Table;
use headrace_core::{Control, Counts, Report, Result};
use polars::prelude::DataFrame;

use crate::scoring::agreement::Agreement;
use crate::scoring::pages::TargetPages;
use crate::scoring::targets::{Target, Targets};
use crate::stores::DEFAULT_STORE;

/// Rows read at once.
const PAGE: usize = 50_000;
/// Rows of a cache read at once where every read goes through all of its keys.
const WHOLE: usize = 100_000_000;

/// Verifies offers.
#[derive(Clone, Debug, clap::Args)]
pub struct Verify {
    /// The offers and their history.
    #[arg(long, value_name = "URL", default_value = DEFAULT_STORE)]
    pub offers: String,
    /// The cache; the ledger's store if not given.
    #[arg(long, value_name = "URL")]
    pub cache: Option<String>,
    /// Positions, counters and dead letters; as in `scoring score`.
    #[arg(long, value_name = "URL")]
    pub ledger: Option<String>,
}

/// Gives a table's pages to something; false when a stop came first.
async fn each(
    (target, table): (&Target, &Table),
    rows: usize,
    control: &Control,
    mut add: impl FnMut(&DataFrame) -> Result<()>,
) -> Result<bool> {
    let mut pages = TargetPages::new(target, table, rows, control);
    while let Some(page) = pages.next().await? {
        if control.is_stopping() {
            return Ok(false);
        }
        add(&page)?;
    }
    Ok(true)
}

/// Reads everything; none when a stop came first.
async fn compare(targets: &Targets, control: &Control, letters: &mut u64) -> Result<Option<Agreement>> {
    let (mut agreement, schema) = (Agreement::default(), &targets.schema);
    if !each((&targets.offers, &schema.history), PAGE, control, |page| agreement.add_history(page)).await?
        || !each((&targets.offers, &schema.offers), PAGE, control, |page| agreement.add_offers(page)).await?
    {
        return Ok(None);
    }
    agreement.end_offers();
    let ledger = Target::Own(targets.ledger.clone());
    let at_once = if matches!(targets.cache, Target::Own(_)) { PAGE } else { WHOLE };
    if !each((&targets.offers, &schema.registrations), PAGE, control, |page| agreement.add_registrations(page)).await?
        || !each((&targets.cache, &targets.cache_table), at_once, control, |page| agreement.add_cache(page)).await?
        || !each((&ledger, &schema.dead_letters), PAGE, control, |page| {
            // A settled one is what it became.
            *letters += page.column("settled_at")?.null_count() as u64;
            Ok(())
        })
        .await?
    {
        return Ok(None);
    }
    agreement.end_cache();
    agreement.add_strangers(&targets.cache.strangers(&targets.cache_table).await?);
    Ok(Some(agreement))
}

/// Holds what the ledger has counted in all runs against the rows.
fn check_counters(agreement: &mut Agreement, counted: &Counts, letters: u64) {
    let class = |name: &str| counted.classes.get(name).copied().unwrap_or_default();
    let fates = class("offers") + class("replaced") + class("stale");
    let checks = [
        (
            "read",
            "accepted, duplicate and dead-lettered",
            counted.read,
            counted.written + counted.duplicate + counted.dead_lettered,
        ),
        ("accepted", "offers, replaced and stale", counted.written, fates),
        ("accepted", "rows of the history", counted.written, agreement.history_rows),
        ("offers", "users", class("offers"), agreement.users()),
        ("dead-lettered", "dead letters", counted.dead_lettered, letters),
    ];
    for (name, other, count, found) in checks {
        if count != found {
            agreement.differs("counters wrong", format!("counted {name} {count}, but {other} are {found}"));
        }
    }
}

#[async_trait]
impl Parameters for Verify {
    const SYSTEM: &'static str = super::SYSTEM;
    const NAME: &'static str = "verify";
    const ABOUT: &'static str = "Compare history, offers, cache and counters, and tell what exactly differs";

    async fn run(self, control: Control) -> Result<Report> {
        let targets = Targets::open(&self.offers, self.cache.as_deref(), self.ledger.as_deref()).await?;
        targets.require().await?;
        let (mut report, mut letters) = (Report::default(), 0);
        let Some(mut agreement) = compare(&targets, &control, &mut letters).await? else {
            report.outcome = Outcome::Stopped;
            report.note("Stopped on request before everything was compared.");
            return Ok(report);
        };
        let counted = targets.ledger.counters(&targets.scope()).await?;
        check_counters(&mut agreement, &counted, letters);
        report.counts.read = agreement.history_rows + agreement.users() + agreement.cached + agreement.registered;
        report.counts.written = report.counts.read;
        report.fact("history rows", agreement.history_rows);
        report.fact("users", agreement.users());
        report.fact("cached", agreement.cached);
        report.fact("registrations", agreement.registered);
        report.fact("dead letters", letters);
        report.fact("other cache keys", agreement.other_keys);
        if let Some(key) = &agreement.other_key {
            report.note(format!(
                "The cache holds {} keys that are no users and hold no offers, such as `{key}`: not of scoring.",
                agreement.other_keys
            ));
        }
        let wrong: u64 = agreement.wrong.values().sum();
        report.fact("differences", wrong);
        if wrong == 0 {
            report.note(
                "Right: every user's offer is the newest of the history, the cache agrees, and the counters add up.",
            );
            return Ok(report);
        }
        report.outcome = Outcome::Different;
        for (what, count) in &agreement.wrong {
            report.fact(format!("wrong:{what}"), *count);
        }
        if agreement.wrong.keys().all(|what| what.starts_with("cache")) {
            report.note(
                "Only the cache differs; `headrace scoring rescore --again` writes every user's key anew. Keys of no user stay: delete them.",
            );
        }
        report
            .note("While `headrace scoring score` runs, some rows are always ahead of others: verify when it is idle.");
        agreement.examples.into_iter().for_each(|example| report.note(example));
        Ok(report)
    }
}
