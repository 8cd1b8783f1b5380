//! What is wrong is told: topics, hosts, logins, certificates, sizes.

use std::time::{Duration, Instant};

use headrace_connectors::kafka::Kafka;
use headrace_core::batch::message_columns;
use headrace_core::log::Log;
use headrace_core::position::Reached;
use headrace_core::{Error, ErrorKind};

use super::{connect, noise, numbered, options, server, unique};
use crate::conformance::{self, drain};

async fn refusal(log: &Kafka, topic: &str) -> Error {
    log.consume(topic, &options("g", false)).await.err().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told() {
    let Some(url) = server("HEADRACE_TEST_KAFKA") else { return };
    let error = refusal(&connect(&url), "no-such-topic").await;
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("there is no topic `no-such-topic`"), "{error}");
    assert!(connect(&url).extents("no-such-topic").await.unwrap().is_none(), "asking created the topic");

    let begun = Instant::now();
    let error = refusal(&connect("kafka://127.0.0.1:9"), "t").await;
    assert_eq!(error.kind(), ErrorKind::External, "{error}");
    assert!(error.to_string().contains("no broker answers") && error.to_string().contains("127.0.0.1:9"), "{error}");
    let error = refusal(&connect("kafka://no-such-host.invalid"), "t").await;
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(
        error.to_string().contains("no such host") && error.to_string().contains("no-such-host.invalid"),
        "{error}"
    );
    assert!(begun.elapsed() < Duration::from_secs(60), "took {:?}", begun.elapsed());

    let log = connect(&format!("{url}?replication=9"));
    let error = log.create_topic(&format!("{}-replicas", unique()), 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(error.to_string().contains("replication"), "{error}");

    let (log, topic) = (connect(&url), format!("{}-huge", unique()));
    log.create_topic(&topic, 1).await.unwrap();
    let huge = noise(3_000_000);
    let error = log.produce(&topic, &conformance::log::messages(&[(None, Some(&huge))])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    assert!(error.to_string().contains(&topic), "{error}");
    // The handle is still good.
    log.produce(&topic, &numbered(0..10, 1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn secure_connections_work_and_refusals_are_told_without_secrets() {
    let Some(secure) = server("HEADRACE_TEST_KAFKA_SECURE") else { return };
    let Some(certificates) = server("HEADRACE_TEST_CERTIFICATES") else { return };
    let trusted = format!("{secure}?tls_ca={certificates}/ca.crt");
    let (log, topic) = (connect(&trusted), format!("{}-secure", unique()));
    assert!(!log.name().contains("secret"));
    log.create_topic(&topic, 1).await.unwrap();
    log.produce(&topic, &numbered(0..100, 10)).await.unwrap();
    let mut source = log.consume(&topic, &options(&topic, false)).await.unwrap();
    assert_eq!(drain(&mut *source, &Reached::new(), usize::MAX).await.ints(message_columns::OFFSET).len(), 100);

    let place = secure.rsplit_once('@').unwrap().1.to_owned();
    for (url, part) in [
        (format!("kafka://lab:canary@{place}?tls_ca={certificates}/ca.crt"), "check user, password and sasl"),
        (format!("{trusted}&sasl=SCRAM-SHA-512"), "login"),
        (format!("{secure}?tls_ca={certificates}/other-ca.crt"), "tls_ca=FILE"),
        (format!("{secure}?tls=true"), "tls_ca=FILE"),
    ] {
        let begun = Instant::now();
        let error = refusal(&connect(&url), &topic).await;
        println!("{error}");
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        assert!(error.to_string().contains(part), "{error}");
        assert!(!error.to_string().contains("canary") && !error.to_string().contains("lab-secret"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(15), "took {:?}", begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_without_tls_and_certificates_without_logins_work() {
    let Some(sasl) = server("HEADRACE_TEST_KAFKA_SASL") else { return };
    let Some(tls) = server("HEADRACE_TEST_KAFKA_TLS") else { return };
    let Some(certificates) = server("HEADRACE_TEST_CERTIFICATES") else { return };
    let own = format!(
        "{tls}?tls_ca={certificates}/ca.crt&tls_certificate={certificates}/client.crt&tls_key={certificates}/client.key"
    );
    for url in [sasl, format!("{tls}?tls_ca={certificates}/ca.crt"), own] {
        let (log, topic) = (connect(&url), format!("{}-login", unique()));
        log.create_topic(&topic, 1).await.unwrap();
        log.produce(&topic, &numbered(0..10, 2)).await.unwrap();
        assert_eq!(log.extents(&topic).await.unwrap().unwrap()[0].end, 10);
    }
}
