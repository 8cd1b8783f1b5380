//! What every route has in common: the token, limits, metrics, the description, pages, and the stop.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use headrace_core::Secret;
use headrace_publisher::server::{Server, router};
use headrace_publisher::settings::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::routes::{empty, get, send, send_body, settings};

const TOKEN: &str = "canary-0123456789abcdef";

#[tokio::test(flavor = "multi_thread")]
async fn data_needs_the_token_and_pages_do_not() {
    let store = empty();
    let settings = Settings { token: Some(Secret::new(TOKEN)), ..settings() };
    let routes = router(&settings, store.systems().await);
    let with = async |path: &str, value: &str| send(&routes, "GET", path, &[(header::AUTHORIZATION, value)], "").await;
    for path in ["/offers/1", "/offers/live/now", "/metrics", "/openapi.json"] {
        let refused = get(&routes, path).await;
        assert_eq!(
            (refused.problem(401).contains("Bearer"), refused.header(header::WWW_AUTHENTICATE)),
            (true, "Bearer")
        );
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Basic x",
            &TOKEN[1..],
            &format!("Bearer {TOKEN}x"),
            "Bearer canary-0123456789abcdeF",
        ] {
            assert_eq!(with(path, wrong).await.status, 401, "{path} {wrong}");
        }
        assert_ne!(with(path, &format!("bearer {TOKEN}")).await.status, 401, "{path}");
    }
    for path in ["/healthz", "/offers/what-if", "/offers/live", "/offers/pages/style.css"] {
        let open = get(&routes, path).await;
        assert_eq!((open.status.as_u16(), open.text().contains(TOKEN)), (200, false), "{path}");
    }
    assert_eq!(send(&routes, "POST", "/offers/what-if", &[], "{}").await.status, 401);
    // With a token any name may lead here; without one only those of this machine.
    assert_eq!(send(&routes, "GET", "/healthz", &[(header::HOST, "offers.example")], "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_only_names_of_this_machine_are_answered() {
    let routes = empty().routes().await;
    for (host, status) in [
        ("localhost", 200),
        ("127.0.0.1:8088", 200),
        ("[::1]:8088", 200),
        ("evil.example", 421),
        ("127.evil.example", 421),
    ] {
        assert_eq!(send(&routes, "GET", "/healthz", &[(header::HOST, host)], "").await.status, status, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_and_slow_ones_are_refused() {
    let store = empty();
    let none = router(&Settings { requests: 0, ..settings() }, store.systems().await);
    let refused = get(&none, "/healthz").await;
    assert!(refused.problem(503).contains("too many"));
    assert_eq!(refused.header(header::RETRY_AFTER), "1");
    let slow = router(&Settings { timeout: Duration::from_millis(30), ..settings() }, store.systems().await);
    let never = Body::from_stream(futures::stream::pending::<Result<String, Infallible>>());
    let json = [(header::CONTENT_TYPE, "application/json")];
    assert!(send_body(&slow, "POST", "/offers/what-if", &json, never).await.problem(504).contains("too long"));
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_the_description_cover_the_routes() {
    let store = empty();
    let report = store.score(200, 1, 0.3).await;
    let routes = store.routes().await;
    get(&routes, "/offers/1").await;
    get(&routes, "/offers/0").await;
    get(&routes, "/no/such/thing").await;
    send(&routes, "BREW", "/offers/1", &[], "").await;
    let metrics = get(&routes, "/metrics").await;
    assert!(metrics.header(header::CONTENT_TYPE).starts_with("text/plain; version=0.0.4"));
    for line in [
        "headrace_http_requests_total{route=\"/offers/{user_id}\",method=\"GET\",status=\"400\"} 1",
        "headrace_http_requests_total{route=\"other\",method=\"GET\",status=\"404\"} 1",
        "headrace_http_requests_total{route=\"/offers/{user_id}\",method=\"other\",status=\"405\"} 1",
        "headrace_ledger_up 1",
        &format!("headrace_registrations_total{{fate=\"accepted\"}} {}", report.counts.written),
        &format!("headrace_registrations_total{{fate=\"dead_letter\"}} {}", report.counts.dead_lettered),
    ] {
        assert!(metrics.text().lines().any(|found| found == line), "{line} is not in\n{}", metrics.text());
    }
    assert!(metrics.text().contains("headrace_dead_letters_total{reason=\""));

    let description = get(&routes, "/openapi.json").await.json();
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths: Vec<&String> = description["paths"].as_object().unwrap().keys().collect();
    assert_eq!(
        paths,
        ["/healthz", "/metrics", "/offers/live/now", "/offers/what-if", "/offers/{user_id}", "/openapi.json"]
    );
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let path = path.replace("{user_id}", "1");
            let answer = send(&routes, &method.to_uppercase(), &path, &[], "{}").await.status.as_u16().to_string();
            assert!(
                operation["responses"].get(&answer).is_some(),
                "{method} {path} answers {answer}, which is not described"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_ask_nobody_else() {
    let routes = empty().routes().await;
    for (path, kind) in [
        ("/offers/what-if", "text/html"),
        ("/offers/live", "text/html"),
        ("/offers/pages/style.css", "text/css"),
        ("/offers/pages/common.js", "text/javascript"),
        ("/offers/pages/what-if.js", "text/javascript"),
        ("/offers/pages/live.js", "text/javascript"),
    ] {
        let page = get(&routes, path).await;
        assert!(page.status == 200 && page.header(header::CONTENT_TYPE).starts_with(kind), "{path}");
        assert!(page.header(header::CONTENT_SECURITY_POLICY).starts_with("default-src 'none'"));
        let outside = page.text().replace("http://www.w3.org/2000/svg", "");
        assert!(!outside.contains("http://") && !outside.contains("https://"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_for_all_needs_a_token_and_a_taken_one_is_told() {
    let open = Settings { listen: "0.0.0.0:0".parse().unwrap(), ..settings() };
    assert!(Server::bind(open).await.err().unwrap().to_string().contains("token"));
    let first = Server::bind(settings()).await.unwrap();
    let taken = Settings::at(first.address().unwrap());
    assert!(Server::bind(taken).await.err().unwrap().to_string().contains("cannot listen"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_an_open_request_end_and_takes_no_new_one() {
    let store = empty();
    let server = Server::bind(settings()).await.unwrap();
    let address = server.address().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(server.run(store.systems().await, async move { drop(stopped.await) }));

    let head = "POST /offers/what-if HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n";
    let mut open = TcpStream::connect(address).await.unwrap();
    open.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    stop.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(TcpStream::connect(address).await.is_err(), "the address is free after a stop");
    open.write_all(b"{}").await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(Duration::from_secs(4), open.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 422"), "{answer}");
    tokio::time::timeout(Duration::from_secs(4), running).await.unwrap().unwrap().unwrap();
}
