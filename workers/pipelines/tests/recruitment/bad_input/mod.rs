//! Bad input, hand-made and mutated: every record and message is stored, a duplicate, dead-lettered or ignored, exactly one of
//! these; nothing panics; what is sound beside it is counted. On the embedded store and, the hand-made cases, on real servers.
//!
//! `HEADRACE_TEST_SEED` repeats the mutations of one run, `HEADRACE_TEST_MUTATIONS` changes their number.

mod cases;

use std::collections::{BTreeMap, HashMap, HashSet};

use headrace_core::clock;
use headrace_core::dead_letter::DeadLetter;
use headrace_pipelines::recruitment::steps::Load;
use serde_json::json;
use serde_json::value::RawValue;

use super::random::Random;
use super::server_places::everywhere;
use super::{Place, fates, is_complete, refused, simulate};
use cases::Fate::{Counted, Dead, Duplicate, Ignored, Unattributed};
use cases::files::{End, header};
use cases::oracle::{Verdict, verdicts};
use cases::records::Row;
use cases::{Fate, Message, SOUND_JOB, files, letters, messages, mutations, produce, records};

/// Bytes of what is large, where everything is embedded.
const LARGE: usize = 10_000_000;
/// The same in messages that a Kafka broker takes by default.
const LARGE_MESSAGE: usize = 900_000;

/// How many of some fates are of each kind.
fn tally(fates: impl Iterator<Item = Fate>) -> [u64; 5] {
    let mut tally = [0; 5];
    fates.for_each(|fate| {
        let at = match fate {
            Counted => 0,
            Unattributed => 1,
            Ignored => 2,
            Duplicate => 3,
            Dead(_) => 4,
        };
        tally[at] += 1;
    });
    tally
}

/// Clicks of the sound job in the hourly table.
async fn sound_clicks(place: &Place) -> u64 {
    let prefix = format!("{SOUND_JOB},");
    let clicks = |line: &str| line.split(',').nth(8).unwrap().parse::<u64>().unwrap();
    place.hourly().await.lines().filter(|line| line.starts_with(&prefix)).map(clicks).sum()
}

/// Checks that a case was refused for its reason, with its bytes verbatim, or not refused.
fn assert_fate(name: &str, fate: Fate, letter: Option<&DeadLetter>, raw: Option<&[u8]>) {
    match (fate, letter) {
        (Dead(reason), Some(letter)) => {
            assert_eq!(letter.reason, reason, "{name}: {}", letter.detail);
            assert_eq!(letter.raw.as_deref(), raw, "{name}");
            assert!(letter.detail.len() < 2_000, "{name}: a detail of {} bytes", letter.detail.len());
        }
        (Dead(_), None) => panic!("{name} was not refused"),
        (_, Some(letter)) => panic!("{name} was refused: {} {}", letter.reason, letter.detail),
        (_, None) => {}
    }
}

fn by_position(letters: Vec<DeadLetter>) -> HashMap<String, DeadLetter> {
    let count = letters.len();
    let map: HashMap<_, _> = letters.into_iter().map(|letter| (letter.position.clone(), letter)).collect();
    assert_eq!(map.len(), count, "a place was refused twice");
    map
}

/// All hand-made records in one file, a sound one before, between and behind them.
async fn hand_made_records(place: &Place, large: usize) {
    let cases = records::cases(large);
    let mut file = format!("{}\n{}\n", header(), Row::sound(1).text()).into_bytes();
    for (case, number) in cases.iter().zip(2..) {
        file.extend_from_slice(&case.bytes);
        file.extend_from_slice(format!("\n{}\n", Row::sound(number).text()).as_bytes());
    }
    let report = place.load(&place.write("records.csv", file)).await;
    let sound = cases.len() as u64 + 1;
    let [counted, unattributed, ignored, duplicate, dead] = tally(cases.iter().map(|case| case.fate));
    let stored = sound + counted + unattributed + ignored;
    let letters = by_position(letters(place, "load").await);
    for (case, number) in cases.iter().zip(1..) {
        assert_fate(case.name, case.fate, letters.get(&(2 * number).to_string()), Some(&case.bytes));
    }
    assert_eq!(fates(&report), [sound + cases.len() as u64, stored, duplicate, dead, 0]);
    assert_eq!(letters.len() as u64, dead);
    assert_eq!(fates(&place.replay().await)[1], stored);
    assert_eq!(fates(&place.clean().await), [stored, sound + counted, 0, 0, unattributed + ignored]);
    assert_eq!(sound_clicks(place).await, sound);
    assert!(is_complete(&place.verify().await));
    // What a reader of the dead letters gets is sound CSV, whatever the letters hold.
    let export = place.export("dead-letters").await;
    let mut reader = csv::Reader::from_reader(export.as_bytes());
    let listed = reader.records().filter(|record| record.as_ref().unwrap().len() == 3).count();
    assert_eq!(listed as u64, dead);
}

