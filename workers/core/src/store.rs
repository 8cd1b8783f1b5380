//! Keyed stores: tables, units of work and the ledger.
//!
//! The ledger is where positions and state live: read first, committed last. It is addressed by a *scope*
//! (one step working from one source, such as `recruitment clean kafka:users_created`), and holds per scope
//! - for every partition its position and epoch (see [`Claim`]),
//! - the number of the last commit (the *sequence*), which grows by one with every commit,
//! - counters that grow with every commit,
//! - state: blobs by space and key, each written under the sequence of its commit.
//!
//! A [`Unit`] is one unit of work. In a transactional store (MySQL, embedded) everything in it happens at its
//! commit or not at all. In a store without transactions (Cassandra) rows are written at once, and must be
//! such that writing them again changes nothing; positions, counters and the visibility of state change at
//! the commit, atomically.

use async_trait::async_trait;
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};

use crate::position::{Claim, Partition, Reached};
use crate::source::Source;
use crate::table::{Table, Value, View};
use crate::{Counts, Error, Ident, Result};

/// One blob of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The key it belongs to.
    pub key: i64,
    /// The commit that wrote it.
    pub sequence: i64,
    /// Its content.
    pub blob: Vec<u8>,
}

/// What units that were not committed may have left in rows. Nothing, where units are transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leftovers {
    /// Nothing.
    None,
    /// Something, in rows of other partitions than this unit's.
    Elsewhere,
    /// Something, in rows this unit is about to write.
    Here,
}

/// What a ledger keeps of a scope beside positions and state, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// The counters.
    #[serde(flatten)]
    pub counts: Counts,
    /// When something was committed last, microseconds since 1970; none in what older versions wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed_at_us: Option<i64>,
}

impl Totals {
    /// Reads the text; an empty one is that of a scope without commits.
    ///
    /// # Errors
    /// A data error naming the scope when the text is damaged.
    pub fn parse(scope: &str, text: &str) -> Result<Self> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_str(text)
            .map_err(|error| Error::data(format!("the counters of `{scope}` cannot be read: {error}")))
    }

    /// The text after a commit at a time, which adds counts and takes others off.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn after(self, added: &Counts, less: &Counts, now_us: i64) -> Result<String> {
        let mut counts = self.counts;
        counts.add(added);
        let unknown = counts.take_off(less);
        if unknown != Counts::default() {
            tracing::debug!(?unknown, "counts to take off were never counted");
        }
        serde_json::to_string(&Self { counts, committed_at_us: Some(now_us) })
            .map_err(|error| Error::data(format!("counters cannot be written: {error}")))
    }
}

/// Which rows to read: those equal to the given values, behind a key, at most so many, in key order.
#[derive(Clone, Debug)]
pub struct Select<'a> {
    /// The table.
    pub table: &'a Table,
    /// The columns to return, in this order.
    pub columns: Vec<&'a str>,
    /// Conditions: column equals value. In Cassandra they must name the partition columns, or nothing.
    pub equal: Vec<(&'a str, Value)>,
    /// Only rows whose key (all key columns, in order) is greater; empty for all.
    pub after: Vec<Value>,
    /// At most so many rows.
    pub limit: usize,
}

/// A keyed store and its ledger. Cheap to share; every method may be called from several tasks.
#[async_trait]
pub trait Store: Send + Sync {
    /// Creates the tables that are missing, with all the ledger needs, and checks those that are there.
    ///
    /// # Errors
    /// A configuration error naming the difference when a table has other columns, keys or types, or a further unique key.
    async fn create(&self, tables: &[&Table]) -> Result<()>;

    /// Creates or replaces a view, where the store has views.
    ///
    /// # Errors
    /// When the store refuses.
    async fn create_view(&self, view: &View) -> Result<()>;

    /// Tells whether a table is there.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn has_table(&self, table: &Ident) -> Result<bool>;

