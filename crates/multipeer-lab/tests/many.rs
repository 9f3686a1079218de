//! A hundred peers on one network: how soon they are found, and what they send when nothing happens.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::{PATIENCE, built, counted, multipeer};
use multipeer_lab::run_in_lab;

#[test]
fn a_hundred_peers_are_found_within_three_seconds_and_send_next_to_nothing_afterwards() {
    let name = "a_hundred_peers_are_found_within_three_seconds_and_send_next_to_nothing_afterwards";
    run_in_lab(name, |mut lab| {
        let network = lab.network().unwrap();
        let (here, there) = (lab.host_on(network).unwrap(), lab.host_on(network).unwrap());
        // What programs send, of both families together.
        for program in ["iptables", "ip6tables"] {
            there.run(program, &["-A", "OUTPUT", "-o", "eth0", "-p", "udp"]).unwrap();
        }
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
        let [before, _] = sent(&there);
        let idle = Duration::from_secs(20);
        alice.all_lines(idle);
        let [after, _] = sent(&there);
        let rate = Duration::from_secs(after - before).as_secs_f64() / idle.as_secs_f64() / 100.0;
        println!("100 found in {took:.2?}; idle {rate:.3} packets a second for each");
        assert!(took < Duration::from_secs(3), "{took:?}");
        assert!(rate < 2.0, "{rate} packets a second for each");
    });
}

/// Packets and bytes that the host's programs have sent.
fn sent(host: &multipeer_lab::Host) -> [u64; 2] {
    let [packets, bytes] = counted(host, "OUTPUT");
    let output = host.run("ip6tables", &["-nvxL", "OUTPUT"]).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut words = text.lines().nth(2).unwrap().split_whitespace();
    let mut next = || words.next().unwrap().parse::<u64>().unwrap();
    [packets + next(), bytes + next()]
}
