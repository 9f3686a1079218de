//! Whether multicast DNS goes out and comes in, on each interface: a question that every responder answers
//! (RFC 6763, section 9), and that comes back to who asks it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    time::Duration,
};

use socket2::{Domain, InterfaceIndexOrAddress};
use tokio::{
    net::UdpSocket,
    time::{Instant, interval, sleep_until},
};

use super::Adapter;
use crate::{discovery::responder_socket, interfaces::InterfaceKind};

const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
/// How often the question is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// Bytes of a message that are looked at.
const MAX_BYTES: usize = 1500;
/// Responders that are told apart, at most.
const MAX_RESPONDERS: usize = 256;

/// "Which services are there?": a DNS message with one question (RFC 1035, section 4.1).
fn question(id: u16) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in ["_services", "_dns-sd", "_udp", "local"] {
        message.push(u8::try_from(label.len()).unwrap_or_default());
        message.extend(label.as_bytes());
    }
    // The root, a pointer record, of the internet.
    message.extend([0, 0, 12, 0, 1]);
    message
}

/// What was heard.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Interfaces, by number, on which the question came back.
    own: BTreeSet<u32>,
    /// Interfaces that it was sent on.
    tried: BTreeSet<u32>,
    errors: BTreeMap<u32, String>,
    answers: BTreeSet<IpAddr>,
}

/// Asks on each interface that is used. Nothing, if the port leaves no room for one more.
pub(super) async fn listen(adapters: &[Adapter], has_port: bool, patience: Duration) -> Heard {
    let mut heard = Heard::default();
    let used: Vec<&Adapter> = adapters.iter().filter(|adapter| adapter.is_of_use()).collect();
    if !has_port || used.is_empty() {
        return heard;
    }
    let v4 = open(Domain::IPV4, &used).ok();
    let v6 = open(Domain::IPV6, &used).ok();
    let end = Instant::now() + patience;
    let mut rounds = interval(INTERVAL);
    let (mut buffer4, mut buffer6) = (vec![0; MAX_BYTES], vec![0; MAX_BYTES]);
    loop {
        tokio::select! {
            _ = rounds.tick() => {
                for adapter in &used {
                    heard.tried.insert(adapter.index);
                    if let Err(error) = ask(adapter, v4.as_ref(), v6.as_ref()) {
                        heard.errors.insert(adapter.index, error.to_string());
                    }
                }
            }
            Some((len, from)) = receive(v4.as_ref(), &mut buffer4) => heard.note(&buffer4[..len], from),
            Some((len, from)) = receive(v6.as_ref(), &mut buffer6) => heard.note(&buffer6[..len], from),
            () = sleep_until(end) => return heard,
        }
    }
}

async fn receive(socket: Option<&UdpSocket>, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
    match socket {
        Some(socket) => socket.recv_from(buffer).await.ok(),
        None => std::future::pending().await,
    }
}

impl Heard {
    fn note(&mut self, message: &[u8], from: SocketAddr) {
        let [high, low, flags, ..] = message else { return };
        let id = u32::from(u16::from_be_bytes([*high, *low]));
        // A question has the first flag cleared (RFC 1035, section 4.1.1).
        if flags & 0x80 == 0 {
            if self.tried.contains(&id) && message == question(u16::from_be_bytes([*high, *low])) {
                self.own.insert(id);
            }
        } else if self.answers.len() < MAX_RESPONDERS {
            self.answers.insert(from.ip());
        }
    }
}

/// A socket at the port of multicast DNS, beside others, that hears the group on these interfaces.
fn open(domain: Domain, adapters: &[&Adapter]) -> io::Result<UdpSocket> {
    let socket = responder_socket(domain)?;
    if domain == Domain::IPV4 {
        socket.set_multicast_loop_v4(true)?;
    } else {
        socket.set_multicast_loop_v6(true)?;
    }
    for adapter in adapters {
        // One that cannot be joined is told by nothing being heard there.
        _ = if domain == Domain::IPV4 {
            let interface = InterfaceIndexOrAddress::Index(adapter.index);
            socket.join_multicast_v4_n(&GROUP_V4, &interface)
        } else {
            socket.join_multicast_v6(&GROUP_V6, adapter.index)
        };
    }
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

/// Asks on one interface, under a number that tells which. Fails if it could be sent in neither family.
fn ask(adapter: &Adapter, v4: Option<&UdpSocket>, v6: Option<&UdpSocket>) -> io::Result<()> {
    let message = question(u16::try_from(adapter.index).unwrap_or_default());
    let own_v4 = adapter.networks.iter().find_map(|network| match network.address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    });
    let over_v4 = v4.zip(own_v4).map(|(socket, own)| {
        socket2::SockRef::from(socket).set_multicast_if_v4(&own)?;
        socket.try_send_to(&message, (GROUP_V4, mdns_sd::MDNS_PORT).into())
    });
    let has_v6 = adapter.networks.iter().any(|network| network.address.is_ipv6());
    let over_v6 = v6.filter(|_| has_v6).map(|socket| {
        let to = SocketAddrV6::new(GROUP_V6, mdns_sd::MDNS_PORT, 0, adapter.index);
        socket.try_send_to(&message, to.into())
    });
    match (over_v4, over_v6) {
        (Some(Err(error)), None | Some(Err(_))) | (None, Some(Err(error))) => Err(error),
        _ => Ok(()),
    }
}

/// Writes down at each interface what was heard there.
pub(super) fn note(
    mut adapters: Vec<Adapter>,
    heard: &Heard,
    neighbours: &[IpAddr],
) -> Vec<Adapter> {
    let own: Vec<IpAddr> =
        adapters.iter().flat_map(|a| a.networks.iter().map(|network| network.address)).collect();
    for adapter in &mut adapters {
        let is_there = |address: &&IpAddr| {
            !own.contains(address) && adapter.networks.iter().any(|n| n.contains(**address))
        };
        adapter.responders = heard.answers.iter().filter(is_there).copied().collect();
        adapter.neighbours = neighbours.iter().filter(is_there).copied().collect();
        if heard.tried.contains(&adapter.index) && adapter.kind != InterfaceKind::Loopback {
            adapter.hears_itself = Some(heard.own.contains(&adapter.index));
            adapter.send_error = heard.errors.get(&adapter.index).cloned();
        }
    }
    adapters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_questions_and_answers_of_others_are_told_apart() {
        let mut heard = Heard { tried: [2, 3].into(), ..Heard::default() };
        let from: SocketAddr = "192.0.2.7:5353".parse().unwrap();
        heard.note(&question(3), from);
        heard.note(&question(9), from);
        heard.note(b"\x00\x02", from);
        let mut answer = question(0);
        answer[2] = 0x84;
        heard.note(&answer, from);
        assert_eq!(heard.own, BTreeSet::from([3]));
        assert_eq!(heard.answers, BTreeSet::from([from.ip()]));
    }
}
