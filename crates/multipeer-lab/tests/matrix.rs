//! The matrix of networks: on each, two find each other in time, or the doctor says by name why they cannot.
//! `cargo xtask matrix` writes what came of it into docs/discovery.md.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::{
    PATIENCE, add_interface, avahi_with, available, beside_avahi, built, chat_with as chat, deafen,
    ensure, fake_clock,
    matrix::{
        WITH_MULTICAST, WITHOUT, causes, diagnose, diagnose_with, finish, meet, meet_with, note,
        notices, pair, reports, told, ways,
    },
    multipeer, routed, rule, say, wait, with_avahi,
};
use multipeer_lab::run_in_lab;

#[test]
fn a_plain_network() {
    run_in_lab("a_plain_network", |mut lab| {
        let hosts = pair(&mut lab);
        let met = meet(1, "a plain network, without a default route", &hosts, WITH_MULTICAST);
        drop(met);
        told(2, "the same, with a doctor on both", [&hosts[0], &hosts[1]], ["fine", "fine"]);
    });
}

#[test]
fn without_ipv4() {
    run_in_lab("without_ipv4", |mut lab| {
        let hosts = pair(&mut lab);
        for (host, address) in hosts.iter().zip(["fd00:77::1/64", "fd00:77::2/64"]) {
            host.run("ip", &["-4", "address", "flush", "dev", "eth0"]).unwrap();
            host.run("ip", &["address", "add", address, "dev", "eth0", "nodad"]).unwrap();
        }
        meet(3, "IPv6 only", &hosts, WITH_MULTICAST);
    });
}

#[test]
fn with_link_local_addresses_only() {
    run_in_lab("with_link_local_addresses_only", |mut lab| {
        let hosts = pair(&mut lab);
        for host in &hosts {
            host.run("ip", &["-4", "address", "flush", "dev", "eth0"]).unwrap();
        }
        // An address that nobody gives can be used when nobody else is known to have it.
        let tentative =
            "until [ -z \"$(ip -6 address show dev eth0 tentative)\" ]; do sleep 0.1; done";
        hosts
            .iter()
            .for_each(|host| _ = host.run("timeout", &["10", "sh", "-c", tentative]).unwrap());
        let network = "link-local addresses only (one interface, named)";
        meet_with(4, network, [&hosts[0], &hosts[1]], WITH_MULTICAST, &["--interface", "eth0"]);
    });
}

#[test]
fn peers_on_different_interfaces() {
    run_in_lab("peers_on_different_interfaces", |mut lab| {
        let networks = [(); 2].map(|()| lab.network().unwrap());
        let mut both = lab.host_on(networks[0]).unwrap();
        both.attach(networks[1]).unwrap();
        let others = networks.map(|network| lab.host_on(network).unwrap());
        let started = Instant::now();
        let mut alice = chat(&both, "Alice", &[]);
        let mut bob = chat(&others[0], "Bob", &[]);
        let mut carol = chat(&others[1], "Carol", &[]);
        let network = "two interfaces, peers on different ones";
        wait(&mut carol, "connected", "Alice");
        finish(5, network, [&mut alice, &mut bob], started, WITH_MULTICAST);
        ensure(&mut alice, "connected", "Carol");
    });
}

#[test]
fn an_interface_that_is_added_after_the_start() {
    run_in_lab("an_interface_that_is_added_after_the_start", |mut lab| {
        let network = lab.network().unwrap();
        let (mut late, there) = (lab.host().unwrap(), lab.host_on(network).unwrap());
        let mut alice = chat(&late, "Alice", &[]);
        let mut bob = chat(&there, "Bob", &[]);
        alice.wait_json("a problem", PATIENCE, |value| (value["event"] == "error").then_some(()));
        late.attach(network).unwrap();
        let (started, name) = (Instant::now(), "an interface that is added after the start");
        // Interfaces are looked at every two seconds.
        finish(6, name, [&mut alice, &mut bob], started, Duration::from_secs(4));
    });
}

