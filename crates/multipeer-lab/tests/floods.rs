//! Sessions among strangers that mean harm.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{PATIENCE, built, chat, count, multipeer, round_trip, wait};
use multipeer_lab::run_in_lab;

#[test]
fn a_flood_of_strangers_neither_slows_members_nor_fills_the_memory() {
    run_in_lab("a_flood_of_strangers_neither_slows_members_nor_fills_the_memory", |mut lab| {
        let network = lab.network().unwrap();
        let [a, b, c] = [(); 3].map(|()| lab.host_on(network).unwrap());
        let port = ["--port", "7007"];
        let arguments = [&["chat", "--json", "--name", "Bob"][..], &port].concat();
        let mut bob = b.spawn(&multipeer(), &arguments).unwrap();
        let mut carol = chat(&c, "Carol");
        let id = wait(&mut carol, "connected", "Bob")["peer"]["id"].as_str().unwrap().to_owned();
        wait(&mut bob, "connected", "Carol");
        // The pinger is a member while it pings, and comes back in the middle of the flood.
        let ping = || round_trip(&c, "Bob", 300);
        let quiet = ping();
        let memory = bob.memory();
        let address = format!("{}:7007", b.address());
        let mut strangers = a.spawn(&built("strangers"), &[&id, &address, "12"]).unwrap();
        let mut most = 0;
        let mut loud = Vec::new();
        for _ in 0..2 {
            loud.push(ping());
            most = most.max(bob.memory());
        }
        let loud = loud.into_iter().fold(f64::MAX, f64::min);
        let counts = strangers.wait_json("the end of the flood", PATIENCE, |value| {
            (value["event"] == "strangers").then(|| value.clone())
        });
        most = most.max(bob.memory());
        let grown = most.saturating_sub(memory) >> 20;
        println!("round trip p50: quiet {quiet} us, loud {loud} us; {grown} MiB more; {counts}");
        // So many that it was one, and turned away before they cost anything.
        assert!(counts["linked"].as_u64().unwrap() >= 16, "{counts}");
        assert!(counts["refused"].as_u64().unwrap() >= 500, "{counts}");
        assert!(loud < quiet * 2.0, "{loud} against {quiet}");
        assert!(grown < 32, "{grown} MiB more than before");
        let lines = carol.all_lines(Duration::ZERO);
        assert_eq!(count(&lines, "disconnected", "Bob"), 0, "{lines:?}");
    });
}
