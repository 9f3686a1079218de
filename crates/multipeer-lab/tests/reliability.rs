//! What happens to sessions when networks break: docs/reliability.md has the figures.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{
    thread,
    time::{Duration, Instant},
};

use common::{PATIENCE, chat_with, count, counted, is, wait};
use multipeer_lab::{Host, Lab, Program, run_in_lab};
use serde_json::Value;

/// A chat whose peers have a minute to come back.
fn chat(host: &Host, name: &str) -> Program {
    chat_with(host, name, &["--reconnect-window", "60"])
}

/// Alice and Bob on one network, connected.
fn pair(lab: &mut Lab) -> ([Host; 2], [Program; 2]) {
    let network = lab.network().unwrap();
    let hosts = [(); 2].map(|()| lab.host_on(network).unwrap());
    let (mut alice, mut bob) = (chat(&hosts[0], "Alice"), chat(&hosts[1], "Bob"));
    wait(&mut alice, "connected", "Bob");
    wait(&mut bob, "connected", "Alice");
    (hosts, [alice, bob])
}

fn viability(program: &mut Program, name: &str, viable: bool) {
    program.wait_json(&format!("{name} viable: {viable}"), PATIENCE, |value| {
        (is(value, "viability", name) && value["viable"] == viable).then_some(())
    });
}

/// Waits for these messages, in this order and with nothing between them.
fn messages(program: &mut Program, from: &str, numbers: std::ops::Range<u32>) {
    for number in numbers {
        assert_eq!(wait(program, "message", from)["text"], format!("message {number}"));
    }
}

fn say(program: &mut Program, numbers: std::ops::Range<u32>) {
    numbers.for_each(|number| program.type_line(&format!("message {number}")));
}

#[test]
fn a_cable_that_is_out_for_5_s_loses_none_of_10000_messages() {
    run_in_lab("a_cable_that_is_out_for_5_s_loses_none_of_10000_messages", |mut lab| {
        let (hosts, [mut alice, mut bob]) = pair(&mut lab);
        hosts[1].unplug().unwrap();
        let pulled = Instant::now();
        say(&mut alice, 0..10_000);
        viability(&mut alice, "Bob", false);
        viability(&mut bob, "Alice", false);
        let noticed = pulled.elapsed();
        assert!(noticed < Duration::from_secs(4), "not viable after {noticed:?}");
        thread::sleep(Duration::from_secs(5).saturating_sub(pulled.elapsed()));
        hosts[1].plug().unwrap();
        let plugged = Instant::now();
        messages(&mut bob, "Alice", 0..1);
        let back = plugged.elapsed();
        messages(&mut bob, "Alice", 1..10_000);
        let all = plugged.elapsed();
        viability(&mut alice, "Bob", true);
        println!("noticed after {noticed:.1?}, back {back:.2?} after the cable, all {all:.2?}");
        assert!(back < Duration::from_secs(1), "back {back:?} after the cable was");
        for (program, other) in [(&mut alice, "Bob"), (&mut bob, "Alice")] {
            let lines = program.all_lines(Duration::from_millis(500));
            assert_eq!(count(&lines, "disconnected", other), 0);
            assert_eq!(count(&lines, "viability", other), 2);
        }
        assert_eq!(count(&bob.all_lines(Duration::ZERO), "message", "Alice"), 10_000);
    });
}

#[test]
fn a_cable_that_is_out_for_20_s_brings_everything_when_it_is_back() {
    run_in_lab("a_cable_that_is_out_for_20_s_brings_everything_when_it_is_back", |mut lab| {
        let (hosts, [mut alice, mut bob]) = pair(&mut lab);
        hosts[1].unplug().unwrap();
        // Far beyond the life of a link: another one has to come about.
        thread::sleep(Duration::from_secs(20));
        say(&mut alice, 0..100);
        say(&mut bob, 0..100);
        hosts[1].plug().unwrap();
        let plugged = Instant::now();
        messages(&mut bob, "Alice", 0..100);
        messages(&mut alice, "Bob", 0..100);
        let back = plugged.elapsed();
        println!("back {back:.2?} after the cable was");
        assert!(back < Duration::from_secs(4), "back {back:?} after the cable was");
        let lines = alice.all_lines(Duration::from_millis(500));
        assert_eq!(count(&lines, "disconnected", "Bob"), 0);
    });
}

#[test]
fn a_killed_peer_is_not_viable_within_3_s() {
    run_in_lab("a_killed_peer_is_not_viable_within_3_s", |mut lab| {
        let (_hosts, [mut alice, mut bob]) = pair(&mut lab);
        bob.kill();
        let killed = Instant::now();
        viability(&mut alice, "Bob", false);
        let noticed = killed.elapsed();
        println!("noticed after {noticed:.1?}");
        assert!(noticed < Duration::from_secs(3) + Duration::from_millis(300), "{noticed:?}");
    });
}

