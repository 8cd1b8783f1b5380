//! How a simulated event looks in the file: its 30 fields, as a browser's tracker and the export leave them.

use std::io::Write;

use headrace_transforms::civil;

use super::event::Event;
use super::random::{Random, mix};

pub(super) const INDEX: usize = 0;
pub(super) const CREATE_TIME: usize = 1;
pub(super) const BID: usize = 2;
pub(super) const CAMPAIGN_ID: usize = 4;
pub(super) const CD: usize = 5;
pub(super) const CUSTOM_TRACK: usize = 6;
pub(super) const DT: usize = 9;
pub(super) const EV: usize = 11;
pub(super) const GROUP_ID: usize = 12;
pub(super) const JOB_ID: usize = 14;
pub(super) const PUBLISHER_ID: usize = 16;
pub(super) const SR: usize = 18;
pub(super) const TZ: usize = 20;
pub(super) const UA: usize = 21;
pub(super) const V: usize = 28;
const BN: usize = 3;
const DE: usize = 7;
const DL: usize = 8;
const ED: usize = 10;
const MD: usize = 15;
const RL: usize = 17;
const TS: usize = 19;
const UID: usize = 22;
const UTM_SOURCE: usize = 26;
const VP: usize = 29;

/// A record's fields before they are quoted.
pub(super) type Fields = [Vec<u8>; 30];

/// 100 ns ticks from 1582-10-15, where version 1 UUIDs count from, to 1970 (RFC 4122).
pub(super) const UUID_EPOCH_TICKS: i64 = 0x01B2_1DD2_1381_4000;
const MINUTE_US: i64 = 60_000_000;

/// Browser, its user agent, screen and colour depth.
const DEVICES: [(&str, &str, &str, &str); 8] = [
    (
        "Chrome 103",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/103.0.0.0 Safari/537.36",
        "1366x768",
        "24.0",
    ),
    (
        "Chrome 103",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/103.0.5060.134 Safari/537.36",
        "1920x1080",
        "24.0",
    ),
    (
        "Chrome 103",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/103.0.0.0 Safari/537.36",
        "1440x900",
        "30.0",
    ),
    (
        "Chrome 102",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/102.0.0.0 Safari/537.36",
        "1536x864",
        "24.0",
    ),
    (
        "Edge 103",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/103.0.0.0 Safari/537.36 Edg/103.0.1264.62",
        "1920x1080",
        "24.0",
    ),
    (
        "Firefox 102",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:102.0) Gecko/20100101 Firefox/102.0",
        "1280x720",
        "24.0",
    ),
    (
        "Safari 604",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 15_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/103.0.5060.63 Mobile/15E148 Safari/604.1",
        "375x812",
        "32.0",
    ),
    ("Mozilla/5.0 (compatible; \"preview\", bot)", "Mozilla/5.0 (compatible; \"preview\", bot)", "800x600", "24.0"),
];
const SITES: [&str; 4] = [
    "https://jobs.example.com/candidate-portal",
    "https://jobs.example.org/candidate-portal",
    "http://192.0.2.86/candidate-portal",
    "http://localhost:4200/candidate-portal",
];
const PAGES: [&str; 6] = ["/", "/job", "/profile", "/login", "/job?what=developer&where=", "/messages"];
const ZONES: [&str; 24] = [
    "-420.0", "-420.0", "-420.0", "-420.0", "-420.0", "-420.0", "-420.0", "-420.0", "-420.0", "-420.0", "-420.0",
    "-420.0", "-420.0", "-420.0", "-420.0", "-420.0", "-420.0", "-420.0", "-420.0", "-420.0", "0.0", "240.0", "-330.0",
    "300.0",
];

/// Fills the fields of an event. `visitors` is how many people there are.
pub(super) fn fill(fields: &mut Fields, index: u64, event: &Event, visitors: u64, random: &mut Random) {
    fields.iter_mut().for_each(Vec::clear);
    put(&mut fields[INDEX], format_args!("{index}"));
    write_event_id(&mut fields[CREATE_TIME], event.ticks, random);
    if let Some(micros) = event.bid_micros {
        write_amount(&mut fields[BID], micros);
    }
    let identifiers =
        [(CAMPAIGN_ID, event.campaign), (GROUP_ID, event.group), (JOB_ID, event.job), (PUBLISHER_ID, event.publisher)];
    for (at, identifier) in identifiers {
        if let Some(identifier) = identifier {
            put(&mut fields[at], format_args!("{identifier}.0"));
        }
    }
    set(fields, CUSTOM_TRACK, event.name);
    // Some rows were filled in later, without a browser: ids, name and times are all they have.
    let bare = event.job.is_some() && random.one_in(20);
    write_client_time(&mut fields[TS], event.ticks.div_euclid(10), bare, random);
    if !bare {
        fill_browser(fields, event, visitors, random);
    }
}

