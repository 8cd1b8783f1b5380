//! Time-based ids: text and keys lead back to the same id.
#![no_main]

use headrace_transforms::time_uuid;
use libfuzzer_sys::fuzz_target;

// Sixteen bytes are an id; the rest, or all where there are fewer, is a text.
fuzz_target!(|input: &[u8]| {
    let (id, text) = input.split_first_chunk().map_or(([0; 16], input), |(id, text)| (*id, text));
    if let Some(read) = time_uuid::parse(text) {
        assert!(time_uuid::format(&read).eq_ignore_ascii_case(text));
    }
    assert_eq!(time_uuid::parse(&time_uuid::format(&id)), Some(id));
    assert_eq!(time_uuid::from_time_key(&time_uuid::time_key(&id)), id);
    let tail = u128::from_be_bytes(id) as u64;
    assert_eq!(time_uuid::with_ticks(time_uuid::ticks(&id), time_uuid::version(&id), tail), id);
    let _ = time_uuid::event_time_us(&id);
});
