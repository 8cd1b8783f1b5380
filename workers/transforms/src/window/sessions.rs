//! Session windows of one key: events less than a gap apart belong together, in whatever order they come.
//!
//! An event of time `t` claims `[t, t + gap)`, and claims that overlap are one session; so a session's window ends one
//! gap after its last event, and an event at exactly that time begins a new one. A late event may join two sessions.
//!
//! Memory: the sessions that have not been closed, with three integers each.

use super::Window;
use crate::packed::{self, Damaged, Packed};

/// Events of one key that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// The time of the first event.
    pub first_us: i64,
    /// The time of the last event.
    pub last_us: i64,
    /// The number of events.
    pub events: u64,
}

impl Session {
    /// Gives the session's window: from its first event to one gap after its last.
    pub fn window(&self, gap_us: i64) -> Window {
        Window { start_us: self.first_us, end_us: self.last_us.saturating_add(gap_us) }
    }
}

/// What an event did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// The session that the event is in now.
    pub session: Session,
    /// The sessions that have become this one: none if it is new, one that has grown, or two that were joined.
    pub absorbed: Vec<Session>,
}

/// The open sessions of one key, earliest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sessions {
    /// Their windows do not overlap.
    sessions: Vec<Session>,
}

impl Sessions {
    /// Adds an event; all calls for a key must be given the same gap, which must be positive.
    pub fn add(&mut self, gap_us: i64, time_us: i64) -> Added {
        let end_us = time_us.saturating_add(gap_us);
        let from = self.sessions.partition_point(|session| session.window(gap_us).end_us <= time_us);
        let count = self.sessions[from..].iter().take_while(|session| session.first_us < end_us).count();
        let mut session = Session { first_us: time_us, last_us: time_us, events: 1 };
        for absorbed in &self.sessions[from..from + count] {
            session.first_us = session.first_us.min(absorbed.first_us);
            session.last_us = session.last_us.max(absorbed.last_us);
            session.events += absorbed.events;
        }
        let absorbed = self.sessions.splice(from..from + count, [session]).collect();
        Added { session, absorbed }
    }

    /// Gives the sessions whose windows the watermark has passed, earliest first, and forgets them.
    pub fn close(&mut self, gap_us: i64, watermark: Option<i64>) -> Vec<Session> {
        let is_closed = |session: &&Session| session.window(gap_us).is_closed(watermark);
        let closed = self.sessions.iter().take_while(is_closed).count();
        self.sessions.drain(..closed).collect()
    }

    /// Gives the window of the open session that a time is in.
    pub fn window(&self, gap_us: i64, time_us: i64) -> Option<Window> {
        let place = self.sessions.partition_point(|session| session.window(gap_us).end_us <= time_us);
        self.sessions.get(place).map(|session| session.window(gap_us)).filter(|window| window.holds(time_us))
    }

    /// Gives the open sessions, earliest first.
    pub fn iter(&self) -> impl Iterator<Item = &Session> {
        self.sessions.iter()
    }

    /// Says whether no session is open.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }
}

impl Packed for Sessions {
    const FORMAT: u8 = 1;

    fn put(&self, out: &mut Vec<u8>) {
        packed::put_unsigned(out, self.sessions.len() as u64);
        let mut last_us = None;
        for session in &self.sessions {
            packed::put_time(out, last_us, session.first_us);
            packed::put_time(out, Some(session.first_us), session.last_us);
            packed::put_unsigned(out, session.events);
            last_us = Some(session.last_us);
        }
    }

    fn take(input: &mut &[u8]) -> Result<Self, Damaged> {
        let count = packed::take_count(input)?;
        let mut sessions = Vec::with_capacity(count);
        let mut before_us = None;
        for _ in 0..count {
            let first_us = packed::take_time(input, before_us)?;
            let last_us = packed::take_time(input, Some(first_us))?;
            sessions.push(Session { first_us, last_us, events: packed::take_unsigned(input)? });
            before_us = Some(last_us);
        }
        Ok(Self { sessions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GAP: i64 = 10;

    fn session(first_us: i64, last_us: i64, events: u64) -> Session {
        Session { first_us, last_us, events }
    }

    #[test]
    fn a_late_event_joins_two_sessions() {
        let mut sessions = Sessions::default();
        assert_eq!(sessions.add(GAP, 0), Added { session: session(0, 0, 1), absorbed: vec![] });
        assert_eq!(sessions.add(GAP, 18), Added { session: session(18, 18, 1), absorbed: vec![] });
        let joined = Added { session: session(0, 18, 3), absorbed: vec![session(0, 0, 1), session(18, 18, 1)] };
        assert_eq!(sessions.add(GAP, 9), joined);
        assert_eq!(sessions.add(GAP, 12), Added { session: session(0, 18, 4), absorbed: vec![session(0, 18, 3)] });
    }

    #[test]
    fn a_gap_of_silence_ends_a_session() {
        let mut sessions = Sessions::default();
        sessions.add(GAP, 0);
        assert_eq!(sessions.add(GAP, 9).session, session(0, 9, 2));
        assert_eq!(sessions.add(GAP, 19).session, session(19, 19, 1));
        assert_eq!(sessions.add(GAP, -10).absorbed, []);
        assert_eq!(sessions.close(GAP, Some(18)), [session(-10, -10, 1)]);
        assert_eq!(sessions.close(GAP, None), []);
        assert_eq!(sessions.close(GAP, Some(19)), [session(0, 9, 2)]);
        assert_eq!(sessions.iter().collect::<Vec<_>>(), [&session(19, 19, 1)]);
    }

    /// The definition: sort, and cut wherever the distance is at least the gap.
    fn model(times: &[i64]) -> Vec<Session> {
        let mut times = times.to_vec();
        times.sort_unstable();
        let runs = times.chunk_by(|a, b| b - a < GAP);
        runs.map(|run| session(run[0], run[run.len() - 1], run.len() as u64)).collect()
    }

    proptest! {
        #[test]
        fn any_order_and_any_cut_give_the_same_sessions(
            events in prop::collection::vec((-200i64..200, any::<bool>()), 0..60),
        ) {
            let mut sessions = Sessions::default();
            let mut so_far = Vec::new();
            for (time_us, store) in events {
                if store {
                    sessions = Sessions::from_bytes(&sessions.to_bytes())?;
                }
                let before = model(&so_far);
                so_far.push(time_us);
                let added = sessions.add(GAP, time_us);
                let after = model(&so_far);
                prop_assert_eq!(&sessions.sessions, &after);
                prop_assert!(after.contains(&added.session) && added.session.window(GAP).holds(time_us));
                let gone: Vec<_> = before.into_iter().filter(|session| !after.contains(session)).collect();
                prop_assert_eq!(added.absorbed, gone);
            }
        }
    }
}
