//! The command as a person or a script uses it. Whatever needs a network is in the lab.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    collections::BTreeSet,
    process::{Command, Output},
    time::{Duration, Instant},
};

use serde_json::Value;

fn multipeer(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_multipeer"))
        .args(arguments)
        .env("MULTIPEER_INTERFACES", "lo")
        .env_remove("MULTIPEER_IDENTITY")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_demo_shows_three_peers_that_talk_and_ends_soon() {
    let start = Instant::now();
    let output = multipeer(&["demo"]);
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}{}", text(&output.stderr));
    assert!(start.elapsed() < Duration::from_secs(15));
    for words in ["Alice  is connected with Bob", "hears Carol: hello from Carol", "p50", "p99"] {
        assert!(shown.contains(words), "{shown}");
    }
}

#[test]
fn json_is_one_object_a_line_with_the_documented_fields() {
    let output = multipeer(&["demo", "--json"]);
    let mut events = BTreeSet::new();
    for line in text(&output.stdout).lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        let event = value["event"].as_str().unwrap().to_owned();
        assert!(value["at"].as_f64().unwrap() >= 0.0, "{line}");
        if ["peer_found", "connected", "message"].contains(&event.as_str()) {
            assert_eq!(value["peer"]["id"].as_str().unwrap().len(), 64, "{line}");
            assert!(value["peer"]["name"].is_string(), "{line}");
        }
        events.insert(event);
    }
    for event in ["peer_found", "connected", "message", "ping"] {
        assert!(events.contains(event), "{event} is not among {events:?}");
    }
}

#[test]
fn an_identity_in_a_file_stays_and_one_that_others_can_read_is_refused() {
    let path = std::env::temp_dir().join(format!("multipeer-id-{}", std::process::id()));
    let file = path.to_str().unwrap();
    let first = multipeer(&["id", "--identity", file]);
    let second = multipeer(&["id", "--identity", file]);
    assert_eq!(first.stdout, second.stdout);
    assert_eq!(text(&first.stdout).trim().len(), 64);
    // What is printed is public, what is kept is not.
    assert_ne!(text(&first.stdout).trim(), std::fs::read_to_string(&path).unwrap().trim());
    assert_ne!(multipeer(&["id"]).stdout, multipeer(&["id"]).stdout);

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        let refused = multipeer(&["id", "--identity", file]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(text(&refused.stderr).contains("chmod 600"), "{}", text(&refused.stderr));
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn an_id_is_made_once_rotated_and_has_paired_devices() {
    let folder = std::env::temp_dir().join(format!("multipeer-ids-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("me");
    let id = |words: &[&str]| {
        multipeer(&[&["id", "--identity", file.to_str().unwrap()][..], words].concat())
    };
    let first = id(&["new"]);
    assert_eq!(text(&first.stdout).trim().len(), 64);
    let again = id(&["new"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("multipeer id rotate"), "{}", text(&again.stderr));
    let rotated = id(&["rotate"]);
    assert_ne!(first.stdout, rotated.stdout);
    assert_eq!(id(&["show"]).stdout, rotated.stdout);
    assert!(text(&id(&["paired"]).stdout).is_empty());
    let other = "0123456789abcdef".repeat(4);
    let line = format!("{other} 1800000000 passcode 192.0.2.7 Zoë's phone\n");
    let paired = folder.join("me.paired");
    std::fs::write(&paired, line).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&paired, PermissionsExt::from_mode(0o600)).unwrap();
    }
    assert_eq!(text(&id(&["paired"]).stdout).trim(), format!("{other} Zoë's phone (passcode)"));
    let unknown = id(&["forget", "Bob"]);
    assert!(text(&unknown.stderr).contains("no paired device is called"));
    assert!(id(&["forget", "Zoë's phone"]).status.success());
    assert!(text(&id(&["paired"]).stdout).is_empty());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn wrong_input_is_answered_with_the_rule_and_the_value() {
    let output = multipeer(&["browse", "--timeout", "0", "--service", "No_Such"]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("RFC 6335") && error.contains("No_Such"), "{error}");
    let output = multipeer(&["browse", "--json", "--timeout", "0", "--name", ""]);
    let error: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(error["event"], "error");
    assert!(error["message"].as_str().unwrap().contains("must not be empty"));
}

#[test]
fn bench_measures_everything_beside_raw_iroh() {
    let arguments = ["bench", "--json", "--turns", "1", "--size", "4", "--files", "50"];
    let output = multipeer(&arguments);
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}{}", text(&output.stderr));
    let rows: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let named = |what: &str| {
        let row = rows.iter().find(|row| row["what"].as_str().unwrap().starts_with(what));
        row.unwrap_or_else(|| panic!("{what} is not in {shown}"))
    };
    let many = "messages, 64 bytes, many at a time";
    let messages = ["messages, 64 bytes", many, "messages, 1024", "messages, 65536"];
    for what in messages.into_iter().chain(["round trip", "stream, bulk"]) {
        let row = named(what);
        assert_eq!((&row["event"], &row["beside_name"]), (&"measured".into(), &"raw iroh".into()));
        assert!(row["multipeer"].as_f64().unwrap() > 0.0, "{row}");
        assert!(row["ratio"].as_f64().unwrap() > 0.0, "{row}");
    }
    assert!(named("file to file, 4 MiB")["multipeer"].as_f64().unwrap() > 0.0);
    assert!(named("50 files of 4 KiB")["multipeer"].as_f64().unwrap() > 0.0);
    assert!(named("first verified bytes")["multipeer"].as_f64().unwrap() < 5.0);
}
