//! The laws of the aggregation against a plain loop.

use std::collections::BTreeMap;

use headrace_transforms::civil::HOUR_US;
use polars::prelude::df;
use proptest::prelude::*;

use super::*;
use crate::recruitment::event::{Event, EventFrame};

fn frame(events: &[Event]) -> DataFrame {
    let mut frame = EventFrame::default();
    events.iter().for_each(|event| frame.push(event));
    frame.finish().unwrap()
}

prop_compose! {
    fn event()(
        hour in 0i64..3,
        ids in prop::array::uniform4(prop::option::of(0i64..3)),
        bid_micros in 0i64..5_000_000,
        track in prop::option::of(prop::sample::select(vec!["click", "conversion", "qualified", "unqualified", "alive"])),
    ) -> Event {
        let [job_id, publisher_id, campaign_id, group_id] = ids;
        let class = Class::of(track, job_id.is_some());
        Event { partition: 0, ts: hour * HOUR_US + 7_000_000, job_id, publisher_id, campaign_id, group_id, bid_micros, class }
    }
}

/// Rows as they should be: keys, then sums, in the order of `KEYS` and `SUMS`.
fn expected(events: &[Event]) -> Vec<Vec<Option<i64>>> {
    let mut rows: BTreeMap<[i64; 5], [Option<i64>; 5]> = BTreeMap::new();
    for event in events {
        let Class::Counted(metric) = event.class else { continue };
        let zero = |id: Option<i64>| id.unwrap_or(0);
        let hour = event.ts - event.ts % HOUR_US;
        let key =
            [event.job_id.unwrap(), hour, zero(event.publisher_id), zero(event.campaign_id), zero(event.group_id)];
        let sums = rows.entry(key).or_default();
        let mut add = |at: usize, value: i64| sums[at] = Some(sums[at].unwrap_or(0) + value);
        match metric {
            Metric::Click => {
                add(0, 1);
                add(1, event.bid_micros);
            }
            Metric::Conversion => add(2, 1),
            Metric::Qualified => add(3, 1),
            Metric::Unqualified => add(4, 1),
        }
    }
    rows.into_iter().map(|(key, sums)| key.map(Some).into_iter().chain(sums).collect()).collect()
}

fn rows(table: &DataFrame) -> Vec<Vec<Option<i64>>> {
    let columns: Vec<_> = KEYS.iter().chain(&SUMS).map(|name| table.column(name).unwrap().i64().unwrap()).collect();
    (0..table.height()).map(|row| columns.iter().map(|column| column.get(row)).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn one_pass_shuffles_and_re_cuts_agree(
        events in prop::collection::vec(event(), 0..60),
        shuffled in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        cut in 1usize..20,
    ) {
        let wanted = expected(&events);
        prop_assert_eq!(rows(&hourly(&frame(&events)).unwrap()), wanted.clone());
        let mut mixed = events.clone();
        for (at, index) in shuffled.iter().enumerate().take(events.len()) {
            mixed.swap(at, index.index(events.len()));
        }
        let parts: Vec<_> = mixed.chunks(cut).map(|part| hourly(&frame(part)).unwrap()).collect();
        if !parts.is_empty() {
            prop_assert_eq!(rows(&merge(&parts).unwrap()), wanted.clone());
            let (left, right) = parts.split_at(parts.len().div_ceil(2));
            let halves: Vec<_> = [left, right].into_iter().filter(|half| !half.is_empty()).map(|half| merge(half).unwrap()).collect();
            prop_assert_eq!(rows(&merge(&halves).unwrap()), wanted);
        }
    }

    #[test]
    fn unattributed_events_are_counted_by_hour_and_name(events in prop::collection::vec(event(), 0..60)) {
        let mut wanted: BTreeMap<(i64, &str), i64> = BTreeMap::new();
        for event in &events {
            if let Class::Unattributed(metric) = event.class {
                *wanted.entry((event.ts - event.ts % HOUR_US, metric.name())).or_default() += 1;
            }
        }
        let table = unattributed(&frame(&events)).unwrap();
        let times = table.column(TS).unwrap().i64().unwrap();
        let names = table.column(CUSTOM_TRACK).unwrap().str().unwrap();
        let counts = table.column(EVENTS).unwrap().i64().unwrap();
        let found: Vec<_> = (0..table.height())
            .map(|row| ((times.get(row).unwrap(), names.get(row).unwrap()), counts.get(row).unwrap()))
            .collect();
        prop_assert_eq!(found, wanted.into_iter().collect::<Vec<_>>());
    }
}

fn click(job_id: i64, bid_micros: i64) -> Event {
    Event {
        partition: 0,
        ts: 0,
        job_id: Some(job_id),
        publisher_id: None,
        campaign_id: None,
        group_id: None,
        bid_micros,
        class: Class::Counted(Metric::Click),
    }
}

#[test]
fn companies_are_joined_and_joined_again() {
    let table = hourly(&frame(&[click(1, 0), click(2, 0), click(3, 0)])).unwrap();
    let jobs = df!("id" => [2i64, 3, 3, 9], "company_id" => [Some(33i64), None, None, Some(1)]).unwrap();
    let joined = join_company(&table, &jobs).unwrap();
    let company = |table: &DataFrame| table.column(COMPANY_ID).unwrap().i64().unwrap().iter().collect::<Vec<_>>();
    assert_eq!(company(&joined), [None, Some(33), None]);
    let jobs = df!("id" => [2i64], "company_id" => [Some(34i64)]).unwrap();
    assert_eq!(company(&join_company(&joined, &jobs).unwrap()), [None, Some(34), None]);
}

#[test]
fn spend_that_does_not_fit_is_an_error_and_never_wraps() {
    let largest = decimal::MAX_MICROS;
    let table = hourly(&frame(&[click(1, largest), click(2, largest), click(2, 0)])).unwrap();
    assert_eq!(table.column(SPEND_HOUR).unwrap().i64().unwrap().iter().max().unwrap(), Some(largest));
    let many = [click(1, largest); 12];
    assert_eq!(hourly(&frame(&many)).unwrap_err().to_string(), "the spend of one hour exceeds DECIMAL(18,6)");
}
