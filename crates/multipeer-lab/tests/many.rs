//! A hundred peers on one network: how soon they are found, and what they send when nothing happens.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::{PATIENCE, built, counted_by, multipeer, rule};
use multipeer_lab::{Host, run_in_lab};

#[test]
fn a_hundred_peers_are_found_within_three_seconds_and_send_next_to_nothing_afterwards() {
    let name = "a_hundred_peers_are_found_within_three_seconds_and_send_next_to_nothing_afterwards";
    run_in_lab(name, |mut lab| {
        let network = lab.network().unwrap();
        let (here, there) = (lab.host_on(network).unwrap(), lab.host_on(network).unwrap());
        // What programs send, of both families together.
        rule(&there, "-A OUTPUT -o eth0 -p udp");
        let mut crowd = there.spawn(&built("crowd"), &["peers", "100", "chat"]).unwrap();
        crowd.wait_line("ready", PATIENCE);
        // What was announced last may be said again a second later (RFC 6762, section 6).
        crowd.all_lines(Duration::from_secs(2));
        let browse = ["browse", "--json", "--service", "chat", "--name", "Alice"];
        let started = Instant::now();
        let mut alice = here.spawn(&multipeer(), &browse).unwrap();
        for _ in 0..100 {
            alice.wait_json("a peer", PATIENCE, |value| {
                (value["event"] == "peer_found").then_some(())
            });
        }
        let took = started.elapsed();
        alice.all_lines(Duration::from_secs(5));
        let before = sent(&there);
        let idle = Duration::from_secs(20);
        alice.all_lines(idle);
        let after = sent(&there);
        let rate = Duration::from_secs(after - before).as_secs_f64() / idle.as_secs_f64() / 100.0;
        println!("100 found in {took:.2?}; idle {rate:.3} packets a second for each");
        assert!(took < Duration::from_secs(3), "{took:?}");
        assert!(rate < 2.0, "{rate} packets a second for each");
    });
}

/// Packets that the host's programs have sent.
fn sent(host: &Host) -> u64 {
    ["iptables", "ip6tables"].map(|program| counted_by(program, host, "OUTPUT")[0]).iter().sum()
}
