//! The lag of a place, from an empty topic to a drained one.

use headrace_core::{ErrorKind, Report};
use headrace_pipelines::recruitment::steps::Lag;
use serde_json::{Value, json};

use super::messages::{keyed, produce};
use super::{Place, done, fates, golden_text, refused};

/// The messages behind, the end and the committed position, each summed over the partitions.
fn sums(report: &Report) -> [i64; 3] {
    let partitions = report.facts["partitions"].as_array().unwrap();
    let sum = |name: &str| partitions.iter().filter_map(|partition| partition[name].as_i64()).sum();
    assert_eq!(report.facts["messages behind"], json!(sum("messages_behind")), "the parts add up");
    assert_eq!((fates(report), partitions.len()), ([0; 5], 2));
    ["messages_behind", "high_watermark", "committed"].map(sum)
}

/// Messages count as behind until they are committed; the report of `clean` tells the range.
pub async fn is_told_rightly(place: &Place) {
    let values = json!({ "from": place.log, "to": place.result });
    let error = refused::<Lag>(values.clone()).await;
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().starts_with("topic ") && error.to_string().contains("does not exist"), "{error}");

    let messages = keyed(&golden_text("edge_expected_messages.jsonl"));
    produce(&place.log, 2, &messages).await;
    let report = done::<Lag>(values.clone()).await;
    assert_eq!(sums(&report), [18, 18, 0]);
    assert!(report.facts["last commit"].is_null() && report.notes.len() == 1, "{report:?}");

    let first = place.clean().await;
    assert!(first.begun.len() == 2 && first.begun.values().all(Option::is_none), "{:?}", first.begun);
    let report = done::<Lag>(values.clone()).await;
    assert_eq!(sums(&report), [0, 18, 18]);
    assert!(report.notes.is_empty(), "{report:?}");
    assert!(matches!(&report.facts["last commit"], Value::String(at) if at.ends_with(" UTC")), "{report:?}");

    produce(&place.log, 2, &messages).await;
    assert_eq!(sums(&done::<Lag>(values.clone()).await), [18, 36, 18]);
    let second = place.clean().await;
    let begun: Vec<i64> = second.begun.values().flatten().copied().collect();
    assert_eq!(begun, first.positions.values().copied().collect::<Vec<_>>());
    assert_eq!(sums(&done::<Lag>(values).await), [0, 36, 36]);
}
