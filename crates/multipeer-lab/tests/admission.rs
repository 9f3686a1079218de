//! Who may join, between commands on different hosts.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs;

use common::{PATIENCE, chat_with as chat, multipeer, transfers::Folder, wait};
use multipeer_lab::{Host, Lab, run_in_lab};

#[test]
fn who_knows_the_passcode_that_was_shown_is_in_and_others_are_told() {
    let test = "who_knows_the_passcode_that_was_shown_is_in_and_others_are_told";
    run_in_lab(test, |mut lab| {
        let folder = Folder::new("passcode");
        let network = lab.network().unwrap();
        let [a, b, c] = [(); 3].map(|()| lab.host_on(network).unwrap());
        let mut alice = chat(&a, "Alice", &["--passcode"]);
        let code = alice.wait_json("the passcode", PATIENCE, |value| {
            (value["event"] == "passcode").then(|| value["passcode"].as_str().unwrap().to_owned())
        });
        let file = folder.path("passcode");
        fs::write(&file, format!("{code}\n")).unwrap();
        let mut bob = chat(&b, "Bob", &["--passcode-file", &file]);
        assert_eq!(wait(&mut bob, "connected", "Alice")["verified"], "passcode");
        // croc's CVE-2023-43616 and others: what others on the machine see of a process.
        for program in [&alice, &bob] {
            assert!(!program.command_line().contains(&code), "{}", program.command_line());
        }
        assert_eq!(wait(&mut alice, "connected", "Bob")["verified"], "passcode");
        // Without the passcode one is told that there is one.
        let mut carol = chat(&c, "Carol", &[]);
        let message = carol.wait_json("the refusal", PATIENCE, |value| {
            (value["event"] == "error").then(|| value["message"].as_str().unwrap().to_owned())
        });
        assert!(message.contains("it asks for its passcode"), "{message}");
        bob.type_line("hello");
        assert_eq!(wait(&mut alice, "message", "Bob")["text"], "hello");
    });
}

#[test]
fn a_key_in_a_file_lets_a_transfer_through_and_a_wrong_one_does_not() {
    run_in_lab("a_key_in_a_file_lets_a_transfer_through_and_a_wrong_one_does_not", |mut lab| {
        let folder = Folder::new("key");
        let (key, other) = (folder.path("fleet.key"), folder.path("to/../fleet.wrong"));
        fs::write(&key, "a key of at least sixteen bytes").unwrap();
        fs::write(&other, "another key of sixteen bytes").unwrap();
        let film = folder.path("film");
        fs::write(&film, [7; 1000]).unwrap();
        let network = lab.network().unwrap();
        let (a, b) = (lab.host_on(network).unwrap(), lab.host_on(network).unwrap());
        let to = folder.path("to");
        let receive =
            ["receive", "--json", "--yes", "--name", "Bob", "--psk-file", &key, "--dir", &to];
        let _bob = b.spawn(&multipeer(), &receive).unwrap();
        let send = |key: &str| {
            let arguments =
                ["send", "--json", "--to", "Bob", "--wait", "5", "--psk-file", key, &film];
            a.spawn(&multipeer(), &arguments).unwrap()
        };
        let mut wrong = send(&other);
        let message = wrong.wait_json("the refusal", PATIENCE, |value| {
            (value["event"] == "error").then(|| value["message"].as_str().unwrap().to_owned())
        });
        assert!(message.contains("keys called \"fleet\""), "{message}");
        assert_eq!(wrong.wait(), Some(4));
        assert_eq!(send(&key).wait(), Some(0));
        assert_eq!(fs::read(folder.0.join("to/film")).unwrap(), [7; 1000]);
    });
}

#[test]
fn people_let_each_other_in_compare_digits_and_remove() {
    run_in_lab("people_let_each_other_in_compare_digits_and_remove", |mut lab| {
        let network = lab.network().unwrap();
        let [a, b, c] = [(); 3].map(|()| lab.host_on(network).unwrap());
        let mut alice = chat(&a, "Alice", &["--ask"]);
        let mut bob = chat(&b, "Bob", &["--ask"]);
        wait(&mut alice, "peer_found", "Bob");
        alice.type_line("/invite Bob shall we talk?");
        let invitation = wait(&mut bob, "invitation", "Alice");
        assert_eq!(invitation["context"], "shall we talk?");
        bob.type_line("/accept Alice");
        let connected = wait(&mut bob, "connected", "Alice");
        assert_eq!(connected["comparison"], invitation["comparison"]);
        assert_eq!(wait(&mut alice, "connected", "Bob")["comparison"], invitation["comparison"]);
        // Carol comes to Alice, and by her to Bob, who is not asked again.
        let mut carol = chat(&c, "Carol", &["--ask"]);
        wait(&mut carol, "peer_found", "Alice");
        carol.type_line("/invite Alice");
        wait(&mut alice, "invitation", "Carol");
        alice.type_line("/accept Carol");
        wait(&mut bob, "connected", "Carol");
        bob.type_line("/remove Carol too loud");
        let removed = wait(&mut alice, "disconnected", "Carol");
        assert_eq!(removed["reason"], "removed");
        assert!(removed["text"].as_str().unwrap().ends_with("(too loud)"), "{removed}");
        let expelled = carol.wait_json("the end", PATIENCE, |value| {
            (value["event"] == "disconnected").then(|| value.clone())
        });
        assert_eq!(expelled["text"], "this side was removed from the session (too loud)");
    });
}

