//! What every ledger must do: positions, state and counters change at the commit, together, under the newest claim.

use headrace_core::store::{Store, Unit, is_committed};
use headrace_core::table::{Kind, Table};
use headrace_core::{Counts, ErrorKind, Partition, Position, clock};

use super::{frame, ident, ints, reached, read_all};

fn counts(read: u64) -> Counts {
    let mut counts = Counts { read, written: read, bytes: read * 10, ..Counts::default() };
    counts.class("class:a", read);
    counts
}

async fn table(store: &dyn Store, unique: &str, name: &str) -> Table {
    let table = Table::new(ident(unique, name)).key("id", Kind::Int).unwrap().value("n", Kind::Int).unwrap();
    store.create(&[&table]).await.unwrap();
    table
}

async fn claim(store: &dyn Store, scope: &str, partition: &str) -> Vec<headrace_core::Claim> {
    store.claim(scope, &[Partition::new(partition)]).await.unwrap()
}

async fn state(unit: &mut dyn Unit, key: i64) -> Vec<(i64, Vec<u8>)> {
    let segments = unit.read_state("space", &[(key, 0)]).await.unwrap();
    segments.into_iter().map(|segment| (segment.sequence, segment.blob)).collect()
}

/// A unit that is dropped leaves no position, state or counter, and in transactional stores no row.
pub async fn unit_dropped_changes_nothing_visible(store: &dyn Store, unique: &str) {
    let table = table(store, unique, "dropped").await;
    let scope = format!("{unique} dropped");
    let claims = claim(store, &scope, "p").await;
    let mut unit = store.begin(&scope, &claims).await.unwrap();
    unit.upsert(&table, &frame(vec![ints("id", [1]), ints("n", [1])])).await.unwrap();
    unit.write_state("space", vec![(1, b"lost".to_vec())], Vec::new()).await.unwrap();
    drop(unit);
    assert!(store.positions(&scope).await.unwrap().is_empty());
    assert_eq!(store.counters(&scope).await.unwrap(), Counts::default());
    if store.is_transactional() {
        assert_eq!(read_all(store, &table).await.height(), 0);
    }
    let mut unit = store.begin(&scope, &claims).await.unwrap();
    assert_eq!(unit.sequence(), 0);
    assert!(state(&mut *unit, 1).await.is_empty());
    unit.upsert(&table, &frame(vec![ints("id", [1]), ints("n", [2])])).await.unwrap();
    unit.write_state("space", vec![(1, b"kept".to_vec())], Vec::new()).await.unwrap();
    unit.commit(&reached("p", 7), &counts(1)).await.unwrap();
    assert_eq!(store.positions(&scope).await.unwrap(), reached("p", 7));
    let mut unit = store.begin(&scope, &claims).await.unwrap();
    assert_eq!(state(&mut *unit, 1).await, [(1, b"kept".to_vec())]);
    assert_eq!(read_all(store, &table).await.column("n").unwrap().i64().unwrap().get(0), Some(2));
}

/// A commit shows rows, positions with their detail, state and counters at once, and a new claim goes on from there.
pub async fn positions_and_state_commit_together(store: &dyn Store, unique: &str) {
    let table = table(store, unique, "together").await;
    let scope = format!("{unique} together kafka://h:9092/t");
    let claims = claim(store, &scope, "t-0").await;
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].position, None);
    let mut unit = store.begin(&scope, &claims).await.unwrap();
    assert!(unit.positions().is_empty());
    assert!(!is_committed(&*unit, &reached("t-0", 10)));
    unit.upsert(&table, &frame(vec![ints("id", [5]), ints("n", [50])])).await.unwrap();
    unit.write_state("space", vec![(3, b"three".to_vec()), (-4, Vec::new())], Vec::new()).await.unwrap();
    let position = Position::with_detail(10, "detail {\"x\": 'y'} ä");
    unit.commit(&[(Partition::new("t-0"), position.clone())].into(), &counts(2)).await.unwrap();
    assert_eq!(read_all(store, &table).await.height(), 1);
    let again = claim(store, &scope, "t-0").await;
    assert_eq!(again[0].position, Some(position.clone()));
    assert!(again[0].epoch > claims[0].epoch);
    let mut unit = store.begin(&scope, &again).await.unwrap();
    assert_eq!(unit.sequence(), 1);
    assert!(is_committed(&*unit, &[(Partition::new("t-0"), position.clone())].into()));
    assert!(!is_committed(&*unit, &reached("t-0", 10)) && !is_committed(&*unit, &reached("t-0", 11)));
    assert_eq!(state(&mut *unit, 3).await, [(1, b"three".to_vec())]);
    assert_eq!(state(&mut *unit, -4).await, [(1, Vec::new())]);
    unit.commit(&reached("t-0", i64::MAX), &counts(0)).await.unwrap();
    assert_eq!(store.positions(&scope).await.unwrap(), reached("t-0", i64::MAX));
}

