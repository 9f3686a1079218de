//! Which of the machine's network interfaces a session uses.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use if_addrs::{IfAddr, Interface};
use multipeer_proto::{Network, probe::ProbedNetwork};

/// What an interface leads to, as far as its name and its flags tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InterfaceKind {
    /// A network: cable, Wi-Fi, a hotspot.
    Network,
    /// This machine alone.
    Loopback,
    /// Another network through this one: a VPN, a dial-up line.
    Tunnel,
    /// Containers or virtual machines on this machine.
    Container,
}

/// Beginnings of names under which systems have tunnels, besides those that say so by a flag.
const TUNNELS: [&str; 9] =
    ["tun", "tap", "wg", "utun", "ppp", "ipsec", "tailscale", "nordlynx", "zt"];
/// The same for the networks of containers and virtual machines.
const CONTAINERS: [&str; 13] = [
    "docker",
    "veth",
    "virbr",
    "vmnet",
    "vboxnet",
    "lxcbr",
    "lxdbr",
    "cni",
    "flannel",
    "cali",
    "podman",
    "vEthernet",
    "incusbr",
];
/// Docker's further networks are called so, and on with twelve hexadecimal digits.
const DOCKER_BRIDGE: &str = "br-";

impl InterfaceKind {
    pub(crate) fn of(interface: &Interface) -> Self {
        if interface.is_loopback() {
            Self::Loopback
        } else if interface.is_p2p {
            Self::Tunnel
        } else {
            Self::of_name(&interface.name)
        }
    }

    pub(crate) fn of_name(name: &str) -> Self {
        let is_docker =
            |rest: &str| rest.len() == 12 && rest.bytes().all(|b| b.is_ascii_hexdigit());
        if TUNNELS.iter().any(|begin| name.starts_with(begin)) {
            Self::Tunnel
        } else if CONTAINERS.iter().any(|begin| name.starts_with(begin))
            || name.strip_prefix(DOCKER_BRIDGE).is_some_and(is_docker)
        {
            Self::Container
        } else {
            Self::Network
        }
    }

    /// As one word, the same in every language and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Loopback => "loopback",
            Self::Tunnel => "tunnel",
            Self::Container => "container",
        }
    }
}

/// Which interfaces a session uses: every network, unless it is told otherwise. Tunnels lead to others than those
/// who are near, and networks of containers to nobody else; both are left out unless they are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interfaces {
    /// Only these, whatever kind they are of, unless there are none.
    pub(crate) names: Vec<String>,
    pub(crate) excluded: Vec<String>,
    pub(crate) tunnels: bool,
    pub(crate) containers: bool,
}

impl Interfaces {
    /// These only, by name.
    pub fn only<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self { names: names.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Never these, by name.
    #[must_use]
    pub fn without<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.excluded = names.into_iter().map(Into::into).collect();
        self
    }

    /// Tunnels, too.
    #[must_use]
    pub fn tunnels(mut self, used: bool) -> Self {
        self.tunnels = used;
        self
    }

    /// The networks of containers and virtual machines, too.
    #[must_use]
    pub fn containers(mut self, used: bool) -> Self {
        self.containers = used;
        self
    }

    /// The names of those that are used only; empty for every one that is suitable.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether an interface is used.
    pub fn include(&self, name: &str, kind: InterfaceKind) -> bool {
        if self.excluded.iter().any(|excluded| excluded == name) {
            return false;
        }
        if !self.names.is_empty() {
            return self.names.iter().any(|named| named == name);
        }
        match kind {
            InterfaceKind::Network => true,
            InterfaceKind::Loopback => false,
            InterfaceKind::Tunnel => self.tunnels,
            InterfaceKind::Container => self.containers,
        }
    }

    pub(crate) fn includes(&self, interface: &Interface) -> bool {
        self.include(&interface.name, InterfaceKind::of(interface))
    }

    /// The networks that the interfaces which are used are part of.
    pub(crate) fn networks(&self) -> Vec<ProbedNetwork> {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        let used = interfaces.iter().filter(|interface| self.includes(interface));
        let index = |interface: &Interface| interface.index.unwrap_or_default();
        used.map(|i| ProbedNetwork { interface: index(i), network: network_of(i) }).collect()
    }

    /// Those of a machine's addresses on which others are to reach it. What no interface is known to have is kept: the
    /// system may be a moment ahead.
    pub(crate) fn reachable(&self, addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        let is_excluded = |address: &SocketAddr| {
            let mut owners = interfaces.iter().filter(|i| i.ip() == address.ip().to_canonical());
            owners.next().is_some_and(|interface| !self.includes(interface))
        };
        addresses.filter(|address| !is_excluded(address)).collect()
    }
}

/// The network that an interface is part of with this address of its own.
pub(crate) fn network_of(interface: &Interface) -> Network {
    let prefix_len = match &interface.addr {
        IfAddr::V4(v4) => v4.prefixlen,
        IfAddr::V6(v6) => v6.prefixlen,
    };
    Network { address: interface.ip(), prefix_len }
}

/// What stands for all of a machine's addresses, in one family.
pub(crate) fn any_address(is_v6: bool) -> IpAddr {
    if is_v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() }
}

