//! Examples, and the laws against plain 128-bit arithmetic.

use super::*;
use proptest::prelude::*;

fn micros(text: &str) -> Option<i64> {
    Number::parse(text.as_bytes()).unwrap().micros()
}

fn identifier(text: &str) -> Result<i64, IdentifierError> {
    Number::parse(text.as_bytes()).unwrap().identifier()
}

fn two_decimals(micros: i64) -> String {
    let mut text = Vec::new();
    write_cents(cents(micros), &mut text);
    String::from_utf8(text).unwrap()
}

#[test]
fn tells_numbers_from_other_text() {
    for text in ["1", "+1", "-1.", ".5", "1.5e3", "1E-3", " 7.0\t", "00", "1e+0"] {
        assert!(Number::parse(text.as_bytes()).is_some(), "{text}");
    }
    for text in [
        "", " ", ".", "-", "+.", "e5", "1e", "1e+", "NaN", "inf", "1,5", "1_000", "0x1", "1 2", "--1", "1.2.3",
        "\u{661}",
    ] {
        assert!(Number::parse(text.as_bytes()).is_none(), "{text}");
    }
}

#[test]
fn scales_exactly() {
    assert_eq!(micros("2.005"), Some(2_005_000));
    assert_eq!(micros("0.0000005"), Some(1));
    assert_eq!(micros("-0.0000005"), Some(-1));
    assert_eq!(micros("0.00000049999999999999999"), Some(0));
    assert_eq!(micros("1e-6"), Some(1));
    assert_eq!(micros("1e-7"), Some(0));
    assert_eq!(micros("5e-7"), Some(1));
    assert_eq!(micros("1.88e2"), Some(188_000_000));
    assert_eq!(micros("000000000000000000000001"), Some(1_000_000));
    assert_eq!(micros("999999999999.999999"), Some(MAX_MICROS));
    assert_eq!(micros("999999999999.9999995"), None);
    assert_eq!(micros("1e12"), None);
    assert_eq!(micros("1e400"), None);
    assert_eq!(micros("1e99999999999999999999999"), None);
    assert_eq!(micros("1e-99999999999999999999999"), Some(0));
    assert_eq!(micros("0e99999999999999999999999"), Some(0));
}

#[test]
fn reads_identifiers_exactly() {
    for text in ["188", "188.0", "1.88e2", "+188.", "18800e-2", "000188"] {
        assert_eq!(identifier(text), Ok(188), "{text}");
    }
    assert_eq!(identifier("-0.0"), Ok(0));
    assert_eq!(identifier("9007199254740992"), Ok(1 << 53));
    assert_eq!(identifier("9007199254740993"), Err(IdentifierError::TooLarge));
    assert_eq!(identifier("1e17"), Err(IdentifierError::TooLarge));
    assert_eq!(identifier("-1"), Err(IdentifierError::Negative));
    assert_eq!(identifier("10.5"), Err(IdentifierError::Fractional));
    assert_eq!(identifier("1.0000000000000000000000001"), Err(IdentifierError::Fractional));
    assert_eq!(identifier("1e-1"), Err(IdentifierError::Fractional));
}

#[test]
fn tells_negative_zero_from_negative() {
    let negative = |text: &str| Number::parse(text.as_bytes()).unwrap().is_negative();
    assert!(negative("-1e-9"));
    assert!(!negative("-0.00"));
    assert!(!negative("1"));
}

#[test]
fn rounds_money_half_away_from_zero() {
    assert_eq!(two_decimals(2_005_000), "2.01");
    assert_eq!(two_decimals(-2_005_000), "-2.01");
    assert_eq!(two_decimals(2_004_999), "2.00");
    assert_eq!(two_decimals(-50_000), "-0.05");
    assert_eq!(two_decimals(MAX_MICROS), "1000000000000.00");
    assert_eq!(average_cents(2_000_000, 3), Some(67));
    assert_eq!(average_cents(2_005_000, 5), Some(40));
    assert_eq!(average_cents(2_005_000, 1), Some(201));
    assert_eq!(average_cents(0, 4), Some(0));
    assert_eq!(average_cents(0, 0), None);
}

proptest! {
    #[test]
    fn micros_agree_with_wide_arithmetic(mantissa in -10i128.pow(20)..10i128.pow(20), decimals in 0u32..22) {
        let digits = format!("{:0width$}", mantissa.abs(), width = decimals as usize + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals as usize);
        let sign = if mantissa < 0 { "-" } else { "" };
        let scale = 10i128.pow(decimals);
        let exact = (mantissa.abs() * 1_000_000 * 2 + scale) / (2 * scale);
        let expected = (exact <= i128::from(MAX_MICROS)).then_some((exact * mantissa.signum()) as i64);
        prop_assert_eq!(micros(&format!("{sign}{whole}.{fraction}")), expected);
        prop_assert_eq!(micros(&format!("{mantissa}e-{decimals}")), expected);
    }

    #[test]
    fn identifiers_agree_with_wide_arithmetic(value in 0i128..1 << 56, zeros in 0usize..4) {
        let expected = if value > 1 << 53 { Err(IdentifierError::TooLarge) } else { Ok(value as i64) };
        prop_assert_eq!(identifier(&format!("{value}.{:0<zeros$}", "")), expected);
        prop_assert_eq!(identifier(&format!("{value}{:0<zeros$}e-{zeros}", "")), expected);
    }

    #[test]
    fn doubles_are_the_nearest(value: f64) {
        let text = format!("{value:e}");
        let parsed = Number::parse(text.as_bytes()).and_then(|number| number.to_f64());
        prop_assert_eq!(parsed, value.is_finite().then_some(value));
    }

    #[test]
    fn integers_are_written_as_the_library_does(value: i64) {
        let mut text = Vec::new();
        write_integer(value, &mut text);
        prop_assert_eq!(String::from_utf8(text).unwrap(), value.to_string());
    }

    #[test]
    fn averages_are_within_half_a_cent(sum in -MAX_MICROS..MAX_MICROS, items in 1i64..1_000_000) {
        let average = i128::from(average_cents(sum, items).unwrap());
        let error = (average * 10_000 * i128::from(items) - i128::from(sum)).abs();
        prop_assert!(2 * error <= 10_000 * i128::from(items));
    }
}