#[test]
fn who_was_asleep_is_back_at_once_and_blames_nobody() {
    run_in_lab("who_was_asleep_is_back_at_once_and_blames_nobody", |mut lab| {
        let (_hosts, [mut alice, mut bob]) = pair(&mut lab);
        bob.sleep(true).unwrap();
        viability(&mut alice, "Bob", false);
        say(&mut alice, 0..100);
        thread::sleep(Duration::from_secs(15));
        bob.sleep(false).unwrap();
        let woken = Instant::now();
        messages(&mut bob, "Alice", 0..100);
        viability(&mut alice, "Bob", true);
        println!("back {:.2?} after it woke", woken.elapsed());
        say(&mut bob, 0..100);
        messages(&mut alice, "Bob", 0..100);
        for (program, other) in [(&mut alice, "Bob"), (&mut bob, "Alice")] {
            let lines = program.all_lines(Duration::from_millis(500));
            assert_eq!(count(&lines, "disconnected", other), 0, "{lines:#?}");
        }
    });
}

#[test]
fn an_address_that_changes_loses_no_message() {
    run_in_lab("an_address_that_changes_loses_no_message", |mut lab| {
        let (hosts, [mut alice, mut bob]) = pair(&mut lab);
        let own = format!("{}/24", hosts[1].address());
        let other = own.replace(".2/24", ".222/24");
        assert_ne!(own, other);
        say(&mut alice, 0..100);
        hosts[1].run("ip", &["address", "del", &own, "dev", "eth0"]).unwrap();
        hosts[1].run("ip", &["address", "add", &other, "dev", "eth0"]).unwrap();
        let changed = Instant::now();
        say(&mut alice, 100..200);
        say(&mut bob, 0..100);
        messages(&mut bob, "Alice", 0..200);
        messages(&mut alice, "Bob", 0..100);
        let back = changed.elapsed();
        println!("everything arrived {back:.2?} after the address was another");
        assert!(back < Duration::from_secs(4), "{back:?}");
        // It may have been told before the messages.
        let lines = alice.all_lines(Duration::from_secs(1));
        let values = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let paths: Vec<Value> = values.filter(|value| is(value, "path", "Bob")).collect();
        let latest = paths.last().unwrap()["route"].as_str().unwrap();
        assert!(latest.contains(".222:"), "{latest}");
        assert_eq!(count(&lines, "disconnected", "Bob"), 0, "{lines:#?}");
    });
}

#[test]
fn an_idle_link_costs_less_than_200_bytes_a_second() {
    run_in_lab("an_idle_link_costs_less_than_200_bytes_a_second", |mut lab| {
        let (hosts, [mut alice, _bob]) = pair(&mut lab);
        // Rules without a target only count, in bytes of IP.
        let other = hosts[0].address();
        let rules = [["-A", "INPUT", "-s", &other], ["-A", "OUTPUT", "-d", &other]];
        if let Err(error) =
            rules.iter().try_for_each(|rule| hosts[1].run("iptables", rule).map(drop))
        {
            println!("SKIPPED: iptables does not work here: {error}");
            return;
        }
        let bytes = || -> u64 {
            ["INPUT", "OUTPUT"].map(|chain| counted(&hosts[1], chain)[1]).iter().sum()
        };
        // What is said at the beginning is said: announcements, and the size of packets.
        alice.all_lines(Duration::from_secs(6));
        let (before, start) = (bytes(), Instant::now());
        alice.all_lines(Duration::from_secs(15));
        let sent = u32::try_from(bytes() - before).unwrap();
        let rate = f64::from(sent) / start.elapsed().as_secs_f64();
        println!("{rate:.0} bytes a second, both ways");
        assert!((20.0..200.0).contains(&rate), "{rate:.0} bytes a second");
    });
}

#[test]
fn who_is_in_the_background_says_so_is_found_and_can_be_nudged() {
    run_in_lab("who_is_in_the_background_says_so_is_found_and_can_be_nudged", |mut lab| {
        let network = lab.network().unwrap();
        let hosts = [(); 3].map(|()| lab.host_on(network).unwrap());
        let (mut alice, mut bob) = (chat(&hosts[0], "Alice"), chat(&hosts[1], "Bob"));
        wait(&mut alice, "connected", "Bob");
        wait(&mut bob, "connected", "Alice");
        bob.type_line("/away");
        assert_eq!(wait(&mut alice, "activity", "Bob")["activity"], "background");
        alice.type_line("/nudge Bob dinner is ready");
        assert_eq!(wait(&mut bob, "nudged", "Alice")["text"], "dinner is ready");
        // A newcomer finds it, and is told.
        let mut carol = chat(&hosts[2], "Carol");
        let mut missing = vec!["Alice", "Bob"];
        while !missing.is_empty() {
            let name = carol.wait_json("a connection", PATIENCE, |value| {
                (value["event"] == "connected").then(|| value["peer"]["name"].clone())
            });
            missing.retain(|other| name != *other);
        }
        common::ensure(&mut carol, "activity", "Bob");
        bob.type_line("/back");
        carol.wait_json("Bob's return", PATIENCE, |value| {
            (is(value, "activity", "Bob") && value["activity"] == "foreground").then_some(())
        });
    });
}
