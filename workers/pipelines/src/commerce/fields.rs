//! Fields of an event, read from the JSON text they were written as: ids, event times, prices.
//!
//! Numbers are never read as binary floating point: what was written decides.

use headrace_transforms::civil::{self, HOUR_US, SECOND_US};

/// Digits after the point of prices.
pub const PRICE_SCALE: u32 = 4;
/// The highest price, scaled.
const HIGHEST_PRICE: i128 = 1_000_000_000 * 10_000;
/// Bytes of the longest id or category that is kept.
pub const LONGEST_TEXT: usize = 200;

/// What a member's text holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean,
    /// A number, as it was written.
    Number(&'a str),
    /// A text in quotes, as it was written.
    Quoted(&'a str),
    /// An object or an array.
    Nested,
}

/// Says what valid JSON text of a value holds.
pub fn shape(json: &str) -> Shape<'_> {
    match json.as_bytes().first() {
        Some(b'n') => Shape::Null,
        Some(b't' | b'f') => Shape::Boolean,
        Some(b'"') => Shape::Quoted(json),
        Some(b'{' | b'[') => Shape::Nested,
        _ => Shape::Number(json),
    }
}

/// The canonical text of a whole number as JSON writes it; none for one with a fraction or an exponent.
pub fn whole_number(number: &str) -> Option<&str> {
    let digits = number.strip_prefix('-').unwrap_or(number);
    let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // The only whole number that JSON can write in two ways.
    is_whole.then_some(if number == "-0" { "0" } else { number })
}

/// Reads a price exactly, scaled by 10^4; an error says what is wrong.
///
/// # Errors
/// What is wrong with it.
pub fn price(number: &str) -> Result<i64, &'static str> {
    const RANGE: &str = "not within 0 and 1000000000";
    let is_negative = number.starts_with('-');
    let unsigned = number.strip_prefix('-').unwrap_or(number);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes()).map(|digit| digit - b'0');
    let Some(first) = digits().position(|digit| digit != 0) else { return Ok(0) };
    let last = whole.len() + fraction.len() - 1 - digits().rev().take_while(|digit| *digit == 0).count();
    // An exponent that does not fit is beyond all prices, upwards or downwards.
    let exponent: i64 = exponent.parse().unwrap_or(if exponent.starts_with('-') { -1_000_000 } else { 1_000_000 });
    let power = |place: usize| whole.len() as i64 - 1 - place as i64 + exponent;
    if is_negative || power(first) > 9 {
        return Err(RANGE);
    }
    if power(last) < -i64::from(PRICE_SCALE) {
        return Err("not exact in four decimals");
    }
    let significant = digits().take(last + 1).skip(first).fold(0_i128, |value, digit| value * 10 + i128::from(digit));
    let zeros = u32::try_from(power(last) + i64::from(PRICE_SCALE)).unwrap_or_default();
    let scaled = significant * 10_i128.pow(zeros);
    if scaled > HIGHEST_PRICE { Err(RANGE) } else { i64::try_from(scaled).map_err(|_| RANGE) }
}

/// Reads an event time: `YYYY-MM-DD`, `T` or one blank, `HH:MM:SS`, up to nine digits of a fraction (microseconds count), and
/// `Z`, `±HH:MM` or nothing, which means UTC. None where it does not follow that or does not exist.
pub fn timestamp(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let (seconds, rest) = bytes.split_at_checked(19)?;
    if !matches!(seconds[10], b'T' | b' ') || seconds.starts_with(b"0000") {
        return None;
    }
    let mut plain = [0; 19];
    plain.copy_from_slice(seconds);
    plain[10] = b' ';
    let time = civil::parse_timestamp(&plain)?;
    let (fraction, zone) = fraction_us(rest)?;
    Some(time + fraction - offset_us(zone)?)
}

fn fraction_us(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = rest.strip_prefix(b".") else { return Some((0, rest)) };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&count) {
        return None;
    }
    let micros = (0..6).fold(0, |value, place| {
        value * 10 + digits.get(place).filter(|_| place < count).map_or(0, |digit| i64::from(digit - b'0'))
    });
    Some((micros, &digits[count..]))
}

