//! How a run is stopped from outside and watched while it goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use crate::Counts;

/// What a running step shows, readable at any time without locks.
#[derive(Debug, Default)]
pub struct Progress {
    /// Rows read and committed so far.
    pub read: AtomicU64,
    /// Rows written so far.
    pub written: AtomicU64,
    /// Rows dead-lettered so far.
    pub dead_lettered: AtomicU64,
    /// Bytes read and committed so far.
    pub bytes: AtomicU64,
    /// What the source says is left (rows or bytes), `u64::MAX` when unknown.
    pub remaining: AtomicU64,
    /// Whether `remaining` counts bytes.
    pub remaining_is_bytes: std::sync::atomic::AtomicBool,
}

impl Progress {
    /// Adds committed counts.
    pub fn add(&self, counts: &Counts) {
        self.read.fetch_add(counts.read, Ordering::Relaxed);
        self.written.fetch_add(counts.written, Ordering::Relaxed);
        self.dead_lettered.fetch_add(counts.dead_lettered, Ordering::Relaxed);
        self.bytes.fetch_add(counts.bytes, Ordering::Relaxed);
    }

    /// Sets what is left.
    pub fn set_remaining(&self, remaining: Option<u64>) {
        self.remaining.store(remaining.unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// Handle on a run: clone it, keep one, give one to the step.
#[derive(Clone, Debug)]
pub struct Control {
    stop: Arc<watch::Sender<bool>>,
    /// What the step shows while it runs.
    pub progress: Arc<Progress>,
}

impl Default for Control {
    fn default() -> Self {
        let progress = Progress::default();
        progress.set_remaining(None);
        Self { stop: Arc::new(watch::Sender::new(false)), progress: Arc::new(progress) }
    }
}

impl Control {
    /// Asks the run to stop at the next batch boundary.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Tells whether a stop was asked for.
    pub fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Waits until a stop is asked for.
    pub async fn stopping(&self) {
        let mut receiver = self.stop.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = receiver.wait_for(|stop| *stop).await;
    }
}
