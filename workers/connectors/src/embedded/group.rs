//! Consumer groups: who reads which partitions of a topic.
//!
//! Members and owners are rows of `groups.sqlite`, beside the store so that heartbeats never wait for a long write.
//! The file holds nothing that matters: without it, members just join again. A member owns a partition until it gives it
//! up, leaves, stops beating for [`LIFETIME_MS`], or its process is gone; partition i is meant for member i modulo n, by
//! age. That no two members commit the same messages is the ledger's work; the group only avoids wasted reading.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use headrace_core::{Error, Result, clock};
use rusqlite::{Connection, TransactionBehavior, params};

use super::database::{Database, Use, blocking, connect};
use super::fault::Fault;

/// A member that has not beaten for so long is dropped.
const LIFETIME_MS: i64 = 10_000;

/// How often a member beats.
const HEARTBEAT: Duration = Duration::from_secs(1);

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS members (
    topic TEXT NOT NULL, team TEXT NOT NULL, member TEXT NOT NULL, joined INTEGER NOT NULL, heartbeat INTEGER NOT NULL,
    machine TEXT NOT NULL, process INTEGER NOT NULL, PRIMARY KEY (topic, team, member)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS owners (
    topic TEXT NOT NULL, team TEXT NOT NULL, number INTEGER NOT NULL, member TEXT NOT NULL, PRIMARY KEY (topic, team, number)
) WITHOUT ROWID;
";

/// What the group says about this member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    /// The partitions it owns.
    pub(super) owned: BTreeSet<i32>,
    /// The partitions that are meant for it.
    pub(super) meant: BTreeSet<i32>,
    /// When the other member that has been silent longest beat last, in milliseconds since 1970; none where there is no other.
    pub(super) others_beat_ms: Option<i64>,
}

/// One member of a group. Dropping it leaves the group.
pub(super) struct Membership {
    seat: Arc<Seat>,
    heartbeat: tokio::task::JoinHandle<()>,
}

/// Who the member is, and its connection.
struct Seat {
    connection: Mutex<Connection>,
    path: PathBuf,
    topic: String,
    team: String,
    member: String,
    joined: i64,
    partitions: Vec<i32>,
    /// A look that was still under way when the member left must not make it a member again.
    has_left: AtomicBool,
}

