//! What must become of a file's records, found out another way: cut by the `csv` crate, checked by rules written a second time.

use std::collections::HashMap;

use headrace_pipelines::recruitment::columns::{CONTENT_AT, EVENT_ID_AT, Kind, TRACKING};

/// What must become of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is stored under its event id.
    Stored(String),
    /// It repeats a stored one.
    Duplicate,
    /// It is refused for this reason.
    Dead(&'static str),
    /// A number of it is longer than what a double tells exactly; its rules are tested elsewhere.
    Unclear,
}

/// The fate of every record behind the header, in file order. What happened to unclear ones is asked: was the record refused?
pub fn verdicts(file: &[u8], was_refused: impl Fn(usize) -> bool) -> Vec<Verdict> {
    let mut reader = csv::ReaderBuilder::new().has_headers(true).flexible(true).from_reader(file);
    let records: Vec<csv::ByteRecord> = reader.byte_records().map(Result::unwrap).collect();
    let starts: Vec<usize> = records.iter().map(|record| record.position().unwrap().byte() as usize).collect();
    let mut first: HashMap<String, Vec<String>> = HashMap::new();
    let mut verdicts = Vec::new();
    for (place, record) in records.iter().enumerate() {
        // The raw record counts: a closing quote may stand inside a character, which the fields do not show.
        let raw = &file[starts[place]..starts.get(place + 1).copied().unwrap_or(file.len())];
        if std::str::from_utf8(raw).is_err() {
            verdicts.push(Verdict::Dead("not_utf8"));
            continue;
        }
        let fields: Vec<String> = record.iter().map(|field| String::from_utf8(field.to_vec()).unwrap()).collect();
        let verdict = match check(&fields) {
            Err(verdict) if verdict == Verdict::Unclear && !was_refused(place) => None,
            Err(verdict) => Some(verdict),
            Ok(()) => None,
        };
        verdicts.push(verdict.unwrap_or_else(|| {
            let id = fields[EVENT_ID_AT].to_ascii_lowercase();
            let content = fields[CONTENT_AT..].to_vec();
            match first.get(&id) {
                None => {
                    first.insert(id.clone(), content);
                    Verdict::Stored(id)
                }
                Some(stored) if *stored == content => Verdict::Duplicate,
                // An unclear record that was refused for its numbers would be refused for this as well.
                Some(_) => Verdict::Dead("conflicting_duplicate"),
            }
        }));
    }
    verdicts
}

fn check(fields: &[String]) -> Result<(), Verdict> {
    if fields.len() != TRACKING.len() {
        return Err(Verdict::Dead("column_count"));
    }
    check_id(&fields[EVENT_ID_AT]).map_err(Verdict::Dead)?;
    let (mut identifier, mut bid) = (Ok(()), Ok(()));
    for (column, text) in TRACKING.iter().zip(fields).filter(|(column, _)| column.kind.is_double()) {
        if text.is_empty() {
            continue;
        }
        let trimmed = text.trim_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
        if trimmed.len() > 15 || trimmed.contains(['e', 'E']) {
            return Err(Verdict::Unclear);
        }
        let is_plain = trimmed.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
        let number: Option<f64> = trimmed.parse().ok().filter(|_| is_plain);
        let number = number.ok_or(Verdict::Dead("bad_number"))?;
        match column.kind {
            // The highest bid, and what DECIMAL(18,6) cannot hold.
            Kind::Amount if number > 1e9 || number <= -1e12 => return Err(Verdict::Dead("bad_number")),
            Kind::Amount if number < 0.0 => bid = Err(Verdict::Dead("negative_bid")),
            Kind::Identifier if number < 0.0 || number.fract() != 0.0 => {
                identifier = Err(Verdict::Dead("bad_identifier"));
            }
            _ => {}
        }
    }
    identifier.and(bid)
}

fn check_id(id: &str) -> Result<(), &'static str> {
    if id.is_empty() {
        return Err("missing_create_time");
    }
    let parts: Vec<&str> = id.split('-').collect();
    let is_hex = id.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    if !is_hex || parts.iter().map(|part| part.len()).ne([8, 4, 4, 4, 12]) {
        return Err("bad_create_time");
    }
    let has_variant = matches!(parts[3].as_bytes()[0], b'8' | b'9' | b'a' | b'b' | b'A' | b'B');
    if parts[2].starts_with('1') && has_variant { Ok(()) } else { Err("not_time_uuid") }
}
