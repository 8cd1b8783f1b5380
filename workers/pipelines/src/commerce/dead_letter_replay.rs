//! Puts refused events through the stream again, as they are or corrected: same checks, same de-duplication, same tables and archive.
//!
//! Delivery: what a letter becomes, the counters, and that it is settled are one unit of the stream's own scope, so that units of a
//! stream that runs meanwhile come before or behind it. How a letter counts once is in [`crate::dead_letters::retaking`].
//! An event keeps its place in its topic and its arrival. It moves no watermark, closes no minute and wakes no key: that is for the
//! stream. So it may come late, as any event may, and no alert comes of it before the stream goes on.
//! Memory: the letters, and a batch.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use headrace_core::batch::message_columns::TOPIC;
use headrace_core::dead_letter::DeadLetter;
use headrace_core::failpoint::{self, Point};
use headrace_core::ledger_sink::UnitWork;
use headrace_core::position::Reached;
use headrace_core::store::{Store, Unit};
use headrace_core::{Control, Counts, Result};
use headrace_transforms::civil::SECOND_US;
use polars::prelude::{BooleanChunked, DataFrame, NamedFrom, NewChunkedArray, Series};

use super::accept::accept;
use super::archive::Archive;
use super::decode::{ARRIVAL_US, Columns, Decoded, Refused, decode};
use super::quality::Quality;
use super::reason::Reason;
use super::schema::Schema;
use super::stream_work::{Changes, ID_HORIZON, StreamWork, read_stream, upsert};
use super::timers::Woken;
use crate::dead_letters::choice::{Choice, Fixes, message_frame, read};
use crate::dead_letters::retaking::{Retake, Retaking};
use crate::dead_letters::settling::Outcome;
use crate::reading::Pages;

/// By source and position.
type Arrivals = HashMap<(String, String), i64>;

/// The stream, put to letters.
struct Restreaming {
    work: StreamWork,
    topic: String,
    arrivals: Arrivals,
}

impl Restreaming {
    /// When a letter's event arrived; when it was refused, where an older version did not keep that.
    fn arrival_us(&self, letter: &DeadLetter) -> i64 {
        let key = (letter.source.clone(), letter.position.clone());
        self.arrivals.get(&key).copied().unwrap_or(letter.failed_at_us)
    }

    fn frame(&self, letters: &[DeadLetter]) -> Result<DataFrame> {
        let mut frame = message_frame(letters)?;
        let arrivals: Vec<i64> = letters.iter().map(|letter| self.arrival_us(letter)).collect();
        frame.with_column(Series::new(ARRIVAL_US.into(), arrivals).into())?;
        frame.with_column(Series::new(TOPIC.into(), vec![self.topic.as_str(); letters.len()]).into())?;
        Ok(frame)
    }
}

#[async_trait]
impl UnitWork<Decoded> for Restreaming {
    type Changes = Changes;

    fn scope(&self) -> String {
        self.work.scope()
    }

    async fn write(&mut self, unit: &mut dyn Unit, decoded: &Decoded, at: &Reached) -> Result<(Counts, Changes)> {
        self.work.write(unit, decoded, at).await
    }

    fn committed(&mut self, changes: Changes) {
        self.work.committed(changes);
    }

    fn forget(&mut self) {
        self.work.forget();
    }
}

#[async_trait]
impl Retake<Decoded> for Restreaming {
    fn come_from(&mut self, source: String) {
        self.topic = source;
    }

    async fn retake(&mut self, unit: &mut dyn Unit, letters: &[DeadLetter]) -> Result<(Outcome, Changes)> {
        failpoint::before(Point::Decode)?;
        let (_, stream) = read_stream(unit).await?;
        let decoded = remembered(self.frame(letters)?, stream.newest_us())?;
        failpoint::after(Point::Decode)?;
        let before = letters.iter().filter_map(|letter| Some((self.arrival_us(letter), Reason::of(&letter.reason)?)));
        let before: Vec<(i64, Reason)> = before.collect();
        self.work.apply_again(unit, &decoded, before).await
    }
}

