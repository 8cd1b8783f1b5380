//! Stops of the real command while it works: it ends cleanly in time, and every row counts once.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use headrace_pipelines::recruitment::simulate::{Defects, Simulation, write_files};
use serde_json::Value;
use tempfile::TempDir;

/// What a stop may take.
const STOP: Duration = Duration::from_secs(4);

const ROWS: u64 = 6_000;

fn headrace(directory: &Path, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headrace"));
    command.arg("recruitment").args(line.split(' ')).arg("--json").current_dir(directory);
    command.env("HEADRACE_LOG", "warn").env_remove("HEADRACE_FAILPOINT").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a step to its end; gives its report.
fn done(directory: &Path, line: &str) -> Value {
    report(&headrace(directory, line).output().unwrap(), &[0, 3])
}

fn report(output: &Output, codes: &[i32]) -> Value {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code().is_some_and(|code| codes.contains(&code)), "{:?}: {told}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status().unwrap().success());
}

/// Simulated files in a directory, and the hourly table they must give.
fn simulated(seed: u64) -> (TempDir, String) {
    let directory = TempDir::new().unwrap();
    let simulation =
        Simulation { rows: ROWS, jobs: 40, seed, days: 2, defects: Defects::all(0.002), ..Simulation::default() };
    write_files(&directory.path().join("tracking.csv"), &directory.path().join("job.csv"), &simulation).unwrap();
    (directory, simulation.expected().unwrap().hourly_csv())
}

/// Checks that the stores hold every record of the simulated files once.
fn assert_all_there(directory: &Path, hourly: &str) {
    done(directory, "export --from embedded:store --out hourly.csv");
    assert_eq!(std::fs::read_to_string(directory.join("hourly.csv")).unwrap(), hourly);
    let facts =
        done(directory, "verify --raw embedded:store --log embedded:store --result embedded:store")["facts"].take();
    let fact = |name: &str| facts[name].as_u64().unwrap_or_else(|| panic!("{name} is missing in {facts}"));
    assert_eq!(fact("load read"), ROWS);
    assert_eq!(fact("load read"), fact("load written") + fact("load duplicate") + fact("load dead-lettered"));
    assert_eq!((fact("raw rows"), fact("replay written")), (fact("load written"), fact("load written")));
    assert_eq!((fact("topic doubled"), fact("clean read")), (0, fact("topic messages")));
    assert_eq!(fact("clean read"), fact("clean written") + fact("clean ignored"));
}

/// Asks a step to stop once it works; none when it had ended before.
fn stopped(directory: &Path, line: &str, after: Duration) -> Option<Duration> {
    let child = headrace(directory, line).spawn().unwrap();
    std::thread::sleep(after);
    let asked = Instant::now();
    signal(&child, "TERM");
    let output = child.wait_with_output().unwrap();
    let took = asked.elapsed();
    let report = report(&output, &[0, 1, 3]);
    assert!(took < STOP, "{line}: {took:?}");
    (report["outcome"] == "stopped").then_some(took)
}

#[test]
fn ten_of_ten_stops_end_cleanly_in_time() {
    let (directory, hourly) = simulated(11);
    let at = directory.path();
    done(at, "jobs job.csv --to embedded:store");
    let mut slowest = Duration::ZERO;
    for (step, stops) in [
        ("load tracking.csv --to embedded:store", 4),
        ("replay --from embedded:store --to embedded:store", 3),
        ("clean --from embedded:store --to embedded:store", 3),
    ] {
        // Small batches make the step long enough to be stopped in its midst.
        let slow = format!("{step} --batch-rows 10");
        let mut wait = Duration::from_millis(100);
        let mut seen = 0;
        while seen < stops {
            match stopped(at, &slow, wait) {
                Some(took) => {
                    seen += 1;
                    slowest = slowest.max(took);
                }
                // It ended by itself: ask earlier.
                None => wait /= 2,
            }
            assert!(wait > Duration::from_millis(3), "{step} is over before it can be stopped");
        }
        done(at, step);
    }
    eprintln!("10 stops, the slowest in {} ms", slowest.as_millis());
    assert_all_there(at, &hourly);
}
