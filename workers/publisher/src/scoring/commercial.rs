//! What is sold: a price people know from shops, and a term that is on offer.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use headrace_pipelines::scoring::offer::Scores;

/// Terms on offer, in months.
const TERMS: [u8; 4] = [1, 3, 6, 12];

/// What prices end in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum Rounding {
    /// The nearest price that ends in 9.
    #[default]
    #[serde(rename = "9")]
    Nine,
    /// The nearest multiple of 10.
    #[serde(rename = "10")]
    Ten,
}

/// Price and term beside the raw scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Commercial {
    /// The monthly price in roubles.
    pub price: u32,
    /// What prices end in.
    pub rounding: Rounding,
    /// The term in months: 1, 3, 6 or 12.
    pub term_months: u8,
}

impl Commercial {
    /// What is sold for scores.
    pub fn of(scores: &Scores, rounding: Rounding) -> Self {
        Self { price: price(scores.cost(), rounding), rounding, term_months: term(scores.subscription()) }
    }
}

fn price(cost: f32, rounding: Rounding) -> u32 {
    let cost = f64::from(cost);
    let whole = match rounding {
        _ if cost <= 0.0 => 0.0,
        Rounding::Nine => ((cost + 1.0) / 10.0).round().max(1.0) * 10.0 - 1.0,
        Rounding::Ten => (cost / 10.0).round() * 10.0,
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative; too much becomes the greatest"
    )]
    let price = whole as u32;
    price
}

/// The nearest term; of two as near the shorter one.
fn term(months: f32) -> u8 {
    let distance = |term: &u8| (f32::from(*term) - months).abs();
    TERMS.into_iter().min_by(|one, other| distance(one).total_cmp(&distance(other))).unwrap_or(TERMS[0])
}

#[cfg(test)]
mod tests {
    use super::{Rounding, price, term};

    #[test]
    fn prices_end_in_nine_or_in_zero() {
        for (cost, nine, ten) in
            [(251.159, 249, 250), (256.2, 259, 260), (254.0, 259, 250), (3.0, 9, 0), (0.0, 0, 0), (9.0, 9, 10)]
        {
            assert_eq!((price(cost, Rounding::Nine), price(cost, Rounding::Ten)), (nine, ten), "{cost}");
        }
    }

    #[test]
    fn the_nearest_term_is_on_offer() {
        let terms = [1.0, 1.9, 2.0, 2.1, 3.446, 4.5, 4.6, 8.9, 9.1, 12.0].map(term);
        assert_eq!(terms, [1, 1, 1, 3, 3, 3, 6, 6, 12, 12]);
    }
}
