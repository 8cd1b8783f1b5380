//! Reads the members of a registration in one pass over plain JSON ([`json`]).
//!
//! Where a member counts, a whole number is plain without sign, point or exponent; what does not count is only checked.

use std::borrow::Cow;

use headrace_core::json::{self, Cursor, DEPTH};

use super::json::Field;
use super::registration::{Members, slot};

/// A whole number of so many digits fits.
const DIGITS: usize = 18;

/// The payload's members; none when the text is not plain, or no envelope with an object as payload.
pub(super) fn payload(text: &str) -> Option<Members<'_>> {
    let mut found = None;
    json::object(text, &mut |at, name| {
        if name != "payload" {
            return at.skip(DEPTH);
        }
        // The last one counts.
        let members = found.insert(Members::default());
        at.object(&mut |at, name| match slot(members, name) {
            Some(slot) => field(at).map(|field| *slot = field),
            None => at.skip(DEPTH),
        })
    })?;
    found
}

/// A member that counts.
fn field<'a>(at: &mut Cursor<'a>) -> Option<Field<'a>> {
    match at.byte()? {
        b'"' => at.string().map(|text| Field::Text(Cow::Borrowed(text))),
        b'n' => at.word("null").map(|()| Field::Null),
        b't' => at.word("true").map(|()| Field::Other),
        b'f' => at.word("false").map(|()| Field::Other),
        b'0'..=b'9' => {
            let digits = at.written_number()?;
            // Anything but digits does not parse.
            (digits.len() <= DIGITS).then(|| digits.parse().ok().map(Field::Whole))?
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::registration::{Envelope, Payload};
    use super::payload;
    use crate::edits::{edited, edits};
    use crate::scoring::simulate::Simulation;

    /// Whether the reader of all JSON finds the same wherever something is found.
    fn agrees(text: &str) -> bool {
        let Some(found) = payload(text) else { return true };
        let read: Envelope<'_> = serde_json::from_str(text).unwrap();
        matches!(read.payload, Payload::Object(members) if *members == found)
    }

    #[test]
    fn what_senders_write_is_plain() {
        let simulation = Simulation { seed: 1, varied: true, defects: 0.0, first_user: 1 };
        for number in 0..200 {
            let value = simulation.message(number, 1_737_000_000_000).value.unwrap();
            let text = String::from_utf8(value).unwrap();
            assert!(payload(&text).is_some() && agrees(&text), "{text}");
        }
        let spaced =
            "\n{ \"payload\" : {\t\"user_id\" : 7 , \"other\": [ { } , [ 1.5e3 ] ] } , \"schema\" : null }\r\n";
        assert!(payload(spaced).is_some() && agrees(spaced));
        for other in [
            "",
            "{}",
            "5",
            r#"{"payload":"{}"}"#,
            r#"{"payload":null}"#,
            r#"{"payload":{"id":-0}}"#,
            r#"{"payload":{"id":1.0}}"#,
            r#"{"payload":{"id":01}}"#,
            r#"{"payload":{"id":"\n"}}"#,
            r#"{"payload":{}}}"#,
            r#"{"payload":{},}"#,
            "{\"payload\":{\"a\":\"\t\"}}",
            r#"{"payload":{"id":1234567890123456789}}"#,
            r#"{"payload":{"id":{}}}"#,
            r#"{"payload":{"a":[[[[[[[[[1]]]]]]]]]}}"#,
        ] {
            assert!(payload(other).is_none(), "{other}");
        }
    }

    proptest! {
        /// Messages of the simulator, broken ones too, with some bytes cut out and others put in.
        #[test]
        fn what_is_found_is_there(
            seed in any::<u64>(),
            edits in edits(),
        ) {
            let simulation = Simulation { seed, varied: true, defects: 0.3, first_user: 1 };
            let value = simulation.message(seed % 1_000, 1_737_000_000_000).value.unwrap_or_default();
            let Ok(text) = String::from_utf8(value) else { return Ok(()) };
            let text = edited(text, edits);
            prop_assert!(agrees(&text), "{text}");
        }

        #[test]
        fn what_is_found_in_small_objects_is_there(
            text in r#"\{("payload":\{("(id|age|platform)":("[a-z]{0,9}"|[0-9]{1,3}|-?[0-9.e]{1,4}|null|true|\[[0-9,]{0,3}\]),?){0,3}\},?|"[a-z]":[0-9{}\[\]"]{0,4},?){1,3}\}"#
        ) {
            prop_assert!(agrees(&text), "{text}");
        }
    }
}
