//! What is judged event by event, in order: which events are late, and which minutes each of them closes.
//!
//! Only purchases move the watermark of sales, only carts and purchases that of the join. Both advance with every event, so that the
//! cut into batches changes nothing. The state is one small blob of the ledger; its size grows with partitions and open minutes only.

use std::collections::{BTreeSet, HashMap};

use headrace_core::{Error, Result};
use headrace_transforms::civil::{HOUR_US, SECOND_US};
use headrace_transforms::packed::{self, Damaged, Packed};
use headrace_transforms::watermark::{Advance, Rules, Watermark, both};
use headrace_transforms::window::{OpenWindows, Tumbling, Window};

use super::decode::{Decoded, texts};
use super::event::Kind;
use super::funnel::VIEWS_US;
use super::keeps::Keeps;

/// A minute.
pub const MINUTE_US: i64 = 60 * SECOND_US;
/// How far the watermark of sales stays behind.
const SALES_DELAY_US: i64 = 2 * MINUTE_US;
/// How far the watermark of the join stays behind.
const JOIN_DELAY_US: i64 = 30 * MINUTE_US;
/// A partition that delivered nothing for so long holds no watermark back.
const RULES: Rules = Rules { delay_us: 0, idle_after_us: Some(30 * SECOND_US) };

/// For what an event was late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// The sales of its minute.
    Sales,
    /// The join of carts and purchases.
    Funnel,
}

impl Metric {
    /// The word in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sales => "sales",
            Self::Funnel => "funnel",
        }
    }
}

/// An accepted event with what was found out about it.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    /// Its row.
    pub row: usize,
    /// Its time.
    pub time_us: i64,
    /// Whether its minute was closed before it came; purchases only.
    pub late_for_sales: bool,
    /// Whether it takes no part in the join.
    pub late_for_join: bool,
}

/// A batch's accepted events, judged.
#[derive(Debug, Default)]
pub struct Judgement {
    /// All of them, in order.
    pub events: Vec<Judged>,
    /// Those that came late: row, for what, and the watermark at that moment.
    pub late: Vec<(usize, Metric, i64)>,
    /// Minutes that were closed, with the row that closed each.
    pub closings: Vec<(Window, usize)>,
}

/// The state of the stream, between batches.
#[derive(Clone, Debug, Default)]
pub struct StreamState {
    purchases: Watermark,
    carts: Watermark,
    open: OpenWindows,
    /// Minutes for which keys are waiting, see [`super::timers`].
    pub timers: BTreeSet<i64>,
    /// The minute of the first purchase.
    pub first_minute_us: Option<i64>,
    /// The newest time of any event.
    latest_us: Option<i64>,
    /// What the stream keeps; none before its first batch.
    keeps: Option<Keeps>,
}

/// The minute in which a time lies.
pub fn minute_floor(time_us: i64) -> i64 {
    time_us - time_us.rem_euclid(MINUTE_US)
}

fn minutes() -> Result<Tumbling> {
    Tumbling::new(MINUTE_US).map_err(|error| Error::configuration(error.to_string()))
}

fn less(watermark: Option<i64>, delay_us: i64) -> Option<i64> {
    watermark.map(|watermark| watermark - delay_us)
}

impl StreamState {
    /// Below this the minutes of sales are closed.
    pub fn sales_watermark(&self) -> Option<i64> {
        less(self.purchases.value(), SALES_DELAY_US)
    }

    /// Below this carts and purchases are late for the join.
    pub fn join_watermark(&self) -> Option<i64> {
        less(both(self.carts.value(), self.purchases.value()), JOIN_DELAY_US)
    }

    /// The newest time of a cart or purchase.
    pub fn newest_us(&self) -> Option<i64> {
        self.carts.max_time_us().max(self.purchases.max_time_us())
    }

    /// What the stream keeps, once it has begun.
    pub fn keeps(&self) -> Option<Keeps> {
        self.keeps
    }

    /// Keeps this, from the first batch on.
    ///
    /// # Errors
    /// A configuration error when the stream keeps something else.
    pub fn keep(&mut self, keeps: Keeps) -> Result<()> {
        self.keeps.get_or_insert(keeps).require(keeps)
    }

