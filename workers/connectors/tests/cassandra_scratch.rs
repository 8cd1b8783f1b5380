#![allow(warnings)]
mod conformance;
use conformance::*;
use headrace_connectors::cassandra::Cassandra;
use headrace_core::store::*;
use headrace_core::table::*;
use headrace_core::*;
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scratch() {
    let store = Cassandra::connect(&StoreUrl::parse("cassandra://127.0.0.1:19042/headrace_test").unwrap()).await.unwrap();
    let scope = format!("x{:x}", clock::now_us() & 0xffff_ffff_ffff);
    let r = tokio::spawn({ let s = store.clone(); let u = scope.clone(); async move { conformance::store::everything(&s, &u).await }}).await; println!("everything {:?}", r.is_ok());
    let scope = format!("{scope} large");
    for i in 0..3 {
    let store = if i == 2 { Cassandra::connect(&StoreUrl::parse("cassandra://127.0.0.1:19042/headrace_test").unwrap()).await.unwrap() } else { store.clone() };
    let claims = store.claim(&scope, &[Partition::new("p")]).await.unwrap();
    println!("{claims:?} {:?} {:?}", store.positions(&scope).await, store.counters(&scope).await);
    let mut unit = store.begin(&scope, &claims).await.unwrap();
    println!("unit {}", unit.sequence());
    let got = unit.read_state("space", &[(1, 0)]).await.unwrap();
    for s in &got { println!("key {} seq {} len {}", s.key, s.sequence, s.blob.len()); }
    }
}