    /// Reads rows in key order. In Cassandra a read without the partition columns gathers and sorts the table: small tables only.
    ///
    /// # Errors
    /// A configuration error naming the table when it is missing.
    async fn select(&self, select: &Select<'_>) -> Result<DataFrame>;

    /// Reads a whole table in `parts` parallel partitions (`1 of n`, …), in the store's own order, every row once, resumable by position.
    /// `only` limits the scan to some of the parts (counted from 0); empty means all.
    ///
    /// # Errors
    /// A configuration error naming the table when it is missing.
    async fn scan(&self, table: &Table, columns: &[&str], parts: usize, only: &[usize]) -> Result<Box<dyn Source>>;

    /// Claims partitions of a scope: raises their epochs and tells their positions.
    ///
    /// # Errors
    /// When the ledger cannot be reached.
    async fn claim(&self, scope: &str, partitions: &[Partition]) -> Result<Vec<Claim>>;

    /// Reads the committed positions of a scope without claiming anything.
    ///
    /// # Errors
    /// When the ledger cannot be reached.
    async fn positions(&self, scope: &str) -> Result<Reached>;

    /// Reads the counters of a scope.
    ///
    /// # Errors
    /// When the ledger cannot be reached.
    async fn counters(&self, scope: &str) -> Result<Counts>;

    /// Tells when something was committed in a scope last, in microseconds since 1970; none where nothing was, or where the store
    /// does not keep it.
    ///
    /// # Errors
    /// When the ledger cannot be reached.
    async fn committed_at_us(&self, scope: &str) -> Result<Option<i64>> {
        let _ = scope;
        Ok(None)
    }

    /// Forgets everything about a scope: positions, counters, state. Its claims are lost.
    ///
    /// # Errors
    /// When the ledger cannot be reached.
    async fn forget(&self, scope: &str) -> Result<()>;

    /// Begins a unit of work under claims. In a transactional store it holds the scope's lock until it ends, so that units of
    /// one scope follow each other and state read in it cannot be stale.
    ///
    /// # Errors
    /// [`Error::Fenced`] when a claim is no longer the newest.
    async fn begin(&self, scope: &str, claims: &[Claim]) -> Result<Box<dyn Unit>>;

    /// Begins a unit of work that reads state, or writes rows that other workers of the scope may write too, and tells which
    /// positions it is going to reach. Such units follow each other: where [`Self::begin`] takes no lock, this waits for the
    /// scope's turn, however long other workers take. Waiting may be given up at any moment.
    ///
    /// # Errors
    /// As [`Self::begin`].
    async fn begin_in_turn(&self, scope: &str, claims: &[Claim], reached: &Reached) -> Result<Box<dyn Unit>> {
        let _ = reached;
        self.begin(scope, claims).await
    }

    /// Names the store and database without secrets; two stores with the same name are the same place.
    fn name(&self) -> String;

    /// Tells whether units are real transactions.
    fn is_transactional(&self) -> bool;
}

/// One unit of work; dropped without commit, it is undone (or, without transactions, not made visible).
#[async_trait]
pub trait Unit: Send {
    /// The committed positions of the claimed partitions, as of the beginning of this unit.
    fn positions(&self) -> &Reached;

    /// The number of the last commit of the scope; this unit's commit gets the next number.
    fn sequence(&self) -> i64;

    /// Reads state: for each (key, after) the segments of the key with a greater sequence than `after`, ordered by key and sequence.
    ///
    /// # Errors
    /// When the store fails.
    async fn read_state(&mut self, space: &str, wanted: &[(i64, i64)]) -> Result<Vec<Segment>>;

    /// Writes state blobs under this unit's sequence, and drops segments by (key, sequence).
    ///
    /// # Errors
    /// When the store fails.
    async fn write_state(&mut self, space: &str, put: Vec<(i64, Vec<u8>)>, drop: Vec<(i64, i64)>) -> Result<()>;

    /// Inserts rows or merges them into those that are there, column by column as the table says. The frame has all written columns;
    /// keys are unique within it.
    ///
    /// # Errors
    /// When the store fails or a value does not fit.
    async fn upsert(&mut self, table: &Table, frame: &DataFrame) -> Result<()>;

    /// Deletes rows; the frame has the key columns, and keys are unique within it. What the unit upserts afterwards stays.
    ///
    /// # Errors
    /// When the store fails.
    async fn delete(&mut self, table: &Table, keys: &DataFrame) -> Result<()>;

    /// Tells what units that were not committed may have left.
    fn leftovers(&self) -> Leftovers {
        Leftovers::None
    }

    /// Removes what units that were not committed left beneath rows of committed ones: values in columns that are null in the
    /// row that counts. The frame has the key columns; all of these rows must be those of committed units, or of this one.
    ///
    /// # Errors
    /// When the store fails.
    async fn sweep(&mut self, table: &Table, keys: &DataFrame) -> Result<()> {
        let _ = (table, keys);
        Ok(())
    }

    /// Sets one column of all rows that have a value in another, and tells how many rows changed.
    ///
    /// # Errors
    /// A configuration error in stores that cannot do this.
    async fn update(&mut self, table: &Table, set: (&str, Value), equal: (&str, Value)) -> Result<u64>;

    /// Appends messages to a topic as part of this unit, where the store is also the log; answers false where it is not.
    ///
    /// # Errors
    /// When the store fails.
    async fn append(&mut self, topic: &str, messages: &DataFrame) -> Result<bool> {
        let _ = (topic, messages);
        Ok(false)
    }

    /// Takes counts off the scope's counters at the commit: of rows that were counted before and have become something else.
    fn take_off(&mut self, counts: Counts);

    /// Commits everything with the positions reached, and adds the counts to the scope's counters.
    ///
    /// # Errors
    /// [`Error::Fenced`] when a claim was taken over. After an external error the outcome may be unknown: begin a new unit
    /// and compare [`Unit::positions`] (see [`is_committed`]).
    async fn commit(self: Box<Self>, reached: &Reached, counts: &Counts) -> Result<()>;
}

/// Tells whether exactly the positions a batch reaches are committed, as after a commit whose answer was lost.
///
/// Exactly, not "at least": a file that is read again from its beginning commits smaller positions than before.
pub fn is_committed(unit: &dyn Unit, reached: &Reached) -> bool {
    !reached.is_empty() && reached.iter().all(|(partition, position)| unit.positions().get(partition) == Some(position))
}

/// The claims of a batch's partitions among all claims of a worker.
///
/// # Errors
/// [`Error::Fenced`] when the worker has no claim on one of them.
pub fn claims_for(claims: &std::collections::BTreeMap<Partition, Claim>, reached: &Reached) -> Result<Vec<Claim>> {
    reached
        .keys()
        .map(|partition| claims.get(partition).cloned().ok_or_else(|| Error::Fenced(partition.to_string())))
        .collect()
}
