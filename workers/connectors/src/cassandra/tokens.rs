//! The token ring, cut into parts: every row has a token, and a part is the tokens behind one and up to another.

use headrace_core::Partition;

/// The tokens behind `after`, up to and including `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) after: i64,
    pub(super) to: i64,
}

impl Range {
    /// Part `number` (from 0) of the whole ring cut into `parts`. The smallest token of all belongs to no row.
    pub(super) fn part(number: usize, parts: usize) -> Self {
        let edge = |number: usize| {
            let span = i128::from(i64::MAX) - i128::from(i64::MIN);
            let edge = i128::from(i64::MIN) + span * number as i128 / parts.max(1) as i128;
            i64::try_from(edge).unwrap_or(i64::MAX)
        };
        Self { after: edge(number), to: edge(number + 1) }
    }

    /// How many tokens it holds.
    pub(super) fn width(self) -> u128 {
        u128::try_from(i128::from(self.to) - i128::from(self.after)).unwrap_or(0)
    }
}

/// Names a part (counted from 0).
pub(super) fn name(number: usize, parts: usize) -> Partition {
    Partition::new(format!("tokens {} of {parts}", number + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Range;

    proptest! {
        #[test]
        fn every_token_is_in_exactly_one_part(parts in 1_usize..500, token in (i64::MIN + 1)..=i64::MAX) {
            let ranges: Vec<Range> = (0..parts).map(|number| Range::part(number, parts)).collect();
            let holding = ranges.iter().filter(|range| token > range.after && token <= range.to).count();
            prop_assert_eq!(holding, 1);
            prop_assert_eq!((ranges[0].after, ranges[parts - 1].to), (i64::MIN, i64::MAX));
            prop_assert_eq!(ranges.iter().map(|range| range.width()).sum::<u128>(), u128::from(u64::MAX));
        }
    }
}
