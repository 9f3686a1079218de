//! What happens to sessions when networks break: docs/reliability.md has the figures.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{
    thread,
    time::{Duration, Instant},
};

use common::{PATIENCE, chat_with, connected_with, count, counted, is, wait};
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

/// Counts what a host says to others on its network, and hears from them; not what is said to all. False if that
/// cannot be done here.
fn counts_traffic(host: &Host) -> bool {
    let address = host.address();
    let network = format!("{}.0/24", address.rsplit_once('.').unwrap().0);
    // Rules without a target only count, in bytes of IP.
    let rules = ["INPUT", "OUTPUT"].map(|chain| ["-A", chain, "-s", &network, "-d", &network]);
    let set = rules.iter().try_for_each(|rule| host.run("iptables", rule).map(drop));
    if let Err(error) = &set {
        println!("SKIPPED: iptables does not work here: {error}");
    }
    set.is_ok()
}

/// What was counted in 15 seconds in which nothing is said.
fn bytes_per_second(host: &Host, program: &mut Program) -> f64 {
    let bytes = || -> u64 { ["INPUT", "OUTPUT"].map(|chain| counted(host, chain)[1]).iter().sum() };
    let (before, start) = (bytes(), Instant::now());
    program.all_lines(Duration::from_secs(15));
    f64::from(u32::try_from(bytes() - before).unwrap()) / start.elapsed().as_secs_f64()
}

#[test]
fn an_idle_link_costs_less_than_200_bytes_a_second() {
    run_in_lab("an_idle_link_costs_less_than_200_bytes_a_second", |mut lab| {
        let (hosts, [mut alice, _bob]) = pair(&mut lab);
        if !counts_traffic(&hosts[1]) {
            return;
        }
        // What is said at the beginning is said: announcements, and the size of packets.
        alice.all_lines(Duration::from_secs(6));
        let rate = bytes_per_second(&hosts[1], &mut alice);
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
        connected_with(&mut carol, &["Alice", "Bob"]);
        common::ensure(&mut carol, "activity", "Bob");
        bob.type_line("/back");
        carol.wait_json("Bob's return", PATIENCE, |value| {
            (is(value, "activity", "Bob") && value["activity"] == "foreground").then_some(())
        });
    });
}

#[test]
fn in_the_background_links_rest_and_who_is_gone_is_missed_all_the_same() {
    const COUNT: usize = 9;
    let names: Vec<String> = (0..COUNT).map(|number| format!("Peer {number}")).collect();
    run_in_lab("in_the_background_links_rest_and_who_is_gone_is_missed_all_the_same", |mut lab| {
        let network = lab.network().unwrap();
        let hosts: Vec<Host> = names.iter().map(|_| lab.host_on(network).unwrap()).collect();
        let mut chats: Vec<Program> =
            hosts.iter().zip(&names).map(|(host, name)| chat(host, name)).collect();
        for (index, program) in chats.iter_mut().enumerate() {
            let mut others: Vec<&str> = names.iter().map(String::as_str).collect();
            others.remove(index);
            connected_with(program, &others);
        }
        if !counts_traffic(&hosts[0]) {
            return;
        }
        let (away, others) = chats.split_first_mut().unwrap();
        away.all_lines(Duration::from_secs(6));
        let busy = bytes_per_second(&hosts[0], away);
        away.type_line("/away");
        for other in others.iter_mut() {
            wait(other, "activity", "Peer 0");
        }
        // Links rest after ten seconds in which nothing is said.
        away.all_lines(Duration::from_secs(14));
        let quiet = bytes_per_second(&hosts[0], away);
        println!("with 8 others: {busy:.0} bytes a second, in the background {quiet:.0}");
        // Three links of eight are kept.
        assert!(quiet < busy * 0.5 && quiet > 60.0, "{quiet:.0} of {busy:.0} bytes a second");
        others[0].type_line("are you there?");
        assert_eq!(wait(away, "message", "Peer 1")["text"], "are you there?");
        away.type_line("here I am");
        for other in others.iter_mut() {
            assert_eq!(wait(other, "message", "Peer 0")["text"], "here I am");
        }
        away.all_lines(Duration::from_secs(14));
        let start = Instant::now();
        away.kill();
        for other in others.iter_mut() {
            viability(other, "Peer 0", false);
        }
        let noticed = start.elapsed();
        println!("killed while its links rest: not viable for all after {noticed:.2?}");
        assert!(noticed < Duration::from_secs(6), "{noticed:?}");
        for other in others {
            let lines = other.all_lines(Duration::ZERO);
            assert_eq!(count(&lines, "disconnected", "Peer 0"), 0, "{lines:#?}");
        }
    });
}
