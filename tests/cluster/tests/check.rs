//! The program as a shell sees it: what cannot be judged is 2, and nothing panics.

use std::process::{Command, Stdio};

fn cluster(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cluster"));
    command.args(arguments).env("RUST_BACKTRACE", "1");
    command
}

/// Its exit code, and what it says on standard error.
fn said(arguments: &[&str]) -> (Option<i32>, String) {
    let output = cluster(arguments).output().expect("the binary");
    (output.status.code(), String::from_utf8(output.stderr).expect("text"))
}

#[test]
fn what_is_wrong_as_asked_is_two_and_told_without_a_backtrace() {
    for (arguments, what) in [
        (&["check", "--bogus"][..], "no such option: --bogus"),
        (&["check"], "which history?"),
        (&["check", "/nonexistent/history"], "/nonexistent/history"),
        (&["run", "--bogus"], "no such option: --bogus"),
        (&["judge"], "cluster check FILE"),
    ] {
        let (code, text) = said(arguments);
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains(what) && !text.contains("backtrace"), "{text}");
    }
    assert_eq!(said(&["check", "--help"]).0, Some(0));
}

#[test]
fn a_reader_that_goes_away_is_no_reason_to_panic() {
    let mut child = cluster(&["--help"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
