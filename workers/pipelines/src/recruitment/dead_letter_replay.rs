//! Puts dead letters through their step again: the same rules, the same de-duplication, the same ledger.
//!
//! What a letter becomes and that it is settled is one unit of work (in stores without transactions, one after the other),
//! and settled letters are passed over: however often a replay is started or killed, a letter counts once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use headrace_core::batch::{message_columns, record_columns};
use headrace_core::dead_letter::{self, DeadLetter};
use headrace_core::position::Reached;
use headrace_core::store::{Store, Unit};
use headrace_core::table::Table;
use headrace_core::{Control, Counts, Error, Partition, Position, Result, clock};
use polars::prelude::{DataFrame, NamedFrom, Series};

use super::clean_sink::CleanSink;
use super::load_sink::{Applied, LoadSink};
use super::schema::{RawSchema, ResultSchema};
use super::{message, record};
use crate::reading::Pages;

/// Letters replayed in one unit.
const BATCH: usize = 5_000;

/// Corrected texts by source and position.
pub type Fixes = HashMap<(String, String), String>;

/// Which letters to take.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Only letters with this reason.
    pub reason: Option<String>,
    /// Settled ones too; never for a replay.
    pub settled: bool,
    /// At most so many.
    pub limit: usize,
}

/// Reads letters in key order.
///
/// # Errors
/// When the store fails.
pub async fn read(store: &dyn Store, table: &Table, choice: &Choice) -> Result<Vec<DeadLetter>> {
    let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    let mut pages = Pages::new(store, table, &columns);
    let mut letters = Vec::new();
    while let Some(page) = pages.next().await? {
        letters.extend(dead_letter::from_frame(&page)?.into_iter().filter(|letter| {
            choice.reason.as_ref().is_none_or(|reason| *reason == letter.reason)
                && (choice.settled || letter.settled_at_us.is_none())
        }));
        if letters.len() >= choice.limit {
            break;
        }
    }
    letters.truncate(choice.limit);
    Ok(letters)
}

/// What a replayed batch became: counts, and the places of letters refused again, with why.
struct Outcome {
    counts: Counts,
    refused: HashMap<String, (String, String)>,
}

/// Marks letters as settled, or as refused again.
async fn settle(unit: &mut dyn Unit, table: &Table, letters: &[DeadLetter], outcome: &Outcome) -> Result<()> {
    let now = clock::now_us();
    let marked: Vec<DeadLetter> = letters
        .iter()
        .map(|letter| {
            let mut letter = DeadLetter { replays: letter.replays + 1, ..letter.clone() };
            match outcome.refused.get(&letter.position) {
                Some((reason, detail)) => (letter.reason, letter.detail) = (reason.clone(), detail.clone()),
                None => letter.settled_at_us = Some(now),
            }
            letter
        })
        .collect();
    unit.upsert(table, &dead_letter::to_frame(&marked)?).await
}

/// Puts corrected texts in place; letters without one are left out when there are corrections.
fn with_fixes(letters: Vec<DeadLetter>, fixes: Option<&Fixes>) -> Vec<DeadLetter> {
    let Some(fixes) = fixes else { return letters };
    letters
        .into_iter()
        .filter_map(|letter| {
            let fixed = fixes.get(&(letter.source.clone(), letter.position.clone()))?;
            Some(DeadLetter { raw: Some(fixed.clone().into_bytes()), ..letter })
        })
        .collect()
}

/// The claim under which letters of a scope are replayed: one replay at a time. Claimed before the letters are read, so that
/// no other replay can settle them in between.
async fn claim(store: &dyn Store, scope: &str) -> Result<(headrace_core::Claim, i64)> {
    let claims = store.claim(scope, &[Partition::new("dead-letters")]).await?;
    let claim = claims.into_iter().next().ok_or_else(|| Error::Fenced("dead-letters".into()))?;
    let at = claim.position.as_ref().map_or(0, |position| position.at);
    Ok((claim, at))
}

