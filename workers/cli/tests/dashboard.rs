//! `headrace dashboard`: what is told when it cannot start. The page itself is tested in a browser.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

fn run(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_headrace")).args(["dashboard", "commerce"]).args(words).output().unwrap()
}

#[test]
fn a_python_without_the_package_is_told_in_one_line_with_what_to_install() {
    for python in ["headrace-no-such-python", "false"] {
        let output = run(&["--python", python]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.contains(python) && told.contains("pip install 'headrace[dashboard]'"), "{told}");
    }
}

#[test]
fn the_page_is_started_with_the_store_in_the_environment_only() {
    let directory = tempfile::tempdir().unwrap();
    let python = directory.path().join("python");
    // It finds the packages, and tells how it was started.
    let script = "#!/bin/sh\n[ \"$1\" = -c ] && exit 0\necho \"$@\"\necho \"$HEADRACE_DASHBOARD_STORE\"\n";
    std::fs::write(&python, script).unwrap();
    std::fs::set_permissions(&python, Permissions::from_mode(0o755)).unwrap();
    let store = "mysql://app:a-secret-word@db/shop";
    let output = run(&["--python", python.to_str().unwrap(), "--store", store, "--port", "8777"]);
    let told = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines, ["-m headrace.dashboard commerce --port 8777 --address 127.0.0.1", store]);
}

#[test]
fn a_wrong_url_is_told_before_anything_starts() {
    let output = run(&["--python", "headrace-no-such-python", "--store", "shop"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("store URL") && !told.contains("headrace-no-such-python"), "{told}");
}