/// A worker whose partition was claimed by another is refused, before or at its commit, and changes nothing.
pub async fn stale_claim_is_fenced(store: &dyn Store, unique: &str) {
    let scope = format!("{unique} fenced");
    let old = claim(store, &scope, "p").await;
    let new = claim(store, &scope, "p").await;
    let refused = match store.begin(&scope, &old).await {
        Err(error) => error,
        Ok(mut unit) => {
            unit.write_state("space", vec![(1, b"zombie".to_vec())], Vec::new()).await.unwrap();
            unit.commit(&reached("p", 99), &counts(9)).await.unwrap_err()
        }
    };
    assert_eq!(refused.kind(), ErrorKind::Fenced, "{refused}");
    assert!(store.positions(&scope).await.unwrap().is_empty());
    let mut unit = store.begin(&scope, &new).await.unwrap();
    assert!(state(&mut *unit, 1).await.is_empty());
    unit.commit(&reached("p", 5), &counts(1)).await.unwrap();
    assert_eq!(store.positions(&scope).await.unwrap(), reached("p", 5));
    assert_eq!(store.counters(&scope).await.unwrap(), counts(1));
}

/// A claim made while another worker's unit is open either waits for it or fences it; nothing is lost or doubled.
pub async fn claim_while_a_unit_is_open(store: &dyn Store, unique: &str) {
    let scope = format!("{unique} open");
    let old = claim(store, &scope, "p").await;
    let mut unit = store.begin(&scope, &old).await.unwrap();
    unit.write_state("space", vec![(1, b"open".to_vec())], Vec::new()).await.unwrap();
    let finish = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        unit.commit(&reached("p", 5), &counts(5)).await
    };
    let (committed, new) = tokio::join!(finish, claim(store, &scope, "p"));
    let position = store.positions(&scope).await.unwrap();
    match committed {
        Ok(()) => {
            assert_eq!(position, reached("p", 5));
            assert_eq!(store.counters(&scope).await.unwrap(), counts(5));
            assert!(new[0].position.is_some(), "the new claim does not know of a commit that was not fenced");
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
            assert!(position.is_empty());
            assert_eq!(store.counters(&scope).await.unwrap(), Counts::default());
        }
    }
}

/// Counters are the sum of all commits, and the time of the last one is kept.
pub async fn counters_add_up(store: &dyn Store, unique: &str) {
    let scope = format!("{unique} counted");
    assert_eq!(store.counters(&scope).await.unwrap(), Counts::default());
    assert_eq!(store.committed_at_us(&scope).await.unwrap(), None);
    let begun = clock::now_us();
    let claims = claim(store, &scope, "p").await;
    let mut wanted = Counts::default();
    for at in 1..=5_u32 {
        let mut one = counts(u64::from(at));
        one.class(format!("dead_letter:{at}"), 1);
        wanted.add(&one);
        let unit = store.begin(&scope, &claims).await.unwrap();
        assert_eq!(unit.sequence(), i64::from(at) - 1);
        unit.commit(&reached("p", i64::from(at)), &one).await.unwrap();
    }
    assert_eq!(store.counters(&scope).await.unwrap(), wanted);
    let committed_at = store.committed_at_us(&scope).await.unwrap();
    assert!(committed_at.is_some_and(|at| (begun..=clock::now_us()).contains(&at)), "{committed_at:?}");
}

