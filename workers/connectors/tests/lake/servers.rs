//! What HDFS and S3 say when a name, a key or a certificate is wrong, or a server is not there.

use headrace_connectors::lake::Lake;
use headrace_core::{ErrorKind, StoreUrl, clock};

use super::support::{number_rows, numbers, path, server};

#[tokio::test(flavor = "multi_thread")]
async fn hdfs_tells_what_is_wrong_and_asks_the_next_namenode() {
    let Some(url) = server("HEADRACE_TEST_HDFS") else { return };
    let mut stranger = url.clone();
    stranger.user = Some("stranger".to_owned());
    let error = Lake::open(&stranger).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(error.to_string().contains("stranger"), "{error}");
    let mut wrong = url.clone();
    wrong.hosts = vec![("no-such-host.invalid".to_owned(), None)];
    let error = Lake::open(&wrong).await.err().unwrap();
    assert!(error.kind() == ErrorKind::Configuration && error.to_string().contains("no-such-host"), "{error}");
    let dead = ("127.0.0.1".to_owned(), Some(1));
    let mut several = url.clone();
    several.hosts.insert(0, dead.clone());
    let lake = Lake::open(&several).await.unwrap();
    lake.write(&path("a.parquet"), &numbers(), &[number_rows(0..3)]).await.unwrap();
    assert!(Lake::open(&url).await.unwrap().exists(&path("a.parquet")).await.unwrap());
    several.hosts = vec![dead];
    let error = Lake::open(&several).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::External, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_tells_what_is_wrong_and_hides_the_secret() {
    let Some(url) = server("HEADRACE_TEST_S3") else { return };
    let with = |change: &dyn Fn(&mut StoreUrl)| {
        let mut url = url.clone();
        change(&mut url);
        url
    };
    for (url, kind, named) in [
        (with(&|url| url.hosts[0].0 = "no-such-bucket".to_owned()), ErrorKind::Configuration, "no-such-bucket"),
        (with(&|url| url.password = Some(headrace_core::Secret::new("canary"))), ErrorKind::Configuration, "key"),
        (with(&|url| url.user = Some("nobody".to_owned())), ErrorKind::Configuration, "key"),
        (
            with(&|url| drop(url.options.insert("endpoint".to_owned(), "http://127.0.0.1:1".to_owned()))),
            ErrorKind::External,
            "127.0.0.1:1",
        ),
    ] {
        let error = Lake::open(&url).await.err().unwrap();
        assert_eq!(error.kind(), kind, "{error}");
        let text = format!("{error} {error:?}");
        assert!(text.contains(named) && !text.contains("canary") && !text.contains("lab-secret"), "{text}");
    }
    let Some(mut secure) = server("HEADRACE_TEST_S3_SECURE") else { return };
    let lake = Lake::open(&secure).await.unwrap();
    lake.write(&path("a.parquet"), &numbers(), &[number_rows(0..3)]).await.unwrap();
    assert_eq!(lake.info(&path("a.parquet")).await.unwrap().unwrap().rows, 3);
    assert!(!lake.name().contains("lab-secret"));
    let folder = clock::environment("HEADRACE_TEST_CERTIFICATES").unwrap();
    secure.options.insert("tls_ca".to_owned(), format!("{folder}/other-ca.crt"));
    let error = Lake::open(&secure).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(error.to_string().contains("tls_ca"), "{error}");
}
