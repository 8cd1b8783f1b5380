//! Small state as bytes: variable-length integers, and the frame around what stands alone in a store.
//!
//! An integer takes one byte for each seven bits that it needs, lowest first (LEB128). Signed ones are folded
//! first, so that small negative numbers are short too (0, -1, 1, -2 … become 0, 1, 2, 3 …).
//! Equal states give equal bytes, so bytes can be compared to see whether anything has changed.

/// The bytes were written by another version, or are something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("packed state is damaged: {0}")]
pub struct Damaged(pub &'static str);

/// State that can be packed, alone or as a part of more.
pub trait Packed: Sized {
    /// The first byte of the state when it stands alone; another one for each layout.
    const FORMAT: u8;

    /// Appends the state, without its format.
    fn put(&self, out: &mut Vec<u8>);

    /// Takes the state, without its format, from the start of the input.
    ///
    /// # Errors
    /// When the bytes are not what [`Packed::put`] wrote.
    fn take(input: &mut &[u8]) -> Result<Self, Damaged>;

    /// Gives the state as it stands alone: its format, then the state.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![Self::FORMAT];
        self.put(&mut out);
        out
    }

    /// Reads what [`Packed::to_bytes`] gave.
    ///
    /// # Errors
    /// When the bytes are something else, or longer.
    fn from_bytes(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut input = match bytes.split_first() {
            Some((&format, rest)) if format == Self::FORMAT => rest,
            _ => return Err(Damaged("another format")),
        };
        let state = Self::take(&mut input)?;
        finish(input)?;
        Ok(state)
    }
}

const MORE: u8 = 0x80;
const LONGEST: u32 = 63;

/// Appends an integer that is not negative.
pub fn put_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= u64::from(MORE) {
        out.push(value as u8 | MORE);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends an integer of either sign.
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_unsigned(out, (value << 1 ^ value >> 63) as u64);
}

/// Appends a length and the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_unsigned(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Takes an integer that is not negative.
///
/// # Errors
/// When the input ends too early or the integer has more than 64 bits.
pub fn take_unsigned(input: &mut &[u8]) -> Result<u64, Damaged> {
    let mut value = 0;
    let mut shift = 0;
    loop {
        let byte = take_byte(input)?;
        if shift == LONGEST && byte > 1 {
            return Err(Damaged("an integer is too long"));
        }
        value |= u64::from(byte & !MORE) << shift;
        if byte & MORE == 0 {
            return Ok(value);
        }
        shift += 7;
    }
}

/// Takes an integer of either sign.
///
/// # Errors
/// As [`take_unsigned`].
pub fn take_signed(input: &mut &[u8]) -> Result<i64, Damaged> {
    let folded = take_unsigned(input)?;
    Ok((folded >> 1) as i64 ^ -((folded & 1) as i64))
}

/// Takes a byte.
///
/// # Errors
/// When there is none.
pub fn take_byte(input: &mut &[u8]) -> Result<u8, Damaged> {
    let (&byte, rest) = input.split_first().ok_or(Damaged("it ends too early"))?;
    *input = rest;
    Ok(byte)
}

/// Takes a given number of bytes.
///
/// # Errors
/// When there are fewer.
pub fn take_exactly<'a>(input: &mut &'a [u8], length: usize) -> Result<&'a [u8], Damaged> {
    let (taken, rest) = input.split_at_checked(length).ok_or(Damaged("it ends too early"))?;
    *input = rest;
    Ok(taken)
}

/// Takes a length and so many bytes.
///
/// # Errors
/// When the input ends too early.
pub fn take_bytes<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], Damaged> {
    let length = take_unsigned(input)?;
    take_exactly(input, usize::try_from(length).unwrap_or(usize::MAX))
}

/// Takes the number of entries that follow, each of which has at least one byte.
///
/// # Errors
/// When there cannot be so many.
pub fn take_count(input: &mut &[u8]) -> Result<usize, Damaged> {
    let count = take_unsigned(input)?;
    usize::try_from(count).ok().filter(|count| *count <= input.len()).ok_or(Damaged("it ends too early"))
}