/// State is read behind a sequence, by key and sequence, from the space asked for, and dropped segments are gone.
pub async fn state_reads_after_sequence_and_drops(store: &dyn Store, unique: &str) {
    let scope = format!("{unique} state");
    let claims = claim(store, &scope, "p").await;
    for at in 1..=4_u8 {
        let mut unit = store.begin(&scope, &claims).await.unwrap();
        unit.write_state("a", vec![(1, vec![at]), (2, vec![at, 2])], Vec::new()).await.unwrap();
        unit.write_state("b", vec![(1, vec![at, 99])], Vec::new()).await.unwrap();
        unit.commit(&reached("p", i64::from(at)), &counts(1)).await.unwrap();
    }
    let mut unit = store.begin(&scope, &claims).await.unwrap();
    let read = |segments: Vec<headrace_core::store::Segment>| -> Vec<(i64, i64, Vec<u8>)> {
        segments.into_iter().map(|segment| (segment.key, segment.sequence, segment.blob)).collect()
    };
    let got = read(unit.read_state("a", &[(2, 3), (1, 2), (7, 0)]).await.unwrap());
    assert_eq!(got, [(1, 3, vec![3]), (1, 4, vec![4]), (2, 4, vec![4, 2])]);
    assert_eq!(read(unit.read_state("b", &[(1, 3)]).await.unwrap()), [(1, 4, vec![4, 99])]);
    assert!(unit.read_state("c", &[(1, 0)]).await.unwrap().is_empty());
    assert!(unit.read_state("a", &[]).await.unwrap().is_empty());
    // Compaction: one segment takes the place of older ones.
    unit.write_state("a", vec![(1, b"all".to_vec())], (1..=4).map(|sequence| (1, sequence)).collect()).await.unwrap();
    unit.commit(&reached("p", 5), &counts(1)).await.unwrap();
    let mut unit = store.begin(&scope, &claims).await.unwrap();
    let got = read(unit.read_state("a", &[(1, 0), (2, 3)]).await.unwrap());
    assert_eq!(got, [(1, 5, b"all".to_vec()), (2, 4, vec![4, 2])]);
    // Many keys at once.
    let put = (0..1_500_i64).map(|key| (key, key.to_le_bytes().to_vec())).collect();
    unit.write_state("many", put, Vec::new()).await.unwrap();
    unit.commit(&reached("p", 6), &counts(1)).await.unwrap();
    let mut unit = store.begin(&scope, &claims).await.unwrap();
    let wanted: Vec<(i64, i64)> = (0..2_000).map(|key| (key, 0)).collect();
    let got = read(unit.read_state("many", &wanted).await.unwrap());
    assert_eq!(got.len(), 1_500);
    assert!(
        got.iter().enumerate().all(|(at, row)| row.0 == i64::try_from(at).unwrap() && row.2 == row.0.to_le_bytes())
    );
}

/// A blob of three megabytes is state like others.
pub async fn large_state(store: &dyn Store, unique: &str) {
    let scope = format!("{unique} large state");
    let claims = claim(store, &scope, "p").await;
    let blob: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    let mut unit = store.begin(&scope, &claims).await.unwrap();
    unit.write_state("space", vec![(1, blob.clone())], Vec::new()).await.unwrap();
    unit.commit(&reached("p", 1), &counts(1)).await.unwrap();
    let mut unit = store.begin(&scope, &claims).await.unwrap();
    assert!(state(&mut *unit, 1).await == [(1, blob)], "a large blob changed");
}

/// Units of one scope under different partitions follow each other: no state is lost, and the sequence counts every commit.
pub async fn units_of_one_scope_follow_each_other(store: &dyn Store, unique: &str) {
    if !store.is_transactional() {
        return;
    }
    let scope = format!("{unique} follow");
    let scope = scope.as_str();
    let worker = |name: String| async move {
        let claims = claim(store, scope, &name).await;
        for at in 1..=20 {
            let mut unit = store.begin(scope, &claims).await.unwrap();
            let old = state(&mut *unit, 1).await;
            let (drop, sum) = match old.as_slice() {
                [] => (Vec::new(), 0),
                [(sequence, blob)] => (vec![(1, *sequence)], blob[0]),
                more => panic!("{} segments", more.len()),
            };
            tokio::task::yield_now().await;
            unit.write_state("space", vec![(1, vec![sum + 1])], drop).await.unwrap();
            unit.commit(&reached(&name, at), &counts(1)).await.unwrap();
        }
    };
    futures::future::join_all((0..4).map(|number| worker(format!("p{number}")))).await;
    let claims = claim(store, scope, "p0").await;
    let mut unit = store.begin(scope, &claims).await.unwrap();
    assert_eq!(unit.sequence(), 80);
    assert_eq!(state(&mut *unit, 1).await, [(80, vec![80])]);
    drop(unit);
    assert_eq!(store.counters(scope).await.unwrap().read, 80);
}