/// Replays refused records of the load.
///
/// # Errors
/// When the store fails.
pub async fn replay_load(
    store: &Arc<dyn Store>,
    schema: &RawSchema,
    choice: &Choice,
    fixes: Option<&Fixes>,
    control: &Control,
) -> Result<Counts> {
    let scope = schema.load_scope();
    let (claim, mut at) = claim(&**store, &scope).await?;
    let letters = with_fixes(read(&**store, &schema.dead_letters, choice).await?, fixes);
    let mut counts = Counts::default();
    let mut by_source: BTreeMap<String, Vec<DeadLetter>> = BTreeMap::new();
    for letter in letters {
        by_source.entry(letter.source.clone()).or_default().push(letter);
    }
    for (source, letters) in by_source {
        let mut sink = LoadSink::new(store.clone(), schema.clone(), source);
        for batch in letters.chunks(BATCH) {
            if control.is_stopping() {
                return Ok(counts);
            }
            let parsed = record::parse(&record_frame(batch)?)?;
            let mut unit = store.begin(&scope, std::slice::from_ref(&claim)).await?;
            let Applied { counts: applied, changes, refused } = sink.apply(&mut *unit, &parsed).await?;
            let refused = refused
                .into_iter()
                .map(|record| (record.record.to_string(), (record.reason.to_string(), record.detail)));
            let outcome = Outcome { counts: applied, refused: refused.collect() };
            let at_once = store.is_transactional();
            if at_once {
                settle(&mut *unit, &schema.dead_letters, batch, &outcome).await?;
            }
            at += 1;
            unit.commit(&reached(&claim.partition, at), &Counts::default()).await?;
            sink.committed(changes);
            if !at_once {
                // Rows of this store show at once: a letter may be settled only when its record is sure to stay. After a
                // crash in between it is replayed again, as a duplicate.
                let mut unit = store.begin(&scope, std::slice::from_ref(&claim)).await?;
                settle(&mut *unit, &schema.dead_letters, batch, &outcome).await?;
                at += 1;
                unit.commit(&reached(&claim.partition, at), &Counts::default()).await?;
            }
            counts.add(&outcome.counts);
            control.progress.add(&outcome.counts);
        }
    }
    Ok(counts)
}

/// Replays refused messages of the clean step.
///
/// # Errors
/// When the store fails.
pub async fn replay_clean(
    store: &Arc<dyn Store>,
    schema: &ResultSchema,
    mut sink: CleanSink,
    choice: &Choice,
    fixes: Option<&Fixes>,
    control: &Control,
) -> Result<Counts> {
    let scope = schema.clean_scope();
    let (claim, mut at) = claim(&**store, &scope).await?;
    let letters = with_fixes(read(&**store, &schema.dead_letters, choice).await?, fixes);
    sink.enrich(std::slice::from_ref(&claim)).await?;
    let mut counts = Counts::default();
    // Positions are unique within a topic only.
    let sources: HashSet<String> = letters.iter().map(|letter| letter.source.clone()).collect();
    for source in sources {
        let letters: Vec<DeadLetter> = letters.iter().filter(|letter| letter.source == source).cloned().collect();
        sink.set_source(source);
        for batch in letters.chunks(BATCH) {
            if control.is_stopping() {
                return Ok(counts);
            }
            let decoded = message::decode(&message_frame(batch)?)?;
            let mut unit = store.begin(&scope, std::slice::from_ref(&claim)).await?;
            let (applied, changes) = sink.apply(&mut *unit, &decoded).await?;
            let refused = decoded.rejected.iter().map(|message| {
                (
                    format!("{}-{}", message.partition, message.offset),
                    (message.reason.to_string(), message.detail.clone()),
                )
            });
            let outcome = Outcome { counts: applied, refused: refused.collect() };
            settle(&mut *unit, &schema.dead_letters, batch, &outcome).await?;
            at += 1;
            unit.commit(&reached(&claim.partition, at), &Counts::default()).await?;
            sink.committed(changes);
            counts.add(&outcome.counts);
            control.progress.add(&outcome.counts);
        }
    }
    Ok(counts)
}

fn reached(partition: &Partition, at: i64) -> Reached {
    [(partition.clone(), Position::at(at))].into()
}

fn record_frame(letters: &[DeadLetter]) -> Result<DataFrame> {
    let values: Vec<Option<&[u8]>> = letters.iter().map(|letter| letter.raw.as_deref()).collect();
    let records: Vec<i64> = letters.iter().map(|letter| letter.position.parse().unwrap_or_default()).collect();
    let columns = vec![
        Series::new(record_columns::VALUE.into(), values).into(),
        Series::new(record_columns::RECORD.into(), records).into(),
        Series::new(record_columns::POSITION.into(), vec![i64::MAX; letters.len()]).into(),
    ];
    Ok(DataFrame::new(letters.len(), columns)?)
}

fn message_frame(letters: &[DeadLetter]) -> Result<DataFrame> {
    let keys: Vec<Option<&[u8]>> = letters.iter().map(|letter| letter.key.as_deref()).collect();
    let values: Vec<Option<&[u8]>> = letters.iter().map(|letter| letter.raw.as_deref()).collect();
    let place = |letter: &DeadLetter| -> Option<(i32, i64)> {
        let (partition, offset) = letter.position.split_once('-')?;
        Some((partition.parse().ok()?, offset.parse().ok()?))
    };
    let places: Vec<(i32, i64)> = letters.iter().map(|letter| place(letter).unwrap_or_default()).collect();
    let columns = vec![
        Series::new(message_columns::KEY.into(), keys).into(),
        Series::new(message_columns::VALUE.into(), values).into(),
        Series::new(message_columns::PARTITION.into(), places.iter().map(|place| place.0).collect::<Vec<_>>()).into(),
        Series::new(message_columns::OFFSET.into(), places.iter().map(|place| place.1).collect::<Vec<_>>()).into(),
    ];
    Ok(DataFrame::new(letters.len(), columns)?)
}
