//! The laws of the CSV source: it cuts as the `csv` crate does, whatever the chunks, batches, splits and stops.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use headrace_connectors::csv::{CsvOptions, CsvSource};
use headrace_core::batch::record_columns;
use headrace_core::source::{Event, Source};
use headrace_core::{Batch, Claim, ErrorKind, Position};
use proptest::prelude::*;
use tempfile::TempDir;

/// Number, offset and bytes of a record.
type Row = (i64, i64, Vec<u8>);

struct Sample {
    _directory: TempDir,
    path: PathBuf,
}

fn sample(bytes: &[u8]) -> Sample {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sample.csv");
    fs::write(&path, bytes).unwrap();
    Sample { _directory: directory, path }
}

fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

fn rows_of(batch: &Batch) -> Vec<Row> {
    let values = batch.frame.column(record_columns::VALUE).unwrap().binary().unwrap().clone();
    let numbers = batch.frame.column(record_columns::RECORD).unwrap().i64().unwrap().clone();
    let offsets = batch.frame.column(record_columns::POSITION).unwrap().i64().unwrap().clone();
    (0..batch.height())
        .map(|row| (numbers.get(row).unwrap(), offsets.get(row).unwrap(), values.get(row).unwrap().to_vec()))
        .collect()
}

async fn claim(source: &mut CsvSource, position: Option<Position>) {
    let Event::Assigned(partitions) = source.next().await.unwrap() else { panic!("not assigned first") };
    let claims: Vec<Claim> =
        partitions.into_iter().map(|partition| Claim { partition, epoch: 1, position: position.clone() }).collect();
    source.start(&claims).await.unwrap();
}

async fn read_batches(source: &mut CsvSource) -> Vec<Batch> {
    let mut batches = Vec::new();
    loop {
        match source.next().await.unwrap() {
            Event::Batch(batch) => batches.push(batch),
            Event::Idle => {}
            Event::End => return batches,
            other => panic!("{other:?}"),
        }
    }
}

/// Reads all there is behind a position: rows, positions reached, and why it started over.
fn read(path: &Path, options: &CsvOptions, from: Option<Position>) -> (Vec<Row>, Vec<Position>, Option<String>) {
    block_on(async {
        let mut source = CsvSource::open(path, options.clone()).unwrap();
        claim(&mut source, from).await;
        let batches = read_batches(&mut source).await;
        assert_eq!(source.remaining(), Some(0));
        let positions = batches.iter().map(|batch| batch.reached[source.partition()].clone()).collect();
        let restarted = source.restarted().map(str::to_owned);
        (batches.iter().flat_map(rows_of).collect(), positions, restarted)
    })
}

fn values(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|(_, _, value)| std::str::from_utf8(value).unwrap()).collect()
}

fn parse(bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    reader.byte_records().map(|record| record.unwrap().iter().map(<[u8]>::to_vec).collect()).collect()
}

fn one_row() -> CsvOptions {
    CsvOptions { batch_rows: 1, ..CsvOptions::default() }
}

fn field() -> impl Strategy<Value = String> {
    "[ab,\"\r\n é]{0,12}"
}

/// Files as the csv crate writes them.
fn written_file() -> impl Strategy<Value = Vec<u8>> {
    let record = prop::collection::vec(field(), 1..5);
    (prop::collection::vec(record, 0..30), any::<bool>(), any::<bool>()).prop_map(|(records, crlf, cut)| {
        let terminator = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut writer = csv::WriterBuilder::new().flexible(true).terminator(terminator).from_writer(Vec::new());
        writer.write_record(["name", "two\nlines"]).unwrap();
        for record in records {
            writer.write_record(record).unwrap();
        }
        let mut bytes = writer.into_inner().unwrap();
        if cut {
            bytes.truncate(bytes.len() - if crlf { 2 } else { 1 });
        }
        bytes
    })
}

/// Any text at all, dense in what decides, behind a header.
fn wild_file() -> impl Strategy<Value = Vec<u8>> {
    "(\u{feff})?[\r\n]{0,3}h(,\"\"\"x\n\")?\n[ab,,\"\"\"\r\n\n ]{0,300}".prop_map(String::into_bytes)
}

