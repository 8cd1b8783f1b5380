//! Finds a whole number in a JSON object, without reading the rest as values.
//!
//! Every document is looked at before it is written. Those of ours are plain ([`json`]); on any other this gives up, and the reader of
//! all JSON decides.

use headrace_core::json;

/// The whole number under a name; none where there is none, or the text is not plain.
pub(super) fn whole_number(text: &str, name: &str) -> Option<i64> {
    let mut found = None;
    json::object(text, &mut |at, member| {
        let value = at.written()?;
        if member == name {
            // The last one counts; one that is no whole number is for the other reader.
            found = Some(value.parse().ok().filter(|_| value != "-0")?);
        }
        Some(())
    })?;
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::whole_number;

    #[test]
    fn plain_objects_are_found_and_others_left() {
        let found = |text| whole_number(text, "version");
        for (text, version) in [
            (r#"{"version":5}"#, 5),
            (r#"{"a":"ü","b":[],"c":["x",1.5e-3,true],"version":-7,"d":null}"#, -7),
            (r#"{"version":1,"version":9007199254740991}"#, 9_007_199_254_740_991),
        ] {
            assert_eq!(found(text), Some(version), "{text}");
        }
        let others = [
            "",
            "5",
            "{}",
            "[]",
            r#"{"version":5"#,
            r#"{"version":5}}"#,
            r#"{"version":5,}"#,
            r#"{"version":05}"#,
            r#"{"version":-0}"#,
            r#"{"version":5.0}"#,
            r#"{"version":"5"}"#,
            r#"{"version":5}x"#,
            r#"{"version":1e3}"#,
            r#"{"version":5,"a":"\n"}"#,
            r#"{"version":99999999999999999999}"#,
            r#"{"a":{"version":5}}"#,
            r#"{"version":5,"version":"6"}"#,
            r#"{"version":"x","version":6}"#,
            "{\"version\":5,\"a\":\"\u{1}\"}",
            r#"{"version":5,"a":[1,]}"#,
            r#"{'version':5}"#,
        ];
        for text in others {
            assert_eq!(found(text), None, "{text}");
        }
    }

    proptest! {
        /// Whatever the text, what is found is what a reader of all JSON finds.
        #[test]
        fn what_is_found_is_there(text in r#"\{("v":(5|-?[0-9]{1,3}|"x"|[0-9.e+-]{1,4}|\[?[0-9,tru]{0,5}\]?),?|"[a\\]{0,2}":[0-9a-z"\[\]]{0,4},?){1,4}\}"#) {
            if let Some(number) = whole_number(&text, "v") {
                let read: serde_json::Value = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(read["v"].as_i64(), Some(number));
            }
        }
    }
}
