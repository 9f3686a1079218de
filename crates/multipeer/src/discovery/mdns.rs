//! Discovery with DNS-SD over multicast DNS (RFC 6762, RFC 6763), by the responder that is
//! embedded: mdns-sd.
//!
//! What was learnt of it, and decides the shape of this file: instance names are no key (a name
//! that collides is renamed for each interface, so one name may stand for two peers); "resolved"
//! means found, with or without a "found" before it, and perhaps with the addresses of one family
//! only; "removed" is a hint, and after it the instance is not asked for again unless browsing
//! begins anew; a publisher that was killed stays listed until `verify` asks for it.

use std::{
    collections::{BTreeMap, HashMap},
    net::{SocketAddr, SocketAddrV6},
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt};
use mdns_sd::{
    IfKind, IfPredicate, Receiver, ResolvedService, ScopedIp, ServiceDaemon, ServiceEvent,
    ServiceInfo,
};
use multipeer_proto::{PeerId, Way};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{debug, warn};

use super::{
    Announcement, Discovery, DiscoveryError, DiscoveryEvent, DiscoveryProblem, Provider, Site,
    until,
};

/// Time for a peer to answer when its presence is in doubt. RFC 6762, section 10.4 allows ten
/// seconds; the session wants to know sooner, and asks twice within this.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(3);
/// Pause between two looks of the responder at the machine's interfaces, in seconds; it takes no less. Who comes to
/// another network is not found there before.
const INTERFACE_CHECK_SECONDS: u32 = 1;
/// Pause between two looks at how the responder fares.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// Pause before an announcement is repeated: whoever missed the first hears the second (RFC 6762, section 8.3). mdns-sd
/// 0.21 does so by itself for names without a capital only.
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(1);
/// Pause between two browses that doubts bring about: each costs a multicast query.
const BROWSE_PAUSE: Duration = Duration::from_millis(500);
/// Instances that are remembered, at most. What comes beyond that is still reported, but its
/// removal is not noticed.
const MAX_INSTANCES: usize = 2048;
/// Records that the responder may keep: it has no limit of its own, and whoever is on the network can make some up. Each
/// peer takes some four for each interface.
const MAX_RECORDS: i64 = 16_384;
/// Time for goodbyes to be sent.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// DNS-SD over multicast DNS, on every usable interface or on those that are given.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Mdns;

impl Provider for Mdns {
    fn start(&self, site: Site) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let daemon = ServiceDaemon::new().map_err(|error| error.to_string())?;
        // The responder carries out commands in order: nothing is sent on other interfaces.
        let restrict = || {
            daemon.set_ip_check_interval(INTERFACE_CHECK_SECONDS)?;
            daemon.disable_interface(IfKind::All)?;
            let interfaces = site.interfaces.clone();
            let wanted = IfPredicate::new(move |interface| interfaces.includes(interface));
            daemon.enable_interface(IfKind::Predicate(wanted))
        };
        restrict().map_err(|error| error.to_string())?;
        let mut check = interval(CHECK_INTERVAL);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Box::new(Responder {
            daemon,
            service: format!("_{}._udp.local.", site.service),
            site,
            announcement: None,
            registered: None,
            browsing: None,
            instances: BTreeMap::new(),
            browse_again_at: None,
            announce_again_at: None,
            check,
            problems: Vec::new(),
            counts: None,
        }))
    }
}

struct Responder {
    daemon: ServiceDaemon,
    /// The service type with its domain.
    service: String,
    site: Site,
    announcement: Option<Announcement>,
    /// The full name under which this peer is announced.
    registered: Option<String>,
    browsing: Option<Receiver<ServiceEvent>>,
    /// Which peer each instance name was last seen to stand for. Not a key to anything: only to
    /// know whose presence is in doubt when a name goes.
    instances: BTreeMap<String, PeerId>,
    browse_again_at: Option<Instant>,
    announce_again_at: Option<Instant>,
    check: tokio::time::Interval,
    problems: Vec<DiscoveryProblem>,
    /// How many records the responder keeps, when it has counted them.
    counts: Option<Receiver<HashMap<String, i64>>>,
}

impl Responder {
    fn register(&mut self) -> mdns_sd::Result<()> {
        let Some(announcement) = &self.announcement else {
            return Ok(());
        };
        let id = announcement.peer.to_string();
        // Unique, so that addresses of two peers on one machine are never mixed up.
        let host = format!("{}.local.", &id[..32]);
        let mut service = ServiceInfo::new(
            &self.service,
            &announcement.instance_name(),
            &host,
            "",
            self.site.port,
            &announcement.to_txt()[..],
        )?
        .enable_addr_auto();
        // Both names contain enough of the public key to be unique; a probe would only delay.
        service.set_requires_probe(false);
        let name = service.get_fullname().to_owned();
        self.daemon.register(service)?;
        self.registered = Some(name);
        self.announce_again_at = Some(Instant::now() + ANNOUNCE_AGAIN);
        Ok(())
    }

    fn begin_browsing(&mut self) -> mdns_sd::Result<()> {
        self.browse_again_at = None;
        self.browsing = Some(self.daemon.browse(&self.service)?);
        Ok(())
    }

    fn stop_browsing(&mut self) -> mdns_sd::Result<()> {
        self.browsing = None;
        self.browse_again_at = None;
        self.instances.clear();
        self.daemon.stop_browse(&self.service)
    }