/// A certificate of its own for each, issued by an authority that is made for the occasion.
const ISSUE: &str = r#"
set -e
cd "$1"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem \
    -subj /CN=fleet -days 2
for name in alice bob; do
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $name.key -out $name.csr \
        -subj /CN=$name
    printf 'subjectAltName=DNS:%s.fleet.example' $name > $name.ext
    openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
        -extfile $name.ext -out $name.pem
done
"#;

#[test]
fn certificates_of_one_authority_let_in_and_names_keep_out() {
    if !common::available(&["openssl"]) {
        return;
    }
    run_in_lab("certificates_of_one_authority_let_in_and_names_keep_out", |mut lab| {
        let folder = Folder::new("certificates");
        let network = lab.network().unwrap();
        let [a, b, c] = [(); 3].map(|()| lab.host_on(network).unwrap());
        let made = a.run("sh", &["-c", ISSUE, "sh", folder.0.to_str().unwrap()]).unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let files = |name: &str| {
            let path = |end: &str| folder.path(&format!("{name}.{end}"));
            [path("pem"), path("key"), folder.path("ca.pem")]
        };
        let start = |host: &Host, name: &str, file: &str, more: &[&str]| {
            let [cert, key, ca] = files(file);
            let words = [&["--cert", &cert, "--key", &key, "--ca", &ca][..], more].concat();
            chat(host, name, &words)
        };
        let mut alice = start(&a, "Alice", "alice", &["--cert-name", "*.fleet.example"]);
        let mut bob = start(&b, "Bob", "bob", &[]);
        assert_eq!(wait(&mut bob, "connected", "Alice")["verified"], "certificate");
        assert_eq!(wait(&mut alice, "connected", "Bob")["verified"], "certificate");
        let mut carol = start(&c, "Carol", "bob", &["--cert-name", "carol.example"]);
        let message = carol.wait_json("the refusal", PATIENCE, |value| {
            (value["event"] == "error").then(|| value["message"].as_str().unwrap().to_owned())
        });
        assert!(message.contains(".fleet.example, which is not asked for here"), "{message}");
    });
}

#[test]
fn devices_that_were_paired_need_no_passcode_any_more() {
    run_in_lab("devices_that_were_paired_need_no_passcode_any_more", |mut lab| {
        let folder = Folder::new("paired");
        let network = lab.network().unwrap();
        let (a, b) = (lab.host_on(network).unwrap(), lab.host_on(network).unwrap());
        let code = folder.path("passcode");
        fs::write(&code, "481-516").unwrap();
        let identities = [folder.path("alice"), folder.path("bob")];
        let first = |host: &Host, name: &str, identity: &str| {
            let words = ["--identity", identity, "--pair", "--passcode-file", &code];
            chat(host, name, &words)
        };
        let mut alice = first(&a, "Alice", &identities[0]);
        let mut bob = first(&b, "Bob", &identities[1]);
        for program in [&mut alice, &mut bob] {
            program.wait_json("the pairing", PATIENCE, |value| {
                let text = value["text"].as_str().unwrap_or_default();
                (value["event"] == "done" && text.starts_with("paired with")).then_some(())
            });
        }
        alice.kill();
        bob.kill();
        let again = |host: &Host, name: &str, identity: &str| {
            chat(host, name, &["--identity", identity, "--paired"])
        };
        let mut alice = again(&a, "Alice", &identities[0]);
        let mut bob = again(&b, "Bob", &identities[1]);
        assert_eq!(wait(&mut alice, "connected", "Bob")["verified"], "allowlist");
        assert_eq!(wait(&mut bob, "connected", "Alice")["verified"], "allowlist");
    });
}

