//! A network in memory, on which questions go to whoever they are sent to.

use std::collections::BTreeMap;

use super::*;
use crate::{
    limits::{MAX_PROBE_BYTES, MIN_QUESTION_BYTES},
    name::{DiscoveryInfo, DisplayName},
};

/// A host: its address, and the programs on it.
type Hosts = BTreeMap<IpAddr, Vec<Prober>>;

struct Segment {
    hosts: Hosts,
    now: Timestamp,
    prefix_len: u8,
    has_broadcast: bool,
    /// Datagrams sent, with the moment.
    sent: Vec<(Timestamp, SocketAddr, SocketAddr, usize)>,
    found: Vec<(IpAddr, Announcement, SocketAddr)>,
    gone: Vec<(IpAddr, PeerId)>,
    too_large: usize,
}

fn announcement(byte: u8, info: DiscoveryInfo) -> Announcement {
    let name = Some(DisplayName::new(format!("peer {byte}")).unwrap());
    Announcement { peer: PeerId::from_bytes([byte; 32]), name, info, tags: None, role: None }
}

fn prober(byte: u8) -> Prober {
    let mut prober = Prober::new(ServiceType::new("test").unwrap(), [byte; 32]);
    prober.announce(announcement(byte, DiscoveryInfo::default()), 4000 + u16::from(byte));
    prober
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

impl Segment {
    fn new(prefix_len: u8, has_broadcast: bool) -> Self {
        Self {
            hosts: Hosts::new(),
            now: Timestamp::ZERO,
            prefix_len,
            has_broadcast,
            sent: Vec::new(),
            found: Vec::new(),
            gone: Vec::new(),
            too_large: 0,
        }
    }

    fn network(&self, address: IpAddr) -> ProbedNetwork {
        let network = Network { address, prefix_len: self.prefix_len };
        ProbedNetwork { interface: 2, network }
    }

    fn add(&mut self, address: &str, mut prober: Prober) {
        prober.set_networks(self.now, [self.network(ip(address))]);
        prober.look(self.now);
        self.hosts.entry(ip(address)).or_default().push(prober);
    }

    /// Carries out what one program wants. Its own socket is at the port 50000 and its number.
    fn carry(&mut self, at: IpAddr, program: usize) {
        while let Some(output) = self.hosts.get_mut(&at).and_then(|h| h[program].poll()) {
            match output {
                ProbeOutput::Send { from, to, bytes } => {
                    let port = match from {
                        ProbeSocket::Shared => PROBE_PORT,
                        ProbeSocket::Own => 50_000 + u16::try_from(program).unwrap(),
                    };
                    self.deliver(SocketAddr::new(at, port), to, &bytes);
                }
                ProbeOutput::Found { announcement, address, .. } => {
                    self.found.push((at, announcement, address));
                }
                ProbeOutput::Gone { peer, .. } => self.gone.push((at, peer)),
                ProbeOutput::TooLarge { .. } => self.too_large += 1,
            }
        }
    }

    fn deliver(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        assert!(bytes.len() <= MAX_PROBE_BYTES + 128, "{}", bytes.len());
        self.sent.push((self.now, from, to, bytes.len()));
        let broadcast = self.network(from.ip()).network.broadcast().map(IpAddr::V4);
        let here = to.ip() == ip("127.255.255.255");
        let addresses: Vec<IpAddr> = if here {
            vec![from.ip()]
        } else if Some(to.ip()) == broadcast {
            let network = self.network(from.ip()).network;
            let others = self.hosts.keys().copied().filter(|&host| host != from.ip());
            others.filter(|&host| self.has_broadcast && network.contains(host)).collect()
        } else {
            vec![to.ip()]
        };
        let is_one = addresses.contains(&to.ip());
        for address in addresses {
            let count = self.hosts.get(&address).map_or(0, Vec::len);
            let programs = match to.port() {
                // The system hands it to who came last.
                PROBE_PORT if is_one => count.saturating_sub(1)..count,
                PROBE_PORT => 0..count,
                port => {
                    let program = usize::from(port.saturating_sub(50_000));
                    program.min(count)..(program + 1).min(count)
                }
            };
            let seen_from = if here { SocketAddr::new(ip("127.0.0.1"), from.port()) } else { from };
            for program in programs {
                let now = self.now;
                if let Some(host) = self.hosts.get_mut(&address) {
                    host[program].handle(now, seen_from, bytes);
                }
                self.carry(address, program);
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let all = self.hosts.iter();
            let all = all.flat_map(|(&at, programs)| {
                programs
                    .iter()
                    .enumerate()
                    .filter_map(move |(n, p)| Some((p.poll_timeout()?, at, n)))
            });
            let Some((when, at, program)) = all.min().filter(|(when, ..)| *when <= end) else {
                break;
            };
            self.now = self.now.max(when);
            let now = self.now;
            if let Some(host) = self.hosts.get_mut(&at) {
                host[program].tick(now);
            }
            self.carry(at, program);
        }
        self.now = end;
    }

    fn has_found(&self, at: &str, byte: u8) -> bool {
        let peer = PeerId::from_bytes([byte; 32]);
        self.found.iter().any(|(by, what, _)| *by == ip(at) && what.peer == peer)
    }
}

#[test]
fn two_meet_by_broadcast_within_a_second_and_each_knows_the_others_port() {
    let mut segment = Segment::new(16, true);
    segment.add("10.0.0.1", prober(1));
    segment.add("10.0.7.2", prober(2));
    segment.run(Duration::from_secs(1));
    assert!(segment.has_found("10.0.0.1", 2) && segment.has_found("10.0.7.2", 1));
    let (.., address) = segment.found.iter().find(|(by, ..)| *by == ip("10.0.0.1")).unwrap();
    assert_eq!(*address, "10.0.7.2:4002".parse().unwrap());
}

#[test]
fn two_meet_without_broadcast_in_time_and_not_more_is_asked_than_allowed() {
    let mut segment = Segment::new(22, false);
    segment.add("10.0.0.1", prober(1));
    segment.add("10.0.3.254", prober(2));
    segment.run(Duration::from_secs(8));
    assert!(segment.has_found("10.0.0.1", 2) && segment.has_found("10.0.3.254", 1));
    // What one of them sends in any second.
    let own = |(at, from, ..): &&(Timestamp, SocketAddr, SocketAddr, usize)| {
        (from.ip() == ip("10.0.0.1")).then_some(*at)
    };
    let moments: Vec<Timestamp> = segment.sent.iter().filter_map(|s| own(&s)).collect();
    for (i, &moment) in moments.iter().enumerate() {
        let end = moment + Duration::from_millis(950);
        let count = moments[i..].iter().take_while(|&&at| at < end).count();
        assert!(count <= 205, "{count} at {moment:?}");
    }
    // And over an hour it is next to nothing.
    segment.sent.clear();
    segment.run(Duration::from_secs(3600));
    let count = segment.sent.len();
    assert!(count < 2 * 2 * 3600, "{count} datagrams: more than 2 a second for each");
    assert!(segment.gone.is_empty(), "{:?}", segment.gone);
}

#[test]
fn where_multicast_finds_somebody_nobody_is_asked() {
    let mut segment = Segment::new(24, true);
    segment.add("10.0.0.1", prober(1));
    segment.add("10.0.0.2", prober(2));
    for host in segment.hosts.values_mut() {
        // Another program on each of them.
        host[0].heard(&["10.0.0.1:1".parse().unwrap()]);
        host[0].heard(&["10.0.0.2:1".parse().unwrap(), "10.0.0.9:1".parse().unwrap()]);
        assert!(host[0].has_multicast());
    }
    segment.run(Duration::from_secs(600));
    assert_eq!(segment.sent, []);
}

#[test]
fn another_program_on_this_machine_shows_nothing_of_the_network() {
    let mut segment = Segment::new(24, true);
    segment.add("10.0.0.1", prober(1));
    segment.add("10.0.0.2", prober(2));
    for (address, host) in &mut segment.hosts {
        host[0].heard(&[SocketAddr::new(*address, 1)]);
    }
    segment.run(Duration::from_secs(1));
    assert!(segment.has_found("10.0.0.1", 2) && segment.has_found("10.0.0.2", 1));
}

#[test]
fn who_was_found_otherwise_is_still_found_by_who_asks() {
    let mut segment = Segment::new(24, false);
    segment.add("10.0.0.1", prober(1));
    segment.add("10.0.0.2", prober(2));
    if let Some(host) = segment.hosts.get_mut(&ip("10.0.0.1")) {
        host[0].heard(&["10.0.0.9:1".parse().unwrap()]);
    }
    segment.run(Duration::from_secs(3));
    assert!(segment.has_found("10.0.0.2", 1) && segment.has_found("10.0.0.1", 2));
}

#[test]
fn a_network_that_is_too_large_is_left_alone_and_that_is_said_once() {
    let mut segment = Segment::new(16, false);
    segment.add("10.0.0.1", prober(1));
    segment.add("10.0.0.2", prober(2));
    segment.run(Duration::from_secs(600));
    assert_eq!(segment.too_large, 2, "once by each");
    assert_eq!(segment.found.len(), 0);
    assert!(segment.sent.len() < 50, "{}", segment.sent.len());
}

#[test]
fn programs_on_one_machine_are_all_found_by_who_asks_its_address() {
    let mut segment = Segment::new(24, false);
    segment.add("10.0.0.1", prober(1));
    segment.add("10.0.0.2", prober(2));
    segment.add("10.0.0.2", prober(3));
    segment.add("10.0.0.2", prober(4));
    segment.run(Duration::from_secs(3));
    for byte in 2..5 {
        assert!(segment.has_found("10.0.0.1", byte), "{byte}");
    }
    let answers = segment.sent.iter().filter(|(_, from, to, _)| {
        from.ip() == ip("10.0.0.2") && from.port() == PROBE_PORT && to.ip() == ip("10.0.0.1")
    });
    assert!(answers.count() <= 6, "no question goes round and round");
}

#[test]
fn who_falls_silent_is_gone_and_who_says_farewell_at_once() {
    let mut segment = Segment::new(24, true);
    for byte in 1..4 {
        segment.add(&format!("10.0.0.{byte}"), prober(byte));
    }
    segment.run(Duration::from_secs(2));
    segment.hosts.get_mut(&ip("10.0.0.3")).unwrap()[0].stop();
    segment.carry(ip("10.0.0.3"), 0);
    let third = PeerId::from_bytes([3; 32]);
    assert_eq!(segment.gone, [(ip("10.0.0.1"), third), (ip("10.0.0.2"), third)]);
    segment.hosts.remove(&ip("10.0.0.2"));
    segment.gone.clear();
    let second = PeerId::from_bytes([2; 32]);
    let (now, host) = (segment.now, segment.hosts.get_mut(&ip("10.0.0.1")).unwrap());
    host[0].verify(now, second);
    segment.run(Duration::from_secs(4));
    assert_eq!(segment.gone, [(ip("10.0.0.1"), second)]);
}

#[test]
fn an_answer_that_was_not_asked_for_and_a_question_from_afar_come_to_nothing() {
    let mut segment = Segment::new(24, true);
    segment.add("10.0.0.1", prober(1));
    let lie = Presence::new(announcement(9, DiscoveryInfo::default()), 1);
    let forged = ProbeMessage::answer(7, &lie, MAX_PROBE_BYTES).unwrap();
    segment.deliver("10.0.0.9:19792".parse().unwrap(), "10.0.0.1:50000".parse().unwrap(), &forged);
    let service = ServiceType::new("test").unwrap();
    segment.sent.clear();
    // From the internet, whatever it asks; and from another network, by what looks like a broadcast.
    for (from, is_direct) in [("192.0.2.1:9", true), ("192.0.2.1:9", false), ("10.0.1.9:9", false)]
    {
        let question = ProbeMessage::question(&service, 7, is_direct, Some(&lie));
        segment.deliver(from.parse().unwrap(), "10.0.0.1:19792".parse().unwrap(), &question);
    }
    let overheard = Question {
        service: ServiceType::new("test").unwrap(),
        token: 1,
        is_direct: true,
        asker: None,
    };
    let overheard = ProbeMessage::overheard("10.0.0.7:9".parse().unwrap(), 512, overheard);
    segment.deliver("10.0.0.9:9".parse().unwrap(), "10.0.0.1:19792".parse().unwrap(), &overheard);
    assert_eq!(segment.sent.len(), 4, "nothing but what was delivered: {:?}", segment.sent);
    assert_eq!(segment.found, []);
}

#[test]
fn no_answer_is_longer_than_its_question_whatever_is_announced() {
    let service = ServiceType::new("test").unwrap();
    for pairs in 0..6 {
        let info = DiscoveryInfo::new((0..pairs).map(|i| (format!("k{i}"), "v".repeat(250))));
        let presence = Presence::new(announcement(1, info.unwrap()), 9);
        for asker in [None, Some(&presence)] {
            let question = ProbeMessage::question(&service, 7, true, asker);
            assert!((MIN_QUESTION_BYTES..=MAX_PROBE_BYTES).contains(&question.len()));
            let answer = ProbeMessage::answer(7, &presence, question.len()).unwrap();
            assert!(answer.len() <= question.len());
        }
        assert_eq!(ProbeMessage::answer(7, &presence, 20), None);
    }
}

#[test]
fn a_flood_of_questions_gets_so_many_answers_and_fills_no_memory() {
    let mut segment = Segment::new(16, true);
    segment.add("10.0.0.1", prober(1));
    let service = ServiceType::new("test").unwrap();
    segment.now = Timestamp::after_start(Duration::from_secs(100));
    for number in 0..5000_u32 {
        let mut liar = announcement(0, DiscoveryInfo::default());
        let mut id = [0; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        liar.peer = PeerId::from_bytes(id);
        let question = ProbeMessage::question(&service, 7, false, Some(&Presence::new(liar, 9)));
        let from = "10.0.0.9:60000".parse().unwrap();
        segment.deliver(from, "10.0.0.1:19792".parse().unwrap(), &question);
    }
    assert!(segment.found.len() <= ANSWERS_PER_SECOND as usize, "{}", segment.found.len());
}

#[test]
fn hosts_that_are_named_are_asked_whatever_network_they_are_on_until_they_answer() {
    let mut segment = Segment::new(24, true);
    let host = |address, port| ProbedHost { address: ip(address), port, way: Way::Given };
    let mut asks = prober(1);
    asks.ask_hosts(segment.now, [host("10.0.9.2", None), host("10.0.9.3", Some(1))]);
    segment.add("10.0.0.1", asks);
    segment.run(Duration::from_secs(100));
    assert_eq!(segment.found, []);
    for (address, byte) in [("10.0.9.2", 2), ("10.0.9.3", 3), ("10.0.9.4", 4)] {
        segment.add(address, prober(byte));
    }
    segment.run(Duration::from_secs(61));
    assert!(segment.has_found("10.0.0.1", 2), "also who never heard of who asks");
    assert!(!segment.has_found("10.0.9.2", 1), "who may have no way there");
    assert!(!segment.has_found("10.0.0.1", 3), "its port is another one");
    assert!(!segment.has_found("10.0.0.1", 4), "whom nobody named");
}

#[test]
fn rubbish_is_no_datagram() {
    for bytes in [&b""[..], b"mpp", b"mpp\x02", b"mpp\x01", b"mpp\x01\xff\xff", &[0; 4000]] {
        assert_eq!(ProbeMessage::parse(bytes), None);
    }
}