#[test]
fn an_address_that_changes_and_a_cable_that_is_pulled() {
    run_in_lab("an_address_that_changes_and_a_cable_that_is_pulled", |mut lab| {
        let hosts = pair(&mut lab);
        let mut alice = chat(&hosts[0], "Alice", &[]);
        let mut bob = chat(&hosts[1], "Bob", &[]);
        wait(&mut alice, "connected", "Bob");
        ensure(&mut bob, "connected", "Alice");
        for (number, network) in [
            (7, "the address changed after the start"),
            (8, "the interface down for 3 s, and up again"),
        ] {
            if number == 7 {
                let old = format!("{}/24", hosts[0].address());
                // A second address on a network goes with the first one.
                hosts[0].run("ip", &["address", "delete", &old, "dev", "eth0"]).unwrap();
                hosts[0].run("ip", &["address", "add", "10.77.1.99/24", "dev", "eth0"]).unwrap();
            } else {
                hosts[0].run("ip", &["link", "set", "eth0", "down"]).unwrap();
                std::thread::sleep(Duration::from_secs(3));
                hosts[0].run("ip", &["link", "set", "eth0", "up"]).unwrap();
                hosts[0]
                    .run("ip", &["address", "replace", "10.77.1.99/24", "dev", "eth0"])
                    .unwrap();
            }
            let started = Instant::now();
            say(&mut bob, "Bob", &mut alice, network);
            say(&mut alice, "Alice", &mut bob, network);
            let took = started.elapsed();
            note(number, network, "still connected, heard again after", "", Some(took));
            assert!(took < WITHOUT, "{took:?}");
        }
    });
}

#[test]
fn a_tunnel_that_has_the_default_route() {
    run_in_lab("a_tunnel_that_has_the_default_route", |mut lab| {
        let hosts = pair(&mut lab);
        for host in &hosts {
            add_interface(host, "tun0", "10.8.0.2/24");
            host.run("ip", &["route", "add", "default", "dev", "tun0"]).unwrap();
        }
        meet(9, "a tunnel with the default route (VPN)", &hosts, WITH_MULTICAST);
    });
}

#[test]
fn a_tunnel_with_the_default_route_and_nobody_near() {
    run_in_lab("a_tunnel_with_the_default_route_and_nobody_near", |mut lab| {
        let network = lab.network().unwrap();
        let host = lab.host_on(network).unwrap();
        add_interface(&host, "tun0", "10.8.0.2/24");
        // As OpenVPN does it, which leaves the real default route where it is.
        for half in ["0.0.0.0/1", "128.0.0.0/1"] {
            host.run("ip", &["route", "add", half, "dev", "tun0"]).unwrap();
        }
        let mut alice = chat(&host, "Alice", &[]);
        notices(&mut alice, "the tunnel tun0 has the default route");
        drop(alice);
        let [causes] = diagnose([&host]);
        assert_eq!(causes, ["alone", "tunnel"]);
        let network = "a tunnel with the default route, and nobody near";
        note(34, network, "told why not, or how it is", "`doctor`: alone, tunnel", None);
    });
}

#[test]
fn a_tunnel_that_takes_what_is_for_the_local_network() {
    run_in_lab("a_tunnel_that_takes_what_is_for_the_local_network", |mut lab| {
        let hosts = pair(&mut lab);
        add_interface(&hosts[0], "tun0", "10.8.0.2/24");
        for half in ["10.77.1.0/25", "10.77.1.128/25"] {
            hosts[0].run("ip", &["route", "add", half, "dev", "tun0"]).unwrap();
        }
        let mut alice = chat(&hosts[0], "Alice", &[]);
        notices(&mut alice, "the tunnel tun0 takes what is for the local network 10.77.1.");
        drop(alice);
        let network = "a tunnel on one of the two that takes what is for the local network";
        told(35, network, [&hosts[0], &hosts[1]], ["tunnel-takes-local", "udp-blocked"]);
    });
}

#[test]
fn interfaces_that_carry_no_multicast() {
    run_in_lab("interfaces_that_carry_no_multicast", |mut lab| {
        let hosts = pair(&mut lab);
        for host in &hosts {
            host.run("ip", &["link", "set", "eth0", "multicast", "off"]).unwrap();
            // As a network card does then: these here deliver it all the same.
            host.withhold_multicast().unwrap();
        }
        let [mut alice, bob] = meet(36, "interfaces without multicast", &hosts, WITHOUT);
        notices(&mut alice, "carries no multicast");
        drop((alice, bob));
        let network = "the same, with a doctor on both";
        told(37, network, [&hosts[0], &hosts[1]], ["no-multicast", "no-multicast"]);
    });
}

#[test]
fn clocks_that_are_wrong() {
    if !available(&["faketime"]) {
        return;
    }
    run_in_lab("clocks_that_are_wrong", |mut lab| {
        let hosts = pair(&mut lab);
        for (number, offset, network) in [
            (38, "-1h", "a clock that is an hour late"),
            (39, "-9000d", "a clock that is years late"),
        ] {
            let preload = format!("LD_PRELOAD={}", fake_clock());
            let offset = format!("FAKETIME={offset}");
            let clock = [&preload, &offset, "FAKETIME_DONT_FAKE_MONOTONIC=1"];
            let causes = diagnose_with([(&hosts[0], &clock), (&hosts[1], &[])]);
            let first = causes.each_ref().map(|causes| causes[0].as_str());
            assert_eq!(first, ["wrong-clock"; 2], "{network}: {causes:?}");
            note(number, network, "told why not, or how it is", "`doctor`: wrong-clock", None);
        }
    });
}

