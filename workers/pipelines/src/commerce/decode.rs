//! The pure half of the stream step: raw messages in, checked events as columns and refused events out.
//!
//! Ordering: that of the messages. Memory: one batch.

use headrace_core::Result;
use headrace_core::batch::message_columns::{KEY, OFFSET, PARTITION, TIMESTAMP, TOPIC, VALUE};
use headrace_transforms::civil::SECOND_US;
use headrace_transforms::ids;
use polars::prelude::{
    ChunkedBuilder, Column, DataFrame, Float64Type, Int64Type, IntoSeries, NamedFrom, PrimitiveChunkedBuilder, Series,
    StringChunked, StringChunkedBuilder,
};

use super::event::{self, Event, Kind};
use super::reason::Refusal;
use crate::dead_letters::message_letter::MessageLetter;

/// The arrival in microseconds, where the source knows it better than the broker's milliseconds (`Int64`).
pub const ARRIVAL_US: &str = "arrival_us";

/// Where an event came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// A refused event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Where it came from.
    pub place: Place,
    /// When it arrived.
    pub arrival_us: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value as it came.
    pub raw: Option<Vec<u8>>,
    /// Why.
    pub refusal: Refusal,
}

impl Refused {
    /// As a dead letter.
    pub(super) fn letter(&self) -> MessageLetter<'_> {
        MessageLetter {
            topic: &self.place.topic,
            partition: self.place.partition,
            offset: self.place.offset,
            key: self.key.as_deref(),
            raw: self.raw.as_deref(),
            reason: self.refusal.reason.as_str(),
            detail: &self.refusal.detail,
        }
    }
}

/// The checked events of a batch; those that repeat others are still among them.
pub struct Decoded {
    /// The archive's columns, or [some of them](Columns), a row for each valid event, in message order.
    pub rows: DataFrame,
    /// What happened, by row.
    pub kinds: Vec<Kind>,
    /// When it arrived, by row.
    pub arrivals_us: Vec<i64>,
    /// Ids and contents, by row.
    pub ids: ids::Batch,
    /// The message of each row.
    pub messages: Vec<usize>,
    /// The refused events, in message order.
    pub refused: Vec<Refused>,
    /// The messages as they came.
    pub raw: DataFrame,
    /// Whether the messages are one sequence, whatever topics and partitions they name.
    pub is_sequence: bool,
}

impl Decoded {
    /// A checked event as a refused one, for what checking it alone could not tell.
    ///
    /// # Errors
    /// When a column is missing.
    pub(super) fn refuse(&self, row: usize, refusal: Refusal) -> Result<Refused> {
        let (rows, raw, message) = (&self.rows, &self.raw, self.messages[row]);
        Ok(Refused {
            place: Place {
                topic: texts(rows, TOPIC)?.get(row).unwrap_or_default().to_owned(),
                partition: rows.column(PARTITION)?.i32()?.get(row).unwrap_or_default(),
                offset: rows.column(OFFSET)?.i64()?.get(row).unwrap_or_default(),
            },
            arrival_us: self.arrivals_us[row],
            key: raw.column(KEY)?.binary()?.get(message).map(<[u8]>::to_vec),
            raw: raw.column(VALUE)?.binary()?.get(message).map(<[u8]>::to_vec),
            refusal,
        })
    }

    /// No events at all.
    ///
    /// # Errors
    /// When the frame cannot be built.
    pub fn none() -> Result<Self> {
        let (bytes, ints): (Vec<Option<&[u8]>>, Vec<i64>) = (Vec::new(), Vec::new());
        let columns = vec![
            Series::new(KEY.into(), bytes.clone()).into(),
            Series::new(VALUE.into(), bytes).into(),
            Series::new(TIMESTAMP.into(), ints.clone()).into(),
            Series::new(PARTITION.into(), Vec::<i32>::new()).into(),
            Series::new(OFFSET.into(), ints).into(),
            Series::new(TOPIC.into(), Vec::<&str>::new()).into(),
        ];
        decode(DataFrame::new(0, columns)?, Columns::All)
    }
}

/// The archive's text columns, in the contract's order; `price` and `timestamp` stand behind the fifth.
pub const TEXTS: [&str; 9] =
    ["event_id", "user_id", "product_id", "category", "event_type", "store_id", "store_type", "city", "province"];

/// Which members of events become columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Columns {
    /// All that the archive has.
    All,
    /// Id, price and event time, which are enough for sales.
    Sales,
}

/// Columns of events under construction.
struct Builders {
    texts: Vec<StringChunkedBuilder>,
    price: PrimitiveChunkedBuilder<Int64Type>,
    time: Vec<i64>,
    /// Latitude and longitude.
    location: Option<[PrimitiveChunkedBuilder<Float64Type>; 2]>,
    topic: StringChunkedBuilder,
    partition: Vec<i32>,
    offset: Vec<i64>,
}

