//! What is done to a scope outside of units: claim, look, forget; and what a worker remembers of it.

use std::collections::{BTreeMap, BTreeSet};

use headrace_core::position::{Claim, Partition, Reached};
use headrace_core::store::Totals;
use headrace_core::{Error, Position, Result};

use super::Place;
use super::turn::{Begun, partition, position_of};
use crate::redis::scripts::call;

/// So often a scope is forgotten again that gets new state meanwhile.
const TRIES: usize = 10;

/// Raises the epochs of partitions.
///
/// # Errors
/// When the ledger cannot be reached.
pub(super) async fn claim(place: &Place, scope: &str, partitions: &[Partition]) -> Result<Vec<Claim>> {
    let context = format!("cannot claim partitions of `{scope}` at {}", place.link.options.place);
    let mut claim = call(&place.link.scripts.store.claim, &[place.keys.scope(scope), place.keys.turn(scope)]);
    for partition in partitions {
        claim.arg(&partition.0);
    }
    let answer: Vec<Option<String>> = place.link.ask(&context, &None, claim).await?;
    let damaged = || Error::data(format!("{context}: the ledger is damaged"));
    let one = |(partition, found): (&Partition, &[Option<String>])| {
        let epoch = found[0].as_ref().and_then(|epoch| epoch.parse().ok()).ok_or_else(damaged)?;
        let position = position_of(&found[1..]).map_err(|()| damaged())?;
        Ok(Claim { partition: partition.clone(), epoch, position })
    };
    partitions.iter().zip(answer.chunks(3)).map(one).collect()
}

/// Reads all positions of a scope.
///
/// # Errors
/// When the ledger cannot be reached.
pub(super) async fn positions(place: &Place, scope: &str) -> Result<Reached> {
    let context = format!("cannot read the positions of `{scope}` at {}", place.link.options.place);
    let mut get = redis::cmd("HGETALL");
    get.arg(place.keys.scope(scope));
    let fields: BTreeMap<String, String> = place.link.ask(&context, &None, get).await?;
    let mut reached = Reached::new();
    for (field, at) in &fields {
        let Some(partition) = partition(field, "a:") else { continue };
        let detail = fields.get(&format!("d:{}", partition.0)).cloned();
        let position = position_of(&[Some(at.clone()), detail]);
        let damaged = |()| Error::data(format!("{context}: that of {partition} is damaged"));
        reached.extend(position.map_err(damaged)?.map(|position| (partition.clone(), position)));
    }
    Ok(reached)
}

/// Reads the counters of a scope and the time of its last commit.
///
/// # Errors
/// When the ledger cannot be reached.
pub(super) async fn totals(place: &Place, scope: &str) -> Result<Totals> {
    let context = format!("cannot read the counters of `{scope}` at {}", place.link.options.place);
    let mut get = redis::cmd("HGET");
    get.arg(place.keys.scope(scope)).arg("totals");
    let text: Option<String> = place.link.ask(&context, &None, get).await?;
    Totals::parse(scope, text.as_deref().unwrap_or_default())
}

/// Forgets a scope.
///
/// # Errors
/// When the ledger cannot be reached.
pub(super) async fn forget(place: &Place, scope: &str) -> Result<()> {
    let context = format!("cannot forget `{scope}` at {}", place.link.options.place);
    for _ in 0..TRIES {
        let mut get = redis::cmd("HKEYS");
        get.arg(place.keys.scope(scope));
        let fields: BTreeSet<String> = place.link.ask(&context, &None, get).await?;
        let spaces: Vec<&str> = fields.iter().filter_map(|field| field.strip_prefix("s:")).collect();
        let mut keys = vec![place.keys.scope(scope), place.keys.turn(scope)];
        keys.extend(spaces.iter().flat_map(|space| place.keys.state(scope, space)));
        let mut forget = call(&place.link.scripts.store.forget, &keys);
        forget.arg(spaces.len());
        if place.link.ask::<i64>(&context, &None, forget).await? == 1 {
            return Ok(());
        }
    }
    Err(Error::external(context, "other workers go on writing new state"))
}