#[test]
fn packets_that_are_too_small() {
    run_in_lab("packets_that_are_too_small", |mut lab| {
        let hosts = pair(&mut lab);
        for host in &hosts {
            host.run("ip", &["link", "set", "eth0", "mtu", "1000"]).unwrap();
        }
        let network = "packets of 1,000 bytes at most";
        told(40, network, [&hosts[0], &hosts[1]], ["small-packets", "small-packets"]);
    });
}

#[test]
fn a_lossy_network_under_examination() {
    run_in_lab("a_lossy_network_under_examination", |mut lab| {
        let hosts = pair(&mut lab);
        for host in &hosts {
            rule(host, "-A INPUT -m statistic --mode random --probability 0.3 -j DROP");
        }
        let network = "loss of 30 % in each direction, with a doctor on both";
        told(41, network, [&hosts[0], &hosts[1]], ["lossy", "lossy"]);
    });
}

#[test]
fn a_tunnel_that_cuts_off_the_local_network() {
    run_in_lab("a_tunnel_that_cuts_off_the_local_network", |mut lab| {
        let hosts = pair(&mut lab);
        for host in &hosts {
            add_interface(host, "tun0", "10.8.0.2/24");
            host.run("ip", &["route", "add", "default", "dev", "tun0"]).unwrap();
            // As a VPN's "kill switch" does.
            rule(host, "-A INPUT -i eth0 -j DROP");
        }
        let network = "a tunnel that cuts off the local network (\"kill switch\")";
        told(10, network, [&hosts[0], &hosts[1]], ["firewall-here", "firewall-here"]);
    });
}

#[test]
fn the_network_of_containers_beside_the_real_one() {
    run_in_lab("the_network_of_containers_beside_the_real_one", |mut lab| {
        let hosts = pair(&mut lab);
        hosts.iter().for_each(|host| add_interface(host, "docker0", "172.17.0.1/16"));
        meet(11, "a container bridge beside the real network", &hosts, WITH_MULTICAST);
    });
}

#[test]
fn multicast_that_is_dropped_on_both_sides() {
    run_in_lab("multicast_that_is_dropped_on_both_sides", |mut lab| {
        let hosts = pair(&mut lab);
        hosts.iter().for_each(|host| host.withhold_multicast().unwrap());
        drop(meet(12, "multicast dropped both ways", &hosts, WITHOUT));
        let network = "the same, with a doctor on both";
        told(13, network, [&hosts[0], &hosts[1]], ["multicast-blocked", "multicast-blocked"]);
    });
}

#[test]
fn multicast_that_is_dropped_on_one_side() {
    run_in_lab("multicast_that_is_dropped_on_one_side", |mut lab| {
        let hosts = pair(&mut lab);
        hosts[1].withhold_multicast().unwrap();
        drop(meet(14, "multicast dropped one way", &hosts, WITH_MULTICAST));
        let network = "the same, with a doctor on both";
        told(15, network, [&hosts[0], &hosts[1]], ["multicast-one-way", "multicast-one-way"]);
    });
}

#[test]
fn the_port_of_multicast_dns_that_is_dropped() {
    run_in_lab("the_port_of_multicast_dns_that_is_dropped", |mut lab| {
        let hosts = pair(&mut lab);
        for host in &hosts {
            rule(host, "-A INPUT -p udp --dport 5353 -j DROP");
            rule(host, "-A OUTPUT -p udp --dport 5353 -j DROP");
        }
        let [mut alice, bob] = meet(16, "UDP 5353 dropped by the hosts", &hosts, WITHOUT);
        notices(&mut alice, "a firewall on this device drops it");
        drop((alice, bob));
        let network = "the same, with a doctor on both";
        told(17, network, [&hosts[0], &hosts[1]], ["firewall-here", "firewall-here"]);
    });
}

#[test]
fn multicast_and_broadcast_that_are_dropped() {
    run_in_lab("multicast_and_broadcast_that_are_dropped", |mut lab| {
        let hosts = pair(&mut lab);
        // Who has which address is asked by broadcast below IP, which such networks answer themselves.
        hosts.iter().for_each(|host| deafen(host, &["multicast", "broadcast"]));
        meet(18, "all multicast and broadcast dropped", &hosts, WITHOUT);
    });
}

