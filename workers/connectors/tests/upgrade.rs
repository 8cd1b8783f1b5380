//! Ledgers that the first release wrote on servers: a later release reads them and goes on with them, and a newer one's are
//! refused. The statements here are the first release's and stay as they are. (The embedded store's upgrade is tested with
//! whole steps, in the pipelines.)

use headrace_connectors::cassandra::Cassandra;
use headrace_connectors::mysql::MySql;
use headrace_core::position::Reached;
use headrace_core::store::Store;
use headrace_core::{Counts, Error, ErrorKind, Partition, Position, StoreUrl, clock};
use mysql_async::prelude::Queryable;
use scylla::client::session_builder::SessionBuilder;

const SCOPE: &str = "recruitment clean result";
const COUNTERS: &str =
    r#"{"read":18,"written":14,"duplicate":1,"dead_lettered":2,"ignored":1,"bytes":900,"classes":{"counted":14}}"#;

/// What the ledger of [`SCOPE`] tells, whichever server it is on.
async fn assert_known(store: &dyn Store) {
    let partitions = ["kafka://h:9092 users_created-0", "kafka://h:9092 users_created-1"].map(Partition::new);
    let [first, second] = partitions.clone();
    let wanted =
        Reached::from([(first, Position::at(7)), (second.clone(), Position::with_detail(11, "{\"record\":12}"))]);
    assert_eq!(store.positions(SCOPE).await.unwrap(), wanted);
    let counts = store.counters(SCOPE).await.unwrap();
    assert_eq!((counts.read, counts.written, counts.classes["counted"]), (18, 14, 14));
    let claims = store.claim(SCOPE, &partitions).await.unwrap();
    assert!(claims.iter().all(|claim| claim.epoch > 3), "an old claim would be as new as these: {claims:?}");
    let mut unit = store.begin(SCOPE, &claims).await.unwrap();
    assert_eq!((unit.sequence(), unit.positions()), (5, &wanted));
    let state = unit.read_state("ids", &[(474_791, -1)]).await.unwrap();
    let blobs: Vec<(i64, &[u8])> = state.iter().map(|segment| (segment.sequence, segment.blob.as_slice())).collect();
    assert_eq!(blobs, [(4, &b"HS\x01\x00"[..]), (5, b"HS\x01\x00x")]);
    unit.write_state("ids", vec![(474_791, b"new".to_vec())], vec![(474_791, 4)]).await.unwrap();
    let counts = Counts { read: 2, written: 2, ..Counts::default() };
    unit.commit(&Reached::from([(second, Position::at(13))]), &counts).await.unwrap();
    assert_eq!(store.counters(SCOPE).await.unwrap().read, 20);
    let mut unit = store.begin(SCOPE, &claims).await.unwrap();
    let state = unit.read_state("ids", &[(474_791, -1)]).await.unwrap();
    assert_eq!(state.iter().map(|segment| segment.sequence).collect::<Vec<_>>(), [5, 6]);
}

fn assert_newer(error: Error, place: &str) {
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{text}");
    let words = [place, "written by a newer headrace", "format 1000", "another place"];
    assert!(words.iter().all(|word| text.contains(word)) && !text.contains('\n'), "{text}");
}

/// The URLs that variables name, or a visible skip.
fn servers(variables: &[&str]) -> Vec<StoreUrl> {
    let found: Vec<String> = variables.iter().filter_map(|name| clock::environment(name)).collect();
    if found.is_empty() {
        println!("SKIP: set {}", variables[0]);
    }
    found.iter().flat_map(|urls| urls.split_whitespace()).map(|url| StoreUrl::parse(url).unwrap()).collect()
}

