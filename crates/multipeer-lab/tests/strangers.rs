//! Discovery among strangers: Avahi sees what multipeer announces, and multipeer what Avahi does.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::{
    PATIENCE, available, beside_avahi, chat, count, ensure, is, multipeer, wait, with_avahi,
};
use multipeer_lab::run_in_lab;

#[test]
fn avahi_sees_the_announcement_with_its_info() {
    if !available(&["avahi-daemon", "avahi-browse", "dbus-daemon"]) {
        return;
    }
    run_in_lab("avahi_sees_the_announcement_with_its_info", |mut lab| {
        let network = lab.network().unwrap();
        let (a, b) = (lab.host_on(network).unwrap(), lab.host_on(network).unwrap());
        let mut alice = a.spawn(&multipeer(), &["chat", "--json", "--name", "Zoë Ä."]).unwrap();
        let browse = "while :; do avahi-browse -rpt _multipeer._udp; sleep 0.5; done";
        let mut avahi = with_avahi(&b, browse);
        let deadline = Instant::now() + PATIENCE;
        let line = loop {
            let lines = avahi.all_lines(Duration::from_millis(500));
            let resolved = |line: &&String| line.starts_with('=') && line.contains("\"_v=1\"");
            if let Some(line) = lines.iter().find(resolved) {
                break line.clone();
            }
            assert!(Instant::now() < deadline, "Avahi saw nothing: {lines:#?}");
        };
        assert!(line.contains("_multipeer._udp"), "{line}");
        assert!(line.contains(&a.address()) || line.contains("fe80"), "{line}");
        assert!(line.contains("\"_id="), "{line}");
        assert!(line.contains("_name=Zo"), "{line}");
        alice.type_line("/quit");
        assert_eq!(alice.wait(), Some(0));
    });
}

#[test]
fn a_service_that_avahi_publishes_is_reported_and_fails_with_a_reason() {
    if !available(&["avahi-daemon", "avahi-publish-service", "dbus-daemon"]) {
        return;
    }
    let test = "a_service_that_avahi_publishes_is_reported_and_fails_with_a_reason";
    run_in_lab(test, |mut lab| {
        let network = lab.network().unwrap();
        let (a, b) = (lab.host_on(network).unwrap(), lab.host_on(network).unwrap());
        let mut alice = chat(&a, "Alice");
        let id = "ab".repeat(32);
        let _avahi = with_avahi(
            &b,
            &format!(
                "avahi-publish-service Rubbish _multipeer._udp 4242 _v=1 _id=nonsense &\n\
                 avahi-publish-service Ghost _multipeer._udp 4242 _v=1 _id={id} _name=Ghost"
            ),
        );
        let found = wait(&mut alice, "peer_found", "Ghost");
        assert_eq!(found["peer"]["id"], id);
        let error = alice.wait_json("the failure", PATIENCE, |value| {
            is(value, "error", "Ghost").then(|| value["message"].as_str().unwrap().to_owned())
        });
        assert!(error.contains("could not be reached"), "{error}");
        let lines = alice.all_lines(Duration::from_secs(1));
        assert_eq!(count(&lines, "peer_found", "Ghost"), 1);
        assert!(!lines.iter().any(|line| line.contains("Rubbish")), "{lines:#?}");
    });
}

#[test]
fn an_announcement_under_another_instance_name_is_the_same_peer() {
    if !available(&["avahi-daemon", "avahi-publish-service", "dbus-daemon"]) {
        return;
    }
    let test = "an_announcement_under_another_instance_name_is_the_same_peer";
    run_in_lab(test, |mut lab| {
        let network = lab.network().unwrap();
        let [a, b, c] = [(); 3].map(|()| lab.host_on(network).unwrap());
        let mut alice = chat(&a, "Alice");
        let mut bob =
            b.spawn(&multipeer(), &["chat", "--json", "--name", "Bob", "--port", "4242"]).unwrap();
        let id = wait(&mut alice, "connected", "Bob")["peer"]["id"].as_str().unwrap().to_owned();
        ensure(&mut alice, "peer_found", "Bob");
        // What a responder does that finds the name taken: the same peer, called something else.
        let publish = "avahi-publish-service 'Bob #2' _multipeer._udp 4242 _v=1";
        let mut avahi =
            with_avahi(&c, &format!("{publish} _id={id} '_name=Bob B.' & echo up; wait"));
        let updated = wait(&mut alice, "peer_updated", "Bob B.");
        assert_eq!(updated["peer"]["id"], id.as_str());
        avahi.kill();
        bob.type_line("still here");
        alice.wait_json("the message", PATIENCE, |value| {
            (value["event"] == "message" && value["text"] == "still here").then_some(())
        });
        let lines = alice.all_lines(Duration::from_secs(2));
        assert_eq!(count(&lines, "peer_found", "Bob"), 1, "{lines:#?}");
        for (event, name) in
            [("peer_found", "Bob B."), ("peer_lost", "Bob"), ("disconnected", "Bob")]
        {
            assert_eq!(count(&lines, event, name), 0, "{lines:#?}");
        }
    });
}

#[test]
fn an_avahi_that_does_not_answer_is_replaced() {
    if !available(&["avahi-daemon", "avahi-browse", "dbus-daemon"]) {
        return;
    }
    run_in_lab("an_avahi_that_does_not_answer_is_replaced", |mut lab| {
        let network = lab.network().unwrap();
        let (a, b) = (lab.host_on(network).unwrap(), lab.host_on(network).unwrap());
        // It is on the bus, and does nothing any more.
        let mut avahi = with_avahi(&a, "kill -STOP $avahi; echo ready; sleep 900");
        avahi.wait_line("ready", PATIENCE);
        let system =
            ["chat", "--json", "--responder", "system", "--no-questions", "--name", "Alice"];
        let mut alice = beside_avahi(&a, &system);
        let mut bob =
            b.spawn(&multipeer(), &["chat", "--json", "--no-questions", "--name", "Bob"]).unwrap();
        wait(&mut bob, "connected", "Alice");
        ensure(&mut alice, "connected", "Bob");
        let lines = alice.all_lines(Duration::ZERO).join("\n");
        assert!(lines.contains("no answer to"), "{lines}");
    });
}
