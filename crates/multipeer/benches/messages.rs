//! Round trips and rates of messages, beside raw iroh in the same run.
//!
//! `cargo bench -p multipeer` runs criterion's groups and then prints a table of ratios, for which
//! the two sides take turns, so that a machine that changes its speed changes it for both.

#![allow(missing_docs, clippy::cast_precision_loss, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use support::{
    Pair, RawPair, median_round_trip, median_round_trip_raw, one_way, one_way_raw, round_trip,
    round_trip_raw, runtime,
};

/// Turns that each side takes in the table of ratios.
const TURNS: usize = 11;
/// Round trips in one turn.
const ROUND_TRIPS: u64 = 2000;
/// Bytes that one turn of a rate moves, and messages at most.
const BYTES: usize = 256 << 20;
const MESSAGES: usize = 1_000_000;

fn criterion_groups(criterion: &mut Criterion) {
    let runtime = runtime();
    let (pair, raw) = runtime.block_on(async { (Pair::new().await, RawPair::new().await) });
    let mut group = criterion.benchmark_group("round_trip_64_bytes");
    group.bench_function("raw_iroh", |bencher| {
        bencher.iter_custom(|count| runtime.block_on(round_trip_raw(&raw, count)));
    });
    group.bench_function("session", |bencher| {
        bencher.iter_custom(|count| runtime.block_on(round_trip(&pair, count)));
    });
    group.finish();
    let mut group = criterion.benchmark_group("one_way");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    for bytes in [64, 1024, 65536] {
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_with_input(BenchmarkId::new("session", bytes), &bytes, |bencher, &bytes| {
            bencher.iter_custom(|count| runtime.block_on(one_way(&pair, bytes, count)));
        });
        group.bench_with_input(BenchmarkId::new("raw_iroh", bytes), &bytes, |bencher, &bytes| {
            bencher.iter_custom(|count| runtime.block_on(one_way_raw(&raw, bytes, count)));
        });
    }
    group.finish();
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Round trips of both sides in turn, and the ratio of their medians.
async fn round_trip_ratio(pair: &Pair, raw: &RawPair, place: &str) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        theirs.push(median_round_trip_raw(raw, ROUND_TRIPS).await.as_secs_f64() * 1e6);
        ours.push(median_round_trip(pair, ROUND_TRIPS).await.as_secs_f64() * 1e6);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let ratio = ours / theirs;
    println!(
        "round trip, 64 bytes, {place:<14}  session {ours:6.1} us   raw {theirs:6.1} us   ratio {ratio:.2}"
    );
}

/// Rates of both sides in turn, and the ratio of their medians.
async fn one_way_ratio(pair: &Pair, raw: &RawPair, bytes: usize) {
    let count = (BYTES / bytes).min(MESSAGES);
    let rate = |time: Duration| count as f64 / time.as_secs_f64();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..TURNS / 2 {
        theirs.push(rate(one_way_raw(raw, bytes, count as u64).await));
        ours.push(rate(one_way(pair, bytes, count as u64).await));
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let [our_mb, their_mb] = [ours, theirs].map(|rate| rate * bytes as f64 / 1e6);
    let ratio = ours / theirs;
    println!(
        "one way, {bytes:5} bytes  session {ours:8.0} /s, {our_mb:6.1} MB/s   raw {their_mb:6.1} MB/s   ratio {ratio:.2}"
    );
}

fn ratios() {
    let runtime = runtime();
    let (pair, raw) = runtime.block_on(async { (Pair::new().await, RawPair::new().await) });
    // As `#[tokio::main]` runs an application ...
    runtime.block_on(round_trip_ratio(&pair, &raw, "in main"));
    // ... and as a task that it spawns.
    let spawned = runtime.spawn(async move {
        round_trip_ratio(&pair, &raw, "in a task").await;
        for bytes in [64, 1024, 65536] {
            one_way_ratio(&pair, &raw, bytes).await;
        }
    });
    runtime.block_on(spawned).unwrap();
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--ratios");
    if !quick {
        let mut criterion = Criterion::default().configure_from_args();
        criterion_groups(&mut criterion);
        criterion.final_summary();
    }
    ratios();
}
