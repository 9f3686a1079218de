//! Whom to let begin a handshake, before anything is known but the address.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use crate::{
    id::PeerId,
    limits::{
        ATTEMPT_BURST, ATTEMPT_INTERVAL, MAX_HANDSHAKES, MAX_NETWORKS, MAX_PENDING_PER_ADDRESS,
        MAX_UNVALIDATED_HANDSHAKES,
    },
    recent::RecentCount,
    time::Timestamp,
};

/// Counts handshakes and attempts, in all and for each address, so that a flood from one place
/// costs little and leaves room for the others.
///
/// Ask [`knock`](Self::knock) for each incoming connection, and say
/// [`finished`](Self::finished) for each that was let in, when its handshake is over.
#[derive(Debug, Default)]
pub struct Turnstile {
    visitors: BTreeMap<Visitor, Visits>,
    handshakes: usize,
}

/// What to do with an incoming connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knock {
    /// Do the handshake.
    Enter,
    /// Let it show first that it is where it says (RFC 9000, section 8.1.2: a Retry packet).
    Validate,
    /// Turn it away.
    Refuse,
}

/// From where somebody knocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// From this address.
    Address(SocketAddr),
    /// From behind a hub, which says that it is this peer.
    Hub(PeerId),
}

impl From<SocketAddr> for Origin {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}

/// Those who are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Visitor {
    AddressBlock(AddressBlock),
    Peer(PeerId),
}

impl Visitor {
    fn of(origin: Origin) -> Option<Self> {
        match origin {
            Origin::Address(address) => AddressBlock::of(address).map(Self::AddressBlock),
            Origin::Hub(peer) => Some(Self::Peer(peer)),
        }
    }
}

/// What counts as one address: an IPv6 host has all of its network's addresses to choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AddressBlock(IpAddr);

#[derive(Debug)]
struct Visits {
    handshakes: usize,
    attempts: RecentCount,
}

impl AddressBlock {
    /// Nothing for addresses of this machine: whoever is on it has better means to harm it, and
    /// all its peers share one.
    pub(crate) fn of(remote: SocketAddr) -> Option<Self> {
        let address = remote.ip().to_canonical();
        if address.is_loopback() {
            return None;
        }
        Some(Self(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(v6) => {
                let prefix = v6.to_bits() & !u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from_bits(prefix))
            }
        }))
    }
}

impl Turnstile {
    /// Somebody at `origin` wants a link. `validated` says whether it has shown that it is there.
    pub fn knock(&mut self, now: Timestamp, origin: impl Into<Origin>, validated: bool) -> Knock {
        if self.handshakes >= MAX_HANDSHAKES {
            return Knock::Refuse;
        }
        // Whoever sends from addresses of others must not use up what they are allowed.
        if !validated && self.handshakes >= MAX_UNVALIDATED_HANDSHAKES {
            return Knock::Validate;
        }
        if let Some(visitor) = Visitor::of(origin.into()) {
            self.make_room(now, visitor);
            let visits = self.visitors.entry(visitor).or_insert_with(|| Visits {
                handshakes: 0,
                attempts: RecentCount::new(ATTEMPT_INTERVAL),
            });
            let too_many = visits.attempts.get(now) >= ATTEMPT_BURST
                || visits.handshakes >= MAX_PENDING_PER_ADDRESS;
            if too_many {
                return if validated { Knock::Refuse } else { Knock::Validate };
            }
            visits.attempts.add(now);
            visits.handshakes += 1;
        }
        self.handshakes += 1;
        Knock::Enter
    }

    /// A handshake that was let begin is over, whether it came to something or not.
    pub fn finished(&mut self, origin: impl Into<Origin>) {
        self.handshakes = self.handshakes.saturating_sub(1);
        if let Some(visits) =
            Visitor::of(origin.into()).and_then(|visitor| self.visitors.get_mut(&visitor))
        {
            visits.handshakes = visits.handshakes.saturating_sub(1);
        }
    }

