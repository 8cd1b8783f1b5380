//! Records of `job.csv`, by column name, to rows of the job dimension.

use std::collections::HashMap;

use headrace_core::batch::record_columns::{RECORD, VALUE};
use headrace_core::{Error, Result};
use headrace_transforms::csv_record::RecordSplitter;
use headrace_transforms::decimal::Number;
use polars::prelude::{DataFrame, NamedFrom, Series};

use super::reason::{Reason, Refusal};

/// Columns that must be in the header.
const NEEDED: [&str; 2] = ["id", "company_id"];
/// Whole-number columns of the dimension.
const NUMBERS: [&str; 6] = ["id", "company_id", "status", "is_active", "campaign_id", "group_id"];
/// Text columns of the dimension.
const TEXTS: [&str; 3] = ["title", "created_date", "last_modified_date"];

/// Where each column of the dimension is in the file.
#[derive(Clone, Debug)]
pub struct JobColumns {
    fields: usize,
    places: HashMap<&'static str, usize>,
}

/// The rows of a batch and what was refused.
#[derive(Clone, Debug)]
pub struct JobRows {
    /// The dimension's rows, one for each id; the last one in the file counts.
    pub rows: DataFrame,
    /// Refused records: number, reason, raw bytes.
    pub rejected: Vec<(i64, Refusal, Vec<u8>)>,
    /// Records whose id came again later in the batch.
    pub duplicates: u64,
}

#[derive(Default)]
struct Row {
    numbers: [Option<i64>; NUMBERS.len()],
    texts: [Option<String>; TEXTS.len()],
}

impl JobColumns {
    /// Finds the columns in a header.
    ///
    /// # Errors
    /// A data error naming the columns that are missing.
    pub fn of(header: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(header).map_err(|_| Error::data("the header is not UTF-8"))?;
        let text = text.trim_start_matches('\u{feff}').trim_end_matches('\r');
        let mut splitter = RecordSplitter::new();
        let fields = splitter.split(text);
        let place = |name: &str| (0..fields).find(|index| splitter.field(*index).trim() == name);
        let missing: Vec<&str> = NEEDED.into_iter().filter(|name| place(name).is_none()).collect();
        if !missing.is_empty() {
            return Err(Error::data(format!("wrong header: column {} is missing", missing.join(", "))));
        }
        let places = NUMBERS.into_iter().chain(TEXTS).filter_map(|name| Some((name, place(name)?))).collect();
        Ok(Self { fields, places })
    }

    /// Reads a batch of raw records.
    ///
    /// # Errors
    /// When a column of the frame is missing or of another type.
    pub fn read(&self, frame: &DataFrame) -> Result<JobRows> {
        let mut splitter = RecordSplitter::new();
        let (mut rows, mut rejected): (Vec<Row>, Vec<_>) = (Vec::new(), Vec::new());
        let numbers = frame.column(RECORD)?.i64()?;
        let mut read = 0;
        let mut by_id: HashMap<i64, usize> = HashMap::new();
        for (raw, number) in frame.column(VALUE)?.binary()?.iter().zip(numbers.iter()) {
            let raw = raw.unwrap_or_default();
            match self.row(raw, &mut splitter) {
                Err(refusal) => rejected.push((number.unwrap_or_default(), refusal, raw.to_vec())),
                Ok(row) => {
                    read += 1;
                    let id = row.numbers[0].unwrap_or_default();
                    match by_id.get(&id) {
                        Some(place) => rows[*place] = row,
                        None => {
                            by_id.insert(id, rows.len());
                            rows.push(row);
                        }
                    }
                }
            }
        }
        let duplicates = read - rows.len() as u64;
        Ok(JobRows { rows: to_frame(&rows)?, rejected, duplicates })
    }

    fn row(&self, raw: &[u8], splitter: &mut RecordSplitter) -> Result<Row, Refusal> {
        let text = std::str::from_utf8(raw)
            .map_err(|error| Refusal::new(Reason::NotUtf8, format!("byte {}", error.valid_up_to())))?;
        let fields = splitter.split(text.trim_end_matches('\r'));
        if fields != self.fields {
            return Err(Refusal::new(Reason::ColumnCount, format!("{fields} fields")));
        }
        let field = |name: &str| self.places.get(name).map_or("", |place| splitter.field(*place));
        let mut row = Row::default();
        for (value, name) in row.numbers.iter_mut().zip(NUMBERS) {
            let text = field(name).trim();
            if text.is_empty() && name != "id" {
                continue;
            }
            let number = Number::parse(text.as_bytes()).and_then(|number| number.identifier().ok());
            // What the result needs must be right; anything else that does not fit is left empty.
            *value = if NEEDED.contains(&name) {
                Some(number.ok_or_else(|| Refusal::new(Reason::BadIdentifier, format!("{name}={text}")))?)
            } else {
                number.filter(|number| name != "is_active" || *number <= 127)
            };
        }
        for (value, name) in row.texts.iter_mut().zip(TEXTS) {
            *value = Some(field(name)).filter(|text| !text.is_empty()).map(str::to_owned);
        }
        Ok(row)
    }
}

fn to_frame(rows: &[Row]) -> Result<DataFrame> {
    let numbers = NUMBERS.iter().enumerate().map(|(place, name)| {
        let values: Vec<Option<i64>> = rows.iter().map(|row| row.numbers[place]).collect();
        Series::new((*name).into(), values).into()
    });
    let texts = TEXTS.iter().enumerate().map(|(place, name)| {
        let values: Vec<Option<&str>> = rows.iter().map(|row| row.texts[place].as_deref()).collect();
        Series::new((*name).into(), values).into()
    });
    Ok(DataFrame::new(rows.len(), numbers.chain(texts).collect())?)
}

#[cfg(test)]
mod tests {
    use super::JobColumns;
    use crate::recruitment::reason::Reason;
    use polars::prelude::df;

    #[test]
    fn columns_go_by_name_and_bad_rows_are_refused() {
        let columns = JobColumns::of(b"company_id,title,id").unwrap();
        let values: Vec<&[u8]> = vec![b"33,\"a,b\",10", b",t,11", b"x,t,12", b"1,2", b"5,again,10"];
        let frame = df!("value" => values, "record" => [1_i64, 2, 3, 4, 5]).unwrap();
        let read = columns.read(&frame).unwrap();
        assert_eq!(read.rows.column("id").unwrap().i64().unwrap().to_vec(), [Some(10), Some(11)]);
        assert_eq!(read.rows.column("company_id").unwrap().i64().unwrap().to_vec(), [Some(5), None]);
        assert_eq!(read.duplicates, 1);
        let reasons: Vec<(i64, Reason)> =
            read.rejected.iter().map(|(record, refusal, _)| (*record, refusal.reason)).collect();
        assert_eq!(reasons, [(3, Reason::BadIdentifier), (4, Reason::ColumnCount)]);
        assert!(JobColumns::of(b"id,title").unwrap_err().to_string().contains("company_id"));
    }
}
