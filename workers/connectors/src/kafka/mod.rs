//! Apache Kafka as a message log.
//!
//! Delivery: producing is idempotent and waits for all in-sync replicas; consuming keeps no offsets in the broker (the
//! caller's ledger has them), so a batch counts when its positions are committed there. Ordering: by key when producing,
//! by partition when consuming. Memory: 64 MiB of unsent messages; per consumer 16 MiB read ahead and two batches.
//!
//! Layout: [`settings`] reads the URL; [`inquiry`] asks and creates; [`producer`] sends; [`source`] is the async side of a
//! group member and [`reader`] its thread, with [`membership`] (partitions come and go), [`watch`] (what does not come),
//! [`held`] (one partition), [`gather`] (one batch) and [`shared`] between the two; [`context`] takes the library's
//! callbacks and [`fault`] puts errors into words.

mod context;
mod fault;
mod gather;
mod held;
mod inquiry;
mod intake;
mod membership;
mod placing;
mod producer;
mod reader;
mod settings;
mod shared;
mod source;
mod watch;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use headrace_core::log::{Consume, Extent, Log};
use headrace_core::source::Source;
use headrace_core::{Error, Result, StoreUrl};
use polars::prelude::DataFrame;
use tokio::sync::oneshot;

use self::context::lock;
use self::inquiry::Inquirer;
use self::producer::Outlet;
use self::settings::Settings;
use self::source::Member;

/// A Kafka cluster.
pub struct Kafka {
    settings: Arc<Settings>,
    inquirer: Mutex<Option<Arc<Inquirer>>>,
    outlet: Outlet,
    /// Topics that were there when they were first written to.
    known: Mutex<HashSet<String>>,
}

impl Kafka {
    /// Reads the URL `kafka://USER:PASSWORD@HOST:PORT,…/TOPIC?OPTIONS` (port 9092 unless said). Brokers are first
    /// contacted when they are needed.
    ///
    /// Options: `tls`, `tls_ca`, `tls_certificate`, `tls_key`, `sasl` (SCRAM-SHA-256 by default), `topic`, `partitions`,
    /// `replication`, `group_protocol` (`classic` by default, or `consumer`), `session_timeout`, `max_poll_interval`.
    ///
    /// # Errors
    /// A configuration error for an unknown option, a missing password or an unreadable file.
    pub fn connect(url: &StoreUrl) -> Result<Self> {
        Ok(Self {
            settings: Arc::new(Settings::read(url)?),
            inquirer: Mutex::new(None),
            outlet: Outlet::default(),
            known: Mutex::new(HashSet::new()),
        })
    }

    fn inquirer(&self) -> Result<Arc<Inquirer>> {
        let mut slot = lock(&self.inquirer);
        if let Some(inquirer) = &*slot {
            return Ok(inquirer.clone());
        }
        Ok(slot.insert(Arc::new(Inquirer::new(&self.settings)?)).clone())
    }

    /// Asks on a thread of its own: a question may wait a minute for brokers, and the end of the runtime must not.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(Arc<Inquirer>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let doing = || format!("cannot ask {}", self.settings.place);
        let inquirer = self.inquirer()?;
        let (reply, answer) = oneshot::channel();
        // A caller that is gone wants no answer.
        let asking = move || drop(reply.send(question(inquirer)));
        let thread = std::thread::Builder::new().name("kafka inquiry".to_owned()).spawn(asking);
        thread.map_err(|error| Error::external(doing(), error))?;
        answer.await.map_err(|error| Error::external(doing(), error))?
    }
}

#[async_trait]
impl Log for Kafka {
    async fn create_topic(&self, topic: &str, partitions: i32) -> Result<()> {
        let name = topic.to_owned();
        // Asking first tells a wrong login or host in clear words.
        if self.ask(move |inquirer| inquirer.partitions_if_any(&name)).await?.is_none() {
            inquiry::create_topic(&self.settings, topic, partitions).await?;
        }
        let name = topic.to_owned();
        self.ask(move |inquirer| inquirer.wait_for_topic(&name)).await
    }

    async fn extents(&self, topic: &str) -> Result<Option<Vec<Extent>>> {
        let name = topic.to_owned();
        self.ask(move |inquirer| inquirer.extents(&name)).await
    }

    async fn consume(&self, topic: &str, options: &Consume) -> Result<Box<dyn Source>> {
        options.check()?;
        let (settings, name, options) = (self.settings.clone(), topic.to_owned(), options.clone());
        let member = self.ask(move |inquirer| Member::join(&settings, inquirer, &name, &options)).await?;
        Ok(Box::new(member))
    }

    async fn produce(&self, topic: &str, messages: &DataFrame) -> Result<()> {
        if !lock(&self.known).contains(topic) {
            // A producer would wait for the topic, and might create it.
            let name = topic.to_owned();
            self.ask(move |inquirer| inquirer.partitions(&name)).await?;
            lock(&self.known).insert(topic.to_owned());
        }
        let outcome = self.outlet.send(&self.settings, topic, messages).await;
        if outcome.is_err() {
            lock(&self.known).remove(topic);
        }
        outcome
    }

    fn name(&self) -> String {
        self.settings.place.clone()
    }
}
