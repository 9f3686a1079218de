//! One host: a network namespace, its cables, and the programs that run there.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Output, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    lab::{Error, Network, finish, run},
    terminal::Terminal,
};

/// Bound on the life of a host, should everything else fail.
const LIFETIME_SECONDS: &str = "900";

/// A process that holds a namespace open.
#[derive(Debug)]
pub(crate) struct Holder(Child);

impl Holder {
    pub(crate) fn new() -> Result<Self, Error> {
        let mut child = in_this_thread("unshare")
            .args(["--net", "sh", "-c"])
            .arg(format!("echo ready; exec sleep {LIFETIME_SECONDS}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| Error::Run { program: "unshare".to_owned(), error })?;
        let mut ready = String::new();
        let read = child.stdout.take().map(|stdout| BufReader::new(stdout).read_line(&mut ready));
        match read {
            Some(Ok(1..)) => Ok(Self(child)),
            _ => Err(Error::Command {
                command: "unshare --net".to_owned(),
                error: "the namespace did not come up".to_owned(),
            }),
        }
    }

    fn process(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// A command that is killed when the thread that starts it ends.
fn in_this_thread(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

/// A host of the lab.
#[derive(Debug)]
pub struct Host {
    number: u32,
    holder: Holder,
    cables: Vec<Network>,
}

impl Host {
    pub(crate) fn new(number: u32, holder: Holder) -> Self {
        Self { number, holder, cables: Vec::new() }
    }

    /// The name of the interface on the host's latest cable.
    pub fn interface(&self) -> String {
        format!("eth{}", self.cables.len().saturating_sub(1))
    }

    fn cable(&self) -> String {
        format!("cable{}-{}", self.number, self.cables.len().saturating_sub(1))
    }

    /// The host's IPv4 address on its latest network.
    pub fn address(&self) -> String {
        let network = self.cables.last().map_or(0, |network| network.0);
        format!("10.77.{network}.{}", self.number)
    }

    /// Plugs the host into a segment, with an address there.
    pub fn attach(&mut self, network: Network) -> Result<(), Error> {
        self.cables.push(network);
        let (cable, interface) = (self.cable(), self.interface());
        let process = self.holder.process();
        run(
            "ip",
            &["link", "add", &cable, "type", "veth", "peer", "name", &interface, "netns", &process],
        )?;
        run("ip", &["link", "set", &cable, "master", &network.bridge(), "up"])?;
        self.run("ip", &["link", "set", &interface, "up"])?;
        let address = format!("{}/24", self.address());
        self.run("ip", &["address", "add", &address, "dev", &interface])?;
        Ok(())
    }

    /// Pulls the plug of the latest cable.
    pub fn unplug(&self) -> Result<(), Error> {
        run("ip", &["link", "set", &self.cable(), "down"]).map(drop)
    }

    /// Puts the plug of the latest cable back.
    pub fn plug(&self) -> Result<(), Error> {
        run("ip", &["link", "set", &self.cable(), "up"]).map(drop)
    }

    /// Keeps the host apart from others on its latest network that are kept apart, as access points do with their
    /// clients.
    pub fn isolate(&self) -> Result<(), Error> {
        run("bridge", &["link", "set", "dev", &self.cable(), "isolated", "on"]).map(drop)
    }

    /// Passes nothing on to the host that is sent to a group, as some access points do.
    pub fn withhold_multicast(&self) -> Result<(), Error> {
        run("bridge", &["link", "set", "dev", &self.cable(), "mcast_flood", "off"]).map(drop)
    }

    /// Lets no more than so many Mbit/s through to the host on its latest cable, whose queue holds 50 ms. Needs `tc`.
    pub fn limit_download(&self, mbit: u32) -> Result<(), Error> {
        // tc makes the queue longer by the burst: it is what comes in 10 ms, and two packets at least.
        let burst = mbit.saturating_mul(1250).max(3200).to_string();
        let rate = format!("{mbit}mbit");
        let limit = ["rate", &rate, "burst", &burst, "latency", "50ms"];
        let begin = ["qdisc", "add", "dev", &self.cable(), "root", "tbf"];
        run("tc", &[&begin[..], &limit].concat()).map(drop)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = in_this_thread("nsenter");
        // Nothing of the environment in which the tests run reaches the host's programs.
        command.args(["-t", &self.holder.process(), "-n", "--", program]);
        command.env_remove("MULTIPEER_INTERFACES").env_remove("MULTIPEER_IDENTITY");
        command
    }

    /// Runs a command on the host to its end.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<Output, Error> {
        finish(self.command(program).args(arguments))
    }

    /// A terminal of 80 columns and 24 lines on the host, in which a program runs. Needs tmux.
    pub fn terminal(&self, program: &str, arguments: &[&str]) -> Result<Terminal, Error> {
        let socket = format!("/run/tmux-{}", self.number);
        let words = [&["-S", &socket, "-f", "/dev/null", "new-session", "-d"][..]];
        let size = [&["-x", "80", "-y", "24", "--", program][..], arguments];
        self.run("tmux", &[words.concat(), size.concat()].concat())?;
        Ok(Terminal { socket })
    }

    /// Starts a program on the host. It is killed when this is dropped.
    pub fn spawn(&self, program: &str, arguments: &[&str]) -> Result<Program, Error> {
        let mut child = self
            .command(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| Error::Run { program: program.to_owned(), error })?;
        let (sender, lines) = mpsc::channel();
        let stdin = child.stdin.take();
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        let command = [&[program][..], arguments].concat().join(" ");
        Ok(Program { command, child, stdin, lines, seen: Vec::new() })
    }
}

/// A program that runs on a host, and the lines that it prints.
#[derive(Debug)]
pub struct Program {
    command: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Program {
    /// Types a line.
    ///
    /// # Panics
    ///
    /// When the program does not read any more.
    pub fn type_line(&mut self, line: &str) {
        let written = self.stdin.as_mut().map(|stdin| {
            writeln!(stdin, "{line}")?;
            stdin.flush()
        });
        assert!(matches!(written, Some(Ok(()))), "the program does not read: {written:?}");
    }

    /// Waits for a line that is JSON and that `pick` takes, and passes over the others.
    ///
    /// # Panics
    ///
    /// When none comes in time; with everything that came.
    pub fn wait_json<T>(
        &mut self,
        what: &str,
        patience: Duration,
        mut pick: impl FnMut(&Value) -> Option<T>,
    ) -> T {
        self.wait_for(what, patience, |line| {
            pick(&serde_json::from_str(line).unwrap_or(Value::Null))
        })
    }

    fn wait_for<T>(
        &mut self,
        what: &str,
        patience: Duration,
        mut pick: impl FnMut(&str) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    let picked = pick(&line);
                    self.seen.push(line);
                    if let Some(picked) = picked {
                        return picked;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!("waited {patience:?} for {what} and saw\n{}", self.seen.join("\n"))
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("waited for {what}, and the program ended: {}", self.seen.join("\n"))
                }
            }
        }
    }

    /// Waits for this line, and passes over the others.
    ///
    /// # Panics
    ///
    /// As [`wait_json`](Self::wait_json).
    pub fn wait_line(&mut self, line: &str, patience: Duration) {
        self.wait_for(line, patience, |seen| (seen == line).then_some(()));
    }

    /// Ends the program's input.
    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    /// Every line so far, and those that come within `time`.
    pub fn all_lines(&mut self, time: Duration) -> Vec<String> {
        let deadline = Instant::now() + time;
        while let Ok(line) =
            self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            self.seen.push(line);
        }
        self.seen.clone()
    }

    /// How it was called, as everyone on the machine can see.
    pub fn command_line(&self) -> String {
        let path = format!("/proc/{}/cmdline", self.child.id());
        let words = std::fs::read(path).unwrap_or_default();
        String::from_utf8_lossy(&words).replace('\0', " ")
    }

    /// Bytes of memory that it has at the moment.
    ///
    /// # Panics
    ///
    /// When it has ended.
    pub fn memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes =
            resident.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        match kibibytes {
            Some(kibibytes) => kibibytes * 1024,
            None => panic!("the program has ended: {}", self.seen.join("\n")),
        }
    }

    /// Puts it to sleep, as a laptop that is closed; or wakes it.
    pub fn sleep(&self, asleep: bool) -> Result<(), Error> {
        let signal = if asleep { "STOP" } else { "CONT" };
        run("sh", &["-c", &format!("kill -{signal} {}", self.child.id())]).map(drop)
    }

    /// Kills it without a word.
    pub fn kill(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }

    /// Waits for its end and returns its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().ok()?.code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        // What the others saw may be why a test failed: its own panic shows one program only.
        if thread::panicking() {
            let command = self.command.clone();
            println!("{command} printed\n{}", self.all_lines(Duration::from_secs(1)).join("\n"));
        }
    }
}
