//! What follows from what was found: causes by name, with what to do. Without any IO.

use std::fmt;

use super::{Adapter, Partner, Report};
use crate::{discovery::DiscoveryProblem, interfaces::InterfaceKind};

/// Seconds that two clocks may be apart: then vouchers are not believed any more.
const MAX_CLOCK_SKEW: i64 = 600;
/// The part of datagrams that may get lost on a network that is called good.
const GOOD_LOSS: f64 = 0.05;
/// Where more get lost, that nothing was heard by multicast, of which there is little, shows no more than that.
const LOSS_THAT_SILENCES: f64 = 0.2;
/// Bytes of packets that QUIC needs (RFC 9000, section 14).
const LEAST_MTU: u32 = 1280;

/// What may be in the way of peers who look for each other, or is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// No interface has an address.
    NoNetwork,
    /// There are interfaces, and all of them are left out: tunnels, networks of containers, loopback.
    AllLeftOut,
    /// The clock shows a time that cannot be, or another than the partner's.
    WrongClock,
    /// Another program keeps the port of multicast DNS for itself.
    PortHeld,
    /// A tunnel takes what is for the local network.
    TunnelTakesLocal,
    /// An interface carries no multicast.
    NoMulticast,
    /// A firewall on this machine drops multicast DNS.
    FirewallHere,
    /// An interface carries packets that are too small for QUIC.
    SmallPackets,
    /// A peer is heard, and packets to it or from it are dropped.
    UdpBlocked,
    /// Multicast arrives in one direction only.
    MulticastOneWay,
    /// Multicast does not arrive, while single packets do.
    MulticastBlocked,
    /// Others are on the network, and nobody answers.
    NobodyAnswers,
    /// Nobody else can be reached: nobody is there, or the access point keeps its clients apart, or the others are on another
    /// network.
    Alone,
    /// A tunnel takes whatever has no better way, perhaps also what is for the local network.
    Tunnel,
    /// Packets get lost.
    Lossy,
    /// Multicast works, and no peer is near.
    NobodyNear,
    /// Peers find and reach each other.
    Fine,
}

impl Cause {
    /// As one word, the same in every language and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoNetwork => "no-network",
            Self::AllLeftOut => "all-left-out",
            Self::WrongClock => "wrong-clock",
            Self::PortHeld => "port-held",
            Self::TunnelTakesLocal => "tunnel-takes-local",
            Self::NoMulticast => "no-multicast",
            Self::FirewallHere => "firewall-here",
            Self::SmallPackets => "small-packets",
            Self::UdpBlocked => "udp-blocked",
            Self::MulticastOneWay => "multicast-one-way",
            Self::MulticastBlocked => "multicast-blocked",
            Self::NobodyAnswers => "nobody-answers",
            Self::Alone => "alone",
            Self::Tunnel => "tunnel",
            Self::Lossy => "lossy",
            Self::NobodyNear => "nobody-near",
            Self::Fine => "fine",
        }
    }

    /// Whether it is in the way.
    pub const fn is_trouble(self) -> bool {
        !matches!(self, Self::Fine | Self::NobodyNear)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A cause, what shows it, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnosis {
    /// Which.
    pub cause: Cause,
    /// What was seen, as a sentence.
    pub finding: String,
    /// What to do, as a sentence; empty if there is nothing to do.
    pub advice: String,
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.finding, self.advice)
    }
}

fn diagnosis(cause: Cause, finding: impl Into<String>, advice: impl Into<String>) -> Diagnosis {
    Diagnosis { cause, finding: finding.into(), advice: advice.into() }
}

/// Everything that is in the way, the most likely first; or that nothing is.
pub(super) fn conclude(report: &Report) -> Vec<Diagnosis> {
    let mut diagnoses = Vec::new();
    this_machine(report, &mut diagnoses);
    let has_network = report.adapters.iter().any(Adapter::is_of_use);
    if has_network {
        report.partners.iter().for_each(|partner| between(partner, &mut diagnoses));
        let explained = diagnoses.iter().any(|diagnosis| diagnosis.cause.is_trouble());
        if report.partners.is_empty() {
            without_partner(report, explained, &mut diagnoses);
        }
    }
    // The order of the causes is that of how much they explain.
    diagnoses.sort_by_key(|diagnosis| diagnosis.cause);
    diagnoses.dedup();
    diagnoses
}

