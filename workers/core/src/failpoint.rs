//! Failpoints: named places in every step where a build for tests can be told to die, fail or stand still.
//!
//! `HEADRACE_FAILPOINT=after-commit:3:kill` kills the process (SIGKILL, as a power cut would) when it comes behind a commit for
//! the third time. Several are parted by commas. What can be done there: `kill`; `stop` (SIGSTOP, until someone continues it);
//! `pause` or `pause=MS` (the thread sleeps, one second by default); `error` (an external error, which steps try again);
//! `panic`. What is done is told on standard error first, so that a test knows that the place was reached.
//!
//! Release builds have none of this: without `debug_assertions` the two functions are empty and the variable is unknown.

/// What is done at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The source is asked for its next event; behind it, there is a batch.
    Read,
    /// A batch is parsed or decoded.
    Decode,
    /// The rows of a batch are written into a unit of work, or its messages are sent.
    Write,
    /// The refused rows of a batch are written into the unit, or sent.
    DeadLetter,
    /// The unit of work is committed.
    Commit,
    /// The run takes over what a committed batch has counted.
    Acknowledge,
    /// The sink is closed.
    Close,
}

#[cfg(debug_assertions)]
pub use armed::{PLACES, after, before};

/// Does what is armed before a point; nothing in a release build.
///
/// # Errors
/// None in a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn before(_: Point) -> crate::Result<()> {
    Ok(())
}

/// Does what is armed behind a point; nothing in a release build.
///
/// # Errors
/// None in a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn after(_: Point) -> crate::Result<()> {
    Ok(())
}

#[cfg(debug_assertions)]
mod armed {
    use std::process::{Command, Stdio};
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::Point;
    use crate::{Error, Result, clock};

    /// The variable that arms failpoints.
    const VARIABLE: &str = "HEADRACE_FAILPOINT";

    /// The names of all places.
    pub const PLACES: [&str; 14] = [
        "before-read",
        "after-read",
        "before-decode",
        "after-decode",
        "before-write",
        "after-write",
        "before-dead-letter",
        "after-dead-letter",
        "before-commit",
        "after-commit",
        "before-acknowledge",
        "after-acknowledge",
        "before-close",
        "after-close",
    ];

    /// What to do, where and at which of its visits.
    #[derive(Debug)]
    struct Failpoint {
        place: usize,
        visit: u64,
        action: Action,
        visits: AtomicU64,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Action {
        Kill,
        Stop,
        Pause(Duration),
        Error,
        Panic,
    }

    /// Does what is armed before a point.
    ///
    /// # Errors
    /// An external error where one is armed.
    pub fn before(point: Point) -> Result<()> {
        visit(2 * point as usize)
    }

    /// Does what is armed behind a point.
    ///
    /// # Errors
    /// An external error where one is armed.
    pub fn after(point: Point) -> Result<()> {
        visit(2 * point as usize + 1)
    }

    fn visit(place: usize) -> Result<()> {
        static ARMED: OnceLock<Vec<Failpoint>> = OnceLock::new();
        let armed = ARMED.get_or_init(|| {
            let text = clock::environment(VARIABLE).unwrap_or_default();
            parse(&text).unwrap_or_else(|wrong| panic!("{VARIABLE}: {wrong}"))
        });
        for failpoint in armed.iter().filter(|failpoint| failpoint.place == place) {
            if failpoint.visits.fetch_add(1, Ordering::Relaxed) + 1 == failpoint.visit {
                act(PLACES[place], failpoint)?;
            }
        }
        Ok(())
    }

    #[expect(clippy::print_stderr, reason = "a test reads it; logs may be off, and a killed process flushes nothing")]
    fn act(place: &str, failpoint: &Failpoint) -> Result<()> {
        eprintln!("failpoint {place}:{}: {:?}", failpoint.visit, failpoint.action);
        match failpoint.action {
            Action::Kill => signal("KILL"),
            Action::Stop => signal("STOP"),
            Action::Pause(time) => std::thread::sleep(time),
            Action::Error => {
                return Err(Error::external(format!("{place} failed"), format!("asked for by {VARIABLE}")));
            }
            Action::Panic => panic!("at {place}, as {VARIABLE} says"),
        }
        Ok(())
    }

