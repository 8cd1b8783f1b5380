//! The one place that reads the clock, the environment and the process: everything else gets them as values.
#![expect(clippy::disallowed_methods, reason = "this is the place the ban points to")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds since 1970, UTC.
pub fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Milliseconds since 1970, UTC.
pub fn now_ms() -> i64 {
    now_us() / 1_000
}

/// The value of an environment variable, none when unset or not UTF-8.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A name for this worker that is unique on this machine and between restarts.
pub fn worker_name() -> String {
    format!("headrace-{}-{}", std::process::id(), now_us())
}

/// Peak resident memory of this process in bytes, none where the system does not tell.
pub fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1_024)
}

/// Parses a length of time such as `500ms`, `5s`, `2m`, `1h`; a bare number is seconds.
///
/// # Errors
/// A text that says what is accepted.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err(format!("{text:?}: the unit must be ms, s, m or h")),
    };
    let value: f64 = number.parse().map_err(|_| format!("{text:?} is no length of time such as 500ms, 5s, 2m"))?;
    Duration::try_from_secs_f64(value * seconds).map_err(|_| format!("{text:?} is too long"))
}
