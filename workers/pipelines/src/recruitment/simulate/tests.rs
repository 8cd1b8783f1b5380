//! The files against an oracle that reads them back with the `csv` crate and classifies every record anew.

use std::collections::{BTreeMap, HashMap};

use headrace_core::{Control, ErrorKind};
use headrace_transforms::{civil, decimal};
use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::{Defects, Simulated, Simulation, write_files};

const NUMERIC: [usize; 9] = [2, 4, 5, 11, 12, 14, 16, 20, 28];
const IDENTIFIERS: [usize; 4] = [4, 12, 14, 16];
const METRICS: [&str; 4] = ["click", "conversion", "qualified", "unqualified"];

fn simulate(simulation: &Simulation) -> (Simulated, Vec<u8>, Vec<u8>) {
    let (mut tracking, mut jobs) = (Vec::new(), Vec::new());
    let simulated = simulation.write(&mut tracking, &mut jobs).unwrap();
    (simulated, tracking, jobs)
}

fn records(bytes: &[u8]) -> Vec<csv::ByteRecord> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
    reader.byte_records().map(Result::unwrap).collect()
}

fn is_number(text: &str) -> bool {
    let text = text.trim();
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = text.split_once(['e', 'E']).map_or((text, None), |(left, right)| (left, Some(right)));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let sound_exponent = exponent.is_none_or(|text| {
        let text = text.strip_prefix(['+', '-']).unwrap_or(text);
        !text.is_empty() && digits(text)
    });
    digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()) && sound_exponent
}

/// A stored event: event time in 100 ns ticks since 1970, and the fields.
struct Stored {
    ticks: i64,
    fields: Vec<String>,
}

/// The class of a record as section 5 of the contract has it, `stored` included.
fn classify(record: &csv::ByteRecord, seen: &mut HashMap<String, Vec<String>>, kept: &mut Vec<Stored>) -> String {
    let texts: Result<Vec<String>, _> = record.iter().map(|field| String::from_utf8(field.to_vec())).collect();
    let Ok(fields) = texts else { return "dead_letter:not_utf8".to_owned() };
    let refuse = |reason: &str| format!("dead_letter:{reason}");
    if fields.len() != 30 {
        return refuse("column_count");
    }
    let id = &fields[1];
    if id.is_empty() {
        return refuse("missing_create_time");
    }
    let parts: Vec<&str> = id.split('-').collect();
    let hex = |part: &&str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    if parts.iter().map(|part| part.len()).collect::<Vec<_>>() != [8, 4, 4, 4, 12] || !parts.iter().all(hex) {
        return refuse("bad_create_time");
    }
    if !parts[2].starts_with('1') || !parts[3].starts_with(['8', '9', 'a', 'b']) {
        return refuse("not_time_uuid");
    }
    if NUMERIC.iter().any(|&at| !fields[at].is_empty() && !is_number(&fields[at])) {
        return refuse("bad_number");
    }
    let bad = |text: &String| {
        !text.is_empty() && !matches!(text.parse(), Ok(0.0..=9_007_199_254_740_992.0) if !text.contains(".5"))
    };
    if IDENTIFIERS.iter().any(|&at| bad(&fields[at])) {
        return refuse("bad_identifier");
    }
    if fields[2].starts_with('-') {
        return refuse("negative_bid");
    }
    if let Some(first) = seen.get(id) {
        let same = first[2..] == fields[2..];
        return if same { "duplicate".to_owned() } else { refuse("conflicting_duplicate") };
    }
    seen.insert(id.clone(), fields.clone());
    let ticks = i64::from_str_radix(&format!("{}{}{}", &parts[2][1..], parts[1], parts[0]), 16).unwrap();
    let (name, has_job) = (fields[6].clone(), !fields[14].is_empty());
    kept.push(Stored { ticks: ticks - 122_192_928_000_000_000, fields });
    match (name.as_str(), has_job) {
        ("", _) => "ignored:no_track".to_owned(),
        (name, true) if METRICS.contains(&name) => format!("counted:{name}"),
        (name, false) if METRICS.contains(&name) => format!("unattributed:{name}"),
        _ => "ignored:other_track".to_owned(),
    }
}

fn whole(text: &str) -> i64 {
    text.split('.').next().unwrap().parse().unwrap_or(0)
}

fn micros(text: &str) -> i64 {
    let (whole, fraction) = text.split_once('.').unwrap_or(("0", "0"));
    format!("{whole}{fraction:0<6}").parse().unwrap()
}