impl Membership {
    /// Joins a group.
    ///
    /// # Errors
    /// When the group's file cannot be used.
    pub(super) async fn join(database: &Arc<Database>, topic: &str, team: &str, partitions: Vec<i32>) -> Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let database = Arc::clone(database);
        let path = database.directory().join("groups.sqlite");
        let member = format!("{}-{}", clock::worker_name(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let (topic, team) = (topic.to_owned(), team.to_owned());
        let seat = blocking(move || {
            let connection = database.locked(|| open(&path)).map_err(|error| told(&path, error.into()))?;
            Ok(Seat {
                connection: Mutex::new(connection),
                path,
                topic,
                team,
                member,
                joined: clock::now_us(),
                partitions,
                has_left: false.into(),
            })
        })
        .await?;
        let seat = Arc::new(seat);
        let beating = Arc::clone(&seat);
        let heartbeat = tokio::spawn(async move {
            loop {
                tokio::time::sleep(HEARTBEAT).await;
                let seat = Arc::clone(&beating);
                if let Err(error) = blocking(move || seat.with(|seat, connection| seat.beat(connection))).await {
                    tracing::warn!("heartbeat failed: {error}");
                }
            }
        });
        Ok(Self { seat, heartbeat })
    }

    /// Beats, drops dead members, takes free partitions that are meant for this member, and tells what it has.
    ///
    /// # Errors
    /// When the group's file cannot be used.
    pub(super) async fn look(&self) -> Result<View> {
        let seat = Arc::clone(&self.seat);
        blocking(move || seat.with(Seat::look)).await
    }

    /// Gives partitions up.
    ///
    /// # Errors
    /// When the group's file cannot be used.
    pub(super) async fn give_up(&self, numbers: Vec<i32>) -> Result<()> {
        let seat = Arc::clone(&self.seat);
        blocking(move || seat.with(|seat, connection| seat.give_up(connection, &numbers))).await
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.heartbeat.abort();
        // If this fails, the others drop this member when it no longer beats.
        if let Err(error) = self.seat.with(Seat::leave) {
            tracing::debug!("leaving the group failed: {error}");
        }
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(path, "OFF", Use::Read)?;
    connection.execute_batch(TABLES)?;
    Ok(connection)
}

fn told(path: &Path, fault: Fault) -> Error {
    fault.into_error(&path.display().to_string(), "keep the consumer group")
}

impl Seat {
    fn with<T>(&self, work: impl FnOnce(&Self, &mut Connection) -> Result<T, Fault>) -> Result<T> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        work(self, &mut connection).map_err(|fault| told(&self.path, fault))
    }

    fn beat(&self, connection: &mut Connection) -> Result<(), Fault> {
        let sql = "UPDATE members SET heartbeat = ? WHERE topic = ? AND team = ? AND member = ?";
        connection.prepare_cached(sql)?.execute(params![clock::now_ms(), self.topic, self.team, self.member])?;
        Ok(())
    }

    fn look(&self, connection: &mut Connection) -> Result<View, Fault> {
        if self.has_left.load(Ordering::Relaxed) {
            return Ok(View::default());
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction
            .prepare_cached(
                "INSERT INTO members (topic, team, member, joined, heartbeat, machine, process) VALUES (?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT DO UPDATE SET heartbeat = excluded.heartbeat",
            )?
            .execute(params![self.topic, self.team, self.member, self.joined, clock::now_ms(), machine(), std::process::id()])?;
        let members = self.living(&transaction)?;
        let mine = members.iter().position(|(member, _)| *member == self.member).unwrap_or(0);
        let others = members.iter().filter(|(member, _)| *member != self.member);
        let others_beat_ms = others.map(|(_, heartbeat)| *heartbeat).min();
        let meant: BTreeSet<i32> = self
            .partitions
            .iter()
            .enumerate()
            .filter(|(at, _)| at % members.len().max(1) == mine)
            .map(|(_, number)| *number)
            .collect();
        for number in &meant {
            transaction
                .prepare_cached("INSERT OR IGNORE INTO owners (topic, team, number, member) VALUES (?, ?, ?, ?)")?
                .execute(params![self.topic, self.team, number, self.member])?;
        }
        let owned = {
            let mut statement =
                transaction.prepare_cached("SELECT number FROM owners WHERE topic = ? AND team = ? AND member = ?")?;
            let rows = statement.query_map(params![self.topic, self.team, self.member], |row| row.get(0))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        transaction.commit()?;
        Ok(View { owned, meant, others_beat_ms })
    }

    /// The members that live and when they beat last, oldest first; the dead are dropped with what they own.
    fn living(&self, connection: &Connection) -> Result<Vec<(String, i64)>, Fault> {
        let mut statement = connection.prepare_cached(
            "SELECT member, heartbeat, machine, process FROM members WHERE topic = ? AND team = ? ORDER BY joined, member",
        )?;
        let rows = statement.query_map(params![self.topic, self.team], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?, row.get::<_, u32>(3)?))
        })?;
        let mut living = Vec::new();
        for row in rows {
            let (member, heartbeat, machine, process) = row?;
            if clock::now_ms() - heartbeat > LIFETIME_MS || is_gone(&machine, process) {
                self.remove(connection, &member)?;
            } else {
                living.push((member, heartbeat));
            }
        }
        Ok(living)
    }

    fn remove(&self, connection: &Connection, member: &str) -> Result<(), Fault> {
        for table in ["members", "owners"] {
            let sql = format!("DELETE FROM {table} WHERE topic = ? AND team = ? AND member = ?");
            connection.prepare_cached(&sql)?.execute(params![self.topic, self.team, member])?;
        }
        Ok(())
    }

    fn leave(&self, connection: &mut Connection) -> Result<(), Fault> {
        self.has_left.store(true, Ordering::Relaxed);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        self.remove(&transaction, &self.member)?;
        Ok(transaction.commit()?)
    }

    fn give_up(&self, connection: &mut Connection, numbers: &[i32]) -> Result<(), Fault> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for number in numbers {
            transaction
                .prepare_cached("DELETE FROM owners WHERE topic = ? AND team = ? AND number = ? AND member = ?")?
                .execute(params![self.topic, self.team, number, self.member])?;
        }
        Ok(transaction.commit()?)
    }
}

/// What tells one process table from another: the boot and the namespace of process numbers; empty where unknown.
fn machine() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let namespace = std::fs::read_link("/proc/self/ns/pid");
    match (boot, namespace) {
        (Ok(boot), Ok(namespace)) => format!("{} {}", boot.trim(), namespace.display()),
        _ => String::new(),
    }
}

/// Tells whether a process of this machine is known not to run any more.
fn is_gone(its_machine: &str, process: u32) -> bool {
    !its_machine.is_empty() && its_machine == machine() && !Path::new("/proc").join(process.to_string()).exists()
}