fn any_file() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![written_file(), wild_file()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cuts_as_the_csv_crate(bytes in any_file(), chunk_bytes in 1_usize..40, batch_rows in 1_usize..9, batch_bytes in 1_usize..99) {
        let file = sample(&bytes);
        let expected = parse(&bytes);
        let whole = read(&file.path, &CsvOptions::default(), None).0;
        let cut: Vec<_> = whole.iter().map(|(_, _, value)| parse(value)).collect();
        prop_assert!(cut.iter().all(|records| records.len() == 1));
        prop_assert_eq!(cut.concat(), &expected[1..]);
        for (index, (number, offset, value)) in whole.iter().enumerate() {
            prop_assert_eq!(*number, index as i64 + 1);
            prop_assert!(bytes[*offset as usize..].starts_with(value));
        }
        let options = CsvOptions { chunk_bytes, batch_rows, batch_bytes, ..CsvOptions::default() };
        prop_assert_eq!(&read(&file.path, &options, None).0, &whole);
        let header = CsvSource::open(&file.path, options).unwrap().header().to_vec();
        prop_assert_eq!(parse(&header), &expected[..1]);
    }

    #[test]
    fn splits_together_are_the_whole(bytes in any_file(), of in 1_usize..=8) {
        let file = sample(&bytes);
        let whole = read(&file.path, &CsvOptions::default(), None).0;
        let mut together = Vec::new();
        for index in 1..=of {
            let options = CsvOptions { split: Some((index, of)), ..one_row() };
            let (rows, positions, _) = read(&file.path, &options, None);
            for (done, position) in positions.into_iter().enumerate() {
                let (rest, _, restarted) = read(&file.path, &options, Some(position));
                prop_assert_eq!(restarted, None);
                prop_assert_eq!(&rest, &rows[done + 1..]);
            }
            together.extend(rows);
        }
        prop_assert_eq!(together, whole);
    }

    #[test]
    fn stopped_and_resumed_is_one_straight_run(bytes in any_file(), batch_rows in 1_usize..4, chunk_bytes in 1_usize..40) {
        let file = sample(&bytes);
        let options = CsvOptions { batch_rows, chunk_bytes, ..CsvOptions::default() };
        let (whole, positions, _) = read(&file.path, &options, None);
        for (index, position) in positions.into_iter().enumerate() {
            let (rest, _, restarted) = read(&file.path, &CsvOptions::default(), Some(position));
            prop_assert_eq!(restarted, None);
            let done = ((index + 1) * batch_rows).min(whole.len());
            prop_assert_eq!(&rest, &whole[done..]);
        }
    }
}

#[test]
fn a_file_that_grew_goes_on_behind_its_old_end() {
    for (old, more) in [("h\na\nb\n", "c\nd"), ("h\r\na\r\nb", "\r\nc\r\nd"), ("h\na\n\"b\"", "\n\nc\nd\n")] {
        let file = sample(old.as_bytes());
        let (first, mut positions, _) = read(&file.path, &CsvOptions::default(), None);
        append(&file.path, more.as_bytes());
        let (rest, _, restarted) = read(&file.path, &CsvOptions::default(), positions.pop());
        assert_eq!(restarted, None, "{old:?}");
        assert_eq!(values(&rest), ["c", "d"], "{old:?}");
        assert_eq!(rest[0].0, first.len() as i64 + 1);
    }
}

#[test]
fn a_file_that_is_another_is_read_from_its_beginning() {
    let old = "h\na\n\"b\"\nc";
    let cases = [
        ("h\na\n", "fewer"),
        ("H\na\n\"b\"\nc", "begins with other bytes"),
        ("h\na\n\"x\"\nc", "begins with other bytes"),
        ("h\na\n\"b\"\ncc\n", "has grown"),
    ];
    for (new, reason) in cases {
        let file = sample(old.as_bytes());
        let position = read(&file.path, &CsvOptions::default(), None).1.pop();
        fs::write(&file.path, new).unwrap();
        let (rows, _, restarted) = read(&file.path, &CsvOptions::default(), position);
        assert!(restarted.as_ref().is_some_and(|text| text.contains(reason)), "{restarted:?} for {new:?}");
        assert_eq!(values(&rows), new.lines().skip(1).collect::<Vec<_>>());
    }
}

#[test]
fn an_open_quote_that_grew_is_read_again() {
    let file = sample(b"h\na\n\"b\n");
    let (rows, mut positions, _) = read(&file.path, &CsvOptions::default(), None);
    assert_eq!(values(&rows), ["a", "\"b\n"]);
    append(&file.path, b"c\"\nd\n");
    let (rows, _, restarted) = read(&file.path, &CsvOptions::default(), positions.pop());
    assert!(restarted.unwrap().contains("has grown"));
    assert_eq!(values(&rows), ["a", "\"b\nc\"", "d"]);
}

#[test]
fn a_change_far_from_the_head_is_seen_near_the_position() {
    let mut bytes = b"h\n".to_vec();
    for number in 0..40_000 {
        bytes.extend(format!("record {number:08}\n").bytes());
    }
    let file = sample(&bytes);
    let options = CsvOptions { batch_rows: 30_000, ..CsvOptions::default() };
    let (rows, positions, _) = read(&file.path, &options, None);
    let (rest, _, restarted) = read(&file.path, &options, Some(positions[0].clone()));
    assert_eq!((restarted, &rest[..]), (None, &rows[30_000..]));
    let place = usize::try_from(positions[0].at).unwrap() - 1_000;
    bytes[place] = b'!';
    fs::write(&file.path, &bytes).unwrap();
    let (again, _, restarted) = read(&file.path, &options, Some(positions[0].clone()));
    assert!(restarted.unwrap().contains("have changed"));
    assert_eq!(again.len(), 40_000);
}

