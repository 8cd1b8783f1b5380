//! `recruitment lag`: how far `clean` is behind its topic.
//!
//! It only looks: nothing is claimed, committed or consumed, so any number of watchers may ask at any time. Positions are read before
//! the topic's ends, so the lag may be told too large by what came in between, never too small.

use async_trait::async_trait;
use headrace_core::log::{Extent, Log};
use headrace_core::position::Reached;
use headrace_core::step::Parameters;
use headrace_core::store::Store;
use headrace_core::{Control, Error, Partition, Report, Result};
use headrace_transforms::civil;
use serde::Serialize;
use serde_json::json;

use crate::recruitment::clean_sink::ledger_partition;
use crate::recruitment::schema::{ResultSchema, TOPIC};
use crate::stores::{DEFAULT_STORE, open_log, open_warehouse};

/// Asks how far `clean` is behind.
#[derive(Clone, Debug, clap::Args)]
pub struct Lag {
    /// The log: kafka://HOST/TOPIC or embedded:DIRECTORY.
    #[arg(long, value_name = "URL", default_value = DEFAULT_STORE)]
    pub from: String,
    /// The result that `clean` keeps: mysql://USER@HOST/DATABASE/TABLE or embedded:DIRECTORY.
    #[arg(long, value_name = "URL", default_value = DEFAULT_STORE)]
    pub to: String,
}

/// Where the cleaning of one partition stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Standing {
    partition: String,
    /// Where cleaning goes on; none before the first commit.
    committed: Option<i64>,
    /// The offset the next message gets.
    high_watermark: i64,
    messages_behind: u64,
}

/// Looks at positions and ends.
async fn look(log: &dyn Log, topic: &str, results: &dyn Store, scope: &str) -> Result<(Reached, Vec<Extent>)> {
    let committed = results.positions(scope).await?;
    let extents = log.extents(topic).await?.ok_or_else(|| {
        Error::configuration(format!(
            "topic {topic} does not exist in {}; run `headrace recruitment replay` first, or correct the URL",
            log.name()
        ))
    })?;
    Ok((committed, extents))
}

/// Compares committed positions with what the topic holds.
fn standings(topic: &str, log: &str, extents: &[Extent], committed: &Reached) -> Result<Vec<Standing>> {
    let standing = |extent: &Extent| {
        let partition = format!("{topic}-{}", extent.partition);
        let name = ledger_partition(log, &Partition::new(partition.as_str()));
        let committed = committed.get(&name).map(|position| position.at);
        let at = committed.unwrap_or(extent.first);
        if at < extent.first || at > extent.end {
            return Err(Error::data(format!(
                "partition {} of topic `{topic}` holds offsets {} to {}, but `clean` stands at {at}: messages were removed before they \
                 were read, or the topic was made anew; fill it again and run `clean --restart`",
                extent.partition, extent.first, extent.end
            )));
        }
        let messages_behind = u64::try_from(extent.end - at).unwrap_or_default();
        Ok(Standing { partition, committed, high_watermark: extent.end, messages_behind })
    };
    extents.iter().map(standing).collect()
}

#[async_trait]
impl Parameters for Lag {
    const SYSTEM: &'static str = super::SYSTEM;
    const NAME: &'static str = "lag";
    const ABOUT: &'static str = "Tell how many messages of a topic `clean` has not committed yet, by partition";

    async fn run(self, _: Control) -> Result<Report> {
        let (from, to) = (super::store_url("from", &self.from)?, super::store_url("to", &self.to)?);
        let (topic, schema) = (from.topic(TOPIC)?, ResultSchema::of(&to)?);
        let (log, results) = (open_log(&from).await?, open_warehouse(&to).await?);
        let scope = schema.clean_scope();
        let (mut committed, mut extents) = look(&*log, &topic, &*results, &scope).await?;
        if standings(&topic, &log.name(), &extents, &committed).is_err() {
            // Between the two reads messages may have been cleaned and then removed by retention: look once more.
            (committed, extents) = look(&*log, &topic, &*results, &scope).await?;
        }
        let standings = standings(&topic, &log.name(), &extents, &committed)?;

        let mut report = Report::default();
        report.fact("messages behind", standings.iter().map(|standing| standing.messages_behind).sum::<u64>());
        report.fact("partitions", json!(standings));
        let last = results.committed_at_us(&scope).await?;
        report.fact("last commit", last.map(|at| format!("{} UTC", civil::timestamp_text(at))));
        if standings.iter().all(|standing| standing.committed.is_none()) {
            report.note("Nothing of this topic was cleaned into this result yet.");
        }
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use headrace_core::log::Extent;
    use headrace_core::position::Reached;
    use headrace_core::{ErrorKind, Partition, Position};

    use super::standings;

    const EXTENTS: [Extent; 2] =
        [Extent { partition: 0, first: 10, end: 30 }, Extent { partition: 1, first: 0, end: 5 }];

    fn behind(at: i64) -> headrace_core::Result<Vec<u64>> {
        let committed: Reached = [(Partition::new("kafka://h t-0"), Position::at(at))].into();
        let standings = standings("t", "kafka://h", &EXTENTS, &committed)?;
        Ok(standings.iter().map(|standing| standing.messages_behind).collect())
    }

    #[test]
    fn what_was_never_committed_is_behind_from_the_first_message_on() {
        assert_eq!(behind(10).unwrap(), [20, 5]);
        assert_eq!(behind(30).unwrap(), [0, 5]);
    }

    #[test]
    fn a_position_outside_the_topic_is_told() {
        for at in [9, 31] {
            let error = behind(at).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Data);
            assert!(
                error.to_string().contains(&format!("holds offsets 10 to 30, but `clean` stands at {at}")),
                "{error}"
            );
        }
    }

    #[test]
    fn positions_in_another_log_count_for_nothing() {
        let committed: Reached = [(Partition::new("kafka://other t-0"), Position::at(30))].into();
        let standings = standings("t", "kafka://h", &EXTENTS, &committed).unwrap();
        assert_eq!((standings[0].committed, standings[0].messages_behind), (None, 20));
    }
}
