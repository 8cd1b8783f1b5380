//! Exact decimal numbers: from text to scaled integers and back, never through binary floating point.
//!
//! A number is `[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?` in ASCII, blanks around it ignored.
//! Amounts are counts of millionths ("micros") within `DECIMAL(18,6)`. Rounding is half away from zero.

/// Largest amount of `DECIMAL(18,6)` in millionths.
pub const MAX_MICROS: i64 = 999_999_999_999_999_999;
/// Largest identifier, 2^53: up to here every integer is its own double.
pub const MAX_IDENTIFIER: i64 = 1 << 53;

const MICROS_PER_CENT: i64 = 10_000;
/// Beyond this an exponent says no more than "far too large" or "zero".
const EXPONENT_LIMIT: i64 = 1 << 40;

/// Why a number is no identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentifierError {
    /// The number is below zero.
    #[error("negative")]
    Negative,
    /// The number is not whole.
    #[error("fractional")]
    Fractional,
    /// The number is above [`MAX_IDENTIFIER`].
    #[error("larger than 2^53")]
    TooLarge,
}

/// A number as its text spells it.
#[derive(Clone, Copy, Debug)]
pub struct Number<'a> {
    text: &'a [u8],
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Number<'a> {
    /// Reads a number; `None` if the text is none (so not for `NaN`, `inf`, `1,5`, `1_000` or nothing).
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let text = trim(text);
        let (negative, rest) = sign(text);
        let (whole, mut rest) = digits(rest);
        let mut fraction: &[u8] = &[];
        if let Some(after) = rest.strip_prefix(b".") {
            (fraction, rest) = digits(after);
        }
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let mut exponent = 0;
        if let [b'e' | b'E', after @ ..] = rest {
            let (below, after) = sign(after);
            let (power, after) = digits(after);
            if power.is_empty() {
                return None;
            }
            rest = after;
            exponent =
                power.iter().fold(0, |value: i64, digit| (value * 10 + i64::from(digit - b'0')).min(EXPONENT_LIMIT));
            if below {
                exponent = -exponent;
            }
        }
        rest.is_empty().then_some(Self { text, negative, whole, fraction, exponent })
    }

    /// Says whether the number is below zero (`-0.0` is not).
    pub fn is_negative(&self) -> bool {
        self.negative && self.significant().next().is_some()
    }

    /// Gives the number in millionths, rounded half away from zero; `None` beyond `DECIMAL(18,6)`.
    pub fn micros(&self) -> Option<i64> {
        let kept = self.point().saturating_add(6); // digits before and six after the decimal point
        if kept < 0 || self.significant().next().is_none() {
            return Some(0);
        }
        if kept > 18 {
            return None;
        }
        let mut digits = self.significant().chain(std::iter::repeat(0));
        let value = digits.by_ref().take(kept as usize).fold(0, |value, digit| value * 10 + digit);
        let value = value + i64::from(digits.next() >= Some(5));
        (value <= MAX_MICROS).then_some(if self.negative { -value } else { value })
    }

    /// Gives the number as an identifier, a whole number from 0 to 2^53.
    ///
    /// # Errors
    /// Says what kind of number it is instead.
    pub fn identifier(&self) -> Result<i64, IdentifierError> {
        if self.significant().next().is_none() {
            return Ok(0);
        }
        if self.negative {
            return Err(IdentifierError::Negative);
        }
        let point = self.point();
        let is_below_point = |(index, digit): (usize, i64)| digit != 0 && index as i64 >= point;
        if self.significant().enumerate().any(is_below_point) {
            return Err(IdentifierError::Fractional);
        }
        if point > 16 {
            return Err(IdentifierError::TooLarge);
        }
        let digits = self.significant().chain(std::iter::repeat(0));
        let value = digits.take(point as usize).fold(0, |value, digit| value * 10 + digit);
        if value > MAX_IDENTIFIER { Err(IdentifierError::TooLarge) } else { Ok(value) }
    }

    /// Gives the nearest double; `None` if that is not finite.
    pub fn to_f64(&self) -> Option<f64> {
        // Most numbers are small and whole (`188.0`): the double is exact without a general parser.
        if self.exponent == 0 && self.whole.len() <= 15 && self.fraction.iter().all(|&digit| digit == b'0') {
            let value = self.whole.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0')) as f64;
            return Some(if self.negative { -value } else { value });
        }
        let value: f64 = std::str::from_utf8(self.text).ok()?.parse().ok()?;
        value.is_finite().then_some(value)
    }

    /// Gives the digits from the first that is not 0.
    fn significant(&self) -> impl Iterator<Item = i64> {
        self.whole.iter().chain(self.fraction).map(|digit| i64::from(digit - b'0')).skip_while(|&digit| digit == 0)
    }

    /// Gives the position of the decimal point, counted from the first significant digit.
    fn point(&self) -> i64 {
        let zeros = self.whole.iter().chain(self.fraction).take_while(|&&digit| digit == b'0').count();
        self.whole.len() as i64 - zeros as i64 + self.exponent
    }
}

/// Gives an amount in millionths as cents, rounded half away from zero.
pub fn cents(micros: i64) -> i64 {
    divide(i128::from(micros), i128::from(MICROS_PER_CENT))
}

/// Gives an average amount in cents, exact until it is rounded half away from zero; `None` for no items.
pub fn average_cents(sum_micros: i64, items: i64) -> Option<i64> {
    (items > 0).then(|| divide(i128::from(sum_micros), i128::from(MICROS_PER_CENT) * i128::from(items)))
}

/// Appends cents as a number with exactly two decimals: `-1.05`.
pub fn write_cents(cents: i64, out: &mut Vec<u8>) {
    if cents < 0 {
        out.push(b'-');
    }
    let cents = cents.unsigned_abs();
    write_unsigned(cents / 100, out);
    out.extend_from_slice(&[b'.', b'0' + (cents / 10 % 10) as u8, b'0' + (cents % 10) as u8]);
}

/// Appends an integer in decimal.
pub fn write_integer(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    write_unsigned(value.unsigned_abs(), out);
}

fn write_unsigned(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Divides by a positive number, rounding half away from zero; the quotient of amounts fits 64 bits.
fn divide(amount: i128, by: i128) -> i64 {
    ((2 * amount.abs() + by) / (2 * by) * amount.signum()) as i64
}

fn trim(text: &[u8]) -> &[u8] {
    let blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0B;
    let start = text.iter().position(|byte| !blank(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    &text[start..end]
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    }
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests;
