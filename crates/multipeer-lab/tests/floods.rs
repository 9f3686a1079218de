//! Sessions among strangers that mean harm.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::{
    PATIENCE, built, chat, chat_with, count, counted, multipeer, round_trip, transfers::Folder,
    wait,
};
use multipeer_lab::{Host, Program, run_in_lab};

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

/// What it takes to announce a peer by hand, for as many seconds as the second argument says, from the address that the
/// first one is.
const ANNOUNCING: &str = r"
import os, socket, struct, sys, time
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
    sender.setsockopt(socket.SOL_SOCKET, option, 1)
sender.bind((sys.argv[1], 5353))
end, sent = time.time() + float(sys.argv[2]), 0
def name(*labels):
    return b''.join(bytes([len(l)]) + l for l in labels) + bytes(1)
def record(owner, kind, data):
    return owner + struct.pack('!HHIH', kind, 0x8001 if kind != 12 else 1, 4500, len(data)) + data
def announce(key, address, port):
    service = name(b'_multipeer', b'_udp', b'local')
    instance = name(b'Liar ' + key[:10], b'_multipeer', b'_udp', b'local')
    host = name(key[:32], b'local')
    strings = [b'_v=1', b'_id=' + key, b'_name=Liar']
    records = [
        record(service, 12, instance),
        record(instance, 33, struct.pack('!HHH', 0, 0, port) + host),
        record(instance, 16, b''.join(bytes([len(s)]) + s for s in strings)),
        record(host, 1, socket.inet_aton(address)),
    ]
    sender.sendto(struct.pack('!HHHHHH', 0, 0x8400, 0, len(records), 0, 0) + b''.join(records), ('224.0.0.251', 5353))
";

/// Announces peers that do not exist, some thousands in a second, each with a name and an id of its own, at addresses of
/// others.
const LIAR: &str = r"
while time.time() < end:
    for _ in range(20):
        key = os.urandom(32)
        announce(key.hex().encode(), '192.0.2.%d' % key[0], 9)
        sent += 1
    time.sleep(0.005)
print(sent, flush=True)
";

fn announcer(host: &Host, script: &str, arguments: &[&str]) -> Program {
    let script = format!("{ANNOUNCING}{script}");
    let address = host.address();
    host.spawn("python3", &[&["-c", &script, &address], arguments].concat()).unwrap()
}

/// Announces one peer again and again, at an address and a port.
const IMPOSTOR: &str = r"
while time.time() < end:
    announce(sys.argv[3].encode(), sys.argv[4], int(sys.argv[5]))
    time.sleep(0.5)
";

#[test]
fn an_id_that_another_one_announces_is_found_out_and_hides_nobody() {
    let test = "an_id_that_another_one_announces_is_found_out_and_hides_nobody";
    run_in_lab(test, |mut lab| {
        let folder = Folder::new("impostor");
        let network = lab.network().unwrap();
        let [a, b, c] = [(); 3].map(|()| lab.host_on(network).unwrap());
        let file = folder.0.join("bob.key").display().to_string();
        let made = b.run(&multipeer(), &["id", "--json", "--identity", &file]).unwrap().stdout;
        let made: serde_json::Value = serde_json::from_slice(&made).unwrap();
        let id = made["id"].as_str().unwrap();
        // Whoever answers there speaks the protocol, and has another key.
        let other = ["--service", "other", "--port", "7007"];
        let _mallory = chat_with(&c, "Mallory", &other);
        let dials = "-A OUTPUT -p udp --dport 7007 -m length --length 1200:65535";
        a.run("iptables", &dials.split(' ').collect::<Vec<_>>()).unwrap();
        let mut alice = chat_with(&a, "Alice", &["--no-questions"]);
        let mut impostor = announcer(&c, IMPOSTOR, &["40", id, &c.address(), "7007"]);
        alice.wait_json("what is wrong", PATIENCE, |value| {
            let error = value["message"].as_str().filter(|_| value["event"] == "error")?;
            error.contains("another device answers").then_some(())
        });
        // What is said to end that connection goes out, too.
        alice.all_lines(Duration::from_secs(3));
        let found_out = counted(&a, "OUTPUT")[0];
        alice.all_lines(Duration::from_secs(20));
        let later = counted(&a, "OUTPUT")[0];
        println!("{found_out} packets to find it out, {} in 20 s more", later - found_out);
        assert!(found_out > 0 && later == found_out, "{found_out}, {later}");
        // The one whose id it is: of the two that answer for it, and of its own dial, any may be the quickest.
        let started = Instant::now();
        let _bob = chat_with(&b, "Bob", &["--identity", &file]);
        wait(&mut alice, "connected", "Bob");
        println!("met the true one after {:.2?}", started.elapsed());
        impostor.kill();
    });
}

#[test]
fn a_flood_of_peers_that_do_not_exist_fills_no_memory_and_hides_nobody() {
    run_in_lab("a_flood_of_peers_that_do_not_exist_fills_no_memory_and_hides_nobody", |mut lab| {
        let network = lab.network().unwrap();
        let [a, b, c] = [(); 3].map(|()| lab.host_on(network).unwrap());
        let mut alice = chat(&a, "Alice");
        alice.all_lines(Duration::from_secs(1));
        let memory = alice.memory();
        // Whatever is dialled of what the liar says.
        a.run("iptables", &["-A", "OUTPUT", "-d", "192.0.2.0/24"]).unwrap();
        let mut liar = announcer(&c, LIAR, &["25"]);
        alice.all_lines(Duration::from_secs(10));
        let middle = alice.memory();
        let mut bob = chat(&b, "Bob");
        wait(&mut alice, "connected", "Bob");
        wait(&mut bob, "connected", "Alice");
        assert_eq!(liar.wait(), Some(0));
        let end = alice.memory();
        let sent = liar.all_lines(Duration::ZERO);
        let [middle, end] = [middle, end].map(|bytes| bytes.saturating_sub(memory) >> 20);
        println!("{sent:?} announced; {middle} MiB more after 10 s, {end} MiB after 25 s");
        assert!(sent[0].parse::<u32>().unwrap() > 20_000, "{sent:?}");
        assert!(end < 128 && end <= middle.max(32) * 2, "{middle} MiB, then {end} MiB");
        assert_eq!(counted(&a, "OUTPUT")[0], 0, "nothing goes to whom the liar names");
        // How much of the flood gets through depends on the machine: so much that it is forgotten, or not.
        let lines = alice.all_lines(Duration::ZERO);
        let forgotten = lines.iter().filter(|line| line.contains("more than can be remembered"));
        println!("forgotten {} times", forgotten.count());
    });
}
