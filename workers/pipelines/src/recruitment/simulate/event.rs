//! What happens in a simulated event: when, which job, for how much. How it looks in the file is another matter.
//!
//! Shares are those of the real log; jobs, publishers and campaigns follow Zipf's law; the day has busy hours.

use super::Simulation;
use super::jobs::{CAMPAIGNS, FIRST_UNKNOWN_ID, GROUPS, Job};
use super::random::{Random, Weighted};

/// Ticks of 100 ns in an hour.
const HOUR_TICKS: u64 = 3_600 * 10_000_000;
const PUBLISHERS: u64 = 38;

/// Event name, whether it has job, publisher, campaign and bid, whether it has a group, and how many of 6,766 are so.
const MIX: [(&str, bool, bool, u64); 17] = [
    ("", false, false, 2_563),
    ("click", false, false, 1_203),
    ("alive", false, false, 812),
    ("", true, false, 676),
    ("click", true, false, 653),
    ("click", true, true, 311),
    ("", true, true, 276),
    ("conversion", false, false, 116),
    ("unqualified", false, false, 53),
    ("interview_scheduled", false, false, 31),
    ("unqualified", true, true, 26),
    ("conversion", true, true, 17),
    ("qualified", true, true, 17),
    ("redirect", false, false, 6),
    ("alive", true, true, 3),
    ("qualified", false, false, 2),
    ("superpixel", false, false, 1),
];
/// How busy each hour of the day is.
const BUSY: [u64; 24] = [3, 2, 2, 4, 6, 8, 9, 8, 7, 6, 5, 5, 6, 7, 7, 6, 5, 4, 3, 3, 2, 2, 2, 3];
/// Rare bids with decimals, in millionths; sums and averages of them need rounding.
const FINE_BIDS: [i64; 6] = [350_000, 1_250_000, 125_000, 5_000, 2_005_000, 333_333];

/// One event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    /// 100 ns ticks since 1970.
    pub(super) ticks: i64,
    pub(super) name: &'static str,
    pub(super) bid_micros: Option<i64>,
    pub(super) job: Option<i64>,
    pub(super) publisher: Option<i64>,
    pub(super) campaign: Option<i64>,
    pub(super) group: Option<i64>,
}

/// Makes events.
pub(super) struct Events<'a> {
    jobs: &'a [Job],
    start_ticks: i64,
    days: u64,
    mix: Weighted,
    hours: Weighted,
    popular_jobs: Weighted,
    publishers: Weighted,
    campaigns: Weighted,
}

impl<'a> Events<'a> {
    /// Makes events of some jobs in the simulation's days.
    pub(super) fn new(simulation: &Simulation, jobs: &'a [Job]) -> Self {
        Self {
            jobs,
            start_ticks: simulation.start_us * 10,
            days: u64::from(simulation.days),
            mix: Weighted::new(MIX.map(|(_, _, _, weight)| weight)),
            hours: Weighted::new(BUSY),
            popular_jobs: Weighted::zipf(jobs.len() as u64),
            publishers: Weighted::steep(PUBLISHERS),
            campaigns: Weighted::zipf(CAMPAIGNS),
        }
    }

    /// Makes the next event.
    pub(super) fn make(&self, random: &mut Random) -> Event {
        let (name, has_job, has_group, _) = MIX[self.mix.choose(random)];
        // Names are case-sensitive; now and then a tracker gets it wrong.
        let name = if name == "click" && random.one_in(2_000) { "Click" } else { name };
        let nothing = Event {
            ticks: self.time(random),
            name,
            bid_micros: None,
            job: None,
            publisher: None,
            campaign: None,
            group: None,
        };
        if !has_job {
            return nothing;
        }
        // A large stride spreads the popular jobs over the file; it shares no factor with any list below it.
        let rank = self.popular_jobs.choose(random) as u64;
        let job = self.jobs[(rank.wrapping_mul(2_147_483_647) % self.jobs.len() as u64) as usize];
        let any_campaign = 1 + self.campaigns.choose(random) as i64;
        let any_group = GROUPS.0 + random.below(GROUPS.1) as i64;
        let event = Event {
            bid_micros: Some(if random.one_in(25) { FINE_BIDS[random.index(FINE_BIDS.len())] } else { job.bid_micros }),
            job: Some(if random.one_in(300) { FIRST_UNKNOWN_ID + random.below(5) as i64 } else { job.id }),
            publisher: Some(1 + self.publishers.choose(random) as i64),
            campaign: Some(if random.one_in(10) { any_campaign } else { job.campaign }),
            group: has_group.then_some(if random.one_in(10) { any_group } else { job.group }),
            ..nothing
        };
        // The real log fills the four together or not at all, but the rules cover each of them missing.
        match random.below(1_000) {
            0 => Event { bid_micros: None, ..event },
            1 => Event { publisher: None, ..event },
            2 => Event { campaign: None, ..event },
            3 => Event { job: None, ..event },
            _ => event,
        }
    }

    fn time(&self, random: &mut Random) -> i64 {
        let hour = random.below(self.days) * 24 + self.hours.choose(random) as u64;
        let within = match random.below(1_000) {
            0 => 0,
            1 => HOUR_TICKS - 1,
            _ => random.below(HOUR_TICKS),
        };
        self.start_ticks + (hour * HOUR_TICKS + within) as i64
    }
}
