//! Rows of the archive as a blob: what a batch adds to the archive waits in the ledger until there is enough for a file.
//!
//! Column by column; texts that repeat are written once and then by number.

use std::collections::HashMap;

use headrace_core::batch::message_columns::{OFFSET, PARTITION, TOPIC};
use headrace_core::{Error, Result};
use headrace_transforms::packed::{self, Damaged};
use polars::prelude::{Column, DataFrame, IntoSeries, NamedFrom, Series, StringChunkedBuilder};

use super::decode::{TEXTS, texts};

/// The version of the format.
const FORMAT: u8 = 1;
/// Texts of a column that are written by number.
const NUMBERED: usize = 250;
/// No text.
const NONE: u8 = 255;
/// A text that has no number: it follows.
const SPELT: u8 = 254;

/// Writes rows down.
///
/// # Errors
/// When a column is missing or of another type.
pub fn pack(rows: &DataFrame) -> Result<Vec<u8>> {
    let mut out = vec![FORMAT];
    packed::put_unsigned(&mut out, rows.height() as u64);
    for name in TEXTS.into_iter().chain([TOPIC]) {
        let mut numbers: HashMap<&str, u8, foldhash::fast::RandomState> = HashMap::default();
        for text in texts(rows, name)?.iter() {
            let Some(text) = text else {
                out.push(NONE);
                continue;
            };
            if let Some(number) = numbers.get(text) {
                out.push(*number);
                continue;
            }
            out.push(SPELT);
            packed::put_bytes(&mut out, text.as_bytes());
            if let Ok(number) = u8::try_from(numbers.len())
                && numbers.len() < NUMBERED
            {
                numbers.insert(text, number);
            }
        }
    }
    for price in rows.column("price")?.i64()?.iter() {
        packed::put_signed(&mut out, price.unwrap_or(-1));
    }
    let mut last = 0_i64;
    for name in ["timestamp", OFFSET] {
        for value in rows.column(name)?.i64()?.iter() {
            let value = value.unwrap_or_default();
            packed::put_signed(&mut out, value.wrapping_sub(last));
            last = value;
        }
    }
    for partition in rows.column(PARTITION)?.i32()?.iter() {
        packed::put_signed(&mut out, i64::from(partition.unwrap_or_default()));
    }
    for name in ["lat", "lon"] {
        let mut last = 0_u64;
        for value in rows.column(name)?.f64()?.iter() {
            // As bits: equal neighbours cost a byte.
            let bits = value.map_or(u64::MAX, f64::to_bits);
            packed::put_unsigned(&mut out, (bits ^ last).swap_bytes());
            last = bits;
        }
    }
    Ok(out)
}

/// Reads rows back.
///
/// # Errors
/// A data error when the blob is damaged or of a newer version.
pub fn unpack(blob: &[u8]) -> Result<DataFrame> {
    let broken = |error: Damaged| Error::data(format!("rows waiting for the archive cannot be read: {error}"));
    let Some((&FORMAT, mut input)) = blob.split_first() else { return Err(broken(Damaged("of another version"))) };
    let columns = columns(&mut input).map_err(broken)?;
    packed::finish(input).map_err(broken)?;
    let height = columns.first().map_or(0, Column::len);
    Ok(DataFrame::new(height, columns)?)
}

fn columns(input: &mut &[u8]) -> Result<Vec<Column>, Damaged> {
    let rows = usize::try_from(packed::take_unsigned(input)?).map_err(|_| Damaged("too many rows"))?;
    if rows > input.len() {
        return Err(Damaged("more rows than bytes"));
    }
    let mut named: Vec<Column> = Vec::with_capacity(TEXTS.len() + 1);
    for name in TEXTS.into_iter().chain([TOPIC]) {
        named.push(text_column(name, rows, input)?);
    }
    let prices: Vec<i64> = (0..rows).map(|_| packed::take_signed(input)).collect::<Result<_, _>>()?;
    let prices: Vec<Option<i64>> = prices.into_iter().map(|price| (price >= 0).then_some(price)).collect();
    let mut last = 0_i64;
    let mut deltas = |input: &mut &[u8]| -> Result<Vec<i64>, Damaged> {
        (0..rows)
            .map(|_| {
                last = last.wrapping_add(packed::take_signed(input)?);
                Ok(last)
            })
            .collect()
    };
    let (times, offsets) = (deltas(input)?, deltas(input)?);
    let partitions: Vec<i32> = (0..rows)
        .map(|_| i32::try_from(packed::take_signed(input)?).map_err(|_| Damaged("a partition is out of range")))
        .collect::<Result<_, _>>()?;
    let (lat, lon) = (float_column("lat", rows, input)?, float_column("lon", rows, input)?);
    let topic = named.pop();
    let behind = named.split_off(5);
    named.push(Series::new("price".into(), prices).into());
    named.push(Series::new("timestamp".into(), times).into());
    named.extend(behind);
    named.extend([lat, lon]);
    named.extend(topic);
    named.push(Series::new(PARTITION.into(), partitions).into());
    named.push(Series::new(OFFSET.into(), offsets).into());
    Ok(named)
}

