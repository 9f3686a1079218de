//! Everything that finds peers on the networks of this machine, at once.

use std::{
    collections::{BTreeSet, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt};
use multipeer_proto::{PeerId, Way};
use socket2::Domain;
use tokio::{
    task::JoinSet,
    time::{Instant, Interval, MissedTickBehavior, interval},
};
use tracing::{debug, info, warn};

use super::{
    Announcement, Discovery, DiscoveryError, DiscoveryEvent, DiscoveryProblem, Mdns, Provider,
    Site,
    questions::Questions,
    responder_socket,
    self_check::{Finding, SelfCheck},
    system, until,
};

/// Pause between two tries to start a responder.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// Time for a responder to hear those whom its predecessor has heard.
const SUCCESSION: Duration = Duration::from_secs(5);
/// Pause after somebody has announced more than can be remembered.
const FLOOD_PAUSE: Duration = Duration::from_secs(10);
/// Peers that are remembered as heard by the responder, at most.
const MAX_HEARD: usize = 2048;

/// Who speaks multicast DNS for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Responder {
    /// The embedded one; or the system's own where that leaves no room for another.
    #[default]
    Automatic,
    /// The embedded one.
    Embedded,
    /// The system's own (Avahi, over D-Bus), and the embedded one while that is not there.
    System,
}

/// The usual way to find peers: DNS-SD over multicast DNS, on every usable interface or on those that are given, and
/// questions for networks on which multicast does not arrive.
///
/// ```
/// # async fn run() -> Result<(), multipeer::StartError> {
/// use multipeer::{Session, discovery::{LocalNetwork, Responder}};
///
/// let discovery = LocalNetwork::default().responder(Responder::System).questions(false);
/// let session = Session::builder("chat", "Alice").discovery(discovery).start().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct LocalNetwork {
    responder: Responder,
    questions: bool,
}

impl Default for LocalNetwork {
    fn default() -> Self {
        Self { responder: Responder::default(), questions: true }
    }
}

impl LocalNetwork {
    /// Who speaks multicast DNS.
    #[must_use]
    pub fn responder(mut self, responder: Responder) -> Self {
        self.responder = responder;
        self
    }

    /// Whether to ask for peers, by broadcast and address by address, where multicast finds nobody, and to answer who
    /// asks: true unless said otherwise. Uses the UDP port 19792, together with others.
    #[must_use]
    pub fn questions(mut self, ask: bool) -> Self {
        self.questions = ask;
        self
    }
}

impl Provider for LocalNetwork {
    fn start(&self, site: Site) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let questions = self.questions.then(|| Questions::new(site.clone())).transpose();
        let mut retry = interval(RETRY_INTERVAL);
        retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut local = Local {
            self_check: SelfCheck::new(&site),
            choice: self.responder,
            site,
            announcement: None,
            looking: false,
            browsing: false,
            multicast: None,
            system: None,
            heard: BTreeSet::new(),
            stale: VecDeque::new(),
            problems: VecDeque::new(),
            reported_port: false,
            paused_until: None,
            retiring: JoinSet::new(),
            questions: questions.map_err(|error| error.to_string())?,
            retry,
        };
        if self.responder != Responder::System {
            local.start_embedded()?;
        }
        Ok(Box::new(local))
    }
}

/// The responder that is in use, and what its peers are heard by.
type Multicast = (Way, Box<dyn Discovery>);

struct Local {
    choice: Responder,
    site: Site,
    announcement: Option<Announcement>,
    looking: bool,
    browsing: bool,
    multicast: Option<Multicast>,
    /// The way to the system's own responder, when it is looked for.
    system: Option<system::Watch>,
    /// Who was heard by the responder in use.
    heard: BTreeSet<PeerId>,
    /// Who was heard by its predecessor, until it is time to say that it is gone.
    stale: VecDeque<(Instant, Way, PeerId)>,
    problems: VecDeque<DiscoveryProblem>,
    reported_port: bool,
    /// Until when no responder listens.
    paused_until: Option<Instant>,
    /// Responders that withdraw what they had announced.
    retiring: JoinSet<()>,
    questions: Option<Questions>,
    self_check: SelfCheck,
    retry: Interval,
}

/// What happens to a responder.
enum Happened {
    Event(DiscoveryEvent),
    System(system::Change),
    Stale,
    Finding(Finding),
    Retry,
}

