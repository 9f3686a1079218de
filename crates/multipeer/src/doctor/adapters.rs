//! The machine's network interfaces.

use std::{collections::BTreeMap, net::IpAddr};

use if_addrs::{IfOperStatus, Interface};
use multipeer_proto::Network;

use crate::interfaces::{InterfaceKind, Interfaces, network_of};

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
    let mut adapters: BTreeMap<String, Adapter> = BTreeMap::new();
    for interface in if_addrs::get_if_addrs().unwrap_or_default() {
        let adapter = adapters
            .entry(interface.name.clone())
            .or_insert_with(|| adapter(&interface.name, Some(&interface), interfaces));
        adapter.networks.push(network_of(&interface));
    }
    for name in other_names() {
        adapters.entry(name.clone()).or_insert_with(|| adapter(&name, None, interfaces));
    }
    adapters.into_values().collect()
}

fn adapter(name: &str, interface: Option<&Interface>, interfaces: &Interfaces) -> Adapter {
    let kind = interface.map_or_else(|| InterfaceKind::of_name(name), InterfaceKind::of);
    let flags = flags(name);
    Adapter {
        name: name.to_owned(),
        index: interface.and_then(|interface| interface.index).unwrap_or_default(),
        kind,
        is_used: interfaces.include(name, kind),
        is_up: interface.is_some_and(|i| i.oper_status != IfOperStatus::Down),
        has_multicast: flags.map(|flags| flags & MULTICAST != 0),
        mtu: number_in(name, "mtu"),
        networks: Vec::new(),
        hears_itself: None,
        send_error: None,
        responders: Vec::new(),
        neighbours: Vec::new(),
    }
}

/// `IFF_MULTICAST` of `<net/if.h>`.
const MULTICAST: u32 = 0x1000;

/// Those that have no address. Where the system does not show them, none.
fn other_names() -> Vec<String> {
    let entries = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.path().join("flags").exists())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// Linux shows an interface's flags in hexadecimal.
fn flags(name: &str) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/sys/class/net/{name}/flags")).ok()?;
    u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok()
}

fn number_in(name: &str, file: &str) -> Option<u32> {
    std::fs::read_to_string(format!("/sys/class/net/{name}/{file}")).ok()?.trim().parse().ok()
}