/// Claims, positions and state of one scope or partition do not touch those of another.
pub async fn scopes_and_partitions_are_apart(store: &dyn Store, unique: &str) {
    let (one, two) = (format!("{unique} apart 1"), format!("{unique} apart 2"));
    let both = store.claim(&one, &[Partition::new("x"), Partition::new("y")]).await.unwrap();
    assert_eq!(both.iter().map(|claim| claim.partition.0.as_str()).collect::<Vec<_>>(), ["x", "y"]);
    let other = claim(store, &two, "x").await;
    let newer_y = claim(store, &one, "y").await;
    let mut unit = store.begin(&one, &both[..1]).await.unwrap();
    unit.write_state("space", vec![(1, b"one".to_vec())], Vec::new()).await.unwrap();
    unit.commit(&reached("x", 1), &counts(1)).await.unwrap();
    let unit = store.begin(&one, &newer_y).await.unwrap();
    assert_eq!(unit.sequence(), 1);
    unit.commit(&reached("y", 2), &counts(1)).await.unwrap();
    let mut unit = store.begin(&two, &other).await.unwrap();
    assert_eq!(unit.sequence(), 0);
    assert!(state(&mut *unit, 1).await.is_empty());
    unit.commit(&reached("x", 3), &counts(1)).await.unwrap();
    let positions = store.positions(&one).await.unwrap();
    assert_eq!(positions, [reached("x", 1), reached("y", 2)].into_iter().flatten().collect());
    assert_eq!(store.positions(&two).await.unwrap(), reached("x", 3));
}

/// Forgetting a scope forgets its positions, counters and state, fences its claims, and leaves other scopes.
pub async fn forget_forgets_one_scope(store: &dyn Store, unique: &str) {
    let (gone, kept) = (format!("{unique} gone"), format!("{unique} kept"));
    let mut held = Vec::new();
    for scope in [&gone, &kept] {
        let claims = claim(store, scope, "p").await;
        let mut unit = store.begin(scope, &claims).await.unwrap();
        unit.write_state("space", vec![(1, b"blob".to_vec())], Vec::new()).await.unwrap();
        unit.commit(&reached("p", 4), &counts(4)).await.unwrap();
        held.push(claims);
    }
    store.forget(&gone).await.unwrap();
    assert!(store.positions(&gone).await.unwrap().is_empty());
    assert_eq!(store.counters(&gone).await.unwrap(), Counts::default());
    assert_eq!(store.positions(&kept).await.unwrap(), reached("p", 4));
    assert_eq!(store.counters(&kept).await.unwrap(), counts(4));
    let refused = match store.begin(&gone, &held[0]).await {
        Err(error) => error,
        Ok(unit) => unit.commit(&reached("p", 9), &counts(1)).await.unwrap_err(),
    };
    assert_eq!(refused.kind(), ErrorKind::Fenced, "{refused}");
    let claims = claim(store, &gone, "p").await;
    assert_eq!(claims[0].position, None);
    let mut unit = store.begin(&gone, &claims).await.unwrap();
    assert!(state(&mut *unit, 1).await.is_empty());
}

/// Counts that were committed before can be taken off, with or without others that are added.
pub async fn counts_are_taken_off(store: &dyn Store, unique: &str) {
    let scope = format!("{unique} taken off");
    let claims = claim(store, &scope, "p").await;
    let unit = store.begin(&scope, &claims).await.unwrap();
    unit.commit(&reached("p", 1), &counts(5)).await.unwrap();
    let mut unit = store.begin(&scope, &claims).await.unwrap();
    unit.take_off(counts(2));
    unit.take_off(counts(1));
    drop(unit);
    let mut unit = store.begin(&scope, &claims).await.unwrap();
    unit.take_off(counts(1));
    unit.take_off(counts(3));
    unit.commit(&reached("p", 2), &counts(2)).await.unwrap();
    assert_eq!(store.counters(&scope).await.unwrap(), counts(3));
}

/// Workers of several partitions that begin in turn never undo each other's work: each reads what the one before wrote.
pub async fn units_in_turn_build_on_each_other(store: &dyn Store, unique: &str) {
    let scope = &format!("{unique} in turn");
    let worker = async |name: &str| {
        let claims = claim(store, scope, name).await;
        for at in 1..=6 {
            let reached = reached(name, at);
            let mut unit = store.begin_in_turn(scope, &claims, &reached).await.unwrap();
            let known = state(&mut *unit, 1).await;
            assert_eq!(known.len() as i64, unit.sequence(), "one segment for every commit");
            unit.write_state("space", vec![(1, name.as_bytes().to_vec())], Vec::new()).await.unwrap();
            unit.commit(&reached, &counts(1)).await.unwrap();
        }
    };
    tokio::join!(worker("a"), worker("b"), worker("c"));
    assert_eq!(store.counters(scope).await.unwrap(), counts(18));
}
