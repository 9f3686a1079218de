//! The project's own chores: `cargo xtask help`.

mod tidy;

use std::process::{Command, ExitCode};

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
    /// Measure, and print ratios to raw iroh
    Bench,
    /// Run every fuzz target for a while (wants `cargo install cargo-fuzz`)
    Fuzz {
        /// For each target
        #[arg(long, default_value_t = FUZZ_SECONDS)]
        seconds: u32,
    },
    /// Simulate seeds and check the invariants
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

fn cargo(arguments: &[&str]) -> Result<(), String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let status = Command::new(cargo).args(arguments).current_dir(root()).status();
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
    let time = format!("-max_total_time={seconds}");
    for name in names {
        // Without a sanitizer a stable compiler will do; no code here is unsafe.
        let run = ["fuzz", "run", "--sanitizer", "none", &name, "--", &time, "-rss_limit_mb=2048"];
        cargo(&run)?;
    }
    Ok(())
}

fn simulate(seed: Option<u64>, seeds: u64) -> Result<(), String> {
    if let Some(seed) = seed {
        let report = sim::run(Options { log: true, ..Options::new(seed) });
        println!("{:#?}", report.map_err(|failure| failure.to_string())?);
        return Ok(());
    }
    for seed in 0..seeds {
        sim::run(Options::new(seed)).map_err(|failure| failure.to_string())?;
    }
    println!("{seeds} seeds, all invariants held");
    Ok(())
}
