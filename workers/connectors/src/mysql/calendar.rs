//! Calendar days and moments as MySQL takes them: year, month, day and the time of day, in the proleptic Gregorian calendar.
//!
//! MySQL documents the years 1000 to 9999 for its `DATE` and `DATETIME`; anything else is refused here.

use mysql_async::Value as Sql;

/// Days from 0000-03-01 to 1970-01-01. Years that begin in March have their leap day at their end.
const EPOCH_FROM_MARCH_0: i64 = 719_468;
const DAYS_IN_400_YEARS: i64 = 146_097;
const MICROSECONDS_IN_A_DAY: i64 = 86_400_000_000;

/// The year, month and day of a day counted from 1970-01-01.
fn civil(day: i64) -> Option<(u16, u8, u8)> {
    let since = day.checked_add(EPOCH_FROM_MARCH_0)?;
    let (cycle, of_cycle) = (since.div_euclid(DAYS_IN_400_YEARS), since.rem_euclid(DAYS_IN_400_YEARS));
    // A century has 36,524 days but the last one of a cycle one more; four years have 1,461.
    let century = (of_cycle / 36_524).min(3);
    let of_century = of_cycle - century * 36_524;
    let (four, of_four) = (of_century / 1_461, of_century % 1_461);
    let single = (of_four / 365).min(3);
    let of_year = of_four - single * 365;
    let march_year = cycle * 400 + century * 100 + four * 4 + single;
    // March to January come in groups of five months with 153 days.
    let march_month = (of_year * 5 + 2) / 153;
    let day_of_month = of_year - (march_month * 153 + 2) / 5 + 1;
    let (year, month) =
        if march_month < 10 { (march_year, march_month + 3) } else { (march_year + 1, march_month - 9) };
    if !(1_000..=9_999).contains(&year) {
        return None;
    }
    Some((u16::try_from(year).ok()?, u8::try_from(month).ok()?, u8::try_from(day_of_month).ok()?))
}

/// The inverse of [`civil`].
fn day_number(year: u16, month: u8, day: u8) -> i64 {
    let (year, month, day) = (i64::from(year), i64::from(month), i64::from(day));
    let (march_year, march_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = march_year.div_euclid(4) - march_year.div_euclid(100) + march_year.div_euclid(400);
    march_year * 365 + leap_days + (march_month * 153 + 2) / 5 + day - 1 - EPOCH_FROM_MARCH_0
}

/// A day counted from 1970-01-01 as a parameter, none outside the years 1000 to 9999.
pub(super) fn date(day: i64) -> Option<Sql> {
    civil(day).map(|(year, month, day)| Sql::Date(year, month, day, 0, 0, 0, 0))
}

/// Microseconds since 1970 as a parameter, none outside the years 1000 to 9999.
pub(super) fn date_time(microseconds: i64) -> Option<Sql> {
    let (year, month, day) = civil(microseconds.div_euclid(MICROSECONDS_IN_A_DAY))?;
    let of_day = microseconds.rem_euclid(MICROSECONDS_IN_A_DAY);
    let (seconds, micro) = (of_day / 1_000_000, u32::try_from(of_day % 1_000_000).ok()?);
    let part = |value: i64| u8::try_from(value).ok();
    Some(Sql::Date(year, month, day, part(seconds / 3_600)?, part(seconds / 60 % 60)?, part(seconds % 60)?, micro))
}

/// The day of a value of a `DATE` column; none when it is no date or the zero date.
pub(super) fn read_date(value: &Sql) -> Option<i64> {
    match *value {
        Sql::Date(year, month, day, ..) if month > 0 && day > 0 => Some(day_number(year, month, day)),
        _ => None,
    }
}

/// The microseconds since 1970 of a value of a `DATETIME` column; none when it is no moment or the zero date.
pub(super) fn read_date_time(value: &Sql) -> Option<i64> {
    match *value {
        Sql::Date(year, month, day, hour, minute, second, micro) if month > 0 && day > 0 => {
            let seconds = i64::from(hour) * 3_600 + i64::from(minute) * 60 + i64::from(second);
            Some(day_number(year, month, day) * MICROSECONDS_IN_A_DAY + seconds * 1_000_000 + i64::from(micro))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use mysql_async::Value as Sql;
    use proptest::prelude::*;

    use super::{civil, date, date_time, day_number, read_date, read_date_time};

    const FIRST_DAY: i64 = -354_285;
    const LAST_DAY: i64 = 2_932_896;

    #[test]
    fn known_days() {
        for (day, wanted) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (FIRST_DAY, (1000, 1, 1)),
            (LAST_DAY, (9999, 12, 31)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (-25_509, (1900, 2, 28)),
            (-25_508, (1900, 3, 1)),
            (19_200, (2022, 7, 27)),
        ] {
            assert_eq!(civil(day), Some(wanted), "{day}");
        }
        assert_eq!(date(FIRST_DAY - 1), None);
        assert_eq!(date(LAST_DAY + 1), None);
        assert_eq!(date(i64::MAX), None);
        assert_eq!(date_time(1_658_894_301_226_123).unwrap(), Sql::Date(2022, 7, 27, 3, 58, 21, 226_123));
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut last = civil(FIRST_DAY).unwrap();
        for day in FIRST_DAY + 1..=LAST_DAY {
            let next = civil(day).unwrap();
            let follows = next == (last.0, last.1, last.2 + 1)
                || next == (last.0, last.1 + 1, 1) && last.2 >= 28
                || next == (last.0 + 1, 1, 1) && (last.1, last.2) == (12, 31);
            assert!(follows, "{last:?} {next:?}");
            assert_eq!(day_number(next.0, next.1, next.2), day);
            last = next;
        }
    }

    proptest! {
        #[test]
        fn moments_come_back(microseconds in -30_610_224_000_000_000_i64..=253_402_300_799_999_999) {
            prop_assert_eq!(read_date_time(&date_time(microseconds).unwrap()), Some(microseconds));
        }

        #[test]
        fn days_come_back(day in FIRST_DAY..=LAST_DAY) {
            prop_assert_eq!(read_date(&date(day).unwrap()), Some(day));
        }
    }
}
