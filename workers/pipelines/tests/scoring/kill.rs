//! Scoring in processes that are killed behind each of their writes, around the commit and elsewhere: what the next run leaves is
//! what one straight run leaves.

use super::process::with_failpoint;
use super::{golden_sets, layouts, scored_all, written};

/// A batch visits `after-write` behind history, offers, registrations and cache, and once more behind all of its rows.
const PLACES: [&str; 12] = [
    "after-write:1:kill",
    "after-write:2:kill",
    "after-write:3:kill",
    "after-write:4:kill",
    "after-write:5:kill",
    "after-write:8:kill",
    "before-dead-letter:1:kill",
    "after-dead-letter:2:kill",
    "before-commit:2:kill",
    "after-commit:1:kill",
    "after-commit:3:kill",
    "after-acknowledge:2:kill",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_anywhere_changes_nothing() {
    for set in golden_sets::sets() {
        let (records, model) = (set.records(), set.model());
        for place in PLACES {
            for (layout, _directory, urls) in layouts() {
                eprintln!("{} {place}, {layout}", set.directory.display());
                with_failpoint(&set, &urls, 7, place).await.assert_killed_at(place);
                let targets = urls.open().await;
                scored_all(&targets, &records, &[5], &model).await;
                set.assert_written(&written(&targets).await);
            }
        }
    }
}

/// Killed again and again, each time a little later.
#[tokio::test(flavor = "multi_thread")]
async fn many_kills_change_nothing() {
    let set = golden_sets::own();
    for (_, _directory, urls) in layouts() {
        let mut kills = 0;
        let run =
            async |kills: u64| with_failpoint(&set, &urls, 3, &format!("after-write:{}:kill", 3 + kills % 7)).await;
        while !run(kills).await.is_well_or_killed() {
            kills += 1;
            assert!(kills < 60, "no run comes to an end");
        }
        eprintln!("{kills} kills");
        assert!(kills > 3);
        set.assert_written(&written(&urls.open().await).await);
    }
}
