//! The relays of hubs, by the addresses at which iroh finds them.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use iroh::RelayUrl;
use multipeer_proto::{PeerId, Relay, limits::MAX_RELAYS};
use tracing::warn;

use crate::hub::Forwarder;

/// Hubs whose addresses are kept. One that is away keeps its own, as iroh keeps sending there; when there are too
/// many, that of the hub that was away for longest gets another's.
const MAX_KEPT: usize = 4 * MAX_RELAYS;

struct Kept {
    hub: PeerId,
    forwarder: Forwarder,
}

/// Those used last come first.
#[derive(Default)]
pub(crate) struct Relays(Mutex<VecDeque<Kept>>);

impl Relays {
    fn kept(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These hubs, no more than [`MAX_RELAYS`], are where they say, and no others are anywhere.
    pub(super) fn use_only(&self, own: PeerId, relays: &[Relay]) {
        let mut kept = self.kept();
        let used = |kept: &Kept| relays.iter().any(|relay| relay.hub == kept.hub);
        let (mut first, mut rest): (VecDeque<Kept>, VecDeque<Kept>) =
            kept.drain(..).partition(used);
        for Relay { hub, .. } in relays {
            if first.iter().any(|kept| kept.hub == *hub) {
                continue;
            }
            let is_full = first.len() + rest.len() >= MAX_KEPT;
            let former = if is_full { rest.pop_back() } else { None };
            let forwarder = former.map_or_else(|| Forwarder::start(own), |kept| Ok(kept.forwarder));
            match forwarder {
                Ok(forwarder) => first.push_front(Kept { hub: *hub, forwarder }),
                Err(error) => warn!(hub = %hub.short(), %error, "its relay cannot be used"),
            }
        }
        first.append(&mut rest);
        for Kept { hub, forwarder } in &first {
            let relay = relays.iter().find(|relay| relay.hub == *hub);
            forwarder.lead_to(relay.map(|relay| relay.address));
        }
        *kept = first;
    }

    /// Where iroh finds the relay of a hub that was used. It is not HTTPS: whom a relay serves has shown its key, and
    /// what it moves is encrypted.
    pub(super) fn url(&self, hub: PeerId) -> Option<RelayUrl> {
        let kept = self.kept();
        let forwarder = &kept.iter().find(|kept| kept.hub == hub)?.forwarder;
        format!("http://127.0.0.1:{}", forwarder.port()).parse().ok()
    }

    /// Whose relay is there.
    pub(crate) fn hub_at(&self, url: &RelayUrl) -> Option<PeerId> {
        let port = url.port()?;
        self.kept().iter().find(|kept| kept.forwarder.port() == port).map(|kept| kept.hub)
    }

    /// Forgets them all, as the endpoint that knew them goes; they have ended when what is returned has.
    pub(super) fn shutdown(&self) -> impl Future<Output = ()> + use<> {
        let all = std::mem::take(&mut *self.kept());
        async {
            for Kept { forwarder, .. } in all {
                forwarder.shutdown().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Identity;

    fn hub(number: u8) -> PeerId {
        PeerId::from_bytes([number; 32])
    }

    #[tokio::test]
    async fn a_hub_keeps_its_address_until_too_many_others_have_come() {
        let own = Identity::generate().peer_id();
        let relays = Relays::default();
        let use_hub = |number: u8| {
            let address = ([192, 0, 2, number], 3340).into();
            relays.use_only(own, &[Relay { hub: hub(number), address }]);
            relays.url(hub(number)).unwrap()
        };
        let many = u8::try_from(MAX_KEPT).unwrap();
        let urls: Vec<RelayUrl> = (0..many).map(use_hub).collect();
        assert_eq!(relays.hub_at(&urls[0]), Some(hub(0)), "it is kept while it is away");
        assert_eq!(use_hub(0), urls[0], "it has the same one when it is back");
        assert_eq!(use_hub(many), urls[1], "1 was away for longest");
        assert_eq!(relays.url(hub(1)), None);
        assert_eq!(relays.hub_at(&urls[1]), Some(hub(many)));
        relays.shutdown().await;
        assert_eq!(relays.url(hub(0)), None);
    }
}
