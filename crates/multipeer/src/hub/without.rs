//! In a build without the feature `hub` nobody can be one.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use multipeer_proto::PeerId;
use tokio::{
    io::{copy, sink},
    net::TcpStream,
    sync::Notify,
};

use super::HubLimits;
use crate::error::StartError;

/// There is none.
pub(crate) enum RelayServer {}

impl RelayServer {
    pub(crate) fn start(_: &BTreeSet<IpAddr>, _: u16, _: HubLimits) -> Result<Self, StartError> {
        let error = "this program was built without the feature `hub`".to_owned();
        Err(StartError::Relay { error })
    }

    pub(crate) fn port(&self) -> u16 {
        match *self {}
    }

    pub(crate) fn serve(&self, _: impl Iterator<Item = PeerId>) {
        match *self {}
    }

    #[allow(clippy::unused_async)] // As its counterpart.
    pub(crate) async fn shutdown(self) {
        match self {}
    }
}

/// Takes the place of a hub that is nowhere. It answers nothing: what iroh has to send it drops every three
/// seconds, and not at once, as this takes a relay.
#[derive(Clone, Default)]
pub(crate) struct Sink {
    taken: Arc<Notify>,
    over: Arc<Notify>,
}

impl Sink {
    #[allow(clippy::unnecessary_wraps)] // As its counterpart.
    pub(crate) fn new(_: PeerId) -> Result<Self, String> {
        Ok(Self::default())
    }

    pub(crate) async fn swallow(&self, mut stream: TcpStream) {
        let over = self.over.notified();
        self.taken.notify_one();
        let mut nowhere = sink();
        tokio::select! {
            () = over => {}
            // Until iroh gives up.
            _ = copy(&mut stream, &mut nowhere) => {}
        }
    }

    pub(crate) async fn taken(&self) {
        self.taken.notified().await;
    }

    pub(crate) fn let_go(&self) {
        self.over.notify_waiters();
    }

    #[allow(clippy::unused_async)] // As its counterpart.
    pub(crate) async fn shutdown(&self) {}
}
