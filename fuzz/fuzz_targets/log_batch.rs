//! Blobs of messages in the embedded log: refused, or read and written back as they were.
#![no_main]

use headrace_fuzz::log_batch::read_and_write;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|blob: &[u8]| {
    if let Some(written) = read_and_write(blob) {
        assert_eq!(written, blob);
    }
});
