//! Doctors on other machines: each finds the others as sessions do, tests the way to them, and tells what it hears.

use std::{collections::BTreeMap, time::Duration};

use multipeer_proto::{PeerId, Way, Ways};
use tokio::{
    task::JoinSet,
    time::{Instant, interval, sleep_until},
};

use crate::{
    config::since_1970,
    discovery::{DiscoveryProblem, LocalNetwork},
    event::Event,
    interfaces::Interfaces,
    path::Route,
    session::{PingMode, Session},
};

/// What doctors are in a session about.
const SERVICE: &str = "mp-doctor";
/// The shortest time that is looked for others, ...
const LEAST: Duration = Duration::from_secs(5);
/// ... and that is left for multicast to tell of one, and for it to be done, too.
const LEAST_TOGETHER: Duration = Duration::from_secs(4);
/// How often others are told what is heard.
const NOTE_INTERVAL: Duration = Duration::from_millis(500);
/// Round trips that are measured, and datagrams that are counted.
const PINGS: u32 = 10;
const DATAGRAMS: u32 = 50;
/// Pause between two of them.
const PAUSE: Duration = Duration::from_millis(10);

/// Another machine on which a doctor runs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Partner {
    /// What it calls itself.
    pub name: String,
    /// Its id, for this examination.
    pub id: PeerId,
    /// How it is heard here.
    pub heard: Ways,
    /// How it hears this machine, as it says; nothing if it could not say.
    pub hears: Option<Ways>,
    /// Whether a link came about.
    pub is_linked: bool,
    /// Why none did.
    pub error: Option<String>,
    /// Where it is, and through which interface.
    pub route: Option<Route>,
    /// The median round trip.
    pub round_trip: Option<Duration>,
    /// Which part of the datagrams got lost, there and back.
    pub loss: Option<f64>,
    /// Bytes of the largest datagram.
    pub datagram_bytes: Option<usize>,
    /// How far its clock is ahead of this one, in seconds.
    pub clock_ahead: Option<i64>,
    since: Option<Instant>,
}

impl Partner {
    pub(super) fn new(id: PeerId, name: String) -> Self {
        Self {
            name,
            id,
            heard: Ways::default(),
            hears: None,
            is_linked: false,
            error: None,
            route: None,
            round_trip: None,
            loss: None,
            datagram_bytes: None,
            clock_ahead: None,
            since: None,
        }
    }

    /// Whether multicast from it arrives here.
    pub fn is_heard_by_multicast(&self) -> bool {
        is_multicast(self.heard)
    }

    /// Whether multicast from here arrives there, if it has said.
    pub fn hears_multicast(&self) -> Option<bool> {
        self.hears.map(is_multicast)
    }

    fn is_done(&self, now: Instant) -> bool {
        self.loss.is_some()
            && self.hears.is_some()
            && self.since.is_some_and(|since| now >= since + LEAST_TOGETHER)
    }
}

fn is_multicast(ways: Ways) -> bool {
    ways.contains(Way::Mdns) || ways.contains(Way::SystemResponder)
}

/// What came of looking for others.
#[derive(Debug, Default)]
pub(super) struct Meeting {
    pub(super) partners: Vec<Partner>,
    pub(super) problems: Vec<DiscoveryProblem>,
}

/// What was measured on the way to a partner.
struct Measured {
    id: PeerId,
    round_trip: Option<Duration>,
    loss: f64,
    datagram_bytes: Option<usize>,
}

/// Looks for other doctors, and tests the way to each.
pub(super) async fn meet(
    interfaces: &Interfaces,
    name: &str,
    discovery: LocalNetwork,
    patience: Duration,
) -> Meeting {
    let mut builder = Session::builder(SERVICE, name).discovery(discovery);
    builder = builder.with_interfaces(interfaces.clone());
    let session = match builder.start().await {
        Ok(session) => session,
        Err(error) => {
            let problem = DiscoveryProblem::Responder { error: error.to_string() };
            return Meeting { problems: vec![problem], ..Meeting::default() };
        }
    };
    let mut examination = Examination::new(&session);
    examination.run(Instant::now(), patience).await;
    let meeting = examination.end();
    session.leave().await;
    meeting
}

struct Examination<'a> {
    session: &'a Session,
    partners: BTreeMap<PeerId, Partner>,
    problems: Vec<DiscoveryProblem>,
    tests: JoinSet<Measured>,
}

impl<'a> Examination<'a> {
    fn new(session: &'a Session) -> Self {
        let (partners, problems) = (BTreeMap::new(), Vec::new());
        Self { session, partners, problems, tests: JoinSet::new() }
    }

