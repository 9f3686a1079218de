//! The command under test on a host of the lab, and what it prints.

// Each test file uses a part of it; clippy takes a helper for something else than a test.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

pub mod transfers;

use std::{path::PathBuf, time::Duration};

use multipeer_lab::{Host, Program};
use serde_json::Value;

/// How long anything may take before a scene fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The command under test, which cargo builds beside the tests of this package: `.ci/run` and
/// `cargo xtask test` build it first.
pub fn multipeer() -> String {
    built("multipeer")
}

/// A program of this workspace, as [`multipeer`].
pub fn built(name: &str) -> String {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    let program: PathBuf = path.join(name);
    assert!(
        program.exists(),
        "{} is missing: run `cargo build` for the same profile first",
        program.display()
    );
    program.to_str().unwrap().to_owned()
}

pub fn chat(host: &Host, name: &str) -> Program {
    let arguments = ["chat", "--json", "--name", name, "--reconnect-window", "3"];
    host.spawn(&multipeer(), &arguments).unwrap()
}

/// The median round trip to a peer, in microseconds, of so many pings in a session of their own.
pub fn round_trip(host: &Host, to: &str, count: u32) -> f64 {
    let count = count.to_string();
    let arguments = ["ping", to, "--json", "-c", &count, "-i", "0.01", "--name", "Dora"];
    let mut dora = host.spawn(&multipeer(), &arguments).unwrap();
    let p50 = dora.wait_json("the round trips", PATIENCE, |value| {
        (value["event"] == "ping").then(|| value["round_trip"]["p50_us"].as_f64().unwrap())
    });
    assert_eq!(dora.wait(), Some(0));
    p50
}

pub fn is(value: &Value, event: &str, name: &str) -> bool {
    value["event"] == event && value["peer"]["name"] == name
}

pub fn wait(program: &mut Program, event: &str, name: &str) -> Value {
    program.wait_json(&format!("{event} {name}"), PATIENCE, |value| {
        is(value, event, name).then(|| value.clone())
    })
}

/// Waits for an event that may have come already.
pub fn ensure(program: &mut Program, event: &str, name: &str) {
    if count(&program.all_lines(Duration::ZERO), event, name) == 0 {
        wait(program, event, name);
    }
}

pub fn count(lines: &[String], event: &str, name: &str) -> usize {
    let values = lines.iter().filter_map(|line| serde_json::from_str(line).ok());
    values.filter(|value: &Value| is(value, event, name)).count()
}

/// Whether these programs are there; a test that lacks one says so.
pub fn available(programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| {
        let found = std::process::Command::new("which").arg(program).output();
        !found.is_ok_and(|output| output.status.success())
    });
    if let Some(program) = missing {
        assert!(std::env::var_os("MULTIPEER_LAB").is_none(), "{program} is required");
        println!("SKIPPED: {program} is not installed");
    }
    missing.is_none()
}
