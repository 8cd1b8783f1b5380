//! Input that no producer should send: tables of named cases, whole files, and seeded mutations of sound input.
//!
//! What each case must become is written beside it. Between any two cases stands a sound record or message, which must be
//! counted whatever its neighbours are.

pub mod files;
pub mod messages;
pub mod mutations;
pub mod oracle;
pub mod records;

use headrace_core::StoreUrl;
use headrace_core::batch::message_columns::{KEY, VALUE};
use headrace_core::dead_letter::DeadLetter;
use headrace_pipelines::recruitment::dead_letter_replay::{Choice, read};
use headrace_pipelines::recruitment::schema::{RawSchema, ResultSchema, TOPIC};
use headrace_pipelines::stores::{open_log, open_raw, open_warehouse};
use headrace_transforms::civil;
use headrace_transforms::time_uuid;
use polars::prelude::{DataFrame, NamedFrom, Series};

use crate::recruitment::Place;

/// What must become of a record or message; the first three are stored by the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Counted,
    Unattributed,
    Ignored,
    Duplicate,
    Dead(&'static str),
}

/// A key and a value as a log holds them.
pub type Message = (Option<Vec<u8>>, Option<Vec<u8>>);

/// The job of all sound records and messages, which no case has.
pub const SOUND_JOB: i64 = 77_000_077;

/// 2024-03-01.
const FIRST_US: i64 = 1_709_251_200_000_000;

/// The event time of a sound record, one second after the one before, microseconds since 1970.
pub fn time_us(number: u64) -> i64 {
    FIRST_US + number as i64 * civil::SECOND_US
}

/// The event id of a sound record.
pub fn id(number: u64) -> String {
    let ticks = time_uuid::UNIX_EPOCH_TICKS + time_us(number) as u64 * 10;
    time_uuid::to_text(&time_uuid::with_ticks(ticks, 1, 1 << 63 | number))
}

/// Appends messages to a place's topic of one partition, in their order.
pub async fn produce(place: &Place, messages: &[Message]) {
    let url = StoreUrl::parse(&place.log).unwrap();
    let (log, topic) = (open_log(&url).await.unwrap(), url.topic(TOPIC).unwrap());
    log.create_topic(&topic, 1).await.unwrap();
    let keys: Vec<Option<&[u8]>> = messages.iter().map(|(key, _)| key.as_deref()).collect();
    let values: Vec<Option<&[u8]>> = messages.iter().map(|(_, value)| value.as_deref()).collect();
    let columns = vec![Series::new(KEY.into(), keys).into(), Series::new(VALUE.into(), values).into()];
    log.produce(&topic, &DataFrame::new(messages.len(), columns).unwrap()).await.unwrap();
}

/// The dead letters of the load or of the cleaning, as they are stored.
pub async fn letters(place: &Place, refuser: &str) -> Vec<DeadLetter> {
    let choice = Choice { settled: true, limit: usize::MAX, ..Choice::default() };
    if refuser == "load" {
        let url = StoreUrl::parse(&place.raw).unwrap();
        read(&*open_raw(&url).await.unwrap(), &RawSchema::of(&url).unwrap().dead_letters, &choice).await.unwrap()
    } else {
        let url = StoreUrl::parse(&place.result).unwrap();
        read(&*open_warehouse(&url).await.unwrap(), &ResultSchema::of(&url).unwrap().dead_letters, &choice)
            .await
            .unwrap()
    }
}
