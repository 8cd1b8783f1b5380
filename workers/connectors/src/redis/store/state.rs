//! State: segments by key and sequence, in one hash for each space, beside a hash of the sequences of each key.

use headrace_core::store::Segment;
use headrace_core::{Error, Result};

use super::Place;

/// So many fields are asked for at once.
const TOGETHER: usize = 500;

/// Reads segments behind a sequence, by key and sequence.
///
/// # Errors
/// When the server fails, or another unit committed meanwhile.
pub(super) async fn read(place: &Place, scope: &str, space: &str, wanted: &[(i64, i64)]) -> Result<Vec<Segment>> {
    let context = format!("cannot read state `{space}` of `{scope}` at {}", place.link.options.place);
    let [segments, lists] = place.keys.state(scope, space);
    let mut wanted = wanted.to_vec();
    wanted.sort_unstable();
    let mut found = Vec::new();
    for part in wanted.chunks(TOGETHER) {
        let keys: Vec<i64> = part.iter().map(|(key, _)| *key).collect();
        let sequences: Vec<Option<String>> = get(place, &context, &lists, &keys).await?;
        for ((key, after), list) in part.iter().zip(sequences) {
            let mut sequences = numbers(&context, list.as_deref().unwrap_or_default())?;
            sequences.retain(|sequence| sequence > after);
            sequences.sort_unstable();
            found.extend(sequences.into_iter().map(|sequence| (*key, sequence)));
        }
    }
    let mut read = Vec::with_capacity(found.len());
    for part in found.chunks(TOGETHER) {
        let fields: Vec<String> = part.iter().map(|(key, sequence)| format!("{key}:{sequence}")).collect();
        let blobs: Vec<Option<Vec<u8>>> = get(place, &context, &segments, &fields).await?;
        for ((key, sequence), blob) in part.iter().zip(blobs) {
            let gone = || Error::external(&context, "another unit has taken the turn and committed meanwhile");
            read.push(Segment { key: *key, sequence: *sequence, blob: blob.ok_or_else(gone)? });
        }
    }
    Ok(read)
}

async fn get<T: redis::FromRedisValue>(
    place: &Place,
    context: &str,
    key: &str,
    fields: &[impl redis::ToRedisArgs],
) -> Result<T> {
    let mut get = redis::cmd("HMGET");
    get.arg(key).arg(fields);
    place.link.ask(context, &None, get).await
}

fn numbers(context: &str, list: &str) -> Result<Vec<i64>> {
    let number = |text: &str| text.parse().map_err(|_| Error::data(format!("{context}: {text:?} is no sequence")));
    list.split(',').filter(|text| !text.is_empty()).map(number).collect()
}