impl Local {
    /// Starts the embedded responder, if the port leaves room for it.
    fn start_embedded(&mut self) -> Result<(), DiscoveryError> {
        if let Err(error) = responder_socket(Domain::IPV4) {
            debug!(%error, "the port of multicast DNS cannot be shared");
            return Ok(());
        }
        let embedded = Mdns.start(self.site.clone())?;
        self.take(Way::Mdns, embedded);
        Ok(())
    }

    /// Has this responder announce and listen from now on, and no other.
    fn take(&mut self, way: Way, mut responder: Box<dyn Discovery>) {
        info!(%way, "multicast DNS");
        self.give_up();
        self.reported_port = false;
        if let Some(announcement) = &self.announcement {
            responder.announce(announcement);
        }
        if self.looking {
            responder.look();
            if !self.browsing {
                responder.browse(false);
            }
        }
        self.multicast = Some((way, responder));
    }

    /// Has the responder in use withdraw what it announces, and waits for nothing.
    fn give_up(&mut self) {
        let Some((way, mut former)) = self.multicast.take() else { return };
        former.stop();
        self.retiring.spawn(async move { former.shutdown().await });
        let at = Instant::now() + SUCCESSION;
        self.stale.extend(std::mem::take(&mut self.heard).into_iter().map(|peer| (at, way, peer)));
    }

    /// Whether the system's own responder is in use.
    fn is_spoken_for(&self) -> bool {
        self.multicast.as_ref().is_some_and(|(way, _)| *way == Way::SystemResponder)
    }

    /// Nobody speaks multicast DNS at the moment, or not who should: is that to be had by now?
    fn look_for_responder(&mut self) {
        while self.retiring.try_join_next().is_some() {}
        let is_paused = self.paused_until.is_some_and(|end| Instant::now() < end);
        let wants_system = !is_paused
            && match self.choice {
                Responder::Embedded => false,
                Responder::Automatic => self.multicast.is_none(),
                Responder::System => !self.is_spoken_for(),
            };
        if wants_system && self.system.is_none() {
            self.system = Some(system::Watch::new(self.site.clone()));
        }
        if self.multicast.is_some() || is_paused {
            return;
        }
        // The system's own is given the time to answer.
        let waits = self.system.as_ref().is_some_and(system::Watch::is_waiting);
        if waits && self.choice == Responder::System {
            return;
        }
        let started = self.start_embedded();
        if let Err(error) = started {
            self.problems.push_back(DiscoveryProblem::Responder { error });
        }
        if self.multicast.is_none() && !waits && !std::mem::replace(&mut self.reported_port, true) {
            self.problems.push_back(DiscoveryProblem::PortHeld);
        }
    }

    fn handle_system(&mut self, change: system::Change) {
        match change {
            system::Change::Came(responder) => {
                if self.choice == Responder::System || self.multicast.is_none() {
                    self.take(Way::SystemResponder, responder);
                }
            }
            system::Change::Went => {
                if self.is_spoken_for() {
                    self.give_up();
                }
                self.look_for_responder();
            }
        }
    }

    /// Takes note of what is told.
    fn note(&mut self, event: &DiscoveryEvent) {
        let own = self.announcement.as_ref().map(|own| own.peer);
        if let DiscoveryEvent::Found { addresses, way, announcement } = event
            && own != Some(announcement.peer)
        {
            self.self_check.heard(addresses, matches!(way, Way::Mdns | Way::SystemResponder));
        }
        match event {
            DiscoveryEvent::Found {
                announcement,
                addresses,
                way: Way::Mdns | Way::SystemResponder,
            } => {
                if self.heard.len() < MAX_HEARD {
                    self.heard.insert(announcement.peer);
                }
                if let Some(questions) =
                    self.questions.as_mut().filter(|_| own != Some(announcement.peer))
                {
                    questions.heard(addresses);
                }
            }
            DiscoveryEvent::Gone { peer, way: Way::Mdns | Way::SystemResponder } => {
                self.heard.remove(peer);
            }
            DiscoveryEvent::Problem(DiscoveryProblem::Flooded) => {
                // With the responder goes what it has in its memory.
                self.paused_until = Some(Instant::now() + FLOOD_PAUSE);
                self.give_up();
            }
            DiscoveryEvent::Problem(DiscoveryProblem::Responder { .. }) if self.is_spoken_for() => {
                // It does not do what it is asked. Should it be started anew, it is asked again.
                self.give_up();
                self.look_for_responder();
            }
            _ => {}
        }
    }