/// The export, from the stored events and the job file, with the money and calendar of the transforms.
fn export(kept: &[Stored], jobs: &[csv::ByteRecord]) -> String {
    let companies: HashMap<i64, String> = jobs
        .iter()
        .map(|job| (whole(std::str::from_utf8(&job[0]).unwrap()), String::from_utf8(job[27].to_vec()).unwrap()))
        .collect();
    let mut rows = BTreeMap::<[i64; 5], ([i64; 4], i64)>::new();
    for event in kept {
        let metric = METRICS.iter().position(|name| *name == event.fields[6]);
        if let (Some(metric), false) = (metric, event.fields[14].is_empty()) {
            let hour_us = civil::hour_floor(event.ticks.div_euclid(10));
            let [campaign, group, job, publisher] = IDENTIFIERS.map(|at| whole(&event.fields[at]));
            let row = rows.entry([job, hour_us, publisher, campaign, group]).or_default();
            row.0[metric] += 1;
            row.1 += if metric == 0 { micros(&event.fields[2]) } else { 0 };
        }
    }
    let cents = |cents: i64| {
        let mut out = Vec::new();
        decimal::write_cents(cents, &mut out);
        String::from_utf8(out).unwrap()
    };
    let mut out = super::super::export::HOURLY_HEADER.to_owned();
    for ([job, hour_us, publisher, campaign, group], (counts, spend)) in rows {
        let ts = civil::timestamp_text(hour_us);
        let (date, hour) = (&ts[..10], civil::hour_of_day(hour_us));
        let [clicks, conversions, qualified, unqualified] =
            counts.map(|count| if count == 0 { String::new() } else { count.to_string() });
        let average = decimal::average_cents(spend, counts[0]).filter(|_| counts[0] > 0).map(cents).unwrap_or_default();
        let spend = if counts[0] > 0 { cents(decimal::cents(spend)) } else { String::new() };
        let company = companies.get(&job).cloned().unwrap_or_default();
        out += &format!(
            "{job},{ts},{date},{hour},{publisher},{campaign},{group},{average},{clicks},{spend},{conversions},\
             {qualified},{unqualified},{company},Cassandra\n"
        );
    }
    out
}

fn check_against_oracle(simulation: &Simulation) -> Simulated {
    let (simulated, tracking, jobs) = simulate(simulation);
    let (mut seen, mut kept) = (HashMap::new(), Vec::new());
    let mut counts = BTreeMap::<String, u64>::new();
    for record in records(&tracking) {
        let class = classify(&record, &mut seen, &mut kept);
        let total = class.split(':').next().unwrap_or_default().to_owned();
        let is_stored = matches!(total.as_str(), "counted" | "unattributed" | "ignored");
        let mut names = vec![class.clone(), "read".to_owned()];
        names.extend(is_stored.then(|| "stored".to_owned()));
        names.extend((total != class && total != "ignored").then_some(total));
        for name in names {
            *counts.entry(name).or_default() += 1;
        }
    }
    counts.entry("read".to_owned()).or_default();
    assert_eq!(simulated.counts, counts);
    assert_eq!((simulated.rows, simulated.tracking_bytes), (simulation.rows, tracking.len() as u64));
    let jobs = records(&jobs);
    assert_eq!(jobs.len() as u64, simulation.jobs);
    let expected = simulation.expected().unwrap();
    assert_eq!(expected.hourly_csv(), export(&kept, &jobs));
    let unattributed = expected.unattributed_csv();
    let events = unattributed.lines().skip(1).map(|line| line.rsplit(',').next().unwrap().parse::<u64>().unwrap());
    assert_eq!(events.sum::<u64>(), simulated.count("unattributed"));
    simulated
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn what_it_says_is_what_it_wrote(
        rows in 0_u64..600, jobs in 1_u64..50, seed: u64, days in 1_u32..5, share in 0.0..0.1, start_us in 0_i64..4_000_000_000_000_000,
    ) {
        check_against_oracle(&Simulation { rows, jobs, seed, start_us, days, defects: Defects::all(share) });
    }
}

#[test]
fn every_class_and_defect_occurs() {
    let simulation = Simulation { rows: 30_000, defects: Defects::all(0.01), ..Simulation::default() };
    let simulated = check_against_oracle(&simulation);
    assert_eq!(simulated.counts.len(), 26 - 1, "{:?}", simulated.counts);
    for (class, count) in &simulated.counts {
        if class == "duplicate" || class.starts_with("dead_letter:") {
            assert!((220..380).contains(count), "{class} {count}");
        }
    }
}

