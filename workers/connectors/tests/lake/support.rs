//! What the tests of the lake share: lakes of their own in every place, and rows of every kind.

use headrace_connectors::lake::{Lake, LakeKind, LakePath, LakeSchema};
use headrace_core::{StoreUrl, clock};
use polars::prelude::{Column, DataFrame};
use tempfile::TempDir;

/// A lake of one test.
pub(crate) struct Place {
    pub(crate) url: StoreUrl,
    pub(crate) lake: Lake,
    /// The folder, where it is one of this machine.
    pub(crate) folder: Option<TempDir>,
}

/// The URL of a server, with a folder of its own.
pub(crate) fn server(variable: &str) -> Option<StoreUrl> {
    let Some(url) = clock::environment(variable) else {
        println!("SKIP: set {variable}");
        return None;
    };
    let mut url = StoreUrl::parse(&url).unwrap();
    url.path.push(format!("t{}", clock::now_us()));
    if variable.ends_with("_SECURE") {
        let folder = clock::environment("HEADRACE_TEST_CERTIFICATES").unwrap();
        url.options.insert("tls_ca".to_owned(), format!("{folder}/ca.crt"));
    }
    Some(url)
}

/// A lake in a folder of this machine.
pub(crate) async fn local() -> Place {
    let folder = TempDir::new().unwrap();
    let url = StoreUrl::parse(&format!("file:{}/lake", folder.path().display())).unwrap();
    Place { lake: Lake::open(&url).await.unwrap(), url, folder: Some(folder) }
}

/// A lake in every place there is.
pub(crate) async fn places() -> Vec<Place> {
    let mut all = vec![local().await];
    for url in ["HEADRACE_TEST_HDFS", "HEADRACE_TEST_S3"].into_iter().filter_map(server) {
        all.push(Place { lake: Lake::open(&url).await.unwrap(), url, folder: None });
    }
    all
}

pub(crate) fn path(text: &str) -> LakePath {
    LakePath::new(text).unwrap()
}

pub(crate) const MONEY: LakeKind = LakeKind::Decimal { precision: 18, scale: 4 };

/// Every kind of column.
pub(crate) fn every_kind() -> LakeSchema {
    LakeSchema::new(&[
        ("event_id", LakeKind::Text),
        ("price", MONEY),
        ("total", LakeKind::Decimal { precision: 18, scale: 2 }),
        ("timestamp", LakeKind::Timestamp),
        ("lat", LakeKind::Double),
        ("partition", LakeKind::Int),
        ("offset", LakeKind::BigInt),
        ("final", LakeKind::Bool),
    ])
    .unwrap()
}

/// Midnight of 2025-03-10, UTC.
pub(crate) const MIDNIGHT_US: i64 = 1_741_564_800_000_000;

/// Rows of every kind, some of them null in every column but the offset; row `n` depends on `n` only.
pub(crate) fn rows(from: i64, to: i64) -> DataFrame {
    let ints = |name: &str, of: &dyn Fn(i64) -> i64, gap: i64| {
        let values: Vec<Option<i64>> = (from..to).map(|row| (row % 97 != gap).then(|| of(row))).collect();
        Column::new(name.into(), values)
    };
    let texts: Vec<Option<String>> = (from..to)
        .map(|row| (row % 97 != 1).then(|| if row % 89 == 0 { String::new() } else { format!("event {row} — ü") }))
        .collect();
    let doubles: Vec<Option<f64>> = (from..to).map(|row| (row % 97 != 2).then(|| -2.1708 + row as f64 / 1e6)).collect();
    let flags: Vec<Option<bool>> = (from..to).map(|row| (row % 97 != 3).then_some(row % 2 == 0)).collect();
    let columns = vec![
        Column::new("event_id".into(), texts),
        ints("price", &|row| row * 10_001 % 100_000_000_000 - 50_000, 4),
        ints("total", &|row| 999_999_999_999_999_999 - row, 5),
        ints("timestamp", &|row| MIDNIGHT_US + row * 1_000 + 1, 6),
        Column::new("lat".into(), doubles),
        ints("partition", &|row| row % 3, 7),
        ints("offset", &|row| row, -1),
        Column::new("final".into(), flags),
    ];
    DataFrame::new(usize::try_from(to - from).unwrap(), columns).unwrap()
}

/// One column of numbers, and a text beside it.
pub(crate) fn numbers() -> LakeSchema {
    LakeSchema::new(&[("number", LakeKind::BigInt), ("text", LakeKind::Text)]).unwrap()
}

pub(crate) fn number_rows(numbers: impl Iterator<Item = i64>) -> DataFrame {
    let numbers: Vec<i64> = numbers.collect();
    let texts: Vec<String> = numbers.iter().map(|number| format!("text of {number}")).collect();
    let columns = vec![Column::new("number".into(), &numbers), Column::new("text".into(), texts)];
    DataFrame::new(numbers.len(), columns).unwrap()
}

pub(crate) fn numbers_of(frame: &DataFrame) -> Vec<i64> {
    frame.column("number").unwrap().i64().unwrap().iter().flatten().collect()
}

/// The names of everything in a folder and below it.
pub(crate) fn everything_in(folder: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            found.extend(everything_in(&entry.path()));
        } else {
            found.push(entry.path().display().to_string());
        }
    }
    found.sort();
    found
}
