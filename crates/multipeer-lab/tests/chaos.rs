//! Random faults, one every 300 ms: 200 a minute. At the end everything works again, and everyone must find back.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use common::multipeer;
use multipeer_lab::{Host, Lab, Program, run_in_lab};
use serde_json::Value;

/// Pause between two faults.
const PAUSE: Duration = Duration::from_millis(300);
/// How long everyone may take to find back.
const HEAL: Duration = Duration::from_secs(90);
/// How long the faults go on, unless `MULTIPEER_LAB_CHAOS` says otherwise, in seconds.
const FAULTS: u64 = 45;

/// A host, its program, and what was done to it.
struct Member {
    name: String,
    host: Host,
    program: Program,
    starts: u32,
    /// What it has said, of this start.
    said: u32,
    asleep: bool,
    lossy: bool,
}

impl Member {
    fn new(name: String, host: Host) -> Self {
        let program = start(&host, &name);
        Self { name, host, program, starts: 0, said: 0, asleep: false, lossy: false }
    }

    fn say(&mut self) {
        let Self { starts, said, .. } = self;
        self.program.type_line(&format!("{starts} {said}"));
        self.said += 1;
    }

    fn restart(&mut self) {
        self.program.kill();
        self.program = start(&self.host, &self.name);
        self.starts += 1;
        (self.said, self.asleep) = (0, false);
    }

    fn sleep(&mut self, asleep: bool) {
        self.program.sleep(asleep).unwrap();
        self.asleep = asleep;
    }

    /// Whether half of what comes to the host is lost.
    fn lose(&mut self, lossy: bool) {
        if self.lossy != lossy {
            let change = if lossy { "-A" } else { "-D" };
            let rule = [change, "INPUT", "-m", "statistic", "--mode", "random"];
            let rule = [&rule[..], &["--probability", "0.5", "-j", "DROP"]].concat();
            self.host.run("iptables", &rule).unwrap();
            self.lossy = lossy;
        }
    }
}

fn start(host: &Host, name: &str) -> Program {
    let hub: &[&str] = if name == "Hub" { &["--hub"] } else { &[] };
    let arguments = ["chat", "--json", "--name", name, "--reconnect-window", "20"];
    host.spawn(&multipeer(), &[&arguments[..], hub].concat()).unwrap()
}

/// A small generator: the same seed gives the same faults.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }
}

/// A hub on two networks, and two members on each.
fn members(lab: &mut Lab) -> Vec<Member> {
    let networks = [(); 2].map(|()| lab.network().unwrap());
    let mut hub = lab.host_on(networks[0]).unwrap();
    hub.attach(networks[1]).unwrap();
    let mut members = vec![Member::new("Hub".to_owned(), hub)];
    for (number, network) in [networks[0], networks[1], networks[0], networks[1]].iter().enumerate()
    {
        let host = lab.host_on(*network).unwrap();
        members.push(Member::new(format!("Peer {number}"), host));
    }
    members
}

fn fault(member: &mut Member, dice: &mut Dice) -> &'static str {
    match dice.roll(6) {
        0 => {
            member.host.unplug().unwrap();
            "pulls the cable of"
        }
        1 => {
            member.host.plug().unwrap();
            "puts back the cable of"
        }
        2 => {
            member.sleep(!member.asleep);
            "puts to sleep, or wakes,"
        }
        3 => {
            member.lose(!member.lossy);
            "makes lossy, or not,"
        }
        4 if dice.roll(4) == 0 => {
            member.restart();
            "kills and starts"
        }
        _ => "leaves alone",
    }
}

/// What a program has been told: who is in its session, and that messages came in order and once.
fn check(member: &mut Member) -> Vec<String> {
    // By id: who was started anew is another one, and its former self may still be waited for.
    let mut present: BTreeMap<String, String> = BTreeMap::new();
    // The latest message of each start of each peer.
    let mut latest: BTreeMap<(String, u32), u32> = BTreeMap::new();
    let mut connections: BTreeMap<String, u32> = BTreeMap::new();
    let mut before: BTreeMap<(String, u32), u32> = BTreeMap::new();
    for line in member.program.all_lines(Duration::ZERO) {
        let value: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
        let [id, name] =
            ["id", "name"].map(|key| value["peer"][key].as_str().unwrap_or_default().to_owned());
        match value["event"].as_str().unwrap_or_default() {
            "connected" => {
                let twice = present.insert(id.clone(), name);
                assert_eq!(twice, None, "twice at {}: {line}", member.name);
                *connections.entry(id).or_default() += 1;
            }
            "disconnected" => {
                assert!(present.remove(&id).is_some(), "not there at {}: {line}", member.name);
            }
            "message" => {
                assert!(present.contains_key(&id), "not there at {}: {line}", member.name);
                let text = value["text"].as_str().unwrap();
                let (start, number) = text.split_once(' ').unwrap();
                let (start, number): (u32, u32) = (start.parse().unwrap(), number.parse().unwrap());
                let of = (name.clone(), start);
                let connection = connections[&id];
                if let Some(last) = latest.insert(of.clone(), number) {
                    assert!(number > last, "{number} of {of:?} after {last} at {}", member.name);
                    // Nothing is missing but what was handed back when a connection ended.
                    let same = before.get(&of) == Some(&connection);
                    assert!(
                        !same || number == last + 1,
                        "{of:?}: {last}, {number} at {}",
                        member.name
                    );
                }
                before.insert(of, connection);
            }
            _ => {}
        }
    }
    present.into_values().collect()
}

#[test]
fn after_random_faults_everyone_finds_back_and_messages_came_in_order() {
    let test = "after_random_faults_everyone_finds_back_and_messages_came_in_order";
    run_in_lab(test, |mut lab| {
        let seconds = std::env::var("MULTIPEER_LAB_CHAOS").map_or(FAULTS, |s| s.parse().unwrap());
        let seed = std::env::var("SEED").map_or(0x5eed, |seed| seed.parse().unwrap());
        println!("{seconds} s of faults, of seed {seed}");
        let mut dice = Dice(seed);
        let mut members = members(&mut lab);
        let (start, mut faults) = (Instant::now(), 0);
        while start.elapsed() < Duration::from_secs(seconds) {
            let at = dice.roll(members.len());
            let what = fault(&mut members[at], &mut dice);
            println!("{:5.1} s: {what} {}", start.elapsed().as_secs_f64(), members[at].name);
            faults += 1;
            for member in members.iter_mut().filter(|member| !member.asleep) {
                member.say();
            }
            thread::sleep(PAUSE);
        }
        for member in &mut members {
            member.host.plug().unwrap();
            member.lose(false);
            if member.asleep {
                member.sleep(false);
            }
        }
        let healed = Instant::now();
        let mut names: Vec<String> = members.iter().map(|member| member.name.clone()).collect();
        names.sort_unstable();
        loop {
            let missing: Vec<String> = members
                .iter_mut()
                .map(|member| {
                    let mut present = check(member);
                    present.push(member.name.clone());
                    present.sort_unstable();
                    (member.name.clone(), present)
                })
                .filter(|(_, present)| *present != names)
                .map(|(name, present)| format!("{name} is with {present:?}"))
                .collect();
            if missing.is_empty() {
                break;
            }
            assert!(healed.elapsed() < HEAL, "after {HEAL:?}: {missing:?}");
            thread::sleep(PAUSE);
        }
        println!("{faults} faults; everyone is back {:.1?} after the last", healed.elapsed());
        for member in &mut members {
            member.say();
        }
        thread::sleep(Duration::from_secs(5));
        for member in &mut members {
            check(member);
        }
    });
}
