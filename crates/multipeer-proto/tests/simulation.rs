//! The invariants of ARCHITECTURE.md, for many seeds. `SEED=4711` runs that one, and
//! `SEEDS=100000` more than the usual ten thousand.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use multipeer_proto::sim::{self, Options};

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn all_invariants_hold_for_every_seed() {
    if let Some(seed) = number("SEED") {
        sim::run(Options { log: true, ..Options::new(seed) }).unwrap_or_else(|f| panic!("{f}"));
        return;
    }
    let seeds = number("SEEDS").unwrap_or(10_000);
    let next = AtomicU64::new(0);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let reports = thread::scope(|scope| {
        let work = || {
            let mut reports = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds {
                    return reports;
                }
                match sim::run(Options::new(seed)) {
                    Ok(report) => reports.push(report),
                    Err(failure) => {
                        // The others need not go on.
                        next.store(seeds, Ordering::Relaxed);
                        panic!("{failure}")
                    }
                }
            }
        };
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
    });
    // A simulation in which nothing happens proves nothing.
    let total = |count: fn(&sim::Report) -> u64| reports.iter().map(count).sum::<u64>();
    println!(
        "{} seeds, {} steps, {} faults, {} connections, {} links through hubs, {} resumptions, {} links come to rest, {} peers vanish at \
         the end, {} reliable and {} best-effort messages delivered, {} returned; healed after at most {:?}",
        reports.len(),
        total(|r| r.steps),
        total(|r| r.faults),
        total(|r| r.connections),
        total(|r| r.relayed),
        total(|r| r.resumptions),
        total(|r| r.rests),
        total(|r| r.vanished),
        total(|r| r.delivered),
        total(|r| r.delivered_unreliable),
        total(|r| r.returned),
        reports.iter().map(|r| r.healed_after).max().unwrap_or_default(),
    );
    assert!(total(|r| r.connections) > 10 * seeds);
    assert!(total(|r| r.relayed) > seeds);
    assert!(total(|r| r.resumptions) > seeds);
    assert!(total(|r| r.rests) > seeds);
    assert!(total(|r| r.vanished) > seeds / 10);
    assert!(total(|r| r.delivered) > 10 * seeds);
    assert!(total(|r| r.delivered_unreliable) > seeds);
    assert!(total(|r| r.returned) > seeds / 10);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..10 {
        let run = || format!("{:?}", sim::run(Options::new(seed)));
        assert_eq!(run(), run());
    }
}
