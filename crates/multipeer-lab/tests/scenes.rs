//! Scenes on a real network, in namespaces: multicast, kills, cables, and strangers.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::{PATIENCE, chat, connected_with, count, ensure, is, multipeer, wait};
use multipeer_lab::{Host, Lab, run_in_lab};

#[test]
fn three_hosts_chat_and_one_is_killed_and_comes_back() {
    run_in_lab("three_hosts_chat_and_one_is_killed_and_comes_back", |mut lab: Lab| {
        let network = lab.network().unwrap();
        let hosts = [(); 3].map(|()| lab.host_on(network).unwrap());
        let mut alice = chat(&hosts[0], "Alice");
        let mut bob = chat(&hosts[1], "Bob");
        let mut carol = chat(&hosts[2], "Carol");
        for (program, others) in [
            (&mut alice, ["Bob", "Carol"]),
            (&mut bob, ["Alice", "Carol"]),
            (&mut carol, ["Alice", "Bob"]),
        ] {
            connected_with(program, &others);
        }
        alice.type_line("hello everyone");
        for other in [&mut bob, &mut carol] {
            let message = wait(other, "message", "Alice");
            assert_eq!(message["text"], "hello everyone");
        }

        // Two that start within the same second may hear each other's announcement a second later:
        // RFC 6762, section 6 forbids to repeat a record sooner.
        for other in ["Bob", "Carol"] {
            ensure(&mut alice, "peer_found", other);
        }

        // Killed without a word: gone from the session, and from the network.
        let start = Instant::now();
        bob.kill();
        let gone = wait(&mut alice, "disconnected", "Bob");
        assert_eq!(gone["reason"], "timed_out");
        ensure(&mut alice, "peer_lost", "Bob");
        wait(&mut carol, "disconnected", "Bob");
        println!("killed: disconnected after {:?}", start.elapsed());

        // It comes back under a new id, as one peer and not two.
        let mut bob = chat(&hosts[1], "Bob");
        let back = wait(&mut alice, "connected", "Bob");
        assert_ne!(back["peer"]["id"], gone["peer"]["id"]);
        wait(&mut carol, "connected", "Bob");
        wait(&mut bob, "connected", "Alice");
        bob.type_line("back again");
        assert_eq!(wait(&mut alice, "message", "Bob")["text"], "back again");
        alice.type_line("/peers");
        let peers = alice.wait_json("the peers", PATIENCE, |value| {
            (value["event"] == "peers").then(|| value["peers"].as_array().unwrap().len())
        });
        assert_eq!(peers, 2);

        // Each event once, and nothing twice.
        let lines = alice.all_lines(Duration::from_secs(2));
        assert_eq!(count(&lines, "connected", "Carol"), 1);
        assert_eq!(count(&lines, "connected", "Bob"), 2);
        assert_eq!(count(&lines, "disconnected", "Bob"), 1);
        assert_eq!(count(&lines, "peer_lost", "Bob"), 1);
        let lines = carol.all_lines(Duration::ZERO);
        assert_eq!(count(&lines, "message", "Alice"), 1);

        // Nothing leads out of the lab.
        let interfaces = lab.interfaces().unwrap();
        let own =
            |name: &String| name == "lo" || name.starts_with("bridge") || name.starts_with("cable");
        assert!(interfaces.iter().all(own), "{interfaces:?}");
    });
}

#[test]
fn a_killed_peer_is_lost_from_the_network_within_10_s_of_its_link() {
    let test = "a_killed_peer_is_lost_from_the_network_within_10_s_of_its_link";
    run_in_lab(test, |mut lab| {
        let network = lab.network().unwrap();
        let (a, b) = (lab.host_on(network).unwrap(), lab.host_on(network).unwrap());
        let mut alice = chat(&a, "Alice");
        let mut bob = chat(&b, "Bob");
        wait(&mut alice, "connected", "Bob");
        wait(&mut bob, "connected", "Alice");
        // Bob may have been the first to find.
        ensure(&mut alice, "peer_found", "Bob");
        bob.kill();
        let start = Instant::now();
        let (mut lost, mut disconnected) = (None, None);
        while lost.is_none() || disconnected.is_none() {
            alice.wait_json("Bob's loss", PATIENCE, |value| {
                let at = value["at"].as_f64();
                lost = lost.or(is(value, "peer_lost", "Bob").then(|| at.unwrap()));
                disconnected =
                    disconnected.or(is(value, "disconnected", "Bob").then(|| at.unwrap()));
                (lost.is_some() || disconnected.is_some()).then_some(())
            });
        }
        // The link dies 3 s, the reconnect window, before the disconnection is reported.
        let (lost, link_died) = (lost.unwrap(), disconnected.unwrap() - 3.0);
        assert!(lost - link_died < 10.0, "lost {} s after the link", lost - link_died);
        println!(
            "lost {:.1} s after the link died; all after {:?}",
            lost - link_died,
            start.elapsed()
        );
    });
}