#[test]
fn an_access_point_that_keeps_its_clients_apart() {
    run_in_lab("an_access_point_that_keeps_its_clients_apart", |mut lab| {
        let network = lab.network().unwrap();
        let [alice, bob] = [(); 2].map(|()| lab.host_on(network).unwrap());
        [&alice, &bob].into_iter().for_each(|host| host.isolate().unwrap());
        told(20, "client isolation, without a hub", [&alice, &bob], ["alone", "alone"]);
        let hub = lab.host_on(network).unwrap();
        let _hub = hub.spawn(&multipeer(), &["hub", "--name", "Hub"]).unwrap();
        let name = "client isolation, with a hub";
        meet_with(19, name, [&alice, &bob], Duration::from_secs(4), &[]);
    });
}

#[test]
fn networks_with_a_router_between_them() {
    run_in_lab("networks_with_a_router_between_them", |mut lab| {
        let (hosts, _router) = routed(&mut lab);
        let network = "different subnets, a router, no multicast across";
        told(21, network, [&hosts[0], &hosts[1]], ["alone", "alone"]);
        let mut alice = chat(&hosts[0], "Alice", &[]);
        let (started, address) = (Instant::now(), hosts[0].address());
        let mut bob = chat(&hosts[1], "Bob", &["--peer", &address]);
        let network = "the same, with the address of one given by hand";
        finish(22, network, [&mut alice, &mut bob], started, WITH_MULTICAST);
    });
}

#[test]
fn a_host_that_takes_nothing_that_it_did_not_ask_for() {
    run_in_lab("a_host_that_takes_nothing_that_it_did_not_ask_for", |mut lab| {
        let hosts = pair(&mut lab);
        rule(&hosts[1], "-A INPUT -i lo -j ACCEPT");
        rule(&hosts[1], "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT");
        rule(&hosts[1], "-A INPUT -p udp -j DROP");
        let network = "a host firewall that drops all UDP that was not asked for";
        drop(meet(23, network, &hosts, WITHOUT));
        let causes = diagnose([&hosts[0], &hosts[1]]);
        assert_eq!(causes[1].first().map(String::as_str), Some("firewall-here"), "{causes:?}");
    });
}

#[test]
fn a_host_that_takes_no_udp_at_all() {
    run_in_lab("a_host_that_takes_no_udp_at_all", |mut lab| {
        let hosts = pair(&mut lab);
        rule(&hosts[1], "-A INPUT -p udp -j DROP");
        let network = "a host firewall that drops all incoming UDP";
        told(24, network, [&hosts[0], &hosts[1]], ["udp-blocked", "firewall-here"]);
    });
}

#[test]
fn a_host_on_which_avahi_runs() {
    if !available(&["avahi-daemon", "avahi-browse", "dbus-daemon"]) {
        return;
    }
    run_in_lab("a_host_on_which_avahi_runs", |mut lab| {
        let hosts = pair(&mut lab);
        let mut avahi = with_avahi(&hosts[0], "echo ready; sleep 900");
        avahi.wait_line("ready", PATIENCE);
        drop(meet(25, "Avahi running", &hosts, WITH_MULTICAST));
        // The same session, spoken for by Avahi.
        let started = Instant::now();
        let system =
            ["chat", "--json", "--responder", "system", "--no-questions", "--name", "Alice"];
        let mut alice = beside_avahi(&hosts[0], &system);
        let mut bob = chat(&hosts[1], "Bob", &["--no-questions"]);
        let network = "Avahi running, and asked to speak for the session";
        finish(26, network, [&mut alice, &mut bob], started, WITHOUT);
        assert!(ways([&mut alice, &mut bob]).contains("system-responder"));
    });
}

#[test]
fn avahi_that_keeps_the_port_for_itself() {
    if !available(&["avahi-daemon", "avahi-browse", "dbus-daemon"]) {
        return;
    }
    run_in_lab("avahi_that_keeps_the_port_for_itself", |mut lab| {
        let hosts = pair(&mut lab);
        let mut avahi = avahi_with(
            &hosts[0],
            "disallow-other-stacks=yes",
            "echo ready; read word; kill $avahi $bus; sleep 900",
        );
        avahi.wait_line("ready", PATIENCE);
        let started = Instant::now();
        let mut alice =
            beside_avahi(&hosts[0], &["chat", "--json", "--no-questions", "--name", "Alice"]);
        let mut bob = chat(&hosts[1], "Bob", &["--no-questions"]);
        let network = "a responder (Avahi) that holds UDP 5353 exclusively";
        // Of two that ask within a second of each other, one may be answered late (RFC 6762, section 6).
        finish(27, network, [&mut alice, &mut bob], started, WITHOUT);
        assert!(ways([&mut alice, &mut bob]).contains("system-responder"));
        // It goes, and takes its bus with it: the embedded one takes over.
        avahi.type_line("go");
        let mut carol = chat(&hosts[1], "Carol", &["--no-questions"]);
        wait(&mut carol, "connected", "Alice");
        alice.wait_json("Alice heard by mdns", PATIENCE, |value| {
            let ways = value["peer"]["ways"].as_array()?;
            (value["peer"]["name"] == "Carol" && ways.iter().any(|way| way == "mdns")).then_some(())
        });
    });
}

