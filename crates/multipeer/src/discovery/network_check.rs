//! Whether this machine has a network on which peers can be found at all.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr},
};

use if_addrs::{IfAddr, Interface};
use socket2::{Domain, Socket, Type};

use super::{DiscoveryProblem, Site};
use crate::interfaces::InterfaceKind;

/// A DNS message with nothing in it (RFC 1035, section 4.1.1): every responder ignores it, and
/// the system says whether it would have sent it.
const EMPTY_MESSAGE: [u8; 12] = [0; 12];

/// Looks at the interfaces, and tries those that it has not seen before.
#[derive(Debug, Default)]
pub(super) struct NetworkCheck {
    /// Addresses from which multicast could be sent.
    passed: Vec<IpAddr>,
}

impl NetworkCheck {
    /// What keeps this machine from finding anyone at the moment.
    pub(super) fn problems(&mut self, site: &Site) -> Vec<DiscoveryProblem> {
        let all = if_addrs::get_if_addrs().unwrap_or_default();
        let (usable, left_out): (Vec<Interface>, Vec<Interface>) =
            all.into_iter().partition(|interface| site.interfaces.includes(interface));
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
