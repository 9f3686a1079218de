//! What the scenes of the matrix of networks share.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use multipeer_lab::{Host, Lab, Program};
use serde_json::Value;

use super::{PATIENCE, chat_with as chat, ensure, multipeer, say, wait};

/// Where multicast arrives, ...
pub const WITH_MULTICAST: Duration = Duration::from_secs(2);
/// ... and where it does not.
pub const WITHOUT: Duration = Duration::from_secs(8);

/// A row of the table, in the order of the numbers.
pub fn note(number: u32, network: &str, what: &str, how: &str, time: Option<Duration>) {
    let time = time.map_or_else(String::new, |time| format!("{:.2} s", time.as_secs_f64()));
    let row = format!("| {network} | {what} | {how} | {time} |\n");
    print!("{row}");
    if let Some(folder) = std::env::var_os("MULTIPEER_MATRIX") {
        std::fs::write(std::path::Path::new(&folder).join(format!("{number:02}")), row).unwrap();
    }
}

/// How the two heard of each other, as their events say.
pub fn ways(programs: [&mut Program; 2]) -> String {
    let lines = programs.into_iter().flat_map(|program| program.all_lines(Duration::ZERO));
    let ways: BTreeSet<String> = lines
        .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
        .filter_map(|value| Some(value["peer"]["ways"].as_array()?.clone()))
        .flatten()
        .filter_map(|way| Some(way.as_str()?.to_owned()))
        .collect();
    ways.into_iter().collect::<Vec<_>>().join(", ")
}

/// Both are started at once, and are connected in time.
pub fn meet_with(
    number: u32,
    network: &str,
    hosts: [&Host; 2],
    within: Duration,
    arguments: &[&str],
) -> [Program; 2] {
    let started = Instant::now();
    let [mut alice, mut bob] =
        [(hosts[0], "Alice"), (hosts[1], "Bob")].map(|(host, name)| chat(host, name, arguments));
    finish(number, network, [&mut alice, &mut bob], started, within);
    [alice, bob]
}

pub fn meet(number: u32, network: &str, hosts: &[Host; 2], within: Duration) -> [Program; 2] {
    meet_with(number, network, [&hosts[0], &hosts[1]], within, &[])
}

pub fn finish(
    number: u32,
    network: &str,
    [alice, bob]: [&mut Program; 2],
    started: Instant,
    within: Duration,
) {
    wait(alice, "connected", "Bob");
    ensure(bob, "connected", "Alice");
    let took = started.elapsed();
    say(bob, "Bob", alice, "hello");
    note(number, network, "connected", &ways([alice, bob]), Some(took));
    assert!(took < within, "{network}: connected after {took:.2?}, and not within {within:?}");
}

/// What the doctors say that run on these hosts at the same time.
pub fn diagnose<const N: usize>(hosts: [&Host; N]) -> [Vec<String>; N] {
    diagnose_with(hosts.map(|host| (host, &[][..])))
}

/// The same, each with an environment of its own.
pub fn diagnose_with<const N: usize>(hosts: [(&Host, &[&str]); N]) -> [Vec<String>; N] {
    reports(hosts).map(|report| causes(&report))
}

/// The names of the causes in a doctor's report.
pub fn causes(report: &Value) -> Vec<String> {
    let diagnoses = report["diagnoses"].as_array().unwrap().iter();
    diagnoses.map(|diagnosis| diagnosis["cause"].as_str().unwrap().to_owned()).collect()
}

/// What doctors report that run on these hosts at the same time, each with an environment of its own.
pub fn reports<const N: usize>(hosts: [(&Host, &[&str]); N]) -> [Value; N] {
    let started = Instant::now();
    let program = multipeer();
    let doctors = hosts.map(|(host, environment)| {
        let name = host.address();
        let command = [program.as_str(), "doctor", "--json", "--name", &name];
        host.spawn("env", &[environment, &command].concat()).unwrap()
    });
    let reports = doctors.map(|mut doctor| {
        let report = doctor.wait_json("a report", PATIENCE, |value| {
            (value["event"] == "report").then(|| value.clone())
        });
        println!("{:#}", report["diagnoses"]);
        report
    });
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    reports
}

/// The first thing that each doctor says is this.
pub fn told(number: u32, network: &str, hosts: [&Host; 2], expected: [&str; 2]) {
    let causes = diagnose(hosts);
    let first = causes.each_ref().map(|causes| causes.first().map_or("", String::as_str));
    let [one, other] = expected;
    let how = if one == other { one.to_owned() } else { format!("{one}; {other}") };
    note(number, network, "told why not, or how it is", &format!("`doctor`: {how}"), None);
    assert_eq!(first, expected, "{network}: {causes:?}");
}

/// The session itself says that this is in the way.
pub fn notices(program: &mut Program, what: &str) {
    program.wait_json(what, PATIENCE, |value| {
        let message = value["message"].as_str().filter(|_| value["event"] == "error")?;
        message.contains(what).then_some(())
    });
}

pub fn pair(lab: &mut Lab) -> [Host; 2] {
    let network = lab.network().unwrap();
    [(); 2].map(|()| lab.host_on(network).unwrap())
}
