//! The transforms through which every row of the recruitment steps goes: `cargo bench --bench recruitment`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use headrace_core::batch::{message_columns, record_columns};
use headrace_core::{Error, Result};
use headrace_pipelines::recruitment::simulate::Simulation;
use headrace_pipelines::recruitment::{hourly, message, record};
use polars::prelude::{DataFrame, IntoColumn, NamedFrom, Series};

const ROWS: u64 = 50_000;

fn main() -> Result<()> {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let records = records()?;
    let rows = record::parse(&records)?.rows;
    let messages = placed(message::encode(&rows)?)?;
    let events = message::decode(&messages)?.events;
    let mut group = criterion.benchmark_group("recruitment");
    group.throughput(Throughput::Elements(ROWS));
    group.bench_function("record parse", |bencher| bencher.iter(|| record::parse(black_box(&records))));
    group.bench_function("message encode", |bencher| bencher.iter(|| message::encode(black_box(&rows))));
    group.bench_function("message decode", |bencher| bencher.iter(|| message::decode(black_box(&messages))));
    group.bench_function("hourly", |bencher| bencher.iter(|| hourly::hourly(black_box(&events))));
    group.finish();
    criterion.final_summary();
    Ok(())
}

/// Simulated records as the CSV source gives them. None of them holds a line break.
fn records() -> Result<DataFrame> {
    let mut file = Vec::new();
    Simulation { rows: ROWS, ..Simulation::default() }.write(&mut file, std::io::sink())?;
    let text = String::from_utf8(file).map_err(|error| Error::data(error.to_string()))?;
    let lines: Vec<&[u8]> = text.lines().skip(1).map(str::as_bytes).collect();
    let numbers: Vec<i64> = (1..).take(lines.len()).collect();
    let columns = vec![
        Series::new(record_columns::VALUE.into(), &lines).into_column(),
        Series::new(record_columns::RECORD.into(), &numbers).into_column(),
        Series::new(record_columns::POSITION.into(), &numbers).into_column(),
    ];
    Ok(DataFrame::new(lines.len(), columns)?)
}

/// Messages with their places, as a log gives them.
fn placed(mut messages: DataFrame) -> Result<DataFrame> {
    let rows = messages.height();
    let offsets: Vec<i64> = (0..).take(rows).collect();
    messages.with_column(Series::new(message_columns::PARTITION.into(), vec![0_i32; rows]).into_column())?;
    messages.with_column(Series::new(message_columns::OFFSET.into(), offsets).into_column())?;
    Ok(messages)
}
