//! Networks of other shapes: several at once, one without IPv4; and how soon peers meet on one.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{PATIENCE, chat, connected_with, count, is, multipeer, wait};
use multipeer_lab::{Host, Lab, Network, Program, run_in_lab};

#[test]
fn a_peer_on_two_networks_meets_those_on_both_and_each_once() {
    run_in_lab("a_peer_on_two_networks_meets_those_on_both_and_each_once", |mut lab| {
        let (left, right) = (lab.network().unwrap(), lab.network().unwrap());
        let mut a = lab.host_on(left).unwrap();
        a.attach(right).unwrap();
        // Bob is on the left alone, Carol on the right alone, Dora on both.
        let (b, c) = (lab.host_on(left).unwrap(), lab.host_on(right).unwrap());
        let mut d = lab.host_on(left).unwrap();
        d.attach(right).unwrap();
        let mut alice = chat(&a, "Alice");
        let _others =
            [(&b, "Bob"), (&c, "Carol"), (&d, "Dora")].map(|(host, name)| chat(host, name));
        connected_with(&mut alice, &["Bob", "Carol", "Dora"]);
        let lines = alice.all_lines(Duration::from_secs(3));
        for name in ["Bob", "Carol", "Dora"] {
            assert_eq!(count(&lines, "peer_found", name), 1, "{lines:#?}");
            assert_eq!(count(&lines, "connected", name), 1, "{lines:#?}");
            assert_eq!(count(&lines, "disconnected", name), 0, "{lines:#?}");
        }
    });
}

/// Two hosts that have nothing but their link-local addresses.
fn hosts_without_ipv4(lab: &mut Lab, network: Network) -> [Host; 2] {
    [(); 2].map(|()| {
        let host = lab.host_on(network).unwrap();
        host.run("ip", &["-4", "address", "flush", "dev", "eth0"]).unwrap();
        host
    })
}

/// Gives each an address that leads to it without the name of an interface.
fn add_ipv6(hosts: &[Host; 2]) {
    for (host, address) in hosts.iter().zip(["fd00:77::1/64", "fd00:77::2/64"]) {
        host.run("ip", &["address", "add", address, "dev", "eth0"]).unwrap();
    }
}

#[test]
fn peers_meet_on_a_network_without_ipv4() {
    run_in_lab("peers_meet_on_a_network_without_ipv4", |mut lab| {
        let network = lab.network().unwrap();
        let hosts = hosts_without_ipv4(&mut lab, network);
        add_ipv6(&hosts);
        let (mut alice, mut bob) = (chat(&hosts[0], "Alice"), chat(&hosts[1], "Bob"));
        wait(&mut alice, "connected", "Bob");
        wait(&mut bob, "connected", "Alice");
        alice.type_line("over six");
        assert_eq!(wait(&mut bob, "message", "Alice")["text"], "over six");
    });
}

#[test]
fn peers_on_one_interface_meet_with_link_local_ipv6_alone() {
    run_in_lab("peers_on_one_interface_meet_with_link_local_ipv6_alone", |mut lab| {
        let network = lab.network().unwrap();
        let hosts = hosts_without_ipv4(&mut lab, network);
        let [mut alice, mut bob] = [(0, "Alice"), (1, "Bob")].map(|(index, name)| {
            let arguments = ["chat", "--json", "--name", name, "--interface", "eth0"];
            hosts[index].spawn(&multipeer(), &arguments).unwrap()
        });
        wait(&mut alice, "connected", "Bob");
        wait(&mut bob, "connected", "Alice");
        alice.type_line("on the link");
        assert_eq!(wait(&mut bob, "message", "Alice")["text"], "on the link");
    });
}

