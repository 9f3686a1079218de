//! Discovery within one process, for tests: no network, no waiting, and lies on demand.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::{BoxFuture, FutureExt};
use multipeer_proto::{PeerId, ServiceType, Way};
use tokio::sync::mpsc;

use super::{Announcement, Discovery, DiscoveryError, DiscoveryEvent, Provider, Site};

/// Sessions of one process that were given the same neighbourhood find each other, and nobody
/// else. For tests.
///
/// ```
/// # async fn run() -> Result<(), multipeer::StartError> {
/// use multipeer::{Session, discovery::Neighbourhood};
///
/// let neighbourhood = Neighbourhood::default();
/// let start = |name| {
///     Session::builder("test", name).interfaces(["lo"]).discovery(neighbourhood.clone()).start()
/// };
/// let (alice, bob) = (start("Alice").await?, start("Bob").await?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Neighbourhood(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    announced: BTreeMap<(ServiceType, PeerId), (Announcement, Vec<SocketAddr>)>,
    listeners: Vec<(ServiceType, mpsc::UnboundedSender<DiscoveryEvent>)>,
}

impl State {
    fn tell(&mut self, service: &ServiceType, event: &DiscoveryEvent) {
        self.listeners
            .retain(|(of, listener)| of != service || listener.send(event.clone()).is_ok());
    }
}

impl Neighbourhood {
    /// Announces a peer that does not exist, or says something false of one that does.
    pub fn forge(
        &self,
        service: &ServiceType,
        announcement: Announcement,
        addresses: Vec<SocketAddr>,
    ) {
        let mut state = self.state();
        let key = (service.clone(), announcement.peer);
        state.announced.insert(key, (announcement.clone(), addresses.clone()));
        state.tell(service, &DiscoveryEvent::Found { announcement, addresses, way: Way::Mdns });
    }

    /// Withdraws an announcement, as if a cache had lost it.
    pub fn withdraw(&self, service: &ServiceType, peer: PeerId) {
        let mut state = self.state();
        if state.announced.remove(&(service.clone(), peer)).is_some() {
            state.tell(service, &DiscoveryEvent::Gone { peer, way: Way::Mdns });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Provider for Neighbourhood {
    fn start(&self, site: Site) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let (sender, events) = mpsc::unbounded_channel();
        Ok(Box::new(Neighbour {
            neighbourhood: self.clone(),
            site,
            announcement: None,
            looking: false,
            sender,
            events,
        }))
    }
}

struct Neighbour {
    neighbourhood: Neighbourhood,
    site: Site,
    announcement: Option<Announcement>,
    looking: bool,
    sender: mpsc::UnboundedSender<DiscoveryEvent>,
    events: mpsc::UnboundedReceiver<DiscoveryEvent>,
}

impl Discovery for Neighbour {
    fn announce(&mut self, announcement: &Announcement) {
        self.announcement = Some(announcement.clone());
        if self.looking {
            let addresses = self.site.addresses.clone();
            self.neighbourhood.forge(&self.site.service, announcement.clone(), addresses);
        }
    }

    fn move_to(&mut self, port: u16, addresses: Vec<SocketAddr>) {
        (self.site.port, self.site.addresses) = (port, addresses);
    }

    fn look(&mut self) {
        self.looking = true;
        let service = self.site.service.clone();
        let mut state = self.neighbourhood.state();
        for ((of, _), (announcement, addresses)) in &state.announced {
            if *of == service {
                let (announcement, addresses) = (announcement.clone(), addresses.clone());
                _ = self.sender.send(DiscoveryEvent::Found {
                    announcement,
                    addresses,
                    way: Way::Mdns,
                });
            }
        }
        state.listeners.push((service, self.sender.clone()));
        drop(state);
        if let Some(announcement) = self.announcement.clone() {
            self.announce(&announcement);
        }
    }

    fn stop(&mut self) {
        self.looking = false;
        self.neighbourhood.state().listeners.retain(|(_, l)| !l.same_channel(&self.sender));
        if let Some(announcement) = &self.announcement {
            self.neighbourhood.withdraw(&self.site.service, announcement.peer);
        }
    }

    fn verify(&mut self, peer: PeerId) {
        let state = self.neighbourhood.state();
        let event = match state.announced.get(&(self.site.service.clone(), peer)) {
            Some((announcement, addresses)) => DiscoveryEvent::Found {
                announcement: announcement.clone(),
                addresses: addresses.clone(),
                way: Way::Mdns,
            },
            None => DiscoveryEvent::Gone { peer, way: Way::Mdns },
        };
        _ = self.sender.send(event);
    }

    fn next(&mut self) -> BoxFuture<'_, DiscoveryEvent> {
        async {
            match self.events.recv().await {
                Some(event) => event,
                // This side holds a sender, so the channel stays open.
                None => std::future::pending().await,
            }
        }
        .boxed()
    }

    fn shutdown(&mut self) -> BoxFuture<'_, ()> {
        self.stop();
        std::future::ready(()).boxed()
    }
}