/// All hand-made messages in one partition, a sound one before, between and behind them.
async fn hand_made_messages(place: &Place, large: usize) {
    let cases = messages::cases(large);
    let mut all = vec![messages::sound(1)];
    for (case, number) in cases.iter().zip(2..) {
        all.extend([case.message.clone(), messages::sound(number)]);
    }
    produce(place, &all).await;
    let report = place.clean().await;
    let sound = cases.len() as u64 + 1;
    let [counted, unattributed, ignored, duplicate, dead] = tally(cases.iter().map(|case| case.fate));
    let letters = by_position(letters(place, "clean").await);
    for (case, number) in cases.iter().zip(0..) {
        let letter = letters.get(&format!("0-{}", 2 * number + 1));
        assert_fate(case.name, case.fate, letter, case.message.1.as_deref());
        if let Some(letter) = letter {
            assert_eq!(letter.key, case.message.0, "{}", case.name);
        }
    }
    assert_eq!(fates(&report), [all.len() as u64, sound + counted, duplicate, dead, unattributed + ignored]);
    assert_eq!(letters.len() as u64, dead);
    assert_eq!(sound_clicks(place).await, sound);
}

#[test]
fn there_are_two_hundred_hand_made_cases_with_names_of_their_own() {
    let (records, messages, files) = (records::cases(100), messages::cases(100), files::cases());
    assert!(records.len() + messages.len() >= 200, "{} and {}", records.len(), messages.len());
    for names in [
        records.iter().map(|case| case.name).collect::<Vec<_>>(),
        messages.iter().map(|case| case.name).collect(),
        files.iter().map(|case| case.name).collect(),
    ] {
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hand_made_records_on_embedded() {
    hand_made_records(&Place::embedded(), LARGE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hand_made_messages_on_embedded() {
    hand_made_messages(&Place::embedded(), LARGE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hand_made_records_on_servers() {
    everywhere("badrecords", async |place| hand_made_records(place, LARGE).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hand_made_messages_on_servers() {
    everywhere("badmessages", async |place| hand_made_messages(place, LARGE_MESSAGE).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_begin_end_or_are_otherwise() {
    for case in files::cases() {
        let place = Place::embedded();
        let file = place.write("file.csv", &case.bytes);
        match case.end {
            End::Loaded(stored, refusals) => {
                let report = place.load(&file).await;
                let dead = refusals.len() as u64;
                assert_eq!(fates(&report), [stored + dead, stored, 0, dead, 0], "{}", case.name);
                let letters = by_position(letters(&place, "load").await);
                for (record, reason) in refusals {
                    assert_eq!(letters[&record.to_string()].reason, *reason, "{}", case.name);
                }
            }
            End::Refused(kind, words) => {
                let error = refused::<Load>(place.load_values(&file, json!({}))).await;
                let text = error.to_string();
                assert_eq!(error.kind(), kind, "{}: {text}", case.name);
                assert!(!text.contains('\n') && text.len() < 500, "{}: not one line: {text}", case.name);
                assert!(!text.chars().any(char::is_control), "{}: {text:?}", case.name);
                for word in words {
                    assert!(text.contains(word), "{}: {word:?} is not in: {text}", case.name);
                }
            }
        }
    }
}

fn random() -> Random {
    let seed = clock::environment("HEADRACE_TEST_SEED").map_or_else(clock::now_us, |seed| seed.parse().unwrap());
    eprintln!("HEADRACE_TEST_SEED={seed}");
    Random::new(seed as u64)
}

fn mutated() -> u64 {
    clock::environment("HEADRACE_TEST_MUTATIONS").map_or(100_000, |count| count.parse().unwrap())
}

/// Records of simulated files, which have everything that real ones have.
fn simulated_records(place: &Place, seed: u64) -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(simulate(place, seed, 2_000, 0.0).tracking).unwrap();
    text.lines().skip(1).map(|line| line.as_bytes().to_vec()).collect()
}

/// Mutated records with sound ones among them, against an oracle that tells the fate of every single one.
#[tokio::test(flavor = "multi_thread")]
async fn mutated_records_have_the_fate_an_oracle_tells() {
    let mut random = random();
    let place = Place::embedded();
    let samples = simulated_records(&place, random.next());
    let mut file = (header() + "\n").into_bytes();
    let mut sound = 0;
    for count in 0..mutated() {
        let pick = |random: &mut Random| &samples[random.below(samples.len() as u64) as usize];
        let (record, other) = (pick(&mut random), pick(&mut random));
        file.extend(mutations::mutate(&mut random, record, other));
        file.push(b'\n');
        // Its quoted fields end whatever quote was left open before.
        if count % 10 == 0 {
            sound += 1;
            file.extend(format!("{}\n", Row::sound(sound).text()).bytes());
        }
    }
    let report = place.load(&place.write("mutated.csv", &file)).await;
    let letters = by_position(letters(&place, "load").await);
    let letter = |place: usize| letters.get(&(place + 1).to_string());
    let verdicts = verdicts(&file, |place| letter(place).is_some());
    let mut stored = HashSet::new();
    let mut tally: BTreeMap<String, u64> = BTreeMap::new();
    for (place, verdict) in verdicts.iter().enumerate() {
        let reason = letter(place).map(|letter| letter.reason.as_str());
        match verdict {
            Verdict::Dead(expected) => assert_eq!(reason, Some(*expected), "record {}", place + 1),
            Verdict::Unclear => assert!(reason.is_some_and(|reason| reason.starts_with("bad_")
                || reason == "negative_bid"
                || reason == "conflicting_duplicate")),
            Verdict::Stored(_) | Verdict::Duplicate => assert_eq!(reason, None, "record {}", place + 1),
        }
        if let Verdict::Stored(id) = verdict {
            stored.insert(id.clone());
        }
        *tally.entry(reason.map_or_else(|| format!("{verdict:?}")[..6].to_owned(), str::to_owned)).or_default() += 1;
    }
    eprintln!("{tally:?}");
    let dead = letters.len() as u64;
    let read = verdicts.len() as u64;
    assert_eq!(fates(&report), [read, stored.len() as u64, read - dead - stored.len() as u64, dead, 0]);
    // The store holds these rows and no others, and most sound ones stood on lines of their own.
    let messages = place.export("messages").await;
    let found: HashSet<String> = messages.lines().map(|line| line[13..49].to_owned()).collect();
    assert!(found == stored, "{} rows for {} records", found.len(), stored.len());
    let kept = (1..=sound).filter(|number| stored.contains(&cases::id(*number))).count() as u64;
    assert!(kept * 10 >= sound * 8, "{kept} of {sound} sound records were read as such");
    assert!(tally.len() >= 8 && stored.len() > 1_000, "the mutations miss most rules: {tally:?}");
}

/// Mutated messages with sound ones among them: each is an event or a dead letter with its bytes; the sound ones all count.
#[tokio::test(flavor = "multi_thread")]
async fn mutated_messages_are_events_or_dead_letters() {
    let mut random = random();
    let place = Place::embedded();
    place.load(&simulate(&place, random.next(), 2_000, 0.0).tracking).await;
    let samples: Vec<Vec<u8>> = place.export("messages").await.lines().map(|line| line.as_bytes().to_vec()).collect();
    let mut all: Vec<Message> = Vec::new();
    let mut sound = 0;
    for count in 0..mutated() {
        let pick = |random: &mut Random| &samples[random.below(samples.len() as u64) as usize];
        let (value, other) = (pick(&mut random), pick(&mut random));
        let value = Some(mutations::mutate(&mut random, value, other)).filter(|_| !random.one_in(1_000));
        let key = Some(mutations::mutate(&mut random, b"1234", other)).filter(|_| random.one_in(2));
        all.push((key, value));
        if count % 10 == 0 {
            sound += 1;
            all.push(messages::sound(sound));
        }
    }
    produce(&place, &all).await;
    let report = place.clean().await;
    let letters = by_position(letters(&place, "clean").await);
    let [read, written, duplicate, dead, ignored] = fates(&report);
    assert_eq!((read, dead), (all.len() as u64, letters.len() as u64));
    let mut tally: BTreeMap<&str, u64> = BTreeMap::new();
    for ((key, value), offset) in all.iter().zip(0..) {
        let letter = letters.get(&format!("0-{offset}"));
        // What is no JSON object at all can be nothing but a dead letter.
        let text = value.as_deref().and_then(|value| std::str::from_utf8(value).ok());
        let is_object = text.is_some_and(|text| serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(text).is_ok());
        if let Some(letter) = letter {
            assert_eq!((&letter.key, &letter.raw), (key, value));
            *tally.entry(letter.reason.as_str()).or_default() += 1;
        } else {
            assert!(is_object, "{text:?}");
        }
    }
    eprintln!("{written} counted, {duplicate} copies, {ignored} ignored, {tally:?}");
    assert_eq!(sound_clicks(&place).await, sound);
    assert!(tally.len() >= 8 && written > sound && ignored > 0 && duplicate > 0, "the mutations miss most rules");
}
