//! Timers of keys: which keys have to be looked at again when the join's watermark passes a minute.
//!
//! State: the keys of each minute, in the ledger. A minute is looked at once; its keys set their next timers themselves.

use std::collections::{BTreeMap, BTreeSet};

use headrace_core::Result;
use headrace_core::store::Unit;

use super::stream_state::{MINUTE_US, StreamState};

/// The state space.
const SPACE: &str = "timers";
/// Keys woken in one unit: those of further minutes follow in the next.
const TOGETHER: usize = 20_000;

/// Which timers ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Those of minutes that the watermark has passed.
    Passed,
    /// Those of the minute in which the watermark stands, too.
    Now,
}

/// What rang.
#[derive(Debug, Default)]
pub struct Woken {
    /// The minutes.
    pub minutes: BTreeSet<i64>,
    /// The keys, each once.
    pub keys: BTreeSet<i64>,
    /// How far time has come for keys; none where it stands still.
    pub watermark: Option<i64>,
}

/// Takes the keys whose time has come.
///
/// # Errors
/// When the store fails.
pub async fn ring(unit: &mut dyn Unit, stream: &mut StreamState, until: Until) -> Result<Woken> {
    let mut woken = Woken::default();
    let Some(watermark) = stream.join_watermark() else { return Ok(woken) };
    woken.watermark = Some(watermark);
    let limit = if until == Until::Now { watermark + MINUTE_US } else { watermark };
    let mut dropped = Vec::new();
    while let Some(&minute) = stream.timers.first() {
        if minute > limit || woken.keys.len() >= TOGETHER {
            break;
        }
        stream.timers.remove(&minute);
        woken.minutes.insert(minute);
        for segment in unit.read_state(SPACE, &[(minute / MINUTE_US, -1)]).await? {
            let keys = segment.blob.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes));
            woken.keys.extend(keys);
            dropped.push((segment.key, segment.sequence));
        }
    }
    if !dropped.is_empty() {
        unit.write_state(SPACE, Vec::new(), dropped).await?;
    }
    Ok(woken)
}

/// Sets timers.
///
/// # Errors
/// When the store fails.
pub async fn set(unit: &mut dyn Unit, stream: &mut StreamState, timers: BTreeMap<i64, Vec<i64>>) -> Result<()> {
    if timers.is_empty() {
        return Ok(());
    }
    stream.timers.extend(timers.keys());
    let blob = |keys: Vec<i64>| keys.into_iter().flat_map(i64::to_le_bytes).collect();
    let put = timers.into_iter().map(|(minute, keys)| (minute / MINUTE_US, blob(keys))).collect();
    unit.write_state(SPACE, put, Vec::new()).await
}
