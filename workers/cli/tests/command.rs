//! The `headrace` command as a user meets it: help, exit codes, one line for an error, signals, no secrets.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

const CANARY: &str = "c4n4ry";

fn headrace(directory: &Path, line: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headrace"));
    command.args(line).current_dir(directory).env_remove("HEADRACE_LOG").stdin(Stdio::null());
    command
}

fn run(directory: &Path, line: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = headrace(directory, line).output().unwrap();
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert!(!stderr.contains("internal error") && !stderr.contains("panicked"), "{line:?}: {stderr}");
    (status.code().unwrap(), stdout, stderr)
}

/// Simulated files and a store that holds them.
fn loaded(defects: &str) -> (TempDir, i32) {
    let directory = TempDir::new().unwrap();
    let line = ["recruitment", "simulate", "in", "--rows", "2000", "--jobs", "50", "--defects", defects];
    assert_eq!(run(directory.path(), &line).0, 0);
    let (code, ..) = run(directory.path(), &["recruitment", "load", "in/tracking.csv", "--to", "embedded:store"]);
    (directory, code)
}

#[test]
fn help_explains_stores_passwords_and_exit_codes() {
    let directory = TempDir::new().unwrap();
    let (code, help, _) = run(directory.path(), &["--help"]);
    assert_eq!(code, 0);
    for word in
        ["embedded:", "cassandra://", "kafka://", "mysql://", "password_file", "HEADRACE_MYSQL_PASSWORD", "Exit codes"]
    {
        assert!(help.contains(word), "{word} is missing in\n{help}");
    }
    let (code, nothing, short) = run(directory.path(), &[]);
    assert_eq!((code, nothing.as_str()), (2, ""));
    assert!(short.contains("recruitment"));
    let (_, version, _) = run(directory.path(), &["--version"]);
    assert_eq!(version.trim(), format!("headrace {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_step_has_help_completion_and_description() {
    let directory = TempDir::new().unwrap();
    let (_, description, _) = run(directory.path(), &["describe"]);
    let (_, completions, _) = run(directory.path(), &["completions", "bash"]);
    let steps: Vec<Value> = serde_json::from_str(&description).unwrap();
    assert!(steps.len() >= 8);
    for step in &steps {
        let (system, name) = (step["system"].as_str().unwrap(), step["name"].as_str().unwrap());
        let line: Vec<&str> = [system].into_iter().chain(name.split(' ')).chain(["--help"]).collect();
        let (code, help, _) = run(directory.path(), &line);
        assert_eq!(code, 0, "{name}");
        assert!(help.starts_with(step["about"].as_str().unwrap()), "{help}");
        for parameter in step["parameters"].as_array().unwrap() {
            assert_ne!(parameter["help"], "", "{name} {parameter}");
            if parameter["positional"] == false {
                let option = format!("--{}", parameter["name"].as_str().unwrap().replace('_', "-"));
                assert!(help.contains(&option) && completions.contains(&option), "{name} {option}");
            }
        }
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let directory = TempDir::new().unwrap();
    let wrong_url = format!("mysql:/u:{CANARY}@h");
    let extra = format!("mysql://u:{CANARY}@h/d");
    let lines: [&[&str]; 7] = [
        &["recruitment"],
        &["recruitment", "lood"],
        &["recruitment", "load"],
        &["recruitment", "load", "x.csv", "--batch-rows", "many"],
        &["recruitment", "load", "x.csv", "--to", &wrong_url],
        &["recruitment", "load", "x.csv", &extra],
        &["recruitment", "load", "x.csv", "--log-level", "headrace=loud"],
    ];
    for line in lines {
        let (code, stdout, stderr) = run(directory.path(), line);
        assert_eq!((code, stdout.as_str()), (2, ""), "{line:?}: {stderr}");
        assert!(!stderr.is_empty() && !stderr.contains(CANARY), "{line:?}: {stderr}");
    }
}

#[test]
fn a_failure_is_exit_code_1_and_one_clear_line() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("wrong.csv"), "a,b\n1,2\n").unwrap();
    for (file, word) in [("absent.csv", "absent.csv"), ("wrong.csv", "header")] {
        let (code, stdout, stderr) = run(directory.path(), &["recruitment", "load", file, "--to", "embedded:store"]);
        assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
        let lines: Vec<&str> = stderr.lines().filter(|line| !line.starts_with("  hint: ")).collect();
        assert!(lines.len() == 1 && lines[0].starts_with("headrace: ") && lines[0].contains(word), "{stderr}");
    }
}

#[test]
fn dead_letters_are_exit_code_3_and_json_is_one_object() {
    let (clean, code) = loaded("0");
    assert_eq!(code, 0);
    let (defective, code) = loaded("0.02");
    assert_eq!(code, 3);
    let again = ["recruitment", "load", "in/tracking.csv", "--to", "embedded:other", "--json"];
    let (code, stdout, _) = run(defective.path(), &again);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, stdout.lines().count()), (3, 1));
    assert!(report["dead_lettered"].as_u64().unwrap() > 0);
    let (code, stdout, stderr) =
        run(clean.path(), &["recruitment", "load", "in/tracking.csv", "--to", "embedded:other", "--quiet"]);
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, "", ""));
}

