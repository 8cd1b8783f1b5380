//! The newest rows of the history, found from where scoring stands: the last few offsets of each partition.

use std::collections::{BTreeMap, VecDeque};

use headrace_core::Result;
use headrace_core::store::Select;
use headrace_core::table::Value;
use headrace_pipelines::scoring::frames::{self, Offer};
use headrace_pipelines::scoring::schema::{KAFKA_PARTITION, SCORED_AT};
use headrace_pipelines::scoring::targets::Targets;

/// Offsets that are looked at behind the end of a partition.
const TAIL: usize = 200;
/// Rows that are kept.
const KEPT: usize = 2_000;

/// One row of the history.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) offer: Offer,
    pub(super) scored_at_us: i64,
}

impl Row {
    /// From registration to offer.
    pub(super) fn latency_ms(&self) -> i64 {
        self.scored_at_us / 1_000 - self.offer.version / 1_000
    }
}

/// The newest rows. Memory: so many rows as [`KEPT`].
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// By partition the last offset that was read.
    seen: BTreeMap<i64, i64>,
    /// Oldest first.
    pub(super) rows: VecDeque<Row>,
}

impl Recent {
    /// Reads what has come since the last time, of each partition at most its tail.
    ///
    /// # Errors
    /// When a store fails.
    pub(super) async fn update(&mut self, targets: &Targets) -> Result<()> {
        let mut found = Vec::new();
        for (partition, position) in targets.ledger.positions(&targets.scope()).await? {
            let Some(number) = partition.0.rsplit('-').next().and_then(|number| number.parse().ok()) else { continue };
            let tail = position.at - i64::try_from(TAIL).unwrap_or(i64::MAX) - 1;
            let after = self.seen.get(&number).map_or(tail, |seen| tail.max(*seen));
            if after + 1 >= position.at {
                continue;
            }
            found.extend(read(targets, number, after).await?);
            self.seen.insert(number, position.at - 1);
        }
        found.sort_by_key(|row: &Row| row.scored_at_us);
        self.rows.extend(found);
        let excess = self.rows.len().saturating_sub(KEPT);
        self.rows.drain(..excess);
        Ok(())
    }
}

async fn read(targets: &Targets, partition: i64, after: i64) -> Result<Vec<Row>> {
    let table = &targets.schema.history;
    let columns = table.written().map(|column| column.name.as_str()).collect();
    let equal = vec![(KAFKA_PARTITION, Value::Int(partition))];
    let after = vec![Value::Int(partition), Value::Int(after)];
    let page = targets.offers.select(&Select { table, columns, equal, after, limit: TAIL }).await?;
    let times: Vec<i64> = page.column(SCORED_AT)?.i64()?.iter().map(Option::unwrap_or_default).collect();
    Ok(frames::read_offers(&page)?
        .into_iter()
        .zip(times)
        .map(|(offer, scored_at_us)| Row { offer, scored_at_us })
        .collect())
}
