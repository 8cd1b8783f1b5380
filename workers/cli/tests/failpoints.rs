//! Builds for tests have failpoints, release builds have none: the command is searched for the variable that arms them.
//!
//! `cargo test --release --package headrace-cli --test cli failpoints` proves the second half.

#[test]
fn failpoints_are_in_builds_for_tests_and_in_no_release() {
    let command = std::fs::read(env!("CARGO_BIN_EXE_headrace")).unwrap();
    let variable = ["HEADRACE", "FAILPOINT"].join("_");
    let is_there = command.windows(variable.len()).any(|bytes| bytes == variable.as_bytes());
    assert_eq!(is_there, cfg!(debug_assertions));
}
