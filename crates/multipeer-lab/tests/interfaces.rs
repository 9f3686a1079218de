//! Which interfaces are used, where a machine has more than those that lead to the others.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::{PATIENCE, add_interface, chat_with as chat, counted, wait};
use multipeer_lab::{Host, Lab, run_in_lab};

/// An interface of this name besides, that leads nowhere, and on which is counted what programs send: the system tells
/// of groups that are listened to for a moment.
fn add_counted(host: &Host, name: &str, address: &str) {
    add_interface(host, name, address);
    host.run("iptables", &["-A", "OUTPUT", "-o", name, "-p", "udp"]).unwrap();
}

/// Packets that went out on the interface that was added.
fn sent(host: &Host) -> u64 {
    counted(host, "OUTPUT")[0]
}

/// Two hosts on one network, with an interface of this name each besides, meet without it.
fn meet_without(lab: &mut Lab, interface: &str, address: &str, asked_for: &str) {
    let network = lab.network().unwrap();
    let hosts = [(); 2].map(|()| lab.host_on(network).unwrap());
    hosts.iter().for_each(|host| add_counted(host, interface, address));
    hosts.iter().for_each(|host| {
        host.run("ip", &["route", "add", "default", "dev", interface]).unwrap();
    });
    let mut alice = chat(&hosts[0], "Alice", &[]);
    let started = Instant::now();
    let mut bob = chat(&hosts[1], "Bob", &[]);
    let connected = wait(&mut bob, "connected", "Alice");
    let took = started.elapsed();
    println!("{} in {took:.2?}, beside {interface}", connected["route"]);
    assert!(connected["route"].as_str().unwrap().contains(" 10.77."), "{connected}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    wait(&mut alice, "connected", "Bob");
    assert_eq!(hosts.each_ref().map(sent), [0, 0], "nothing goes out on {interface}");
    let mut carol = chat(&hosts[0], "Carol", &[asked_for]);
    wait(&mut carol, "connected", "Bob");
    let deadline = Instant::now() + PATIENCE;
    while sent(&hosts[0]) == 0 {
        assert!(Instant::now() < deadline, "nothing goes out on {interface} with {asked_for}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_networks_of_containers_are_left_out_unless_they_are_asked_for() {
    let name = "the_networks_of_containers_are_left_out_unless_they_are_asked_for";
    run_in_lab(name, |mut lab| meet_without(&mut lab, "docker0", "172.17.0.1/16", "--containers"));
}

#[test]
fn a_tunnel_with_the_default_route_is_left_out_unless_it_is_asked_for() {
    let name = "a_tunnel_with_the_default_route_is_left_out_unless_it_is_asked_for";
    run_in_lab(name, |mut lab| meet_without(&mut lab, "tun0", "10.8.0.2/24", "--tunnels"));
}

#[test]
fn who_has_nothing_but_what_is_left_out_is_told_so_and_what_to_do() {
    run_in_lab("who_has_nothing_but_what_is_left_out_is_told_so_and_what_to_do", |mut lab| {
        let network = lab.network().unwrap();
        let host = lab.host_on(network).unwrap();
        host.run("ip", &["link", "delete", "eth0"]).unwrap();
        add_interface(&host, "docker0", "172.17.0.1/16");
        let mut alice = chat(&host, "Alice", &[]);
        let told = alice.wait_json("a problem", PATIENCE, |value| {
            (value["event"] == "error").then(|| value["message"].to_string())
        });
        println!("{told}");
        assert!(told.contains("docker0, a container") && told.contains("by its name"), "{told}");
    });
}
