//! The recruitment steps on the embedded store in processes that are killed at random moments: the same as one straight run.

use serde_json::json;

use super::messages::sorted_lines;
use super::random::cases;
use super::{Place, assert_classes, is_complete, killed, simulate};

#[tokio::test(flavor = "multi_thread")]
async fn killed_processes_lose_and_double_nothing() {
    cases(2, async |mut random| {
        let place = Place::embedded();
        let files = simulate(&place, random.next(), 3_000, 0.005);
        place.jobs(&files.jobs).await;
        let mut kills = 0;
        for step in ["load", "replay", "clean"] {
            for _ in 0..5 {
                let more = json!({ "batch_rows": random.between(20, 100) });
                let values = match step {
                    "load" => place.load_values(&files.tracking, more),
                    "replay" => place.replay_values(more),
                    _ => place.clean_values(more),
                };
                kills += u64::from(!killed(step, &values, random.millis(20, 200)).await);
            }
            match step {
                "load" => place.load(&files.tracking).await,
                "replay" => place.replay().await,
                _ => place.clean().await,
            };
        }
        eprintln!("{kills} kills");
        let loaded = place.counters("load").await;
        assert_classes(&files.simulated, &loaded, &[""]);
        assert_eq!((loaded.read, loaded.written), (3_000, files.simulated.count("stored")));
        let letters = place.letters("load", json!({ "limit": 10_000 })).await;
        assert_eq!(letters.len() as u64, files.simulated.count("dead_letter"));
        assert_eq!(sorted_lines(&place.log).await, place.export("messages").await);
        assert_eq!(place.results().await, (files.expected.hourly_csv(), files.expected.unattributed_csv()));
        assert_classes(&files.simulated, &place.counters("clean").await, &["counted", "unattributed", "ignored"]);
        assert!(is_complete(&place.verify().await));
    })
    .await;
}