fn fill_browser(fields: &mut Fields, event: &Event, visitors: u64, random: &mut Random) {
    // Choosing twice makes few visitors frequent and many rare.
    let visitor = mix(random.below(visitors).min(random.below(visitors)));
    let (browser, agent, screen, depth) = DEVICES[(visitor % 97 % 8) as usize];
    let lower_case = random.one_in(65);
    set(fields, BN, browser);
    set(fields, UA, agent);
    set(fields, SR, screen);
    set(fields, CD, depth);
    set(fields, DE, "UTF-8");
    set(fields, DT, "CandidatePortal");
    if lower_case {
        fields[BN].make_ascii_lowercase();
        set(fields, DE, "utf-8");
        set(fields, DT, "candidateportal");
    } else if random.one_in(2_000) {
        set(fields, DT, "CandidatePortal\n\"Jobs\", page 2");
    }
    set(fields, MD, "true");
    set(fields, V, "1.0");
    set(fields, TZ, ZONES[(visitor / 97 % 24) as usize]);
    let width = 1_000 + visitor / 4_096 % 900;
    put(&mut fields[VP], format_args!("{width}x{}", width / 2));
    put(&mut fields[UID], format_args!("1-{:08x}-l{:07x}", visitor >> 32, visitor & 0x0FFF_FFFF));
    let site = SITES[(visitor / 7 % 16).saturating_sub(12) as usize];
    match event.job {
        Some(job) => {
            let publisher = event.publisher.unwrap_or_default();
            let (page, rest) = (mix(job.unsigned_abs()), mix(publisher.unsigned_abs()) >> 32);
            let text = format_args!("{site}/job/{page:016x}{page:016X}{rest:08x}?param1={job}&param2={publisher}");
            put(&mut fields[DL], text);
        }
        None => put(&mut fields[DL], format_args!("{site}{}", random.pick(&PAGES))),
    }
    if random.one_in(8) {
        put(&mut fields[RL], format_args!("{site}/job"));
    }
    if random.one_in(40) {
        set(fields, UTM_SOURCE, random.pick(&["html", "html", "html", "1310", "newsletter"]));
    }
    write_event_data(&mut fields[ED], event, lower_case, visitor, random);
    let custom = !event.name.is_empty() && !fields[ED].is_empty();
    set(fields, EV, if custom { "2.0" } else { "1.0" });
}

/// Writes the JSON that custom events carry; organic ones have publisher 0 and often a user.
fn write_event_data(out: &mut Vec<u8>, event: &Event, lower_case: bool, visitor: u64, random: &mut Random) {
    if event.name.is_empty() {
        if random.one_in(390) {
            put(out, format_args!("{{\"customevent\":\"conversion\",\"publisherid\":0,\"userid\":{}}}", visitor % 500));
        }
        return;
    }
    put(out, format_args!("{{\"customEvent\":\"{}\"", event.name.to_ascii_lowercase()));
    match (event.job, event.publisher) {
        (Some(job), publisher) => {
            put(out, format_args!(",\"jobId\":\"{job}\",\"publisherId\":\"{}\"", publisher.unwrap_or_default()));
        }
        (None, _) => {
            let applied = matches!(event.name, "conversion" | "qualified" | "unqualified");
            if !applied || random.one_in(10) {
                put(out, format_args!(",\"jobId\":{}", 2 + random.below(2_000)));
            }
            out.extend_from_slice(b",\"publisherId\":0");
            if random.one_in(2) {
                put(out, format_args!(",\"userId\":{}", visitor % 500));
            }
        }
    }
    if event.name == "alive" {
        out.extend_from_slice(b",\"stayed_alive\":10");
    }
    out.push(b'}');
    if lower_case {
        out.make_ascii_lowercase();
    }
}

/// Writes a version 1 UUID of the event's time, with a node and clock sequence of its own.
fn write_event_id(out: &mut Vec<u8>, ticks: i64, random: &mut Random) {
    let time = ticks.wrapping_add(UUID_EPOCH_TICKS).unsigned_abs();
    let (low, middle, high) = (time & 0xFFFF_FFFF, time >> 32 & 0xFFFF, time >> 48 & 0x0FFF | 0x1000);
    let (sequence, node) = (random.below(1 << 14) | 0x8000, random.below(1 << 48));
    put(out, format_args!("{low:08x}-{middle:04x}-{high:04x}-{sequence:04x}-{node:012x}"));
}

/// Writes what the visitor's clock said: mostly right, sometimes days off, often with milliseconds.
fn write_client_time(out: &mut Vec<u8>, time_us: i64, bare: bool, random: &mut Random) {
    if random.one_in(6_766) {
        return;
    }
    let skew_us = if random.one_in(57) {
        let minutes = 1 + random.below(10 * 24 * 60) as i64;
        if random.one_in(2) { minutes * MINUTE_US } else { -minutes * MINUTE_US }
    } else {
        random.below(3_500_000) as i64 - 2_000_000
    };
    let shown_us = time_us + skew_us;
    civil::write_timestamp(shown_us, out);
    if !bare {
        put(out, format_args!(".{:03}", shown_us.rem_euclid(1_000_000) / 1_000));
    }
}

/// Writes an amount in millionths as a float: at least one decimal, no more than needed.
fn write_amount(out: &mut Vec<u8>, micros: i64) {
    put(out, format_args!("{}.{:06}", micros / 1_000_000, micros % 1_000_000));
    while out.ends_with(b"0") && !out.ends_with(b".0") {
        out.pop();
    }
}

fn set(fields: &mut Fields, at: usize, text: &str) {
    fields[at].clear();
    fields[at].extend_from_slice(text.as_bytes());
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to memory cannot fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::{Random, write_amount, write_event_id};

    #[test]
    fn amounts_look_like_exported_floats() {
        for (micros, text) in [(0, "0.0"), (7_000_000, "7.0"), (2_005_000, "2.005"), (333_333, "0.333333")] {
            let mut out = Vec::new();
            write_amount(&mut out, micros);
            assert_eq!(out, text.as_bytes());
        }
    }

    #[test]
    fn event_ids_hold_their_time() {
        // The contract's example: 2022-07-27 03:58:21.226.
        let mut out = Vec::new();
        write_event_id(&mut out, 1_658_894_301_226_000 * 10, &mut Random::new(1, 1));
        assert!(out.starts_with(b"5af328a0-0d60-11ed-"), "{}", String::from_utf8_lossy(&out));
        assert!(matches!(out[19], b'8'..=b'9' | b'a'..=b'b'));
    }
}
