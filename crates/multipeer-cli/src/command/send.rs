//! `multipeer send`: files, folders and web addresses to a peer.

use std::{path::PathBuf, time::Duration};

use futures_util::future::join_all;
use multipeer::{Event, Events, Peer, Session, Source};
use tokio::time::{Instant, timeout_at};

use super::{
    peers,
    transfers::{Display, follow},
};
use crate::{
    cli::{Common, Send},
    failure::Failure,
};

pub(crate) async fn run(common: &Common, options: &Send) -> Result<(), Failure> {
    let session = common.start().await?;
    let result = send(&session, common, options).await;
    session.leave().await;
    result
}

async fn send(session: &Session, common: &Common, options: &Send) -> Result<(), Failure> {
    let mut events = session.events();
    let patience = Duration::from_secs(options.wait);
    let peer = match &options.to {
        Some(text) => peers::wait_for(session, &mut events, text, patience).await?,
        None => wait_for_anybody(session, &mut events, patience).await?,
    };
    let display = Display::new(common.json, options.paths.len());
    let mut transfers = Vec::new();
    for path in &options.paths {
        transfers.push(session.send_resource(&peer, source(path)).await?);
    }
    // The session's events must be taken, or it stops.
    let drain = async { while events.next().await.is_some() {} };
    let followed = transfers.iter_mut().map(|transfer| follow(transfer, &display));
    tokio::select! {
        results = join_all(followed) => results.into_iter().collect::<Result<Vec<_>, _>>().map(drop),
        () = drain => Ok(()),
        _ = tokio::signal::ctrl_c() => Err(Failure::Check("interrupted; send it again to go on".to_owned())),
    }
}

fn source(path: &str) -> Source {
    if path.starts_with("http://") || path.starts_with("https://") {
        Source::url(path)
    } else {
        Source::path(PathBuf::from(path))
    }
}

/// The first peer that is connected.
async fn wait_for_anybody(
    session: &Session,
    events: &mut Events,
    patience: Duration,
) -> Result<Peer, Failure> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(peer) = session.peers().into_iter().next() {
            return Ok(peer);
        }
        match timeout_at(deadline, events.next()).await {
            Ok(Some(Event::PeerConnected(peer))) => return Ok(peer),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return Err(Failure::Nobody { seconds: patience.as_secs() }),
        }
    }
}