/// What this worker knows to be in a scope: a server that lost commits it had answered does not go unnoticed.
#[derive(Default)]
pub(super) struct Memory {
    generation: String,
    sequence: i64,
    commit: String,
    /// By partition the epoch of the claim, and what this worker committed last under it.
    positions: BTreeMap<Partition, (i64, Position)>,
}

impl Memory {
    /// Compares a scope with what is known of it; tells what is missing.
    pub(super) fn compare(&mut self, claims: &[Claim], begun: &Begun) -> Option<String> {
        if self.generation == begun.generation {
            let is_behind = begun.sequence < self.sequence;
            if is_behind || (begun.sequence == self.sequence && begun.commit != self.commit && self.sequence > 0) {
                return Some(format!("commit {} is not there any more", self.sequence));
            }
            for claim in claims {
                let Some((epoch, position)) = self.positions.get(&claim.partition) else { continue };
                if *epoch == claim.epoch && begun.positions.get(&claim.partition) != Some(position) {
                    return Some(format!("position {} of {} is not there any more", position.at, claim.partition));
                }
            }
        } else {
            *self = Self { generation: begun.generation.clone(), ..Self::default() };
        }
        (self.sequence, self.commit) = (begun.sequence, begun.commit.clone());
        None
    }

    /// Before a commit: its outcome may stay unknown.
    pub(super) fn forget(&mut self, claims: &[Claim]) {
        self.positions.retain(|partition, _| !claims.iter().any(|claim| claim.partition == *partition));
    }

    /// Behind a commit.
    pub(super) fn committed(&mut self, sequence: i64, token: &str, claims: &[Claim], reached: &Reached) {
        (self.sequence, self.commit) = (sequence, token.to_owned());
        for claim in claims {
            if let Some(position) = reached.get(&claim.partition) {
                self.positions.insert(claim.partition.clone(), (claim.epoch, position.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use headrace_core::position::{Claim, Partition, Position, Reached};
    use headrace_core::store::Totals;

    use super::{Begun, Memory};

    fn reached(at: i64) -> Reached {
        Reached::from([(Partition::new("p"), Position::at(at))])
    }

    fn begun(sequence: i64, commit: &str, at: i64, generation: &str) -> Begun {
        let (commit, generation) = (commit.to_owned(), generation.to_owned());
        Begun { sequence, totals: Totals::default(), commit, generation, positions: reached(at) }
    }

    #[test]
    fn lost_commits_are_noticed_and_others_are_none() {
        let claim = |epoch| [Claim { partition: Partition::new("p"), epoch, position: None }];
        let committed = || {
            let mut memory = Memory::default();
            assert_eq!(memory.compare(&claim(1), &begun(3, "c", 30, "")), None);
            memory.forget(&claim(1));
            memory.committed(4, "d", &claim(1), &reached(40));
            memory
        };
        for (found, epoch, lost) in [
            (begun(4, "d", 40, ""), 1, None),
            (begun(6, "f", 40, ""), 1, None),
            (begun(3, "c", 30, ""), 1, Some("commit 4")),
            (begun(4, "x", 30, ""), 1, Some("commit 4")),
            (begun(6, "f", 30, ""), 1, Some("position 40 of p")),
            // Another claim begins where the ledger says; a forgotten scope begins anew.
            (begun(6, "f", 30, ""), 2, None),
            (begun(0, "", 0, "forgotten"), 1, None),
        ] {
            let seen = committed().compare(&claim(epoch), &found);
            assert_eq!(seen.is_some(), lost.is_some(), "{seen:?} {lost:?}");
            assert!(lost.is_none_or(|lost| seen.as_deref().is_some_and(|seen| seen.contains(lost))), "{seen:?}");
        }
        // A commit without an answer may or may not be there.
        let mut open = committed();
        open.forget(&claim(1));
        assert_eq!(open.compare(&claim(1), &begun(5, "e", 50, "")), None);
        let mut open = committed();
        open.forget(&claim(1));
        assert_eq!(open.compare(&claim(1), &begun(4, "d", 40, "")), None);
    }
}
