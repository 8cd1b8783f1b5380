//! The end of a run: keys whose time has come are looked at, and what waits goes to the archive.
//!
//! With it the tables say the same however the stream was cut. It may be repeated at any time.

use headrace_core::keyed::Keyed;
use headrace_core::position::Reached;
use headrace_core::store::Store;
use headrace_core::{Counts, Result, clock};

use super::archive::Archive;
use super::decode::Decoded;
use super::schema::{ABANDONED_TOPIC, PEAKS_TOPIC, Schema};
use super::stream_state::{Judgement, StreamState};
use super::stream_work::{Messages, SPACE, close_minutes, funnel_state, join, upsert};
use super::sums::Sums;
use super::timers::{self, Until};
use super::{alerts, peaks};

/// Looks at all keys whose time has come by now, and closes the minutes that are open if that is wanted.
///
/// # Errors
/// When the store fails, or what is stored is damaged.
pub async fn settle(store: &dyn Store, schema: &Schema, messages: Option<&Messages>, close: bool) -> Result<()> {
    let mut keyed = funnel_state();
    for until in [Until::Passed, Until::Now] {
        loop {
            let mut unit = store.begin(&schema.scope(), &[]).await?;
            let state = Keyed::read(&mut *unit, SPACE, [0]).await?;
            let Some(mut stream) = state.get(0).map(StreamState::from_bytes).transpose()? else { return Ok(()) };
            let mut closed = stream.stop_waiting(clock::now_us());
            let woken = timers::ring(&mut *unit, &mut stream, until).await?;
            let is_last = woken.minutes.is_empty();
            let mut joined = None;
            if !is_last {
                let (none, judgement) = (Decoded::none()?, Judgement::default());
                let (rows, changes) =
                    join(&mut *unit, schema, &none, &judgement, &mut stream, &mut keyed, woken).await?;
                joined = Some(changes);
                if let Some(messages) = messages {
                    messages.send(&mut *unit, ABANDONED_TOPIC, &alerts::abandoned(&rows.abandoned)?).await?;
                }
            }
            if close && until == Until::Now {
                closed.extend(stream.close_all());
            }
            close_minutes(&mut *unit, schema, &closed).await?;
            let found = peaks::update(&mut *unit, &Sums::default(), &closed, stream.first_minute_us).await?;
            upsert(&mut *unit, &schema.demand_peaks, &peaks::frame(&found)?).await?;
            if let Some(messages) = messages {
                messages.send(&mut *unit, PEAKS_TOPIC, &alerts::peaks(&found)?).await?;
            }
            if !is_last || !closed.is_empty() {
                state.write(&mut *unit, vec![(0, Some(stream.to_bytes()))]).await?;
                unit.commit(&Reached::new(), &Counts::default()).await?;
                joined.into_iter().for_each(|changes| keyed.committed(changes));
            }
            // The minute in which the watermark stands is set again by keys that are not due yet.
            if is_last || until == Until::Now {
                break;
            }
        }
    }
    Ok(())
}

/// Settles, and brings all that waits to the archive.
///
/// # Errors
/// As [`settle`], and when the lake fails.
pub async fn finish(
    store: &dyn Store,
    schema: &Schema,
    messages: Option<&Messages>,
    archive: Option<&mut Archive>,
    close: bool,
) -> Result<usize> {
    settle(store, schema, messages, close).await?;
    match archive {
        Some(archive) => archive.flush(store, &schema.scope(), clock::now_us()).await,
        None => Ok(0),
    }
}