fn mysql_first_release(collation: &str) -> [String; 6] {
    let end = format!("ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE {collation}");
    [
        format!(
            "CREATE TABLE IF NOT EXISTS `headrace_scope` (`scope` VARCHAR(255) NOT NULL, `name` LONGTEXT NOT NULL, `epoch` BIGINT NOT NULL, \
             `sequence` BIGINT NOT NULL, `counters` LONGTEXT NOT NULL, PRIMARY KEY (`scope`)) {end}"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS `headrace_position` (`scope` VARCHAR(255) NOT NULL, `partition_key` VARCHAR(255) NOT NULL, \
             `name` LONGTEXT NOT NULL, `epoch` BIGINT NOT NULL, `position` BIGINT NULL, `detail` LONGTEXT NULL, \
             PRIMARY KEY (`scope`, `partition_key`)) {end}"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS `headrace_state` (`scope` VARCHAR(255) NOT NULL, `space` VARCHAR(64) NOT NULL, \
             `state_key` BIGINT NOT NULL, `sequence` BIGINT NOT NULL, `content` LONGBLOB NOT NULL, \
             PRIMARY KEY (`scope`, `space`, `state_key`, `sequence`)) {end}"
        ),
        format!("INSERT INTO headrace_scope VALUES ('{SCOPE}', '{SCOPE}', 3, 5, '{COUNTERS}')"),
        format!(
            "INSERT INTO headrace_position VALUES \
             ('{SCOPE}', 'kafka://h:9092 users_created-0', 'kafka://h:9092 users_created-0', 2, 7, ''), \
             ('{SCOPE}', 'kafka://h:9092 users_created-1', 'kafka://h:9092 users_created-1', 3, 11, '{{\"record\":12}}')"
        ),
        format!(
            "INSERT INTO headrace_state VALUES ('{SCOPE}', 'ids', 474791, 4, X'48530100'), ('{SCOPE}', 'ids', 474791, 5, X'4853010078')"
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_the_first_release_in_mysql() {
    for mut url in servers(&["HEADRACE_TEST_MYSQL", "HEADRACE_TEST_MYSQL9"]) {
        let database = format!("headrace_upgrade_{}", clock::now_us());
        let options = mysql_async::OptsBuilder::default()
            .ip_or_hostname(url.hosts[0].0.clone())
            .tcp_port(url.hosts[0].1.unwrap_or(3306))
            .user(url.user.as_deref())
            .pass(url.password.as_ref().map(|password| password.reveal()))
            .prefer_socket(false);
        let mut session = mysql_async::Conn::new(options).await.unwrap();
        session.query_drop(format!("CREATE DATABASE {database}")).await.unwrap();
        session.query_drop(format!("USE {database}")).await.unwrap();
        let version: Option<String> = session.query_first("SELECT VERSION()").await.unwrap();
        let is_mariadb = version.unwrap().contains("MariaDB");
        for text in mysql_first_release(if is_mariadb { "utf8mb4_nopad_bin" } else { "utf8mb4_0900_bin" }) {
            session.query_drop(text).await.unwrap();
        }
        url.path = vec![database.clone()];
        let store = MySql::connect(&url).await.unwrap();
        store.create(&[]).await.unwrap();
        assert_known(&store).await;
        session.query_drop("ALTER TABLE headrace_scope COMMENT = 'headrace format 1000'").await.unwrap();
        assert_newer(MySql::connect(&url).await.err().unwrap(), &database);
        // Tables made now say their format themselves.
        session.query_drop("DROP TABLE headrace_scope, headrace_position, headrace_state").await.unwrap();
        store.create(&[]).await.unwrap();
        let comment = "SELECT table_comment FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'headrace_scope'";
        let comment: Option<String> = session.query_first(comment).await.unwrap();
        assert_eq!(comment.as_deref(), Some("headrace format 1"));
        session.query_drop(format!("DROP DATABASE {database}")).await.unwrap();
        session.disconnect().await.unwrap();
    }
}

fn cassandra_first_release(keyspace: &str) -> Vec<String> {
    let partition = |number: u8, epoch: u8, position: u8, detail: &str| {
        format!(
            "INSERT INTO {keyspace}.headrace_ledger (scope, partition, epoch, position, detail) VALUES \
             ('{SCOPE}', 'kafka://h:9092 users_created-{number}', {epoch}, {position}, '{detail}')"
        )
    };
    let segment = |sequence: u8, blob: &str| {
        format!(
            "INSERT INTO {keyspace}.headrace_state (scope, generation, space, key, sequence, unit, chunk, chunks, committed, blob) \
             VALUES ('{SCOPE}', 0, 'ids', 474791, {sequence}, 'unit-{sequence}', 0, 1, true, {blob})"
        )
    };
    vec![
        format!("CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"),
        format!(
            "CREATE TABLE {keyspace}.headrace_ledger (scope text, last_epoch bigint static, generation bigint static, \
             sequence bigint static, counters text static, unit text static, unit_sequence bigint static, unit_keys text static, \
             partition text, epoch bigint, position bigint, detail text, PRIMARY KEY ((scope), partition))"
        ),
        format!(
            "CREATE TABLE {keyspace}.headrace_state (scope text, generation bigint, space text, key bigint, sequence bigint, unit text, \
             chunk int, chunks int, committed boolean, blob blob, \
             PRIMARY KEY ((scope, generation, space, key), sequence, unit, chunk)) WITH gc_grace_seconds = 3600"
        ),
        format!(
            "INSERT INTO {keyspace}.headrace_ledger (scope, last_epoch, sequence, counters, unit, unit_sequence, unit_keys) VALUES \
             ('{SCOPE}', 3, 5, '{COUNTERS}', 'unit-5', 5, '{{\"ids\":[474791]}}')"
        ),
        partition(0, 2, 7, ""),
        partition(1, 3, 11, "{\"record\":12}"),
        segment(4, "0x48530100"),
        segment(5, "0x4853010078"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_the_first_release_in_cassandra() {
    for mut url in servers(&["HEADRACE_TEST_CASSANDRA"]) {
        let keyspace = format!("headrace_upgrade_{:x}", clock::now_us());
        let session = SessionBuilder::new().known_node(url.host_list(9042)).build().await.unwrap();
        for text in cassandra_first_release(&keyspace) {
            session.query_unpaged(text, ()).await.unwrap();
        }
        url.path = vec![keyspace.clone()];
        let store = Cassandra::connect(&url).await.unwrap();
        store.create(&[]).await.unwrap();
        assert_known(&store).await;
        // It was brought up to what this release writes, and says so.
        let select =
            "SELECT comment FROM system_schema.tables WHERE keyspace_name = ? AND table_name = 'headrace_ledger'";
        let rows = session.query_unpaged(select, (keyspace.as_str(),)).await.unwrap().into_rows_result().unwrap();
        assert_eq!(rows.single_row::<(String,)>().unwrap().0, "headrace format 2");
        let comment = format!("ALTER TABLE {keyspace}.headrace_ledger WITH comment = 'headrace format 1000'");
        session.query_unpaged(comment, ()).await.unwrap();
        assert_newer(Cassandra::connect(&url).await.err().unwrap(), &keyspace);
        session.query_unpaged(format!("DROP KEYSPACE {keyspace}"), ()).await.unwrap();
    }
}