    async fn happens(&mut self) -> Happened {
        let multicast = async {
            match &mut self.multicast {
                Some((_, responder)) => responder.next().await,
                None => std::future::pending().await,
            }
        };
        let questions = async {
            match &mut self.questions {
                Some(questions) => questions.next().await,
                None => std::future::pending().await,
            }
        };
        let system = async {
            match &mut self.system {
                Some(watch) => watch.next().await,
                None => std::future::pending().await,
            }
        };
        let stale = self.stale.front().map(|(at, ..)| *at);
        tokio::select! {
            event = multicast => Happened::Event(event),
            event = questions => Happened::Event(event),
            change = system => Happened::System(change),
            () = until(stale) => Happened::Stale,
            finding = self.self_check.next() => Happened::Finding(finding),
            _ = self.retry.tick() => Happened::Retry,
        }
    }

    async fn next_event(&mut self) -> DiscoveryEvent {
        loop {
            if let Some(problem) = self.problems.pop_front() {
                return DiscoveryEvent::Problem(problem);
            }
            match self.happens().await {
                Happened::Event(event) => {
                    self.note(&event);
                    return event;
                }
                Happened::System(change) => self.handle_system(change),
                Happened::Stale => {
                    let Some((_, way, peer)) = self.stale.pop_front() else { continue };
                    let is_heard = self.heard.contains(&peer)
                        && self.multicast.as_ref().is_some_and(|(present, _)| *present == way);
                    if !is_heard {
                        return DiscoveryEvent::Gone { peer, way };
                    }
                }
                Happened::Finding(Finding::Problem(problem)) => {
                    warn!("{problem}");
                    return DiscoveryEvent::Problem(problem);
                }
                Happened::Finding(Finding::Clear) => {
                    // The network is back: ask at once who is there.
                    if let Some((_, responder)) = self.multicast.as_mut().filter(|_| self.browsing)
                    {
                        responder.browse(true);
                    }
                }
                Happened::Retry => self.look_for_responder(),
            }
        }
    }

    fn responder(&mut self) -> Option<&mut Box<dyn Discovery>> {
        self.multicast.as_mut().map(|(_, responder)| responder)
    }
}

impl Discovery for Local {
    fn announce(&mut self, announcement: &Announcement) {
        self.announcement = Some(announcement.clone());
        if let Some(responder) = self.responder() {
            responder.announce(announcement);
        }
        if let Some(questions) = &mut self.questions {
            questions.announce(announcement);
        }
    }

    fn move_to(&mut self, port: u16, addresses: Vec<SocketAddr>) {
        (self.site.port, self.site.addresses) = (port, addresses.clone());
        if let Some(system) = &mut self.system {
            system.move_to(port);
        }
        if let Some(responder) = self.responder() {
            responder.move_to(port, addresses.clone());
        }
        if let Some(questions) = &mut self.questions {
            questions.move_to(port, addresses);
        }
    }

    fn look_at_networks(&mut self) {
        if let Some(questions) = &mut self.questions {
            questions.look_at_networks();
        }
    }

    fn look(&mut self) {
        (self.looking, self.browsing) = (true, true);
        self.self_check.begin();
        if let Some(responder) = self.responder() {
            responder.look();
        }
        if let Some(questions) = &mut self.questions {
            questions.look();
        }
    }

    fn browse(&mut self, browse: bool) {
        self.browsing = browse;
        if browse {
            self.self_check.begin();
        } else {
            self.self_check.end();
        }
        if let Some(responder) = self.responder() {
            responder.browse(browse);
        }
        if let Some(questions) = &mut self.questions {
            questions.browse(browse);
        }
    }

    fn stop(&mut self) {
        (self.looking, self.browsing) = (false, false);
        self.self_check.end();
        self.heard.clear();
        self.stale.clear();
        if let Some(responder) = self.responder() {
            responder.stop();
        }
        if let Some(questions) = &mut self.questions {
            questions.stop();
        }
    }

    fn verify(&mut self, peer: PeerId) {
        if let Some(responder) = self.responder() {
            responder.verify(peer);
        }
        if let Some(questions) = &mut self.questions {
            questions.verify(peer);
        }
    }

    fn next(&mut self) -> BoxFuture<'_, DiscoveryEvent> {
        self.next_event().boxed()
    }

    fn shutdown(&mut self) -> BoxFuture<'_, ()> {
        async {
            self.stop();
            if let Some((_, mut responder)) = self.multicast.take() {
                responder.shutdown().await;
            }
            while self.retiring.join_next().await.is_some() {}
        }
        .boxed()
    }
}
