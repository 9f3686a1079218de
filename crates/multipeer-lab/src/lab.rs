//! The lab itself: entering the namespaces, networks, and commands within.

use std::{
    io,
    process::{Command, Output, Stdio},
};

use crate::host::{Holder, Host};

/// Set in the process that runs inside the lab's own namespaces.
const INSIDE: &str = "MULTIPEER_INSIDE_LAB";

/// A lab that could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program could not be run at all.
    #[error("could not run {program}: {error}")]
    Run {
        /// The program.
        program: String,
        /// Why.
        error: io::Error,
    },
    /// A command failed.
    #[error("`{command}` failed: {error}")]
    Command {
        /// The command.
        command: String,
        /// What it said.
        error: String,
    },
}

/// Runs a test inside namespaces of its own: as root directly, otherwise through `unshare -Urn`.
///
/// Call it first thing in a `#[test]`, with the test's full name. When this machine allows
/// neither way, the test says so and is skipped; with `MULTIPEER_LAB=required` it fails instead.
///
/// # Panics
///
/// When the test fails inside.
pub fn run_in_lab(test: &str, body: impl FnOnce(Lab)) {
    if std::env::var_os(INSIDE).is_some() {
        match Lab::new() {
            Ok(lab) => body(lab),
            Err(error) => panic!("the lab could not be made: {error}"),
        }
        return;
    }
    let required = std::env::var("MULTIPEER_LAB").is_ok_and(|value| value == "required");
    if let Err(reason) = namespaces_work() {
        assert!(!required, "the lab is required, and namespaces do not work here: {reason}");
        println!("SKIPPED: namespaces do not work here: {reason}");
        return;
    }
    let executable = match std::env::current_exe() {
        Ok(executable) => executable,
        Err(error) => panic!("this program has no path: {error}"),
    };
    let status = unshare()
        .arg(executable)
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .status();
    match status {
        Ok(status) => assert!(status.success(), "{test} failed inside the lab"),
        Err(error) => panic!("could not run unshare: {error}"),
    }
}

/// A command in new namespaces, in which this user is root. The one of processes ends with the
/// command, and takes with it whatever the command or its hosts left running.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    if !is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn namespaces_work() -> Result<(), String> {
    let script = "ip link add lab-probe type bridge && ip link del lab-probe";
    match unshare().args(["sh", "-c", script]).stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Runs a command to its end.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<Output, Error> {
    finish(Command::new(program).args(arguments))
}

/// Runs a command that is ready to its end.
pub(crate) fn finish(command: &mut Command) -> Result<Output, Error> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| Error::Run {
        program: command.get_program().to_string_lossy().into_owned(),
        error,
    })?;
    if output.status.success() {
        return Ok(output);
    }
    Err(Error::Command {
        command: format!("{command:?}"),
        error: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

/// Networks and hosts. Its own namespace holds the bridges.
#[derive(Debug)]
pub struct Lab {
    hosts: u32,
    networks: u32,
}

/// An Ethernet segment: a bridge, to which hosts are attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(pub(crate) u32);

impl Network {
    pub(crate) fn bridge(self) -> String {
        format!("bridge{}", self.0)
    }
}

impl Lab {
    fn new() -> Result<Self, Error> {
        run("ip", &["link", "set", "lo", "up"])?;
        // Daemons keep their sockets there; the machine's own must not be touched.
        run("mount", &["-t", "tmpfs", "tmpfs", "/run"])?;
        Ok(Self { hosts: 0, networks: 0 })
    }

    /// A new segment with nobody on it.
    pub fn network(&mut self) -> Result<Network, Error> {
        self.networks += 1;
        let network = Network(self.networks);
        let bridge = network.bridge();
        // Snooping would hold multicast back until the bridge has learnt who listens.
        run("ip", &["link", "add", &bridge, "type", "bridge", "mcast_snooping", "0"])?;
        run("ip", &["link", "set", &bridge, "up"])?;
        Ok(network)
    }

    /// A new host without a network.
    pub fn host(&mut self) -> Result<Host, Error> {
        self.hosts += 1;
        let host = Host::new(self.hosts, Holder::new()?);
        host.run("ip", &["link", "set", "lo", "up"])?;
        Ok(host)
    }

    /// A new host on a segment, with an IPv4 and a link-local IPv6 address.
    pub fn host_on(&mut self, network: Network) -> Result<Host, Error> {
        let mut host = self.host()?;
        host.attach(network)?;
        Ok(host)
    }

    /// The interfaces of the namespace that joins the hosts, by name: bridges and cables, and
    /// nothing that leads out.
    pub fn interfaces(&self) -> Result<Vec<String>, Error> {
        let output = run("ip", &["-o", "link"])?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().filter_map(|line| Some(line.split(": ").nth(1)?.to_owned())).collect())
    }
}