impl Builders {
    fn new(columns: Columns, rows: usize) -> Self {
        let (texts, location) = match columns {
            Columns::All => (&TEXTS[..], Some(["lat", "lon"])),
            Columns::Sales => (&TEXTS[..1], None),
        };
        Self {
            texts: texts.iter().map(|name| StringChunkedBuilder::new((*name).into(), rows)).collect(),
            price: PrimitiveChunkedBuilder::new("price".into(), rows),
            time: Vec::with_capacity(rows),
            location: location.map(|names| names.map(|name| PrimitiveChunkedBuilder::new(name.into(), rows))),
            topic: StringChunkedBuilder::new(TOPIC.into(), rows),
            partition: Vec::with_capacity(rows),
            offset: Vec::with_capacity(rows),
        }
    }

    fn push(&mut self, event: &Event<'_>, topic: &str, partition: i32, offset: i64) {
        let texts = [
            Some(&*event.event_id),
            Some(&*event.user_id),
            Some(&*event.product_id),
            event.category.as_deref(),
            Some(event.kind.event_type()),
            event.store_id.as_deref(),
            event.store_type.as_deref(),
            event.city.as_deref(),
            event.province.as_deref(),
        ];
        self.texts.iter_mut().zip(texts).for_each(|(builder, text)| builder.append_option(text));
        self.price.append_option(event.price);
        self.time.push(event.time_us);
        if let Some([lats, lons]) = &mut self.location {
            let (lat, lon) = event.location().unzip();
            lats.append_option(lat);
            lons.append_option(lon);
        }
        self.topic.append_value(topic);
        self.partition.push(partition);
        self.offset.push(offset);
    }

    fn finish(self) -> Result<DataFrame> {
        let height = self.time.len();
        let mut texts = self.texts.into_iter().map(|builder| Column::from(builder.finish().into_series()));
        let mut columns: Vec<Column> = texts.by_ref().take(5).collect();
        columns.push(self.price.finish().into_series().into());
        columns.push(Series::new("timestamp".into(), self.time).into());
        columns.extend(texts);
        columns.extend(self.location.into_iter().flatten().map(|builder| builder.finish().into_series().into()));
        columns.push(self.topic.finish().into_series().into());
        columns.push(Series::new(PARTITION.into(), self.partition).into());
        columns.push(Series::new(OFFSET.into(), self.offset).into());
        Ok(DataFrame::new(height, columns)?)
    }
}

/// A text column of a frame.
///
/// # Errors
/// When there is none of this name and type.
pub fn texts<'a>(frame: &'a DataFrame, name: &str) -> Result<&'a StringChunked> {
    Ok(frame.column(name)?.str()?)
}

/// The values of a text column, for those who look into many of its rows.
///
/// # Errors
/// When there is none of this name and type.
pub fn text_values<'a>(frame: &'a DataFrame, name: &str) -> Result<Vec<Option<&'a str>>> {
    Ok(texts(frame, name)?.iter().collect())
}

/// Reads and checks a frame of raw messages with their topics.
///
/// # Errors
/// When a column of the frame is missing or of another type.
pub fn decode(raw: DataFrame, columns: Columns) -> Result<Decoded> {
    let (keys, values) = (raw.column(KEY)?.binary()?, raw.column(VALUE)?.binary()?);
    let topics = texts(&raw, TOPIC)?;
    let (partitions, offsets) = (raw.column(PARTITION)?.i32()?, raw.column(OFFSET)?.i64()?);
    let (arrivals, unit) = match raw.column(ARRIVAL_US) {
        Ok(column) => (column.i64()?, 1),
        Err(_) => (raw.column(TIMESTAMP)?.i64()?, 1_000),
    };
    let mut builders = Builders::new(columns, raw.height());
    let (mut kinds, mut arrivals_us) = (Vec::with_capacity(raw.height()), Vec::with_capacity(raw.height()));
    let (mut entries, mut messages) = (Vec::with_capacity(raw.height()), Vec::with_capacity(raw.height()));
    let mut refused = Vec::new();
    let places = topics.iter().zip(partitions.iter()).zip(offsets.iter().zip(arrivals.iter()));
    for (row, (value, ((topic, partition), (offset, arrival)))) in values.iter().zip(places).enumerate() {
        let (topic, partition) = (topic.unwrap_or_default(), partition.unwrap_or_default());
        let (offset, arrival_us) = (offset.unwrap_or_default(), arrival.unwrap_or_default() * unit);
        match event::read(value, arrival_us) {
            Ok(event) => {
                builders.push(&event, topic, partition, offset);
                kinds.push(event.kind);
                arrivals_us.push(arrival_us);
                messages.push(row);
                entries.push(ids::Entry {
                    key: ids::hash_key(event.event_id.as_bytes()),
                    payload: event.content,
                    time: event.time_us.div_euclid(SECOND_US),
                });
            }
            Err(refusal) => refused.push(Refused {
                place: Place { topic: topic.to_owned(), partition, offset },
                arrival_us,
                key: keys.get(row).map(<[u8]>::to_vec),
                raw: value.map(<[u8]>::to_vec),
                refusal,
            }),
        }
    }
    let (rows, ids) = (builders.finish()?, ids::Batch::new(entries));
    let is_sequence = raw.column(ARRIVAL_US).is_ok();
    Ok(Decoded { rows, kinds, arrivals_us, ids, messages, refused, raw, is_sequence })
}
