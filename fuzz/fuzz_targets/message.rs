//! Decoding a message: an event or a refusal, whatever its bytes.
#![no_main]

use headrace_fuzz::message_frame;
use headrace_fuzz::recruitment::message::{decode, place_id};
use headrace_transforms::time_uuid;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let decoded = decode(&message_frame(&[Some(bytes), None])).expect("any message can be judged");
    assert_eq!(decoded.ids.len() + decoded.rejected.len(), 2);
    assert_eq!(decoded.events.height(), decoded.ids.len());
    if !decoded.ids.is_empty() {
        let times = decoded.events.column("ts").and_then(|times| times.i64().cloned()).expect("event times");
        let time = times.get(0).expect("an event has a time");
        assert!(time_uuid::is_time_uuid(&place_id("topic", 0, 0, time)));
    }
});
