//! The feature vector of a model, by the columns its metadata names: numbers, and one 0/1 column for each known category.

use std::collections::HashMap;

use crate::scoring::registration::{CATEGORIES, OLDEST, Registration, normal};

#[derive(Clone, Copy, Debug)]
enum Number {
    Intercept,
    IsOrganic,
    ChildAge,
}

/// Where in a row each number and each category stands.
#[derive(Clone, Debug)]
pub(super) struct Features {
    width: usize,
    numbers: Vec<(usize, Number)>,
    categories: [HashMap<String, usize, foldhash::fast::RandomState>; CATEGORIES.len()],
}

impl Features {
    /// Reads the names of columns, as `child_age/18` or `platform=ios`.
    ///
    /// # Errors
    /// Which column is of no known field, or there twice.
    pub(super) fn of(columns: &[String]) -> Result<Self, String> {
        let mut features = Self { width: columns.len(), numbers: Vec::new(), categories: Default::default() };
        for (place, column) in columns.iter().enumerate() {
            let number = match column.as_str() {
                "intercept" => Number::Intercept,
                "is_organic" => Number::IsOrganic,
                "child_age/18" => Number::ChildAge,
                other => {
                    let field = other.split_once('=').and_then(|(name, category)| {
                        Some((CATEGORIES.iter().position(|field| *field == name)?, category))
                    });
                    let (field, category) =
                        field.ok_or_else(|| format!("column `{other}` belongs to no known field"))?;
                    if features.categories[field].insert(normal(category).into(), place).is_some() {
                        return Err(format!("column `{other}` is there twice"));
                    }
                    continue;
                }
            };
            features.numbers.push((place, number));
        }
        Ok(features)
    }

    /// Columns of a row.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Writes the row of a registration over zeros, and tells whether one of its categories has no column.
    pub(super) fn write(&self, registration: &Registration, row: &mut [f32]) -> bool {
        for (place, number) in &self.numbers {
            row[*place] = match number {
                Number::Intercept => 1.0,
                Number::IsOrganic => f32::from(u8::from(registration.is_organic)),
                // As in training: computed in double precision, then rounded.
                #[expect(clippy::cast_possible_truncation, reason = "the model takes single precision")]
                Number::ChildAge => (f64::from(registration.child_age).min(OLDEST as f64) / OLDEST as f64) as f32,
            };
        }
        let mut unseen = false;
        for (known, category) in self.categories.iter().zip(&registration.categories) {
            match known.get(category.as_str()) {
                Some(place) => row[*place] = 1.0,
                None => unseen = true,
            }
        }
        unseen
    }
}
