//! Transfers to those who are slow, full, or asked first.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{
    fs::{self, File},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use common::{
    PATIENCE, available, multipeer,
    transfers::{Folder, receive, wait_progress, write_file},
};
use multipeer_lab::{Host, Program, run_in_lab};

/// What a transfer may take, of memory, on either side.
const MAX_MEMORY_BYTES: u64 = 64 * 1024 * 1024;
/// How long it is watched.
const WATCHED: Duration = Duration::from_secs(12);

fn send(host: &Host, path: &str) -> Program {
    let arguments = ["send", "--json", "--name", "Alice", "--to", "Bob", path];
    host.spawn(&multipeer(), &arguments).unwrap()
}

#[test]
fn a_transfer_of_4_gib_to_a_slow_receiver_takes_little_memory() {
    run_in_lab("a_transfer_of_4_gib_to_a_slow_receiver_takes_little_memory", |mut lab| {
        let folder = Folder::new("slow-4-gib");
        let source = folder.path("film.mkv");
        File::create(&source).unwrap().set_len(4 << 30).unwrap();
        let network = lab.network().unwrap();
        let (a, b) = (lab.host_on(network).unwrap(), lab.host_on(network).unwrap());
        b.limit_download(80).unwrap();
        let bob = receive(&b, &folder);
        // Idle: connected, with nothing to send.
        let mut idle = a.spawn(&multipeer(), &["chat", "--json", "--name", "Idle"]).unwrap();
        common::wait(&mut idle, "connected", "Bob");
        let idle = [idle.memory(), bob.memory()];
        let mut alice = send(&a, &source);
        wait_progress(&mut alice, "bytes", |value| value["done"].as_u64().unwrap() > 0);
        let (start, mut most) = (Instant::now(), [0; 2]);
        while start.elapsed() < WATCHED {
            most = [most[0].max(alice.memory()), most[1].max(bob.memory())];
            thread::sleep(Duration::from_millis(50));
        }
        let lines = alice.all_lines(Duration::ZERO);
        let last: serde_json::Value = serde_json::from_str(lines.last().unwrap()).unwrap();
        let done = last["done"].as_u64().unwrap();
        assert!(done > 32 << 20, "only {done} bytes came over");
        let above = [0, 1].map(|side| most[side].saturating_sub(idle[side]));
        let [sender, receiver] = above.map(|bytes| bytes / 1024);
        println!("after {done} bytes: sender {sender} KiB above idle, receiver {receiver} KiB");
        assert!(above.iter().all(|bytes| *bytes < MAX_MEMORY_BYTES), "{above:?}");
    });
}

#[test]
fn a_disk_that_fills_up_ends_the_transfer_on_both_sides_and_nothing_else() {
    let test = "a_disk_that_fills_up_ends_the_transfer_on_both_sides_and_nothing_else";
    run_in_lab(test, |mut lab| {
        let folder = Folder::new("full");
        let [big, small] = ["film.mkv", "note"].map(|name| folder.0.join(name));
        write_file(&big, 16 << 20, 1);
        write_file(&small, 1000, 2);
        let to = folder.path("to");
        let mount = ["-t", "tmpfs", "-o", "size=20m", "tmpfs", &to];
        assert!(Command::new("mount").args(mount).status().unwrap().success());
        let network = lab.network().unwrap();
        let (a, b) = (lab.host_on(network).unwrap(), lab.host_on(network).unwrap());
        b.limit_download(80).unwrap();
        let mut bob = receive(&b, &folder);
        let mut alice = send(&a, big.to_str().unwrap());
        wait_progress(&mut alice, "bytes", |value| value["done"].as_u64().unwrap() > 0);
        // Somebody else takes the room that was there.
        write_file(&folder.0.join("to/other"), 12 << 20, 3);
        for program in [&mut alice, &mut bob] {
            let message = program.wait_json("the failure", PATIENCE, |value| {
                (value["event"] == "error").then(|| value["message"].as_str().unwrap().to_owned())
            });
            assert!(message.contains("film.mkv") && message.contains("disk is full"), "{message}");
        }
        assert_eq!(alice.wait(), Some(1));
        let left = || fs::read_dir(&to).unwrap().map(|item| item.unwrap().file_name());
        assert_eq!(left().collect::<Vec<_>>(), ["other"]);

        // The session goes on.
        let mut alice = send(&a, small.to_str().unwrap());
        assert_eq!(alice.wait(), Some(0));
        assert_eq!(fs::read(&small).unwrap(), fs::read(folder.0.join("to/note")).unwrap());
    });
}

#[test]
fn a_person_is_asked_and_sees_how_far_it_is() {
    if !available(&["tmux"]) {
        return;
    }
    run_in_lab("a_person_is_asked_and_sees_how_far_it_is", |mut lab| {
        let folder = Folder::new("asked");
        let [film, song] = ["film.mkv", "song.flac"].map(|name| folder.path(name));
        write_file(film.as_ref(), 16 << 20, 1);
        write_file(song.as_ref(), 8 << 20, 1);
        let network = lab.network().unwrap();
        let (a, b) = (lab.host_on(network).unwrap(), lab.host_on(network).unwrap());
        b.limit_download(80).unwrap();
        let arguments = ["receive", "--name", "Bob", "--dir", &folder.path("to")];
        let bob = b.terminal(&multipeer(), &arguments).unwrap();
        bob.wait_for("who it is", PATIENCE, |screen| screen.contains("waiting as Bob"));
        let arguments = ["send", "--name", "Alice", "--to", "Bob", &film, &song];
        let alice = a.terminal(&multipeer(), &arguments).unwrap();
        // One question after the other, in the order in which the offers come.
        let ask = |name: &str| format!("take {name} from Alice");
        let asked = |screen: &str| {
            ["film.mkv", "song.flac"].into_iter().find(|name| screen.contains(&ask(name)))
        };
        let screen = bob.wait_for("a question", PATIENCE, |screen| asked(screen).is_some());
        let first = asked(&screen).unwrap();
        let second = if first == "film.mkv" { "song.flac" } else { "film.mkv" };
        for name in [first, second] {
            bob.wait_for(name, PATIENCE, |screen| screen.contains(&ask(name)));
            bob.type_text(if name == "film.mkv" { "n" } else { "y" }).unwrap();
            bob.press("Enter").unwrap();
        }
        for screen in [&alice, &bob] {
            screen.wait_for("a bar that moves", PATIENCE, |screen| {
                let line = screen.lines().rfind(|line| line.starts_with("song.flac"));
                line.is_some_and(|line| line.contains("MiB/") && line.contains("MiB/s"))
            });
        }
        bob.wait_for("the end", PATIENCE, |screen| screen.contains("received song.flac"));
        assert_eq!(fs::read(&song).unwrap(), fs::read(folder.0.join("to/song.flac")).unwrap());
        assert!(!folder.0.join("to/film.mkv").exists());
        alice.wait_for_end(PATIENCE);
    });
}
