//! The turn of a scope: its units follow each other.
//!
//! A unit takes the turn when it begins and gives it back when it ends; while it lasts, it gives signs of life, each good for a lease.
//! Who finds the turn taken asks again, in the order of coming, until it is free: given back, or left without a sign of life by a
//! worker that died or stands still. That worker's commit is refused then. Nobody waits for a unit of their own claim, or of a
//! claim that is no longer the newest.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use headrace_core::position::{Claim, Partition, Reached};
use headrace_core::store::Totals;
use headrace_core::{Error, Position, Result, clock};
use redis::Cmd;
use tokio::task::JoinHandle;

use super::Place;
use crate::redis::scripts::call;

/// How soon the next in line asks again, and how much later each of those behind.
const ASKING: Duration = Duration::from_millis(4);
/// No one asks less often.
const SELDOM: Duration = Duration::from_millis(60);

/// The turn, or the wait for it; given back when dropped.
pub(super) struct Turn {
    place: Arc<Place>,
    scope: String,
    /// No other unit ever has the same.
    pub(super) token: String,
    renewing: Option<JoinHandle<()>>,
    is_over: bool,
}

/// What a unit finds when it begins.
pub(super) struct Begun {
    pub(super) sequence: i64,
    pub(super) totals: Totals,
    /// The token of the last commit.
    pub(super) commit: String,
    /// When the scope was forgotten last, or nothing.
    pub(super) generation: String,
    pub(super) positions: Reached,
}

/// Waits for the turn, however long that takes, and takes it.
///
/// # Errors
/// [`Error::Fenced`] when a claim is no longer the newest.
pub(super) async fn take(place: &Arc<Place>, scope: &str, claims: &[Claim]) -> Result<(Turn, Begun)> {
    let mut turn =
        Turn { place: place.clone(), scope: scope.to_owned(), token: new_token(), renewing: None, is_over: false };
    let context = format!("cannot begin a unit of `{scope}` at {}", place.link.options.place);
    let keys = [place.keys.scope(scope), place.keys.turn(scope), place.keys.waiting(scope)];
    let mut begin = call(&place.link.scripts.store.begin, &keys);
    begin.arg(&turn.token).arg(turn.lease_ms());
    for claim in claims {
        begin.arg(&claim.partition.0).arg(claim.epoch);
    }
    loop {
        let answer: Vec<Option<String>> = place.link.ask(&context, &None, begin.clone()).await?;
        let (said, rest) = match answer.split_first() {
            Some((Some(said), rest)) => (said.as_str(), rest),
            _ => return Err(Error::external(context, "the answer is empty")),
        };
        let first = rest.first().and_then(Option::as_deref).unwrap_or_default();
        match said {
            "begun" => {
                let begun = read(scope, claims, rest)?;
                turn.renewing = Some(turn.renew());
                return Ok((turn, begun));
            }
            "fenced" => return Err(Error::Fenced(first.to_owned())),
            _ => {
                let before = first.parse().unwrap_or(0_u32);
                tokio::time::sleep((ASKING * (before + 1)).min(SELDOM)).await;
            }
        }
    }
}

fn read(scope: &str, claims: &[Claim], answer: &[Option<String>]) -> Result<Begun> {
    let damaged = || Error::data(format!("the ledger of `{scope}` is damaged"));
    let (of_scope, of_claims) = answer.split_at_checked(4).ok_or_else(damaged)?;
    let text = |at: usize| of_scope[at].clone().unwrap_or_default();
    let sequence = of_scope[0].as_ref().map_or(Ok(0), |text| text.parse()).map_err(|_| damaged())?;
    let mut positions = Reached::new();
    for (claim, position) in claims.iter().zip(of_claims.chunks(2)) {
        if let Some(found) = position_of(position).map_err(|()| damaged())? {
            positions.insert(claim.partition.clone(), found);
        }
    }
    Ok(Begun { sequence, totals: Totals::parse(scope, &text(1))?, commit: text(2), generation: text(3), positions })
}

/// The position in two fields; none where there is none.
pub(super) fn position_of(fields: &[Option<String>]) -> Result<Option<Position>, ()> {
    match fields {
        [Some(at), detail] => {
            let at = at.parse().map_err(|_| ())?;
            Ok(Some(Position::with_detail(at, detail.clone().unwrap_or_default())))
        }
        [None, _] => Ok(None),
        _ => Err(()),
    }
}

impl Turn {
    fn lease_ms(&self) -> u64 {
        u64::try_from(self.place.link.options.lease.as_millis()).unwrap_or(u64::MAX)
    }

    /// The keys of the scope, its turn and what the unit has staged.
    pub(super) fn keys(&self) -> [String; 3] {
        let keys = &self.place.keys;
        [keys.scope(&self.scope), keys.turn(&self.scope), keys.staged(&self.token)]
    }

    /// Gives signs of life from now on, until the turn is over or lost.
    fn renew(&self) -> JoinHandle<()> {
        let (place, scope) = (self.place.clone(), self.scope.clone());
        let pause = place.link.options.lease / 3;
        let [_, turn, staged] = self.keys();
        let mut renew = call(&place.link.scripts.store.renew, &[turn, staged]);
        renew.arg(&self.token).arg(self.lease_ms());
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                let context = format!("cannot keep the turn of `{scope}`");
                match place.link.ask::<i64>(&context, &None, renew.clone()).await {
                    Ok(0) => return tracing::warn!("{context}: another worker has taken it"),
                    Ok(_) => {}
                    Err(error) => tracing::warn!("{error}"),
                }
            }
        })
    }

    /// Commands that keep a chunk of the unit's changes where only the commit looks, for as long as a lease.
    pub(super) fn stage(&self, number: usize, chunk: &[u8]) -> [Cmd; 2] {
        let [_, _, staged] = self.keys();
        let (mut put, mut expire) = (redis::cmd("HSET"), redis::cmd("PEXPIRE"));
        put.arg(&staged).arg(number).arg(chunk);
        expire.arg(&staged).arg(self.lease_ms());
        [put, expire]
    }

    /// Carries out a commit, which ends the turn, and gives its answer.
    ///
    /// # Errors
    /// External ones leave open whether it was carried out.
    pub(super) async fn end(mut self, context: &str, commit: &Cmd) -> Result<Vec<String>> {
        let answer = self.place.link.once(context, commit).await?;
        let answer: Vec<String> = self.place.link.read(context, answer)?;
        self.is_over = answer.first().is_some_and(|said| said == "ok");
        Ok(answer)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(renewing) = &self.renewing {
            renewing.abort();
        }
        // Without a runtime, as at the end of the process, the lease ends it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.is_over {
            return;
        }
        let (place, scope) = (self.place.clone(), std::mem::take(&mut self.scope));
        let keys = [place.keys.turn(&scope), place.keys.waiting(&scope), place.keys.staged(&self.token)];
        let mut release = call(&place.link.scripts.store.release, &keys);
        release.arg(&self.token);
        runtime.spawn(async move {
            if let Err(error) = place.link.run(&format!("cannot give back the turn of `{scope}`"), &[release]).await {
                tracing::debug!("{error}; others wait for the end of the lease");
            }
        });
    }
}

/// A text that is new every time, on every machine.
fn new_token() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{:016x}", clock::worker_name(), RandomState::new().hash_one(count))
}

/// The partition in a field of a scope, behind its letter.
pub(super) fn partition(field: &str, letter: &str) -> Option<Partition> {
    field.strip_prefix(letter).map(Partition::new)
}
