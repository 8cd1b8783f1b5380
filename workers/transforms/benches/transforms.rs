//! The hot transforms that know no system: `cargo bench --bench transforms`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput};
use headrace_transforms::decimal::Number;
use headrace_transforms::deduplicate::{Batch, Error, Seen};
use headrace_transforms::time_uuid;

const ROWS: u64 = 65_536;
/// Batches seen before the measured one.
const BEFORE: u64 = 16;
const VARIANT: u64 = 0b10 << 62;
const BUDGET_BYTES: usize = 256 << 20;

fn main() -> Result<(), Error> {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let mut group = criterion.benchmark_group("transforms");
    group.throughput(Throughput::Elements(ROWS));
    let numbers: Vec<String> = (0..ROWS).map(|row| format!("{}.{:03}", row % 2_000, row % 1_000)).collect();
    group.bench_function("decimal", |bencher| {
        let micros = |text: &String| Number::parse(text.as_bytes()).and_then(|number| number.micros());
        bencher.iter(|| black_box(&numbers).iter().filter_map(micros).fold(0_i64, i64::wrapping_add));
    });
    let ids: Vec<String> = ids(0).map(|id| time_uuid::to_text(&id)).collect();
    group.bench_function("time_uuid", |bencher| {
        let time = |text: &String| time_uuid::parse(text.as_bytes()).map(|id| time_uuid::event_time_us(&id));
        bencher.iter(|| black_box(&ids).iter().filter_map(time).fold(0_i64, i64::wrapping_add));
    });
    let mut seen = Seen::<0>::new(BUDGET_BYTES);
    for number in 0..BEFORE {
        take(&mut seen, number)?;
    }
    group.bench_function("deduplicate", |bencher| {
        bencher.iter_batched(
            || Batch::new(self::ids(BEFORE).map(|id| (id, []))),
            |batch| seen.check(&batch).and_then(|verdicts| seen.changes(&batch, &verdicts, i64::MAX)),
            BatchSize::LargeInput,
        );
    });
    group.finish();
    criterion.final_summary();
    Ok(())
}

/// Ids of one batch, spread over a day in no order, none in two batches.
fn ids(batch: u64) -> impl Iterator<Item = [u8; 16]> {
    const DAY_TICKS: u64 = 864_000_000_000;
    (0..ROWS).map(move |row| {
        let ticks = time_uuid::UNIX_EPOCH_TICKS + (row * 1_000_003 * 40_503 + batch) % DAY_TICKS;
        time_uuid::with_ticks(ticks, 1, VARIANT | (batch << 32 | row))
    })
}

/// Takes a batch into the ids seen.
fn take(seen: &mut Seen<0>, number: u64) -> Result<(), Error> {
    let batch = Batch::new(ids(number).map(|id| (id, [])));
    for hour in seen.missing(batch.hours()) {
        seen.load(hour, Vec::new());
    }
    let verdicts = seen.check(&batch)?;
    let changes = seen.changes(&batch, &verdicts, number as i64)?;
    seen.apply(changes);
    Ok(())
}
