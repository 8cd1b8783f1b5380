//! `scoring demo`: the whole job on the embedded store, with some offers to look at.

use std::path::PathBuf;

use async_trait::async_trait;
use headrace_core::report::{Outcome, TextTable};
use headrace_core::step::Parameters;
use headrace_core::{Control, Error, Report, Result};
use serde_json::json;

use super::{Score, Send, Verify};
use crate::scoring::frames::{self, Offer};
use crate::scoring::pages::TargetPages;
use crate::scoring::registration::Registration;
use crate::scoring::targets::Targets;
use crate::steps::run_next;

/// Offers shown.
const SHOWN: usize = 12;

/// Runs the whole job.
#[derive(Clone, Debug, clap::Args)]
pub struct Demo {
    /// The directory for the store.
    #[arg(long, value_name = "DIR", default_value = "headrace-scoring-demo")]
    pub dir: PathBuf,
    /// Registrations to simulate, each of a new user.
    #[arg(long, default_value_t = 20_000)]
    pub count: u64,
    /// The share of broken registrations, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value = "0.01", value_parser = crate::parsing::share)]
    pub defects: f64,
    /// Seed of the simulation.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The model; the built-in one if not given.
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
}

impl Demo {
    async fn run_steps(&self, url: &str, control: &Control, reports: &mut Vec<Report>) -> Result<bool> {
        // Varied users registered at a fixed time: a second demo sends the same bytes, and every one is a duplicate.
        let send = json!({ "to": url, "count": self.count, "varied": true, "seed": self.seed, "defects": self.defects,
            "start": "2025-01-16 04:00:00" });
        let score = json!({ "from": url, "offers": url, "model": self.model });
        Ok(run_next::<Send>(send, control, reports).await?
            && run_next::<Score>(score, control, reports).await?
            && run_next::<Verify>(json!({ "offers": url }), control, reports).await?)
    }

    /// The first offers with what they were made from.
    async fn sample(&self, url: &str, control: &Control) -> Result<TextTable> {
        let targets = Targets::open(url, None, None).await?;
        let (offers, registrations) = (&targets.schema.offers, &targets.schema.registrations);
        let mut rows = Vec::new();
        let offers = TargetPages::new(&targets.offers, offers, SHOWN, control).next().await?;
        let registrations = TargetPages::new(&targets.offers, registrations, SHOWN, control).next().await?;
        if let (Some(offers), Some(registrations)) = (offers, registrations) {
            let registrations = frames::read_registrations(&registrations)?;
            let of_user = |user_id| registrations.iter().find(|(registration, _)| registration.user_id == user_id);
            for offer in frames::read_offers(&offers)? {
                rows.extend(of_user(offer.user_id).map(|(registration, _)| row(&offer, registration)));
            }
        }
        let columns = ["user", "country", "phone", "child", "price", "months", "functions"];
        let columns = columns.iter().map(ToString::to_string).collect();
        Ok(TextTable { title: "Offers of the first users".to_owned(), columns, rows })
    }
}

fn row(offer: &Offer, registration: &Registration) -> Vec<String> {
    let [country, _, _, _, _, phone, child_phone] = &registration.categories;
    let functions = offer.scores.selected_functions();
    vec![
        offer.user_id.to_string(),
        country.to_string(),
        phone.to_string(),
        format!("{}, {child_phone}", registration.child_age),
        format!("{:.2}", offer.scores.cost()),
        format!("{:.1}", offer.scores.subscription()),
        if functions.is_empty() { "none".to_owned() } else { functions.join(", ") },
    ]
}

#[async_trait]
impl Parameters for Demo {
    const SYSTEM: &'static str = super::SYSTEM;
    const NAME: &'static str = "demo";
    const ABOUT: &'static str = "Run the whole job on the embedded store: send, score, verify, and show some offers";

    async fn run(self, control: Control) -> Result<Report> {
        let dir = self.dir.to_str().ok_or_else(|| Error::configuration("the directory's name is not UTF-8"))?;
        let url = format!("embedded:{}", dir.replace('%', "%25").replace('?', "%3F"));
        let (mut report, mut reports) = (Report::default(), Vec::new());
        if !self.run_steps(&url, &control, &mut reports).await? {
            report.outcome = Outcome::Stopped;
            report.note("Stopped on request; run the same command to go on from the committed position.");
            return Ok(report);
        }
        for step in &reports {
            let short = step.step.rsplit(' ').next().unwrap_or_default();
            let (rows, seconds) = (step.counts.read, step.seconds);
            let rate = if seconds > 0.0 { rows as f64 / seconds } else { 0.0 };
            report.note(format!("{short:<7}{rows:>10} rows in {seconds:>6.2} s {rate:>10.0} rows/s"));
            if short == "score" {
                report.counts = step.counts.clone();
                report.facts.extend(step.facts.clone());
            }
            if step.outcome == Outcome::Different {
                report.outcome = Outcome::Different;
                step.notes.iter().for_each(|note| report.note(note.clone()));
            }
        }
        report.note(format!("The store is in {dir}."));
        report.table = Some(self.sample(&url, &control).await?);
        Ok(report)
    }
}
