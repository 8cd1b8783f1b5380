//! The windows that are open: which ones a watermark closes, each told once.
//!
//! Memory: the windows between the watermark and the newest event.

use super::Window;
use crate::packed::{self, Damaged, Packed};

/// The windows that had an event on time and have not been closed, by end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenWindows {
    /// In order of (end, start), so that a watermark closes the first ones.
    windows: Vec<Window>,
}

impl OpenWindows {
    /// Takes note of a window that has an event on time.
    pub fn open(&mut self, window: Window) {
        // Most events are in the newest window.
        if self.windows.last() != Some(&window) {
            let key = (window.end_us, window.start_us);
            if let Err(place) = self.windows.binary_search_by_key(&key, |open| (open.end_us, open.start_us)) {
                self.windows.insert(place, window);
            }
        }
    }

    /// Gives the windows that the watermark closes, by end, and forgets them.
    pub fn close(&mut self, watermark: Option<i64>) -> Vec<Window> {
        let closed = self.windows.iter().take_while(|window| window.is_closed(watermark)).count();
        if closed == 0 { Vec::new() } else { self.windows.drain(..closed).collect() }
    }

    /// Gives the open windows, by end.
    pub fn iter(&self) -> impl Iterator<Item = Window> {
        self.windows.iter().copied()
    }
}

impl Packed for OpenWindows {
    const FORMAT: u8 = 1;

    fn put(&self, out: &mut Vec<u8>) {
        packed::put_unsigned(out, self.windows.len() as u64);
        let mut last_us = None;
        for window in &self.windows {
            packed::put_time(out, last_us, window.end_us);
            packed::put_unsigned(out, window.end_us.abs_diff(window.start_us));
            last_us = Some(window.end_us);
        }
    }

    fn take(input: &mut &[u8]) -> Result<Self, Damaged> {
        let count = packed::take_count(input)?;
        let mut windows = Vec::with_capacity(count);
        let mut last_us = None;
        for _ in 0..count {
            let end_us = packed::take_time(input, last_us)?;
            let size_us = packed::take_unsigned(input)?;
            let start_us = end_us.checked_sub_unsigned(size_us).ok_or(Damaged("a time is out of range"))?;
            windows.push(Window { start_us, end_us });
            last_us = Some(end_us);
        }
        Ok(Self { windows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watermark::{Rules, Watermark};
    use crate::window::{BadWindow, Tumbling};
    use proptest::prelude::*;

    #[test]
    fn each_window_is_closed_once_by_the_event_that_passes_it() -> Result<(), BadWindow> {
        let (windows, rules) = (Tumbling::new(60)?, Rules { delay_us: 120, idle_after_us: None });
        let (mut watermark, mut open) = (Watermark::default(), OpenWindows::default());
        let only = watermark.slot("");
        let mut closed = Vec::new();
        for (row, time_us) in [0, 70, 179, 180, 30, 240, 600].into_iter().enumerate() {
            let advance = watermark.advance(&rules, only, time_us, 0);
            let window = windows.window(time_us);
            if !window.is_closed(advance.before) {
                open.open(window);
            }
            closed.extend(open.close(advance.after).into_iter().map(|window| (row, window.start_us)));
        }
        assert_eq!(closed, [(3, 0), (5, 60), (6, 120), (6, 180), (6, 240)]);
        assert_eq!(open.iter().collect::<Vec<_>>(), [windows.window(600)]);
        Ok(())
    }

    proptest! {
        #[test]
        fn it_is_a_sorted_set_that_goes_through_bytes(
            steps in prop::collection::vec((-50i64..50, 1i64..4, prop::option::of(-50i64..50)), 0..40),
        ) {
            let mut open = OpenWindows::default();
            let mut model = std::collections::BTreeSet::new();
            for (start_us, size_us, watermark) in steps {
                let window = Window { start_us, end_us: start_us + size_us };
                open.open(window);
                model.insert((window.end_us, window.start_us));
                let expected: Vec<_> = model.iter().copied().filter(|(end_us, _)| watermark >= Some(*end_us)).collect();
                model.retain(|window| !expected.contains(window));
                let closed: Vec<_> = open.close(watermark).iter().map(|window| (window.end_us, window.start_us)).collect();
                prop_assert_eq!(closed, expected);
                let again = OpenWindows::from_bytes(&open.to_bytes())?;
                prop_assert_eq!(&again, &open);
                let left: Vec<_> = open.iter().map(|window| (window.end_us, window.start_us)).collect();
                prop_assert_eq!(left, model.iter().copied().collect::<Vec<_>>());
                open = again;
            }
        }
    }
}