/// Checks that nothing is left.
///
/// # Errors
/// When there is.
pub fn finish(input: &[u8]) -> Result<(), Damaged> {
    if input.is_empty() { Ok(()) } else { Err(Damaged("it goes on after its end")) }
}

/// Appends an integer that may be absent.
pub(crate) fn put_maybe(out: &mut Vec<u8>, value: Option<i64>) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put_signed(out, value);
    }
}

/// Takes an integer that may be absent.
pub(crate) fn take_maybe(input: &mut &[u8]) -> Result<Option<i64>, Damaged> {
    match take_byte(input)? {
        0 => Ok(None),
        1 => take_signed(input).map(Some),
        _ => Err(Damaged("neither present nor absent")),
    }
}

/// Appends a time of a list that ascends; the difference to the last one is exact over all of `i64`.
pub(crate) fn put_time(out: &mut Vec<u8>, last_us: Option<i64>, time_us: i64) {
    match last_us {
        None => put_signed(out, time_us),
        Some(last_us) => put_unsigned(out, time_us.wrapping_sub(last_us) as u64),
    }
}

/// Takes a time of a list that ascends.
pub(crate) fn take_time(input: &mut &[u8], last_us: Option<i64>) -> Result<i64, Damaged> {
    let Some(last_us) = last_us else { return take_signed(input) };
    let time_us = last_us.wrapping_add(take_unsigned(input)? as i64);
    if time_us < last_us { Err(Damaged("a time is out of range")) } else { Ok(time_us) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_numbers_are_short() {
        let length = |value| {
            let mut out = Vec::new();
            put_signed(&mut out, value);
            out.len()
        };
        assert_eq!([0, -1, 63, -64].map(length), [1; 4]);
        assert_eq!([64, -65, 8191, -8192].map(length), [2; 4]);
        assert_eq!([i64::MAX, i64::MIN].map(length), [10; 2]);
    }

    #[test]
    fn damage_is_noticed() {
        assert_eq!(take_unsigned(&mut &[0x80][..]), Err(Damaged("it ends too early")));
        assert_eq!(take_unsigned(&mut &[0xFF; 10][..]), Err(Damaged("an integer is too long")));
        assert_eq!(take_bytes(&mut &[3, 1, 2][..]), Err(Damaged("it ends too early")));
        assert_eq!(take_count(&mut &[2, 1][..]), Err(Damaged("it ends too early")));
        assert_eq!(take_maybe(&mut &[2][..]), Err(Damaged("neither present nor absent")));
        assert_eq!(finish(&[0]), Err(Damaged("it goes on after its end")));
        let mut step = Vec::new();
        put_unsigned(&mut step, 1);
        assert_eq!(take_time(&mut step.as_slice(), Some(i64::MAX)), Err(Damaged("a time is out of range")));
    }

    proptest! {
        #[test]
        fn everything_comes_back(signed: i64, unsigned: u64, bytes: Vec<u8>, maybe: Option<i64>, a: i64, b: i64) {
            let mut out = Vec::new();
            put_signed(&mut out, signed);
            put_unsigned(&mut out, unsigned);
            put_bytes(&mut out, &bytes);
            put_maybe(&mut out, maybe);
            put_time(&mut out, None, a.min(b));
            put_time(&mut out, Some(a.min(b)), a.max(b));
            let mut input = out.as_slice();
            prop_assert_eq!(take_signed(&mut input), Ok(signed));
            prop_assert_eq!(take_unsigned(&mut input), Ok(unsigned));
            prop_assert_eq!(take_bytes(&mut input), Ok(bytes.as_slice()));
            prop_assert_eq!(take_maybe(&mut input), Ok(maybe));
            prop_assert_eq!(take_time(&mut input, None), Ok(a.min(b)));
            prop_assert_eq!(take_time(&mut input, Some(a.min(b))), Ok(a.max(b)));
            prop_assert_eq!(finish(input), Ok(()));
        }
    }
}
