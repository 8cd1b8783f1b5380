//! What the ledger knows of one scope, as read at one moment.

use std::collections::BTreeMap;

use headrace_core::position::{Claim, Partition, Position, Reached};
use headrace_core::store::{Leftovers, Totals};
use headrace_core::{Error, Result};
use scylla::DeserializeRow;
use serde::de::DeserializeOwned;

/// One row of the ledger; a scope without partitions has one row with static columns only.
#[derive(Debug, Default, DeserializeRow)]
pub(super) struct Row {
    last_epoch: Option<i64>,
    generation: Option<i64>,
    sequence: Option<i64>,
    counters: Option<String>,
    unit: Option<String>,
    unit_sequence: Option<i64>,
    unit_keys: Option<String>,
    turn: Option<i64>,
    holder: Option<String>,
    heading: Option<String>,
    left_behind: Option<String>,
    partition: Option<String>,
    epoch: Option<i64>,
    position: Option<i64>,
    detail: Option<String>,
}

impl Row {
    /// Its columns, for a `SELECT`.
    pub(super) const COLUMNS: &str = "last_epoch, generation, sequence, counters, unit, unit_sequence, unit_keys, \
                                      turn, holder, heading, left_behind, partition, epoch, position, detail";
}

/// The unit that wrote state last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LastUnit {
    pub(super) tag: String,
    pub(super) sequence: i64,
    /// The keys it wrote, by space.
    pub(super) keys: BTreeMap<String, Vec<i64>>,
}

/// Where units that were not committed were going: a position by partition.
pub(super) type Headings = BTreeMap<String, i64>;

/// What the ledger knows of a scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scope {
    last_epoch: Option<i64>,
    pub(super) generation: Option<i64>,
    sequence: Option<i64>,
    pub(super) totals: Totals,
    pub(super) last_unit: Option<LastUnit>,
    /// The last turn given out (see `turn`).
    pub(super) turn: Option<i64>,
    /// The tag of the unit whose turn it is.
    pub(super) holder: Option<String>,
    /// Where that unit is going.
    pub(super) heading: Headings,
    /// Where units were going that had a turn and did not commit; until their partitions have passed that.
    pub(super) left_behind: Headings,
    /// Epoch and position of each partition.
    partitions: BTreeMap<Partition, (Option<i64>, Option<Position>)>,
}

impl Scope {
    /// Puts the rows of a scope's partition together.
    ///
    /// # Errors
    /// When what is stored as JSON is none.
    pub(super) fn from_rows(rows: Vec<Row>) -> serde_json::Result<Self> {
        fn parse<T: Default + DeserializeOwned>(json: Option<&str>) -> serde_json::Result<T> {
            json.map_or_else(|| Ok(T::default()), serde_json::from_str)
        }
        let mut read = Self::default();
        for (number, row) in rows.into_iter().enumerate() {
            // Static columns are the same in every row.
            if number == 0 {
                (read.last_epoch, read.generation, read.sequence) = (row.last_epoch, row.generation, row.sequence);
                read.totals = parse(row.counters.as_deref())?;
                (read.turn, read.holder) = (row.turn, row.holder);
                read.heading = parse(row.heading.as_deref())?;
                read.left_behind = parse(row.left_behind.as_deref())?;
                if let (Some(tag), Some(sequence)) = (row.unit, row.unit_sequence) {
                    read.last_unit = Some(LastUnit { tag, sequence, keys: parse(row.unit_keys.as_deref())? });
                }
            }
            if let Some(partition) = row.partition {
                let position = row.position.map(|at| Position::with_detail(at, row.detail.unwrap_or_default()));
                read.partitions.insert(Partition::new(partition), (row.epoch, position));
            }
        }
        Ok(read)
    }

    /// The last epoch given out.
    pub(super) fn last_epoch(&self) -> Option<i64> {
        self.last_epoch
    }

    /// The number of the last commit, as it is stored.
    pub(super) fn stored_sequence(&self) -> Option<i64> {
        self.sequence
    }

    /// All partitions that were ever claimed.
    pub(super) fn partitions(&self) -> impl Iterator<Item = &Partition> {
        self.partitions.keys()
    }

    /// The committed position of a partition.
    pub(super) fn position(&self, partition: &Partition) -> Option<Position> {
        self.partitions.get(partition).and_then(|(_, position)| position.clone())
    }

    /// The number of the last commit.
    pub(super) fn sequence(&self) -> i64 {
        self.sequence.unwrap_or(0)
    }

    /// The generation that begins when the scope is forgotten as it is.
    pub(super) fn next_generation(&self) -> i64 {
        self.last_epoch.unwrap_or(0) + 1
    }

    /// All committed positions.
    pub(super) fn positions(&self) -> Reached {
        let committed = |(partition, (_, position)): (&Partition, &(Option<i64>, Option<Position>))| {
            position.as_ref().map(|position| (partition.clone(), position.clone()))
        };
        self.partitions.iter().filter_map(committed).collect()
    }

    /// The committed positions of claimed partitions.
    pub(super) fn claimed_positions(&self, claims: &[Claim]) -> Reached {
        let mut positions = self.positions();
        positions.retain(|partition, _| claims.iter().any(|claim| claim.partition == *partition));
        positions
    }