/// What can be seen without anybody else.
fn this_machine(report: &Report, diagnoses: &mut Vec<Diagnosis>) {
    if !report.adapters.iter().any(Adapter::is_of_use) {
        diagnoses.push(no_network(report));
    }
    if report.surroundings.clock_is_wrong {
        diagnoses.push(diagnosis(
            Cause::WrongClock,
            "The clock of this device is wrong by years.",
            "Set it: what peers say of each other is dated.",
        ));
    }
    if report.surroundings.port_error.is_some() {
        let owner = report.surroundings.port_owner.as_deref().unwrap_or("another user");
        let avahi = if report.surroundings.has_avahi {
            " It is Avahi, through which peers are found instead, if it may be used."
        } else {
            ""
        };
        diagnoses.push(diagnosis(
            Cause::PortHeld,
            format!(
                "Another program ({owner}) keeps UDP port 5353 for itself, so that multicast DNS cannot be spoken here.{avahi}"
            ),
            "Stop it, or have it share the port (Avahi: disallow-other-stacks=no in avahi-daemon.conf).",
        ));
    }
    for adapter in report.adapters.iter().filter(|adapter| adapter.is_of_use()) {
        this_interface(adapter, report, diagnoses);
    }
}

fn no_network(report: &Report) -> Diagnosis {
    let left_out = |adapter: &&Adapter| {
        adapter.is_up
            && !adapter.is_used
            && !adapter.networks.is_empty()
            && adapter.kind != InterfaceKind::Loopback
    };
    let names: Vec<String> = report
        .adapters
        .iter()
        .filter(left_out)
        .map(|adapter| format!("{}, a {}", adapter.name, adapter.kind.as_str()))
        .collect();
    if names.is_empty() {
        let finding = "No network interface has an address.";
        return diagnosis(
            Cause::NoNetwork,
            finding,
            "Connect to a network, or switch on a hotspot.",
        );
    }
    diagnosis(
        Cause::AllLeftOut,
        format!("Only interfaces that are left out have an address: {}.", names.join("; ")),
        "Connect to a network, or ask for one of these by its name (--interface).",
    )
}

fn this_interface(adapter: &Adapter, report: &Report, diagnoses: &mut Vec<Diagnosis>) {
    let name = &adapter.name;
    if let Some(tunnel) = &adapter.taken_by {
        diagnoses.push(diagnosis(
            Cause::TunnelTakesLocal,
            format!("The tunnel {tunnel} takes what is for the network of {name}, so that nobody there can be reached."),
            "Allow the local network in the VPN's settings (\"LAN access\"), or switch the VPN off.",
        ));
    }
    // Some interfaces carry it all the same.
    let is_proven = report.partners.iter().any(Partner::is_heard_by_multicast);
    if adapter.has_multicast == Some(false) && adapter.kind != InterfaceKind::Loopback && !is_proven
    {
        diagnoses.push(diagnosis(
            Cause::NoMulticast,
            format!("The interface {name} carries no multicast."),
            format!("Switch it on (`ip link set {name} multicast on`), or use another interface."),
        ));
    } else if adapter.hears_itself == Some(false) {
        let rules = report.surroundings.firewall.as_deref().unwrap_or_default();
        let rules = if rules.is_empty() {
            String::new()
        } else {
            format!(" These rules may be why: {}.", rules.join("; "))
        };
        let what = match &adapter.send_error {
            Some(error) => format!("Multicast DNS cannot be sent on {name} ({error})."),
            None => format!(
                "What this device says by multicast DNS on {name} does not come back to it."
            ),
        };
        diagnoses.push(diagnosis(
            Cause::FirewallHere,
            format!("{what} A firewall on this device drops it.{rules}"),
            "Allow UDP to 224.0.0.251 and ff02::fb, port 5353, in and out, and UDP port 19792.",
        ));
    }
    if let Some(mtu) = adapter.mtu.filter(|&mtu| mtu < LEAST_MTU) {
        diagnoses.push(diagnosis(
            Cause::SmallPackets,
            format!("The interface {name} carries packets of {mtu} bytes at most, and links need {LEAST_MTU}."),
            format!("Set it to {LEAST_MTU} or more (`ip link set {name} mtu {LEAST_MTU}`)."),
        ));
    }
}