/// Writes every packet that the host's interface sees to a file, as it is, for a while.
const CAPTURE: &str = r#"
import socket, sys, time
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
link.bind(("eth0", 0))
link.settimeout(0.2)
end = time.time() + float(sys.argv[2])
with open(sys.argv[1], "wb") as out:
    print('{"event": "capturing"}', flush=True)
    while time.time() < end:
        try:
            out.write(link.recv(65535))
        except TimeoutError:
            pass
print('{"event": "captured"}', flush=True)
"#;

/// What was on the wire while two hosts met in a chat with these words on the command line, and each of
/// the secrets that they have.
fn capture(lab: &mut Lab, folder: &Folder, words: &[&str]) -> (Vec<u8>, Vec<String>) {
    let network = lab.network().unwrap();
    let (a, b) = (lab.host_on(network).unwrap(), lab.host_on(network).unwrap());
    let (code, key) = (folder.path("passcode"), folder.path("fleet.key"));
    let secrets = ["rabbit-hole-481516", "a fleet key of enough bytes"];
    fs::write(&code, secrets[0]).unwrap();
    fs::write(&key, secrets[1]).unwrap();
    let packets = folder.path("packets");
    let mut capture = b.spawn("python3", &["-c", CAPTURE, &packets, "6"]).unwrap();
    capture
        .wait_json("the capture", PATIENCE, |value| (value["event"] == "capturing").then_some(()));
    let trust = ["--passcode-file", &code, "--psk-file", &key];
    let trust = [&trust[..], words].concat();
    let mut alice = chat(&a, "Alice in Chains", &trust);
    let mut bob = chat(&b, "Bob Dylan", &trust);
    wait(&mut bob, "connected", "Alice in Chains");
    wait(&mut alice, "connected", "Bob Dylan");
    let message = "nobody else is to read this line";
    bob.type_line(message);
    wait(&mut alice, "message", "Bob Dylan");
    capture.wait_json("the end of the capture", PATIENCE, |value| {
        (value["event"] == "captured").then_some(())
    });
    let plain = secrets[0].replace('-', "");
    let secrets = [message, secrets[0], &plain, secrets[1]].map(str::to_owned);
    (fs::read(&packets).unwrap(), secrets.to_vec())
}

