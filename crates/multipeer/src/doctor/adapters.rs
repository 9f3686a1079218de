//! The machine's network interfaces.

use std::{collections::BTreeMap, net::IpAddr};

use if_addrs::{IfOperStatus, Interface};
use multipeer_proto::Network;

use crate::interfaces::{InterfaceKind, Interfaces, network_of, tunnel_that_takes};

/// A network interface.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Adapter {
    /// Its name.
    pub name: String,
    /// The number that the system has for it.
    pub index: u32,
    /// What it leads to.
    pub kind: InterfaceKind,
    /// Whether a session uses it.
    pub is_used: bool,
    /// Whether it is up.
    pub is_up: bool,
    /// Whether it carries multicast, if that can be told.
    pub has_multicast: Option<bool>,
    /// Bytes in the largest packet that it carries, if that can be told.
    pub mtu: Option<u32>,
    /// The networks that it is part of.
    pub networks: Vec<Network>,
    /// The tunnel into which the system sends what is for these networks, if there is one.
    pub taken_by: Option<String>,
    /// Whether a question by multicast DNS that was sent there came back to this machine, as it has to; nothing if
    /// that could not be tried.
    pub hears_itself: Option<bool>,
    /// Why nothing could be sent there, if that was so.
    pub send_error: Option<String>,
    /// Other machines that answered it.
    pub responders: Vec<IpAddr>,
    /// Other machines that the system knows to be there, by their hardware addresses.
    pub neighbours: Vec<IpAddr>,
}

impl Adapter {
    /// Whether peers could be found there.
    pub fn is_of_use(&self) -> bool {
        self.is_used && self.is_up && !self.networks.is_empty()
    }
}

/// All interfaces, also those without an address.
pub(super) fn look(interfaces: &Interfaces) -> Vec<Adapter> {
    let all = netdev::get_interfaces();
    let mut adapters: BTreeMap<String, Adapter> = BTreeMap::new();
    for interface in if_addrs::get_if_addrs().unwrap_or_default() {
        let properties = all.iter().find(|other| other.name == interface.name);
        let adapter = adapters
            .entry(interface.name.clone())
            .or_insert_with(|| adapter(&interface.name, Some(&interface), properties, interfaces));
        let network = network_of(&interface);
        adapter.networks.push(network);
        if adapter.is_used && adapter.kind != InterfaceKind::Tunnel && adapter.taken_by.is_none() {
            adapter.taken_by = tunnel_that_takes(network);
        }
    }
    for other in &all {
        let found = adapters.entry(other.name.clone());
        found.or_insert_with(|| adapter(&other.name, None, Some(other), interfaces));
    }
    adapters.into_values().collect()
}

fn adapter(
    name: &str,
    interface: Option<&Interface>,
    properties: Option<&netdev::Interface>,
    interfaces: &Interfaces,
) -> Adapter {
    let kind = interface.map_or_else(|| InterfaceKind::of_name(name), InterfaceKind::of);
    Adapter {
        name: name.to_owned(),
        index: interface.and_then(|interface| interface.index).unwrap_or_default(),
        kind,
        is_used: interfaces.include(name, kind),
        is_up: interface.is_some_and(|i| i.oper_status != IfOperStatus::Down),
        has_multicast: properties.map(netdev::Interface::is_multicast),
        mtu: properties.and_then(|properties| properties.mtu),
        networks: Vec::new(),
        taken_by: None,
        hears_itself: None,
        send_error: None,
        responders: Vec::new(),
        neighbours: Vec::new(),
    }
}
