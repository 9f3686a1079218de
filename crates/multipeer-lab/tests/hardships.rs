//! Bad networks and long absences: docs/reliability.md has the figures.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{
    fs, thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use common::{
    available, chat_with, count, counted, fake_clock, is, multipeer,
    transfers::{Folder, LONG, receive, wait_progress, write_file},
    wait,
};
use multipeer_lab::{Host, Lab, Program, run_in_lab};

fn chat(host: &Host, name: &str, window: &str) -> Program {
    chat_with(host, name, &["--reconnect-window", window])
}

/// Alice and Bob on one network, connected, with so many seconds to come back.
fn pair(lab: &mut Lab, window: &str) -> ([Host; 2], [Program; 2]) {
    let network = lab.network().unwrap();
    let hosts = [(); 2].map(|()| lab.host_on(network).unwrap());
    let mut alice = chat(&hosts[0], "Alice", window);
    let mut bob = chat(&hosts[1], "Bob", window);
    wait(&mut alice, "connected", "Bob");
    wait(&mut bob, "connected", "Alice");
    (hosts, [alice, bob])
}

fn say(program: &mut Program, numbers: std::ops::Range<u32>) {
    numbers.for_each(|number| program.type_line(&format!("message {number}")));
}

/// Waits for these messages, in this order and with nothing between them.
fn messages(program: &mut Program, from: &str, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let message = program.wait_json(&format!("message {number}"), LONG, |value| {
            is(value, "message", from).then(|| value["text"].clone())
        });
        assert_eq!(message, format!("message {number}"));
    }
}

fn nobody_went(program: &mut Program, other: &str) {
    let lines = program.all_lines(Duration::from_millis(500));
    assert_eq!(count(&lines, "disconnected", other), 0, "{lines:#?}");
}

#[test]
fn a_cable_that_is_out_for_60_s_brings_everything_when_it_is_back() {
    run_in_lab("a_cable_that_is_out_for_60_s_brings_everything_when_it_is_back", |mut lab| {
        let (hosts, [mut alice, mut bob]) = pair(&mut lab, "120");
        hosts[1].unplug().unwrap();
        say(&mut alice, 0..100);
        thread::sleep(Duration::from_secs(60));
        hosts[1].plug().unwrap();
        let plugged = Instant::now();
        messages(&mut bob, "Alice", 0..100);
        let back = plugged.elapsed();
        println!("back {back:.2?} after the cable was");
        assert!(back < Duration::from_secs(4), "{back:?}");
        nobody_went(&mut alice, "Bob");
    });
}

#[test]
fn who_sleeps_longer_than_the_window_is_gone_and_back_when_it_wakes() {
    run_in_lab("who_sleeps_longer_than_the_window_is_gone_and_back_when_it_wakes", |mut lab| {
        let (_hosts, [mut alice, mut bob]) = pair(&mut lab, "10");
        // Ten minutes for `cargo xtask lab`; the rest is the same after a few seconds.
        let seconds = std::env::var("MULTIPEER_LAB_SLEEP").map_or(25, |text| text.parse().unwrap());
        bob.sleep(true).unwrap();
        say(&mut alice, 0..1);
        let gone = wait(&mut alice, "disconnected", "Bob");
        assert_eq!((&gone["reason"], &gone["unconfirmed"]), (&"timed_out".into(), &1.into()));
        thread::sleep(Duration::from_secs(seconds));
        bob.sleep(false).unwrap();
        let woken = Instant::now();
        wait(&mut alice, "connected", "Bob");
        wait(&mut bob, "disconnected", "Alice");
        wait(&mut bob, "connected", "Alice");
        println!("in the session again {:.2?} after {seconds} s of sleep", woken.elapsed());
        say(&mut alice, 1..100);
        messages(&mut bob, "Alice", 1..100);
    });
}

