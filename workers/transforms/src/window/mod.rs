//! Windows over event time: tumbling, sliding and session windows as functions of times.
//!
//! Every window is half-open, `[start, end)`, in microseconds since 1970-01-01T00:00:00Z, and is closed once the
//! watermark has reached its end. Nothing is decided here about late events: they have windows like all others, and
//! [`Window::is_closed`] tells them apart, so that a caller can keep both sums.
//!
//! ```
//! # use headrace_transforms::watermark::{Rules, Watermark};
//! # use headrace_transforms::window::{OpenWindows, Tumbling};
//! let (minutes, rules) = (Tumbling::new(60)?, Rules { delay_us: 120, idle_after_us: None });
//! let (mut watermark, mut open) = (Watermark::default(), OpenWindows::default());
//! let partition = watermark.slot("orders/0");
//! let (mut late, mut closed) = (Vec::new(), Vec::new());
//! for time_us in [0, 70, 180, 30] {
//!     let advance = watermark.advance(&rules, partition, time_us, 0);
//!     let window = minutes.window(time_us);
//!     if window.is_closed(advance.before) { late.push(time_us) } else { open.open(window) }
//!     closed.extend(open.close(advance.after));
//! }
//! assert_eq!((late, closed), (vec![30], vec![minutes.window(0)]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod open;
mod sessions;
mod sliding;

pub use open::OpenWindows;
pub use sessions::{Added, Session, Sessions};
pub use sliding::Sliding;

use crate::watermark::is_late;

/// A stretch of event time, its end excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// The first microsecond.
    pub start_us: i64,
    /// The microsecond behind the last.
    pub end_us: i64,
}

impl Window {
    /// Says whether the watermark has reached the window's end.
    pub fn is_closed(&self, watermark: Option<i64>) -> bool {
        is_late(self.end_us, watermark)
    }

    /// Says whether a time lies in the window.
    pub fn holds(&self, time_us: i64) -> bool {
        (self.start_us..self.end_us).contains(&time_us)
    }
}

/// Why windows cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadWindow {
    /// A length is zero or negative.
    #[error("the {what} of a window is {microseconds} µs; it must be more than zero")]
    NotPositive {
        /// Which length.
        what: &'static str,
        /// What it is.
        microseconds: i64,
    },
    /// Between two windows there would be events in none.
    #[error("windows of {size_us} µs every {slide_us} µs leave gaps; the slide must not be more than the size")]
    Gaps {
        /// How long a window is.
        size_us: i64,
        /// How far apart their starts are.
        slide_us: i64,
    },
}

/// Checks a length.
pub(crate) fn positive(what: &'static str, microseconds: i64) -> Result<i64, BadWindow> {
    if microseconds > 0 { Ok(microseconds) } else { Err(BadWindow::NotPositive { what, microseconds }) }
}

/// Windows of one size that follow each other; every time is in exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tumbling {
    size_us: i64,
    offset_us: i64,
}

impl Tumbling {
    /// Makes windows that are aligned to 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    /// When the size is not positive.
    pub fn new(size_us: i64) -> Result<Self, BadWindow> {
        Ok(Self { size_us: positive("size", size_us)?, offset_us: 0 })
    }

    /// Shifts the windows, such as by six hours for days that begin at six.
    pub fn with_offset(self, offset_us: i64) -> Self {
        Self { offset_us: offset_us.rem_euclid(self.size_us), ..self }
    }

    /// Gives the window of a time.
    pub fn window(&self, time_us: i64) -> Window {
        let into_us = time_us.saturating_sub(self.offset_us).rem_euclid(self.size_us);
        let start_us = time_us.saturating_sub(into_us);
        Window { start_us, end_us: start_us.saturating_add(self.size_us) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: i64 = 60_000_000;

    #[test]
    fn the_end_belongs_to_the_next_window() -> Result<(), BadWindow> {
        let minutes = Tumbling::new(MINUTE)?;
        assert_eq!(minutes.window(0), Window { start_us: 0, end_us: MINUTE });
        assert_eq!(minutes.window(MINUTE - 1).start_us, 0);
        assert_eq!(minutes.window(MINUTE).start_us, MINUTE);
        assert_eq!(minutes.window(-1).start_us, -MINUTE);
        let shifted = minutes.with_offset(-MINUTE + 10);
        assert_eq!([9, 10].map(|time_us| shifted.window(time_us).start_us), [10 - MINUTE, 10]);
        Ok(())
    }

    #[test]
    fn a_window_closes_when_the_watermark_reaches_its_end() {
        let window = Window { start_us: 0, end_us: 10 };
        assert_eq!([None, Some(9), Some(10)].map(|watermark| window.is_closed(watermark)), [false, false, true]);
    }

    #[test]
    fn sizes_are_checked() {
        let bad = |microseconds| BadWindow::NotPositive { what: "size", microseconds };
        assert_eq!(Tumbling::new(0), Err(bad(0)));
        assert_eq!(Tumbling::new(-5), Err(bad(-5)));
        assert_eq!(bad(-5).to_string(), "the size of a window is -5 µs; it must be more than zero");
    }

    proptest! {
        #[test]
        fn every_time_is_in_one_aligned_window(time_us in -1i64 << 60..1 << 60, size_us in 1i64..1 << 50, offset_us: i64) {
            let windows = Tumbling::new(size_us)?.with_offset(offset_us);
            let window = windows.window(time_us);
            prop_assert!(window.holds(time_us));
            prop_assert_eq!(window.end_us - window.start_us, size_us);
            prop_assert_eq!((i128::from(window.start_us) - i128::from(offset_us)).rem_euclid(i128::from(size_us)), 0);
            prop_assert_eq!(windows.window(window.start_us), window);
            prop_assert_eq!(windows.window(window.end_us).start_us, window.end_us);
        }
    }
}