fn text_column(name: &str, rows: usize, input: &mut &[u8]) -> Result<Column, Damaged> {
    let mut builder = StringChunkedBuilder::new(name.into(), rows);
    let mut known: Vec<&str> = Vec::new();
    for _ in 0..rows {
        let (&number, rest) = input.split_first().ok_or(Damaged("a text is missing"))?;
        *input = rest;
        match number {
            NONE => builder.append_null(),
            SPELT => {
                let bytes = packed::take_bytes(input)?;
                let text = std::str::from_utf8(bytes).map_err(|_| Damaged("a text is no UTF-8"))?;
                if known.len() < NUMBERED {
                    known.push(text);
                }
                builder.append_value(text);
            }
            number => builder.append_value(known.get(usize::from(number)).ok_or(Damaged("a text has no number"))?),
        }
    }
    Ok(builder.finish().into_series().into())
}

fn float_column(name: &str, rows: usize, input: &mut &[u8]) -> Result<Column, Damaged> {
    let mut last = 0_u64;
    let values: Vec<Option<f64>> = (0..rows)
        .map(|_| {
            last ^= packed::take_unsigned(input)?.swap_bytes();
            Ok((last != u64::MAX).then(|| f64::from_bits(last)))
        })
        .collect::<Result<_, Damaged>>()?;
    Ok(Series::new(name.into(), values).into())
}

#[cfg(test)]
mod tests {
    use headrace_core::batch::message_columns::{KEY, OFFSET, PARTITION, TIMESTAMP, TOPIC, VALUE};
    use polars::prelude::{DataFrame, NamedFrom, Series};

    use super::{pack, unpack};
    use crate::commerce::decode::{Columns, decode};

    fn rows(count: i64) -> DataFrame {
        let value = |row: i64| {
            let price = if row % 3 == 0 { "null".to_owned() } else { format!("{}.5", row * 7) };
            let place =
                if row % 4 == 0 { String::new() } else { r#","location":{"lat":-2.17,"lon":-79.9}"#.to_owned() };
            format!(
                r#"{{"event_id":"e{row}","user_id":{row},"product_id":"p{}","event_type":"page_view","price":{price},"timestamp":"2025-03-10T00:00:{:02}"{place},"city":"Quito"}}"#,
                row % 300,
                row % 60
            )
            .into_bytes()
        };
        let values: Vec<Vec<u8>> = (0..count).map(value).collect();
        let columns = vec![
            Series::new(KEY.into(), vec![None::<&[u8]>; values.len()]).into(),
            Series::new(VALUE.into(), values.iter().map(|value| Some(value.as_slice())).collect::<Vec<_>>()).into(),
            Series::new(TIMESTAMP.into(), vec![1_741_564_860_000_i64; values.len()]).into(),
            Series::new(PARTITION.into(), vec![2_i32; values.len()]).into(),
            Series::new(OFFSET.into(), (0..count).collect::<Vec<_>>()).into(),
            Series::new(TOPIC.into(), vec!["page_views"; values.len()]).into(),
        ];
        let decoded = decode(DataFrame::new(values.len(), columns).unwrap(), Columns::All).unwrap();
        assert_eq!(decoded.refused, []);
        decoded.rows
    }

    #[test]
    fn rows_come_back_as_they_were() {
        for count in [0, 1, 1_000] {
            let rows = rows(count);
            let blob = pack(&rows).unwrap();
            let back = unpack(&blob).unwrap();
            assert_eq!(back.get_column_names(), rows.get_column_names());
            assert!(back.equals_missing(&rows), "{count}");
        }
    }

    #[test]
    fn a_damaged_blob_is_refused() {
        let blob = pack(&rows(20)).unwrap();
        for length in 0..blob.len() {
            assert!(unpack(&blob[..length]).is_err(), "{length}");
        }
        assert!(unpack(&[2, 0]).is_err());
        assert!(unpack(&[1, 255, 255, 255, 255, 255, 255, 255, 255, 1]).is_err());
    }
}
