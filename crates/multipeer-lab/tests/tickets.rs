//! Tickets lead to those who cannot be heard.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::{PATIENCE, count, deafen, ensure, multipeer, routed, say, transfers::Folder, wait};
use multipeer_lab::{Host, Program, run_in_lab};

fn spawn(host: &Host, command: &[&str], name: &str) -> Program {
    host.spawn(&multipeer(), &[command, &["--json", "--name", name]].concat()).unwrap()
}

fn ticket(program: &mut Program) -> String {
    program.wait_json("a ticket", PATIENCE, |value| {
        (value["event"] == "ticket").then(|| value["ticket"].as_str().unwrap().to_owned())
    })
}

#[test]
fn whoever_has_a_ticket_gets_in_where_multicast_is_blocked_and_nobody_else_finds_anyone() {
    let name =
        "whoever_has_a_ticket_gets_in_where_multicast_is_blocked_and_nobody_else_finds_anyone";
    run_in_lab(name, |mut lab| {
        let network = lab.network().unwrap();
        let hosts = [(); 3].map(|()| lab.host_on(network).unwrap());
        hosts.iter().for_each(|host| deafen(host, &["multicast"]));
        let mut alice = spawn(&hosts[0], &["invite", "--passcode"], "Alice");
        let ticket = ticket(&mut alice);
        let mut carol = spawn(&hosts[2], &["chat", "--no-questions"], "Carol");
        let started = Instant::now();
        let mut bob = spawn(&hosts[1], &["join", &ticket], "Bob");
        wait(&mut bob, "connected", "Alice");
        println!("in {:.2?} after the start", started.elapsed());
        wait(&mut alice, "connected", "Bob");
        say(&mut bob, "Bob", &mut alice, "hello");
        say(&mut alice, "Alice", &mut bob, "hello yourself");
        let alone = carol.all_lines(Duration::from_secs(2));
        assert_eq!(count(&alone, "peer_found", "Alice"), 0, "{alone:?}");
    });
}

#[test]
fn a_ticket_or_an_address_leads_across_a_router() {
    run_in_lab("a_ticket_or_an_address_leads_across_a_router", |mut lab| {
        let (hosts, _router) = routed(&mut lab);
        let mut alice = spawn(&hosts[0], &["invite", "--port", "4477"], "Alice");
        let ticket = ticket(&mut alice);
        let started = Instant::now();
        let mut bob = spawn(&hosts[1], &["join", &ticket], "Bob");
        let connected = wait(&mut bob, "connected", "Alice");
        println!("in {:.2?} after the start, {}", started.elapsed(), connected["route"]);
        say(&mut bob, "Bob", &mut alice, "hello");
        let id = connected["peer"]["id"].as_str().unwrap();
        let address = format!("{id}@{}:4477", hosts[0].address());
        let mut dora = spawn(&hosts[1], &["chat", "--peer", &address], "Dora");
        wait(&mut dora, "connected", "Alice");
        // Who joined is introduced to the others, as always.
        ensure(&mut dora, "connected", "Bob");
        // Another key at the same address is not taken for hers.
        let other = format!("{}@{}:4477", "ab".repeat(32), hosts[0].address());
        let mut eve =
            spawn(&hosts[0], &["ping", &other[..64], "--peer", &other, "--wait", "3"], "Eve");
        assert_ne!(eve.wait(), Some(0), "{:?}", eve.all_lines(Duration::ZERO));
    });
}

#[test]
fn paired_devices_find_each_other_where_they_were_last_with_nothing_but_single_packets() {
    let test =
        "paired_devices_find_each_other_where_they_were_last_with_nothing_but_single_packets";
    run_in_lab(test, |mut lab| {
        let folder = Folder::new("remembered");
        let network = lab.network().unwrap();
        let hosts = [(); 2].map(|()| lab.host_on(network).unwrap());
        for host in &hosts {
            // Too many addresses to ask them all.
            let address = format!("{}/16", host.address());
            host.run("ip", &["address", "flush", "dev", "eth0"]).unwrap();
            host.run("ip", &["address", "add", &address, "dev", "eth0"]).unwrap();
        }
        let identities = ["alice", "bob"].map(|name| folder.path(name));
        let passcode = folder.path("passcode");
        std::fs::write(&passcode, "481516").unwrap();
        let start = |index: usize, arguments: &[&str]| {
            let arguments = [&["chat", "--identity", &identities[index]], arguments].concat();
            spawn(&hosts[index], &arguments, ["Alice", "Bob"][index])
        };
        let meet = |arguments: &[&str]| {
            let mut both = [0, 1].map(|index| start(index, arguments));
            let started = Instant::now();
            let [alice, bob] = &mut both;
            wait(alice, "connected", "Bob");
            ensure(bob, "connected", "Alice");
            say(bob, "Bob", alice, "hello");
            say(alice, "Alice", bob, "hello yourself");
            println!("in {:.2?}", started.elapsed());
            alice.all_lines(Duration::ZERO).join("\n")
        };
        meet(&["--pair", "--passcode-file", &passcode]);
        hosts.iter().for_each(|host| deafen(host, &["multicast", "broadcast"]));
        let lines = meet(&["--paired"]);
        assert!(lines.contains("\"remembered\""), "{lines}");
    });
}