    fn note(&mut self, result: mdns_sd::Result<()>) {
        if let Err(error) = result {
            self.problems.push(DiscoveryProblem::Responder { error: error.to_string() });
        }
    }

    fn handle(&mut self, event: ServiceEvent) -> Option<DiscoveryEvent> {
        match event {
            ServiceEvent::ServiceResolved(service) => self.resolved(&service),
            ServiceEvent::ServiceRemoved(_, name) => {
                let peer = self.instances.remove(&name)?;
                Some(DiscoveryEvent::Gone { peer, way: Way::Mdns })
            }
            _ => None,
        }
    }

    fn resolved(&mut self, service: &ResolvedService) -> Option<DiscoveryEvent> {
        let strings = service.txt_properties.iter();
        let strings = strings.map(|p| (p.key(), p.val().unwrap_or_default()));
        let announcement = match Announcement::from_txt(strings) {
            Ok(announcement) => announcement,
            Err(error) => {
                debug!(instance = service.fullname, %error, "ignored a record");
                return None;
            }
        };
        let known = self.instances.contains_key(&service.fullname);
        if known || self.instances.len() < MAX_INSTANCES {
            self.instances.insert(service.fullname.clone(), announcement.peer);
        }
        let addresses = service.addresses.iter().map(|ip| with_port(ip, service.port)).collect();
        Some(DiscoveryEvent::Found { announcement, addresses, way: Way::Mdns })
    }

    async fn next_event(&mut self) -> DiscoveryEvent {
        loop {
            if let Some(problem) = self.problems.pop() {
                warn!("{problem}");
                return DiscoveryEvent::Problem(problem);
            }
            let browse_again_at = self.browse_again_at;
            let browsing = self.browsing.as_ref();
            let event = async {
                match browsing {
                    Some(browsing) => browsing.recv_async().await.ok(),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = event => {
                    let Some(event) = event else {
                        // The responder drops a listener that falls behind.
                        let browsed = self.begin_browsing();
                        if browsed.is_err() {
                            self.browsing = None;
                        }
                        self.note(browsed);
                        continue;
                    };
                    if let Some(event) = self.handle(event) {
                        return event;
                    }
                }
                () = until(browse_again_at) => {
                    let browsed = self.begin_browsing();
                    self.note(browsed);
                }
                () = until(self.announce_again_at) => {
                    let again = self.register();
                    self.announce_again_at = None;
                    self.note(again);
                }
                count = counted(self.counts.as_ref()) => {
                    self.counts = None;
                    if count > MAX_RECORDS {
                        self.problems.push(DiscoveryProblem::Flooded);
                    }
                }
                _ = self.check.tick() => self.counts = self.daemon.get_metrics().ok(),
            }
        }
    }
}

impl Discovery for Responder {
    fn announce(&mut self, announcement: &Announcement) {
        self.announcement = Some(announcement.clone());
        if self.registered.is_some() {
            let registered = self.register();
            self.note(registered);
        }
    }

    fn move_to(&mut self, port: u16, addresses: Vec<SocketAddr>) {
        (self.site.port, self.site.addresses) = (port, addresses);
    }

    fn look(&mut self) {
        let begun = self.register().and_then(|()| self.begin_browsing());
        self.note(begun);
    }

    fn browse(&mut self, browse: bool) {
        let done = if browse { self.begin_browsing() } else { self.stop_browsing() };
        self.note(done);
    }

    fn stop(&mut self) {
        let stopped = self.stop_browsing().and_then(|()| match self.registered.take() {
            Some(name) => {
                self.announce_again_at = None;
                self.daemon.unregister(&name).map(drop)
            }
            None => Ok(()),
        });
        self.note(stopped);
    }

    fn verify(&mut self, peer: PeerId) {
        if self.browsing.is_none() {
            return;
        }
        let names = self.instances.iter().filter(|(_, of)| **of == peer).map(|(name, _)| name);
        let names: Vec<String> = names.cloned().collect();
        if names.is_empty() {
            // Not in the responder's cache any more, so there is nothing that it could verify:
            // ask everybody.
            self.browse_again_at.get_or_insert(Instant::now() + BROWSE_PAUSE.mul_f32(0.1));
        }
        for name in names {
            let asked = self.daemon.verify(name, VERIFY_TIMEOUT);
            self.note(asked);
        }
    }

    fn next(&mut self) -> BoxFuture<'_, DiscoveryEvent> {
        self.next_event().boxed()
    }

    fn shutdown(&mut self) -> BoxFuture<'_, ()> {
        async {
            self.stop();
            if let Ok(done) = self.daemon.shutdown() {
                _ = timeout(SHUTDOWN_TIMEOUT, done.recv_async()).await;
            }
        }
        .boxed()
    }
}

/// How many records there are, by the responder's count.
async fn counted(counts: Option<&Receiver<HashMap<String, i64>>>) -> i64 {
    let Some(counts) = counts else { return std::future::pending().await };
    let counts = counts.recv_async().await.unwrap_or_default();
    counts.iter().filter(|(what, _)| what.starts_with("cached-")).map(|(_, count)| count).sum()
}

fn with_port(ip: &ScopedIp, port: u16) -> SocketAddr {
    match ip {
        ScopedIp::V6(v6) if v6.addr().is_unicast_link_local() => {
            SocketAddrV6::new(*v6.addr(), port, 0, v6.scope_id().index).into()
        }
        ip => SocketAddr::new(ip.to_ip_addr(), port),
    }
}
