//! Turns: units that begin in turn follow each other, so that parallel workers wait instead of undoing each other's work.
//!
//! The turn is a number in the ledger that only grows, with its holder beside it. A unit takes it by a lightweight
//! transaction when nobody holds it, when it was held for the unit's own partition (whose earlier unit has ended then), or
//! when the holder gave no sign of life for as long as the lease lasts. It ends with the unit: in the commit itself, or when
//! the unit is dropped, or when the holder's partition is claimed again.
//!
//! Safety does not rest on time. A commit applies only while the turn is the unit's own, so turns commit in their order.
//! And since the number is the timestamp of everything the unit writes, what a later turn writes stays, however late a
//! paused worker of an earlier turn wakes up.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use headrace_core::position::{Claim, Reached};
use headrace_core::{Result, clock};
use scylla::value::CqlValue;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::client::Use;
use super::failure;
use super::ledger::{Ledger, Refused, Values, number, text};
use super::scope::{Headings, Scope};

/// Pauses between looks at whose turn it is.
const FIRST_LOOK: Duration = Duration::from_millis(10);
const LONGEST_LOOK: Duration = Duration::from_millis(150);
/// Signs of life in the time of a lease.
const BEATS: u32 = 6;

/// A turn that a unit holds until it is dropped.
pub(super) struct Turn {
    ledger: Arc<Ledger>,
    name: String,
    scope: Scope,
    beating: AbortHandle,
    /// Ended by a commit.
    ended: bool,
}

/// Waits for the scope's turn and takes it, for a unit that is going to reach some positions; gives the scope as of then.
///
/// # Errors
/// [`headrace_core::Error::Fenced`] when a claim is no longer the newest; external when the ledger cannot be used.
pub(super) async fn take(
    ledger: &Arc<Ledger>,
    name: &str,
    tag: &str,
    claims: &[Claim],
    reached: &Reached,
) -> Result<(Scope, Turn)> {
    let heading: Headings = reached.iter().map(|(partition, position)| (partition.0.clone(), position.at)).collect();
    let mut waiting = Waiting::default();
    loop {
        let read = ledger.read(name).await?;
        read.check(claims)?;
        let is_ours = read.holder.as_deref() == Some(tag);
        let is_own_partition = claims.iter().any(|claim| read.heading.contains_key(&claim.partition.0));
        let taken = if is_ours {
            // Taken before, and the answer was lost.
            Some(read)
        } else if read.holder.is_none() || is_own_partition || waiting.is_over(&read, ledger.client.lease) {
            // Above every earlier timestamp of this scope, with room for what is to be removed beneath.
            let turn = clock::now_us().max(read.turn.unwrap_or(0) + 2);
            ledger.take_turn(name, &read, claims, (turn, tag, heading.clone())).await?
        } else {
            waiting.wait(ledger, name, read.turn).await?;
            continue;
        };
        if let Some(scope) = taken {
            let turn = Turn::begin(ledger.clone(), name.to_owned(), scope.clone());
            return Ok((scope, turn));
        }
        tokio::time::sleep(shortly(FIRST_LOOK)).await;
    }
}

/// The wait for one holder to end its turn.
#[derive(Default)]
struct Waiting {
    /// The turn, its last sign of life, and since when that was the last one.
    last: Option<(Option<i64>, Option<i64>, Instant)>,
}

impl Waiting {
    /// Whether the holder gave no sign of life for as long as a lease.
    fn is_over(&self, read: &Scope, lease: Duration) -> bool {
        self.last.is_some_and(|(turn, _, since)| turn == read.turn && since.elapsed() >= lease)
    }

    /// Waits until the turn has ended, or its holder must be dead.
    async fn wait(&mut self, ledger: &Ledger, name: &str, turn: Option<i64>) -> Result<()> {
        tracing::debug!(scope = name, "waiting for the turn of another worker");
        let mut pause = FIRST_LOOK;
        loop {
            let (now, holder, beat) = ledger.glance(name).await?;
            if now != turn || holder.is_none() {
                return Ok(());
            }
            match self.last {
                Some((known, last, since)) if known == now && last == beat => {
                    if since.elapsed() >= ledger.client.lease {
                        tracing::warn!(scope = name, "a worker gave no sign of life: its turn is taken over");
                        return Ok(());
                    }
                }
                _ => self.last = Some((now, beat, Instant::now())),
            }
            tokio::time::sleep(shortly(pause)).await;
            pause = (pause * 2).min(LONGEST_LOOK);
        }
    }
}

/// A pause around some length, so that workers do not keep step with each other.
fn shortly(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0_u8);
    pause / 2 + pause.mul_f64((random % 1_024) as f64 / 1_024.0)
}

