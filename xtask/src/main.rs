//! The project's own chores: `cargo xtask help`.

mod matrix;
mod tidy;

use std::{
    num::NonZeroUsize,
    process::{Command, ExitCode},
    sync::{Mutex, PoisonError},
};

use clap::{Parser, Subcommand};
use multipeer_proto::sim::{self, Options};

/// Seconds for each fuzz target, unless told otherwise.
const FUZZ_SECONDS: u32 = 60;

#[derive(Debug, Parser)]
#[command(about = "The project's own chores")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Run every test, the lab's among them
    Test,
    /// Play the lab's scenes of broken networks one after the other, and say what happens
    Lab {
        /// Those with this in their names only
        #[arg(default_value = "")]
        scene: String,
        /// Ten minutes of sleep and of random faults, instead of less than one
        #[arg(long)]
        long: bool,
    },
    /// Try every network of the matrix, and write what comes of it into docs/discovery.md
    Matrix,
    /// Measure, and print ratios to raw iroh
    Bench,
    /// Run every fuzz target for a while (wants `cargo install cargo-fuzz`)
    Fuzz {
        /// For each target
        #[arg(long, default_value_t = FUZZ_SECONDS)]
        seconds: u32,
    },
    /// Simulate seeds, on all cores, and check the invariants
    Sim {
        /// Replay this one, with a log
        #[arg(long)]
        seed: Option<u64>,
        /// How many to run
        #[arg(long, default_value_t = 10_000)]
        seeds: u64,
    },
    /// Check the rules of style that a compiler does not
    Tidy,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().chore {
        Chore::Test => test(),
        Chore::Lab { scene, long } => lab(&scene, long),
        Chore::Matrix => matrix::write(&root()),
        Chore::Bench => cargo(&["bench", "--workspace", "--bench", "messages", "--", "--ratios"]),
        Chore::Fuzz { seconds } => fuzz(seconds),
        Chore::Sim { seed, seeds } => simulate(seed, seeds),
        Chore::Tidy => tidy::check(&root()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn root() -> std::path::PathBuf {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

fn test() -> Result<(), String> {
    // The lab runs the command, so it must be there before the tests.
    cargo(&["build", "--release", "-p", "multipeer-cli"])?;
    cargo(&["test", "--release", "--workspace"])
}

fn lab(scene: &str, long: bool) -> Result<(), String> {
    cargo(&["build", "--release", "-p", "multipeer-cli"])?;
    if long {
        // Of those that the scenes read.
        let ten_minutes = [("MULTIPEER_LAB_SLEEP", "600"), ("MULTIPEER_LAB_CHAOS", "600")];
        return run_cargo(&scenes(scene), &ten_minutes);
    }
    run_cargo(&scenes(scene), &[])
}

/// The tests that are scenes of networks that break, with what they print.
fn scenes(scene: &str) -> Vec<&str> {
    let tests = ["reliability", "hubs", "hardships", "chaos"];
    let tests = tests.iter().flat_map(|test| ["--test", test]);
    let begin = ["test", "--release", "-p", "multipeer-lab"].into_iter();
    begin.chain(tests).chain(["--", "--nocapture", "--test-threads=1", scene]).collect()
}

fn cargo(arguments: &[&str]) -> Result<(), String> {
    run_cargo(arguments, &[])
}

fn run_cargo(arguments: &[&str], variables: &[(&str, &str)]) -> Result<(), String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.args(arguments).envs(variables.iter().copied()).current_dir(root());
    // What cargo said of this program would have some dependencies built anew (ring asks for it), and those that stand on them.
    let own = std::env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
    });
    own.for_each(|name| _ = command.env_remove(name));
    let status = command.status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`cargo {}` ended with {status}", arguments.join(" "))),
        Err(error) => Err(format!("could not run cargo: {error}")),
    }
}

fn fuzz(seconds: u32) -> Result<(), String> {
    let targets = std::fs::read_dir(root().join("fuzz/fuzz_targets"));
    let targets = targets.map_err(|error| format!("could not list the fuzz targets: {error}"))?;
    let mut names: Vec<String> = targets
        .filter_map(|entry| entry.ok()?.path().file_stem()?.to_str().map(str::to_owned))
        .collect();
    names.sort();
    // Without a sanitizer a stable compiler will do; no code here is unsafe.
    cargo(&["fuzz", "build", "--sanitizer", "none"])?;
    let time = format!("-max_total_time={seconds}");
    let names = Mutex::new(names.into_iter());
    // A target takes one core.
    let one_after_the_other = || {
        let next = || names.lock().unwrap_or_else(PoisonError::into_inner).next();
        while let Some(name) = next() {
            let run =
                ["fuzz", "run", "--sanitizer", "none", &name, "--", &time, "-rss_limit_mb=2048"];
            cargo(&run)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(one_after_the_other)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker.join().unwrap_or_else(|_| Err("a fuzz target's thread failed".to_owned()))
        })
    })
}

fn simulate(seed: Option<u64>, seeds: u64) -> Result<(), String> {
    if let Some(seed) = seed {
        let report = sim::run(Options { log: true, ..Options::new(seed) });
        println!("{:#?}", report.map_err(|failure| failure.to_string())?);
        return Ok(());
    }
    let seeds = seeds.to_string();
    let test = ["test", "--release", "-p", "multipeer-proto", "--test", "simulation"];
    run_cargo(&[&test[..], &["--", "--nocapture"]].concat(), &[("SEEDS", &seeds)])
}
