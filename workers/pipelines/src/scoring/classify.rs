//! What becomes of each scored registration: a pure function of the batch and of what was accepted before.

use std::collections::{HashMap, HashSet};

use headrace_core::Counts;

use super::scored::{ScoredBatch, ScoredRegistration};

/// What became of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The same bytes were accepted before: left out.
    Duplicate,
    /// The user's first offer.
    New,
    /// A newer offer of a user who has one.
    Replaced,
    /// An offer that is not newer than the user's: kept in the history only.
    Stale,
}

/// What became of a batch.
#[derive(Clone, Debug, Default)]
pub struct Classified<'a> {
    /// The registrations that are accepted, in message order: the rows of the history.
    pub accepted: Vec<&'a ScoredRegistration>,
    /// Of each user whose offer changes the one that counts, by user.
    pub offers: Vec<&'a ScoredRegistration>,
    /// The rows by fate.
    pub counts: Counts,
}

/// Classifies a batch, given which hashes were accepted before and the versions of the users' offers.
pub fn classify<'a>(
    batch: &'a ScoredBatch,
    is_known: impl Fn(u64) -> bool,
    version: impl Fn(u32) -> Option<i64>,
) -> Classified<'a> {
    let mut classified = Classified::default();
    let mut hashes: HashSet<u64, foldhash::fast::RandomState> = HashSet::default();
    let mut newest: HashMap<u32, (i64, &ScoredRegistration), foldhash::fast::RandomState> = HashMap::default();
    let (mut offers, mut replaced, mut stale, mut unseen, mut clipped) = (0, 0, 0, 0, 0);
    for row in &batch.scored {
        let fate = if is_known(row.hash) || !hashes.insert(row.hash) {
            Fate::Duplicate
        } else {
            let user_id = row.registration.user_id;
            let before = newest.get(&user_id).map(|(version, _)| *version).or_else(|| version(user_id));
            match before {
                None => Fate::New,
                Some(before) if row.version() > before => Fate::Replaced,
                Some(_) => Fate::Stale,
            }
        };
        match fate {
            Fate::Duplicate => {
                classified.counts.duplicate += 1;
                continue;
            }
            Fate::New => offers += 1,
            Fate::Replaced => replaced += 1,
            Fate::Stale => stale += 1,
        }
        if fate != Fate::Stale {
            newest.insert(row.registration.user_id, (row.version(), row));
        }
        unseen += u64::from(row.unseen);
        clipped += u64::from(row.is_clipped());
        classified.accepted.push(row);
    }
    classified.offers = newest.into_values().map(|(_, row)| row).collect();
    classified.offers.sort_unstable_by_key(|row| row.registration.user_id);
    let counts = &mut classified.counts;
    counts.read = (batch.scored.len() + batch.refused.len()) as u64;
    counts.written = classified.accepted.len() as u64;
    counts.dead_lettered = batch.refused.len() as u64;
    let classes = [
        ("offers", offers),
        ("replaced", replaced),
        ("stale", stale),
        ("unseen_category", unseen),
        ("clipped_age", clipped),
    ];
    for (class, count) in classes {
        counts.class(class, count);
    }
    for message in &batch.refused {
        counts.class(format!("dead_letter:{}", message.refusal.reason), 1);
    }
    classified
}
