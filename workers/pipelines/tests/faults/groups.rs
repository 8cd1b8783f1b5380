//! Two and four clean processes in one group, killed and joined at random while messages come.

use headrace_pipelines::recruitment::steps::Replay;
use serde_json::json;

use super::assert_cleaned;
use crate::process::Worker;
use crate::recruitment::messages::{Message, keyed, produce};
use crate::recruitment::random::{Random, cases};
use crate::recruitment::{Place, done, is_complete, simulate};

/// Messages produced at once.
const SLICE: usize = 60;

#[tokio::test(flavor = "multi_thread")]
async fn members_killed_and_joined_count_every_event_once() {
    cases(1, async |mut random| {
        for members in [2, 4] {
            let place = Place::apart();
            let files = simulate(&place, random.next(), 1_500, 0.005);
            place.load(&files.tracking).await;
            place.jobs(&files.jobs).await;
            done::<Replay>(place.replay_values(json!({ "partitions": 4 }))).await;
            // The same messages once more, in another order, while the members come and go.
            let mut copies = keyed(&place.export("messages").await);
            random.shuffle(&mut copies);
            let kills = killed_and_joined(&place, &copies, members, &mut random).await;
            eprintln!("{members} members, {kills} kills");
            place.clean().await;
            assert_cleaned(&place, &files, copies.len() as u64, 0).await;
            assert!(is_complete(&place.verify().await));
        }
    })
    .await;
}

/// Keeps a number of members at work, each killed after a while and replaced by another, until all messages are produced.
async fn killed_and_joined(place: &Place, messages: &[Message], members: usize, random: &mut Random) -> u64 {
    let mut team: Vec<Option<Worker>> = (0..members).map(|_| None).collect();
    let mut kills = 0;
    for slice in messages.chunks(SLICE) {
        produce(&place.log, 4, slice).await;
        for seat in &mut team {
            if let Some(worker) = seat.take_if(|_| random.one_in(2)) {
                let ended = worker.kill();
                kills += u64::from(!ended.is_well_or_killed());
            }
            if seat.is_none() && random.one_in(2) {
                let values = place.clean_values(json!({ "batch_rows": random.between(5, 40) }));
                *seat = Some(Worker::step("recruitment", "clean", &values, ""));
            }
        }
        tokio::time::sleep(random.millis(20, 150)).await;
    }
    for worker in team.into_iter().flatten() {
        let ended = worker.end().await;
        assert!(ended.is_well, "{}", ended.told);
    }
    kills
}
