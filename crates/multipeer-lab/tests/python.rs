//! A Python program on one host, and the command on another.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{PATIENCE, chat, count, is, wait};
use multipeer_lab::run_in_lab;

/// Greets everyone, and prints what they say.
const PROGRAM: &str = r#"
import multipeer
from multipeer.blocking import Session
with Session("multipeer", "Python") as session:
    for event in session:
        if isinstance(event, multipeer.PeerConnected):
            session.send(event.peer, f"hello {event.peer}".encode())
        elif isinstance(event, multipeer.Message):
            print(event.peer, event.data.decode(), flush=True)
"#;

#[test]
fn a_python_program_meets_the_command_and_outlives_a_pulled_cable() {
    // As in the package's own tests.
    let Ok(interpreters) = std::env::var("MULTIPEER_PYTHON") else {
        println!("SKIPPED: MULTIPEER_PYTHON names no interpreter that has the package");
        return;
    };
    let test = "a_python_program_meets_the_command_and_outlives_a_pulled_cable";
    run_in_lab(test, |mut lab| {
        let interpreter = interpreters.split(':').next().unwrap();
        let network = lab.network().unwrap();
        let [a, b] = [(); 2].map(|()| lab.host_on(network).unwrap());
        let mut python = b.spawn(interpreter, &["-c", PROGRAM]).unwrap();
        let mut alice = chat(&a, "Alice");
        wait(&mut alice, "connected", "Python");
        alice.wait_json("the greeting", PATIENCE, |value| {
            (is(value, "message", "Python") && value["text"] == "hello Alice").then_some(())
        });
        alice.type_line("one");
        python.wait_line("Alice one", PATIENCE);
        b.unplug().unwrap();
        alice.type_line("two");
        b.plug().unwrap();
        python.wait_line("Alice two", PATIENCE);
        let lines = alice.all_lines(std::time::Duration::ZERO);
        assert_eq!(count(&lines, "disconnected", "Python"), 0, "{lines:?}");
    });
}
