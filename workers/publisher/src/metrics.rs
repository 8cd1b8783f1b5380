//! Counts and times of requests, in the text format of Prometheus.
//!
//! Memory: one line per route, method and status; all three have few values.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Upper bounds of the buckets, in seconds.
const BOUNDS: [f64; 12] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
/// The content type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone, Debug, Default)]
struct Times {
    /// By bucket, and those above the last bound.
    counts: [u64; BOUNDS.len() + 1],
    seconds: f64,
}

impl Times {
    fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[derive(Debug, Default)]
struct Kept {
    requests: BTreeMap<(String, &'static str, u16), u64>,
    times: BTreeMap<String, Times>,
}

/// All that is counted of requests.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Kept>);

/// One family of metrics that a system adds: name, help, kind, and its lines' labels and values.
#[derive(Clone, Debug)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// `counter` or `gauge`.
    pub kind: &'static str,
    /// By line: labels, and the value.
    pub lines: Vec<(Vec<(&'static str, String)>, f64)>,
}

/// Upper bounds of the time that so many of the answers took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percentiles {
    /// How many answers there were.
    pub count: u64,
    /// Milliseconds, for half of them, 95 and 99 of a hundred; none above the last bucket.
    pub milliseconds: [Option<f64>; 3],
}

impl Metrics {
    /// Counts a request.
    pub fn request(&self, route: &str, method: &'static str, status: u16, took: Duration) {
        let mut kept = self.kept();
        *kept.requests.entry((route.to_owned(), method, status)).or_default() += 1;
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        let times = kept.times.entry(route.to_owned()).or_default();
        times.counts[bucket] += 1;
        times.seconds += seconds;
    }

    /// How long the answers of a route took; none before the first.
    pub fn percentiles(&self, route: &str) -> Option<Percentiles> {
        let times = self.kept().times.get(route).cloned()?;
        let total = times.total();
        let milliseconds = [50, 95, 99].map(|share| {
            let mut below = 0;
            let reached = times.counts.iter().position(|count| {
                below += count;
                below * 100 >= total * share
            });
            reached.and_then(|bucket| BOUNDS.get(bucket)).map(|bound| bound * 1000.0)
        });
        Some(Percentiles { count: total, milliseconds })
    }

    /// The text, with what the systems add.
    pub fn render(&self, families: &[Family]) -> String {
        let kept = self.kept();
        let mut text = String::new();
        head(&mut text, "headrace_http_requests_total", "Requests by route, method and status.", "counter");
        for ((route, method, status), count) in &kept.requests {
            let labels = [("route", route.clone()), ("method", (*method).to_owned()), ("status", status.to_string())];
            line(&mut text, "headrace_http_requests_total", &labels, *count as f64);
        }
        head(&mut text, "headrace_http_request_seconds", "Time until the answer.", "histogram");
        for (route, times) in &kept.times {
            let mut below = 0;
            let bounds = BOUNDS.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
            for (bound, count) in bounds.zip(times.counts) {
                below += count;
                let labels = [("route", route.clone()), ("le", bound)];
                line(&mut text, "headrace_http_request_seconds_bucket", &labels, below as f64);
            }
            let labels = [("route", route.clone())];
            line(&mut text, "headrace_http_request_seconds_sum", &labels, times.seconds);
            line(&mut text, "headrace_http_request_seconds_count", &labels, times.total() as f64);
        }
        for family in families {
            head(&mut text, family.name, family.help, family.kind);
            for (labels, value) in &family.lines {
                line(&mut text, family.name, labels, *value);
            }
        }
        text
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    // Writing to a `String` cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, labels: &[(&'static str, String)], value: f64) {
    let labels: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    let _ = writeln!(text, "{name}{labels} {value}");
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::{Family, Metrics};
    use std::time::Duration;

    #[test]
    fn requests_are_counted_into_buckets_that_add_up() {
        let metrics = Metrics::default();
        for milliseconds in [1, 1, 3, 80, 9_000] {
            metrics.request("/a", "GET", 200, Duration::from_millis(milliseconds));
        }
        metrics.request("/a", "GET", 404, Duration::from_millis(1));
        let family = Family { name: "n", help: "h", kind: "gauge", lines: vec![(vec![("l", "a\"b".to_owned())], 1.5)] };
        let text = metrics.render(&[family]);
        for line in [
            "headrace_http_requests_total{route=\"/a\",method=\"GET\",status=\"200\"} 5",
            "headrace_http_requests_total{route=\"/a\",method=\"GET\",status=\"404\"} 1",
            "headrace_http_request_seconds_bucket{route=\"/a\",le=\"0.001\"} 3",
            "headrace_http_request_seconds_bucket{route=\"/a\",le=\"0.1\"} 5",
            "headrace_http_request_seconds_bucket{route=\"/a\",le=\"+Inf\"} 6",
            "headrace_http_request_seconds_count{route=\"/a\"} 6",
            "n{l=\"a\\\"b\"} 1.5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        let percentiles = metrics.percentiles("/a").unwrap();
        assert_eq!((percentiles.count, percentiles.milliseconds), (6, [Some(1.0), None, None]));
        assert_eq!(metrics.percentiles("/b"), None);
    }
}
