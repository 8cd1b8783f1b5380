//! The reader's eye on what does not come by itself: silence, brokers that are away, removed messages, the end.

use std::time::{Duration, Instant};

use headrace_core::{Error, Result};
use rdkafka::consumer::{Consumer, RebalanceProtocol};
use rdkafka::error::RDKafkaErrorCode as Code;

use super::fault;
use super::held::Verdict;
use super::membership::RELEASE_PATIENCE;
use super::reader::Reader;

const LOOK_EVERY: Duration = Duration::from_secs(5);
const QUIET: Duration = Duration::from_secs(30);
const NUDGES: u32 = 3;
const DOWN_PATIENCE: Duration = Duration::from_secs(60);
const JOIN_PATIENCE: Duration = Duration::from_secs(120);
const EXTENT_PATIENCE: Duration = Duration::from_secs(2);
/// A member without partitions waits longer than the others may hold theirs back, and then is not needed.
const UNNEEDED: Duration = RELEASE_PATIENCE.saturating_add(Duration::from_secs(2));

impl Reader {
    /// Acts on errors that the library has told.
    pub(super) fn heed_troubles(&mut self) -> Result<()> {
        let consumer = self.consumer.clone();
        for trouble in consumer.context().take_troubles() {
            match trouble.code {
                Code::AutoOffsetReset | Code::OffsetOutOfRange => self.check_positions()?,
                Code::AllBrokersDown if self.down_since.is_none() => {
                    tracing::warn!(topic = self.topic, "no broker answers: waiting ({})", trouble.reason);
                    self.down_since = Some(Instant::now());
                }
                // At the first contact these were asked for; now they may pass, and brokers that stay away are noticed.
                code if fault::is_set_up(code) || fault::is_passing(code) => {}
                code => return Err(fault::explain(&self.doing, code, &trouble.reason)),
            }
        }
        Ok(())
    }

    /// Looks at everything that time alone can tell.
    pub(super) fn look_around(&mut self) -> Result<()> {
        if !self.options.follow && (self.is_finished() || self.is_unneeded()) {
            self.shared.set_ended(true);
        }
        if self.looked_at.elapsed() < LOOK_EVERY {
            return Ok(());
        }
        self.looked_at = Instant::now();
        self.look_for_brokers()?;
        if !self.joined && self.changed_at.elapsed() >= JOIN_PATIENCE {
            self.changed_at = Instant::now();
            return Err(Error::external(
                &self.doing,
                format!("group `{}` has not let this worker in", self.options.group),
            ));
        }
        if self.down_since.is_none() && self.revocation.is_none() {
            self.look_for_silence()?;
        }
        Ok(())
    }

    fn is_unneeded(&self) -> bool {
        let has_joined = self.joined || !matches!(self.consumer.rebalance_protocol(), RebalanceProtocol::None);
        has_joined && self.held.is_empty() && self.changed_at.elapsed() >= UNNEEDED
    }

    fn look_for_brokers(&mut self) -> Result<()> {
        let Some(since) = self.down_since else { return Ok(()) };
        if self.inquirer.is_answered(&self.topic) {
            tracing::info!(topic = self.topic, "brokers answer again");
            self.down_since = None;
        } else if since.elapsed() >= DOWN_PATIENCE {
            self.down_since = Some(Instant::now());
            return Err(Error::external(
                &self.doing,
                format!("no broker has answered for {} seconds", since.elapsed().as_secs()),
            ));
        }
        Ok(())
    }

    fn look_for_silence(&mut self) -> Result<()> {
        let now = Instant::now();
        let numbers: Vec<i32> = self.held.keys().copied().collect();
        for partition in numbers {
            let waiting = self.shared.is_full();
            let Some(held) = self.held.get_mut(&partition) else { continue };
            if waiting {
                // Nothing is asked for while the sink is busy.
                held.excuse(now);
            }
            let quiet = held.is_quiet(now, QUIET);
            // When following, the end moves; it is looked up to tell what is left.
            let wanted = quiet || (self.options.follow && held.running);
            if !wanted {
                continue;
            }
            let Ok(extent) = self.inquirer.extent(&self.topic, partition, EXTENT_PATIENCE) else { return Ok(()) };
            held.known_end = extent.end;
            if !quiet {
                continue;
            }
            let next = held.next;
            match held.judge(extent.end, now, NUDGES) {
                Verdict::Fine => {}
                Verdict::Check => self.launch(partition, next)?,
                Verdict::Nudge => {
                    tracing::warn!(
                        topic = self.topic,
                        partition,
                        next,
                        end = extent.end,
                        "nothing has come for 30 s: asking again"
                    );
                    self.launch(partition, next)?;
                }
                Verdict::Stuck => {
                    let waiting = extent.end - next;
                    let cause =
                        format!("partition {partition} does not move although {waiting} offsets from {next} on wait");
                    return Err(Error::external(&self.doing, cause));
                }
            }
        }
        Ok(())
    }

    /// The broker does not have what was asked for: tells what is gone, or goes to the beginning where nothing was promised.
    fn check_positions(&mut self) -> Result<()> {
        let running: Vec<(i32, i64, bool)> = self
            .held
            .iter()
            .filter(|(_, held)| held.running && !held.drained)
            .map(|(p, held)| (*p, held.next, held.fresh))
            .collect();
        for (partition, next, fresh) in running {
            let extent = self.inquirer.extent(&self.topic, partition, LOOK_EVERY)?;
            if (extent.first..=extent.end).contains(&next) {
                continue;
            }
            if fresh && next < extent.first {
                self.shared.set_delivered(partition, Some(extent.first));
                self.launch(partition, extent.first)?;
                continue;
            }
            if let Some(held) = self.held.get_mut(&partition) {
                held.running = false;
            }
            return Err(if next < extent.first {
                fault::removed(&self.topic, partition, next, extent.first)
            } else {
                fault::beyond(&self.topic, partition, next, extent.end)
            });
        }
        Ok(())
    }

    /// Notes what is left to read.
    pub(super) fn count_remaining(&self) {
        self.shared.set_remaining(self.held.values().filter(|held| held.running).map(super::held::Held::left).sum());
    }
}
