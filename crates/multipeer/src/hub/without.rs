//! In a build without the feature `hub` nobody can be one.

use std::{collections::BTreeSet, net::IpAddr};

use multipeer_proto::PeerId;

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
