//! Counts, sums, smallest, largest and mean values by group, of the rows that came in time and of the late ones.

use polars::prelude::{Column, DataFrame, DataType};

use super::columns::{self, column};
use super::{Error, Result};

/// What is computed of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// The number of rows, or of values if a column is named.
    Count,
    /// The sum of the values; zero if there are none.
    Sum,
    /// The smallest value.
    Min,
    /// The largest value.
    Max,
    /// The sum divided by the number of values, as a float.
    Mean,
}

impl Function {
    /// Reads the name of a function.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "count" => Ok(Self::Count),
            "sum" => Ok(Self::Sum),
            "min" => Ok(Self::Min),
            "max" => Ok(Self::Max),
            "mean" => Ok(Self::Mean),
            other => Err(Error::Settings(format!(
                "there is no aggregation {other}; there are count, sum, min, max and mean"
            ))),
        }
    }
}

/// A column of the result.
#[derive(Clone, Debug)]
pub struct Aggregation {
    /// Its name.
    pub name: String,
    /// The column that it is computed from; only a count needs none.
    pub column: Option<String>,
    /// How.
    pub function: Function,
}

/// Which rows are in which groups.
#[derive(Default)]
pub(super) struct Members {
    pub(super) rows: Vec<u32>,
    pub(super) groups: Vec<u32>,
    pub(super) late: Vec<bool>,
    /// The number of groups.
    pub(super) count: usize,
}

impl Members {
    /// Gives, for every member, its row and its place: two for each group, the late rows' behind the others'.
    fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        let places = self.groups.iter().zip(&self.late).map(|(group, late)| 2 * *group as usize + usize::from(*late));
        self.rows.iter().map(|row| *row as usize).zip(places)
    }
}

impl Aggregation {
    /// Computes the column: of the rows that came in time, and of the late ones.
    pub(super) fn compute(&self, frame: &DataFrame, members: &Members) -> Result<[Column; 2]> {
        let Some(of) = &self.column else {
            if self.function == Function::Count {
                return Ok(self.pair(fold(members, 0, |_| Some(()), one_more)?));
            }
            return Err(Error::Settings(format!("the aggregation {} needs the name of a column", self.name)));
        };
        let values = column(frame, of)?;
        if self.function == Function::Count {
            if values.dtype().is_float() {
                let values = values.cast(&DataType::Float64)?.rechunk();
                let values = values.f64()?;
                let number = |row| values.get(row).filter(|value| !value.is_nan());
                return Ok(self.pair(fold(members, 0, number, one_more)?));
            }
            let present = values.is_not_null();
            let here = |row| present.get(row).filter(|here| *here);
            return Ok(self.pair(fold(members, 0, here, one_more)?));
        }
        let too_large = || Error::data(format!("the sum {} of column {of} does not fit into 64 bits", self.name));
        match values.dtype() {
            dtype if dtype.is_integer() && self.function != Function::Mean => {
                let values = values.strict_cast(&DataType::Int64)?.rechunk();
                let values = values.i64()?;
                let sum = || fold(members, 0, |row| values.get(row), i64::checked_add).map_err(|_| too_large());
                match self.function {
                    Function::Min => self.chosen(members, |row| values.get(row), i64::min),
                    Function::Max => self.chosen(members, |row| values.get(row), i64::max),
                    _ => Ok(self.pair(sum()?)),
                }
            }
            dtype if dtype.is_primitive_numeric() => {
                let values = values.cast(&DataType::Float64)?.rechunk();
                let values = values.f64()?;
                let get = |row| values.get(row).filter(|value| !value.is_nan());
                match self.function {
                    Function::Min => self.chosen(members, get, f64::min),
                    Function::Max => self.chosen(members, get, f64::max),
                    Function::Mean => {
                        let sums = fold(members, 0.0, get, |sum: f64, value| Some(sum + value))?;
                        let counts = fold(members, 0.0, get, |count: f64, _| Some(count + 1.0))?;
                        let mean = |(sum, count): (f64, f64)| (count > 0.0).then(|| sum / count);
                        let [sums, late_sums] = sums;
                        let [counts, late_counts] = counts;
                        Ok(self.pair([(sums, counts), (late_sums, late_counts)].map(|(sums, counts)| {
                            sums.into_iter().zip(counts).map(mean).collect::<Vec<Option<f64>>>()
                        })))
                    }
                    _ => Ok(self.pair(fold(members, 0.0, get, |sum: f64, value| Some(sum + value))?)),
                }
            }
            other => Err(Error::data(format!(
                "column {of} has type {other}, of which {} cannot be computed; convert it to a number",
                self.name
            ))),
        }
    }

    fn pair<T>(&self, [in_time, late]: [Vec<T>; 2]) -> [Column; 2]
    where
        polars::prelude::Series: polars::prelude::NamedFrom<Vec<T>, [T]>,
    {
        [columns::numbers(&self.name, in_time), columns::numbers(&late_name(&self.name), late)]
    }

    /// Computes the value that is chosen out of all.
    fn chosen<T: Copy>(
        &self,
        members: &Members,
        get: impl Fn(usize) -> Option<T>,
        choose: impl Fn(T, T) -> T,
    ) -> Result<[Column; 2]>
    where
        polars::prelude::Series: polars::prelude::NamedFrom<Vec<Option<T>>, [Option<T>]>,
    {
        let first_or_chosen = |so_far: Option<T>, value| Some(Some(so_far.map_or(value, |old| choose(old, value))));
        Ok(self.pair(fold(members, None, get, first_or_chosen)?))
    }
}

/// Counts a value.
fn one_more<T>(count: i64, _: T) -> Option<i64> {
    Some(count + 1)
}

/// The name of the column of the late rows.
pub(super) fn late_name(name: &str) -> String {
    format!("late_{name}")
}

/// Goes through the values of all groups in row order; none from `step` means that the result does not fit.
fn fold<T, S: Clone>(
    members: &Members,
    start: S,
    get: impl Fn(usize) -> Option<T>,
    step: impl Fn(S, T) -> Option<S>,
) -> Result<[Vec<S>; 2]> {
    let mut all = vec![start; 2 * members.count];
    for (row, place) in members.places() {
        if let Some(value) = get(row) {
            all[place] =
                step(all[place].clone(), value).ok_or_else(|| Error::data("a sum does not fit into 64 bits"))?;
        }
    }
    let late = all.iter().skip(1).step_by(2).cloned().collect();
    Ok([all.into_iter().step_by(2).collect(), late])
}