    /// Sends this process a signal, through the shell: the safe standard library cannot, and a crate only for this would stay in
    /// release builds. This thread gets no further meanwhile.
    fn signal(name: &str) {
        let kill = format!("kill -{name} {}", std::process::id());
        let sent = Command::new("sh").args(["-c", &kill]).stdin(Stdio::null()).status();
        if name == "KILL" || !sent.is_ok_and(|status| status.success()) {
            std::process::abort();
        }
    }

    /// Reads `PLACE:VISIT:ACTION` texts parted by commas.
    fn parse(text: &str) -> Result<Vec<Failpoint>, String> {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(parse_one).collect()
    }

    fn parse_one(text: &str) -> Result<Failpoint, String> {
        let [place, visit, action] = <[&str; 3]>::try_from(text.split(':').collect::<Vec<_>>())
            .map_err(|_| format!("{text:?} is not PLACE:VISIT:ACTION, as in after-commit:3:kill"))?;
        let place = PLACES
            .iter()
            .position(|name| *name == place)
            .ok_or_else(|| format!("there is no place {place:?}; there are {}", PLACES.join(", ")))?;
        let visit = visit
            .parse()
            .ok()
            .filter(|visit| *visit > 0)
            .ok_or_else(|| format!("{visit:?}: visits are counted from 1"))?;
        let action = match action.split_once('=').unwrap_or((action, "1000")) {
            ("pause", time) => {
                Action::Pause(Duration::from_millis(time.parse().map_err(|_| format!("{time:?}: not milliseconds"))?))
            }
            _ => match action {
                "kill" => Action::Kill,
                "stop" => Action::Stop,
                "error" => Action::Error,
                "panic" => Action::Panic,
                _ => return Err(format!("{action:?} is none of kill, stop, pause, pause=MS, error, panic")),
            },
        };
        Ok(Failpoint { place, visit, action, visits: AtomicU64::new(0) })
    }

    #[cfg(test)]
    mod tests {
        use std::time::Duration;

        use super::{Action, PLACES, Point, parse};

        #[test]
        fn every_point_has_its_two_places() {
            let points = [
                (Point::Read, "read"),
                (Point::Decode, "decode"),
                (Point::Write, "write"),
                (Point::DeadLetter, "dead-letter"),
                (Point::Commit, "commit"),
                (Point::Acknowledge, "acknowledge"),
                (Point::Close, "close"),
            ];
            for (point, name) in points {
                assert_eq!(PLACES[2 * point as usize], format!("before-{name}"));
                assert_eq!(PLACES[2 * point as usize + 1], format!("after-{name}"));
            }
            assert_eq!(PLACES.len(), 2 * points.len());
        }

        #[test]
        fn texts_are_read_or_refused_with_what_is_known() {
            let armed = parse("after-commit:3:kill, before-read:1:pause=20,before-close:2:pause").unwrap();
            let read: Vec<_> =
                armed.iter().map(|failpoint| (PLACES[failpoint.place], failpoint.visit, failpoint.action)).collect();
            let pause = |millis| Action::Pause(Duration::from_millis(millis));
            assert_eq!(
                read,
                [("after-commit", 3, Action::Kill), ("before-read", 1, pause(20)), ("before-close", 2, pause(1_000))]
            );
            assert!(parse("").unwrap().is_empty());
            for (wrong, word) in [
                ("after-commit:3", "PLACE:VISIT:ACTION"),
                ("after-coffee:3:kill", "before-read"),
                ("after-commit:0:kill", "from 1"),
                ("after-commit:1:kill=3", "none of"),
                ("after-commit:1:pause=x", "milliseconds"),
            ] {
                assert!(parse(wrong).unwrap_err().contains(word), "{wrong}");
            }
        }
    }
}
