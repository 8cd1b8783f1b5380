//! Cutting a file into records: the same for any pieces, and as the `csv` crate cuts it.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The first byte is the size of the pieces.
fuzz_target!(|input: &[u8]| {
    let Some((&piece, file)) = input.split_first() else { return };
    let whole = headrace_fuzz::csv_file::cut(file, file.len().max(1));
    assert_eq!(headrace_fuzz::csv_file::cut(file, usize::from(piece) + 1), whole);
    // The csv crate takes a byte order mark away by itself.
    if file.starts_with(b"\xef\xbb\xbf") {
        return;
    }
    let parse = |bytes: &[u8]| -> Vec<csv::ByteRecord> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
        reader.byte_records().map(|record| record.expect("reading from memory")).collect()
    };
    let apart: Vec<csv::ByteRecord> = whole.iter().flat_map(|record| parse(record)).collect();
    assert_eq!(apart, parse(file));
});
