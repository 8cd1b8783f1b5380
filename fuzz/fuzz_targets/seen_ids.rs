//! Blobs of seen ids: damaged ones are refused or harmless, and whole ones know their ids.
#![no_main]

use headrace_transforms::deduplicate::{Batch, Seen, Segment, Verdict, hour_of};
use headrace_transforms::time_uuid;
use libfuzzer_sys::fuzz_target;

// The first byte says how many ids follow; the rest is the blob.
fuzz_target!(|input: &[u8]| {
    let Some((&count, rest)) = input.split_first() else { return };
    let (ids, blob) = rest.split_at(rest.len().min(usize::from(count) * 16));
    let ids: Vec<[u8; 16]> = ids.as_chunks().0.to_vec();
    let blob = blob.to_vec();
    known_ids_are_known(&ids);
    any_blob_is_harmless::<0>(&ids, blob.clone());
    any_blob_is_harmless::<16>(&ids, blob);
});

/// Makes ids time-based.
fn time_based(ids: &[[u8; 16]]) -> Vec<[u8; 16]> {
    ids.iter()
        .map(|id| time_uuid::with_ticks(time_uuid::ticks(id), 1, 0b10 << 62 | u128::from_be_bytes(*id) as u64 >> 2))
        .collect()
}

fn known_ids_are_known(ids: &[[u8; 16]]) {
    let ids = time_based(ids);
    let batch = Batch::new(ids.iter().map(|id| (*id, [])));
    let mut seen = Seen::<0>::new(1 << 20);
    for hour in seen.missing(batch.hours()) {
        seen.load(hour, Vec::new());
    }
    let verdicts = seen.check(&batch).expect("its hours are loaded");
    let changes = seen.changes(&batch, &verdicts, 1).expect("its hours are loaded");
    let mut again = Seen::<0>::new(1 << 20);
    for change in &changes {
        let stored = Segment::from_blob(change.put.blob().to_vec()).expect("what was written can be read");
        again.load(change.hour, vec![(1, stored)]);
    }
    let verdicts = again.check(&batch).expect("its hours are loaded");
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Seen(_))));
}

fn any_blob_is_harmless<const W: usize>(ids: &[[u8; 16]], blob: Vec<u8>) {
    let Ok(segment) = Segment::<W>::from_blob(blob.clone()) else { return };
    assert_eq!(segment.blob(), blob);
    let ids = time_based(ids);
    let Some(hour) = ids.first().map(hour_of) else { return };
    assert_eq!(segment.ids(hour).count(), segment.len());
    let batch = Batch::new(ids.iter().filter(|id| hour_of(id) == hour).map(|id| (*id, [0; W])));
    let mut seen = Seen::<W>::new(1 << 20);
    seen.missing(batch.hours());
    seen.load(hour, vec![(1, segment)]);
    let verdicts = seen.check(&batch).expect("its hour is loaded");
    let changes = seen.changes(&batch, &verdicts, 2).expect("its hour is loaded");
    seen.apply(changes);
    let verdicts = seen.check(&batch).expect("its hour is loaded");
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Seen(_))));
}