#[test]
fn a_position_of_another_split_or_form_is_not_used() {
    let file = sample(b"h\na\nb\nc\nd\n");
    let half = CsvOptions { split: Some((2, 2)), ..CsvOptions::default() };
    let (rows, mut positions, _) = read(&file.path, &half, None);
    assert_eq!(values(&rows), ["c", "d"]);
    let (rows, _, restarted) = read(&file.path, &CsvOptions::default(), positions.pop());
    assert!(restarted.unwrap().contains("split"));
    assert_eq!(values(&rows), ["a", "b", "c", "d"]);
    let (_, _, restarted) = read(&file.path, &half, Some(Position::at(4)));
    assert!(restarted.unwrap().contains("another form"));
}

#[test]
fn what_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let open = |path: &Path| CsvSource::open(path, CsvOptions::default()).unwrap_err();
    let missing = open(&directory.path().join("missing.csv"));
    assert_eq!(missing.kind(), ErrorKind::Configuration);
    assert!(missing.to_string().contains("missing.csv"), "{missing}");
    assert_eq!(open(directory.path()).kind(), ErrorKind::Configuration);
    for nothing in ["", "\n\r\n", "\u{feff}"] {
        let file = sample(nothing.as_bytes());
        let error = open(&file.path);
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.to_string().contains("sample.csv` is empty"), "{error}");
    }
    let file = sample(b"h\na\n");
    for split in [(0, 2), (3, 2), (1, 0)] {
        let error = CsvSource::open(&file.path, CsvOptions { split: Some(split), ..CsvOptions::default() });
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Configuration);
    }
}

#[test]
fn a_record_without_end_is_a_data_error_with_its_place() {
    let mut bytes = b"h\nfirst\n\"never closed\n".to_vec();
    bytes.resize(100_000, b'x');
    let file = sample(&bytes);
    for chunk_bytes in [16, 1 << 20] {
        let options = CsvOptions { max_record_bytes: 1_000, chunk_bytes, ..one_row() };
        block_on(async {
            let mut source = CsvSource::open(&file.path, options).unwrap();
            claim(&mut source, None).await;
            assert!(matches!(source.next().await.unwrap(), Event::Batch(_)));
            for _ in 0..2 {
                let error = source.next().await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Data);
                assert!(error.to_string().contains("record 2 at byte 8"), "{error}");
            }
        });
    }
}

#[test]
fn a_dropped_call_loses_nothing_and_an_external_error_can_be_tried_again() {
    let text: String = (0..2_000).map(|number| format!("record {number}\n")).collect();
    let file = sample(format!("h\n{text}").as_bytes());
    let away = file.path.with_extension("away");
    block_on(async {
        let mut source = CsvSource::open(&file.path, one_row()).unwrap();
        claim(&mut source, None).await;
        fs::rename(&file.path, &away).unwrap();
        assert_eq!(source.next().await.unwrap_err().kind(), ErrorKind::External);
        fs::rename(&away, &file.path).unwrap();
        let mut rows = Vec::new();
        loop {
            match tokio::time::timeout(Duration::ZERO, source.next()).await {
                Ok(Ok(Event::Batch(batch))) => rows.extend(rows_of(&batch)),
                Ok(Ok(Event::End)) => break,
                Ok(Ok(Event::Idle)) | Err(_) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(values(&rows), text.lines().collect::<Vec<_>>());
    });
}

#[test]
fn starting_again_forgets_what_was_read_ahead() {
    let file = sample(b"h\na\nb\nc\n");
    block_on(async {
        let mut source = CsvSource::open(&file.path, one_row()).unwrap();
        assert_eq!(source.remaining(), Some(6));
        claim(&mut source, None).await;
        let Event::Batch(first) = source.next().await.unwrap() else { panic!("no batch") };
        assert_eq!(source.remaining(), Some(4));
        assert!(matches!(source.next().await.unwrap(), Event::Batch(_)));
        let partition = source.partition().clone();
        let position = Some(first.reached[&partition].clone());
        source.start(&[Claim { partition: partition.clone(), epoch: 2, position }]).await.unwrap();
        let rest: Vec<Row> = read_batches(&mut source).await.iter().flat_map(rows_of).collect();
        assert_eq!(values(&rest), ["b", "c"]);
        source.release(&[partition]).await.unwrap();
        assert!(matches!(source.next().await.unwrap(), Event::End));
    });
}

#[test]
fn the_real_files_have_as_many_records_as_the_contract_says() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/spec/data/recruitment");
    for (name, records) in [("tracking.csv", 6_766), ("job.csv", 1_868)] {
        let path = data.join(name);
        if path.exists() {
            assert_eq!(read(&path, &CsvOptions::default(), None).0.len(), records, "{name}");
        } else {
            // Not `println`, which the test runner would swallow.
            writeln!(std::io::stderr(), "SKIP {name}: the contract's data is not here").unwrap();
        }
    }
}
