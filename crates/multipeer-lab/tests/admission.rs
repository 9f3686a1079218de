//! Who may join, between commands on different hosts.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs;

use common::{PATIENCE, multipeer, transfers::Folder, wait};
use multipeer_lab::{Host, Program, run_in_lab};

fn chat(host: &Host, name: &str, trust: &[&str]) -> Program {
    let arguments = [&["chat", "--json", "--name", name][..], trust].concat();
    host.spawn(&multipeer(), &arguments).unwrap()
}

#[test]
fn who_knows_the_passcode_that_was_shown_is_in_and_others_are_told() {
    let test = "who_knows_the_passcode_that_was_shown_is_in_and_others_are_told";
    run_in_lab(test, |mut lab| {
        let folder = Folder::new("passcode");
        let network = lab.network().unwrap();
        let [a, b, c] = [(); 3].map(|()| lab.host_on(network).unwrap());
        let mut alice = chat(&a, "Alice", &["--passcode"]);
        let code = alice.wait_json("the passcode", PATIENCE, |value| {
            (value["event"] == "passcode").then(|| value["passcode"].as_str().unwrap().to_owned())
        });
        let file = folder.path("passcode");
        fs::write(&file, format!("{code}\n")).unwrap();
        let mut bob = chat(&b, "Bob", &["--passcode-file", &file]);
        assert_eq!(wait(&mut bob, "connected", "Alice")["verified"], "passcode");
        assert_eq!(wait(&mut alice, "connected", "Bob")["verified"], "passcode");
        // Without the passcode one is told that there is one.
        let mut carol = chat(&c, "Carol", &[]);
        let message = carol.wait_json("the refusal", PATIENCE, |value| {
            (value["event"] == "error").then(|| value["message"].as_str().unwrap().to_owned())
        });
        assert!(message.contains("it asks for its passcode"), "{message}");
        bob.type_line("hello");
        assert_eq!(wait(&mut alice, "message", "Bob")["text"], "hello");
    });
}

#[test]
fn a_key_in_a_file_lets_a_transfer_through_and_a_wrong_one_does_not() {
    run_in_lab("a_key_in_a_file_lets_a_transfer_through_and_a_wrong_one_does_not", |mut lab| {
        let folder = Folder::new("key");
        let (key, other) = (folder.path("fleet.key"), folder.path("to/../fleet.wrong"));
        fs::write(&key, "a key of at least sixteen bytes").unwrap();
        fs::write(&other, "another key of sixteen bytes").unwrap();
        let film = folder.path("film");
        fs::write(&film, [7; 1000]).unwrap();
        let network = lab.network().unwrap();
        let (a, b) = (lab.host_on(network).unwrap(), lab.host_on(network).unwrap());
        let to = folder.path("to");
        let receive =
            ["receive", "--json", "--yes", "--name", "Bob", "--psk-file", &key, "--dir", &to];
        let _bob = b.spawn(&multipeer(), &receive).unwrap();
        let send = |key: &str| {
            let arguments =
                ["send", "--json", "--to", "Bob", "--wait", "5", "--psk-file", key, &film];
            a.spawn(&multipeer(), &arguments).unwrap()
        };
        let mut wrong = send(&other);
        let message = wrong.wait_json("the refusal", PATIENCE, |value| {
            (value["event"] == "error").then(|| value["message"].as_str().unwrap().to_owned())
        });
        assert!(message.contains("keys called \"fleet\""), "{message}");
        assert_eq!(wrong.wait(), Some(4));
        assert_eq!(send(&key).wait(), Some(0));
        assert_eq!(fs::read(folder.0.join("to/film")).unwrap(), [7; 1000]);
    });
}