#[test]
fn a_stranger_that_keeps_the_port_for_itself() {
    run_in_lab("a_stranger_that_keeps_the_port_for_itself", |mut lab| {
        let hosts = pair(&mut lab);
        let hold = "import socket,time\n\
                    sockets = [socket.socket(f, socket.SOCK_DGRAM) for f in (socket.AF_INET, socket.AF_INET6)]\n\
                    sockets[1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)\n\
                    sockets[0].bind(('0.0.0.0', 5353)); sockets[1].bind(('::', 5353))\n\
                    print('ready', flush=True); time.sleep(900)";
        let mut stranger = hosts[0].spawn("python3", &["-c", hold]).unwrap();
        stranger.wait_line("ready", PATIENCE);
        let network = "a stranger that holds UDP 5353 exclusively";
        let [mut alice, _bob] = meet(28, network, &hosts, WITHOUT);
        let lines = alice.all_lines(Duration::from_secs(1)).join("\n");
        assert!(lines.contains("5353 for itself"), "{lines}");
        drop(alice);
        let reports = reports([(&hosts[0], &[]), (&hosts[1], &[])]);
        let causes = reports.each_ref().map(causes);
        assert_eq!(causes[0].first().map(String::as_str), Some("port-held"), "{causes:?}");
        for (report, is_held) in reports.iter().zip([true, false]) {
            for port in report["ports"].as_array().unwrap() {
                let is_refused = is_held && port["port"] == 5353;
                assert_eq!(port["error"].is_string(), is_refused, "{port}");
            }
        }
    });
}

#[test]
fn two_peers_with_one_name() {
    run_in_lab("two_peers_with_one_name", |mut lab| {
        let hosts = pair(&mut lab);
        let started = Instant::now();
        let mut twins = hosts.each_ref().map(|host| chat(host, "Alex", &[]));
        twins.iter_mut().for_each(|twin| _ = wait(twin, "connected", "Alex"));
        let took = started.elapsed();
        let [one, other] = &mut twins;
        let network = "two peers with one name";
        note(29, network, "connected", &ways([one, other]), Some(took));
        assert!(took < WITH_MULTICAST, "{took:?}");
    });
}

#[test]
fn a_hundred_other_services_that_announce() {
    run_in_lab("a_hundred_other_services_that_announce", |mut lab| {
        let network = lab.network().unwrap();
        let [alice, bob, noisy] = [(); 3].map(|()| lab.host_on(network).unwrap());
        let mut crowd = noisy.spawn(&built("crowd"), &["noise", "100", "other"]).unwrap();
        crowd.wait_line("ready", PATIENCE);
        meet_with(30, "100 other services announcing", [&alice, &bob], WITH_MULTICAST, &[]);
    });
}

#[test]
fn a_network_that_loses_a_third() {
    run_in_lab("a_network_that_loses_a_third", |mut lab| {
        let hosts = pair(&mut lab);
        for host in &hosts {
            // Both ways together 30 % are lost.
            rule(host, "-A INPUT -m statistic --mode random --probability 0.3 -j DROP");
        }
        meet(31, "loss of 30 % in each direction", &hosts, WITHOUT);
    });
}

#[test]
fn packets_that_are_as_small_as_may_be() {
    run_in_lab("packets_that_are_as_small_as_may_be", |mut lab| {
        let hosts = pair(&mut lab);
        for host in &hosts {
            host.run("ip", &["link", "set", "eth0", "mtu", "1280"]).unwrap();
        }
        meet(32, "small MTU (1280)", &hosts, WITH_MULTICAST);
    });
}

#[test]
fn a_device_without_a_network() {
    run_in_lab("a_device_without_a_network", |mut lab| {
        let hosts = [(); 2].map(|()| lab.host().unwrap());
        add_interface(&hosts[1], "docker0", "172.17.0.1/16");
        let network = "no network; nothing but a container bridge";
        told(33, network, [&hosts[0], &hosts[1]], ["no-network", "all-left-out"]);
    });
}