#[test]
fn peers_heard_at_link_local_addresses_are_told_what_to_do_and_meet_at_others() {
    let test = "peers_heard_at_link_local_addresses_are_told_what_to_do_and_meet_at_others";
    run_in_lab(test, |mut lab| {
        let network = lab.network().unwrap();
        let hosts = hosts_without_ipv4(&mut lab, network);
        let (mut alice, mut bob) = (chat(&hosts[0], "Alice"), chat(&hosts[1], "Bob"));
        let why = wait(&mut alice, "error", "Bob")["message"].to_string();
        assert!(why.contains("link-local") && why.contains("--interface"), "{why}");
        add_ipv6(&hosts);
        wait(&mut alice, "connected", "Bob");
        wait(&mut bob, "connected", "Alice");
    });
}

#[test]
fn a_host_that_is_given_one_interface_uses_no_other() {
    run_in_lab("a_host_that_is_given_one_interface_uses_no_other", |mut lab| {
        let (left, right) = (lab.network().unwrap(), lab.network().unwrap());
        let mut a = lab.host_on(left).unwrap();
        a.attach(right).unwrap();
        let (b, c) = (lab.host_on(left).unwrap(), lab.host_on(right).unwrap());
        let only_right = ["chat", "--json", "--name", "Alice", "--interface", "eth1"];
        let mut alice = a.spawn(&multipeer(), &only_right).unwrap();
        let (mut bob, _carol) = (chat(&b, "Bob"), chat(&c, "Carol"));
        wait(&mut alice, "connected", "Carol");
        let lines = bob.all_lines(Duration::from_secs(3));
        assert_eq!(count(&lines, "peer_found", "Alice"), 0, "{lines:#?}");
        let lines = alice.all_lines(Duration::ZERO);
        assert_eq!(count(&lines, "peer_found", "Bob"), 0, "{lines:#?}");
    });
}

/// DESIGN.md, section 8: an established advertiser is found within 150 ms, and whoever is found
/// is connected within 50 ms. Medians, because the machine has other things to do.
#[test]
fn an_established_advertiser_is_found_and_connected_soon() {
    run_in_lab("an_established_advertiser_is_found_and_connected_soon", |mut lab| {
        let network = lab.network().unwrap();
        let (a, b) = (lab.host_on(network).unwrap(), lab.host_on(network).unwrap());
        let mut bob = chat(&b, "Bob");
        let (mut found, mut connected) = (Vec::new(), Vec::new());
        for round in 0..7 {
            let name = format!("Alice {round}");
            // Established: what Bob said last, he said so long ago that RFC 6762, section 6 lets
            // him say it again.
            bob.all_lines(Duration::from_millis(1500));
            let mut alice = chat(&a, &name);
            let (found_at, connected_after) = found_and_connected(&mut alice, "Bob");
            found.push(found_at);
            let (_, bob_connected_after) = found_and_connected(&mut bob, &name);
            // Of the two, whoever found the other first, dialled.
            connected.push(connected_after.max(bob_connected_after));
            alice.type_line("/quit");
            wait(&mut bob, "disconnected", &name);
        }
        println!("found after {found:.1?} ms, connected {connected:.1?} ms later");
        let median = |times: &mut Vec<f64>| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        };
        let (found, connected) = (median(&mut found), median(&mut connected));
        assert!(found < 150.0, "found after {found} ms");
        assert!(connected < 50.0, "connected {connected} ms after it was found");
    });
}

/// Milliseconds until a peer was found, and from there until it was connected: negative when it
/// was the other that found.
fn found_and_connected(program: &mut Program, name: &str) -> (f64, f64) {
    let (mut found_at, mut connected_at) = (None, None);
    while found_at.is_none() || connected_at.is_none() {
        program.wait_json(name, PATIENCE, |value| {
            let at = value["at"].as_f64()? * 1e3;
            found_at = found_at.or(is(value, "peer_found", name).then_some(at));
            connected_at = connected_at.or(is(value, "connected", name).then_some(at));
            Some(())
        });
    }
    let (found_at, connected_at) = (found_at.unwrap(), connected_at.unwrap());
    (found_at, connected_at - found_at)
}
