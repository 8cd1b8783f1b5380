//! The golden sets of scoring: in any batch sizes, twice, in one store and in several, what is written is what must come out.

use std::sync::Arc;

use headrace_core::position::Reached;
use headrace_core::{Counts, Position};
use headrace_pipelines::scoring::model::Model;
use headrace_pipelines::scoring::registration;
use headrace_pipelines::scoring::targets::Targets;

use super::{Record, golden_sets, layouts, scored_all, written};

#[tokio::test(flavor = "multi_thread")]
async fn every_batch_size_gives_the_expected_files_twice() {
    for set in golden_sets::sets() {
        let (records, model) = (set.records(), set.model());
        for size in [1, 7, 500] {
            for (layout, _directory, urls) in layouts() {
                eprintln!("{} by {size}, {layout}", set.directory.display());
                let targets = urls.open().await;
                let finished = scored_all(&targets, &records, &[size], &model).await;
                assert_eq!(finished.counts.read, records.len() as u64);
                let first = written(&targets).await;
                set.assert_written(&first);
                let again = scored_all(&urls.open().await, &records, &[size], &model).await;
                assert_eq!(again.counts.read, 0);
                assert_eq!(written(&targets).await, first);
            }
        }
    }
}

/// The topic read again from its beginning, as the original does at every start: only counters grow.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_read_again_changes_nothing() {
    for set in golden_sets::sets() {
        let (records, model) = (set.records(), set.model());
        for (_, _directory, urls) in layouts() {
            let targets = urls.open().await;
            scored_all(&targets, &records, &[11], &model).await;
            let first = written(&targets).await;
            reread(&urls.open().await, &records, &model).await;
            let second = written(&targets).await;
            assert_eq!((&second.offers, &second.history), (&first.offers, &first.history));
            assert_eq!((&second.cache, &second.letters), (&first.cache, &first.letters));
            assert_eq!(second.counts.duplicate, first.counts.written + 2 * first.counts.duplicate);
            assert_eq!(second.counts.written, first.counts.written);
        }
    }
}

/// Sets the positions back and scores again.
async fn reread(targets: &Targets, records: &[Record], model: &Arc<dyn Model>) {
    let scope = targets.scope();
    let partitions: Vec<_> = targets.ledger.positions(&scope).await.unwrap().into_keys().collect();
    let claims = targets.ledger.claim(&scope, &partitions).await.unwrap();
    let unit = targets.ledger.begin(&scope, &claims).await.unwrap();
    let reached: Reached = partitions.into_iter().map(|partition| (partition, Position::at(0))).collect();
    unit.commit(&reached, &Counts::default()).await.unwrap();
    scored_all(targets, records, &[5], model).await;
}

/// The worked example of the contract, and that contributions explain it.
#[test]
fn the_worked_example_is_right() {
    let Some(set) = golden_sets::supplied() else { return };
    let (records, model) = (set.records(), set.model());
    let first = registration::read(records[0].value.as_deref(), 0).unwrap();
    let (scores, unseen) = model.score(std::slice::from_ref(&first)).unwrap()[0];
    assert!(!unseen && (scores.cost() - 251.159_44).abs() < 1e-3);
    assert_eq!(scores.selected_functions(), ["map", "ignore_sound", "listen_sound", "sos_signal"]);
    assert_eq!(first.version(records[0].offset), 1_737_000_000_000_000);
    let contributions = model.contributions(&first).unwrap();
    let sum: f64 = contributions.iter().map(|contribution| contribution.adds[0]).sum();
    assert!((sum - f64::from(scores.cost())).abs() < 1e-3);
}
