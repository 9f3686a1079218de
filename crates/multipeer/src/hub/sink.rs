//! A relay at which nobody is: what is sent there is dropped.

use std::sync::Arc;

use iroh::PublicKey;
use iroh_relay::server::{Access, AccessControl, ClientRequest, http_server::RelayService};
use multipeer_proto::PeerId;
use tokio::{net::TcpStream, sync::Notify};

use super::relay::{ESTABLISH_TIMEOUT, service};

/// Takes the place of a hub that is nowhere, for one endpoint.
#[derive(Clone)]
pub(crate) struct Sink {
    service: RelayService,
    own: PublicKey,
    taken: Arc<Notify>,
}

/// Lets this peer in, and no other program of this machine.
#[derive(Debug)]
struct OnlyFor {
    own: PublicKey,
    taken: Arc<Notify>,
}

impl AccessControl for OnlyFor {
    async fn on_connect(&self, request: &ClientRequest) -> Access {
        if request.endpoint_id() != self.own {
            return Access::Deny { reason: Some("this is no relay for others".to_owned()) };
        }
        self.taken.notify_one();
        Access::Allow
    }
}

impl Sink {
    pub(crate) fn new(own: PeerId) -> Result<Self, String> {
        let own = PublicKey::from_bytes(own.as_bytes()).map_err(|error| error.to_string())?;
        let taken = Arc::new(Notify::new());
        let service = service(OnlyFor { own, taken: taken.clone() }, None, 0);
        Ok(Self { service, own, taken })
    }

    /// Takes what comes in this connection until it is let go.
    pub(crate) async fn swallow(&self, stream: TcpStream) {
        self.service.clone().handle_connection(stream, None, ESTABLISH_TIMEOUT).await;
    }

    /// Waits until a connection has come.
    pub(crate) async fn taken(&self) {
        self.taken.notified().await;
    }

    /// Ends all connections.
    pub(crate) fn let_go(&self) {
        self.service.clients().disconnect(self.own, None);
    }

    pub(crate) async fn shutdown(&self) {
        self.service.shutdown().await;
    }
}