impl StreamWork {
    /// Writes what events become that were refused before, for the reasons given with their arrivals; not those refused again.
    async fn apply_again(
        &mut self,
        unit: &mut dyn Unit,
        decoded: &Decoded,
        before: Vec<(i64, Reason)>,
    ) -> Result<(Outcome, Changes)> {
        let now_us = headrace_core::clock::now_us();
        let (state, mut stream) = read_stream(unit).await?;
        let verdicts = self.ids.check(unit, &decoded.ids).await?;
        let accepted = accept(decoded, &verdicts)?;
        let judgement = stream.judge_again(decoded, &accepted.rows)?;
        self.write_sums(unit, decoded, &judgement, &stream).await?;
        let nothing_rings = Woken::default();
        let (rows, funnel) = self.join(unit, decoded, &judgement, &mut stream, nothing_rings).await?;
        let mut quality = Quality::of(decoded, &accepted, &judgement, rows.pairs.len())?;
        quality.settle(before.into_iter());
        upsert(unit, &self.schema.quality_per_minute, &quality.rows()?).await?;
        self.write_late(unit, decoded, &judgement).await?;
        let ids = self.keep(unit, decoded, &accepted, &verdicts, &stream, now_us).await?;
        state.write(unit, vec![(0, Some(stream.to_bytes()))]).await?;
        let refused = decoded.refused.iter().chain(&accepted.conflicting).map(|event: &Refused| {
            let why = (event.refusal.reason.as_str().to_owned(), event.refusal.detail.clone());
            (format!("{}-{}", event.place.partition, event.place.offset), why)
        });
        Ok((Outcome { counts: quality.counts, refused: refused.collect() }, Changes { ids, funnel }))
    }
}

/// Checks events. Those of a time whose ids are forgotten are refused: the same event may have been counted since it was refused.
fn remembered(frame: DataFrame, newest_us: Option<i64>) -> Result<Decoded> {
    let decoded = decode(frame, Columns::All)?;
    let Some(newest_us) = newest_us else { return Ok(decoded) };
    let seconds = i64::try_from(ID_HORIZON.as_secs()).unwrap_or(i64::MAX);
    let oldest = newest_us.div_euclid(SECOND_US).saturating_sub(seconds);
    let times = decoded.rows.column("timestamp")?.i64()?;
    let forgotten: Vec<usize> = (0..decoded.kinds.len())
        .filter(|row| times.get(*row).is_some_and(|time_us| time_us.div_euclid(SECOND_US) < oldest))
        .collect();
    if forgotten.is_empty() {
        return Ok(decoded);
    }
    let mut is_known = vec![true; decoded.raw.height()];
    forgotten.iter().for_each(|row| is_known[decoded.messages[*row]] = false);
    let mut known = decode(decoded.raw.filter(&BooleanChunked::from_slice("known".into(), &is_known))?, Columns::All)?;
    for row in forgotten {
        let hours = seconds / 3_600;
        let refusal = Reason::TooOld.because(format!(
            "more than {hours} hours before the newest event: the ids of that time are forgotten, and it may have been counted since"
        ));
        known.refused.push(decoded.refuse(row, refusal)?);
    }
    Ok(known)
}

/// The arrivals of letters.
async fn arrivals(store: &dyn Store, schema: &Schema, letters: &[DeadLetter]) -> Result<Arrivals> {
    let mut arrivals: Arrivals =
        letters.iter().map(|letter| ((letter.source.clone(), letter.position.clone()), letter.failed_at_us)).collect();
    let mut pages = Pages::new(store, &schema.dead_letter_arrivals, &["source", "position", "arrived_at"]);
    while let Some(page) = pages.next().await? {
        let (sources, positions) = (page.column("source")?.str()?, page.column("position")?.str()?);
        let times = page.column("arrived_at")?.i64()?;
        for row in 0..page.height() {
            let key = |text: Option<&str>| text.unwrap_or_default().to_owned();
            if let (Some(arrival), Some(time_us)) =
                (arrivals.get_mut(&(key(sources.get(row)), key(positions.get(row)))), times.get(row))
            {
                *arrival = time_us;
            }
        }
    }
    Ok(arrivals)
}

/// Replays refused events.
///
/// # Errors
/// When the store fails.
pub async fn replay(
    store: &Arc<dyn Store>,
    schema: &Schema,
    archive: Option<Archive>,
    choice: &Choice,
    fixes: Option<&Fixes>,
    control: &Control,
) -> Result<Counts> {
    let table = &schema.dead_letters;
    let retaking = Retaking::claim(&**store, table, schema.scope(), control).await?;
    failpoint::before(Point::Read)?;
    let letters = read(&**store, table, choice).await?;
    failpoint::after(Point::Read)?;
    let arrivals = arrivals(&**store, schema, &letters).await?;
    let work = StreamWork::new(store.clone(), schema.clone(), String::new(), None, archive);
    retaking.run(&mut Restreaming { work, topic: String::new(), arrivals }, letters, fixes).await
}
