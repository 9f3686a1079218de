//! The relay at which this peer waits for links, and those through which it dials.

use std::sync::Arc;

use iroh::{Endpoint, RelayConfig, RelayUrl, TransportAddr};
use multipeer_proto::Relay;
use tokio::sync::watch;

use super::driver::Driver;

/// Tells the task that has the endpoint wait at a relay.
#[derive(Default)]
pub(super) struct Home(Option<watch::Sender<Option<RelayUrl>>>);

impl Driver {
    /// Uses these relays from now on, and no others, and waits for links at the first.
    pub(super) fn use_relays(&mut self, relays: &[Relay]) {
        self.shared.relays.use_only(self.session.id(), relays);
        let url = relays.first().and_then(|home| self.shared.relays.url(home.hub));
        if let Some(home) = &self.home.0 {
            _ = home.send(url);
            return;
        }
        let (sender, urls) = watch::channel(url);
        self.home.0 = Some(sender);
        self.tasks.spawn(wait_at(self.endpoint.clone(), urls));
    }

    /// Relays, if this is a hub, for those who are in the session now.
    pub(super) fn serve(&self) {
        if let Some(relay) = &self.relay {
            relay.serve(self.session.served());
        }
    }

    /// The endpoint was replaced: the new one waits nowhere.
    pub(super) fn forget_home(&mut self) {
        self.home = Home::default();
    }

    /// The relays as addresses to dial.
    pub(super) fn through(&self, relays: &[Relay]) -> Vec<TransportAddr> {
        let urls = relays.iter().filter_map(|relay| self.shared.relays.url(relay.hub));
        urls.map(TransportAddr::Relay).collect()
    }
}

/// Has the endpoint wait at the relay that was named last, and at no other.
async fn wait_at(endpoint: Endpoint, mut urls: watch::Receiver<Option<RelayUrl>>) {
    let mut present: Option<RelayUrl> = None;
    loop {
        let wanted = urls.borrow_and_update().clone();
        if wanted != present {
            if let Some(former) = present.take() {
                endpoint.remove_relay(&former).await;
            }
            if let Some(url) = wanted.clone() {
                let config = Arc::new(RelayConfig::new(url.clone(), None));
                endpoint.insert_relay(url, config).await;
            }
            present = wanted;
        }
        if urls.changed().await.is_err() {
            return;
        }
    }
}