    /// The newest time of any event, in seconds, for what is kept by age: it never goes back.
    pub fn latest_seconds(&self) -> i64 {
        self.latest_us.map_or(0, |latest| latest.div_euclid(SECOND_US))
    }

    /// What was written for the join at [times](Self::latest_seconds) before this is not needed any more: no timer waits for it.
    pub fn join_needs_seconds(&self) -> i64 {
        let waiting = self.timers.first().copied().unwrap_or(i64::MAX);
        let oldest = self.join_watermark().map(|watermark| watermark.min(waiting) - VIEWS_US - HOUR_US);
        oldest.map_or(i64::MIN, |oldest| oldest.div_euclid(SECOND_US))
    }

    /// Takes note that a partition of a topic, such as `orders-0`, was claimed at a time: watermarks wait for it.
    pub fn expect(&mut self, partition: &str, now_us: i64) {
        let topic = partition.rsplit_once('-').map_or("", |(topic, _)| topic);
        if Kind::Purchase.is_topic(topic) {
            self.purchases.expect(partition, now_us);
        } else if Kind::Cart.is_topic(topic) {
            self.carts.expect(partition, now_us);
        }
    }

    /// Waits no longer for partitions that have never delivered, when all have been read to their ends; gives the minutes that
    /// this closes.
    pub fn stop_waiting(&mut self, now_us: i64) -> Vec<Window> {
        for watermark in [&mut self.purchases, &mut self.carts] {
            watermark.stop_waiting();
            watermark.tick(&RULES, now_us);
        }
        let watermark = self.sales_watermark();
        self.open.close(watermark)
    }

    /// Lets no partition pass for idle before it had its time again, after a start.
    pub fn resume(&mut self, now_us: i64) {
        self.purchases.resume(now_us);
        self.carts.resume(now_us);
    }

    /// Judges the accepted rows of a batch, in order.
    ///
    /// # Errors
    /// When a column is missing.
    pub fn judge(&mut self, decoded: &Decoded, accepted: &[usize], now_us: i64) -> Result<Judgement> {
        let times = decoded.rows.column("timestamp")?.i64()?;
        let topics = texts(&decoded.rows, "topic")?;
        let partitions = decoded.rows.column("partition")?.i32()?;
        let minute = minutes()?;
        let mut judgement = Judgement { events: Vec::with_capacity(accepted.len()), ..Judgement::default() };
        let mut slots: HashMap<(&str, i32), (usize, usize), foldhash::fast::RandomState> = HashMap::default();
        for &row in accepted {
            let time_us = times.get(row).unwrap_or_default();
            self.latest_us = self.latest_us.max(Some(time_us));
            let mut judged = Judged { row, time_us, late_for_sales: false, late_for_join: false };
            let kind = decoded.kinds[row];
            if kind != Kind::View {
                let place = (topics.get(row).unwrap_or_default(), partitions.get(row).unwrap_or_default());
                let (purchases, carts) = *slots.entry(place).or_insert_with(|| {
                    let name = if decoded.is_sequence { String::new() } else { format!("{}-{}", place.0, place.1) };
                    (self.purchases.slot(&name), self.carts.slot(&name))
                });
                self.judge_for_join(&mut judged, &mut judgement);
                // What is in another kind's topic is no sign of how far that topic's partition has come.
                let counts = decoded.is_sequence || kind.is_topic(place.0);
                if kind == Kind::Purchase {
                    let slot = counts.then_some(purchases);
                    self.purchase(&minute, slot, &mut judged, now_us, &mut judgement);
                } else if counts {
                    self.carts.advance(&RULES, carts, time_us, now_us);
                }
            }
            judgement.events.push(judged);
        }
        Ok(judgement)
    }

