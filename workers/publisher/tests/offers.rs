//! Offers over HTTP, read from a store that the steps have filled.

use axum::http::header;
use serde_json::{Value, json};

use crate::routes::{empty, get, send, settings, step};

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_is_told_in_words_with_its_age_and_its_reasons() {
    let store = empty();
    store.score(30, 1, 0.0).await;
    let routes = store.routes().await;
    let answer = get(&routes, "/offers/7").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let told = answer.json();
    let offer = &told["offer"];
    assert_eq!((&told["user_id"], &offer["user_id"]), (&json!(7), &json!(7)));
    assert_eq!((told["language"].as_str(), answer.header(header::CONTENT_LANGUAGE)), (Some("en"), "en"));
    let age = told["age_seconds"].as_i64().unwrap();
    assert!((0..600).contains(&age), "{age}");
    assert!(told["written_at"].as_str().unwrap().ends_with('Z'));
    // Sold: a price that ends in 9 within half a step of the score, and a term on offer.
    let price = told["commercial"]["price"].as_u64().unwrap();
    assert!(price % 10 == 9 && (price as f64 - number(&offer["predicted_cost"])).abs() <= 6.0, "{told}");
    assert!([1, 3, 6, 12].contains(&told["commercial"]["term_months"].as_u64().unwrap()));
    assert!(told["description"].as_str().unwrap().contains(&format!("{price} roubles")));
    // The reasons add up to the score.
    let why = told["why"].as_array().unwrap();
    let sum: f64 = why.iter().map(|reason| number(&reason["adds"]["cost"])).sum();
    assert!((sum - number(&offer["predicted_cost"])).abs() < 1e-2, "{sum} {told}");
    assert!(why.iter().any(|reason| reason["input"] == "platform" && reason["value"].is_string()), "{told}");

    let tens = get(&routes, "/offers/7?rounding=10").await.json();
    assert_eq!(tens["commercial"]["price"].as_u64().unwrap() % 10, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_language_is_that_of_the_query_then_of_the_reader() {
    let store = empty();
    store.score(3, 1, 0.0).await;
    let routes = store.routes().await;
    let russian = send(&routes, "GET", "/offers/1", &[(header::ACCEPT_LANGUAGE, "ru-RU,ru;q=0.9,en;q=0.5")], "").await;
    assert_eq!(russian.header(header::CONTENT_LANGUAGE), "ru");
    assert_eq!(russian.header(header::VARY), "Accept-Language");
    assert!(russian.json()["description"].as_str().unwrap().contains("в месяц"));
    let english = send(&routes, "GET", "/offers/1?language=en", &[(header::ACCEPT_LANGUAGE, "ru")], "").await;
    assert!(english.json()["description"].as_str().unwrap().contains("roubles a month"));
    get(&routes, "/offers/1?language=xx").await.problem(400);
    get(&routes, "/offers/1?langauge=ru").await.problem(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_offer_and_who_is_no_user_are_problems() {
    let store = empty();
    store.score(3, 1, 0.0).await;
    let routes = store.routes().await;
    assert!(get(&routes, "/offers/4000000000").await.problem(404).contains("4000000000"));
    for user in ["0", "-1", "4294967296", "x", "1%20", "%D9%A1", "%FF"] {
        assert!(get(&routes, &format!("/offers/{user}")).await.problem(400).contains("1 to 4294967295"), "{user}");
    }
    assert!(get(&routes, "/nowhere").await.problem(404).contains("/nowhere"));
    send(&routes, "DELETE", "/offers/1", &[], "").await.problem(405);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_of_another_model_has_no_reasons() {
    let store = empty();
    store.score(3, 1, 0.0).await;
    let built_in = concat!(env!("CARGO_MANIFEST_DIR"), "/../pipelines/src/scoring/model/simulated.json");
    let other = store.directory.path().join("other.json");
    let text = std::fs::read_to_string(built_in).unwrap();
    std::fs::write(&other, format!("{text}\n")).unwrap();
    let scoring = headrace_publisher::scoring::Scoring::open(&store.url, None, None, Some(&other)).await.unwrap();
    let routes = headrace_publisher::server::router(&settings(), headrace_publisher::server::Systems::new(scoring));
    let told = get(&routes, "/offers/1").await.json();
    assert_eq!(told["why"], Value::Null);
    assert!(told["why_missing"].as_str().unwrap().contains("was made by model"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_offers_is_no_broken_server() {
    let routes = empty().routes().await;
    let answer = get(&routes, "/offers/1").await;
    assert!(answer.problem(503).contains("try again"));
    assert_eq!(answer.header(header::RETRY_AFTER), "1");
    assert_eq!(get(&routes, "/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_if_follows_the_topics_own_rules() {
    let store = empty();
    let routes = store.routes().await;
    let features = json!({
        "ip_country": "ru", "device_country": "ru", "device_language": "ru", "platform": "Android", "platform_store": "Google Play",
        "smartphone_brand": "xiaomi", "is_organic": 0, "child_age": 7, "child_smartphone_brand": "iphone",
    });
    let ask = async |changed: Value| {
        let mut body = features.clone();
        body.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
        send(&routes, "POST", "/offers/what-if", &[], &body.to_string()).await
    };
    let plain = ask(json!({})).await.json();
    assert_eq!(
        (&plain["unseen_category"], ask(json!({ "platform": " ANDROID " })).await.json()),
        (&json!(false), plain.clone())
    );
    assert!(
        number(&ask(json!({ "smartphone_brand": "iphone" })).await.json()["scores"]["cost"])
            > number(&plain["scores"]["cost"])
    );
    assert_eq!(ask(json!({ "smartphone_brand": "nobody" })).await.json()["unseen_category"], true);
    assert_eq!(
        ask(json!({ "child_age": 19 })).await.json()["scores"],
        ask(json!({ "child_age": 18 })).await.json()["scores"]
    );
    assert!(ask(json!({ "child_age": 121 })).await.problem(422).contains("bad_child_age"));
    assert!(ask(json!({ "is_organic": true })).await.problem(422).contains("bad_is_organic"));
    assert!(ask(json!({ "ip_country": "" })).await.problem(422).contains("missing_ip_country"));
    send(&routes, "POST", "/offers/what-if", &[], "[]").await.problem(400);
    send(&routes, "POST", "/offers/what-if", &[], &"x".repeat(20_000)).await.problem(413);
}

#[tokio::test(flavor = "multi_thread")]
async fn live_counts_are_those_of_the_steps() {
    let store = empty();
    let routes = store.routes().await;
    let now = get(&routes, "/offers/live/now").await.json();
    assert_eq!((&now["counters"]["read"], &now["newest"]), (&json!(0), &json!([])));

    let report = store.score(400, 1, 0.2).await;
    // Answers are kept for a second.
    tokio::time::sleep(std::time::Duration::from_millis(1_000)).await;
    let now = get(&routes, "/offers/live/now").await.json();
    let counters = &now["counters"];
    assert_eq!(counters["read"], json!(report.counts.read));
    assert_eq!(counters["accepted"], json!(report.counts.written));
    assert_eq!(counters["dead_letter"], json!(report.counts.dead_lettered));
    let letters = now["dead_letters"].as_array().unwrap();
    let sum: u64 = letters.iter().map(|letter| letter["count"].as_u64().unwrap()).sum();
    assert!(letters.len() > 3 && sum == report.counts.dead_lettered, "{now}");
    assert_eq!(now["newest"].as_array().unwrap().len(), 12);
    assert!(number(&now["per_second"]) > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_seen_where_registrations_are_not_those_of_training() {
    let store = empty();
    let routes = store.routes().await;
    let drift = async || {
        // Answers are kept for a second, the drift for five.
        tokio::time::sleep(std::time::Duration::from_millis(1_000)).await;
        get(&routes, "/offers/live/now").await.json()["drift"].clone()
    };
    assert_eq!(drift().await["registrations"], 0);
    store.score(900, 1, 0.0).await;
    let stable = drift().await;
    assert_eq!(stable["registrations"], 900);
    let features = stable["features"].as_array().unwrap();
    assert_eq!(features.len(), 17, "{stable}");
    assert!(features.iter().all(|feature| feature["state"] == "stable"), "{stable}");

    // The constant sender: one country, one brand, one age.
    let sent = json!({ "to": store.url, "count": 2_000, "first_user": 10_000 });
    step("send", sent).await;
    step("score", json!({ "from": store.url, "offers": store.url })).await;
    tokio::time::sleep(std::time::Duration::from_millis(4_500)).await;
    let drifted = drift().await;
    let age = drifted["features"].as_array().unwrap().iter().find(|feature| feature["feature"] == "child_age").unwrap();
    assert_eq!((&age["state"], &age["moved"]["bucket"]), (&json!("drifted"), &json!("6 to 9")), "{drifted}");
    assert!(number(&age["moved"]["found"]) > 0.5 && number(&age["moved"]["trained"]) < 0.3, "{age}");
    let told = get(&routes, "/metrics").await;
    assert!(told.text().contains("headrace_drift_index{feature=\"child_age\"} "), "{}", told.text());
}
