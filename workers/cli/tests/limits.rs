//! A process that is given too little: file descriptors, file size, a directory that may only be read. It says so in one line, or
//! does what it was asked; and with enough the same commands go on to the right result.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const STORE: &str = "embedded:store";
const STEPS: [&[&str]; 3] = [
    &["load", "in/tracking.csv", "--to", STORE, "--batch-rows", "200"],
    &["replay", "--from", STORE, "--to", STORE, "--batch-rows", "200"],
    &["clean", "--from", STORE, "--to", STORE, "--batch-rows", "200"],
];

/// Runs a step under what a shell sets first; gives whether it ended well, and what it said.
fn run(directory: &Path, set: &str, step: &[&str]) -> (bool, String) {
    let script = format!("{set}; exec \"$0\" recruitment \"$@\"");
    let output = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_headrace")])
        .args(step)
        .current_dir(directory)
        .env_remove("HEADRACE_LOG")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    match output.status.code() {
        Some(0) => (true, String::from_utf8(output.stdout).unwrap()),
        Some(1) => (false, stderr),
        other => panic!("{set}: {step:?} ended with {other:?}: {stderr}"),
    }
}

/// Checks that a failure is told in one line, without a panic.
fn assert_told(what: &str, said: &str, words: &[&str]) {
    assert!(!said.contains("internal error") && !said.contains("panicked"), "{what}: {said}");
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("headrace: ")).collect();
    assert_eq!(errors.len(), 1, "{what}: {said}");
    assert!(words.is_empty() || words.iter().any(|word| errors[0].contains(word)), "{what}: {said}");
}

fn simulated() -> TempDir {
    let directory = TempDir::new().unwrap();
    let simulate = ["simulate", "in", "--rows", "2000", "--jobs", "50"];
    assert!(run(directory.path(), "true", &simulate).0);
    directory
}

/// Runs all steps with enough of everything; every row must be there then, once.
fn assert_goes_on(directory: &Path) {
    for step in STEPS {
        let (is_well, said) = run(directory, "true", step);
        assert!(is_well, "{step:?}: {said}");
    }
    let verify = ["verify", "--raw", STORE, "--log", STORE, "--result", STORE, "--json"];
    let (is_well, said) = run(directory, "true", &verify);
    assert!(is_well, "{said}");
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["outcome"], "complete", "{said}");
    let (_, exported) =
        run(directory, "true", &["export", "--from", STORE, "--what", "messages", "--out", "m.jsonl", "--json"]);
    let exported: Value = serde_json::from_str(&exported).unwrap();
    assert_eq!(exported["written"], 2_000, "{exported}");
}

#[test]
fn too_few_file_descriptors() {
    let directory = simulated();
    let mut failed = 0;
    for most in (4..=40).step_by(2) {
        for step in STEPS {
            let what = format!("ulimit -n {most}");
            let (is_well, said) = run(directory.path(), &what, step);
            if !is_well {
                failed += 1;
                assert_told(&format!("{what}: {}", step[0]), &said, &[]);
            }
        }
    }
    assert!(failed > 0, "no limit was low enough");
    assert_goes_on(directory.path());
}

#[test]
fn files_that_may_not_grow() {
    let directory = simulated();
    let mut failed = 0;
    // Blocks of 512 bytes, in every shell that is POSIX'.
    for blocks in [8, 64] {
        for step in STEPS {
            let what = format!("ulimit -f {blocks}");
            let (is_well, said) = run(directory.path(), &what, step);
            if !is_well {
                failed += 1;
                assert_told(
                    &format!("{what}: {}", step[0]),
                    &said,
                    &["disk", "too large", "does not exist", "may be written"],
                );
            }
        }
    }
    assert!(failed > 0, "no limit was low enough");
    assert_goes_on(directory.path());
}

/// A directory that may only be read: by permissions, or for root, whom they do not stop, by a mount.
struct ReadOnly {
    path: PathBuf,
    is_mounted: bool,
}

impl ReadOnly {
    fn make(path: PathBuf) -> Option<Self> {
        let run = |line: &[&str]| {
            let status = Command::new(line[0]).args(&line[1..]).arg(&path).stderr(Stdio::null()).status();
            status.is_ok_and(|status| status.success())
        };
        let own = path.to_str().unwrap();
        if run(&["mount", "--bind", own]) {
            assert!(run(&["mount", "-o", "remount,bind,ro"]));
            return Some(Self { path, is_mounted: true });
        }
        assert!(run(&["chmod", "-R", "a-w"]));
        let is_writable = std::fs::write(path.join("try"), "").is_ok();
        if is_writable {
            assert!(run(&["chmod", "-R", "u+w"]));
            println!("SKIP: nothing makes a directory read-only here");
            return None;
        }
        Some(Self { path, is_mounted: false })
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let undo: &[&str] = if self.is_mounted { &["umount", "-l"] } else { &["chmod", "-R", "u+w"] };
        let _ = Command::new(undo[0]).args(&undo[1..]).arg(&self.path).status();
    }
}

#[test]
fn a_directory_that_may_only_be_read() {
    let directory = simulated();
    let (is_well, said) = run(directory.path(), "true", STEPS[0]);
    assert!(is_well, "{said}");
    {
        let Some(_guard) = ReadOnly::make(directory.path().join("store")) else { return };
        for step in STEPS {
            let (is_well, said) = run(directory.path(), "true", step);
            assert!(!is_well, "{said}");
            assert_told(step[0], &said, &["may be written", "may not be written"]);
        }
        let (is_well, said) =
            run(directory.path(), "true", &["export", "--from", STORE, "--what", "messages", "--out", "store/m.jsonl"]);
        assert!(!is_well, "{said}");
        assert_told("export", &said, &["store"]);
    }
    assert_goes_on(directory.path());
}
