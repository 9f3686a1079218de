//! Round trips, summed up.

use std::{fmt, time::Duration};

use serde_json::{Value, json};

/// Durations in order of length.
pub(crate) struct Percentiles(Vec<Duration>);

impl Percentiles {
    pub(crate) fn new(mut durations: Vec<Duration>) -> Self {
        durations.sort_unstable();
        Self(durations)
    }

    /// The duration that so many of a hundred do not exceed, by the nearest-rank method.
    pub(crate) fn at(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }

    pub(crate) fn to_json(&self) -> Value {
        let micros = |percent| (self.at(percent).as_secs_f64() * 1e7).round() / 10.0;
        json!({"p50_us": micros(50), "p90_us": micros(90), "p99_us": micros(99), "max_us": micros(100)})
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p90, p99, max] = [50, 90, 99, 100].map(|percent| self.at(percent));
        write!(f, "p50 {p50:.1?}, p90 {p90:.1?}, p99 {p99:.1?}, max {max:.1?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let hundred = Percentiles::new((1..=100).rev().map(Duration::from_millis).collect());
        assert_eq!(hundred.at(50), Duration::from_millis(50));
        assert_eq!(hundred.at(99), Duration::from_millis(99));
        assert_eq!(hundred.at(100), Duration::from_millis(100));
        let one = Percentiles::new(vec![Duration::from_millis(7)]);
        assert_eq!(one.at(1), Duration::from_millis(7));
        assert_eq!(Percentiles::new(Vec::new()).at(50), Duration::ZERO);
    }
}
