//! Civil time in UTC on a count of microseconds since 1970-01-01: hour floor, text and parts.
//!
//! The proleptic Gregorian calendar, by the era arithmetic of H. Hinnant, "chrono-Compatible
//! Low-Level Date Algorithms" (`days_from_civil`, `civil_from_days`). No leap seconds, no zones.

/// Microseconds in a second.
pub const SECOND_US: i64 = 1_000_000;
/// Microseconds in an hour.
pub const HOUR_US: i64 = 3600 * SECOND_US;
/// Microseconds in a day.
pub const DAY_US: i64 = 24 * HOUR_US;

/// A calendar day, month and day counted from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// The year, astronomical (the year 0 exists).
    pub year: i64,
    /// The month, 1 to 12.
    pub month: u8,
    /// The day of the month, 1 to 31.
    pub day: u8,
}

/// Gives the start of the hour in which a time lies, rounding down also before 1970.
pub fn hour_floor(time_us: i64) -> i64 {
    time_us - time_us.rem_euclid(HOUR_US)
}

/// Gives the number of whole days since 1970-01-01, rounding down.
pub fn days(time_us: i64) -> i64 {
    time_us.div_euclid(DAY_US)
}

/// Gives the hour of the day, 0 to 23.
pub fn hour_of_day(time_us: i64) -> u8 {
    (time_us.rem_euclid(DAY_US) / HOUR_US) as u8
}

/// Gives the day in which a time lies.
pub fn date(time_us: i64) -> Date {
    let shifted = days(time_us) + 719_468; // days since 0000-03-01
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    Date { year: year_of_era + era * 400 + i64::from(month <= 2), month: month as u8, day: day as u8 }
}

/// Gives the start of a day in microseconds since 1970-01-01.
pub fn day_start(date: Date) -> i64 {
    let year = date.year - i64::from(date.month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (i64::from(date.month) + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(date.day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era - 719_468) * DAY_US
}

/// Appends `YYYY-MM-DD`.
pub fn write_date(date: Date, out: &mut Vec<u8>) {
    if (0..10_000).contains(&date.year) {
        two_digits((date.year / 100) as u8, out);
        two_digits((date.year % 100) as u8, out);
    } else {
        out.extend_from_slice(format!("{:05}", date.year).as_bytes());
    }
    out.push(b'-');
    two_digits(date.month, out);
    out.push(b'-');
    two_digits(date.day, out);
}

/// Appends `YYYY-MM-DD HH:MM:SS`, the seconds rounded down.
pub fn write_timestamp(time_us: i64, out: &mut Vec<u8>) {
    write_date(date(time_us), out);
    let seconds = time_us.rem_euclid(DAY_US) / SECOND_US;
    for (separator, part) in [(b' ', seconds / 3600), (b':', seconds / 60 % 60), (b':', seconds % 60)] {
        out.push(separator);
        two_digits(part as u8, out);
    }
}

/// Gives `YYYY-MM-DD HH:MM:SS` as a `String`, the seconds rounded down.
pub fn timestamp_text(time_us: i64) -> String {
    let mut text = Vec::with_capacity(19);
    write_timestamp(time_us, &mut text);
    text.iter().map(|&byte| char::from(byte)).collect()
}

/// Parses exactly `YYYY-MM-DD HH:MM:SS` with a day and a time that exist.
pub fn parse_timestamp(text: &[u8]) -> Option<i64> {
    let (day, time) = text.split_at_checked(10)?;
    let [b' ', h1, h2, b':', m1, m2, b':', s1, s2] = *time else { return None };
    let (hour, minute, second) = (number(&[h1, h2])?, number(&[m1, m2])?, number(&[s1, s2])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(day_start(parse_date(day)?) + hour * HOUR_US + (minute * 60 + second) * SECOND_US)
}

/// Parses exactly `YYYY-MM-DD` with a day that exists.
pub fn parse_date(text: &[u8]) -> Option<Date> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text else { return None };
    let (year, month, day) = (number(&[y1, y2, y3, y4])?, number(&[m1, m2])?, number(&[d1, d2])?);
    let date = Date { year, month: month as u8, day: day as u8 };
    ((1..=12).contains(&month) && (1..=days_in_month(year, date.month)).contains(&date.day)).then_some(date)
}

fn days_in_month(year: i64, month: u8) -> u8 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
}

fn two_digits(value: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'0' + value / 10, b'0' + value % 10]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn knows_some_days() {
        assert_eq!(timestamp_text(0), "1970-01-01 00:00:00");
        assert_eq!(timestamp_text(-1), "1969-12-31 23:59:59");
        assert_eq!(timestamp_text(1_709_251_199_999_999), "2024-02-29 23:59:59");
        assert_eq!(timestamp_text(1_709_251_200_000_000), "2024-03-01 00:00:00");
        assert_eq!(timestamp_text(-12_219_292_800_000_000), "1582-10-15 00:00:00");
        assert_eq!(parse_timestamp(b"2022-07-27 03:58:21"), Some(1_658_894_301_000_000));
    }

    #[test]
    fn floors_hours_before_1970() {
        assert_eq!(hour_floor(HOUR_US), HOUR_US);
        assert_eq!(hour_floor(HOUR_US - 1), 0);
        assert_eq!(hour_floor(-1), -HOUR_US);
        assert_eq!(hour_of_day(-1), 23);
    }

    #[test]
    fn refuses_what_is_not_exactly_a_timestamp() {
        for text in [
            "",
            "2024-02-29",
            "2023-02-29 00:00:00",
            "1900-02-29 00:00:00",
            "2024-13-01 00:00:00",
            "2024-00-01 00:00:00",
            "2024-04-31 00:00:00",
            "2024-01-00 00:00:00",
            "2024-01-01 24:00:00",
            "2024-01-01 23:60:00",
            "2024-01-01 23:59:60",
            "2024-01-01T23:59:59",
            "2024-01-01 23:59:59.1",
            "2024-01-01 23:59:59Z",
            "2024-1-01 23:59:599",
            "+024-01-01 23:59:59",
            "2024-01-01 2\u{e9}:59:5",
        ] {
            assert_eq!(parse_timestamp(text.as_bytes()), None, "{text}");
        }
        assert!(parse_timestamp(b"2000-02-29 00:00:00").is_some());
    }

    proptest! {
        #[test]
        fn text_and_back(seconds in -62_167_219_200i64..253_402_300_800) {
            let time_us = seconds * SECOND_US;
            prop_assert_eq!(parse_timestamp(timestamp_text(time_us).as_bytes()), Some(time_us));
        }

        #[test]
        fn days_and_back(day in -100_000_000i64..100_000_000) {
            let found = date(day * DAY_US);
            prop_assert_eq!(day_start(found), day * DAY_US);
            prop_assert!(found < date((day + 1) * DAY_US));
            prop_assert!((1..=days_in_month(found.year.rem_euclid(400) , found.month)).contains(&found.day));
        }
    }
}