impl Turn {
    fn begin(ledger: Arc<Ledger>, name: String, scope: Scope) -> Self {
        let (beats, of) = (ledger.clone(), name.clone());
        let beating = tokio::spawn(async move {
            loop {
                tokio::time::sleep(beats.client.lease / BEATS).await;
                if let Err(error) = beats.beat(&of, clock::now_us()).await {
                    tracing::debug!(%error, "no sign of life could be given");
                }
            }
        });
        Self { ledger, name, scope, beating: beating.abort_handle(), ended: false }
    }

    /// The timestamp of what the unit writes.
    pub(super) fn timestamp(&self) -> Option<i64> {
        self.scope.turn
    }

    /// Tells that the commit has ended the turn.
    pub(super) fn ended(&mut self) {
        self.ended = true;
    }
}

impl Drop for Turn {
    /// Ends the turn, so that others need not wait for the lease to run out; if that fails, they do.
    fn drop(&mut self) {
        self.beating.abort();
        let Some(runtime) = Handle::try_current().ok().filter(|_| !self.ended) else { return };
        let (ledger, name, scope) = (self.ledger.clone(), self.name.clone(), self.scope.clone());
        runtime.spawn(async move {
            if let Err(error) = ledger.give_up_turn(&name, &scope).await {
                tracing::debug!(%error, "a turn could not be given up");
            }
        });
    }
}

impl Ledger {
    /// The change that ends a turn without commit, if it has not ended already.
    pub(super) fn end_turn(&self, scope: &str, read: &Scope) -> Result<(String, Values)> {
        Ok((
            format!(
                "UPDATE {} SET holder = ?, heading = ?, left_behind = ? WHERE scope = ? IF turn = ? AND holder = ?",
                self.table
            ),
            vec![
                None,
                None,
                self.headings(&read.abandoned())?,
                text(scope),
                read.turn.map(CqlValue::BigInt),
                read.holder.as_deref().and_then(text),
            ],
        ))
    }

    /// Ends a turn without commit.
    ///
    /// # Errors
    /// External when the outcome is unknown.
    async fn give_up_turn(&self, scope: &str, read: &Scope) -> Result<()> {
        let change = self.end_turn(scope, read)?;
        self.apply(vec![change]).await.map(|_| ()).map_err(|refused| refused.explain(&self.context))
    }

    /// Tries to take the turn behind a scope as it was read, for a unit that goes somewhere; gives the scope as it is then, or
    /// none when something changed meanwhile.
    ///
    /// # Errors
    /// External when the outcome is unknown.
    async fn take_turn(
        &self,
        scope: &str,
        read: &Scope,
        claims: &[Claim],
        (turn, holder, heading): (i64, &str, Headings),
    ) -> Result<Option<Scope>> {
        let taken = read.taken(turn, holder, heading);
        let condition = "IF turn = ? AND holder = ? AND sequence = ? AND generation = ?";
        let mut changes = vec![(
            format!(
                "UPDATE {} SET turn = ?, holder = ?, heading = ?, left_behind = ? WHERE scope = ? {condition}",
                self.table
            ),
            vec![
                number(turn),
                text(holder),
                self.headings(&taken.heading)?,
                self.headings(&taken.left_behind)?,
                text(scope),
                read.turn.map(CqlValue::BigInt),
                read.holder.as_deref().and_then(text),
                read.stored_sequence().map(CqlValue::BigInt),
                read.generation.map(CqlValue::BigInt),
            ],
        )];
        changes.extend(claims.iter().map(|claim| self.claimed(scope, claim)));
        match self.apply(changes).await {
            Ok(true) => Ok(Some(taken)),
            // The next look tells who holds the turn.
            Ok(false) | Err(Refused::Unknown(_)) => Ok(None),
            Err(Refused::Error(error)) => Err(error),
        }
    }

    /// Tells, cheaply and perhaps late, whose turn it is: the turn, its holder and its last sign of life.
    ///
    /// # Errors
    /// External when the server stays unable to.
    async fn glance(&self, scope: &str) -> Result<(Option<i64>, Option<String>, Option<i64>)> {
        let cql = format!("SELECT turn, holder, beat FROM {} WHERE scope = ? LIMIT 1", self.table);
        let statement = self.client.prepare(&self.context, &cql, Use::State).await?;
        let rows = self.client.rows(&self.context, &statement, (scope,)).await?;
        let row = rows.maybe_first_row::<(Option<i64>, Option<String>, Option<i64>)>();
        Ok(failure::answer(&self.context, row)?.unwrap_or_default())
    }

    /// Gives a sign of life.
    ///
    /// # Errors
    /// External when the server stays unable to take it.
    async fn beat(&self, scope: &str, beat: i64) -> Result<()> {
        let cql = format!("UPDATE {} SET beat = ? WHERE scope = ?", self.table);
        let statement = self.client.prepare(&self.context, &cql, Use::State).await?;
        self.client.run(&self.context, &statement, (beat, scope)).await.map(|_| ())
    }
}