fn offset_us(zone: &[u8]) -> Option<i64> {
    match *zone {
        [] | [b'Z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] if [h1, h2, m1, m2].iter().all(u8::is_ascii_digit) => {
            let number = |tens: u8, ones: u8| i64::from(tens - b'0') * 10 + i64::from(ones - b'0');
            let (hours, minutes) = (number(h1, h2), number(m1, m2));
            let offset = hours * HOUR_US + minutes * 60 * SECOND_US;
            let is_fine = minutes < 60 && offset <= 14 * HOUR_US;
            is_fine.then_some(if sign == b'-' { -offset } else { offset })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{price, timestamp, whole_number};

    #[test]
    fn prices_are_exact() {
        for (text, scaled) in [
            ("0", 0),
            ("-0.0", 0),
            ("1.5", 15_000),
            ("1.50000", 15_000),
            ("0.0001", 1),
            ("1e2", 1_000_000),
            ("12.5E-3", 125),
            ("1000000000", 10_000_000_000_000),
            ("0.1e10", 10_000_000_000_000),
            ("18.005", 180_050),
            ("0e999999999999999999999", 0),
        ] {
            assert_eq!(price(text), Ok(scaled), "{text}");
        }
        for text in
            ["1.00001", "-1", "-0.1", "1000000000.0001", "1e10", "1e-5", "1e99999999999999999999", "2e-99999999999"]
        {
            assert!(price(text).is_err(), "{text}");
        }
    }

    #[test]
    fn whole_numbers_have_one_text() {
        assert_eq!(whole_number("17"), Some("17"));
        assert_eq!(whole_number("-0"), Some("0"));
        assert_eq!(whole_number("123456789012345678901234567890"), Some("123456789012345678901234567890"));
        assert_eq!((whole_number("17.0"), whole_number("1e2"), whole_number("-")), (None, None, None));
    }

    #[test]
    fn event_times_follow_the_grammar() {
        let midnight = 1_741_564_800_000_000;
        for (text, at) in [
            ("2025-03-10T00:00:00", 0),
            ("2025-03-10 00:00:00.5", 500_000),
            ("2025-03-10T00:00:00.123456789Z", 123_456),
            ("2025-03-10T05:00:00+05:00", 0),
            ("2025-03-09T19:00:00-05:00", 0),
            ("2025-03-10T14:00:00.000001+14:00", 1),
        ] {
            assert_eq!(timestamp(text), Some(midnight + at), "{text}");
        }
        for text in [
            "",
            "2025-03-10",
            "2025-03-10T00:00",
            "2025-03-10t00:00:00",
            "2025-03-10  00:00:00",
            "2025-02-29T00:00:00",
            "2025-03-10T24:00:00",
            "2025-03-10T00:00:60",
            "2025-03-10T00:00:00.",
            "2025-03-10T00:00:00.1234567890",
            "2025-03-10T00:00:00z",
            "2025-03-10T00:00:00+14:01",
            "2025-03-10T00:00:00+05",
            "2025-03-10T00:00:00+0500",
            "2025-03-10T00:00:00+05:60",
            " 2025-03-10T00:00:00",
            "2025-03-10T00:00:00Z ",
            "0000-01-01T00:00:00",
            "1741564800",
        ] {
            assert_eq!(timestamp(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_price_in_any_spelling(scaled in 0..=10_000_000_000_000_i64, zeros in 0..5_usize, power in -3..4_i32) {
            let text = format!("{}.{:04}{}", scaled / 10_000, scaled % 10_000, "0".repeat(zeros));
            prop_assert_eq!(price(&text), Ok(scaled));
            let factor = 10_i64.pow(power.unsigned_abs());
            let moved = if power >= 0 { scaled.checked_mul(factor) } else { (scaled % factor == 0).then_some(scaled / factor) };
            if let Some(moved) = moved {
                let text = format!("{}.{:04}e{}", moved / 10_000, moved % 10_000, -power);
                prop_assert_eq!(price(&text), Ok(scaled));
            }
        }
    }
}
