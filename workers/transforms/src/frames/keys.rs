//! Keys as small numbers: rows with equal values in all key columns have the same number, in both frames of a join.

use polars::prelude::DataFrame;

use super::columns::Values;
use super::{Error, Result};

/// What a value that is absent begins with; no other does.
const ABSENT: u8 = 0;

/// The numbers given to keys so far.
#[derive(Default)]
pub(super) struct Keys {
    numbers: foldhash::HashMap<Box<[u8]>, u32>,
    /// What kind of values each key column has.
    kinds: Vec<String>,
}

/// The number of each row's key, and whether all its values are there.
pub(super) struct Numbered {
    pub(super) numbers: Vec<u32>,
    pub(super) complete: Vec<bool>,
}

impl Keys {
    /// Numbers the rows of a frame; keys seen before keep their numbers.
    pub(super) fn number(&mut self, frame: &DataFrame, columns: &[String]) -> Result<Numbered> {
        let readers = columns.iter().map(|name| Values::read(frame, name)).collect::<Result<Vec<_>>>()?;
        for (place, (name, reader)) in columns.iter().zip(&readers).enumerate() {
            match self.kinds.get(place) {
                Some(kind) if *kind != reader.kind && kind != "nothing" && reader.kind != "nothing" => {
                    let kinds = format!("{kind} in one table and {} in the other", reader.kind);
                    return Err(Error::data(format!("the key column {name} holds {kinds}; convert one of them")));
                }
                Some(_) => {}
                None => self.kinds.push(reader.kind.clone()),
            }
        }
        let mut numbered = Numbered { numbers: vec![0; frame.height()], complete: vec![true; frame.height()] };
        let mut key = Vec::new();
        for row in 0..frame.height() {
            key.clear();
            numbered.complete[row] = put_row(&readers, row, &mut key);
            let number = match self.numbers.get(key.as_slice()) {
                Some(number) => *number,
                None => {
                    let number = self.numbers.len() as u32;
                    self.numbers.insert(key.as_slice().into(), number);
                    number
                }
            };
            numbered.numbers[row] = number;
        }
        Ok(numbered)
    }
}

/// Appends all values of a row, and says whether all are there; rows with equal values give equal bytes, and no others.
pub(super) fn put_row(readers: &[Values], row: usize, out: &mut Vec<u8>) -> bool {
    let mut complete = true;
    for reader in readers {
        if !reader.put(row, out) {
            out.push(ABSENT);
            complete = false;
        }
    }
    complete
}
