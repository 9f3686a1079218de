//! A count of what happened of late.

use std::time::Duration;

use crate::time::Timestamp;

/// Counts, and forgets one with each interval that passes: a bucket that leaks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecentCount {
    interval: Duration,
    count: u32,
    counted_at: Timestamp,
}

impl RecentCount {
    pub(crate) const fn new(interval: Duration) -> Self {
        Self { interval, count: 0, counted_at: Timestamp::ZERO }
    }

    /// How many count still.
    pub(crate) fn get(&self, now: Timestamp) -> u32 {
        self.current(now).0
    }

    pub(crate) fn add(&mut self, now: Timestamp) {
        let (count, counted_at) = self.current(now);
        (self.count, self.counted_at) = (count.saturating_add(1), counted_at);
    }

    /// How many count at the moment, and since when the next one is being forgotten.
    fn current(&self, now: Timestamp) -> (u32, Timestamp) {
        let intervals = now.since(self.counted_at).as_nanos() / self.interval.as_nanos().max(1);
        match u32::try_from(intervals) {
            Ok(intervals) if intervals < self.count => {
                (self.count - intervals, self.counted_at + self.interval * intervals)
            }
            _ => (0, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_interval_forgets_one() {
        let at = |millis| Timestamp::after_start(Duration::from_millis(millis));
        let mut recent = RecentCount::new(Duration::from_secs(1));
        (0..3).for_each(|_| recent.add(at(5_000)));
        assert_eq!([5_000, 5_999, 6_000, 7_000, 8_000].map(|t| recent.get(at(t))), [3, 3, 2, 1, 0]);
        // What has passed of an interval is not lost when another one is counted.
        recent.add(at(5_900));
        assert_eq!([6_000, 7_000].map(|t| recent.get(at(t))), [3, 2]);
    }
}
