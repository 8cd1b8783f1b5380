//! Validating a record: a row or a refusal, and the row's message is an event of the same id.
#![no_main]

use headrace_fuzz::recruitment::{message, record};
use headrace_fuzz::{message_frame, record_frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = record::check_header(bytes);
    let parsed = record::parse(&record_frame(bytes)).expect("any record can be judged");
    assert_eq!((parsed.ids.len() + parsed.rejected.len(), parsed.rows.height()), (1, parsed.ids.len()));
    let Some(id) = parsed.ids.first() else {
        assert_eq!(parsed.rejected[0].raw, bytes);
        return;
    };
    let messages = message::encode(&parsed.rows).expect("a row has a message");
    let values = messages.column("value").and_then(|values| values.binary().cloned()).expect("a value");
    let decoded = message::decode(&message_frame(&[values.get(0)])).expect("any message can be judged");
    assert_eq!(decoded.rejected, []);
    assert_eq!(decoded.ids, [Some(*id)]);
});
