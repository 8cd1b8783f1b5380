//! Civil time: what is read is written again, and any moment has a date.
#![no_main]

use headrace_transforms::civil;
use libfuzzer_sys::fuzz_target;

// Eight bytes are a moment; the rest, or all where there are fewer, is a text.
fuzz_target!(|input: &[u8]| {
    let (moment, text) =
        input.split_first_chunk().map_or((0, input), |(moment, text)| (i64::from_le_bytes(*moment), text));
    if let Some(time) = civil::parse_timestamp(text) {
        assert_eq!(civil::timestamp_text(time).as_bytes(), text);
        assert_eq!(civil::hour_floor(time).rem_euclid(civil::HOUR_US), 0);
    }
    if let Some(date) = civil::parse_date(text) {
        assert_eq!(civil::date(civil::day_start(date)), date);
    }
    let date = civil::date(moment);
    assert!((1..=12).contains(&date.month) && (1..=31).contains(&date.day));
    assert!(civil::hour_of_day(moment) < 24 && civil::hour_floor(moment) <= moment);
    assert!(civil::timestamp_text(moment).len() >= 19);
});
