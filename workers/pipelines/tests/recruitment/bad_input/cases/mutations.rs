//! Sound bytes, changed at random places: flipped, cut, doubled, mixed with others, and with what parsers stumble over.

use crate::recruitment::random::Random;

/// What parsers stumble over.
const TOKENS: &[&[u8]] = &[
    b"\"",
    b"\"\"",
    b",",
    b"\n",
    b"\r",
    b"\r\n",
    b"\0",
    b"\\",
    b"\\\"",
    b"'",
    b";",
    b"\t",
    b" ",
    b"\x1b[2J",
    b"\xff",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\xf0\x9f\xa6\x80",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b"null",
    b"true",
    b"NaN",
    b"Infinity",
    b"-inf",
    b"-",
    b"+",
    b".",
    b"e",
    b"1e309",
    b"1e-400",
    b"-1",
    b"-0.0",
    b"0x1F",
    b"1,5",
    b"1_000",
    b"10.5",
    b"9007199254740993",
    b"1e16",
    b"18446744073709551616",
    b"99999999999999999999999999999999",
    b"9999-12-31 23:59:59",
    b"0000-00-00 00:00:00",
    b"\\u0000",
    b"\\ud800",
    b"\\u0022",
    b"[[[[[[[[[[[[[[[[",
    b"\"ts\":1,",
    b"'; DROP TABLE tracking; --",
];

/// Changes bytes at one to four places.
pub fn mutate(random: &mut Random, sound: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    for _ in 0..=random.below(4) {
        change(random, &mut bytes, other);
    }
    bytes
}

fn change(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = random.below(bytes.len() as u64 + 1) as usize;
    let to = (at + random.below(24) as usize).min(bytes.len());
    let token = TOKENS[random.below(TOKENS.len() as u64) as usize];
    match random.below(10) {
        0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        1 if at < bytes.len() => bytes[at] = random.next() as u8,
        2 => drop(bytes.drain(at..to)),
        3 => drop(bytes.splice(at..at, bytes[at..to].to_vec())),
        4 => {
            let from = random.below(other.len() as u64) as usize;
            let end = (from + random.below(80) as usize).min(other.len());
            drop(bytes.splice(at..to, other[from..end].iter().copied()));
        }
        5 => bytes.truncate(at),
        6 => drop(bytes.splice(at..at, token.repeat(random.between(1, 40) as usize))),
        7 => {
            // A whole number is replaced, which is where most rules are.
            let start = bytes[..at].iter().rposition(|byte| !is_numeric(*byte)).map_or(0, |before| before + 1);
            let end = bytes[at..].iter().position(|byte| !is_numeric(*byte)).map_or(bytes.len(), |after| at + after);
            drop(bytes.splice(start..end, token.iter().copied()));
        }
        _ => drop(bytes.splice(at..at, token.iter().copied())),
    }
}

fn is_numeric(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'.' | b'-')
}