    /// Checks that every claim is the newest.
    ///
    /// # Errors
    /// [`Error::Fenced`] naming the first that is not.
    pub(super) fn check(&self, claims: &[Claim]) -> Result<()> {
        match claims.iter().find(|claim| self.epoch(&claim.partition) != Some(claim.epoch)) {
            Some(claim) => Err(Error::Fenced(claim.partition.to_string())),
            None => Ok(()),
        }
    }

    /// What is left behind when the unit whose turn it is ends without commit.
    pub(super) fn abandoned(&self) -> Headings {
        let mut left = self.left_behind.clone();
        if self.holder.is_some() {
            for (partition, at) in &self.heading {
                left.entry(partition.clone()).and_modify(|known| *known = (*known).max(*at)).or_insert(*at);
            }
        }
        left
    }

    /// The scope after a unit has taken its turn.
    pub(super) fn taken(&self, turn: i64, holder: &str, heading: Headings) -> Self {
        Self {
            turn: Some(turn),
            holder: Some(holder.to_owned()),
            heading,
            left_behind: self.abandoned(),
            ..self.clone()
        }
    }

    /// What is still left behind after a commit of positions.
    pub(super) fn left_after(&self, reached: &Reached) -> Headings {
        let mut left = self.left_behind.clone();
        for (partition, position) in reached {
            if left.get(&partition.0).is_some_and(|at| position.at >= *at) {
                left.remove(&partition.0);
            }
        }
        left
    }

    /// What units without commit may have left, for a unit that works on some partitions.
    pub(super) fn leftovers(&self, claims: &[Claim]) -> Leftovers {
        if claims.iter().any(|claim| self.left_behind.contains_key(&claim.partition.0)) {
            Leftovers::Here
        } else if self.left_behind.is_empty() {
            Leftovers::None
        } else {
            Leftovers::Elsewhere
        }
    }

    fn epoch(&self, partition: &Partition) -> Option<i64> {
        self.partitions.get(partition).and_then(|(epoch, _)| *epoch)
    }
}

#[cfg(test)]
mod tests {
    use headrace_core::position::{Claim, Partition, Position};
    use headrace_core::store::Leftovers;
    use headrace_core::{Counts, ErrorKind};

    use super::{Row, Scope};

    fn row(partition: &str, epoch: i64, position: Option<i64>) -> Row {
        let counters = serde_json::to_string(&Counts { read: 4, ..Counts::default() }).unwrap();
        Row {
            last_epoch: Some(7),
            sequence: Some(3),
            counters: Some(counters),
            unit: Some("u".into()),
            unit_sequence: Some(2),
            unit_keys: Some("{\"space\":[1,-2]}".into()),
            partition: Some(partition.into()),
            epoch: Some(epoch),
            position,
            ..Row::default()
        }
    }

    fn claim(partition: &str, epoch: i64) -> Claim {
        Claim { partition: Partition::new(partition), epoch, position: None }
    }

    #[test]
    fn rows_make_a_scope() {
        let scope = Scope::from_rows(vec![row("a", 6, Some(9)), row("b", 7, None)]).unwrap();
        assert_eq!((scope.sequence(), scope.next_generation(), scope.totals.counts.read), (3, 8, 4));
        assert_eq!(scope.last_unit.as_ref().unwrap().keys["space"], [1, -2]);
        assert_eq!(scope.positions().into_iter().collect::<Vec<_>>(), [(Partition::new("a"), Position::at(9))]);
        assert!(scope.claimed_positions(&[claim("b", 7)]).is_empty());
        assert!(Scope::from_rows(vec![Row { counters: Some("{".into()), ..Row::default() }]).is_err());
        assert_eq!(Scope::from_rows(Vec::new()).unwrap(), Scope::default());
    }

    #[test]
    fn only_the_newest_claims_pass() {
        let scope = Scope::from_rows(vec![row("a", 6, Some(9)), row("b", 7, None)]).unwrap();
        assert!(scope.check(&[claim("a", 6), claim("b", 7)]).is_ok());
        for stale in [claim("a", 5), claim("a", 7), claim("c", 1)] {
            assert_eq!(scope.check(&[claim("b", 7), stale]).unwrap_err().kind(), ErrorKind::Fenced);
        }
    }

    #[test]
    fn what_is_left_behind_is_known_until_its_partition_has_passed_it() {
        let held = Row { holder: Some("h".into()), heading: Some("{\"a\":20}".into()), ..row("a", 6, Some(9)) };
        let held = Row { left_behind: Some("{\"a\":30,\"b\":5}".into()), ..held };
        let scope = Scope::from_rows(vec![held]).unwrap();
        let left = |pairs: &[(&str, i64)]| pairs.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect();
        assert_eq!(scope.abandoned(), left(&[("a", 30), ("b", 5)]));
        let reached = |name: &str, at| [(Partition::new(name), Position::at(at))].into();
        assert_eq!(scope.left_after(&reached("a", 29)), left(&[("a", 30), ("b", 5)]));
        assert_eq!(scope.left_after(&reached("a", 30)), left(&[("b", 5)]));
        assert_eq!(scope.leftovers(&[claim("b", 1)]), Leftovers::Here);
        assert_eq!(scope.leftovers(&[claim("c", 1)]), Leftovers::Elsewhere);
        assert_eq!(Scope::default().leftovers(&[claim("a", 1)]), Leftovers::None);
        assert!(Scope { heading: left(&[("a", 1)]), ..Scope::default() }.abandoned().is_empty(), "nobody holds a turn");
    }
}