fn has(packets: &[u8], text: &str) -> bool {
    packets.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn a_capture_has_neither_passcode_nor_key_nor_message() {
    if !common::available(&["python3"]) {
        return;
    }
    run_in_lab("a_capture_has_neither_passcode_nor_key_nor_message", |mut lab| {
        let (packets, secrets) = capture(&mut lab, &Folder::new("capture"), &[]);
        // That it would be seen: the announcement is public.
        assert!(has(&packets, "_multipeer") && has(&packets, "Alice in Chains"));
        for secret in secrets {
            assert!(!has(&packets, &secret), "{secret:?} can be read on the network");
        }
    });
}

#[test]
fn a_capture_of_private_announcements_has_no_name_and_no_lasting_id() {
    if !common::available(&["python3"]) {
        return;
    }
    run_in_lab("a_capture_of_private_announcements_has_no_name_and_no_lasting_id", |mut lab| {
        let folder = Folder::new("private-capture");
        let identity = folder.path("identity");
        let host = lab.network().and_then(|network| lab.host_on(network)).unwrap();
        let made = host.run(&multipeer(), &["id", "--identity", &identity]).unwrap();
        let lasting = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        let raw: Vec<u8> = (0..32)
            .map(|at| u8::from_str_radix(&lasting[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        for mode in ["private", "paired"] {
            let words = ["--announce", mode, "--identity", &identity];
            let (packets, mut secrets) = capture(&mut lab, &folder, &words);
            assert!(has(&packets, "_multipeer"), "{} bytes", packets.len());
            assert_eq!(has(&packets, "_tags="), mode == "paired");
            assert!(!packets.windows(32).any(|window| window == raw), "the lasting id is there");
            // Its first ten digits would stand in the name of a service.
            secrets.extend(["Alice in Chains", "Bob Dylan", &lasting[..10]].map(str::to_owned));
            for secret in secrets {
                assert!(!has(&packets, &secret), "{secret:?} can be read on the network");
            }
        }
    });
}

#[test]
fn a_private_session_is_found_under_one_id_after_the_other() {
    run_in_lab("a_private_session_is_found_under_one_id_after_the_other", |mut lab| {
        let network = lab.network().unwrap();
        let (a, b) = (lab.host_on(network).unwrap(), lab.host_on(network).unwrap());
        let mut bob = b.spawn(&multipeer(), &["browse", "--json"]).unwrap();
        let words = ["--ask", "--announce", "private", "--renewal-interval", "2"];
        let _alice = chat(&a, "Alice", &words);
        let mut seen: Vec<String> = Vec::new();
        for _ in 0..3 {
            let id = bob.wait_json("another id", PATIENCE, |value| {
                let id = value["peer"]["id"].as_str()?;
                let fresh = value["event"] == "peer_found" && !seen.iter().any(|old| old == id);
                fresh.then(|| id.to_owned())
            });
            seen.push(id);
        }
        bob.wait_json("the end of the second one", PATIENCE, |value| {
            (value["event"] == "peer_lost" && value["peer"]["id"] == seen[1].as_str()).then_some(())
        });
    });
}

#[test]
fn a_paired_device_is_known_under_one_id_after_the_other_and_by_nobody_else() {
    let test = "a_paired_device_is_known_under_one_id_after_the_other_and_by_nobody_else";
    run_in_lab(test, |mut lab| {
        let folder = Folder::new("paired");
        let network = lab.network().unwrap();
        let [a, b, c] = [(); 3].map(|()| lab.host_on(network).unwrap());
        let [alice_id, bob_id] = ["alice", "bob"].map(|name| folder.path(name));
        {
            let pair = |host, name: &str, file: &str| {
                let words = ["--passcode", "481-516", "--pair", "--identity", file];
                chat(host, name, &words)
            };
            let mut alice = pair(&a, "Alice", &alice_id);
            let mut bob = pair(&b, "Bob", &bob_id);
            for program in [&mut alice, &mut bob] {
                program.wait_json("the pairing", PATIENCE, |value| {
                    value["text"].as_str()?.starts_with("paired with").then_some(())
                });
            }
        }
        let shown = a.run(&multipeer(), &["id", "--identity", &alice_id]).unwrap();
        let lasting = String::from_utf8(shown.stdout).unwrap().trim().to_owned();
        let mut stranger = c.spawn(&multipeer(), &["browse", "--json"]).unwrap();
        let paired = ["browse", "--json", "--identity", &bob_id];
        let mut bob = b.spawn(&multipeer(), &paired).unwrap();
        let words = ["--announce", "paired", "--renewal-interval", "2", "--paired", "--ask"];
        let mut alice = chat(&a, "Alice", &[&words[..], &["--identity", &alice_id]].concat());
        let mut ids: Vec<String> = Vec::new();
        for _ in 0..2 {
            let id = bob.wait_json("another id", PATIENCE, |value| {
                let peer = &value["peer"];
                let is_she = value["event"] == "peer_found"
                    && peer["name"] == "Alice"
                    && peer["lasting_id"] == *lasting;
                let id = peer["id"].as_str().filter(|_| is_she)?;
                (!ids.iter().any(|old| old == id)).then(|| id.to_owned())
            });
            let seen = stranger.wait_json("the same id", PATIENCE, |value| {
                let found = value["event"] == "peer_found" && value["peer"]["id"] == *id;
                found.then(|| value["peer"].clone())
            });
            assert_eq!((&seen["name"], seen.get("lasting_id")), (&id[..10].into(), None));
            ids.push(id);
        }
        // And each takes the other for who it is.
        drop(bob);
        let mut bob = chat(&b, "Bob", &["--paired", "--identity", &bob_id]);
        wait(&mut alice, "invitation", "Bob");
        alice.type_line("/accept Bob");
        let verified = bob.wait_json("Alice", PATIENCE, |value| {
            let is_she = value["event"] == "connected" && value["peer"]["lasting_id"] == *lasting;
            is_she.then(|| value["verified"].clone())
        });
        assert_eq!(verified, "allowlist");
    });
}

/// As croc's secrets did (CVE-2023-43621).
#[test]
fn a_passcode_from_a_file_stands_in_no_list_of_processes() {
    run_in_lab("a_passcode_from_a_file_stands_in_no_list_of_processes", |mut lab| {
        let folder = Folder::new("process-list");
        let network = lab.network().unwrap();
        let [a, b] = [(); 2].map(|()| lab.host_on(network).unwrap());
        let (file, code) = (folder.path("code"), "quiet-otter-lantern-4711");
        fs::write(&file, code).unwrap();
        let [mut alice, _bob] = [(&a, "Alice"), (&b, "Bob")]
            .map(|(host, name)| chat(host, name, &["--passcode-file", &file]));
        let connected = wait(&mut alice, "connected", "Bob");
        assert_eq!(connected["verified"], "passcode");
        let processes = fs::read_dir("/proc").unwrap();
        let command_line = |entry: fs::DirEntry| fs::read(entry.path().join("cmdline")).ok();
        let lines: Vec<Vec<u8>> = processes.filter_map(|entry| command_line(entry.ok()?)).collect();
        assert!(lines.iter().any(|line| has(line, &file)), "the list has command lines");
        assert!(!lines.iter().any(|line| has(line, code)));
    });
}
