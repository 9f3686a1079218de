//! `multipeer hub`: tells the others who is near, and relays for them.

use multipeer::{Event, HubLimits};

use crate::{
    cli::{Common, Hub},
    failure::Failure,
    output::{self, JsonEvents},
};

pub(crate) async fn run(common: &Common, options: &Hub) -> Result<(), Failure> {
    let limits = HubLimits {
        bytes_per_second_per_peer: options.peer_rate << 20,
        bytes_per_second: options.rate << 20,
    };
    let session = common.start_as(common.session()?.hub_limits(limits)).await?;
    let json = common.json.then(JsonEvents::new);
    if !common.json {
        output::line(&format!("{} is a hub for {}", session.name(), common.service));
    }
    let mut events = session.events();
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            _ = tokio::signal::ctrl_c() => None,
        };
        let Some(event) = event else { break };
        match &json {
            Some(json) => json.print_verified(&session, &event),
            None => print(&event),
        }
    }
    session.leave().await;
    Ok(())
}

/// A line for what concerns a hub.
fn print(event: &Event) {
    output::line(&match event {
        Event::PeerConnected(peer) => format!("{peer} ({}) is here", peer.id.short()),
        Event::PeerDisconnected { peer, reason, .. } => format!("{peer} is gone: {reason}"),
        Event::PeerFound(peer) => format!("{peer} ({}) is near", peer.id.short()),
        Event::PeerLost(peer) => format!("{peer} is not near any more"),
        Event::ViabilityChanged { peer, viable: false } => format!("{peer} does not answer"),
        Event::ViabilityChanged { peer, viable: true } => format!("{peer} answers again"),
        Event::InvitationFailed { peer, error } => format!("{peer} did not join: {error}"),
        Event::DiscoveryProblem(problem) => format!("problem: {problem}"),
        _ => return,
    });
}
