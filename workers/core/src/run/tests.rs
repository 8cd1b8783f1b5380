//! The loop against a source and a sink in memory that can fail, stall and be fenced.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use polars::prelude::{DataFrame, NamedFrom, Series};
use proptest::prelude::*;

use super::{Finished, Pipeline, run};
use crate::position::{Claim, Partition, Position, Reached};
use crate::report::Outcome;
use crate::retry::Backoff;
use crate::sink::Sink;
use crate::source::{Event, Source};
use crate::{Batch, Control, Counts, Error, Result};

/// Counts from 0 to `end`, in batches, with faults on the way.
struct Numbers {
    end: i64,
    at: Option<i64>,
    step: i64,
    faults: VecDeque<bool>,
    announced: bool,
    shared: bool,
}

#[async_trait]
impl Source for Numbers {
    async fn next(&mut self) -> Result<Event> {
        if !self.announced {
            self.announced = true;
            return Ok(Event::Assigned(vec![Partition::new("numbers")]));
        }
        if self.faults.pop_front().unwrap_or(false) {
            return Err(Error::external("cannot read", "fault"));
        }
        let from = self.at.unwrap();
        if from >= self.end {
            return Ok(Event::End);
        }
        let to = (from + self.step).min(self.end);
        self.at = Some(to);
        let frame = DataFrame::new(
            usize::try_from(to - from).unwrap(),
            vec![Series::new("n".into(), (from..to).collect::<Vec<_>>()).into()],
        )
        .unwrap();
        let reached = BTreeMap::from([(Partition::new("numbers"), Position::at(to))]);
        Ok(Event::Batch(Batch { frame, reached, bytes: 1 }))
    }

    async fn start(&mut self, claims: &[Claim]) -> Result<()> {
        self.at = Some(claims[0].position.as_ref().map_or(0, |position| position.at));
        Ok(())
    }

    async fn release(&mut self, _: &[Partition]) -> Result<()> {
        Ok(())
    }

    fn is_shared(&self) -> bool {
        self.shared
    }
}

#[derive(Default)]
struct Table {
    rows: Vec<i64>,
    position: Option<i64>,
    faults: VecDeque<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    Before,
    After,
    Fenced,
    Hang,
}

struct Memory(Arc<Mutex<Table>>);

#[async_trait]
impl Sink<Vec<i64>> for Memory {
    async fn claim(&mut self, partitions: &[Partition]) -> Result<Vec<Claim>> {
        let position = self.0.lock().unwrap().position.map(Position::at);
        Ok(vec![Claim { partition: partitions[0].clone(), epoch: 1, position }])
    }

    async fn commit(&mut self, output: &Vec<i64>, reached: &Reached) -> Result<Counts> {
        let to = reached[&Partition::new("numbers")].at;
        let fault = {
            let mut table = self.0.lock().unwrap();
            let fault = table.faults.pop_front().unwrap_or(Fault::None);
            if matches!(fault, Fault::None | Fault::After) && table.position.is_none_or(|at| at < to) {
                table.rows.extend(output);
                table.position = Some(to);
            }
            fault
        };
        match fault {
            Fault::Before | Fault::After => return Err(Error::external("cannot write", "fault")),
            Fault::Fenced => return Err(Error::Fenced("numbers".into())),
            Fault::Hang => std::future::pending::<()>().await,
            Fault::None => {}
        }
        let rows = output.len() as u64;
        Ok(Counts { read: rows, written: rows, ..Counts::default() })
    }
}

fn pipeline(source: Numbers, table: &Arc<Mutex<Table>>) -> Pipeline<Vec<i64>> {
    Pipeline {
        source: Box::new(source),
        transform: Arc::new(|batch: Batch| Ok(batch.frame.column("n")?.i64()?.into_no_null_iter().collect())),
        sink: Box::new(Memory(table.clone())),
        parallel: 3,
        backoff: Backoff { first: Duration::from_millis(1), longest: Duration::from_millis(2), retries: 50 },
    }
}

fn numbers(end: i64, step: i64) -> Numbers {
    Numbers { end, at: None, step, faults: VecDeque::new(), announced: false, shared: false }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn faults_lose_and_double_nothing(
        step in 1_i64..30,
        reading in prop::collection::vec(any::<bool>(), 0..20),
        writing in prop::collection::vec(prop_oneof![Just(Fault::None), Just(Fault::Before), Just(Fault::After)], 0..20),
    ) {
        let table = Arc::new(Mutex::new(Table { faults: writing.into(), ..Table::default() }));
        let source = Numbers { faults: reading.into(), ..numbers(200, step) };
        let finished: Finished = block_on(run(pipeline(source, &table), &Control::default())).unwrap();
        prop_assert_eq!(finished.outcome, Outcome::Complete);
        prop_assert_eq!(&table.lock().unwrap().rows, &(0..200).collect::<Vec<_>>());
        prop_assert_eq!(finished.positions["numbers"], 200);
    }
}

#[test]
fn a_fenced_shared_source_claims_again_and_loses_nothing() {
    let faults = VecDeque::from([Fault::None, Fault::Fenced, Fault::None]);
    let table = Arc::new(Mutex::new(Table { faults, ..Table::default() }));
    let source = Numbers { shared: true, ..numbers(100, 7) };
    block_on(run(pipeline(source, &table), &Control::default())).unwrap();
    assert_eq!(table.lock().unwrap().rows, (0..100).collect::<Vec<_>>());
}

#[test]
fn a_fenced_lone_source_gives_up() {
    let table = Arc::new(Mutex::new(Table { faults: VecDeque::from([Fault::Fenced]), ..Table::default() }));
    let error = block_on(run(pipeline(numbers(100, 7), &table), &Control::default())).unwrap_err();
    assert!(error.to_string().contains("taken over"), "{error}");
}

#[test]
fn a_stop_ends_within_four_seconds_even_when_a_commit_hangs() {
    let table = Arc::new(Mutex::new(Table { faults: VecDeque::from([Fault::None, Fault::Hang]), ..Table::default() }));
    let control = Control::default();
    let finished = block_on(async {
        let stopper = control.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            stopper.stop();
        });
        tokio::time::timeout(Duration::from_secs(4), run(pipeline(numbers(100, 7), &table), &control)).await
    });
    let finished = finished.unwrap().unwrap();
    assert_eq!(finished.outcome, Outcome::Stopped);
    assert_eq!(table.lock().unwrap().position, Some(7));
    assert_eq!(finished.positions["numbers"], 7);
}

#[test]
fn a_configuration_error_is_not_tried_again() {
    let table = Arc::new(Mutex::new(Table::default()));
    let mut broken = pipeline(numbers(100, 7), &table);
    broken.transform = Arc::new(|_| Err(Error::configuration("no")));
    assert!(block_on(run(broken, &Control::default())).is_err());
    assert!(table.lock().unwrap().rows.is_empty());
}
