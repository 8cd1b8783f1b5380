//! Sliding windows: of one size, one every slide, so that a time is in several.

use super::{BadWindow, Window, positive};

/// Windows of one size whose starts are a slide apart, aligned to 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sliding {
    size_us: i64,
    slide_us: i64,
}

impl Sliding {
    /// Makes windows of a size every so often.
    ///
    /// # Errors
    /// When one is not positive, or the slide is more than the size: then some events would be in no window.
    pub fn new(size_us: i64, slide_us: i64) -> Result<Self, BadWindow> {
        let (size_us, slide_us) = (positive("size", size_us)?, positive("slide", slide_us)?);
        if slide_us > size_us { Err(BadWindow::Gaps { size_us, slide_us }) } else { Ok(Self { size_us, slide_us }) }
    }

    /// Gives the windows that a time is in, earliest first; there are at most `size / slide`, rounded up.
    pub fn windows(&self, time_us: i64) -> impl Iterator<Item = Window> + use<> {
        let Self { size_us, slide_us } = *self;
        let last_us = time_us.saturating_sub(time_us.rem_euclid(slide_us));
        // Starts are `last - k * slide`, and those with `start > time - size` hold the time.
        let back = (size_us - 1 - (time_us - last_us)) / slide_us;
        (0..=back).rev().map(move |slides| {
            let start_us = last_us.saturating_sub(slides * slide_us);
            Window { start_us, end_us: start_us.saturating_add(size_us) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn gives_all_windows_of_a_time() -> Result<(), BadWindow> {
        let starts = |size, slide, time| -> Result<Vec<i64>, BadWindow> {
            Ok(Sliding::new(size, slide)?.windows(time).map(|window| window.start_us).collect())
        };
        assert_eq!(starts(10, 5, 12)?, [5, 10]);
        assert_eq!(starts(10, 5, 9)?, [0, 5]);
        assert_eq!(starts(10, 5, -1)?, [-10, -5]);
        assert_eq!(starts(10, 10, 10)?, [10]);
        assert_eq!(starts(10, 4, 9)?, [0, 4, 8]);
        assert_eq!(starts(10, 4, 10)?, [4, 8]);
        Ok(())
    }

    #[test]
    fn no_event_is_left_out() {
        assert_eq!(Sliding::new(5, 6), Err(BadWindow::Gaps { size_us: 5, slide_us: 6 }));
        assert_eq!(Sliding::new(5, 0), Err(BadWindow::NotPositive { what: "slide", microseconds: 0 }));
    }

    proptest! {
        #[test]
        fn they_are_the_aligned_windows_that_hold_the_time(
            time_us in -10_000i64..10_000, slide_us in 1i64..50, times in 1i64..5, more_us in 0i64..50,
        ) {
            let size_us = slide_us * times + more_us;
            let windows: Vec<_> = Sliding::new(size_us, slide_us)?.windows(time_us).collect();
            let first = (time_us - size_us).div_euclid(slide_us) * slide_us;
            let expected: Vec<_> = (0..=(time_us - first) / slide_us)
                .map(|slides| first + slides * slide_us)
                .map(|start_us| Window { start_us, end_us: start_us + size_us })
                .filter(|window| window.holds(time_us))
                .collect();
            prop_assert_eq!(windows, expected);
        }
    }
}