    /// Judges accepted rows that were refused when it was their turn. They are judged by the watermarks as they stand, and move none:
    /// how far their partitions have come is for the stream to say. So they close no minute either.
    ///
    /// # Errors
    /// When a column is missing.
    pub fn judge_again(&mut self, decoded: &Decoded, accepted: &[usize]) -> Result<Judgement> {
        let times = decoded.rows.column("timestamp")?.i64()?;
        let minute = minutes()?;
        let mut judgement = Judgement { events: Vec::with_capacity(accepted.len()), ..Judgement::default() };
        for &row in accepted {
            let time_us = times.get(row).unwrap_or_default();
            self.latest_us = self.latest_us.max(Some(time_us));
            let mut judged = Judged { row, time_us, late_for_sales: false, late_for_join: false };
            if decoded.kinds[row] != Kind::View {
                self.judge_for_join(&mut judged, &mut judgement);
            }
            if decoded.kinds[row] == Kind::Purchase {
                self.judge_for_sales(minute.window(time_us), self.sales_watermark(), &mut judged, &mut judgement);
            }
            judgement.events.push(judged);
        }
        Ok(judgement)
    }

    fn judge_for_join(&self, judged: &mut Judged, judgement: &mut Judgement) {
        if self.keeps == Some(Keeps::Sales) {
            return;
        }
        if let Some(watermark) = self.join_watermark().filter(|watermark| judged.time_us < *watermark) {
            judged.late_for_join = true;
            judgement.late.push((judged.row, Metric::Funnel, watermark));
        }
    }

    fn judge_for_sales(
        &mut self,
        window: Window,
        watermark: Option<i64>,
        judged: &mut Judged,
        judgement: &mut Judgement,
    ) {
        self.first_minute_us.get_or_insert(window.start_us);
        match watermark.filter(|_| window.is_closed(watermark)) {
            Some(watermark) => {
                judged.late_for_sales = true;
                judgement.late.push((judged.row, Metric::Sales, watermark));
            }
            None => self.open.open(window),
        }
    }

    fn purchase(
        &mut self,
        minute: &Tumbling,
        slot: Option<usize>,
        judged: &mut Judged,
        now_us: i64,
        judgement: &mut Judgement,
    ) {
        let advance = match slot {
            Some(slot) => self.purchases.advance(&RULES, slot, judged.time_us, now_us),
            None => {
                let watermark = self.purchases.tick(&RULES, now_us);
                Advance { before: watermark, after: watermark }
            }
        };
        let (before, after) = (less(advance.before, SALES_DELAY_US), less(advance.after, SALES_DELAY_US));
        self.judge_for_sales(minute.window(judged.time_us), before, judged, judgement);
        judgement.closings.extend(self.open.close(after).into_iter().map(|window| (window, judged.row)));
    }

    /// Closes all minutes that are open, at the end of all input.
    pub fn close_all(&mut self) -> Vec<Window> {
        self.open.close(Some(i64::MAX))
    }

    /// Writes the state down.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![2];
        self.purchases.put(&mut out);
        self.carts.put(&mut out);
        self.open.put(&mut out);
        packed::put_unsigned(&mut out, self.timers.len() as u64);
        let mut last = 0;
        for minute in &self.timers {
            packed::put_signed(&mut out, minute - last);
            last = *minute;
        }
        for time in [self.first_minute_us, self.latest_us] {
            packed::put_signed(&mut out, time.unwrap_or(i64::MIN));
        }
        out.push(self.keeps.unwrap_or_default().byte());
        out
    }

    /// Reads a state.
    ///
    /// # Errors
    /// A data error when it is damaged or of a newer version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::take(bytes).map_err(|error| Error::data(format!("the state of the stream cannot be read: {error}")))
    }

    fn take(bytes: &[u8]) -> Result<Self, Damaged> {
        let Some((2, mut input)) = bytes.split_first() else { return Err(Damaged("of another version")) };
        let (purchases, carts) = (Watermark::take(&mut input)?, Watermark::take(&mut input)?);
        let open = OpenWindows::take(&mut input)?;
        let (mut timers, mut last) = (BTreeSet::new(), 0);
        for _ in 0..packed::take_unsigned(&mut input)? {
            last += packed::take_signed(&mut input)?;
            timers.insert(last);
        }
        let mut time = || Ok(Some(packed::take_signed(&mut input)?).filter(|time| *time != i64::MIN));
        let (first_minute_us, latest_us) = (time()?, time()?);
        let keeps = Keeps::of_byte(packed::take_byte(&mut input)?);
        keeps.ok_or(Damaged("it keeps what is not known here"))?;
        packed::finish(input)?;
        Ok(Self { purchases, carts, open, timers, first_minute_us, latest_us, keeps })
    }
}
