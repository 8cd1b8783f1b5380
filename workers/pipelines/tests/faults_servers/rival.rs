//! A second session in the warehouse that wants the same rows as a step, in the opposite order: a unit of work takes its
//! scope's row first and result rows after it, the rival begins with the result.

use std::time::Duration;

use headrace_core::StoreUrl;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, OptsBuilder};

use super::under_way::UnderWay;

/// InnoDB renews what its tables of transactions tell only after a tenth of a second in which nobody has read them.
const LOOK_EVERY: Duration = Duration::from_millis(150);
const DEADLOCK: u16 = 1_213;
/// Of two sessions that wait for each other the server gives up the one that has changed less.
const CHANGES: u32 = 20_000;

/// Opens a session of a URL's database.
pub(crate) async fn session(url: &str) -> Conn {
    let url = StoreUrl::parse(url).unwrap();
    let (host, port) = &url.hosts[0];
    let options = OptsBuilder::default()
        .ip_or_hostname(host)
        .tcp_port(port.unwrap())
        .user(url.user.as_deref())
        .pass(url.password.as_ref().map(|password| password.reveal()))
        .db_name(url.path.first())
        .prefer_socket(false);
    Conn::new(options).await.unwrap()
}

/// The rival, and an eye on both.
pub(crate) struct Rival {
    session: Conn,
    eye: Conn,
}

impl Rival {
    pub(crate) async fn of(url: &str) -> Self {
        let mut session = session(url).await;
        session.query_drop("CREATE TABLE IF NOT EXISTS rival (number INT) ENGINE=InnoDB").await.unwrap();
        Self { session, eye: self::session(url).await }
    }

    /// Takes a whole table and waits until a unit, in the middle of its work, waits for it. Gives the number of rows that
    /// the unit has changed; none when the step has ended, or when the server gave the rival up.
    pub(crate) async fn block(&mut self, table: &str, step: &UnderWay) -> Option<u64> {
        self.session.query_drop("START TRANSACTION").await.unwrap();
        self.take(table, step).await
    }

    async fn take(&mut self, table: &str, step: &UnderWay) -> Option<u64> {
        match self.session.query_drop(format!("SELECT COUNT(*) FROM {table} FOR UPDATE")).await {
            Err(Error::Server(error)) if error.code == DEADLOCK => return None,
            taken => taken.unwrap(),
        }
        while !step.is_over() {
            // The rival itself waits for nothing now.
            let waiting = "SELECT trx_rows_modified FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'";
            let changed = self.eye.query_first(waiting).await.unwrap();
            if changed.is_some() {
                return changed;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        None
    }

    /// Ends the rival's transaction.
    pub(crate) async fn let_go(&mut self) {
        self.session.query_drop("ROLLBACK").await.unwrap();
    }

    /// Waits for the step's unit while that waits for the rival. Tells whether the server gave the unit up for it (1213).
    pub(crate) async fn deadlock(&mut self, step: &UnderWay) -> bool {
        let before = self.metric("lock_deadlocks").await;
        self.session.query_drop("START TRANSACTION").await.unwrap();
        self.session.query_drop(format!("INSERT INTO rival SELECT seq FROM seq_1_to_{CHANGES}")).await.unwrap();
        let is_blocking = self.take("result", step).await.is_some();
        let scope = "SELECT COUNT(*) FROM headrace_scope FOR UPDATE";
        let is_winner = is_blocking && self.session.query_drop(scope).await.is_ok();
        self.let_go().await;
        is_winner && self.metric("lock_deadlocks").await > before
    }

    /// Keeps the rows until the unit's statement has waited too long for them. Tells whether it came to that (1205).
    pub(crate) async fn outwait(&mut self, step: &UnderWay) -> bool {
        let before = self.metric("lock_timeouts").await;
        let mut is_too_long = false;
        if self.block("result", step).await.is_some() {
            while !is_too_long && !step.is_over() {
                tokio::time::sleep(LOOK_EVERY).await;
                is_too_long = self.metric("lock_timeouts").await > before;
            }
        }
        self.let_go().await;
        is_too_long
    }

    async fn metric(&mut self, name: &str) -> u64 {
        let query = format!("SELECT count FROM information_schema.innodb_metrics WHERE name = '{name}'");
        self.eye.query_first(query).await.unwrap().unwrap()
    }
}