#[test]
fn the_mix_is_that_of_the_real_log() {
    let simulation = Simulation { rows: 40_000, ..Simulation::default() };
    let (simulated, tracking, jobs) = simulate(&simulation);
    assert_eq!(simulated.count("stored"), simulated.rows);
    for (class, of_the_real_log) in [("ignored:no_track", 3_515), ("counted:click", 964), ("unattributed:click", 1_203)]
    {
        let count = simulated.count(class) * 6_766 / simulated.rows;
        assert!(count.abs_diff(of_the_real_log) < 80, "{class} {count}");
    }
    assert!((350..450).contains(&(tracking.len() / 40_000)), "{} bytes a row", tracking.len() / 40_000);
    let events = records(&tracking);
    let number_of = |at: usize| events.iter().filter(|record| !record[at].is_empty()).count();
    assert!(number_of(14).abs_diff(11_700) < 500 && number_of(12).abs_diff(3_840) < 400);
    let times: Vec<i64> = {
        let (mut seen, mut kept) = (HashMap::new(), Vec::new());
        events.iter().for_each(|record| drop(classify(record, &mut seen, &mut kept)));
        kept.iter().map(|event| event.ticks / 10).collect()
    };
    let backwards = times.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!(backwards.abs_diff(20_000) < 600, "{backwards}");
    let days = (times.iter().max().unwrap() - times.iter().min().unwrap()) / 86_400_000_000;
    assert_eq!(days, 29);
    let mut by_job = HashMap::<&[u8], usize>::new();
    events
        .iter()
        .filter(|record| !record[14].is_empty())
        .for_each(|record| *by_job.entry(&record[14]).or_default() += 1);
    assert!(by_job.values().max().unwrap() * 20 > number_of(14), "the first job has more than 5 %");
    assert!(by_job.len() > 1_000);
    let companies: std::collections::HashSet<Vec<u8>> = records(&jobs).iter().map(|job| job[27].to_vec()).collect();
    assert_eq!(companies.len(), 16, "15 companies, and none");
}

#[test]
fn the_same_seed_gives_the_same_bytes_everywhere() {
    let simulation = Simulation { rows: 500, jobs: 40, defects: Defects::all(0.02), ..Simulation::default() };
    let (_, tracking, jobs) = simulate(&simulation);
    assert_eq!(format!("{:016x} {:016x}", xxh3_64(&tracking), xxh3_64(&jobs)), "8273a1a2561696c0 770d27ca975d88d2");
    let (_, other, _) = simulate(&Simulation { seed: 2, ..simulation });
    assert_ne!(tracking, other);
}

#[test]
fn a_stopped_simulation_tells_what_it_wrote() {
    let control = Control::default();
    control.stop();
    let simulation = Simulation { rows: 20_000, ..Simulation::default() };
    let mut tracking = Vec::new();
    let simulated = simulation.write_watched(&mut tracking, std::io::sink(), &control).unwrap();
    assert!(simulated.rows < 20_000);
    assert_eq!(records(&tracking).len() as u64, simulated.rows);
    assert_eq!(simulated.count("read"), simulated.rows);
}

#[test]
fn files_are_written_or_named() {
    let directory = tempfile::tempdir().unwrap();
    let (tracking, jobs) = (directory.path().join("new/tracking.csv"), directory.path().join("job.csv"));
    let simulation = Simulation { rows: 100, ..Simulation::default() };
    let simulated = write_files(&tracking, &jobs, &simulation).unwrap();
    let (_, bytes, job_bytes) = simulate(&simulation);
    assert_eq!((std::fs::read(&tracking).unwrap(), std::fs::read(&jobs).unwrap()), (bytes, job_bytes));
    assert_eq!(simulated.jobs, 1_868);
    let error = write_files(directory.path(), &jobs, &simulation).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains(&directory.path().display().to_string()), "{error}");
}

#[test]
fn defects_are_read_from_text_and_checked() {
    let defects: Defects = "all=0.001, duplicate=0.5".parse().unwrap();
    assert_eq!(defects, Defects { duplicate: 0.5, ..Defects::all(0.001) });
    assert_eq!("0.01".parse::<Defects>().unwrap(), Defects::all(0.01));
    assert_eq!("".parse::<Defects>().unwrap(), Defects::default());
    for wrong in ["all=0.2", "duplicate=1.5", "duplicate=-0.1", "typo=0.1", "duplicate=x", "duplicate=NaN"] {
        assert_eq!(wrong.parse::<Defects>().unwrap_err().kind(), ErrorKind::Configuration, "{wrong}");
    }
    for senseless in [Simulation { jobs: 0, ..Simulation::default() }, Simulation { days: 0, ..Simulation::default() }]
    {
        assert_eq!(senseless.expected().unwrap_err().kind(), ErrorKind::Configuration);
    }
}
