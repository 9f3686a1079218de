//! Whether this machine has a network on which peers can be found at all.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr},
};

use if_addrs::{IfAddr, Interface};
use socket2::{Domain, Socket, Type};

use super::DiscoveryProblem;
use crate::interfaces::{InterfaceKind, Interfaces, network_of, tunnel_that_takes};

/// A DNS message with nothing in it (RFC 1035, section 4.1.1): every responder ignores it, and
/// the system says whether it would have sent it.
const EMPTY_MESSAGE: [u8; 12] = [0; 12];

/// Looks at the interfaces, and tries those that it has not seen before.
#[derive(Debug, Default)]
pub(super) struct NetworkCheck {
    /// Addresses from which multicast could be sent.
    passed: Vec<IpAddr>,
    /// This machine's addresses, at the last look.
    own: Vec<IpAddr>,
}

impl NetworkCheck {
    /// What keeps this machine from finding anyone at the moment.
    pub(super) fn problems(&mut self, interfaces: &Interfaces) -> Vec<DiscoveryProblem> {
        let all = if_addrs::get_if_addrs().unwrap_or_default();
        self.own = all.iter().map(Interface::ip).collect();
        let (usable, left_out): (Vec<Interface>, Vec<Interface>) =
            all.into_iter().partition(|interface| interfaces.includes(interface));
        self.passed.retain(|passed| usable.iter().any(|interface| interface.ip() == *passed));
        if usable.is_empty() {
            let kinds: BTreeSet<String> = left_out
                .iter()
                .filter(|interface| !interface.is_loopback())
                .map(|i| format!("{}, a {}", i.name, InterfaceKind::of(i).as_str()))
                .collect();
            return vec![if kinds.is_empty() {
                DiscoveryProblem::NoNetwork
            } else {
                let interfaces = kinds.into_iter().collect::<Vec<_>>().join("; ");
                DiscoveryProblem::AllLeftOut { interfaces }
            }];
        }
        let mut problems = Vec::new();
        for interface in usable {
            let network = network_of(&interface);
            if InterfaceKind::of(&interface) != InterfaceKind::Tunnel
                && let Some(tunnel) = tunnel_that_takes(network)
            {
                let network = format!("{}/{}", network.address, network.prefix_len);
                problems.push(DiscoveryProblem::TunnelTakesLocal { tunnel, network });
            }
            if self.passed.contains(&interface.ip()) {
                continue;
            }
            match try_multicast(&interface) {
                Ok(()) => self.passed.push(interface.ip()),
                Err(error) => problems.push(DiscoveryProblem::NoMulticastRoute {
                    interface: interface.name,
                    error: error.to_string(),
                }),
            }
        }
        problems
    }

    /// Whether this machine had the address at the last look.
    pub(super) fn is_own(&self, address: IpAddr) -> bool {
        self.own.contains(&address)
    }
}

/// Sends an empty message to the mDNS group. An interface without IPv4 is taken on trust.
fn try_multicast(interface: &Interface) -> io::Result<()> {
    let IfAddr::V4(address) = &interface.addr else {
        return Ok(());
    };
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_multicast_if_v4(&address.ip)?;
    socket.bind(&SocketAddr::from((address.ip, 0)).into())?;
    let group = SocketAddr::from(([224, 0, 0, 251], mdns_sd::MDNS_PORT));
    socket.send_to(&EMPTY_MESSAGE, &group.into()).map(drop)
}
