//! What the ledger knows of one scope, as read at one moment.

use std::collections::BTreeMap;

use headrace_core::position::{Claim, Partition, Position, Reached};
use headrace_core::{Counts, Error, Result};
use scylla::DeserializeRow;

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
    partition: Option<String>,
    epoch: Option<i64>,
    position: Option<i64>,
    detail: Option<String>,
}

impl Row {
    /// Its columns, for a `SELECT`.
    pub(super) const COLUMNS: &str = "last_epoch, generation, sequence, counters, unit, unit_sequence, unit_keys, \
                                      partition, epoch, position, detail";
}

/// The unit that wrote state last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LastUnit {
    pub(super) tag: String,
    pub(super) sequence: i64,
    /// The keys it wrote, by space.
    pub(super) keys: BTreeMap<String, Vec<i64>>,
}

/// What the ledger knows of a scope.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scope {
    last_epoch: Option<i64>,
    pub(super) generation: Option<i64>,
    sequence: Option<i64>,
    pub(super) counters: Counts,
    pub(super) last_unit: Option<LastUnit>,
    /// Epoch and position of each partition.
    partitions: BTreeMap<Partition, (Option<i64>, Option<Position>)>,
}

impl Scope {
    /// Puts the rows of a scope's partition together.
    ///
    /// # Errors
    /// When what is stored as JSON is none.
    pub(super) fn from_rows(rows: Vec<Row>) -> serde_json::Result<Self> {
        fn parse<T: Default + serde::de::DeserializeOwned>(json: Option<&str>) -> serde_json::Result<T> {
            json.map_or_else(|| Ok(T::default()), serde_json::from_str)
        }
        let mut read = Self::default();
        for (number, row) in rows.into_iter().enumerate() {
            // Static columns are the same in every row.
            if number == 0 {
                (read.last_epoch, read.generation, read.sequence) = (row.last_epoch, row.generation, row.sequence);
                read.counters = parse(row.counters.as_deref())?;
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

    fn epoch(&self, partition: &Partition) -> Option<i64> {
        self.partitions.get(partition).and_then(|(epoch, _)| *epoch)
    }
}

#[cfg(test)]
mod tests {
    use headrace_core::position::{Claim, Partition, Position};
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
        assert_eq!((scope.sequence(), scope.next_generation(), scope.counters.read), (3, 8, 4));
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
}