/// From which of its addresses the system would send there. Nothing is sent.
pub(crate) fn source_towards(to: SocketAddr) -> io::Result<IpAddr> {
    let socket = UdpSocket::bind((any_address(to.is_ipv6()), 0))?;
    socket.connect(to)?;
    Ok(socket.local_addr()?.ip())
}

/// The interface by which the system would send there.
pub(crate) fn interface_towards(to: SocketAddr) -> Option<(String, InterfaceKind)> {
    interface_with(source_towards(to).ok()?)
}

/// The interface that has this address.
fn interface_with(address: IpAddr) -> Option<(String, InterfaceKind)> {
    let interfaces = if_addrs::get_if_addrs().ok()?;
    let interface = interfaces.into_iter().find(|interface| interface.ip() == address)?;
    let kind = InterfaceKind::of(&interface);
    Some((interface.name, kind))
}

/// The tunnel into which the system would send what is for one of this machine's networks, if there is one.
pub(crate) fn tunnel_that_takes(network: Network) -> Option<String> {
    // Any port: nothing is sent.
    let source = source_towards(SocketAddr::new(neighbour_in(network)?, 9)).ok()?;
    // As nearly always: then there is no need to look at the interfaces.
    if source == network.address {
        return None;
    }
    let (tunnel, kind) = interface_with(source)?;
    (kind == InterfaceKind::Tunnel).then_some(tunnel)
}

/// An address that another one on the network could have.
fn neighbour_in(network: Network) -> Option<IpAddr> {
    match network.address {
        IpAddr::V4(own) if network.prefix_len <= 30 => {
            let hosts = u32::MAX >> network.prefix_len.min(31);
            let others = (1..4).map(|bits| own.to_bits() ^ bits);
            // Neither the network's own address nor that of everybody.
            let mut others = others.filter(|other| ![0, hosts].contains(&(other & hosts)));
            others.next().map(|other| Ipv4Addr::from_bits(other).into())
        }
        IpAddr::V6(own) if network.prefix_len < 128 && !own.is_unicast_link_local() => {
            Some(Ipv6Addr::from_bits(own.to_bits() ^ 1).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_the_names_that_systems_give() {
        let kinds = [
            ("eth0", InterfaceKind::Network),
            ("wlp3s0", InterfaceKind::Network),
            ("en0", InterfaceKind::Network),
            ("Wi-Fi", InterfaceKind::Network),
            ("br0", InterfaceKind::Network),
            ("br-lan", InterfaceKind::Network),
            ("br-1a2b3c4d5e6f", InterfaceKind::Container),
            ("docker0", InterfaceKind::Container),
            ("virbr0", InterfaceKind::Container),
            ("vEthernet (WSL)", InterfaceKind::Container),
            ("utun4", InterfaceKind::Tunnel),
            ("wg0", InterfaceKind::Tunnel),
            ("tailscale0", InterfaceKind::Tunnel),
        ];
        for (name, kind) in kinds {
            assert_eq!(InterfaceKind::of_name(name), kind, "{name}");
        }
    }

    #[test]
    fn a_neighbour_is_on_the_network_and_neither_it_nor_all_of_it() {
        let neighbour = |own: &str, prefix_len| {
            let network = Network { address: own.parse().unwrap(), prefix_len };
            neighbour_in(network).map(|other| other.to_string())
        };
        for (own, prefix_len, other) in [
            ("10.0.0.254", 24, "10.0.0.252"),
            ("10.0.0.1", 24, "10.0.0.3"),
            ("10.0.0.1", 30, "10.0.0.2"),
            ("10.0.0.8", 24, "10.0.0.9"),
            ("fd00::1", 64, "fd00::"),
        ] {
            assert_eq!(neighbour(own, prefix_len).as_deref(), Some(other), "{own}/{prefix_len}");
        }
        assert_eq!(neighbour("10.0.0.1", 31), None);
        assert_eq!(neighbour("10.0.0.1", 32), None);
        assert_eq!(neighbour("fe80::1", 64), None);
    }

    #[test]
    fn networks_are_used_and_the_rest_when_it_is_asked_for() {
        use InterfaceKind::{Container, Loopback, Network, Tunnel};
        let usual = Interfaces::default();
        let used = |interfaces: &Interfaces| {
            let all =
                [("eth0", Network), ("lo", Loopback), ("wg0", Tunnel), ("docker0", Container)];
            let used = all.into_iter().filter(|&(name, kind)| interfaces.include(name, kind));
            used.map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(used(&usual), ["eth0"]);
        assert_eq!(used(&Interfaces { tunnels: true, ..usual.clone() }), ["eth0", "wg0"]);
        assert_eq!(used(&Interfaces { containers: true, ..usual.clone() }), ["eth0", "docker0"]);
        // A name says more than a kind, and an exclusion more than a name.
        let mut named = Interfaces::only(["lo", "wg0"]);
        assert_eq!(used(&named), ["lo", "wg0"]);
        named.excluded = vec!["wg0".to_owned()];
        assert_eq!(used(&named), ["lo"]);
        assert_eq!(used(&Interfaces { excluded: vec!["eth0".to_owned()], ..usual }), [""; 0]);
    }
}
