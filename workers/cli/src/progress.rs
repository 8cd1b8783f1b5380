//! Progress on standard error: a bar on a terminal, a line every ten seconds elsewhere.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use headrace_core::Control;
use headrace_core::progress::{Meter, View};
use indicatif::{ProgressBar, ProgressStyle};

use crate::command::Options;

const BAR_PAUSE: Duration = Duration::from_millis(200);
const LINE_PAUSE: Duration = Duration::from_secs(10);

/// Shows how far a step is.
pub(crate) struct Display {
    name: String,
    bar: Option<ProgressBar>,
    silent: bool,
}

impl Display {
    /// Makes a display that fits where standard error goes.
    pub(crate) fn new(name: &str, options: &Options) -> Self {
        let silent = options.quiet || options.no_progress;
        let bar = (!silent && io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(1_000).with_style(spinner());
            bar.set_prefix(name.to_owned());
            bar
        });
        Self { name: name.to_owned(), bar, silent }
    }

    /// The bar, for those who write beside it.
    pub(crate) fn bar(&self) -> Option<ProgressBar> {
        self.bar.clone()
    }

    /// Shows progress until it is dropped.
    pub(crate) async fn show(&self, control: &Control) {
        if self.silent {
            return std::future::pending().await;
        }
        let started = Instant::now();
        let mut meter = Meter::default();
        let mut ticks = tokio::time::interval(if self.bar.is_some() { BAR_PAUSE } else { LINE_PAUSE });
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let view = meter.look(started.elapsed(), &control.progress);
            match &self.bar {
                Some(bar) => paint(bar, &view),
                // The first tick comes at once and has nothing to tell.
                None if started.elapsed() >= LINE_PAUSE => tracing::info!("{}: {view}", self.name),
                None => {}
            }
        }
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn paint(bar: &ProgressBar, view: &View) {
    match view.fraction {
        Some(fraction) => {
            bar.set_style(scale());
            bar.set_position((fraction * 1_000.0) as u64);
        }
        None => bar.set_style(spinner()),
    }
    bar.set_message(view.to_string());
    bar.tick();
}

fn scale() -> ProgressStyle {
    style("{prefix} {bar:24.cyan/dim} {msg}").progress_chars("━━╌")
}

fn spinner() -> ProgressStyle {
    style("{prefix} {spinner:.cyan} {msg}")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressStyle;

    #[test]
    fn the_templates_are_understood() {
        for template in ["{prefix} {bar:24.cyan/dim} {msg}", "{prefix} {spinner:.cyan} {msg}"] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
