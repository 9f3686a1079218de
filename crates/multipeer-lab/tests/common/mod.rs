//! The command under test on a host of the lab, and what it prints.

// Each test file uses a part of it; clippy takes a helper for something else than a test.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

pub mod matrix;
pub mod transfers;

use std::{path::PathBuf, time::Duration};

use multipeer_lab::{Host, Lab, Program};
use serde_json::Value;

/// How long anything may take before a scene fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The command under test, which cargo builds beside the tests of this package: `.ci/run` and
/// `cargo xtask test` build it first.
pub fn multipeer() -> String {
    built("multipeer")
}

/// A program of this workspace, as [`multipeer`].
pub fn built(name: &str) -> String {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    let program: PathBuf = path.join(name);
    assert!(
        program.exists(),
        "{} is missing: run `cargo build` for the same profile first",
        program.display()
    );
    program.to_str().unwrap().to_owned()
}

pub fn chat(host: &Host, name: &str) -> Program {
    chat_with(host, name, &["--reconnect-window", "3"])
}

pub fn chat_with(host: &Host, name: &str, more: &[&str]) -> Program {
    let arguments = [&["chat", "--json", "--name", name][..], more].concat();
    host.spawn(&multipeer(), &arguments).unwrap()
}

/// One types a line in a chat, and the other reads it.
pub fn say(from: &mut Program, name: &str, to: &mut Program, text: &str) {
    from.type_line(text);
    to.wait_json(&format!("{text:?} of {name}"), PATIENCE, |value| {
        (is(value, "message", name) && value["text"] == text).then_some(())
    });
}

/// Packets and bytes that the first rule of a chain of iptables has counted.
pub fn counted(host: &Host, chain: &str) -> [u64; 2] {
    counted_by("iptables", host, chain)
}

/// The same of `ip6tables`, or of either.
pub fn counted_by(program: &str, host: &Host, chain: &str) -> [u64; 2] {
    let output = host.run(program, &["-nvxL", chain]).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut words = text.lines().nth(2).unwrap().split_whitespace();
    [(); 2].map(|()| words.next().unwrap().parse().unwrap())
}

/// The median round trip to a peer, in microseconds, of so many pings in a session of their own.
pub fn round_trip(host: &Host, to: &str, count: u32) -> f64 {
    let count = count.to_string();
    let arguments = ["ping", to, "--json", "-c", &count, "-i", "0.01", "--name", "Dora"];
    let mut dora = host.spawn(&multipeer(), &arguments).unwrap();
    let p50 = dora.wait_json("the round trips", PATIENCE, |value| {
        (value["event"] == "ping").then(|| value["round_trip"]["p50_us"].as_f64().unwrap())
    });
    assert_eq!(dora.wait(), Some(0));
    p50
}

pub fn is(value: &Value, event: &str, name: &str) -> bool {
    value["event"] == event && value["peer"]["name"] == name
}

pub fn wait(program: &mut Program, event: &str, name: &str) -> Value {
    program.wait_json(&format!("{event} {name}"), PATIENCE, |value| {
        is(value, event, name).then(|| value.clone())
    })
}

/// Waits until a chat is connected with all of these, in whatever order they come.
pub fn connected_with(program: &mut Program, names: &[&str]) {
    let mut missing = names.to_vec();
    while !missing.is_empty() {
        let name = program.wait_json("a connection", PATIENCE, |value| {
            (value["event"] == "connected").then(|| value["peer"]["name"].clone())
        });
        missing.retain(|other| name != *other);
    }
}

/// Waits for an event that may have come already.
pub fn ensure(program: &mut Program, event: &str, name: &str) {
    if count(&program.all_lines(Duration::ZERO), event, name) == 0 {
        wait(program, event, name);
    }
}

pub fn count(lines: &[String], event: &str, name: &str) -> usize {
    let values = lines.iter().filter_map(|line| serde_json::from_str(line).ok());
    values.filter(|value: &Value| is(value, event, name)).count()
}

