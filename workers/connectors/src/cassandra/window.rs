//! The window of writes in flight: it grows while the server answers quickly and halves when it pushes back,
//! so that an overloaded server gets slower writers instead of failing ones. Shared by all writers of a connection.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Writes in flight to begin with.
const BEGINNING: f64 = 32.0;
/// Answers within this time are always good: far below the server's own timeouts of seconds.
const GOOD_SECONDS: f64 = 0.020;
/// Slower servers are measured by their own best: so many times slower is a queue that builds up.
const QUEUEING: f64 = 3.0;
/// Push-backs within this time are one push-back.
const SETTLING: Duration = Duration::from_millis(200);

/// How many writes may be in flight, by all writers together.
#[derive(Debug)]
pub(super) struct Window {
    state: Mutex<State>,
    writers: AtomicUsize,
}

#[derive(Debug)]
struct State {
    limit: f64,
    ceiling: f64,
    /// Smoothed time of an answer.
    smoothed: f64,
    /// The best smoothed time so far, slowly forgotten.
    best: f64,
    /// Still growing with every answer, as no push-back was seen yet.
    is_starting: bool,
    cut: Option<Instant>,
}

impl Window {
    /// Opens a window that never grows above a ceiling.
    pub(super) fn new(ceiling: usize) -> Self {
        let ceiling = ceiling.max(1) as f64;
        let state = State {
            limit: BEGINNING.min(ceiling),
            ceiling,
            smoothed: 0.0,
            best: f64::INFINITY,
            is_starting: true,
            cut: None,
        };
        Self { state: Mutex::new(state), writers: AtomicUsize::new(0) }
    }

    /// Counts a writer in, until the guard is dropped.
    pub(super) fn enter(&self) -> Writer<'_> {
        self.writers.fetch_add(1, Ordering::Relaxed);
        Writer { window: self }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answered(&self, took: Duration) {
        let mut state = self.state();
        let seconds = took.as_secs_f64();
        state.smoothed = if state.smoothed == 0.0 { seconds } else { state.smoothed * 0.95 + seconds * 0.05 };
        state.best = (state.best * 1.0001).min(state.smoothed);
        if state.smoothed <= GOOD_SECONDS.max(state.best * QUEUEING) {
            let step = if state.is_starting { 1.0 } else { 4.0 / state.limit };
            state.limit = (state.limit + step).min(state.ceiling);
        } else {
            state.is_starting = false;
            // About a tenth less for each window full of slow answers.
            state.limit = (state.limit - 0.1).max(1.0);
        }
    }

    fn pushed_back(&self, now: Instant) {
        let mut state = self.state();
        if state.cut.is_some_and(|cut| now.duration_since(cut) < SETTLING) {
            return;
        }
        state.cut = Some(now);
        state.is_starting = false;
        state.limit = (state.limit / 2.0).max(1.0);
        tracing::debug!(in_flight = state.limit as usize, "cassandra pushes back: writing slower");
    }
}

/// One writer's view of the window.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    window: &'a Window,
}

impl Writer<'_> {
    /// How many writes this writer may have in flight now, at least one.
    pub(super) fn share(&self) -> usize {
        let writers = self.window.writers.load(Ordering::Relaxed).max(1);
        (self.window.state().limit as usize / writers).max(1)
    }

    /// Tells the window that an answer came.
    pub(super) fn answered(&self, took: Duration) {
        self.window.answered(took);
    }

    /// Tells the window that the server did not keep up.
    pub(super) fn pushed_back(&self) {
        self.window.pushed_back(Instant::now());
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        self.window.writers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{SETTLING, Window};

    #[test]
    fn grows_while_answers_are_quick_up_to_the_ceiling() {
        let window = Window::new(100);
        let writer = window.enter();
        assert_eq!(writer.share(), 32);
        for _ in 0..1_000 {
            writer.answered(Duration::from_millis(2));
        }
        assert_eq!(writer.share(), 100);
        let second = window.enter();
        assert_eq!((writer.share(), second.share()), (50, 50));
        drop(second);
        assert_eq!(writer.share(), 100);
    }

    #[test]
    fn shrinks_when_answers_get_slow() {
        let window = Window::new(256);
        let writer = window.enter();
        for _ in 0..300 {
            writer.answered(Duration::from_millis(2));
        }
        assert_eq!(writer.share(), 256);
        for _ in 0..1_000 {
            writer.answered(Duration::from_millis(200));
        }
        assert!((100..250).contains(&writer.share()), "{}", writer.share());
    }

    #[test]
    fn one_push_back_halves_once_and_never_below_one() {
        let window = Window::new(64);
        let start = Instant::now();
        for _ in 0..10 {
            window.pushed_back(start);
        }
        assert_eq!(window.enter().share(), 16);
        for round in 1..20 {
            window.pushed_back(start + SETTLING * round);
        }
        assert_eq!(window.enter().share(), 1);
    }
}
