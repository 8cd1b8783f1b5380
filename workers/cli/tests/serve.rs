//! `headrace serve` as a process: it says where it listens, answers, stops on a signal, and lets nobody in unasked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const TOKEN: &str = "c4n4ry-0123456789abcdef";

fn serve(directory: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headrace"));
    command
        .arg("serve")
        .args(words)
        .current_dir(directory)
        .env_remove("HEADRACE_LOG")
        .env_remove("HEADRACE_SERVE_TOKEN");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Reads the log up to the address.
fn address(child: &mut Child) -> String {
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while log.read_line(&mut line).unwrap() > 0 {
        if let Some((_, rest)) = line.split_once("http://") {
            let address = rest.split(';').next().unwrap().to_owned();
            child.stderr = Some(log.into_inner());
            return address;
        }
    }
    panic!("it never listened: {line}");
}

fn get(address: &str, path: &str, header: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn it_answers_until_a_signal_comes() {
    let directory = tempfile::tempdir().unwrap();
    for signal in ["TERM", "INT"] {
        let mut child = serve(directory.path(), &["--listen", "127.0.0.1:0"]).spawn().unwrap();
        let address = address(&mut child);
        assert!(get(&address, "/healthz", "").ends_with("ok\n"));
        assert!(get(&address, "/offers/what-if", "").contains("<h1>What if?</h1>"));
        let killed = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        assert_eq!(child.wait().unwrap().code(), Some(0), "SIG{signal}");
    }
}

#[test]
fn elsewhere_it_needs_a_token_which_is_never_shown() {
    let directory = tempfile::tempdir().unwrap();
    let refused = serve(directory.path(), &["--listen", "0.0.0.0:0"]).output().unwrap();
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && told.contains("token"), "{told}");

    std::fs::write(directory.path().join("token"), TOKEN).unwrap();
    let mut child =
        serve(directory.path(), &["--listen", "127.0.0.1:0", "--token-file", "token", "--log-level", "debug"])
            .spawn()
            .unwrap();
    let address = address(&mut child);
    assert!(get(&address, "/metrics", "").starts_with("HTTP/1.1 401"));
    assert!(get(&address, "/metrics", "Authorization: Bearer wrong\r\n").starts_with("HTTP/1.1 401"));
    assert!(get(&address, "/metrics", &format!("Authorization: Bearer {TOKEN}\r\n")).starts_with("HTTP/1.1 200"));
    let line = std::fs::read_to_string(format!("/proc/{}/cmdline", child.id())).unwrap();
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(!String::from_utf8_lossy(&output.stderr).contains(TOKEN) && !line.contains(TOKEN));
}
