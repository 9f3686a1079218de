//! The relay at which this peer waits for links, and the relays that it knows of.

use std::{net::SocketAddr, sync::Arc};

use iroh::{Endpoint, RelayConfig, RelayUrl, TransportAddr};
use multipeer_proto::Relay;
use tokio::sync::watch;

use super::driver::Driver;

/// Tells the task that has the endpoint wait at a relay.
#[derive(Default)]
pub(super) struct Home(Option<watch::Sender<Option<RelayUrl>>>);

/// A relay's address as iroh names it. It is not HTTPS: whom a relay serves has shown its key, and what it
/// moves is encrypted.
pub(super) fn relay_url(relay: Relay) -> Option<RelayUrl> {
    format!("http://{}", relay.address).parse().ok()
}

/// The address of a relay that was named so.
pub(crate) fn relay_address(url: &RelayUrl) -> Option<SocketAddr> {
    let host = url.host_str()?.trim_matches(['[', ']']);
    // A URL leaves out the port that is usual.
    Some(SocketAddr::new(host.parse().ok()?, url.port_or_known_default()?))
}

impl Driver {
    /// Waits for links at this relay from now on, and at no other.
    pub(super) fn use_relay(&mut self, relay: Option<Relay>) {
        if let Some(relay) = relay {
            self.shared.relays.note(relay);
        }
        let url = relay.and_then(relay_url);
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
        relays.iter().for_each(|&relay| self.shared.relays.note(relay));
        let urls = relays.iter().copied().filter_map(relay_url);
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

#[cfg(test)]
mod tests {
    use multipeer_proto::PeerId;

    use super::*;

    #[test]
    fn a_relay_is_known_again_by_its_url() {
        let hub = PeerId::from_bytes([7; 32]);
        for address in ["192.0.2.1:3340", "[2001:db8::1]:3340", "192.0.2.1:80"] {
            let address = address.parse().unwrap();
            let url = relay_url(Relay { hub, address }).unwrap();
            assert_eq!(relay_address(&url), Some(address), "{url}");
        }
    }
}
