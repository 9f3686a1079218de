//! Another id from time to time, for who announces privately.

use std::time::Duration;

use multipeer_proto::{Command, Input};
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::{
    driver::{CLOSE_TIMEOUT, Driver},
    endpoint,
};
use crate::{config::incarnation, discovery, identity::Identity};

/// Pause until the next look when the session had something to do, or there was no socket.
const PAUSE: Duration = Duration::from_secs(5);

/// When the id is renewed, and how.
pub(crate) struct Renewal {
    every: Duration,
    at: Instant,
}

impl Renewal {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, at: Instant::now() + every }
    }

    pub(super) fn at(&self) -> Instant {
        self.at
    }
}

impl Driver {
    /// Takes another key and another port, if nobody is linked with this peer. What was announced is
    /// withdrawn, and announced anew under names that have nothing in common with it.
    pub(super) async fn renew(&mut self) {
        let Some(renewal) = &mut self.renewal else { return };
        renewal.at = Instant::now() + PAUSE;
        if !self.session.is_idle() {
            return;
        }
        let identity = Identity::generate();
        let endpoint = match endpoint::bind(&identity, self.interfaces.names(), None).await {
            Ok(endpoint) => endpoint,
            Err(error) => return debug!(%error, "the id is not renewed"),
        };
        renewal.at = Instant::now() + renewal.every;
        let former = std::mem::replace(&mut self.endpoint, endpoint);
        self.forget_home();
        let relays = self.shared.relays.shutdown();
        discovery::retire(self.session.id());
        let (port, addresses) = endpoint::whereabouts(&self.endpoint, &self.interfaces);
        self.discovery.stop();
        self.discovery.move_to(port, addresses.clone());
        self.addresses = endpoint::addresses(&self.endpoint);
        self.moved(addresses);
        let keys = identity.keys();
        self.handle(Input::Command(Command::Renew { keys, incarnation: incarnation() }));
        self.port = port;
        self.publish_view();
        if self.session.is_looking() {
            self.discovery.look();
        }
        self.tasks.spawn(async move {
            _ = timeout(CLOSE_TIMEOUT, former.close()).await;
            _ = timeout(CLOSE_TIMEOUT, relays).await;
        });
    }
}