/// Whether these programs are there; a test that lacks one says so.
pub fn available(programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| {
        let found = std::process::Command::new("which").arg(program).output();
        !found.is_ok_and(|output| output.status.success())
    });
    if let Some(program) = missing {
        assert!(std::env::var_os("MULTIPEER_LAB").is_none(), "{program} is required");
        println!("SKIPPED: {program} is not installed");
    }
    missing.is_none()
}

/// The library that makes a program see another date than the system's.
pub fn fake_clock() -> String {
    let folders = std::fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let libraries = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    libraries
        .filter(|library| library.exists())
        .map(|path| path.display().to_string())
        .next()
        .unwrap()
}

/// Where Avahi's bus is, on each host that has one.
pub const AVAHI_BUS: &str = "DBUS_SYSTEM_BUS_ADDRESS=unix:abstract=avahi-bus";

/// A system bus of its own, and Avahi on it.
const AVAHI: &str = r#"
set -e
mount -t tmpfs tmpfs /run
cat > /run/bus.conf <<END
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:abstract=avahi-bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
  </policy>
</busconfig>
END
printf '[server]\nuse-ipv6=yes\nallow-interfaces=eth0\n%s\n[publish]\npublish-workstation=no\n' "$SERVER" > /run/avahi.conf
dbus-daemon --config-file=/run/bus.conf --nofork --nopidfile & bus=$!
mkdir -p /run/avahi-daemon
until dbus-send --system --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetId 2> /dev/null; do sleep 0.05; done
avahi-daemon --no-drop-root --no-chroot --no-rlimits --no-proc-title -f /run/avahi.conf & avahi=$!
until avahi-browse --all --terminate > /dev/null 2>&1; do sleep 0.1; done
"#;

/// Avahi on a host, and what is to be run when it is there.
pub fn with_avahi(host: &Host, script: &str) -> Program {
    avahi_with(host, "", script)
}

/// As [`with_avahi`], with a line for its settings.
pub fn avahi_with(host: &Host, setting: &str, script: &str) -> Program {
    let script = format!("{AVAHI}\n{script}");
    let server = format!("SERVER={setting}");
    let arguments = [&server, AVAHI_BUS, "unshare", "--mount", "sh", "-c", &script];
    host.spawn("env", &arguments).unwrap()
}

/// Starts the command on a host that has a bus with Avahi.
pub fn beside_avahi(host: &Host, arguments: &[&str]) -> Program {
    host.spawn("env", &[&[AVAHI_BUS, &multipeer()], arguments].concat()).unwrap()
}

/// A rule of the host's firewall, for both families.
pub fn rule(host: &Host, words: &str) {
    let words: Vec<&str> = words.split(' ').collect();
    for program in ["iptables", "ip6tables"] {
        host.run(program, &words).unwrap();
    }
}

/// Nothing that is sent to many arrives at the host: to a group, or to all (`broadcast`).
pub fn deafen(host: &Host, kinds: &[&str]) {
    kinds
        .iter()
        .for_each(|kind| rule(host, &format!("-A INPUT -m pkttype --pkt-type {kind} -j DROP")));
}

/// Two networks with a router between them, which passes no multicast on; a host on each.
pub fn routed(lab: &mut Lab) -> ([Host; 2], Host) {
    let networks = [(); 2].map(|()| lab.network().unwrap());
    let mut router = lab.host_on(networks[0]).unwrap();
    let gateways = [router.address(), {
        router.attach(networks[1]).unwrap();
        router.address()
    }];
    router.run("sh", &["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]).unwrap();
    let hosts = networks.map(|network| lab.host_on(network).unwrap());
    for (host, gateway) in hosts.iter().zip(&gateways) {
        host.run("ip", &["route", "add", "default", "via", gateway]).unwrap();
    }
    (hosts, router)
}

/// An interface of this name besides, that is up and leads nowhere.
pub fn add_interface(host: &Host, name: &str, address: &str) {
    host.run("ip", &["link", "add", name, "type", "veth", "peer", "name", "veth9"]).unwrap();
    for interface in [name, "veth9"] {
        host.run("ip", &["link", "set", interface, "up"]).unwrap();
    }
    host.run("ip", &["address", "add", address, "dev", name]).unwrap();
}
