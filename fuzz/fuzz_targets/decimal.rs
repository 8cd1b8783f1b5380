//! Reading decimal numbers: the grammar, and agreement of amounts, identifiers and doubles.
#![no_main]

use headrace_transforms::decimal::{MAX_IDENTIFIER, MAX_MICROS, Number};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let trimmed = text.trim_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
    let is_plain = trimmed.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E'));
    let double: Option<f64> = trimmed.parse().ok().filter(|_| is_plain);
    let number = Number::parse(text.as_bytes());
    assert_eq!(number.is_some(), double.is_some(), "{text:?}");
    let (Some(number), Some(double)) = (number, double) else { return };
    assert_eq!(number.to_f64(), Some(double).filter(|double| double.is_finite()));
    match number.micros() {
        Some(micros) => {
            assert!(micros.abs() <= MAX_MICROS);
            let near = double * 1e6;
            assert!((near - micros as f64).abs() <= near.abs() * 1e-12 + 0.51, "{text:?}: {micros}");
        }
        None => assert!(double.abs() > 0.999e12, "{text:?}"),
    }
    match number.identifier() {
        Ok(identifier) => {
            assert!((0..=MAX_IDENTIFIER).contains(&identifier));
            assert_eq!(identifier as f64, double, "{text:?}");
        }
        Err(error) => assert!(error.to_string() != "negative" || double <= 0.0, "{text:?}: {error}"),
    }
    assert!(!number.is_negative() || double <= 0.0, "{text:?}");
});
