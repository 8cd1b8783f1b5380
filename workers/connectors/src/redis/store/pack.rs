//! MessagePack, as far as the scripts need it: arrays, texts of bytes, whole numbers, and `false` for null.
//! The format: <https://github.com/msgpack/msgpack/blob/master/spec.md>.

/// Begins an array of so many parts.
pub(super) fn array(out: &mut Vec<u8>, parts: usize) {
    match u16::try_from(parts) {
        Ok(parts @ 0..16) => out.push(0x90 | parts as u8),
        Ok(parts) => {
            out.push(0xdc);
            out.extend(parts.to_be_bytes());
        }
        Err(_) => {
            out.push(0xdd);
            out.extend((parts as u32).to_be_bytes());
        }
    }
}

/// Adds a text of bytes. Redis takes none of more than 512 MB.
pub(super) fn text(out: &mut Vec<u8>, bytes: impl AsRef<[u8]>) {
    let bytes = bytes.as_ref();
    match u32::try_from(bytes.len()).unwrap_or(u32::MAX) {
        length @ 0..32 => out.push(0xa0 | length as u8),
        length @ 32..256 => out.extend([0xd9, length as u8]),
        length @ 256..65_536 => {
            out.push(0xda);
            out.extend((length as u16).to_be_bytes());
        }
        length => {
            out.push(0xdb);
            out.extend(length.to_be_bytes());
        }
    }
    out.extend(bytes);
}

/// Adds an array of texts.
pub(super) fn texts(out: &mut Vec<u8>, all: &[impl AsRef<[u8]>]) {
    array(out, all.len());
    all.iter().for_each(|one| text(out, one));
}

/// Adds a whole number.
pub(super) fn number(out: &mut Vec<u8>, value: usize) {
    out.push(0xce);
    out.extend((value as u32).to_be_bytes());
}

/// Adds a text, or null.
pub(super) fn optional(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(bytes) => text(out, bytes),
        None => out.push(0xc2),
    }
}

/// Reads an array of texts and nulls; none when it is no such array.
pub(super) fn read(mut packed: &[u8]) -> Option<Vec<Option<Vec<u8>>>> {
    let parts = match take(&mut packed, 1)?[0] {
        head @ 0x90..=0x9f => usize::from(head & 0x0f),
        0xdc => length(&mut packed, 2)?,
        0xdd => length(&mut packed, 4)?,
        _ => return None,
    };
    let mut found = Vec::with_capacity(parts.min(packed.len()));
    for _ in 0..parts {
        let length = match take(&mut packed, 1)?[0] {
            0xc2 => {
                found.push(None);
                continue;
            }
            head @ 0xa0..=0xbf => usize::from(head & 0x1f),
            0xd9 | 0xc4 => length(&mut packed, 1)?,
            0xda | 0xc5 => length(&mut packed, 2)?,
            0xdb | 0xc6 => length(&mut packed, 4)?,
            _ => return None,
        };
        found.push(Some(take(&mut packed, length)?.to_vec()));
    }
    packed.is_empty().then_some(found)
}

fn take<'a>(packed: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
    let (taken, rest) = packed.split_at_checked(bytes)?;
    *packed = rest;
    Some(taken)
}

fn length(packed: &mut &[u8], bytes: usize) -> Option<usize> {
    Some(take(packed, bytes)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::{array, optional, read};

    #[test]
    fn what_is_packed_is_read() {
        for lengths in [vec![], vec![0, 31, 32, 255, 256, 65_535, 65_536], vec![1; 15], vec![2; 16], vec![3; 70_000]] {
            let mut values: Vec<Option<Vec<u8>>> = lengths.iter().map(|length| Some(vec![0xff; *length])).collect();
            values.extend((!lengths.is_empty()).then_some(None));
            let mut packed = Vec::new();
            array(&mut packed, values.len());
            values.iter().for_each(|value| optional(&mut packed, value.as_deref()));
            assert_eq!(read(&packed).as_ref(), Some(&values));
            assert_eq!(read(&packed[..packed.len() - 1]), None);
            packed.push(0xc2);
            assert_eq!(read(&packed), None);
        }
        assert_eq!(read(b"text"), None);
    }
}
