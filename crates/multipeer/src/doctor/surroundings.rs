//! What on this machine matters to discovery besides its interfaces: other responders, firewalls, routes, the clock.
//! Read from files and from programs that everyone may run; what cannot be read is not known, and said to be.

use std::{
    net::{IpAddr, Ipv4Addr},
    process::Command,
};

use crate::{
    config::since_1970,
    interfaces::{InterfaceKind, interface_towards},
};

/// When this was written, in seconds since 1970: no clock that is right shows less.
const WRITTEN: u64 = 1_795_000_000;
/// Rules that are shown, at most.
const MAX_RULES: usize = 8;

/// What else on the machine matters.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Surroundings {
    /// Why the port of multicast DNS, UDP 5353, cannot be shared with whoever has it, if so.
    pub port_error: Option<String>,
    /// The user who has that port, if it can be told.
    pub port_owner: Option<String>,
    /// Whether Avahi runs, if it can be told.
    pub has_avahi: bool,
    /// The interface that takes whatever has no better way, if there is one.
    pub default_route: Option<String>,
    /// Rules of a firewall that may be in the way; nothing if they cannot be read.
    pub firewall: Option<Vec<String>>,
    /// Other machines that the system has talked to of late.
    pub neighbours: Vec<IpAddr>,
    /// The next hop of the default route.
    pub gateway: Option<IpAddr>,
    /// Whether the clock shows a time that cannot be.
    pub clock_is_wrong: bool,
}

impl Surroundings {
    pub(super) fn look(port_error: Option<String>) -> Self {
        let route = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
        let udp = std::fs::read_to_string("/proc/net/udp").unwrap_or_default();
        let arp = std::fs::read_to_string("/proc/net/arp").unwrap_or_default();
        Self {
            port_error,
            port_owner: owner_of_port(&udp, mdns_sd::MDNS_PORT),
            has_avahi: std::path::Path::new("/run/avahi-daemon/socket").exists(),
            default_route: way_out().map(|(name, _)| name),
            gateway: gateway(&route),
            firewall: firewall(),
            neighbours: neighbours(&arp),
            clock_is_wrong: since_1970().as_secs() < WRITTEN,
        }
    }
}

/// An address that is nobody's (RFC 5737, section 3): what goes there takes the default route, however that is made.
const NOWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

/// The interface that takes whatever has no better way.
pub(super) fn way_out() -> Option<(String, InterfaceKind)> {
    interface_towards(NOWHERE.into())
}

/// Linux: the first line of the routing table with neither destination nor mask, numbers as the processor has them.
fn gateway(table: &str) -> Option<IpAddr> {
    table.lines().skip(1).find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "00000000", gateway, _, _, _, _, "00000000", ..] = words[..] else {
            return None;
        };
        let gateway = u32::from_str_radix(gateway, 16).ok()?;
        Some(IpAddr::from(gateway.to_ne_bytes()))
    })
}

/// Linux: those whose hardware address is known (flag 2 of `<net/if_arp.h>`).
fn neighbours(table: &str) -> Vec<IpAddr> {
    let known = table.lines().skip(1).filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = words.next()?.parse().ok()?;
        let flags = words.nth(1)?.trim_start_matches("0x");
        (u32::from_str_radix(flags, 16).ok()? & 2 != 0).then_some(address)
    });
    known.collect()
}

/// Linux: the user whose socket has the port.
fn owner_of_port(table: &str, port: u16) -> Option<String> {
    let wanted = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let local = words.get(1)?;
        local.ends_with(&wanted).then(|| format!("user {}", words.get(7).copied().unwrap_or("?")))
    })
}

/// Rules that drop what discovery needs, of whatever firewall lets itself be read.
fn firewall() -> Option<Vec<String>> {
    let mut rules = Vec::new();
    let mut is_known = false;
    for (program, arguments) in
        [("iptables", &["-S"][..]), ("ip6tables", &["-S"]), ("nft", &["list", "ruleset"])]
    {
        if let Some(text) = said(program, arguments) {
            is_known = true;
            rules.extend(suspects(&text).map(|rule| format!("{program}: {rule}")));
        }
    }
    if std::fs::read_to_string("/etc/ufw/ufw.conf").is_ok_and(|text| is_enabled(&text)) {
        is_known = true;
        rules.push("ufw is enabled: `ufw allow 5353/udp` and `ufw allow 19792/udp`".to_owned());
    }
    if said("firewall-cmd", &["--state"]).is_some_and(|text| text.trim() == "running") {
        is_known = true;
        rules.push("firewalld runs: `firewall-cmd --add-service=mdns`".to_owned());
    }
    rules.truncate(MAX_RULES);
    is_known.then_some(rules)
}

fn is_enabled(ufw: &str) -> bool {
    ufw.lines().any(|line| line.trim().eq_ignore_ascii_case("enabled=yes"))
}

/// What a program says, if it is there and may say it.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    // Where administrators have their programs, which not every user's path names.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", path).stdin(std::process::Stdio::null());
    let output = command.output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Lines that drop or reject UDP, or everything.
fn suspects(rules: &str) -> impl Iterator<Item = &str> {
    rules.lines().map(str::trim).filter(|line| {
        let drops = ["-j DROP", "-j REJECT", "policy drop", " drop", " reject"];
        let is_policy = line.starts_with("-P INPUT DROP") || line.starts_with("-P OUTPUT DROP");
        let others =
            ["-p tcp", "-p icmp", "tcp dport", "-i lo", "iif \"lo\"", "FORWARD", "hook forward"];
        is_policy
            || (drops.iter().any(|drop| line.contains(drop))
                && !others.iter().any(|other| line.contains(other)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_is_that_of_the_route_without_destination_and_mask() {
        let next = format!("{:08X}", u32::from_ne_bytes([10, 8, 0, 1]));
        let table = format!(
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
             eth0\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
             tun0\t00000000\t{next}\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        );
        assert_eq!(gateway(&table), Some(IpAddr::from([10, 8, 0, 1])));
        assert_eq!(gateway("Iface\n"), None);
    }

    #[test]
    fn neighbours_are_those_that_have_answered() {
        let table = "IP address       HW type     Flags       HW address            Mask     Device\n\
                     10.0.0.1         0x1         0x2         02:00:00:00:00:01     *        eth0\n\
                     10.0.0.9         0x1         0x0         00:00:00:00:00:00     *        eth0\n";
        assert_eq!(neighbours(table), [IpAddr::from([10, 0, 0, 1])]);
    }

    #[test]
    fn the_owner_of_a_port_is_told_by_its_socket() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                     7: 00000000:14E9 00000000:0000 07 00000000:00000000 00:00000000 00000000   105        0 999\n";
        assert_eq!(owner_of_port(table, 5353), Some("user 105".to_owned()));
        assert_eq!(owner_of_port(table, 5354), None);
    }

    #[test]
    fn rules_that_drop_udp_or_everything_are_suspects() {
        let rules = "-P INPUT DROP\n-P FORWARD DROP\n-A INPUT -p tcp -j DROP\n\
                     -A INPUT -p udp -m udp --dport 5353 -j DROP\n-A INPUT -i eth0 -p udp -j ACCEPT\n";
        let found: Vec<&str> = suspects(rules).collect();
        assert_eq!(found, ["-P INPUT DROP", "-A INPUT -p udp -m udp --dport 5353 -j DROP"]);
        let nft = "chain input {\n type filter hook input priority 0; policy drop;\n udp dport 5353 drop\n tcp dport 22 drop\n}";
        assert_eq!(suspects(nft).count(), 2);
    }
}
