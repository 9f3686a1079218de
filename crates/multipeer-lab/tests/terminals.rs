//! What a person sees: the chat that fills the screen, and the table of who is near.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{PATIENCE, available, chat, multipeer, wait};
use multipeer_lab::run_in_lab;

#[test]
fn the_chat_on_a_terminal_shows_peers_and_messages_and_scrolls_back() {
    if !available(&["tmux"]) {
        return;
    }
    let test = "the_chat_on_a_terminal_shows_peers_and_messages_and_scrolls_back";
    run_in_lab(test, |mut lab| {
        let network = lab.network().unwrap();
        let (a, b) = (lab.host_on(network).unwrap(), lab.host_on(network).unwrap());
        let screen = a.terminal(&multipeer(), &["chat", "--name", "Alice"]).unwrap();
        let mut bob = chat(&b, "Bob");
        wait(&mut bob, "connected", "Alice");
        screen.wait_for("Bob among the peers", PATIENCE, |screen| screen.contains("Bob"));

        screen.type_text("hello from the screen").unwrap();
        screen.press("Enter").unwrap();
        assert_eq!(wait(&mut bob, "message", "Alice")["text"], "hello from the screen");
        screen.type_text("/msg Bob for you").unwrap();
        screen.press("Enter").unwrap();
        assert_eq!(wait(&mut bob, "message", "Alice")["text"], "for you");

        for number in 1..=60 {
            bob.type_line(&format!("line {number}."));
        }
        screen.wait_for("the last line", PATIENCE, |screen| screen.contains("line 60."));
        assert!(!screen.screen().unwrap().contains("line 10."));
        for _ in 0..10 {
            screen.press("PageUp").unwrap();
        }
        screen.wait_for("the first line", PATIENCE, |screen| screen.contains("line 1."));

        // Nothing that a peer sends steers the terminal.
        bob.type_line("\u{1b}[2Jgone?");
        for _ in 0..20 {
            screen.press("PageDown").unwrap();
        }
        screen.wait_for("the harmless line", PATIENCE, |screen| screen.contains("[2Jgone?"));

        screen.type_text("/quit").unwrap();
        screen.press("Enter").unwrap();
        assert_eq!(wait(&mut bob, "disconnected", "Alice")["reason"], "left");
        screen.wait_for_end(PATIENCE);
    });
}

#[test]
fn the_table_of_browse_follows_who_comes_and_goes() {
    if !available(&["tmux"]) {
        return;
    }
    run_in_lab("the_table_of_browse_follows_who_comes_and_goes", |mut lab| {
        let network = lab.network().unwrap();
        let (a, b) = (lab.host_on(network).unwrap(), lab.host_on(network).unwrap());
        let screen = a.terminal(&multipeer(), &["browse"]).unwrap();
        screen.wait_for("the empty table", PATIENCE, |s| s.contains("nobody is near yet"));
        let mut bob = chat(&b, "Bob");
        screen.wait_for("Bob in the table", PATIENCE, |screen| {
            screen.contains("1 peer is near") && screen.contains("Bob")
        });
        bob.type_line("/quit");
        screen.wait_for("the empty table", PATIENCE, |screen| {
            screen.contains("nobody is near yet") && !screen.contains("Bob")
        });
        screen.press("C-c").unwrap();
        screen.wait_for_end(PATIENCE);
    });
}