#[test]
fn a_date_that_jumps_changes_nothing() {
    if !available(&["faketime"]) {
        return;
    }
    run_in_lab("a_date_that_jumps_changes_nothing", |mut lab| {
        let folder = Folder::new("clock");
        let offset = folder.0.join("offset");
        fs::write(&offset, "+0").unwrap();
        let network = lab.network().unwrap();
        let [a, b] = [(); 2].map(|()| lab.host_on(network).unwrap());
        let preload = format!("LD_PRELOAD={}", fake_clock());
        let file = format!("FAKETIME_TIMESTAMP_FILE={}", offset.display());
        let program = multipeer();
        let clock = [&preload, &file, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"];
        // A passcode, for what is dated are the words of members for each other.
        let chat = ["chat", "--json", "--passcode", "481-516", "--name"];
        let arguments = [&clock[..], &[program.as_str()], &chat, &["Bob"]].concat();
        let mut bob = b.spawn("env", &arguments).unwrap();
        let mut alice = a.spawn(&program, &[&chat[..], &["Alice"]].concat()).unwrap();
        wait(&mut alice, "connected", "Bob");
        wait(&mut bob, "connected", "Alice");
        for (number, jump_days) in (0..).zip([-10, 0, 400, -4000]) {
            let jump = &format!("{jump_days:+}d");
            fs::write(&offset, jump).unwrap();
            let seen = b.run("env", &[&clock[..], &["date", "+%s"]].concat()).unwrap().stdout;
            let seen: i64 = String::from_utf8(seen).unwrap().trim().parse().unwrap();
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
            let days = (seen - i64::try_from(now).unwrap()) / 86_400;
            assert_eq!(days, jump_days, "the date is really another one");
            say(&mut alice, number * 20..number * 20 + 10);
            b.unplug().unwrap();
            say(&mut alice, number * 20 + 10..number * 20 + 20);
            thread::sleep(Duration::from_secs(6));
            b.plug().unwrap();
            messages(&mut bob, "Alice", number * 20..number * 20 + 20);
            println!("the date {jump}, and the cable out for 6 s: everything arrived");
        }
        nobody_went(&mut alice, "Bob");
        nobody_went(&mut bob, "Alice");
    });
}

#[test]
fn a_fifth_of_all_packets_lost_loses_no_message_and_no_link() {
    run_in_lab("a_fifth_of_all_packets_lost_loses_no_message_and_no_link", |mut lab| {
        let (hosts, [mut alice, mut bob]) = pair(&mut lab, "60");
        for host in &hosts {
            let rule = ["-A", "INPUT", "-m", "statistic", "--mode", "random"];
            let rule = [&rule[..], &["--probability", "0.2", "-j", "DROP"]].concat();
            if let Err(error) = host.run("iptables", &rule) {
                println!("SKIPPED: iptables does not work here: {error}");
                return;
            }
        }
        let start = Instant::now();
        for round in 0..20 {
            say(&mut alice, round * 10..round * 10 + 10);
            say(&mut bob, round * 10..round * 10 + 10);
            messages(&mut bob, "Alice", round * 10..round * 10 + 10);
            messages(&mut alice, "Bob", round * 10..round * 10 + 10);
        }
        println!("20 rounds of 10 messages each way took {:.2?}", start.elapsed());
        let [lost, _] = counted(&hosts[1], "INPUT");
        assert!(lost > 10, "only {lost} packets were lost");
        // Long enough for a link to die that could.
        thread::sleep(Duration::from_secs(15));
        nobody_went(&mut alice, "Bob");
        nobody_went(&mut bob, "Alice");
    });
}

#[test]
fn a_link_of_1_mbit_is_shared_by_a_file_and_a_chat() {
    run_in_lab("a_link_of_1_mbit_is_shared_by_a_file_and_a_chat", |mut lab| {
        let folder = Folder::new("slow-link");
        let source = folder.0.join("photo.jpg");
        write_file(&source, 4 << 20, 1);
        let network = lab.network().unwrap();
        let [a, b] = [(); 2].map(|()| lab.host_on(network).unwrap());
        b.limit_download(1).unwrap();
        let mut receiver = receive(&b, &folder);
        let arguments = ["send", "--json", "--name", "Sender", "--to", "Bob", "--wait", "60"];
        let source = source.to_str().unwrap().to_owned();
        let mut sender =
            a.spawn(&multipeer(), &[&arguments[..], &[source.as_str()]].concat()).unwrap();
        wait_progress(&mut sender, "bytes", |value| value["done"].as_u64().unwrap() > 0);
        let mut alice = chat(&a, "Alice", "60");
        let mut carol = chat(&b, "Carol", "60");
        wait(&mut alice, "connected", "Carol");
        wait(&mut carol, "connected", "Alice");
        let mut times: Vec<Duration> = (0..20)
            .map(|number| {
                let sent = Instant::now();
                say(&mut alice, number..number + 1);
                messages(&mut carol, "Alice", number..number + 1);
                sent.elapsed()
            })
            .collect();
        times.sort_unstable();
        println!("a message beside the file takes {:.0?}, at most {:.0?}", times[10], times[19]);
        // The queue of the bottleneck holds 50 ms, which the file keeps full. Behind the file a message would come after
        // half a minute.
        assert!(times[10] < Duration::from_millis(500), "{times:?}");
        receiver
            .wait_json("the file", LONG, |value| (value["event"] == "transferred").then_some(()));
        nobody_went(&mut alice, "Carol");
    });
}

#[test]
fn from_a_cable_to_wi_fi_and_back_no_message_is_lost() {
    run_in_lab("from_a_cable_to_wi_fi_and_back_no_message_is_lost", |mut lab| {
        let [cable, air] = [(); 2].map(|()| lab.network().unwrap());
        let mut hosts = [(); 2].map(|()| lab.host_on(cable).unwrap());
        let mut alice = chat(&hosts[0], "Alice", "60");
        let mut bob = chat(&hosts[1], "Bob", "60");
        wait(&mut alice, "connected", "Bob");
        wait(&mut bob, "connected", "Alice");
        let cabled = format!("{}/24", hosts[1].address());
        hosts.iter_mut().for_each(|host| host.attach(air).unwrap());
        say(&mut alice, 0..50);
        hosts[1].run("ip", &["address", "del", &cabled, "dev", "eth0"]).unwrap();
        hosts[1].run("ip", &["link", "set", "eth0", "down"]).unwrap();
        let gone = Instant::now();
        say(&mut alice, 50..100);
        say(&mut bob, 0..100);
        messages(&mut bob, "Alice", 0..100);
        messages(&mut alice, "Bob", 0..100);
        let to_air = gone.elapsed();
        hosts[1].run("ip", &["link", "set", "eth0", "up"]).unwrap();
        hosts[1].run("ip", &["address", "add", &cabled, "dev", "eth0"]).unwrap();
        hosts[1].run("ip", &["link", "set", "eth1", "down"]).unwrap();
        let back = Instant::now();
        say(&mut alice, 100..200);
        messages(&mut bob, "Alice", 100..200);
        let to_cable = back.elapsed();
        println!("over the air after {to_air:.2?}, over the cable after {to_cable:.2?}");
        assert!(to_air < Duration::from_secs(3), "{to_air:?}");
        assert!(to_cable < Duration::from_secs(3), "{to_cable:?}");
        nobody_went(&mut alice, "Bob");
        nobody_went(&mut bob, "Alice");
    });
}