/// What the doctor on another machine helps to see.
fn between(partner: &Partner, diagnoses: &mut Vec<Diagnosis>) {
    let name = &partner.name;
    if !partner.is_linked {
        let error = partner.error.as_deref().unwrap_or("no answer came");
        diagnoses.push(diagnosis(
            Cause::UdpBlocked,
            format!("{name} is heard and cannot be reached: {error}."),
            "A firewall on one of the two devices drops UDP, or the access point keeps its clients apart: allow incoming UDP, \
             or run `multipeer hub` on a device that both reach.",
        ));
        return;
    }
    let advice_multicast = "Switch off \"client isolation\" or \"multicast filtering\" at the access point, and allow UDP port \
                            5353 in the firewalls of both devices. Until then peers are found by asking, which takes some seconds.";
    let may_be_lost = partner.loss.is_some_and(|loss| loss > LOSS_THAT_SILENCES);
    match (partner.is_heard_by_multicast(), partner.hears_multicast()) {
        (true, Some(true) | None) => {}
        _ if may_be_lost => {}
        (false, Some(false) | None) => diagnoses.push(diagnosis(
            Cause::MulticastBlocked,
            format!("Multicast from {name} does not arrive here, nor the other way round; single packets do."),
            advice_multicast,
        )),
        (true, Some(false)) => diagnoses.push(diagnosis(
            Cause::MulticastOneWay,
            format!("Multicast from this device does not arrive at {name}, which is heard here."),
            advice_multicast,
        )),
        (false, Some(true)) => diagnoses.push(diagnosis(
            Cause::MulticastOneWay,
            format!("Multicast from {name} does not arrive here, and multicast from here arrives there."),
            advice_multicast,
        )),
    }
    if let Some(ahead) = partner.clock_ahead.filter(|ahead| ahead.abs() > MAX_CLOCK_SKEW) {
        diagnoses.push(diagnosis(
            Cause::WrongClock,
            format!(
                "The clocks of this device and of {name} are {} minutes apart.",
                ahead.abs() / 60
            ),
            "Set the one that is wrong: what peers say of each other is dated.",
        ));
    }
    if let Some(loss) = partner.loss.filter(|&loss| loss > GOOD_LOSS) {
        diagnoses.push(diagnosis(
            Cause::Lossy,
            format!("Of the datagrams to {name} and back {:.0} % get lost.", loss * 100.0),
            "Move closer to the access point, or use another channel or a cable: it works, and slowly.",
        ));
    }
    let round_trip = partner.round_trip.map_or_else(String::new, |took| {
        format!(", with a round trip of {:.1} ms", took.as_secs_f64() * 1e3)
    });
    let fine = format!("This device and {name} find and reach each other{round_trip}.");
    diagnoses.push(diagnosis(Cause::Fine, fine, ""));
}

/// No other doctor was found: what can be said all the same.
fn without_partner(report: &Report, explained: bool, diagnoses: &mut Vec<Diagnosis>) {
    let used = || report.adapters.iter().filter(|adapter| adapter.is_of_use());
    let responders: usize = used().map(|adapter| adapter.responders.len()).sum();
    let gateway = report.surroundings.gateway;
    let neighbours = used()
        .flat_map(|adapter| &adapter.neighbours)
        .filter(|address| Some(**address) != gateway)
        .count();
    let too_large = report.problems.iter().find(|p| matches!(p, DiscoveryProblem::TooLarge { .. }));
    let tunnel = report.surroundings.default_route.as_ref().filter(|route| {
        report.adapters.iter().any(|a| a.name == **route && a.kind == InterfaceKind::Tunnel)
    });
    if let Some(tunnel) = tunnel {
        diagnoses.push(diagnosis(
            Cause::Tunnel,
            format!("The tunnel {tunnel} has the default route, and nobody was found on the local network."),
            "Some VPNs cut off the local network: allow it in the VPN's settings (\"LAN access\"), or switch the VPN off.",
        ));
    }
    if responders > 0 {
        diagnoses.push(diagnosis(
            Cause::NobodyNear,
            format!("Multicast works: {responders} other devices answer. None of them runs `multipeer doctor`."),
            "Run it on the other device, too, at the same time: then both test the way between them.",
        ));
    } else if explained {
        // Whatever it is, it also keeps this machine from seeing others.
    } else if neighbours > 0 {
        diagnoses.push(diagnosis(
            Cause::NobodyAnswers,
            format!(
                "{neighbours} other devices are on the network, and none answers multicast: it is blocked, or none of them \
                 has anything to say."
            ),
            "Run `multipeer doctor` on the other device, too, at the same time. If both say this: a firewall on one of them \
             drops UDP, or the access point drops multicast.",
        ));
    } else {
        let more = too_large.map_or_else(String::new, |problem| format!(" ({problem})"));
        diagnoses.push(diagnosis(
            Cause::Alone,
            format!(
                "Nobody else on this network can be reached: nobody is there, or the access point keeps its clients apart \
                 (\"client isolation\", usual on guest networks), or the others are on another network{more}."
            ),
            "Make sure that all devices are on the same network, and not a guest network. If they are: switch off client \
             isolation, or run `multipeer hub` on a device with a cable; across networks, join with a ticket (`multipeer invite`).",
        ));
    }
}

#[cfg(test)]
mod tests {
    use multipeer_proto::PeerId;

    use super::*;

    #[test]
    fn where_much_gets_lost_silence_shows_nothing_about_multicast() {
        let causes = |loss| {
            let mut partner = Partner::new(PeerId::from_bytes([1; 32]), "Alice".to_owned());
            (partner.is_linked, partner.loss) = (true, Some(loss));
            let mut diagnoses = Vec::new();
            between(&partner, &mut diagnoses);
            diagnoses.into_iter().map(|diagnosis| diagnosis.cause).collect::<Vec<_>>()
        };
        assert_eq!(causes(0.0), [Cause::MulticastBlocked, Cause::Fine]);
        assert_eq!(causes(0.1), [Cause::MulticastBlocked, Cause::Lossy, Cause::Fine]);
        assert_eq!(causes(0.5), [Cause::Lossy, Cause::Fine]);
    }
}
