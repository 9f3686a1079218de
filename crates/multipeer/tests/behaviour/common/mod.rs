//! What every behaviour test uses: sessions on the loopback interface that find each other within
//! the process, and events that are waited for.

pub(crate) mod transfers;

use std::time::Duration;

use bytes::Bytes;
use multipeer::{Event, Events, Peer, PeerId, Session, SessionBuilder, discovery::Neighbourhood};
use tokio::time::{sleep, timeout};

/// How long anything may take before the test fails. Far longer than it does take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until something holds of which no single event tells.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let look = async {
        while !holds() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("waited until {what}"));
}

/// Sessions that find each other, and nobody else.
#[derive(Clone, Default)]
pub(crate) struct Place {
    pub(crate) neighbourhood: Neighbourhood,
}

impl Place {
    /// Settings for a session here. Nothing of it leaves the loopback interface.
    pub(crate) fn builder(&self, name: &str) -> SessionBuilder {
        Session::builder("test", name).interfaces(["lo"]).discovery(self.neighbourhood.clone())
    }

    pub(crate) async fn start(&self, name: &str) -> Host {
        Host::start(self.builder(name)).await
    }

    /// Two sessions that are connected.
    pub(crate) async fn pair(&self) -> (Host, Host) {
        let mut alice = self.start("Alice").await;
        let mut bob = self.start("Bob").await;
        alice.connected_to(&bob).await;
        bob.connected_to(&alice).await;
        (alice, bob)
    }
}

/// A session and its events.
pub(crate) struct Host {
    pub(crate) session: Session,
    pub(crate) events: Events,
}

impl Host {
    pub(crate) async fn start(builder: SessionBuilder) -> Self {
        // `MULTIPEER_LOG=multipeer=debug cargo test ... -- --nocapture` shows what sessions do.
        let filter = tracing_subscriber::EnvFilter::from_env("MULTIPEER_LOG");
        _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let session = builder.start().await.unwrap();
        let events = session.events();
        Self { session, events }
    }

    pub(crate) fn id(&self) -> PeerId {
        self.session.id()
    }

    /// The next event, whatever it is.
    pub(crate) async fn next(&mut self) -> Event {
        timeout(PATIENCE, self.events.next())
            .await
            .unwrap_or_else(|_| panic!("{:?}: nothing happened", self.session))
            .unwrap_or_else(|| panic!("{:?}: the events ended", self.session))
    }

    /// Waits for an event that `pick` takes, and passes over the others.
    pub(crate) async fn wait<T>(
        &mut self,
        what: &str,
        mut pick: impl FnMut(Event) -> Option<T>,
    ) -> T {
        let mut seen = Vec::new();
        loop {
            let event = timeout(PATIENCE, self.events.next()).await;
            let Ok(Some(event)) = event else {
                panic!("{:?}: waited for {what} and saw {seen:#?}", self.session)
            };
            seen.push(format!("{event:?}"));
            if let Some(picked) = pick(event) {
                return picked;
            }
        }
    }

    pub(crate) async fn connected_to(&mut self, other: &Host) -> Peer {
        let (id, session) = (other.id(), self.session.clone());
        self.wait("a connection", |event| match event {
            Event::PeerConnected(peer) if peer.id == id => {
                // Whoever learns of it and looks, sees it.
                assert!(session.peers().contains(&peer), "{session:?} does not list {peer}");
                Some(peer)
            }
            _ => None,
        })
        .await
    }

    pub(crate) async fn found(&mut self, other: &Host) -> Peer {
        let id = other.id();
        self.wait("a discovery", |event| match event {
            Event::PeerFound(peer) if peer.id == id => Some(peer),
            _ => None,
        })
        .await
    }

    /// The next message.
    pub(crate) async fn data(&mut self) -> Bytes {
        self.wait("a message", |event| match event {
            Event::Message { data, .. } => Some(data),
            _ => None,
        })
        .await
    }

    /// The next message, as text.
    pub(crate) async fn message(&mut self) -> String {
        String::from_utf8_lossy(&self.data().await).into_owned()
    }

    pub(crate) async fn disconnected(&mut self) -> (Peer, String) {
        self.wait("a disconnection", |event| match event {
            Event::PeerDisconnected { peer, reason, .. } => {
                Some((peer, reason.as_str().to_owned()))
            }
            _ => None,
        })
        .await
    }

    /// Everything that is there already.
    pub(crate) fn drain(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.events.try_next()).collect()
    }
}
