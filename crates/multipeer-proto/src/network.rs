//! Networks that an interface is part of.

use std::net::{IpAddr, Ipv4Addr};

/// A network that this machine is part of: its own address there, and how many bits of it all others have, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    /// The machine's own address.
    pub address: IpAddr,
    /// Bits that all addresses of the network have in common.
    pub prefix_len: u8,
}

impl Network {
    /// Whether the address is one of the network's. An IPv6 address that was handed out by a server stands for itself
    /// alone (RFC 9915, section 21.6, has no prefix): 64 bits in common are enough for it, as for all others.
    pub fn contains(self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => own & self.mask_v4() == other & self.mask_v4(),
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let shift = 128 - u32::from(self.prefix_len.min(64));
                let differing = own.to_bits() ^ other.to_bits();
                differing.checked_shr(shift).unwrap_or_default() == 0
            }
            _ => false,
        }
    }

    /// The address that reaches everyone on the network, where there is one (RFC 919, section 7).
    pub fn broadcast(self) -> Option<Ipv4Addr> {
        match self.address {
            IpAddr::V4(own) if self.prefix_len < 31 => Some(own | !self.mask_v4()),
            _ => None,
        }
    }

    /// How many others there may be on the network, if it is one whose addresses can be counted.
    pub fn host_count(self) -> Option<u64> {
        self.broadcast()?;
        Some((1 << (32 - u32::from(self.prefix_len))) - 3)
    }

    /// The other addresses on the network, those next to the own one first: who got theirs at the same time has one of
    /// them.
    pub fn hosts(self) -> impl Iterator<Item = Ipv4Addr> {
        let own = match self.address {
            IpAddr::V4(own) if self.prefix_len < 31 => own.to_bits(),
            _ => 0,
        };
        let mask = self.mask_v4().to_bits();
        let (first, last) = if own == 0 { (1, 0) } else { ((own & mask) + 1, (own | !mask) - 1) };
        let longest = own.saturating_sub(first).max(last.saturating_sub(own));
        (1..=longest)
            .flat_map(move |distance| [own.checked_add(distance), own.checked_sub(distance)])
            .flatten()
            .filter(move |bits| (first..=last).contains(bits))
            .map(Ipv4Addr::from_bits)
    }

    fn mask_v4(self) -> Ipv4Addr {
        let shift = 32 - u32::from(self.prefix_len.min(32));
        Ipv4Addr::from_bits(u32::MAX.checked_shl(shift).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str, prefix_len: u8) -> Network {
        Network { address: address.parse().unwrap(), prefix_len }
    }

    #[test]
    fn addresses_belong_to_a_network_by_their_first_bits() {
        let contains = |network: Network, address: &str| network.contains(address.parse().unwrap());
        let home = network("192.168.1.7", 24);
        assert!(contains(home, "192.168.1.254"));
        assert!(contains(home, "::ffff:192.168.1.254"));
        assert!(!contains(home, "192.168.2.1"));
        assert!(!contains(home, "fe80::1"));
        assert!(contains(network("10.1.2.3", 0), "8.8.8.8"));
        assert!(!contains(network("10.1.2.3", 32), "10.1.2.4"));
        assert!(contains(network("2001:db8::7", 128), "2001:db8::1"), "handed out by a server");
        assert!(!contains(network("2001:db8::7", 64), "2001:db8:0:1::1"));
        assert!(contains(network("fd00::1", 0), "2001:db8::1"));
    }

    #[test]
    fn the_hosts_of_a_network_are_all_but_oneself_and_the_two_that_are_none() {
        let hosts: Vec<String> = network("10.0.0.3", 29).hosts().map(|a| a.to_string()).collect();
        let expected = ["10.0.0.4", "10.0.0.2", "10.0.0.5", "10.0.0.1", "10.0.0.6"];
        assert_eq!(hosts, expected);
        for (address, prefix_len) in [("10.0.0.3", 22), ("10.0.0.1", 24), ("10.0.0.254", 24)] {
            let network = network(address, prefix_len);
            assert_eq!(Some(network.hosts().count() as u64), network.host_count());
        }
        assert_eq!(network("255.255.255.254", 30).hosts().count(), 1);
        for none in [network("10.0.0.3", 31), network("10.0.0.3", 32), network("fe80::1", 64)] {
            assert_eq!(
                (none.hosts().count(), none.host_count(), none.broadcast()),
                (0, None, None)
            );
        }
        assert_eq!(network("10.0.0.3", 8).broadcast(), Some(Ipv4Addr::new(10, 255, 255, 255)));
    }
}