#[test]
fn a_signal_stops_at_a_batch_boundary_and_the_next_run_goes_on() {
    let (directory, _) = loaded("0");
    let (from, to) = (["--from", "embedded:store"], ["--to", "embedded:store"]);
    let line = |step, more: &[&'static str]| -> Vec<&str> {
        ["recruitment", step].into_iter().chain(from).chain(to).chain(more.iter().copied()).collect()
    };
    assert_eq!(run(directory.path(), &line("replay", &[])).0, 0);
    let mut follower = headrace(
        directory.path(),
        &line("clean", &["--follow", "--interval", "100ms", "--json", "--log-level", "debug"]),
    )
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    // The hourly table is there once the messages at hand have been committed.
    let export = ["recruitment", "export", "--from", "embedded:store", "--out", "out.csv", "--json"];
    let started = Instant::now();
    let counted = |report: &str| report.contains("\"read\":") && !report.contains("\"read\":0,");
    while !counted(&run(directory.path(), &export).1) && started.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(100));
    }
    let asked = Instant::now();
    assert!(Command::new("kill").args(["-TERM", &follower.id().to_string()]).status().unwrap().success());
    let status = follower.wait().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    let (mut stdout, mut stderr) = (String::new(), String::new());
    follower.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    follower.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("stopped; run the same command to go on"), "{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((report["outcome"].as_str(), report["read"].as_u64()), (Some("stopped"), Some(2_000)));
    let (code, stdout, _) = run(directory.path(), &line("clean", &["--json"]));
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, report["read"].as_u64()), (0, Some(0)), "{report}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let directory = TempDir::new().unwrap();
    let mut child = headrace(directory.path(), &["completions", "zsh"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("headrace"));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn passwords_are_never_shown() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("job.csv"), "id,company_id\n1,1\n").unwrap();
    std::fs::write(directory.path().join("password"), format!("{CANARY}\n")).unwrap();
    let with_word = format!("mysql://app:{CANARY}@127.0.0.1:1/db/job");
    for url in
        [with_word.as_str(), "mysql://app@127.0.0.1:1/db/job", "mysql://app@127.0.0.1:1/db/job?password_file=password"]
    {
        let line = ["recruitment", "jobs", "job.csv", "--to", url, "--log-level", "trace"];
        let output = headrace(directory.path(), &line).env("HEADRACE_MYSQL_PASSWORD", CANARY).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("headrace: ") && !stderr.contains(CANARY), "{stderr}");
        assert!(output.stdout.is_empty());
    }
}
