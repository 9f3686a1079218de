//! When a network is asked, and whom of it.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use super::{ProbedNetwork, all_nodes};
use crate::{
    limits::{
        FIRST_BROADCAST, FIRST_SWEEP, MAX_BROADCAST_PAUSE, MAX_SWEEP_PAUSE, MAX_SWEPT_ADDRESSES,
        PROBE_PORT, SWEPT_PER_SECOND,
    },
    time::Timestamp,
};

/// Addresses that are asked at a time.
const SHARE: u32 = 10;
/// Pause between them.
const SHARE_PAUSE: Duration = Duration::from_millis(1000 * SHARE as u64 / SWEPT_PER_SECOND as u64);
/// The first pause between two times that each address is asked; it doubles.
const FIRST_SWEEP_PAUSE: Duration = Duration::from_secs(30);

/// A network, and what was asked on it.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) on: ProbedNetwork,
    /// Multicast finds somebody there.
    pub(super) has_multicast: bool,
    /// Questions find somebody there.
    pub(super) has_answers: bool,
    broadcast: Pauses,
    sweep: Pauses,
    /// Addresses of the network that were asked this time.
    swept: usize,
    was_called_too_large: bool,
}

/// What is due on a network.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// The address that reaches everyone.
    pub(super) everyone: Option<SocketAddr>,
    /// Those to be asked one by one.
    pub(super) addresses: Vec<Ipv4Addr>,
    /// Nothing else is left, and the network has too many addresses for it.
    pub(super) is_too_large: bool,
}

/// Moments with ever longer pauses between them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pauses {
    pub(super) next: Timestamp,
    pause: Duration,
    longest: Duration,
}

impl Pauses {
    /// From this moment on, with the pauses of a broadcast.
    pub(super) fn from(now: Timestamp) -> Self {
        Self { next: now, pause: 2 * FIRST_BROADCAST, longest: MAX_BROADCAST_PAUSE }
    }

    pub(super) fn go_on(&mut self, now: Timestamp) {
        self.next = now + self.pause;
        self.pause = (self.pause * 2).min(self.longest);
    }
}

impl Asked {
    pub(super) fn new(now: Timestamp, on: ProbedNetwork) -> Self {
        Self {
            on,
            has_multicast: false,
            has_answers: false,
            broadcast: Pauses::from(now + FIRST_BROADCAST),
            sweep: Pauses {
                next: now + FIRST_SWEEP,
                pause: FIRST_SWEEP_PAUSE,
                longest: MAX_SWEEP_PAUSE,
            },
            swept: 0,
            was_called_too_large: false,
        }
    }

    /// The address that reaches everyone on the network.
    fn everyone(&self) -> Option<SocketAddr> {
        match self.on.network.address {
            IpAddr::V4(_) => Some((self.on.network.broadcast()?, PROBE_PORT).into()),
            // One question for each interface, which has an address of this kind always.
            IpAddr::V6(own) if own.is_unicast_link_local() => Some(all_nodes(self.on.interface)),
            IpAddr::V6(_) => None,
        }
    }

    /// Where a farewell is of use to those who were not found.
    pub(super) fn farewell_to(&self) -> Option<SocketAddr> {
        self.everyone().filter(|_| !self.has_multicast)
    }

    /// Whether the addresses are to be asked one by one. Of the machine itself all are reached by one broadcast.
    fn is_swept(&self) -> bool {
        !self.has_multicast
            && self.on.network.host_count().is_some()
            && !self.on.network.address.is_loopback()
            && (self.swept > 0 || !self.has_answers)
    }

    fn is_too_large(&self) -> bool {
        self.on.network.host_count().is_some_and(|count| count > MAX_SWEPT_ADDRESSES)
    }

    /// What is due, which is taken as done.
    pub(super) fn due(&mut self, now: Timestamp) -> Due {
        let mut due = Due::default();
        if self.has_multicast {
            return due;
        }
        if self.broadcast.next <= now {
            due.everyone = self.everyone();
            self.broadcast.go_on(now);
        }
        if self.is_swept() && self.sweep.next <= now {
            if self.is_too_large() {
                due.is_too_large = !std::mem::replace(&mut self.was_called_too_large, true);
                self.sweep.go_on(now);
            } else {
                let share = self.on.network.hosts().skip(self.swept).take(SHARE as usize);
                due.addresses.extend(share);
                self.sweep_on(now, due.addresses.len());
            }
        }
        due
    }

    fn sweep_on(&mut self, now: Timestamp, asked: usize) {
        if asked < SHARE as usize {
            self.swept = 0;
            self.sweep.go_on(now);
        } else {
            self.swept += asked;
            self.sweep.next = now + SHARE_PAUSE;
        }
    }

    /// When something is due, if anything will be.
    pub(super) fn next(&self) -> Option<Timestamp> {
        if self.has_multicast {
            return None;
        }
        let broadcast = self.everyone().map(|_| self.broadcast.next);
        let sweep = self.is_swept().then_some(self.sweep.next);
        broadcast.into_iter().chain(sweep).min()
    }
}