    /// Forgets addresses when there are too many: those of long ago, else the least busy one.
    fn make_room(&mut self, now: Timestamp, visitor: Visitor) {
        if self.visitors.len() < MAX_NETWORKS || self.visitors.contains_key(&visitor) {
            return;
        }
        self.visitors.retain(|_, visits| visits.handshakes > 0 || visits.attempts.get(now) > 0);
        if self.visitors.len() < MAX_NETWORKS {
            return;
        }
        let idle = self.visitors.iter().filter(|(_, visits)| visits.handshakes == 0);
        let least = idle.min_by_key(|(_, visits)| visits.attempts.get(now));
        if let Some(least) = least.map(|(&visitor, _)| visitor) {
            self.visitors.remove(&least);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::after_start(Duration::from_secs(seconds))
    }

    fn address(text: &str) -> SocketAddr {
        format!("{text}:7").parse().unwrap()
    }

    #[test]
    fn one_address_cannot_take_all_handshakes() {
        let mut turnstile = Turnstile::default();
        let [flooder, other] = [address("192.0.2.1"), address("192.0.2.2")];
        let entered = (0..1000).filter(|_| turnstile.knock(at(0), flooder, true) == Knock::Enter);
        assert_eq!(entered.count(), MAX_PENDING_PER_ADDRESS);
        assert_eq!(turnstile.knock(at(0), other, true), Knock::Enter);
        turnstile.finished(flooder);
        assert_eq!(turnstile.knock(at(0), flooder, true), Knock::Enter);
    }

    #[test]
    fn attempts_of_one_address_are_limited_and_come_back_with_time() {
        let mut turnstile = Turnstile::default();
        let flooder = address("192.0.2.1");
        let mut try_often = |now| {
            let attempts = (0..1000).filter(|_| {
                let entered = turnstile.knock(now, flooder, true) == Knock::Enter;
                if entered {
                    turnstile.finished(flooder);
                }
                entered
            });
            u32::try_from(attempts.count()).unwrap()
        };
        assert_eq!(try_often(at(100)), ATTEMPT_BURST);
        assert_eq!(try_often(at(100) + ATTEMPT_INTERVAL * 5), 5);
        assert_eq!(try_often(at(100_000)), ATTEMPT_BURST);
    }

    #[test]
    fn an_address_of_another_must_be_shown_when_many_are_at_it() {
        let mut turnstile = Turnstile::default();
        for host in 0..MAX_UNVALIDATED_HANDSHAKES {
            let remote = address(&format!("192.0.2.{host}"));
            assert_eq!(turnstile.knock(at(0), remote, false), Knock::Enter);
        }
        let honest = address("198.51.100.1");
        assert_eq!(turnstile.knock(at(0), honest, false), Knock::Validate);
        assert_eq!(turnstile.knock(at(0), honest, true), Knock::Enter);
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_and_those_of_this_machine_are_not_counted() {
        let network = |text| AddressBlock::of(address(text));
        assert_eq!(network("[2001:db8::1]"), network("[2001:db8::ffff:2]"));
        assert_ne!(network("[2001:db8::1]"), network("[2001:db8:0:1::1]"));
        assert_eq!(network("192.0.2.1"), network("[::ffff:192.0.2.1]"));
        assert_eq!(network("127.0.0.1"), None);
        assert_eq!(network("[::1]"), None);
    }

    #[test]
    fn peers_behind_a_hub_are_counted_each_by_itself() {
        let mut turnstile = Turnstile::default();
        let [flooder, other] = [1, 2].map(|byte| Origin::Hub(PeerId::from_bytes([byte; 32])));
        let entered = (0..1000).filter(|_| turnstile.knock(at(0), flooder, true) == Knock::Enter);
        assert_eq!(entered.count(), MAX_PENDING_PER_ADDRESS);
        assert_eq!(turnstile.knock(at(0), other, true), Knock::Enter);
        turnstile.finished(flooder);
        assert_eq!(turnstile.knock(at(0), flooder, true), Knock::Enter);
    }

    #[test]
    fn the_table_of_addresses_is_bounded() {
        let mut turnstile = Turnstile::default();
        for number in 0..5_000_u16 {
            let [high, low] = number.to_be_bytes();
            let remote = SocketAddr::from(([10, 7, high, low], 7));
            if turnstile.knock(at(0), remote, true) == Knock::Enter {
                turnstile.finished(remote);
            }
            assert!(turnstile.visitors.len() <= MAX_NETWORKS);
        }
    }
}