#[test]
fn a_session_begins_when_a_network_comes() {
    run_in_lab("a_session_begins_when_a_network_comes", |mut lab| {
        let network = lab.network().unwrap();
        let mut late = lab.host().unwrap();
        let mut alice = chat(&late, "Alice");
        alice.wait_json("the report that there is no network", PATIENCE, |value| {
            let message = value["message"].as_str()?;
            (value["event"] == "error" && message.contains("connect to a network")).then_some(())
        });
        let b = lab.host_on(network).unwrap();
        let mut bob = chat(&b, "Bob");
        late.attach(network).unwrap();
        let start = Instant::now();
        wait(&mut alice, "connected", "Bob");
        wait(&mut bob, "connected", "Alice");
        println!("connected {:?} after the network came", start.elapsed());
    });
}

#[test]
fn a_cable_that_is_pulled_for_a_while_loses_no_message() {
    run_in_lab("a_cable_that_is_pulled_for_a_while_loses_no_message", |mut lab| {
        let network = lab.network().unwrap();
        let (a, b) = (lab.host_on(network).unwrap(), lab.host_on(network).unwrap());
        let arguments = ["chat", "--json", "--reconnect-window", "60", "--name"];
        let start =
            |host: &Host, name| host.spawn(&multipeer(), &[&arguments[..], &[name]].concat());
        let (mut alice, mut bob) = (start(&a, "Alice").unwrap(), start(&b, "Bob").unwrap());
        wait(&mut alice, "connected", "Bob");
        wait(&mut bob, "connected", "Alice");
        // Long enough for the link to die: its idle timeout is 6 s.
        b.unplug().unwrap();
        let pulled = Instant::now();
        let mut sent = 0;
        while pulled.elapsed() < Duration::from_secs(9) {
            sent += 1;
            alice.type_line(&format!("message {sent}"));
            std::thread::sleep(Duration::from_millis(300));
        }
        b.plug().unwrap();
        let plugged = Instant::now();
        for number in 1..=sent {
            assert_eq!(wait(&mut bob, "message", "Alice")["text"], format!("message {number}"));
        }
        println!("{sent} messages arrived {:?} after the cable was back", plugged.elapsed());
        let lines = alice.all_lines(Duration::from_millis(500));
        assert_eq!(count(&lines, "disconnected", "Bob"), 0, "{lines:#?}");
    });
}

#[test]
fn an_interface_without_a_multicast_route_is_reported() {
    run_in_lab("an_interface_without_a_multicast_route_is_reported", |mut lab| {
        let network = lab.network().unwrap();
        let host = lab.host_on(network).unwrap();
        let forbid = ["-A", "OUTPUT", "-d", "224.0.0.0/4", "-j", "REJECT"];
        if let Err(error) = host.run("iptables", &forbid) {
            println!("SKIPPED: iptables does not work here: {error}");
            return;
        }
        let mut alice = chat(&host, "Alice");
        let message = alice.wait_json("the report", PATIENCE, |value| {
            let message = value["message"].as_str()?;
            (value["event"] == "error").then(|| message.to_owned())
        });
        assert!(message.contains("eth0 has no route for multicast"), "{message}");
        assert!(message.contains("allow UDP to 224.0.0.251"), "{message}");
    });
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    run_in_lab("exit_codes_tell_what_went_wrong", |mut lab| {
        let network = lab.network().unwrap();
        let host = lab.host_on(network).unwrap();
        let run = |arguments: &[&str]| host.spawn(&multipeer(), arguments).unwrap().wait();
        assert_eq!(run(&["id"]), Some(0));
        assert_eq!(run(&["dance"]), Some(2));
        assert_eq!(run(&["ping", "Nobody", "--wait", "1"]), Some(3));
        assert_eq!(run(&["browse", "--interface", "nosuch0"]), Some(1));
        assert_eq!(run(&["browse", "--timeout", "0.5", "--json"]), Some(0));
    });
}
