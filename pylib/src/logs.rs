//! Log lines on their way to Python: a bounded queue, filled by any thread and emptied by the thread that called.
//!
//! Worker threads never call Python: a thread that logs would need the interpreter, which the caller may hold while
//! it waits for that very thread. A full queue drops lines and counts them.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicU8, Ordering};

use headrace_core::bounded::Bounded;
use headrace_core::per_process::PerProcess;
use headrace_core::secret::mask;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, Subscriber};
use tracing::{Event, Level, Metadata};

/// Lines that wait; the caller empties the queue ten times a second.
const CAPACITY: usize = 4_096;

static QUEUE: PerProcess<Bounded<Line>> = PerProcess::new();
/// The lowest Python level that is wanted.
static WANTED: AtomicU8 = AtomicU8::new(u8::MAX);

/// One log line.
pub(crate) struct Line {
    /// Python's number of the level.
    pub(crate) level: u8,
    /// The module that speaks.
    pub(crate) target: &'static str,
    /// What it says.
    pub(crate) text: String,
}

fn queue() -> &'static Bounded<Line> {
    QUEUE.get(|_| Bounded::new(CAPACITY))
}

/// Starts collecting lines of at least a Python level.
pub(crate) fn collect(level: u8) {
    static STARTED: Once = Once::new();
    WANTED.store(level, Ordering::Relaxed);
    // A subscriber that someone else has set keeps the lines; there is nobody to tell.
    STARTED.call_once(|| drop(tracing::subscriber::set_global_default(Collector)));
}

/// Takes the lines that wait, and a line about those that were dropped.
pub(crate) fn take() -> VecDeque<Line> {
    let (mut lines, dropped) = queue().take();
    if dropped > 0 {
        let text = format!("{dropped} log lines were dropped because they came faster than Python takes them");
        lines.push_back(Line { level: 30, target: "headrace", text });
    }
    lines
}

/// Python's number of a level.
fn number(level: Level) -> u8 {
    match level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        Level::DEBUG => 10,
        Level::TRACE => 5,
    }
}

/// Events only; spans are the drivers' own affair.
struct Collector;

impl Subscriber for Collector {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.is_event() { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let level = number(*metadata.level());
        let ours = metadata.target().starts_with("headrace");
        metadata.is_event() && level >= WANTED.load(Ordering::Relaxed) && (ours || level >= 30)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut words = Words::default();
        event.record(&mut words);
        let metadata = event.metadata();
        let text = mask(&format!("{}{}", words.message, words.fields));
        queue().put(Line { level: number(*metadata.level()), target: metadata.target(), text });
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Words {
    message: String,
    fields: String,
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
