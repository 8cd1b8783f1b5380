//! Splitting a record into fields: as `csv-core` does it.
#![no_main]

use csv_core::{ReadRecordResult, ReaderBuilder, Terminator};
use headrace_transforms::csv_record::RecordSplitter;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|record: &str| {
    let mut splitter = RecordSplitter::new();
    let count = splitter.split(record);
    let fields: Vec<&str> = splitter.fields().collect();
    assert_eq!(fields.len(), count);
    assert_eq!(splitter.text_from(0), fields.concat());
    (0..count).for_each(|index| assert_eq!(splitter.field(index), fields[index]));
    // The oracle ends a record at its terminator, for which a zero byte stands here.
    if record.is_empty() || record.contains('\0') {
        return;
    }
    let mut reader = ReaderBuilder::new().terminator(Terminator::Any(0)).build();
    let (mut text, mut ends) = (vec![0; record.len() + 8], vec![0; record.len() + 8]);
    let (result, _, wrote, mut found) = reader.read_record(record.as_bytes(), &mut text, &mut ends);
    if matches!(result, ReadRecordResult::InputEmpty) {
        found += reader.read_record(&[], &mut text[wrote..], &mut ends[found..]).3;
    }
    let mut start = 0;
    let expected: Vec<&[u8]> = ends[..found]
        .iter()
        .map(|&end| {
            let field = &text[start..end];
            start = end;
            field
        })
        .collect();
    assert_eq!(fields.iter().map(|field| field.as_bytes()).collect::<Vec<_>>(), expected);
});
