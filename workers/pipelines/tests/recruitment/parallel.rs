//! Files loaded in parts: batches of several parts in any interleaving, and everything a load leaves to compare.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headrace_connectors::csv::{CsvOptions, CsvSource};
use headrace_core::ledger_sink::LedgerSink;
use headrace_core::position::Reached;
use headrace_core::sink::Sink;
use headrace_core::source::{Event, Source};
use headrace_core::store::Store;
use headrace_core::table::Table;
use headrace_core::{Claim, Counts, StoreUrl};
use headrace_pipelines::reading::Pages;
use headrace_pipelines::recruitment::load_sink::LoadWork;
use headrace_pipelines::recruitment::record::{self, ParsedRecords};
use headrace_pipelines::recruitment::schema::RawSchema;
use headrace_pipelines::stores::open_raw;

use super::Place;
use super::random::Random;

/// Writes a file in which few ids come often, with the same content and with other, among records that are bad.
pub fn crowded(place: &Place, name: &str, random: &mut Random, records: usize) -> PathBuf {
    let files = super::simulate(place, random.next(), 60, 0.0);
    let text = std::fs::read_to_string(&files.tracking).unwrap();
    let (header, lines) = text.split_once('\n').unwrap();
    let cut = |line: &str| {
        let mut parts = line.splitn(3, ',').map(str::to_owned);
        let (_, id, rest) = (parts.next()?, parts.next()?, parts.next()?);
        Some((id, rest)).filter(|(_, rest)| rest.matches('"').count() % 2 == 0)
    };
    let sound: Vec<(String, String)> = lines.lines().filter_map(cut).collect();
    let ids = random.between(2, 12) as usize;
    let mut text = format!("{header}\n");
    for index in 0..records {
        let known = random.below(ids as u64) as usize;
        let (id, content) = (&sound[known].0, &sound[known + random.below(3) as usize].1);
        match random.below(14) {
            0 => writeln!(text, "{index},{id},{content},more").unwrap(),
            1 => writeln!(text, "{index},no id,{content}").unwrap(),
            2 => writeln!(text, "{index},{},{content}", sound[20 + random.below(20) as usize].0).unwrap(),
            _ => writeln!(text, "{index},{id},{content}").unwrap(),
        }
    }
    place.write(name, text)
}

/// Everything a load leaves, but times and the numbers of commits.
#[derive(Debug, PartialEq, Eq)]
pub struct Loaded {
    pub tracking: Vec<String>,
    pub by_hour: Vec<String>,
    pub letters: Vec<String>,
    pub counters: Counts,
}

impl Loaded {
    pub async fn of(place: &Place) -> Self {
        let url = StoreUrl::parse(&place.raw).unwrap();
        let (schema, store) = (RawSchema::of(&url).unwrap(), open_raw(&url).await.unwrap());
        Self {
            tracking: rows(&*store, &schema.tracking, &[]).await,
            by_hour: rows(&*store, &schema.by_hour, &["sequence"]).await,
            letters: rows(&*store, &schema.dead_letters, &["failed_at"]).await,
            counters: store.counters(&schema.load_scope()).await.unwrap(),
        }
    }
}

async fn rows(store: &dyn Store, table: &Table, without: &[&str]) -> Vec<String> {
    let names = table.columns.iter().map(|column| column.name.as_str());
    let names: Vec<&str> = names.filter(|name| !without.contains(name)).collect();
    let mut pages = Pages::new(store, table, &names);
    let mut rows = Vec::new();
    while let Some(page) = pages.next().await.unwrap() {
        let page = page.select(names.iter().copied()).unwrap();
        for row in 0..page.height() {
            let cells: Vec<String> =
                page.columns().iter().map(|column| format!("{:?}", column.get(row).unwrap())).collect();
            rows.push(cells.join(" | "));
        }
    }
    rows.sort();
    rows
}

/// The batches of a part that are not committed yet.
struct Part {
    options: CsvOptions,
    batches: Vec<(ParsedRecords, Reached)>,
    sink: LedgerSink<ParsedRecords, LoadWork>,
}

impl Part {
    async fn open(file: &Path, options: CsvOptions, store: Arc<dyn Store>, schema: &RawSchema) -> Self {
        let mut source = CsvSource::open(file, options.clone()).unwrap();
        let mut sink = LedgerSink::new(store, LoadWork::new(schema.clone(), &source));
        let claims = loop {
            match sink.claim(&[source.partition().clone()]).await {
                Ok(claims) => break claims,
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
        };
        Self { batches: batches(&mut source, claims).await, sink, options }
    }
}

async fn batches(source: &mut CsvSource, claims: Vec<Claim>) -> Vec<(ParsedRecords, Reached)> {
    let mut batches = Vec::new();
    loop {
        match source.next().await.unwrap() {
            Event::Assigned(_) => source.start(&claims).await.unwrap(),
            Event::Batch(batch) => batches.push((record::parse(&batch.frame).unwrap(), batch.reached)),
            Event::End => break,
            _ => {}
        }
    }
    batches.reverse();
    batches
}

/// Commits the batches of all parts of a file in any interleaving, with workers that fail and are replaced.
pub async fn interleave(store: &Arc<dyn Store>, schema: &RawSchema, file: &Path, of: usize, random: &mut Random) {
    let mut parts = Vec::new();
    for part in 1..=of {
        let options =
            CsvOptions { split: Some((part, of)), batch_rows: random.between(1, 12) as usize, ..CsvOptions::default() };
        parts.push(Part::open(file, options, store.clone(), schema).await);
    }
    while !parts.is_empty() {
        let chosen = random.below(parts.len() as u64) as usize;
        let part = &mut parts[chosen];
        let Some((records, reached)) = part.batches.last() else {
            parts.swap_remove(chosen);
            continue;
        };
        match part.sink.commit(records, reached).await {
            Ok(_) => {
                part.batches.pop();
            }
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
        if random.one_in(6) {
            // Another worker goes on from what is committed.
            let options = CsvOptions { batch_rows: random.between(1, 12) as usize, ..part.options.clone() };
            *part = Part::open(file, options, store.clone(), schema).await;
        }
    }
}