    async fn run(&mut self, start: Instant, patience: Duration) {
        let mut events = self.session.events();
        let mut notes = interval(NOTE_INTERVAL);
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(event) => self.handle(event),
                    None => return,
                },
                Some(Ok(measured)) = self.tests.join_next() => self.measured(&measured),
                _ = notes.tick() => {
                    self.tell();
                    let now = Instant::now();
                    let all_done = self.partners.values().all(|partner| partner.is_done(now));
                    if !self.partners.is_empty() && all_done && now >= start + LEAST {
                        // What was said last is to arrive, too.
                        return;
                    }
                }
                () = sleep_until(start + patience) => return,
            }
        }
    }

    fn partner(&mut self, peer: &crate::Peer) -> &mut Partner {
        let name = peer.name.to_string();
        let partner = self.partners.entry(peer.id);
        let partner = partner.or_insert_with(|| Partner::new(peer.id, String::new()));
        partner.name = name;
        partner
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::PeerFound(peer) | Event::PeerUpdated(peer) => {
                let partner = self.partner(&peer);
                // All that it ever was heard by: what it is heard by at the end may be less.
                peer.ways.iter().for_each(|way| partner.heard.insert(way));
            }
            Event::PeerConnected(peer) => {
                let route = self.session.path(&peer).map(|path| path.route);
                let partner = self.partner(&peer);
                (partner.is_linked, partner.route) = (true, route);
                (partner.since, partner.error) = (Some(Instant::now()), None);
                self.tests.spawn(measure(self.session.clone(), peer.id));
            }
            Event::InvitationFailed { peer, error } => {
                let partner = self.partner(&peer);
                if !partner.is_linked {
                    partner.error = Some(error.to_string());
                }
            }
            Event::Message { from, data, .. } => {
                if let Ok(text) = std::str::from_utf8(&data) {
                    read_note(text, self.partner(&from));
                }
            }
            Event::DiscoveryProblem(problem) => self.problems.push(problem),
            _ => {}
        }
    }

    fn measured(&mut self, measured: &Measured) {
        if let Some(partner) = self.partners.get_mut(&measured.id) {
            partner.round_trip = measured.round_trip;
            partner.loss = Some(measured.loss);
            partner.datagram_bytes = measured.datagram_bytes;
        }
    }

    /// Tells each partner how it is heard.
    fn tell(&self) {
        for partner in self.partners.values().filter(|partner| partner.is_linked) {
            // A partner that does not read is told the next time.
            _ = self.session.try_send(partner.id, note(partner.heard));
        }
    }

    fn end(self) -> Meeting {
        Meeting { partners: self.partners.into_values().collect(), problems: self.problems }
    }
}

/// "heard" and the ways, "time" and the seconds since 1970: a line each.
fn note(heard: Ways) -> String {
    let ways: Vec<&str> = heard.iter().map(Way::as_str).collect();
    format!("heard {}\ntime {}\n", ways.join(" "), since_1970().as_secs())
}

/// What a doctor of a later version says besides is left alone.
fn read_note(text: &str, partner: &mut Partner) {
    for line in text.lines() {
        match line.split_once(' ') {
            Some(("heard", ways)) => {
                let named = |way: &Way| ways.split(' ').any(|word| word == way.as_str());
                let mut hears = partner.hears.unwrap_or_default();
                Way::ALL.into_iter().filter(named).for_each(|way| hears.insert(way));
                partner.hears = Some(hears);
            }
            Some(("time", seconds)) => {
                let theirs = seconds.parse::<i64>().ok();
                let ours = i64::try_from(since_1970().as_secs()).ok();
                partner.clock_ahead = theirs.zip(ours).map(|(t, o)| t.saturating_sub(o));
            }
            _ => {}
        }
    }
}

async fn measure(session: Session, id: PeerId) -> Measured {
    let mut round_trips = Vec::new();
    for _ in 0..PINGS {
        if let Ok(took) = session.ping(id, 64, PingMode::Reliable).await {
            round_trips.push(took);
        }
        tokio::time::sleep(PAUSE).await;
    }
    round_trips.sort_unstable();
    let mut pings = JoinSet::new();
    for _ in 0..DATAGRAMS {
        let session = session.clone();
        pings.spawn(async move { session.ping(id, 64, PingMode::Unreliable).await.is_ok() });
        tokio::time::sleep(PAUSE).await;
    }
    // A quarter of the time that a ping has: who answers at all does so within that.
    let deadline = Instant::now() + Duration::from_secs(1);
    let mut answered = 0;
    while let Ok(Some(answer)) = tokio::time::timeout_at(deadline, pings.join_next()).await {
        answered += u32::from(matches!(answer, Ok(true)));
    }
    Measured {
        id,
        round_trip: round_trips.get(round_trips.len() / 2).copied(),
        loss: 1.0 - f64::from(answered) / f64::from(DATAGRAMS),
        datagram_bytes: session.max_unreliable_size(id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_back_and_what_it_says_besides_is_left_alone() {
        let mut partner = Partner::new(PeerId::from_bytes([1; 32]), "Alice".to_owned());
        read_note("later version\nheard \n", &mut partner);
        assert_eq!(partner.hears_multicast(), Some(false));
        read_note(&note(Way::Mdns.into()), &mut partner);
        assert_eq!(partner.hears_multicast(), Some(true));
        assert!(partner.clock_ahead.is_some_and(|ahead| ahead.abs() < 5));
        read_note("time 99999999999999999999\n", &mut partner);
        assert_eq!(partner.clock_ahead, None);
    }
}
