//! Files and folders over links that break, and streams between commands.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use common::{
    PATIENCE, multipeer,
    transfers::{Folder, LONG, receive, wait_progress, write_file},
    wait,
};
use multipeer_lab::{Host, Lab, run_in_lab};

/// Numbers that differ from run to run.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = u64::try_from(now.as_nanos()).unwrap() | 1;
        println!("seed {seed}");
        Self(seed)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Sends over a link of 400 Mbit/s that is cut five times at random, to a receiver that is killed
/// once. At most 5 % of the bytes may go over it twice.
fn send_through_everything(lab: &mut Lab, folder: &Folder, source: &str, bytes: u64) {
    let network = lab.network().unwrap();
    let (a, b) = (lab.host_on(network).unwrap(), lab.host_on(network).unwrap());
    b.limit_download(400).unwrap();
    let mut bob = receive(&b, folder);
    let send = ["send", "--json", "--name", "Alice", "--to", "Bob", source];
    let mut alice = a.spawn(&multipeer(), &send).unwrap();
    let mut dice = Dice::new();
    // Six accidents, in order of where they happen; one of them is the kill.
    let kill = dice.roll(6);
    let mut places: Vec<u64> = (0..6).map(|_| dice.roll(90)).collect();
    places.sort_unstable();
    for (number, place) in (0..).zip(places) {
        let from = bytes * place / 100;
        wait_progress(&mut alice, "the next accident", |value| {
            value["state"] == "active" && value["done"].as_u64().unwrap() >= from
        });
        if number == kill {
            bob.kill();
            bob = receive(&b, folder);
        } else {
            b.unplug().unwrap();
            wait_progress(&mut alice, "the loss of the link", |value| {
                value["state"] == "interrupted"
            });
            b.plug().unwrap();
        }
    }
    let done = alice.wait_json("the end", LONG, |value| {
        (value["event"] == "transferred").then(|| value.clone())
    });
    assert_eq!(alice.wait(), Some(0));
    let transmitted = done["transmitted"].as_u64().unwrap();
    let twice = transmitted - bytes;
    println!("of {bytes} bytes {twice} were sent twice: {} per mille", twice * 1000 / bytes);
    assert!(twice <= bytes / 20, "more than 5 % were sent twice");
}

fn assert_same(one: &Path, other: &Path) {
    let status = std::process::Command::new("diff").arg("-r").args([one, other]).status().unwrap();
    assert!(status.success(), "{} and {} differ", one.display(), other.display());
}

fn only_arrival(folder: &Folder) -> PathBuf {
    let mut items = fs::read_dir(folder.0.join("to")).unwrap();
    let item = items.next().unwrap().unwrap().path();
    assert!(items.next().is_none(), "something is left beside {}", item.display());
    item
}

#[test]
fn a_file_of_2_gib_survives_five_cuts_and_a_kill() {
    run_in_lab("a_file_of_2_gib_survives_five_cuts_and_a_kill", |mut lab| {
        let folder = Folder::new("file-2-gib");
        let (source, bytes) = (folder.0.join("film.mkv"), 2 << 30);
        write_file(&source, bytes, 1);
        send_through_everything(&mut lab, &folder, source.to_str().unwrap(), bytes as u64);
        assert_same(&source, &only_arrival(&folder));
    });
}

#[test]
fn a_folder_of_5000_files_survives_five_cuts_and_a_kill() {
    run_in_lab("a_folder_of_5000_files_survives_five_cuts_and_a_kill", |mut lab| {
        let folder = Folder::new("folder-5000");
        let source = folder.0.join("project");
        for part in 0..50 {
            let inner = source.join(format!("part {part}"));
            fs::create_dir_all(&inner).unwrap();
            for number in 0..100 {
                write_file(&inner.join(format!("file {number}")), 100_000, part * 100 + number);
            }
        }
        let bytes = 5000 * 100_000;
        send_through_everything(&mut lab, &folder, source.to_str().unwrap(), bytes);
        assert_same(&source, &only_arrival(&folder));
    });
}

#[test]
fn chat_is_quick_while_a_slow_receiver_takes_a_file() {
    run_in_lab("chat_is_quick_while_a_slow_receiver_takes_a_file", |mut lab| {
        let folder = Folder::new("slow-receiver");
        let source = folder.0.join("film.mkv");
        write_file(&source, 256 << 20, 1);
        let network = lab.network().unwrap();
        let [a, b, c] = [(); 3].map(|()| lab.host_on(network).unwrap());
        b.limit_download(40).unwrap();
        let mut bob = receive(&b, &folder);
        let mut carol = common::chat(&c, "Carol");
        let send = ["send", "--json", "--name", "Alice", "--to", "Bob", source.to_str().unwrap()];
        let ping = || common::round_trip(&a, "Carol", 200);
        let idle = ping();
        let mut alice = a.spawn(&multipeer(), &send).unwrap();
        wait_progress(&mut alice, "bytes", |value| value["done"].as_u64().unwrap() > 0);
        let busy = ping();
        println!("round trip p50: idle {idle}, while sending {busy}");
        assert!(busy < idle * 2.0, "{busy} against {idle}");
        wait(&mut carol, "connected", "Dora");
        bob.kill();
    });
}

#[test]
fn cat_joins_input_and_output_and_each_way_ends_on_its_own() {
    run_in_lab("cat_joins_input_and_output_and_each_way_ends_on_its_own", |mut lab| {
        let network = lab.network().unwrap();
        let (a, b) = (lab.host_on(network).unwrap(), lab.host_on(network).unwrap());
        let start = |host: &Host, arguments: &[&str]| {
            host.spawn(&multipeer(), &[&["cat"][..], arguments].concat()).unwrap()
        };
        let mut bob = start(&b, &["--name", "Bob", "--listen", "talk"]);
        let mut alice = start(&a, &["--name", "Alice", "--to", "Bob", "talk"]);
        alice.type_line("question");
        alice.close_input();
        bob.wait_line("question", PATIENCE);
        // Alice has nothing more to say, and still listens.
        bob.type_line("answer");
        alice.wait_line("answer", PATIENCE);
        bob.close_input();
        assert_eq!(alice.wait(), Some(0));
        assert_eq!(bob.wait(), Some(0));
    });
}
