//! What a reader knows about one partition that the group has given it.

use std::time::{Duration, Instant};

/// What to do about a partition from which nothing comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing: it moves, or it has nothing to give.
    Fine,
    /// Ask for what should be there once more, quietly.
    Check,
    /// Place it again.
    Nudge,
    /// Placing it again has not helped.
    Stuck,
}

/// A partition of the assignment.
pub(super) struct Held {
    /// The library has been told to read it; before that it only belongs to this member.
    pub(super) placed: bool,
    /// Its position was claimed and it is being read.
    pub(super) running: bool,
    /// Something came since it was placed, so that its messages come by the reader's queue.
    pub(super) heard: bool,
    /// Bursts up to this number may hold messages from where it was read before.
    pub(super) stale: u64,
    /// The offset expected next.
    pub(super) next: i64,
    /// Where reading ends, when it does.
    pub(super) end: Option<i64>,
    /// The latest known end, for telling what is left.
    pub(super) known_end: i64,
    /// Everything before the end is read.
    pub(super) drained: bool,
    /// Reading began without a position and nothing has come: the beginning may still move.
    pub(super) fresh: bool,
    moved: bool,
    caught_up: bool,
    quiet_since: Instant,
    end_when_quiet: Option<i64>,
    checked_at: Option<i64>,
    nudges: u32,
}

impl Held {
    /// A partition that was just assigned.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            placed: false,
            running: false,
            heard: false,
            stale: 0,
            next: 0,
            end: None,
            known_end: 0,
            drained: false,
            fresh: false,
            moved: false,
            caught_up: false,
            quiet_since: now,
            end_when_quiet: None,
            checked_at: None,
            nudges: 0,
        }
    }

    /// Tells whether what comes in the burst of this number is from where the partition is read.
    pub(super) fn accepts(&self, burst: u64) -> bool {
        self.running && burst > self.stale
    }

    /// A message came, and the next one has this offset.
    pub(super) fn advance(&mut self, next: i64) {
        self.next = next;
        self.moved = true;
        self.heard = true;
        self.caught_up = false;
        self.fresh = false;
        self.drained = self.end.is_some_and(|end| next >= end);
    }

    /// The end of what the broker has was reached. Tells whether to ask for the offsets before it once more: they need
    /// not be messages (transactions, compaction), but that is believed only when the broker says it twice.
    pub(super) fn catch_up(&mut self) -> Verdict {
        self.moved = true;
        self.heard = true;
        self.caught_up = true;
        let Some(end) = self.end else { return Verdict::Fine };
        if self.next < end && self.checked_at != Some(self.next) {
            self.checked_at = Some(self.next);
            return Verdict::Check;
        }
        // An end that was fixed earlier cannot lie behind the end there is now.
        self.drained = true;
        Verdict::Fine
    }

    /// Rows that are left, as far as known.
    pub(super) fn left(&self) -> u64 {
        let end = self.end.unwrap_or(self.known_end);
        if self.drained { 0 } else { u64::try_from(end - self.next).unwrap_or(0) }
    }

    /// Forgives silence up to now, as when nothing could come.
    pub(super) fn excuse(&mut self, now: Instant) {
        self.quiet_since = now;
    }

    /// Tells whether the partition has been silent so long that its end should be looked at.
    pub(super) fn is_quiet(&mut self, now: Instant, patience: Duration) -> bool {
        if self.moved {
            self.moved = false;
            self.quiet_since = now;
            self.end_when_quiet = None;
            self.nudges = 0;
        }
        self.running && !self.drained && now.duration_since(self.quiet_since) >= patience
    }

    /// Judges a silence, knowing the partition's end. Offsets before the end need not be messages, so a partition that
    /// had caught up is asked once more, and after that is only suspicious when its end has moved since.
    pub(super) fn judge(&mut self, end: i64, now: Instant, nudges: u32) -> Verdict {
        self.quiet_since = now;
        self.known_end = end;
        if self.caught_up && end > self.next && self.checked_at != Some(self.next) {
            self.checked_at = Some(self.next);
            return Verdict::Check;
        }
        let suspicious = end > self.next && (!self.caught_up || self.end_when_quiet.is_some_and(|before| end > before));
        self.end_when_quiet = Some(end);
        if !suspicious {
            return Verdict::Fine;
        }
        if self.nudges == nudges {
            self.nudges = 0;
            return Verdict::Stuck;
        }
        self.nudges += 1;
        Verdict::Nudge
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Held, Verdict};

    const PATIENCE: Duration = Duration::from_secs(30);

    fn running(next: i64) -> (Held, Instant) {
        let now = Instant::now();
        let mut held = Held::new(now);
        held.running = true;
        held.next = next;
        (held, now)
    }

    #[test]
    fn a_partition_with_lag_and_no_movement_is_nudged_three_times_and_then_stuck() {
        let (mut held, mut now) = running(5);
        let mut verdicts = Vec::new();
        for _ in 0..5 {
            now += PATIENCE;
            assert!(held.is_quiet(now, PATIENCE));
            verdicts.push(held.judge(9, now, 3));
        }
        assert_eq!(verdicts, [Verdict::Nudge, Verdict::Nudge, Verdict::Nudge, Verdict::Stuck, Verdict::Nudge]);
        held.advance(6);
        assert!(!held.is_quiet(now + PATIENCE, PATIENCE), "movement is no silence");
        assert_eq!(held.judge(9, now + PATIENCE, 3), Verdict::Nudge, "movement starts the count again");
    }

    #[test]
    fn offsets_without_messages_at_the_end_are_no_lag() {
        let (mut held, mut now) = running(5);
        assert_eq!(held.catch_up(), Verdict::Fine);
        assert!(!held.is_quiet(now, PATIENCE));
        now += PATIENCE;
        assert!(held.is_quiet(now, PATIENCE));
        assert_eq!(held.judge(6, now, 3), Verdict::Check, "asked once more");
        assert_eq!(held.catch_up(), Verdict::Fine);
        assert!(!held.is_quiet(now, PATIENCE));
        for _ in 0..5 {
            now += PATIENCE;
            assert!(held.is_quiet(now, PATIENCE));
            assert_eq!(held.judge(6, now, 3), Verdict::Fine);
        }
        assert_eq!(held.judge(7, now, 3), Verdict::Nudge, "the end has moved and nothing came");
    }

    #[test]
    fn draining_ends_at_the_end_or_when_caught_up_twice() {
        let (mut held, now) = running(0);
        held.end = Some(10);
        held.advance(9);
        assert!(!held.drained);
        assert_eq!(held.left(), 1);
        assert_eq!(held.catch_up(), Verdict::Check);
        assert!(!held.drained, "the broker may have jumped over messages");
        assert_eq!(held.catch_up(), Verdict::Fine);
        assert!(held.drained);
        assert_eq!(held.left(), 0);
        assert!(!held.is_quiet(now + PATIENCE * 2, PATIENCE));
        let (mut following, _) = running(0);
        assert_eq!(following.catch_up(), Verdict::Fine);
        assert!(!following.drained);
        let (mut exact, _) = running(10);
        exact.end = Some(10);
        assert_eq!(exact.catch_up(), Verdict::Fine);
        assert!(exact.drained);
    }
}
